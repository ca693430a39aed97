"""Several origins in one held-out table: the newest speaks first, all of them together, and each in turn."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.training.judged import heldout_rows, trained
from training.bootstrap import Difference, Scored
from training.errors import HeldOutBroken
from training.evaluate import EvaluateParams, evaluate, measure, predictions
from training.heldout import read_heldout
from training.rolling import by_target, pooled, within
from training.slices import NOT_TOLD, SIZE, banded, verdict
from warehouse.store import Workspace, read_table, write_table

QUICK = EvaluateParams(bootstrap=40, capacities=(10, 50))
DAYS = (date(2024, 9, 1), date(2024, 12, 1), date(2025, 3, 1), date(2025, 6, 1))


def dated(rows: pa.Table, day: date) -> pa.Table:
    """The rows as if held out on another day."""
    days = pa.array([day] * len(rows), pa.date32())
    return rows.set_column(1, "as_of", days).set_column(2, "origin", days)


def several(n: int = 400, **rows: Any) -> pa.Table:
    return pa.concat_tables([dated(heldout_rows(n=n, seed=seed, **rows), day) for seed, day in enumerate(DAYS)])


def facts(rows: pa.Table) -> pa.Table:
    """What the train stage tells of each account and day, in another order than the held-out rows."""
    keys = rows.group_by(["account_id", "as_of"]).aggregate([])
    n, rng = len(keys), np.random.default_rng(3)
    columns = {
        "tenure_days": rng.integers(7, 500, n).astype(float),
        "tier": rng.integers(0, 2, n),
        "stage": rng.choice(["dormant", "uptake"], n),
        "channel": rng.choice(["ads", "partner"], n),
        "country": rng.choice([f"country {i}" for i in range(12)], n),
        "industry": pa.nulls(n, pa.string()),
        "employees": pa.array(np.where(rng.random(n) < 0.2, np.nan, rng.integers(1, 900, n)), from_pandas=True),
        "active": rng.random(n) < 0.6,
        "new": rng.random(n) < 0.2,
    }
    table = pa.table({**{name: keys[name] for name in ("account_id", "as_of")}, **columns})
    return table.take(pa.array(rng.permutation(n)))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dict[str, Any]]:
    workspace = trained(tmp_path_factory.mktemp("rolling"), several())
    write_table(facts(several()), workspace.artifacts / "heldout_accounts.parquet")
    return workspace, evaluate(workspace, QUICK)


def test_the_newest_origin_is_the_result_and_every_origin_stands_apart(judged: Any) -> None:
    _, said = judged
    assert {row["as_of"] for row in said["results"]} == {"2025-06-01"}
    assert len(said["results"]) == 5
    assert sorted({row["as_of"] for row in said["by_origin"]}) == [day.isoformat() for day in DAYS]
    assert len(said["by_origin"]) == 4 * 5
    newest = [row for row in said["by_origin"] if row["as_of"] == "2025-06-01"]
    for one, other in zip(newest, said["results"], strict=True):
        assert one.items() <= other.items()
    champion = [row for row in said["by_origin"] if row["candidate"] == "champion"]
    assert all(row["pr_auc_ci"] for row in champion)


def test_the_pool_has_every_row_once_and_narrower_intervals_than_one_origin(judged: Any) -> None:
    _, said = judged
    [pool] = [row for row in said["pooled"] if row["candidate"] == "champion"]
    [one] = [row for row in said["results"] if row["candidate"] == "champion"]
    assert (pool["n"], pool["origins"]) == (1600, 4)
    assert pool["positives"] == sum(r["positives"] for r in said["by_origin"] if r["candidate"] == "champion")
    width = [row["roc_auc_ci"][1] - row["roc_auc_ci"][0] for row in (pool, one)]
    assert width[0] < 0.8 * width[1]
    assert said["grade"]["origins"] == 4
    assert "over 4 origins together" in said["grade"]["why"]


def test_an_account_of_several_dates_is_one_account_to_the_bootstrap(tmp_path: Path) -> None:
    """The same rows at four dates are four times the rows and no more evidence."""
    once = heldout_rows(n=400)
    path = tmp_path / "heldout.parquet"
    write_table(pa.concat_tables([dated(once, day) for day in DAYS]), path)
    [parts] = by_target(read_heldout(path))
    pool = pooled(parts).rows
    assert pool.account.max() + 1 == 400
    alone, together = (measure(rows, QUICK).interval("champion", "roc_auc") for rows in (parts[0], pool))
    assert together == pytest.approx(alone, abs=1e-9)


def test_the_pool_ranks_within_each_origin_so_a_louder_date_gains_nothing(tmp_path: Path) -> None:
    path = tmp_path / "heldout.parquet"
    table = several()
    louder = np.where(np.arange(len(table)) < len(table) // 4, 1000.0, 1.0)
    for column in ("score", "money_score"):
        table = table.set_column(
            table.column_names.index(column), column, pa.array(table[column].to_numpy() * louder, pa.float64())
        )
    seen = []
    for rows in (several(), table):
        write_table(rows, path)
        [parts] = by_target(read_heldout(path))
        seen.append(pooled(parts).rows.candidates["champion"].figures())
    assert seen[0] == pytest.approx(seen[1])


def test_regret_is_the_gap_to_the_best_of_each_origin(judged: Any) -> None:
    _, said = judged
    figures: dict[str, dict[str, float]] = {}
    for row in said["by_origin"]:
        figures.setdefault(row["as_of"], {})[row["candidate"]] = row["pr_auc"]
    for row in said["regret"]:
        gaps = [max(found.values()) - found[row["candidate"]] for found in figures.values()]
        assert row["pr_auc_mean"] == pytest.approx(np.mean(gaps), abs=1e-6)
        assert row["pr_auc_worst"] == pytest.approx(max(gaps), abs=1e-6)
        assert row["origins"] == 4
    champion = next(row for row in said["regret"] if row["candidate"] == "champion")
    assert champion["pr_auc_best_at"] == 4


def test_slices_divide_the_rows_and_a_thin_one_gets_no_verdict(judged: Any) -> None:
    _, said = judged
    axes: dict[str, list[dict[str, Any]]] = {}
    for row in said["slices"]:
        axes.setdefault(row["axis"], []).append(row)
    named = ["origin", "tenure", "tier", "stage", "region", "size", "channel", "activity", "acquaintance"]
    assert list(axes) == named
    assert [row["slice"] for row in axes["tier"]] == ["trial", "team"]
    assert [row["slice"] for row in axes["stage"]] == ["uptake", "dormant"]
    for rows in axes.values():
        assert sum(row["n"] for row in rows) == 1600
    assert len(axes["region"]) == 8  # twelve countries: seven by name, five as others
    assert axes["size"][-1]["slice"] == NOT_TOLD
    for row in said["slices"]:
        assert row["thin"] == (row["positives"] < 30)
        assert (row["verdict"] is None) == row["thin"]
        for figure in ("pr_auc", "roc_auc", "lift_10", "expected_over_actual", "ece"):
            assert (row[f"{figure}_ci"] is None) == row["thin"]
            assert row["thin"] or row[f"{figure}_ci"][0] <= row[figure] <= row[f"{figure}_ci"][1]
    assert {row["thin"] for row in said["slices"]} == {True, False}


def test_every_figure_with_an_interval_is_told_as_a_paired_difference_too(judged: Any) -> None:
    workspace, said = judged
    for told, rows in (("comparisons", said["results"]), ("pooled_comparisons", said["pooled"])):
        by_name = {row["candidate"]: row for row in rows}
        own = by_name.pop("champion")
        # recall at a percent is the lift's times that percent; gaps are not compared
        with_interval = {name[:-3] for name in own if name.endswith("_ci") and not re.match(r"recall_\d", name)}
        figures = with_interval - {"ece", "decile_mape"}
        found = {(row["candidate"], row["figure"]): row for row in said[told]}
        defined = {(name, f) for name, row in by_name.items() for f in figures if None not in (row[f], own[f])}
        assert set(found) == defined
        assert len(defined) > 50
        for (name, figure), row in found.items():
            assert row["champion_lead"] == pytest.approx(own[figure] - by_name[name][figure], abs=1e-7)
            assert row["ci"][0] <= row["champion_lead"] <= row["ci"][1]
    lead = found["spend_lifetime", "pr_auc"]  # of the dates together, the last of the loop
    shown = f"{lead['champion_lead']:+.3f} ({lead['ci'][0]:+.3f} to {lead['ci'][1]:+.3f})"
    assert shown in (workspace.artifacts / "model_card.md").read_text()


def test_a_slice_is_off_only_beyond_what_its_accounts_may_owe_to_chance() -> None:
    leads, behind, either = (Difference(0.0, ci) for ci in ((0.01, 0.2), (-0.2, -0.01), (-0.1, 0.1)))
    assert verdict(leads, 1.3, (0.98, 1.7)) == "holds"
    assert verdict(leads, 1.2, (1.1, 1.3)) == "holds"
    assert verdict(leads, 1.3, (1.01, 1.7)) == "expects too many"
    assert verdict(either, 0.7, (0.5, 0.99)) == "expects too few"
    assert verdict(None, None, None) == "holds"
    assert verdict(either, 1.0, (0.9, 1.1)) == "not distinguishable from the rule"
    assert verdict(behind, 1.3, (1.01, 1.7)) == "worse than the rule"


def test_ranks_are_taken_within_each_date_whatever_a_candidate_says_of_another() -> None:
    """Two dates; the second is told ten times as much, which orders no account of either."""
    day = np.repeat(np.array(["2025-03-01", "2025-06-01"], dtype="datetime64[D]"), 4)
    label = np.array([1.0, 0, 0, 0, 1, 0, 0, 0])
    said = np.array([0.4, 0.3, 0.2, 0.1, 4.0, 3.0, 2.0, 1.0])
    assert Scored(label, label, said, said).figures()["roc_auc"] == pytest.approx(9 / 12)
    assert within(Scored(label, label, said, said), day).figures()["roc_auc"] == 1.0
    assert within(Scored(label, label, said, -said), day).figures()["revenue_captured_20"] == 0.0


def test_a_slice_in_which_twice_as_many_are_expected_says_so(tmp_path: Path) -> None:
    table = several(n=1500)
    said = np.clip(table["probability"].to_numpy(zero_copy_only=False) * 2, 0, 1)
    workspace = trained(tmp_path, table.set_column(8, "probability", pa.array(said, from_pandas=True)))
    assert {row["verdict"] for row in evaluate(workspace, QUICK)["slices"]} == {"expects too many"}


def test_without_the_accounts_file_only_the_dates_are_sliced(tmp_path: Path) -> None:
    said = evaluate(trained(tmp_path, several()), QUICK)
    assert {row["axis"] for row in said["slices"]} == {"origin"}


def test_an_accounts_file_that_lacks_a_row_is_refused(tmp_path: Path) -> None:
    workspace = trained(tmp_path, several())
    write_table(facts(several()).slice(1), workspace.artifacts / "heldout_accounts.parquet")
    with pytest.raises(HeldOutBroken, match="each must have one"):
        evaluate(workspace, QUICK)


def test_predictions_hold_every_origin(judged: Any) -> None:
    workspace, _ = judged
    found = read_table(workspace.artifacts / "predictions.parquet")
    assert len(found) == 1600
    assert found.equals(predictions(read_heldout(workspace.artifacts / "heldout.parquet")))


def test_the_capacity_view_counts_hits_misses_and_money(judged: Any) -> None:
    workspace, said = judged
    table = read_table(workspace.artifacts / "heldout.parquet").to_pylist()
    own = [row for row in table if row["candidate"] == "champion" and row["as_of"] == DAYS[-1]]
    first = sorted(own, key=lambda row: -row["score"])[:50]
    richest = sorted(own, key=lambda row: -row["money_score"])[:50]
    [row] = [row for row in said["capacity"] if (row["candidate"], row["called"]) == ("champion", 50)]
    gained = sum(max(one["increment"], 0) for one in richest)
    assert row["hits"] == sum(one["label"] for one in first)
    assert row["misses"] == 50 - row["hits"]
    assert row["money"] == pytest.approx(gained, abs=1e-6)
    assert row["profit"] == pytest.approx(0.1 * 0.8 * gained - 20 * 50, abs=1e-6)
    for figure in ("hits", "lift", "recall", "money", "revenue_captured", "profit"):
        low, high = row[f"{figure}_ci"]
        assert low < row[figure] < high
    ties = [row for row in said["capacity"] if row["candidate"] == "spend_lifetime"]
    assert any(row["hits_worst"] < row["hits"] < row["hits_best"] for row in ties)
    assert {row["called"] for row in said["capacity"]} == {10, 50, 100}


def test_the_capacity_interval_at_the_calls_of_the_headline_is_that_of_the_headline(judged: Any) -> None:
    _, said = judged
    rows = [row for row in said["results"] if row["target"] == "expansion" and row["horizon"] == 180]
    whole = {row["candidate"]: row for row in rows}
    at = [row for row in said["capacity"] if row["called"] == said["called"]]
    assert {row["candidate"] for row in at} >= {"champion", "spend_lifetime"}
    for row in at:
        assert row["revenue_captured_ci"] == whole[row["candidate"]]["revenue_captured_called_ci"]
        assert row["recall_ci"] == whole[row["candidate"]]["recall_called_ci"]


def test_what_a_call_is_worth_is_told_with_an_interval(tmp_path: Path) -> None:
    params = EvaluateParams(bootstrap=40, contact_cost=1.0)
    workspace = trained(tmp_path, several())
    decision = evaluate(workspace, params)["decision"]
    for name, value in decision["net_benefit"].items():
        low, high = decision["net_benefit_ci"][name]
        assert low <= value <= high
    low, high = decision["net_benefit_ci"]["champion"]
    told = f"{decision['net_benefit']['champion']:+.4f} (95 % interval {low:+.4f} to {high:+.4f})"
    assert low < high
    assert f"the model {told}" in (workspace.artifacts / "model_card.md").read_text()


def test_the_card_tells_baselines_calibration_money_slices_and_stability_in_that_order(judged: Any) -> None:
    workspace, _ = judged
    card = (workspace.artifacts / "model_card.md").read_text()
    heads = [
        "Grade:",
        "> Calling",
        "ranked by",
        "_180_gains.png",
        "## Calibration",
        "## Money and capacity",
        "## Slices",
    ]
    heads += [
        "## Stability",
        "## What it predicts",
        "## Data",
        "## What it looks at",
        "## Limits",
        "## How to reproduce",
    ]
    places = [card.index(head) for head in heads]
    assert places == sorted(places)
    for kind in ("origins", "deciles"):
        assert f"(plots/expansion_180_{kind}.png)" in card
    assert "4 as_of dates at most" in card


def test_a_learning_curve_and_reasons_are_drawn_where_they_were_left(tmp_path: Path) -> None:
    curve = [{"accounts": 100 * k, "positives": 5 * k, "pr_auc": 0.1 * k, "log_loss": 0.2 / k} for k in (1, 2, 4)]
    families = [
        {"family": name, "mean_abs": value, "share": 2 * value} for name, value in (("users", 0.4), ("fit", 0.1))
    ]
    summary = {"quantity": "log-odds", "rows": 300, "families": families}
    workspace = trained(tmp_path, heldout_rows(n=300), learning_curve=curve)
    (workspace.artifacts / "reasons_summary.json").write_text(json.dumps(summary))
    evaluate(workspace, QUICK)
    drawn = {path.stem for path in (workspace.artifacts / "plots").iterdir()}
    assert {"learning_curve", "reasons"} <= drawn


def test_a_band_holds_its_floor_and_not_the_next() -> None:
    found = banded(np.array([1.0, 9.0, 10.0, 249.0, 250.0, 9e4, np.nan]), SIZE)
    assert found.tolist() == [SIZE[0][1], SIZE[0][1], SIZE[1][1], SIZE[2][1], SIZE[3][1], SIZE[3][1], NOT_TOLD]
