"""The simulator's truth beside the candidates: read right, refused when it is not of these rows, beaten by nobody."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests import builders
from tests.training.judged import (
    AS_OF,
    NOW,
    audited,
    candidate_rows,
    heldout_rows,
    train_document,
    trained,
    truth_rows,
    with_truth,
)
from training.ceiling import divergence, findings, truth_in, with_ceiling
from training.errors import HeldOutBroken, TruthBroken
from training.evaluate import EvaluateParams, evaluate, main, measure
from training.gate import GateParams, Rule, alone
from training.heldout import read_heldout
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace, read_table, write_table

QUICK = EvaluateParams(bootstrap=30)
PLACES = [(target, horizon) for target in ("expansion", "high_value") for horizon in (90, 180)]


def _heldout(skill: float = 1.5) -> pa.Table:
    bases = {"expansion": -3.0, "high_value": -4.0}
    return pa.concat_tables([heldout_rows(skill=skill, target=t, horizon=h, base=bases[t]) for t, h in PLACES])


def _truth() -> pa.Table:
    return pa.concat_tables([truth_rows(horizon=90), truth_rows(horizon=180)])


def _judged(root: Path, heldout: pa.Table, *truth: pa.Table) -> dict[str, Any]:
    return evaluate(trained(root, heldout), QUICK, with_truth(root, *truth))


def _row(rows: list[dict[str, Any]], candidate: str, horizon: int = 180) -> dict[str, Any]:
    place = ("expansion", horizon, candidate)
    return next(row for row in rows if (row["target"], row["horizon"], row["candidate"]) == place)


def _gate(evaluation: dict[str, Any]) -> list[Rule]:
    return [rule for rule in _asked(evaluation) if not rule.passed]


def _asked(evaluation: dict[str, Any]) -> list[Rule]:
    return alone(evaluation, train_document(), audited("b" * 64), GateParams())


def _card(root: Path) -> str:
    return (Workspace(root).artifacts / "model_card.md").read_text()


def _changed(rows: pa.Table, candidate: str, horizon: int, said: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Any:
    """The rows with other probabilities of one candidate for expansion: `said(probability, label)`."""
    own = np.asarray(pc.and_(pc.equal(rows["candidate"], candidate), pc.equal(rows["horizon"], horizon)))
    own &= np.asarray(pc.equal(rows["target"], "expansion"))
    new = said(rows["probability"].to_numpy(zero_copy_only=False), rows["label"].to_numpy().astype(float))
    for column in ("score", "probability"):
        values = np.where(own, new, rows[column].to_numpy(zero_copy_only=False))
        rows = rows.set_column(rows.column_names.index(column), column, pa.array(values, from_pandas=True))
    return rows


def _peeks(strength: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Probabilities with a part of the label in their log-odds."""
    return lambda said, label: 1 / (1 + np.exp(-(np.log(said / (1 - said)) + strength * (label - 0.5))))


def test_four_accounts_by_hand(tmp_path: Path) -> None:
    """Truth .8 .1 .3 .4 of outcomes 1 0 0 1; the model says .6 .5 .2 .1."""
    label, money = np.array([1.0, 0, 0, 1]), np.array([100.0, -20, 50, 30])
    said, expected = np.array([0.6, 0.5, 0.2, 0.1]), np.array([9.0, 5, 2, 1])
    truth = pa.table(
        {
            "account_id": [f"account-0000{i}" for i in (3, 1, 2, 0)],
            "as_of": pa.array([AS_OF] * 4, pa.date32()),
            "horizon": pa.array([180] * 4, pa.int16()),
            "expansion": [0.4, 0.1, 0.3, 0.8],
            "high_value": pa.nulls(4, pa.float64()),
            "increment": [1.0, 5.0, 60.0, 20.0],
        }
    )
    rows = candidate_rows("champion", label, money, said, probability=True, money=expected)
    written = _judged(tmp_path, rows, truth)
    ceiling = _row(written["results"], "ceiling")
    assert [row["candidate"] for row in written["results"]] == ["champion", "ceiling"]
    assert (ceiling["roc_auc"], ceiling["pr_auc"], ceiling["n"], ceiling["positives"]) == (1, 1, 4, 2)
    assert ceiling["log_loss"] == pytest.approx(-math.log(0.8 * 0.9 * 0.7 * 0.4) / 4, abs=1e-8)
    assert ceiling["revenue_captured_5"] == pytest.approx(0.2 * 50 / 180, abs=1e-8)  # by the true increment, not .8
    assert ceiling["kl_to_truth"] == 0
    [share] = written["share_of_ceiling"]
    assert (share["target"], share["horizon"], share["candidate"]) == ("expansion", 180, "champion")
    assert share["roc_auc_below"] == pytest.approx(1 - 2 / 4)
    assert share["pr_auc_share"] == pytest.approx((1 / 1 + 2 / 4) / 2)
    assert share["lift_5_share"] == pytest.approx(1)
    assert share["revenue_captured_5_share"] == pytest.approx(100 / 50)  # a share of money may exceed 1
    gaps = ((0.8, 0.6), (0.1, 0.5), (0.3, 0.2), (0.4, 0.1))
    kl = sum(t * math.log(t / s) + (1 - t) * math.log((1 - t) / (1 - s)) for t, s in gaps) / 4
    assert share["kl_to_truth"] == pytest.approx(kl, abs=1e-8)
    assert share["log_loss_above"] == pytest.approx(
        (math.log(0.8 * 0.9 * 0.7 * 0.4) - math.log(0.6 * 0.5 * 0.8 * 0.1)) / 4, abs=1e-8
    )


