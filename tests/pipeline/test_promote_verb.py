"""`expansion promote --json` prints the verdict whether or not it lets the challenger through."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import expansion
from training.errors import PromotionRefused


def test_a_refused_verdict_is_printed_beside_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = {"passed": False, "version": 2, "rules": [{"name": "log_loss", "passed": False, "value": 0.01}]}

    def refuse(*_: Any) -> None:
        raise PromotionRefused("version 2 is not promoted", verdict)

    monkeypatch.setattr("training.promote.promote", refuse)
    monkeypatch.setattr(sys, "argv", ["expansion", "promote", "--workspace", str(tmp_path), "--json"])
    with pytest.raises(SystemExit) as ended:
        expansion.main()
    assert ended.value.code == 4
    said = json.loads(capsys.readouterr().out)
    assert said.pop("error") == {"exit_code": 4, "kind": "PromotionRefused", "message": "version 2 is not promoted"}
    assert said == verdict
