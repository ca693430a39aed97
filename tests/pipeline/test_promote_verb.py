"""`expansion promote --json` prints the verdict whether or not it lets the challenger through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import expansion
from training.errors import PromotionRefused


def test_a_refused_verdict_is_printed_and_the_refusal_still_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = {"passed": False, "version": 2, "rules": [{"name": "log_loss", "passed": False, "value": 0.01}]}

    def refuse(*_: Any) -> None:
        raise PromotionRefused("version 2 is not promoted", verdict)

    monkeypatch.setattr("training.promote.promote", refuse)
    with pytest.raises(PromotionRefused) as refused:
        expansion.promote(tmp_path, None, True)
    assert refused.value.exit_code == 4
    assert json.loads(capsys.readouterr().out) == verdict
    with pytest.raises(PromotionRefused):
        expansion.promote(tmp_path, None, False)
    assert capsys.readouterr().out == ""