def test_every_target_and_horizon_has_a_ceiling_and_each_candidate_a_share_with_its_interval(tmp_path: Path) -> None:
    written = _judged(tmp_path, _heldout(), _truth())
    stand = [(row["target"], row["horizon"]) for row in written["results"] if row["candidate"] == "ceiling"]
    assert stand == PLACES
    assert [row["candidate"] for row in written["results"][:3]] == ["champion", "ceiling", "activity_28d"]
    assert len(written["share_of_ceiling"]) == len(PLACES) * 5
    for row in written["share_of_ceiling"]:
        for figure in ("roc_auc_below", "pr_auc_share", "lift_5_share", "revenue_captured_5_share"):
            low, high = row[f"{figure}_ci"]
            assert low <= row[figure] <= high
        only_ranks = row["candidate"] in ("spend_lifetime", "activity_28d")
        assert (row["kl_to_truth"] is None) == (row["log_loss_above"] is None) == only_ranks
    assert {row["kl_to_truth"] for row in written["results"] if row["candidate"] == "ceiling"} == {0}
    assert _row(written["share_of_ceiling"], "champion")["pr_auc_share"] < 1
    assert written["beyond_ceiling"] == []
    assert json.loads((tmp_path / "artifacts" / "evaluation.json").read_text()) == written


def test_who_says_the_truth_has_all_of_it_and_is_accused_of_nothing(tmp_path: Path) -> None:
    written = _judged(tmp_path, _heldout(skill=2.0), _truth())
    for row in written["share_of_ceiling"]:
        if row["candidate"] == "champion":
            assert (row["roc_auc_below"], row["pr_auc_share"], row["kl_to_truth"]) == (0, 1, 0)
            assert row["pr_auc_share_ci"] == [1, 1]
    assert written["beyond_ceiling"] == _gate(written) == []


