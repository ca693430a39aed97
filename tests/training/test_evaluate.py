"""The evaluate stage on invented held-out rows."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from tests import builders
from tests.training import scalar_twins as twins
from tests.training.judged import NOW, candidate_rows, heldout_rows, trained
from training.errors import HeldOutBroken
from training.evaluate import EvaluateParams, evaluate, main
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace, read_table, write_table

QUICK = EvaluateParams(bootstrap=60)
PLACE = {"target": str, "horizon": int, "as_of": str, "origin": str, "candidate": str, "n": int, "positives": int}
WITH_INTERVAL = (
    "roc_auc",
    "pr_auc",
    *(f"{f}_{p}" for f in ("lift", "revenue_captured", "recall") for p in (1, 5, 10)),
    *("brier_skill", "ece", "calibration_intercept", "calibration_slope", "money_expected_over_actual"),
    *("gini", "spearman", "decile_mape"),
)


def _two_targets() -> pa.Table:
    return pa.concat_tables(
        [
            heldout_rows(),
            heldout_rows(horizon=90),
            heldout_rows(target="high_value", base=-4.0),
            heldout_rows(horizon=360),
        ]
    )


def test_every_result_has_every_field_and_its_interval_holds_it(tmp_path: Path) -> None:
    workspace = trained(tmp_path, _two_targets())
    written = evaluate(workspace, QUICK)
    assert json.loads((workspace.artifacts / "evaluation.json").read_text()) == written
    assert written["schema_version"] == 1
    assert written["headline_horizon"] == 180
    assert {written[key] for key in ("currency", "trained_as_of")} == {"USD", "2025-12-31"}
    assert len(written["results"]) == 4 * 5
    for row in written["results"]:
        assert {name: type(row[name]) for name in PLACE} == PLACE
        assert 0 < row["base_rate"] < 1
        for name in WITH_INTERVAL:
            if row[name] is None:
                assert row[f"{name}_ci"] is None
            else:
                low, high = row[f"{name}_ci"]
                assert low <= row[name] <= high
        probability = row["candidate"] in ("champion", "books_only", "base_rate")
        for name in ("brier_skill", "ece", "expected_over_actual", "log_loss"):
            assert (row[name] is not None) == probability
        money = row["candidate"] == "champion" and row["target"] == "expansion"  # that of a move to another tier
        assert (row["money_expected_over_actual"] is not None) == money


def test_the_champion_stands_first_and_its_figures_are_those_of_the_scalar_twins(tmp_path: Path) -> None:
    heldout = heldout_rows()
    row = evaluate(trained(tmp_path, heldout), QUICK)["results"][0]
    own = heldout.filter(pc.equal(heldout["candidate"], "champion"))
    label, score, money = (own[name].to_numpy().astype(float) for name in ("label", "score", "increment"))
    assert row["candidate"] == "champion"
    assert row["roc_auc"] == pytest.approx(roc_auc_score(label, score), abs=1e-8)
    captured = twins.share_in_top(list(money), list(score), 10)
    assert row["revenue_captured_10"] == pytest.approx(captured, abs=1e-8)
    assert row["ece"] == pytest.approx(twins.ece(list(label), list(score)), abs=1e-8)


def test_skill_is_graded_and_the_headline_names_money_interval_and_rival(tmp_path: Path) -> None:
    written = evaluate(trained(tmp_path), QUICK)
    assert written["grade"]["word"] in ("good", "excellent")
    for words in ("Calling the top 10 %", "next 180 days", "95 % interval", "by lifetime spend"):
        assert words in written["headline"]


@pytest.mark.parametrize("skill", [0.0, 1.0])
def test_the_headline_says_by_how_much_it_leads_and_whether_that_may_be_luck(tmp_path: Path, skill: float) -> None:
    written = evaluate(trained(tmp_path, heldout_rows(skill=skill)), QUICK)
    said = re.search(r"points (?:more|less) \(([+-]\d+) to ([+-]\d+)(, so it may be luck)?\)\.$", written["headline"])
    assert said is not None, written["headline"]
    [lead] = [
        row["ci"]
        for row in written["comparisons"]
        if (row["candidate"], row["figure"]) == ("spend_lifetime", "revenue_captured_10")
        and (row["target"], row["horizon"]) == ("expansion", written["headline_horizon"])
    ]
    assert [int(said[1]), int(said[2])] == [round(100 * bound) for bound in lead]
    assert (said[3] is not None) == (lead[0] <= 0 <= lead[1])


def test_a_model_that_ranks_a_dozen_well_is_called_excellent_nowhere(tmp_path: Path) -> None:
    rows = heldout_rows(n=400, base=-5.5)
    workspace = trained(tmp_path, rows)
    written = evaluate(workspace, QUICK)
    champion = written["results"][0]
    assert champion["positives"] < 30
    assert champion["roc_auc"] > 0.85, "by its figures alone it would be excellent"
    said = {name: written["grade"][name] for name in ("word", "newest", "needed")}
    assert said == {"word": "too few to tell", "newest": champion["positives"], "needed": 30}
    card = (workspace.artifacts / "model_card.md").read_text()
    assert "**Grade: too few to tell.**" in card
    assert "xcellent" not in card
    fewer = evaluate(workspace, QUICK, needed=champion["positives"])["grade"]
    assert fewer["word"] != "too few to tell", "who asks the gate for fewer is told by fewer"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_model_that_knows_nothing_is_graded_no_skill(tmp_path: Path, seed: int) -> None:
    assert evaluate(trained(tmp_path, heldout_rows(skill=0.0, seed=seed)), QUICK)["grade"]["word"] == "no skill"


def test_without_the_default_horizon_the_longest_below_it_speaks(tmp_path: Path) -> None:
    heldout = pa.concat_tables([heldout_rows(horizon=90), heldout_rows(horizon=270)])
    assert evaluate(trained(tmp_path, heldout), QUICK)["headline_horizon"] == 90


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    seen = []
    shuffled = _two_targets().take(np.random.default_rng(1).permutation(_two_targets().num_rows))
    for name, rows in (("one", _two_targets()), ("two", shuffled)):
        workspace = trained(tmp_path / name, rows)
        evaluate(workspace, QUICK)
        files = [workspace.artifacts / n for n in ("evaluation.json", "predictions.parquet", "model_card.md")]
        files += sorted((workspace.artifacts / "plots").iterdir())
        seen.append([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files])
    assert seen[0] == seen[1]


def test_predictions_hold_the_champion_once_an_account_target_and_horizon(tmp_path: Path) -> None:
    workspace = trained(tmp_path, _two_targets())
    evaluate(workspace, QUICK)
    found = read_table(workspace.artifacts / "predictions.parquet")
    columns = "account_id as_of target horizon probability expected_increment label increment origin"
    assert found.column_names == columns.split()
    keys = found.select(["account_id", "as_of", "target", "horizon"]).to_pylist()
    assert len(keys) == len({tuple(key.values()) for key in keys}) == 4 * 1500


def test_the_champions_figures_come_from_its_predictions_by_the_definitions_told(tmp_path: Path) -> None:
    workspace = trained(tmp_path, _two_targets())
    written = evaluate(workspace, QUICK)
    told = read_table(workspace.artifacts / "predictions.parquet").to_pandas()
    assert set(written["definitions"]) >= {"results", "lift_k", "revenue_captured_k", "ece", "brier_skill"}
    for row in (row for row in written["results"] if row["candidate"] == "champion"):
        place = (told["target"] == row["target"]) & (told["horizon"] == row["horizon"])
        rows = told[place & (told["as_of"].astype(str) == row["as_of"])]
        label, said = rows["label"].to_numpy(float), rows["probability"].to_numpy()
        assert (row["n"], row["positives"]) == (len(rows), int(label.sum()))
        assert row["expected_over_actual"] == pytest.approx(said.sum() / label.sum(), abs=1e-6)
        skill = 1 - np.mean((said - label) ** 2) / np.mean((label.mean() - label) ** 2)
        assert row["brier_skill"] == pytest.approx(skill, abs=1e-6)
        gain = np.maximum(rows["increment"].to_numpy(), 0)
        for percent in (1, 5, 10):
            called = len(rows) * percent / 100
            assert row[f"lift_{percent}"] == pytest.approx(_held(label, said, called) * 100 / percent, abs=1e-6)
            captured = _held(gain, rows["expected_increment"].to_numpy(), called)
            assert row[f"revenue_captured_{percent}"] == pytest.approx(captured, abs=1e-6)


def _held(wanted: np.ndarray, score: np.ndarray, called: float) -> float:
    """Share of `wanted` that the first `called` accounts hold, the last of them in part; scores differ."""
    best = wanted[np.argsort(-score, kind="stable")]
    whole = int(called)
    return float((best[:whole].sum() + (called - whole) * best[whole]) / wanted.sum())


def test_each_target_gets_its_pictures_and_the_card_shows_them(tmp_path: Path) -> None:
    workspace = trained(tmp_path, _two_targets())
    evaluate(workspace, QUICK)
    found = sorted(path.name for path in (workspace.artifacts / "plots").iterdir())
    kinds = ("calibration", "deciles", "gains")
    assert found == ["capacity.png", *(f"{t}_180_{kind}.png" for t in ("expansion", "high_value") for kind in kinds)]
    card = (workspace.artifacts / "model_card.md").read_text()
    for name in found:
        assert f"(plots/{name})" in card


def test_the_card_warns_of_thin_results_and_tells_how_to_reproduce_them(tmp_path: Path) -> None:
    workspace = trained(tmp_path, heldout_rows(n=200, base=-5.0))
    evaluate(workspace, QUICK)
    card = (workspace.artifacts / "model_card.md").read_text()
    for words in ("Thin:", "Too few positives", "users_28d", "too young", "expansion train --raw", "f" * 64):
        assert words in card


def test_the_card_counts_who_has_a_label_and_who_has_none_and_why(tmp_path: Path) -> None:
    out = {"on the highest tier": 1_100, "not complete yet": 90}
    counts = [{"target": "expansion", "horizon": 180, "in": 310, "out": out}]
    workspace = trained(tmp_path, heldout_rows(), population={"in": 1_500, "out": {"internal": 3}, "labels": counts})
    evaluate(workspace, QUICK)
    card = (workspace.artifacts / "model_card.md").read_text()
    assert "Accounts and dates in: 1,500. Left out: 3 internal." in card
    assert "| target | horizon | labelled | on the highest tier | not complete yet |" in card
    assert "| expansion | 180 | 310 | 1,100 | 90 |" in card


def test_the_card_says_which_learner_serves_why_and_how_it_is_calibrated(tmp_path: Path) -> None:
    told = {"learner": "distilled", "chosen": "no earlier origin to choose by", "calibration": {}}
    for number, (calibration, words) in enumerate(
        (({}, "Calibrated: not,"), ({"high_value": {"a": 1.0, "b": 1.0, "c": -0.25}}, "a = 1.00, b = 1.00, c = -0.25"))
    ):
        workspace = trained(tmp_path / str(number), **told | {"calibration": calibration})
        said = evaluate(workspace, QUICK)
        card = (workspace.artifacts / "model_card.md").read_text()
        assert "The learner `distilled` serves (no earlier origin to choose by)." in card
        assert words in card
    assert [one["word"] for one in said["grade"]["thresholds"]] == ["excellent", "good", "fair"]


def test_nothing_held_out_is_too_few_to_tell_not_a_crash(tmp_path: Path) -> None:
    workspace = trained(tmp_path, heldout_rows().slice(0, 0))
    written = evaluate(workspace, QUICK)
    assert written["grade"]["word"] == "too few to tell"
    assert written["results"] == []
    assert "too short" in written["headline"]


def test_how_each_orders_money_is_told_with_how_sure_that_is(tmp_path: Path) -> None:
    written = evaluate(trained(tmp_path, heldout_rows()), QUICK)
    told = {row["candidate"]: row for row in written["results"]}
    for name, row in told.items():
        for figure in ("gini", "spearman", "decile_mape"):
            if name == "base_rate" or (
                figure == "decile_mape" and name != "champion"
            ):  # says the same to all; no money
                continue
            low, high = row[f"{figure}_ci"]
            assert low < row[figure] < high, (name, figure)
    own = told["champion"]
    shown = f"Normalised Gini of the money {own['gini']:.2f} ({own['gini_ci'][0]:.2f} to {own['gini_ci'][1]:.2f})"
    assert shown in (tmp_path / "artifacts/model_card.md").read_text()


def test_no_positive_at_all_leaves_null_figures(tmp_path: Path) -> None:
    zeros, score = np.zeros(50), np.linspace(0, 1, 50)
    written = evaluate(trained(tmp_path, candidate_rows("champion", zeros, zeros, score, probability=True)), QUICK)
    assert written["results"][0]["roc_auc"] is None
    assert written["results"][0]["lift_10_ci"] is None
    assert written["grade"]["word"] == "too few to tell"


def _broken(kind: str) -> pa.Table:
    good = heldout_rows(n=50)
    if kind == "is missing":
        return good.drop_columns(["money_score"])
    if kind == "rows must agree":
        return good.slice(0, 99)
    if kind == "no candidate":
        return good.slice(50)
    if kind == "not finite":
        return good.set_column(6, "score", pa.array([float("nan")] * len(good)))
    if kind == "outside [0, 1]":
        return good.set_column(8, "probability", pa.array([2.0] * len(good)))
    if kind in ("2 labels of 50", "1 rows more"):
        column, wrong = ("label", [2, 3]) if kind == "2 labels of 50" else ("account_id", ["account-00005"] * 2)
        place, parts = good.column_names.index(column), []
        for name in good["candidate"].unique():
            own = good.filter(pc.equal(good["candidate"], name))
            values = own[column].to_pylist()
            values[5:7] = wrong
            parts.append(own.set_column(place, column, pa.array(values, own.schema.field(column).type)))
        return pa.concat_tables(parts)
    return good.set_column(2, "origin", pc.add(good["as_of"], pa.scalar(86_400, pa.duration("s"))).cast(pa.date32()))


@pytest.mark.parametrize(
    "kind",
    ["is missing", "rows must agree", "no candidate", "not finite", "outside [0, 1]", "2 labels of 50", "1 rows more",
     "later than as_of"],
)  # fmt: skip
def test_held_out_rows_that_break_their_contract_are_named(tmp_path: Path, kind: str) -> None:
    workspace = trained(tmp_path)
    write_table(_broken(kind), workspace.artifacts / "heldout.parquet")
    with pytest.raises(HeldOutBroken) as raised:
        evaluate(workspace, QUICK)
    assert kind in str(raised.value)
    assert "Run the train stage" in str(raised.value)
    assert not (workspace.artifacts / "evaluation.json").exists()


def test_without_train_json_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeldOutBroken, match=r"cannot be read .* Run the train stage"):
        evaluate(Workspace(tmp_path), QUICK)


def test_the_stage_runs_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("evaluate: {bootstrap: 20}\n")
    workspace = trained(tmp_path / "workspace")
    raw = builders.write_raw(tmp_path / "raw", [builders.account()], [builders.event()], [builders.invoice()])
    ingest(raw, workspace, IngestParams(), NOW)
    assert main(["--workspace", str(tmp_path / "workspace"), "--params", str(params)]) == 0
    assert "Calling the top 10 %" in capsys.readouterr().err
