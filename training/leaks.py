"""Stage `leaks`: does anything that was learned from, or judged by, know what it could not have known?

Every probe plants or looks for one kind of leak; a probe that fails stops the version at the gate, whatever its
figures. Writes artifacts/leaks.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from features.build import build_features
from features.catalogue import Definitions
from training import leak_labels as on_labels
from training.dataset import Dataset
from training.labels import LabelParams
from training.leak_facts import Build, facts_of
from training.leak_features import Sample, of_features, rebuilt
from training.leak_fields import filled_in_later
from training.leak_learner import Recipe, one_an_account, small_booster
from training.probe import KEYS, Probe
from training.tune import searched
from warehouse import progress
from warehouse.command import Call, run
from warehouse.engine import connect
from warehouse.params import Section, section
from warehouse.periods import TARGETS
from warehouse.store import Workspace, open_warehouse, read_table, write_json

SCHEMA_VERSION = 1
LEAKS = "leaks.json"
Folds = Iterable[tuple[Iterable[str], Iterable[str]]]  # accounts learned from, accounts judged by
Note = Annotated[str, Field(min_length=10)]  # who signs, and why


class LeakParams(Section):
    """`accounts`: sampled for building features anew. `rows`: accounts whose labels are shuffled, `repeats` times.
    `max_auc`, `max_gain_share`, `max_lost`, `max_known_auc`: of one feature (what it tells alone, its share of the
    model, the share of what is known that is lost without it, what it tells alone that it is known at all), beyond
    which `accepted_features` must hold a signed note on it."""

    accounts: int = Field(default=400, ge=20)
    rows: int = Field(default=5000, ge=100)
    repeats: int = Field(default=20, ge=5)
    max_auc: float = Field(default=0.95, gt=0.5, le=1)
    max_gain_share: float = Field(default=0.5, gt=0, le=1)
    max_lost: float = Field(default=0.25, gt=0, le=1)
    max_known_auc: float = Field(default=0.65, gt=0.5, le=1)
    accepted_features: dict[str, Note] = Field(default={})
    seed: int = 5


@dataclass(frozen=True)
class Tried:
    """What the audit tries out; the product's own unless a test plants another."""

    build: Build = build_features
    learner: Callable[[pa.Table, int], tuple[np.ndarray, Recipe]] = small_booster
    figures: on_labels.Figures = on_labels.product_figures
    folds: Folds = ()


def audit(
    workspace: Workspace, definitions: Definitions, labels: LabelParams, params: LeakParams, tried: Tried | None = None
) -> dict[str, Any]:
    """Asks every probe and returns what it wrote to artifacts/leaks.json: bundle_id, passed, probes.

    Raises:
        DataError: a stage before has not run.
    """
    artifacts, tried = workspace.artifacts, tried or Tried()
    (artifacts / LEAKS).unlink(missing_ok=True)  # an audit that stops must not leave the last one's behind
    train = json.loads((artifacts / "train.json").read_text(encoding="utf-8"))
    data = Dataset(read_table(artifacts / "features.parquet"), read_table(artifacts / "labels.parquet"))
    with progress.stage("leaks") as say:
        probes = [*of_facts(workspace, definitions, labels, data, params, tried)]
        say("labels")
        tried = replace(tried, folds=[*tried.folds, *_search_folds(train, workspace)])
        probes += of_labels(workspace, labels, data, params, tried, train["gain"])
        failed = [probe.name for probe in probes if not probe.passed]
        say(f"{len(probes)} probes, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    document = {
        "schema_version": SCHEMA_VERSION,
        "bundle_id": train["bundle_id"],
        "passed": not failed,
        "probes": [asdict(probe) for probe in probes],
    }
    write_json(document, artifacts / LEAKS)
    return document


def _search_folds(train: dict[str, Any], workspace: Workspace) -> Folds:
    """The accounts that the search for settings may have looked at, selected by their ids, against those held out; none
    without a search."""
    search = train.get("params", {}).get("train", {}).get("search") or {}
    if not search.get("trials"):
        return
    judged = set(read_table(workspace.artifacts / "heldout.parquet", ["account_id"])["account_id"].to_pylist())
    known = read_table(workspace.artifacts / "features.parquet", ["account_id"])["account_id"]
    yield set(known.filter(pa.array(searched(known, search["accounts"]))).to_pylist()), judged


