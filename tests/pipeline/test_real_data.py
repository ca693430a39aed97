"""The three real and public data sets, through the command line and their shipped params alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.vendor import ROOT, done

DATA = ROOT.parent / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the data sets are not shipped; put them under {DATA.name}/ beside"),
]


def trained(name: str, workspace: Path) -> dict[str, Any]:
    params = ROOT / "examples" / name / "params.yaml"
    done("train", "--raw", DATA / name, "--workspace", workspace, "--params", params)
    released = done("score", "--raw", DATA / name, "--workspace", workspace)
    assert released["accounts"] > 0
    return dict(json.loads((workspace / "artifacts" / "evaluation.json").read_text()))


def rows(evaluation: dict[str, Any], target: str, horizon: int) -> dict[str, dict[str, Any]]:
    found = [r for r in evaluation["results"] if (r["target"], r["horizon"]) == (target, horizon)]
    return {row["candidate"]: row for row in found}


def test_a_wholesaler_is_ranked_above_the_floor_beside_its_rivals(tmp_path: Path) -> None:
    evaluation = trained("online_retail_ii", tmp_path)
    check = rows(evaluation, "moved_up", 180)
    assert {check["champion"]["as_of"], check["champion"]["origin"]} == {"2011-06-01"}
    assert check["champion"]["n"] == 4908
    assert check["champion"]["roc_auc"] >= 0.75
    assert {"spend_90d", "spend_lifetime", "recency"} <= set(check)
    assert check["spend_lifetime"]["roc_auc"] == pytest.approx(0.706, abs=0.01)  # as published for this outcome
    assert check["champion"]["roc_auc_ci"][0] > check["spend_lifetime"]["roc_auc_ci"][1]
    own = rows(evaluation, "expansion", 180)
    assert own["champion"]["roc_auc_ci"][0] > own["spend_lifetime"]["roc_auc_ci"][1]
    assert evaluation["grade"]["word"] != "no skill"


def test_behaviour_without_signal_is_called_no_skill(tmp_path: Path) -> None:
    evaluation = trained("ravenstack", tmp_path)
    assert evaluation["grade"]["word"] == "no skill"
    assert "no skill" in (tmp_path / "artifacts" / "model_card.md").read_text()


def test_trials_with_few_payments_run_to_the_end(tmp_path: Path) -> None:
    evaluation = trained("free_to_paid_365", tmp_path)
    assert rows(evaluation, "expansion", 180)["champion"]["positives"] > 100
