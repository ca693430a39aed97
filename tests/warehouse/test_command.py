"""A stage called on its own ends as a verb does: with its code, and with words, not with a traceback."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from warehouse.command import ended

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_slip_in_the_params_ends_every_stage_with_2_and_its_place(
    stage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, section = STAGES[stage]["cmd"].split()[2], STAGES[stage]["params"][0]
    params = tmp_path / "params.yaml"
    params.write_text(f"{section}: {{no_such_key: 1}}\n")
    folders = {"simulate": ["--out"], "ingest": ["--workspace", "--raw"]}.get(stage, ["--workspace"])
    asked = [word for name in folders for word in (name, str(tmp_path / name.strip("-")))]
    assert importlib.import_module(module).main([*asked, "--params", str(params)]) == 2
    said = capsys.readouterr().err
    assert "no_such_key" in said
    assert "Traceback" not in said


def test_a_failure_nobody_foresaw_is_no_message_for_people() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ended(broken)
