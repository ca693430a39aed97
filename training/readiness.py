"""Whether the data suffice to train and to judge: the snapshots, labels and origins that `train` would make, counted.

One verdict through this file. Data to 2026-01-01, horizon 180, moves held 30 days: `train` judges at 2025-06-01. Twelve
accounts expanded within 180 days of that date, and the gate asks for 30: `thin`. The model would be trained and then
refused, so the rule of thumb serves. With history from 2025-05-01 on only, no date has both an outcome known before it
and one after it: `not yet`, and the date from which there would be one is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np
import pyarrow as pa

from features.books import books_at, without_usage
from features.catalogue import Definitions
from features.snapshots import Population, SnapshotParams, data_end, take_snapshots
from models.baselines import FALLBACK_RULE
from training.dataset import Dataset
from training.grade import THIN, TOO_FEW
from training.heldout import words
from training.labels import LabelParams, labelled, make_labels, outcomes_end
from training.recipe import Run, TrainParams
from training.splits import origins
from warehouse.periods import TARGET, TARGETS, month_starts

READY, TOO_THIN, NOT_YET = "ready", "thin", "not yet"
AHEAD_DAYS = 5 * 366  # how far the dates of future snapshots are looked through

FALLBACK = f"the rule: accounts ranked by {words(FALLBACK_RULE)}, marked as a rule, without probabilities or money"


@dataclass(frozen=True)
class Books:
    """Money at every snapshot. table: account_id, as_of, tier (index), run_rate (money per 30 days); end: the midnight
    from which nothing is known; outcomes_end: from which no outcome can be told, earlier where revenue has stopped."""

    table: pa.Table
    population: Population
    end: date
    outcomes_end: date


@dataclass(frozen=True)
class Quarter:
    """Snapshots of one calendar quarter of as_of, such as `2025-Q1`: complete ones (the outcome can be told), those
    that are positive, and the accounts behind the positive ones."""

    quarter: str
    complete: int
    positives: int
    accounts: int


@dataclass(frozen=True)
class Split:
    """The test that `train` would make. as_of: ends training and is scored. positives, accounts: earlier snapshots
    whose move within the horizon was known by then (the hazards learn from each, however long its horizon still runs),
    and the accounts behind them. held, held_positives: accounts scored there whose outcome is told, and positive ones.
    """

    as_of: date
    positives: int
    accounts: int
    held: int
    held_positives: int


@dataclass(frozen=True)
class Outlook:
    """One target at one horizon (days). complete, positives, accounts: over all quarters. left_out: snapshots without a
    label, by reason. split: null where no test can be made. Then first_test is the midnight that data must reach before
    one can be made, if nothing else is missing, and days_short is how many days after outcomes_end that is (both null
    where snapshots.until forbids it)."""

    target: str
    horizon: int
    complete: int
    positives: int
    accounts: int
    left_out: dict[str, int]
    quarters: tuple[Quarter, ...]
    split: Split | None
    first_test: date | None
    days_short: int | None


@dataclass(frozen=True)
class Readiness:
    """verdict: ready, thin or not yet; reasons: finished sentences with the numbers. fallback: what `score` serves
    meanwhile, null when ready. outcomes_end: as in Books. headline: the horizon that the gate would look at, null when
    nothing can be judged. learn_needed, held_needed: positive accounts asked for to learn from, and to be judged by."""

    verdict: str
    reasons: tuple[str, ...]
    fallback: str | None
    outcomes_end: date
    headline: int | None
    learn_needed: int
    held_needed: int
    snapshots: int
    left_out: dict[str, int]
    outlooks: tuple[Outlook, ...]

    def outlook(self, target: str, horizon: int) -> Outlook:
        return next(one for one in self.outlooks if (one.target, one.horizon) == (target, horizon))


def read_books(
    con: duckdb.DuckDBPyConnection, definitions: Definitions, snapshots: SnapshotParams, ingested: date | None = None
) -> Books:
    """ingested: see `outcomes_end`. Raises DataError where the warehouse holds no account."""
    end, told = data_end(con), outcomes_end(con, ingested)
    spine, population = take_snapshots(con, snapshots)
    table = books_at(con, spine, definitions).select(["account_id", "as_of", "tier", "run_rate"])
    return Books(table, population, end, told)


def readiness(
    con: duckdb.DuckDBPyConnection,
    books: Books,
    definitions: Definitions,
    snapshots: SnapshotParams,
    labels: LabelParams,
    params: TrainParams,
    held_needed: int,
) -> Readiness:
    """held_needed: positives that the gate wants held out (`gate.min_positives`)."""
    with without_usage(con):
        outlooks = _outlooks(con, Run(definitions, labels, params, books.table, books.outcomes_end), snapshots)
    return judge(outlooks, books, labels, params.min_positives, held_needed)


def _outlooks(con: duckdb.DuckDBPyConnection, run: Run, snapshots: SnapshotParams) -> tuple[Outlook, ...]:
    labels, end = run.labels, run.until
    full = Dataset(run.features, make_labels(con, run.features, run.definitions, labels, end))
    days = sorted(run.features["as_of"].unique().to_pylist())
    splits: dict[tuple[str, int], Split] = {}
    plan = origins(days, labels.horizons, labels.maturing_days, end, run.params.origins, labels.default_horizon)
    newest = {h: origin.as_of for origin in plan for h in origin.horizons}
    for origin in plan:
        if origin.as_of not in newest.values():
            continue
        known, scored = run.known_at(con, origin.as_of), full.on(origin.as_of)
        if not np.nansum(known.outcome(TARGET, min(labels.horizons))):
            continue  # `train` judges nothing where nothing was known to have expanded
        for target in TARGETS:
            for h in origin.horizons:
                held = scored.outcome(target, h)
                if not np.isnan(held).all():
                    splits[target, h] = Split(origin.as_of, *_moved(known, target, h), *_tallied(held))
    quarter = np.array([f"{day.year}-Q{(day.month + 2) // 3}" for day in full.features["as_of"].to_pylist()], object)
    out = []
    for target in TARGETS:
        for h in labels.horizons:
            split = splits.get((target, h))
            reach = None if split else first_test(days, h, labels, snapshots)
            short = (reach - end).days if reach and reach > end else None
            quarters = _by_quarter(full, target, h, quarter)
            tier, tiers = full.features["tier"], run.definitions.tiers
            counts, left_out = _counted(full, target, h), labelled(full.labels, tier, tiers, target, h).out
            out.append(Outlook(target, h, *counts, left_out, quarters, split, reach if short else None, short))
    return tuple(out)


def first_test(days: list[date], horizon: int, labels: LabelParams, snapshots: SnapshotParams) -> date | None:
    """The midnight up to which data must reach so that a date of the grid has an outcome of the shortest horizon known
    before it and one of `horizon` complete after it. Null without a snapshot, or where snapshots.until ends the grid
    too early."""
    if not days:
        return None
    known = days[0] + timedelta(days=min(labels.horizons) + labels.maturing_days)
    last = snapshots.until or known + timedelta(days=AHEAD_DAYS)
    grid = month_starts(days[0], last)[:: snapshots.every_months]
    test = next((day for day in grid if day >= known), None)
    return test + timedelta(days=horizon + labels.maturing_days) if test else None


def _tallied(label: np.ndarray) -> tuple[int, int]:
    return int((~np.isnan(label)).sum()), int(np.nansum(label))


def _counted(data: Dataset, target: str, horizon: int) -> tuple[int, int, int]:
    """Complete snapshots, positive ones, accounts behind those."""
    label = data.outcome(target, horizon)
    return *_tallied(label), len(set(data.features["account_id"].filter(pa.array(label == 1)).to_pylist()))


def _moved(data: Dataset, target: str, horizon: int) -> tuple[int, int]:
    """Snapshots with a known move within the horizon, and the accounts behind them."""
    moved = (data.days(f"{target}_day") < horizon) & data.flag(f"{target}_at_risk")
    return int(moved.sum()), len(set(data.features["account_id"].filter(pa.array(moved)).to_pylist()))


def _by_quarter(data: Dataset, target: str, horizon: int, quarter: np.ndarray) -> tuple[Quarter, ...]:
    return tuple(Quarter(str(q), *_counted(data.take(quarter == q), target, horizon)) for q in sorted(set(quarter)))


def judge(
    outlooks: tuple[Outlook, ...], books: Books, labels: LabelParams, learn_needed: int, held_needed: int
) -> Readiness:
    """The verdict from the counts."""
    told = {one.horizon: one for one in outlooks if one.target == TARGET}
    tests = [h for h, one in told.items() if one.split is not None]
    # as the evaluation picks it: the default horizon, else the longest below it, else the shortest
    headline = max((h for h in tests if h <= labels.default_horizon), default=min(tests, default=None))
    lacking = _to_learn(told[labels.default_horizon], books, labels, learn_needed)
    if headline is None:
        lacking.append(_no_test(told, books))
    verdict, reasons = NOT_YET, lacking
    split = told[headline].split if headline is not None else None
    if split is not None and not lacking:
        verdict, reasons = _to_judge(split, headline or 0, learn_needed, held_needed)
    out = books.population.out
    fallback = None if verdict == READY else FALLBACK
    return Readiness(verdict, tuple(reasons), fallback, books.outcomes_end, headline, learn_needed, held_needed,
                     books.population.taken, out, outlooks)  # fmt: skip


def _to_learn(one: Outlook, books: Books, labels: LabelParams, needed: int) -> list[str]:
    """What `train` would stop at: too few accounts that expanded within the default horizon, or nobody who did not."""
    if not books.population.taken:
        return ["No account was old enough at any training date: there is nothing to learn from yet."]
    if not one.complete:
        first = min(books.table["as_of"].to_pylist()) + timedelta(days=one.horizon + labels.maturing_days)
        short = (first - books.outcomes_end).days
        more = f" It will be from {first}: {short:,} more days of history." if short > 0 else ""
        return [f"No outcome within {one.horizon} days is known yet at any training date.{more}"]
    if one.accounts < needed:
        return [
            f"{_accounts(one.accounts)} expanded within {one.horizon} days of a training date, {needed:,} needed to "
            f"learn (train.min_positives): {needed - one.accounts:,} short."
        ]
    if one.positives == one.complete:
        return [f"Every account at every training date expanded within {one.horizon} days: there is no other class."]
    return []


def _no_test(told: dict[int, Outlook], books: Books) -> str:
    dated = [one for one in told.values() if one.first_test is not None]
    if dated:
        one = min(dated, key=lambda one: one.days_short or 0)
        return (
            f"First test possible (at {one.horizon} days) from {one.first_test}: {one.days_short:,} more days of "
            f"history; outcomes are known to {books.outcomes_end}."
        )
    return "No training date had both an expansion known before it and an outcome known after it, so nothing is tested."


def _to_judge(split: Split, horizon: int, learn_needed: int, held_needed: int) -> tuple[str, list[str]]:
    said = (
        f"{split.held_positives:,} positives held out at {horizon} days as of {split.as_of}, {held_needed:,} needed "
        "(gate.min_positives)"
    )
    thin = []
    if split.held_positives < held_needed:
        thin.append(
            f"{said}: {held_needed - split.held_positives:,} short, so the grade would be {TOO_FEW} and the gate would "
            "refuse the model."
        )
    elif split.held_positives < THIN:
        thin.append(f"{said}, but with fewer than {THIN} the grade is never above weak.")
    if split.accounts < learn_needed:
        thin.append(
            f"By {split.as_of} {_accounts(split.accounts)} were known to have expanded, so the model tested there "
            f"would have learned from fewer than the {learn_needed:,} asked for."
        )
    if thin:
        return TOO_THIN, thin
    return READY, [
        f"{said}; {_accounts(split.accounts)} that expanded before to learn from, {learn_needed:,} needed.",
        "Whether behaviour foretells it, only training tells.",
    ]


def _accounts(count: int) -> str:
    return "1 account" if count == 1 else f"{count:,} accounts"
