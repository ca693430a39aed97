"""The train stage on a small invented vendor: strict in time, the same every time, honest where there is nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import average_precision_score, log_loss

from features.build import features_stage
from features.catalogue import Definitions, fingerprint
from features.snapshots import SnapshotParams, snapshots_stage
from models.baselines import RULES
from models.boosting import BoosterParams
from models.scorer import Scorer
from simulator.simulate import SimulateParams, simulate
from training import judging
from training.checks import Check
from training.contest import ACCOUNTS
from training.dataset import Dataset
from training.errors import PlanBroken, TooFewPositives
from training.evaluate import EvaluateParams, evaluate
from training.fit import LEARNERS
from training.heldout import SCHEMA
from training.labels import LabelParams, labels_stage
from training.phases import foretold
from training.recipe import TrainParams
from training.train import train
from training.trials import TREES_FROM
from warehouse.ingest import IngestParams, ingest
from warehouse.params import read_params
from warehouse.periods import TARGETS
from warehouse.store import Workspace, read_table, write_table

DEFINITIONS = Definitions.from_params(read_params(Path(__file__).parents[2] / "params.yaml"))
LABELS = LabelParams(horizons=(90, 180))
CHECK = Check(name="moved_up")
PARAMS = TrainParams(booster=BoosterParams(rounds=12, learning_rate=0.15), checks=(CHECK,))
KEYS = (
    *("trained_as_of", "data_fingerprint", "fingerprint", "bundle_id", "currency", "default_horizon", "horizons"),
    *("population", "origins", "positives", "gain", "params"),
)


def prepared(root: Path, world: str, accounts: int = 1_500, quarters: int = 6) -> Workspace:
    """Raw tables of `world` taken as far as the stage before train."""
    workspace = Workspace(root / "workspace")
    simulate(root / "raw", SimulateParams(world=world, accounts=accounts, quarters=quarters))
    ingest(root / "raw", workspace, IngestParams(), datetime(2026, 1, 1, tzinfo=UTC))
    snapshots_stage(workspace, SnapshotParams(every_months=2))
    features_stage(workspace, DEFINITIONS)
    labels_stage(workspace, DEFINITIONS, LABELS)
    return workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return prepared(tmp_path_factory.mktemp("plain"), "plain")


@pytest.fixture(scope="module")
def plans(workspace: Workspace) -> Iterator[list[tuple[date, int, date]]]:
    """(newest taught snapshot, span in days, first test score) of every plan the run checked."""
    seen: list[tuple[date, int, date]] = []
    real = judging.check_plan

    def spy(as_of: pa.ChunkedArray, label: np.ndarray, span_days: int, test_as_of: date) -> None:
        taught = as_of.filter(pa.array(~np.isnan(label)))
        if len(taught):
            seen.append((pc.max(taught).as_py(), span_days, test_as_of))
        real(as_of, label, span_days, test_as_of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "check_plan", spy)
        train(workspace, DEFINITIONS, LABELS, PARAMS)
    return seen


@pytest.fixture(scope="module")
def said(workspace: Workspace, plans: object) -> dict[str, Any]:  # noqa: ARG001 - the run that writes it
    return dict(json.loads((workspace.artifacts / "train.json").read_text()))


@pytest.fixture(scope="module")
def heldout(workspace: Workspace, plans: object) -> pa.Table:  # noqa: ARG001 - the run that writes it
    return read_table(workspace.artifacts / "heldout.parquet")


def _groups(heldout: pa.Table) -> dict[tuple[str, int], list[dict[str, Any]]]:
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in heldout.to_pylist():
        groups.setdefault((row["target"], row["horizon"]), []).append(row)
    return groups


def _dates(rows: list[dict[str, Any]]) -> dict[date, list[dict[str, Any]]]:
    out: dict[date, list[dict[str, Any]]] = {}
    for row in rows:
        out.setdefault(row["as_of"], []).append(row)
    return out


def test_train_json_keeps_its_contract(said: dict[str, Any], workspace: Workspace) -> None:
    assert set(KEYS) <= set(said)
    assert said["fingerprint"] == fingerprint(DEFINITIONS)
    assert said["bundle_id"] == Scorer.load(workspace.artifacts / "candidate").bundle_id
    accounting = json.loads((workspace.warehouse / "accounting.json").read_text())
    assert said["data_fingerprint"] == accounting["fingerprint"]
    assert said["population"]["in"] == read_table(workspace.artifacts / "features.parquet").num_rows
    counts = said["population"]["labels"]
    assert [(one["target"], one["horizon"]) for one in counts] == [(t, h) for t in TARGETS for h in (90, 180)]
    for one in counts:
        assert one["in"] + sum(one["out"].values()) == said["population"]["in"], "a snapshot without label or reason"
    assert sum(item["share"] for item in said["gain"]) == pytest.approx(1, abs=1e-4)
    assert said["params"]["train"] == PARAMS.model_dump(mode="json")


def test_fewer_accounts_teach_on_the_same_rows_and_the_last_point_is_the_champion(
    said: dict[str, Any], heldout: pa.Table
) -> None:
    curve = said["learning_curve"]
    assert [point["accounts"] for point in curve] == sorted(point["accounts"] for point in curve)
    assert curve[0]["accounts"] < curve[-1]["accounts"] / 1.5
    newest = heldout.filter((pc.field("candidate") == "champion") & (pc.field("target") == "expansion"))
    newest = newest.filter(pc.field("horizon") == 180)
    newest = newest.filter(pc.field("as_of") == pc.max(newest["as_of"]))
    label, said_of_them = (newest[name].to_numpy() for name in ("label", "probability"))
    assert curve[-1]["pr_auc"] == pytest.approx(average_precision_score(label, said_of_them))
    assert curve[-1]["log_loss"] == pytest.approx(log_loss(label, said_of_them))
    for point in curve:
        assert point["learner"] in LEARNERS
        assert point["positives"] >= TREES_FROM or point["learner"] == "logistic"
        for figure in ("pr_auc", "log_loss"):
            low, high = point[f"{figure}_ci"]
            assert low < point[figure] < high


@pytest.mark.usefixtures("plans")
def test_the_reasons_of_all_accounts_are_summed_up_by_family(workspace: Workspace) -> None:
    summary = json.loads((workspace.artifacts / "reasons_summary.json").read_text())
    assert sum(family["share"] for family in summary["families"]) == pytest.approx(1)
    features = read_table(workspace.artifacts / "features.parquet")
    assert summary["rows"] == pc.sum(pc.equal(features["as_of"], pc.max(features["as_of"]))).as_py()


def test_the_range_of_money_stands_beside_the_champion_alone(heldout: pa.Table) -> None:
    mine = pc.and_(pc.equal(heldout["candidate"], "champion"), pc.equal(heldout["target"], "expansion"))
    assert heldout.filter(pc.invert(mine))["amount_low"].null_count == pc.sum(pc.invert(mine)).as_py()
    rows = heldout.filter(mine)
    assert pc.all(pc.less_equal(rows["amount_low"], rows["amount_high"])).as_py()
    told = pc.divide(rows["expected_increment"], rows["probability"]).to_numpy()
    assert np.all(rows["amount_low"].to_numpy() <= told * (1 + 1e-9))
    assert np.all(told <= rows["amount_high"].to_numpy() * (1 + 1e-9))


def test_every_candidate_of_a_contest_scores_the_same_accounts_at_every_date(heldout: pa.Table) -> None:
    assert heldout.schema.equals(SCHEMA)
    groups = _groups(heldout)
    assert set(groups) == {(t, h) for t in ("expansion", "high_value") for h in (90, 180)} | {("moved_up", 180)}
    dates = {key: sorted(_dates(rows)) for key, rows in groups.items()}
    # every second month is taken: November is the newest day by the opening of December
    assert dates["expansion", 180] == dates["expansion", 90][:2] == [date(2024, 9, 1), date(2024, 11, 1)]
    assert dates["expansion", 90][2:] == [date(2025, 3, 1)]
    for key, rows in ((key, rows) for key, group in groups.items() for rows in _dates(group).values()):
        truths: dict[str, list[tuple[Any, ...]]] = {}
        for row in rows:
            truth = (row["account_id"], row["as_of"], row["origin"], row["label"], row["increment"])
            truths.setdefault(row["candidate"], []).append(truth)
            assert row["origin"] == row["as_of"]
        assert {"champion", *RULES} <= set(truths), key
        assert all(said == truths["champion"] for said in truths.values()), key
        assert len({row["account_id"] for row in rows}) == len(truths["champion"]), key
        assert {row["label"] for row in rows} <= {0, 1}
    assert {*LEARNERS[1:], "base_rate", "tier_prior", "position"} <= {r["candidate"] for r in groups["expansion", 90]}
    headline = {r["candidate"] for r in groups["expansion", 180]}
    assert {"books_only", "direct", "matured", "tweedie"} <= headline  # fitted where the grade asks for them
    assert "expansion_score" in {row["candidate"] for row in groups["moved_up", 180]}


@pytest.mark.parametrize("phases", [False, True])
def test_with_a_teacher_the_trees_it_taught_stand_beside_the_others_and_serve_unless_one_did_better(
    phases: bool, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Workspace(Path(shutil.copytree(workspace.root, tmp_path / "copy")))
    for module in ("recipe", "trials"):
        monkeypatch.setattr(f"training.{module}.TREES_FROM", 20)
    monkeypatch.setattr("training.surrogates.LEAST_ROWS", 300)
    learned: list[bool] = []

    def watched(data: Dataset) -> np.ndarray | None:
        told: np.ndarray | None = foretold(data)
        learned.append(told is not None)
        return told

    monkeypatch.setattr("training.fit.foretold", watched)
    said = train(copy, DEFINITIONS, LABELS, TrainParams(teacher=True, phases=phases, booster=PARAMS.booster))
    assert any(learned) == phases
    candidates = read_table(copy.artifacts / "heldout.parquet")["candidate"].unique().to_pylist()
    assert set(LEARNERS) <= set(candidates)
    assert said["learner"] == "distilled" or "distilled" in said["chosen"]
    assert Scorer.load(copy.artifacts / "candidate").card["learner"] == said["learner"]


def test_every_held_out_account_is_described_once(heldout: pa.Table, workspace: Workspace) -> None:
    described = read_table(workspace.artifacts / "heldout_accounts.parquet")
    assert described.schema.equals(ACCOUNTS)
    rows = [(row["account_id"], row["as_of"]) for row in described.to_pylist()]
    assert len(set(rows)) == len(rows)
    assert {(row["account_id"], row["as_of"]) for row in heldout.to_pylist()} <= set(rows)


def test_the_learner_that_serves_is_named_with_its_reason(
    said: dict[str, Any], heldout: pa.Table, workspace: Workspace
) -> None:
    card = Scorer.load(workspace.artifacts / "candidate").card
    assert said["learner"] == card["learner"] in LEARNERS
    assert said["chosen"] == card["chosen"] != ""
    on_trial = {one["as_of"]: one["learner"] for one in said["origins"] if one["learner"]}
    assert set(on_trial.values()) <= set(LEARNERS)
    judged = heldout.filter(pc.field("target") == "expansion")["as_of"].unique().to_pylist()
    assert set(on_trial) == {day.isoformat() for day in judged}
    assert said["search"] == []
    assert said["search_ended_by"] is None


def test_rules_only_rank_and_the_champion_states_probability_and_money(heldout: pa.Table) -> None:
    for row in heldout.to_pylist():
        if row["candidate"] in RULES:
            assert row["probability"] is None
            assert row["expected_increment"] is None
            assert row["money_score"] == row["score"]
        elif row["candidate"] != "bg_nbd":
            assert 0 <= row["probability"] <= 1
            assert row["score"] == row["probability"]
        if row["candidate"] == "champion":
            assert row["money_score"] == row["expected_increment"] >= 0
        assert np.isfinite(row["increment"])


def test_no_training_label_reaches_past_the_first_test_score(plans: list[tuple[date, int, date]]) -> None:
    assert len(plans) > 4
    for newest, span, test_as_of in plans:
        assert newest + timedelta(days=span) <= test_as_of
    assert {span for _, span, _ in plans} == {120, 210, 180}  # horizon and held days; the check has no held days


def test_where_invoices_stop_and_lag_nothing_is_learned_from_or_judged_by_what_cannot_be_told(
    workspace: Workspace, said: dict[str, Any], tmp_path: Path
) -> None:
    """Usage goes on to July; no invoice is of 15 April or later, and any may come 31 days late."""
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(workspace.warehouse, copy.warehouse)
    shutil.copytree(workspace.artifacts, copy.artifacts)
    revenue = read_table(copy.warehouse / "revenue")
    stopped = date(2025, 4, 15)
    shutil.rmtree(copy.warehouse / "revenue")
    known = pc.less(revenue["booked_at"].cast(pa.date32()), pa.scalar(stopped))
    write_table(revenue.filter(known), copy.warehouse / "revenue" / "all.parquet")
    lagged = LABELS.model_copy(update={"invoice_lag_days": 31})
    labels_stage(copy, DEFINITIONS, lagged)
    soon = CHECK.model_copy(update={"horizon": 90})
    told = train(copy, DEFINITIONS, lagged, PARAMS.model_copy(update={"min_positives": 5, "checks": (soon,)}))
    rows = read_table(copy.artifacts / "heldout.parquet").to_pylist()
    judged = {(row["target"], row["horizon"], row["as_of"]) for row in rows}
    assert {target for target, *_ in judged} == {*TARGETS, "moved_up"}
    for target, horizon, as_of in judged:
        held = 30 if target in TARGETS else 0
        assert as_of + timedelta(days=horizon + held + 31) <= stopped
    for origin in told["origins"]:
        assert date.fromisoformat(origin["as_of"]) + timedelta(days=max(origin["horizons"]) + 30 + 31) <= stopped
    assert told["trained_as_of"] == said["trained_as_of"], "features of usage are known all the same"
    for one, before in zip(told["population"]["labels"], said["population"]["labels"], strict=True):
        assert one["out"]["not complete yet"] > before["out"]["not complete yet"]


def test_a_plan_that_looks_ahead_stops_the_run() -> None:
    days = pa.chunked_array([pa.array([date(2025, 1, 1), date(2025, 3, 1)], pa.date32())])
    judging.check_plan(days, np.array([1.0, np.nan]), 210, date(2025, 8, 1))
    with pytest.raises(PlanBroken, match=r"2025-03-01 ends 2025-09-27, after the first test score at 2025-08-01"):
        judging.check_plan(days, np.array([np.nan, 0.0]), 210, date(2025, 8, 1))


def test_the_same_data_gives_the_same_bundle_and_the_same_held_out_rows(
    workspace: Workspace, said: dict[str, Any]
) -> None:
    bytes_before = hashlib.sha256((workspace.artifacts / "heldout.parquet").read_bytes()).hexdigest()
    again = train(workspace, DEFINITIONS, LABELS, PARAMS)
    assert again["bundle_id"] == said["bundle_id"]
    assert hashlib.sha256((workspace.artifacts / "heldout.parquet").read_bytes()).hexdigest() == bytes_before


@pytest.mark.usefixtures("plans")
def test_the_bundle_made_scores_the_accounts_of_the_data(workspace: Workspace) -> None:
    features = read_table(workspace.artifacts / "features.parquet")
    scorer = Scorer.load(workspace.artifacts / "candidate")
    scores = scorer.score(features.slice(0, 200))
    assert scores["score"].null_count == 0
    assert scorer.card["trained_as_of"] == "2025-07-01"


@pytest.mark.parametrize(("keep", "counted"), [(0, "0 accounts expanded"), (7, "7 accounts expanded")])
def test_too_few_expansions_stop_training_with_the_counts_and_the_minimum(
    workspace: Workspace, tmp_path: Path, keep: int, counted: str
) -> None:
    copy = _with_positives(workspace, tmp_path, keep)
    with pytest.raises(TooFewPositives, match=rf"{counted}.*training needs 30.*train\.min_positives") as refused:
        train(copy, DEFINITIONS, LABELS, PARAMS)
    assert refused.value.exit_code == 3
    assert not (copy.artifacts / "candidate").exists()
    assert not (copy.artifacts / "heldout.parquet").exists()


def test_a_single_class_stops_training_even_when_it_is_the_expanding_one(workspace: Workspace, tmp_path: Path) -> None:
    copy = _with_positives(workspace, tmp_path, None)
    with pytest.raises(TooFewPositives, match=r"and 0 of [\d,]+ complete snapshots did not.*both classes"):
        train(copy, DEFINITIONS, LABELS, PARAMS)


def _with_positives(workspace: Workspace, root: Path, keep: int | None) -> Workspace:
    """A copy in which only `keep` accounts expanded within 180 days; None: every snapshot did."""
    copy = Workspace(root / "copy")
    shutil.copytree(workspace.warehouse, copy.warehouse)
    copy.artifacts.mkdir(parents=True)
    for name in ("features.parquet", "population.json"):
        shutil.copy(workspace.artifacts / name, copy.artifacts / name)
    labels = read_table(workspace.artifacts / "labels.parquet")
    rows = labels.select(["account_id", "observed_days", "expansion_day", "expansion_at_risk"]).to_pylist()
    movers = sorted(
        {
            r["account_id"]
            for r in rows
            if r["expansion_at_risk"] and (r["expansion_day"] or 999) < 180 <= r["observed_days"]
        }
    )
    kept = set(movers[:keep])
    days = [5 if keep is None else r["expansion_day"] if r["account_id"] in kept else None for r in rows]
    at = labels.column_names.index("expansion_day")
    write_table(
        labels.set_column(at, "expansion_day", pa.array(days, labels["expansion_day"].type)),
        copy.artifacts / "labels.parquet",
    )
    return copy


def test_where_nothing_foretells_anything_the_report_says_no_skill(tmp_path: Path) -> None:
    workspace = prepared(tmp_path, "null", accounts=4_000)
    train(workspace, DEFINITIONS, LABELS, TrainParams(booster=PARAMS.booster))
    document = evaluate(workspace, EvaluateParams(bootstrap=80))
    assert document["grade"]["word"] == "no skill"
    [row] = [
        r for r in document["results"] if (r["target"], r["horizon"], r["candidate"]) == ("expansion", 180, "champion")
    ]
    low, high = row["roc_auc_ci"]
    assert row["positives"] >= 30, "enough for a grade"
    assert low <= 0.5 <= high


def test_a_history_too_short_to_judge_by_trains_a_bundle_and_holds_nothing_out(tmp_path: Path) -> None:
    """Nine months: no training label is complete before the first date whose own 180 days are."""
    workspace = prepared(tmp_path, "plain", accounts=800, quarters=3)
    said = train(workspace, DEFINITIONS, LABELS, PARAMS.model_copy(update={"min_positives": 1}))
    heldout = read_table(workspace.artifacts / "heldout.parquet")
    assert {key for key in _groups(heldout)} <= {("expansion", 90), ("high_value", 90)}
    assert said["bundle_id"] == Scorer.load(workspace.artifacts / "candidate").bundle_id
