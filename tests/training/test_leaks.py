"""The leak audit on a small vendor: leaks of every kind, planted and caught by name; nothing found where nothing is."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.boosting import fit_booster, gain_shares
from models.encoding import Encoding
from tests.models import made_features
from tests.training import leaky_vendor as planted
from tests.training.leaky_vendor import (
    DEFINITIONS,
    LABELS,
    PARAMS,
    built_by,
    dataset,
    filled_in,
    hold_out,
    telling_nothing_but,
    told_by,
    vendor,
)
from training import leak_labels
from training.dataset import Dataset
from training.leak_facts import Build
from training.leak_learner import SMALL, Recipe, small_booster
from training.leaks import LeakParams, Tried, audit, of_labels
from warehouse.errors import DataError, ParamsError
from warehouse.params import section
from warehouse.raw import ACCOUNTS, TABLES
from warehouse.store import Workspace, read_table, write_table

Probes = dict[str, dict[str, Any]]
SEARCHED = {"train": {"search": {"trials": 20, "accounts": 0.5}}}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return vendor(tmp_path_factory.mktemp("clean"))


@pytest.fixture
def workspace(clean: Workspace, tmp_path: Path) -> Workspace:
    """A copy that a test may spoil."""
    shutil.copytree(clean.root, tmp_path / "copy")
    return Workspace(tmp_path / "copy")


def audited(workspace: Workspace, tried: Tried | None = None, params: LeakParams = PARAMS) -> Probes:
    document = audit(workspace, DEFINITIONS, LABELS, params, tried)
    assert document == json.loads((workspace.artifacts / "leaks.json").read_text())
    assert document["passed"] == all(probe["passed"] for probe in document["probes"])
    return {probe["name"]: probe for probe in document["probes"]}


def of_tables(workspace: Workspace, tried: Tried | None = None, params: LeakParams = PARAMS) -> Probes:
    """The probes that build no feature anew, which are the quick ones."""
    found = of_labels(workspace, LABELS, dataset(workspace), params, tried or Tried(), [])
    return {probe.name: asdict(probe) for probe in found}


def failed(probes: Probes) -> set[str]:
    return {name for name, probe in probes.items() if not probe["passed"]}


def test_honest_features_pass_every_probe_and_every_probe_says_what_it_found(workspace: Workspace) -> None:
    probes = audited(workspace, Tried(folds=[(["a", "b"], ["c"])]))
    assert failed(probes) == set()
    assert "47 accounts expand, 60 are needed" in probes.pop("irreplaceable_feature")["sentence"]
    assert all(probe["value"] is not None and probe["bound"] is not None for probe in probes.values())
    assert all(probe["sentence"].endswith((".", "!")) for probe in probes.values())


@pytest.mark.parametrize(
    ("probe", "build", "feature"),
    [
        ("future_rows", planted.FUTURE_ROWS, "events_28d"),
        ("late_events", planted.LATE_ROWS, "events_28d"),
        ("undated_field", planted.UNDATED_FIELD, "employees"),
        ("undated_field", planted.UNDATED_ROLE, "employees"),
        ("undated_field", planted.UNDATED_FLAG, "employees"),
        ("post_label_touches", planted.POST_LABEL_TOUCHES, "events_28d"),
        ("row_order", planted.ROW_ORDER, "tenure_days"),
    ],
)
def test_a_feature_that_sees_what_it_may_not_is_caught_and_named(
    workspace: Workspace, probe: str, build: Build, feature: str
) -> None:
    built_by(workspace, build)
    probes = audited(workspace, Tried(build=build))
    assert not probes[probe]["passed"]
    assert feature in probes[probe]["sentence"]
    assert probes[probe]["value"] > 0


@pytest.mark.parametrize(("column", "feature"), [("employees", "employees"), ("created_at", "tenure_days")])
def test_a_warehouse_that_takes_the_latest_size_or_sign_up_of_an_account_is_caught(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, column: str, feature: str
) -> None:
    """The size told again after an account grew foretells that it grew, and so does a sign-up moved to the purchase."""
    forgetful = [replace(c, told_once=c.told_once and c.name != column) for c in ACCOUNTS.columns]
    monkeypatch.setitem(TABLES, "accounts", replace(ACCOUNTS, columns=tuple(forgetful)))
    probes = audited(workspace)
    assert failed(probes) == {"retold_accounts"}
    assert f"{feature} (100 rows)" in probes["retold_accounts"]["sentence"]


def test_usage_of_the_coming_month_is_not_refused_by_a_builder_that_looks_ahead(workspace: Workspace) -> None:
    built_by(workspace, planted.FUTURE_ROWS)
    assert "canary_refused" in failed(audited(workspace, Tried(build=planted.FUTURE_ROWS)))


def test_features_of_another_run_are_not_those_of_the_warehouse(workspace: Workspace) -> None:
    """The leak is in the file alone, so only building anew can find it."""
    told_by(workspace, "events_28d", lambda data: np.arange(len(data), dtype=float))
    assert failed(audited(workspace)) == {"future_rows"}


def a_note_accepts(workspace: Workspace, feature: str, probe: str) -> None:
    noted = PARAMS.model_copy(update={"accepted_features": {feature: "Kim, 3 May: planted by a test"}})
    again = of_tables(workspace, params=noted)[probe]
    assert again["passed"]
    assert "Kim, 3 May: planted by a test" in again["sentence"]


def test_a_part_of_the_label_among_the_features_is_caught(workspace: Workspace) -> None:
    told_by(workspace, "booked_90d", lambda data: -3 * data.money("increment_180") + 7)
    probes = of_tables(workspace)
    assert "label_component" in failed(probes)
    assert "booked_90d has rank correlation 1.000 with increment_180" in probes["label_component"]["sentence"]
    a_note_accepts(workspace, "booked_90d", "label_component")


def test_many_snapshots_of_a_few_accounts_are_not_taken_for_a_part_of_the_label(workspace: Workspace) -> None:
    data = dataset(workspace)
    label = data.outcome("expansion", 180)
    few = np.isin(data.features["account_id"].to_pylist(), sorted(positive(data))[:10])
    probe = leak_labels.label_component(data, np.where(few, label, 0.0), {}, 0)
    assert (probe.passed, probe.value) == (True, None)
    assert "10 accounts expand, 30 are needed" in probe.sentence


def positive(data: Dataset) -> set[str]:
    """Accounts that expand within 180 days of some snapshot."""
    return set(data.features["account_id"].filter(pa.array(data.outcome("expansion", 180) == 1)).to_pylist())


def test_a_feature_that_tells_the_label_alone_is_stopped_until_a_note_accepts_it(workspace: Workspace) -> None:
    told_by(workspace, "events_7d", lambda data: np.nan_to_num(data.outcome("expansion", 180)))
    probes = of_tables(workspace)
    assert "single_feature" in failed(probes)
    assert "events_7d alone has ROC-AUC 1.000" in probes["single_feature"]["sentence"]
    a_note_accepts(workspace, "events_7d", "single_feature")


def test_a_feature_with_most_of_the_gain_is_stopped_until_a_note_accepts_it() -> None:
    gain = [{"feature": "seats", "share": 0.51}, {"feature": "age", "share": 0.2}]
    stopped = leak_labels.gain_share(gain, 0.5, {})
    assert not stopped.passed
    assert "seats has 0.510 of all gain" in stopped.sentence
    noted = leak_labels.gain_share(gain, 0.5, {"seats": "Kim: priced by seat"})
    assert noted.passed
    assert (noted.value, "Kim: priced by seat" in noted.sentence) == (0.2, True)


def test_a_blurred_copy_of_the_label_that_no_other_feature_echoes_is_caught(tmp_path: Path) -> None:
    """Among correlated features it has little of the gain, and alone it ranks no better than an honest feature may."""
    workspace, rng = vendor(tmp_path, 320), np.random.default_rng(3)
    assert of_tables(workspace)["irreplaceable_feature"]["value"] < 0.15

    def blurred(data: Dataset) -> np.ndarray:
        return np.asarray(np.nan_to_num(data.outcome("expansion", 180)) + 0.5 * rng.normal(size=len(data)))

    told_by(workspace, "quantity_28d", blurred)
    probes = of_tables(workspace)
    assert failed(probes) == {"irreplaceable_feature"}
    assert "Without quantity_28d" in probes["irreplaceable_feature"]["sentence"]
    a_note_accepts(workspace, "quantity_28d", "irreplaceable_feature")


@pytest.mark.parametrize(
    ("field", "expanding", "others", "said"),
    [
        ("employees", 0.7, 0.05, "employees is known for 79% of the accounts that expand and 7% of the others"),
        ("country", 0.05, 0.7, "country is known for 6% of the accounts that expand and 72% of the others"),
    ],
)
def test_a_sign_up_field_filled_in_after_the_deal_is_stopped_until_a_note_accepts_it(
    workspace: Workspace, field: str, expanding: float, others: float, said: str
) -> None:
    """Each row of the one delivery is as told at sign-up by its word, so no other probe can see it."""
    filled_in(workspace, field, expanding, others)
    probes = audited(workspace)
    assert failed(probes) == {"filled_in_later"}
    assert said in probes["filled_in_later"]["sentence"]
    a_note_accepts(workspace, field, "filled_in_later")


def test_fields_that_are_known_for_all_accounts_or_for_none_tell_nothing(clean: Workspace) -> None:
    probe = of_tables(clean)["filled_in_later"]
    assert (probe["passed"], probe["value"]) == (True, 0.5)
    assert "industry, country, employees, channel: each is known for all accounts or for none" in probe["sentence"]


@pytest.mark.parametrize("seed", range(6))
def test_independent_features_of_which_luck_alone_makes_one_large_are_no_leak(seed: int) -> None:
    """Twelve features, each a twelfth of little that is known: shares of so little scatter far beyond a quarter."""
    rng, n = np.random.default_rng(seed), 3_000
    columns = rng.normal(size=(n, 12))
    label = (rng.random(n) < 1 / (1 + np.exp(2.75 - 0.36 * columns.sum(axis=1)))).astype(float)
    numbers = [field.name for field in made_features.feature_rows(1).schema if pa.types.is_float64(field.type)]
    table = telling_nothing_but(n, dict(zip(numbers, columns.T.tolist(), strict=False)))
    assert leak_labels.irreplaceable_feature(table, label, 0.25, {}, 0).passed


def test_a_word_for_each_account_tells_nothing_of_another() -> None:
    """Eight snapshots an account and a free text: its own rate in the same rows would be the label itself."""
    rng = np.random.default_rng(0)
    account = np.repeat(np.arange(400), 8)
    label = np.isin(account, rng.permutation(400)[:40]).astype(float)
    names = [f"a{i}" for i in account]
    words = telling_nothing_but(len(account), {"account_id": names, "industry": [f"trade of {name}" for name in names]})
    assert leak_labels.single_feature(words, label, 0.95, {}).value < 0.6
    won = np.where(label == 1, "won", "open").tolist()
    told = telling_nothing_but(len(account), {"account_id": names, "industry": won})
    assert not leak_labels.single_feature(told, label, 0.95, {}).passed


def test_what_cannot_be_asked_of_a_single_date_or_without_an_outcome_is_said_so() -> None:
    one_day = made_features.dataset(20)
    assert "all snapshots are of one date" in leak_labels.reversed_join(leak_labels.guards(one_day, 210)).sentence
    none = np.zeros(50)
    told = leak_labels.tie_order(none, none, np.arange(50.0), leak_labels.product_figures)
    assert told.passed
    assert "no figure is defined" in told.sentence


def test_a_note_must_say_something() -> None:
    with pytest.raises(ParamsError, match=r"leaks\.accepted_features\.seats"):
        section({"leaks": {"accepted_features": {"seats": "ok"}}}, "leaks", LeakParams)


def test_an_account_on_both_sides_of_a_selection_fold_is_caught(workspace: Workspace) -> None:
    probes = of_tables(workspace, Tried(folds=[(["a", "b"], ["c"]), (["c", "d"], ["d", "e"])]))
    assert failed(probes) == {"account_overlap"}
    assert "1 accounts stand on both sides of one of 2 selection folds; 0" in probes["account_overlap"]["sentence"]


@pytest.mark.parametrize(
    ("origin", "taught", "late"), [(date(2025, 4, 1), True, True), (date(2024, 8, 2), False, True)]
)
def test_held_out_rows_that_taught_the_model_are_caught_by_their_keys(
    workspace: Workspace, origin: date, taught: bool, late: bool
) -> None:
    hold_out(workspace, origin)
    probe = of_tables(workspace)["held_out_labels"]
    assert not probe["passed"]
    n = probe["value"]
    assert f"{n if taught else 0:,.0f} of {n:,.0f} held-out rows taught" in probe["sentence"]
    assert (f"{n:,.0f} stand before" in probe["sentence"]) == late


def add_to_train_json(workspace: Workspace, **told: Any) -> None:
    """train.json says `told` as well."""
    path = workspace.artifacts / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | told))


def hold_out_unseen(workspace: Workspace) -> None:
    """Of the held-out rows those of accounts that SEARCHED did not look at."""
    path = workspace.artifacts / "heldout.parquet"
    rows = read_table(path)
    unseen = [zlib.crc32(name.encode()) % 10_000 >= 5_000 for name in rows["account_id"].to_pylist()]
    write_table(rows.filter(pa.array(unseen)), path)


def test_held_out_accounts_that_the_search_for_settings_looked_at_are_caught(workspace: Workspace) -> None:
    add_to_train_json(workspace, params=SEARCHED)
    probe = audited(workspace)["account_overlap"]
    assert not probe["passed"]
    assert 0 < probe["value"] < 160
    hold_out_unseen(workspace)
    assert audited(workspace)["account_overlap"]["passed"]


def test_a_recipe_that_looks_at_the_labels_it_is_judged_by_is_caught(workspace: Workspace) -> None:
    """The mean label of each country, of all rows: a target mean that was not made out of fold."""

    def learner(features: pa.Table, seed: int) -> tuple[np.ndarray, Recipe]:
        group = np.arange(len(features)) // 3

        def scores(_: np.ndarray, label: np.ndarray, learn: np.ndarray) -> np.ndarray:
            mean: np.ndarray = (np.bincount(group, label) / np.bincount(group))[group]
            return np.asarray(mean[~learn])

        return small_booster(features, seed)[0], scores

    assert "shuffled_labels" in failed(of_tables(workspace, Tried(learner=learner)))


def test_an_audit_that_could_not_see_a_leak_says_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(features: pa.Table, seed: int) -> tuple[np.ndarray, Recipe]:
        return small_booster(features, seed)[0], lambda matrix, label, learn: np.zeros(int((~learn).sum()))

    monkeypatch.setattr("training.leak_features.small_booster", blind)
    probes = audited(workspace)
    assert failed(probes) == {"canary_seen"}
    assert probes["canary_seen"]["value"] == 0


def test_figures_that_break_ties_by_the_order_of_accounts_are_caught(workspace: Workspace) -> None:
    def by_order(label: np.ndarray, _: np.ndarray, score: np.ndarray) -> dict[str, float]:
        top = np.argsort(-score, kind="stable")[: len(score) // 10]
        return {"lift_10": float(label[top].mean() / label.mean())}

    probes = of_tables(workspace, Tried(figures=by_order))
    assert failed(probes) == {"tie_order"}
    assert "lift_10" in probes["tie_order"]["sentence"]


def test_a_join_against_time_must_be_stopped_by_every_guard(clean: Workspace) -> None:
    guards = leak_labels.guards(dataset(clean), 210)
    assert leak_labels.reversed_join(guards).passed
    let: dict[str, Callable[[], object]] = {**guards, "a guard asleep": lambda: None}
    probe = leak_labels.reversed_join(let)
    assert not probe.passed
    assert "Let through by a guard asleep" in probe.sentence


def test_too_few_positives_are_no_leak_and_said(workspace: Workspace) -> None:
    features = dataset(workspace).features
    probe = leak_labels.single_feature(features, np.zeros(len(features)), 0.95, {})
    assert probe.passed
    assert probe.value is None
    assert "0 positives" in probe.sentence


def test_an_audit_that_stops_leaves_no_verdict_of_the_last_run(workspace: Workspace) -> None:
    left = workspace.artifacts / "leaks.json"
    left.write_text("{}")
    (workspace.artifacts / "labels.parquet").unlink()
    with pytest.raises(DataError, match=r"labels\.parquet does not exist"):
        audit(workspace, DEFINITIONS, LABELS, PARAMS)
    assert not left.exists()


def test_the_same_tables_give_the_same_answers(clean: Workspace) -> None:
    assert of_tables(clean) == of_tables(clean)


def learned_gain(data: Dataset) -> list[dict[str, Any]]:
    """What trees that foretell an expansion within 180 days look at, as train.json says it."""
    outcome = data.outcome("expansion", 180)
    told = ~np.isnan(outcome)
    features = data.features.filter(pa.array(told))
    encoding = Encoding.learn(features)
    names, categories = list(encoding.names), encoding.category_columns
    trees = fit_booster(
        encoding.matrix(features), outcome[told], "binary", SMALL, 0, names=names, categories=categories
    )
    return [{"feature": name, "share": share} for name, share in gain_shares([trees]).items()]


@pytest.mark.parametrize("seed", [100, 101, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(102, 120))])
def test_an_honest_vendor_large_enough_to_be_asked_everything_passes(tmp_path: Path, seed: int) -> None:
    workspace = vendor(tmp_path, 320, seed)
    filled_in(workspace, "employees", 0.75, 0.75)
    add_to_train_json(workspace, params=SEARCHED, gain=learned_gain(dataset(workspace)))
    hold_out_unseen(workspace)
    probes = audited(workspace, params=PARAMS.model_copy(update={"rows": 320, "seed": seed}))
    assert {name for name, probe in probes.items() if probe["value"] is None} == set(), "not asked"
    assert failed(probes) == set()


@pytest.mark.slow
def test_twenty_honest_vendors_too_small_for_some_questions_raise_no_alarm(tmp_path: Path) -> None:
    for seed in range(20):
        workspace = vendor(tmp_path / str(seed), 110, 100 + seed)
        filled_in(workspace, "employees", 0.75, 0.75)
        assert failed(audited(workspace)) == set(), seed