def of_facts(
    workspace: Workspace, definitions: Definitions, labels: LabelParams, data: Dataset, params: LeakParams, tried: Tried
) -> list[Probe]:
    """Every probe that rebuilds features."""
    outcome = data.outcome("expansion", _horizon(data, labels))
    day, accounts, label = _drawn(data, outcome, params)
    days = sorted(data.features["as_of"].unique().to_pylist())
    middle = days[days.index(day) // 2]
    with connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse)
        facts = facts_of(con, accounts)
    sample = Sample(day, accounts, label, facts, definitions, tried.build, params.seed)
    whole = rebuilt(workspace.warehouse, data.features, sorted({middle, day}), definitions, tried.build)
    return [whole, *of_features(sample)]


def of_labels(
    workspace: Workspace, labels: LabelParams, data: Dataset, params: LeakParams, tried: Tried, gain: list[Any]
) -> list[Probe]:
    """Every probe of the tables and of what learns from them. `gain`: of train.json."""
    horizon = _horizon(data, labels)
    outcome = data.outcome("expansion", horizon)
    told = data.take(~np.isnan(outcome))
    label, rng = outcome[~np.isnan(outcome)], np.random.default_rng(params.seed)
    one = one_an_account(told.features["account_id"].to_pylist(), params.rows, rng)
    matrix, recipe = tried.learner(told.features.take(pa.array(one)), params.seed)
    heldout = read_table(workspace.artifacts / "heldout.parquet")
    own = heldout.filter(pc.equal(heldout["candidate"], "champion"))
    headline = own.filter(pc.and_(pc.equal(own["target"], "expansion"), pc.equal(own["horizon"], horizon)))
    # a check is complete once what was booked has arrived: nothing is held
    outside = {name: labels.invoice_lag_days for name in set(own["target"].to_pylist()) - set(TARGETS)}
    rows = told.features.select(list(KEYS)).take(pa.array(one))
    return [
        on_labels.shuffled_labels(matrix, label[one], rows, recipe, params.repeats, params.seed),
        on_labels.single_feature(told.features, label, params.max_auc, params.accepted_features),
        on_labels.gain_share(gain, params.max_gain_share, params.accepted_features),
        on_labels.irreplaceable_feature(told.features, label, params.max_lost, params.accepted_features, params.seed),
        filled_in_later(told.features, label, params.max_known_auc, params.accepted_features),
        on_labels.label_component(data, outcome, params.accepted_features, params.seed),
        on_labels.account_overlap(tried.folds),
        on_labels.held_out_labels(own, data.labels, labels.maturing_days, outside),
        on_labels.reversed_join(on_labels.guards(data, horizon + labels.maturing_days)),
        on_labels.tie_order(*_columns(headline), tried.figures),
    ]


def _horizon(data: Dataset, labels: LabelParams) -> int:
    """The default horizon, else the longest below it that is complete for any snapshot."""
    shorter = sorted((h for h in labels.horizons if h <= labels.default_horizon), reverse=True)
    return next((h for h in shorter if not np.isnan(data.outcome("expansion", h)).all()), labels.default_horizon)


def _drawn(data: Dataset, outcome: np.ndarray, params: LeakParams) -> tuple[date, Sequence[str], np.ndarray]:
    """The newest date with complete labels (else the newest), and accounts at it with their labels, half of them
    positive where there are so many."""
    told = ~np.isnan(outcome)
    if not told.any():
        told, outcome = np.ones(len(data), dtype=bool), np.zeros(len(data))
    as_of = data.features["as_of"].to_numpy().astype("datetime64[D]")
    day = as_of[told].max()
    rows = np.flatnonzero(told & (as_of == day))
    rng = np.random.default_rng(params.seed)
    positive, negative = (rng.permutation(rows[outcome[rows] == value]) for value in (1, 0))
    positive = positive[: params.accounts // 2]
    taken = np.sort(np.concatenate([positive, negative[: params.accounts - len(positive)]]))
    return day.item(), data.features["account_id"].take(pa.array(taken)).to_pylist(), outcome[taken]


def _columns(rows: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    label, increment, score = (rows[name].to_numpy().astype(np.float64) for name in ("label", "increment", "score"))
    return label, increment, score


def main(argv: list[str] | None = None) -> int:
    def called(call: Call) -> None:
        audit(
            call.workspace,
            Definitions.from_params(call.document),
            section(call.document, "labels", LabelParams),
            section(call.document, "leaks", LeakParams),
        )

    return run(called, "Stage leaks: does the model know what it could not have known?", argv)


if __name__ == "__main__":
    raise SystemExit(main())
