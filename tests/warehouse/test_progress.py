"""What a run says of its stages, in a log and on a terminal."""

from __future__ import annotations

import re
import sys

import pytest

from warehouse import progress

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def told() -> None:
    with progress.stage("score") as say:
        say("as of 2026-03-01")
    progress.note("the facts end")
    with pytest.raises(ValueError), progress.stage("features"):  # noqa: PT011
        raise ValueError


def test_every_line_of_a_log_says_when_it_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    told()
    done, noted, failed = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"{STAMP}  ✓ score: as of 2026-03-01 \(\d+\.\d s\)", done)
    assert re.fullmatch(rf"{STAMP}  ! the facts end", noted)
    assert re.fullmatch(rf"{STAMP}  ✗ features failed after \d+\.\d s", failed)


def test_a_terminal_is_not_told_the_time(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    told()
    assert not re.search(STAMP, capsys.readouterr().err)