def test_the_divergence_is_the_log_loss_above_the_ceiling_without_the_luck() -> None:
    rng = np.random.default_rng(3)
    true = rng.beta(0.4, 4, 400_000)
    said = np.clip(true * rng.lognormal(0, 0.5, len(true)), 1e-3, 0.99)
    label = rng.random(len(true)) < true
    losses = [-np.where(label, np.log(p), np.log1p(-p)).mean() for p in (said, np.clip(true, 1e-15, None))]
    assert divergence(true, said) == pytest.approx(losses[0] - losses[1], rel=0.05)
    assert divergence(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == pytest.approx(0, abs=1e-14)
    assert divergence(np.array([1.0]), np.array([0.0])) == pytest.approx(15 * math.log(10))


def test_the_ceiling_is_no_rule_no_rival_and_changes_no_other_figure(tmp_path: Path) -> None:
    without = evaluate(trained(tmp_path / "a", _heldout()), QUICK)
    beside = _judged(tmp_path / "b", _heldout(), _truth())
    for key in ("grade", "headline", "headline_horizon"):
        assert without[key] == beside[key]
    others = [row for row in beside["results"] if row["candidate"] != "ceiling"]
    assert [{k: v for k, v in row.items() if k != "kl_to_truth"} for row in others] == without["results"]
    assert [row for row in beside["comparisons"] if row["candidate"] != "ceiling"] == without["comparisons"]


def test_without_the_file_everything_written_is_the_same_to_the_byte(tmp_path: Path) -> None:
    seen = []
    for name, truth in (("none", None), ("missing", tmp_path / "raw" / "truth.parquet")):
        workspace = trained(tmp_path / name, _heldout())
        evaluate(workspace, QUICK, truth)
        files = sorted(path for path in workspace.artifacts.rglob("*") if path.is_file())
        seen.append({path.relative_to(workspace.artifacts): path.read_bytes() for path in files})
    assert seen[0] == seen[1]
    for name in ("evaluation.json", "model_card.md"):
        text = seen[0][Path(name)].decode().lower()
        assert not [word for word in ("ceiling", "truth", "kl") if word in text.replace("likely", "")], name


def test_a_check_has_no_truth_and_gets_no_ceiling(tmp_path: Path) -> None:
    rows = pa.concat_tables([_heldout(), heldout_rows(target="moved_up")])
    written = _judged(tmp_path, rows, _truth())
    assert {r["candidate"] for r in written["results"] if r["target"] == "moved_up"} == {
        *("champion", "books_only", "base_rate", "spend_lifetime", "activity_28d")
    }
    assert "moved_up" not in {row["target"] for row in written["share_of_ceiling"]}


@pytest.mark.parametrize(
    ("candidate", "horizon", "strength", "said"),
    [
        ("champion", 180, 1, "The log-loss of the model"),
        ("books_only", 90, 8, "log-loss of trees and logistic without usage"),
    ],
)
def test_a_candidate_that_does_better_than_the_truth_is_refused_and_the_card_says_so(
    tmp_path: Path, candidate: str, horizon: int, strength: float, said: str
) -> None:
    """No other rule sees the leak, and it need not be at the headline nor in the model itself."""
    written = _judged(tmp_path, _changed(_heldout(2.0), candidate, horizon, _peeks(strength)), _truth())
    found = {(row["candidate"], row["horizon"], row["figure"]) for row in written["beyond_ceiling"]}
    assert (candidate, horizon, "log_loss") in found
    assert ((candidate, horizon, "roc_auc") in found) == (candidate == "champion")
    assert {(name, h) for name, h, _ in found} == {(candidate, horizon)}
    [refused] = _gate(written)
    assert refused.name == "beyond_ceiling"
    assert refused.value == len(written["beyond_ceiling"])
    for text in (refused.text, _card(tmp_path)):
        assert said in text
        assert f"within {horizon} days" in text
        assert "leak is likely" in text


def test_a_ranking_above_the_truth_is_refused_even_where_its_probabilities_are_poor(tmp_path: Path) -> None:
    def said(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.clip(_peeks(2.0)(probability, label) * 0.2, 0, 1)

    written = _judged(tmp_path, _changed(_heldout(2.0), "champion", 180, said), _truth())
    assert [row["figure"] for row in written["beyond_ceiling"]] == ["roc_auc"]
    assert ["ROC-AUC of the model" in rule.text for rule in _gate(written) if rule.name == "beyond_ceiling"] == [True]


def test_too_few_positives_accuse_nobody(tmp_path: Path) -> None:
    """With no positive at all whoever says less than the truth has the lower log-loss in every replicate."""
    written = _judged(
        tmp_path, _changed(heldout_rows(n=60, base=-9.0), "champion", 180, lambda p, _: p / 9), truth_rows(60, base=-9)
    )
    assert _row(written["results"], "champion")["positives"] == 0
    assert _row(written["share_of_ceiling"], "champion")["log_loss_above_ci"][1] < 0
    assert _row(written["share_of_ceiling"], "champion")["pr_auc_share"] is None
    assert written["beyond_ceiling"] == []


def test_the_gate_asks_only_where_there_was_a_truth(tmp_path: Path) -> None:
    without = evaluate(trained(tmp_path, _heldout()), QUICK)
    assert "beyond_ceiling" not in {rule.name for rule in _asked(without)}
    beside = _judged(tmp_path, _heldout(), _truth())
    assert [rule.passed for rule in _asked(beside) if rule.name == "beyond_ceiling"] == [True]


def test_the_card_has_a_table_of_shares_for_each_target_and_horizon(tmp_path: Path) -> None:
    written = _judged(tmp_path, _heldout(), _truth())
    card = _card(tmp_path)
    section = card.split("## Share of the ceiling")[1].split("\n## ")[0]
    others = card.split("## Appendix: other targets and horizons")[1]
    for target, horizon in PLACES:
        assert (f"### {target.replace('_', ' ')}, {horizon} days" in others) == (
            (target, horizon) != ("expansion", 180)
        )
    row = _row(written["share_of_ceiling"], "champion")
    low, high = row["pr_auc_share_ci"]
    assert f"{row['pr_auc_share']:.0%} ({low:.0%} to {high:.0%})" in section
    assert f"| {row['kl_to_truth']:.4f} |" in section
    for heading in ("ROC-AUC below the ceiling", "PR-AUC / ceiling", "lift at 5 % / ceiling", "KL to truth, nats"):
        assert (section.count(heading), others.count(heading)) == (1, len(PLACES) - 1)
    assert "leak is likely" not in card
    assert "| *ceiling (the simulator's truth)* |" in card


def _faulty(kind: str) -> pa.Table:
    good = _truth()
    own = np.asarray(pc.equal(good["account_id"], "account-00007"))
    if kind.startswith("column expansion is missing"):
        return good.drop_columns(["expansion"])
    if kind.startswith("column horizon is int64"):
        return good.set_column(2, "horizon", good["horizon"].cast(pa.int64()))
    if "have no truth" in kind:
        return good.filter(pa.array(~np.isin(good["account_id"].to_numpy(), ["account-00007", "account-00009"])))
    if "repeat an account" in kind:
        return pa.concat_tables([good, good.filter(pa.array(own))])
    column, value = ("increment", math.inf) if "finite" in kind else ("expansion", None if "null" in kind else 1.01)
    values = [value if mine else old for mine, old in zip(own, good[column].to_pylist(), strict=True)]
    return good.set_column(good.column_names.index(column), column, pa.array(values, pa.float64()))


@pytest.mark.parametrize(
    "kind",
    [
        "column expansion is missing",
        "column horizon is int64; it should be int16",
        '2 of 1,500 held-out rows have no truth, account "account-00007" first',
        "1 rows repeat an account",
        'expansion is null for 1 held-out rows, account "account-00007" first',
        'expansion lies outside [0, 1] for 1 held-out rows, account "account-00007" first (1.01)',
        'increment is not finite for 1 held-out rows, account "account-00007" first (inf)',
    ],
)
def test_a_truth_that_breaks_its_contract_is_named_and_nothing_is_written(tmp_path: Path, kind: str) -> None:
    with pytest.raises(TruthBroken) as raised:
        _judged(tmp_path, _heldout(), _faulty(kind))
    assert kind in str(raised.value)
    assert "truth.parquet" in str(raised.value)
    assert raised.value.exit_code == 3
    assert not (tmp_path / "artifacts" / "evaluation.json").exists()


def test_a_truth_of_another_ladder_is_refused_by_its_floors(tmp_path: Path) -> None:
    truth = _truth().replace_schema_metadata({"ladder": "[0.0, 20.0, 150.0, 600.0, 2500.0]"})
    path = tmp_path / "truth.parquet"
    write_table(truth, path)
    rows = read_heldout(trained(tmp_path, _heldout()).artifacts / "heldout.parquet")
    assert with_ceiling(rows, path, [0, 20, 150, 600, 2_500])
    with pytest.raises(TruthBroken, match=r"is of a ladder with the floors \[0\.0, 20\.0.*the params have \[0, 30\]"):
        with_ceiling(rows, path, [0, 30])


@pytest.mark.parametrize(("kind", "silent"), [("have no truth", 2), ("is null", 1)])
def test_a_truth_of_spoiled_tables_may_be_silent_and_accuses_nobody(tmp_path: Path, kind: str, silent: int) -> None:
    peeking = _changed(_heldout(), "champion", 180, _peeks(4.0))
    heldout = read_heldout(trained(tmp_path, peeking).artifacts / "heldout.parquet")
    path = tmp_path / "truth.parquet"
    accused = {}
    for spoiled, truth in ((False, _truth()), (True, _faulty(kind).replace_schema_metadata({"spoiled": "true"}))):
        write_table(truth, path)
        judged = with_ceiling(heldout, path)
        rows = next(rows for rows in judged if (rows.target, rows.horizon) == ("expansion", 180))
        accused[spoiled] = bool(findings(measure(rows, QUICK)))
    assert accused == {False: True, True: False}
    said = rows.candidates["ceiling"].probability
    assert said is not None
    assert rows.without_truth == silent
    unknown = np.isin(rows.account_id, ["account-00007", "account-00009"][:silent])
    assert said[unknown] == pytest.approx(said[~unknown].mean())


def test_a_truth_of_another_date_or_horizon_has_no_row_for_anybody(tmp_path: Path) -> None:
    with pytest.raises(TruthBroken, match=r"high_value 90 days as of 2025-06-01: 1,500 of 1,500"):
        _judged(tmp_path, heldout_rows(target="high_value", horizon=90), truth_rows(horizon=180))


def test_nulls_where_nobody_was_held_out_are_no_fault(tmp_path: Path) -> None:
    truth = _truth()
    extra = np.asarray(pc.equal(truth["account_id"], "account-01500"))
    empty = pc.if_else(pa.array(extra), pa.scalar(None, pa.float64()), truth["expansion"])
    _judged(tmp_path, _heldout(), truth.set_column(truth.column_names.index("expansion"), "expansion", empty))


def test_held_out_rows_that_bring_a_ceiling_along_are_refused(tmp_path: Path) -> None:
    """The train stage knows no truth, so whatever calls itself ceiling there is not it."""
    rows = heldout_rows(n=50)
    named = pa.array([str(name).replace("books_only", "ceiling") for name in rows["candidate"].to_pylist()])
    workspace = trained(tmp_path, rows.set_column(rows.column_names.index("candidate"), "candidate", named))
    with pytest.raises(HeldOutBroken, match="evaluation alone adds it"):
        evaluate(workspace, QUICK)


def test_the_pictures_show_the_ceiling(tmp_path: Path) -> None:
    pictures = []
    for name, truth in (("a", []), ("b", [_truth()])):
        workspace = trained(tmp_path / name, _heldout())
        evaluate(workspace, QUICK, with_truth(tmp_path / name, *truth) if truth else None)
        pictures.append({path.name: path.read_bytes() for path in (workspace.artifacts / "plots").iterdir()})
    assert set(pictures[0]) == set(pictures[1])
    assert all(pictures[0][name] != pictures[1][name] for name in pictures[0])


def test_the_stage_finds_the_truth_in_the_raw_folder_it_is_given(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("evaluate: {bootstrap: 20}\n")
    workspace = trained(tmp_path / "workspace", _heldout())
    facts = [builders.account()], [builders.event()], [builders.invoice()]
    ingest(builders.write_raw(tmp_path / "facts", *facts), workspace, IngestParams(), NOW)
    raw = with_truth(tmp_path, _truth()).parent
    asked = ["--workspace", str(tmp_path / "workspace"), "--params", str(params)]
    for extra, expected in ((["--raw", str(raw)], True), (["--raw", str(tmp_path / "other")], False), ([], False)):
        assert main([*asked, *extra]) == 0
        written = json.loads((workspace.artifacts / "evaluation.json").read_text())
        assert ("share_of_ceiling" in written) == expected
    assert truth_in(None) is None


def test_equal_truths_in_any_order_give_equal_bytes(tmp_path: Path) -> None:
    seen = []
    for name, order in (("one", None), ("two", np.random.default_rng(1).permutation(_truth().num_rows))):
        truth = _truth() if order is None else _truth().take(order)
        _judged(tmp_path / name, _heldout(), truth)
        files = [tmp_path / name / "artifacts" / file for file in ("evaluation.json", "model_card.md")]
        seen.append([path.read_bytes() for path in files])
    assert seen[0] == seen[1]


def test_garbage_in_the_place_of_the_truth_stops_evaluation(tmp_path: Path) -> None:
    workspace = trained(tmp_path, _heldout())
    path = with_truth(tmp_path)
    path.write_bytes(b"not a table")
    with pytest.raises(TruthBroken, match=r"not readable Parquet.*take the file away"):
        evaluate(workspace, QUICK, path)
    write_table(read_table(workspace.artifacts / "heldout.parquet"), path)
    with pytest.raises(TruthBroken, match="column expansion is missing"):
        evaluate(workspace, QUICK, path)
