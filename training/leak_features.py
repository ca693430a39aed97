"""Probes that rebuild features from altered facts: what was not known before as_of may not change a single bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import Definitions
from training.leak_facts import (
    LATEST_STATES,
    Build,
    Facts,
    cut_views,
    features_of,
    shuffled,
    spine_of,
    with_accounts_told_again,
    with_canary,
    with_late_events,
    with_other_states,
    with_touches_after,
)
from training.leak_learner import halves, ranked, small_booster
from training.probe import KEYS, Probe, differing, not_asked, told
from warehouse.engine import connect
from warehouse.store import open_warehouse

MONTH = timedelta(days=30)
FEWEST = 10  # positives in the sample, below which the canary's lift is not asked for
VISIBLE = 0.05  # lift in ROC-AUC, or half of what remains to 1 where that is less


@dataclass(frozen=True)
class Sample:
    """Accounts and all their facts. `label` (n,) 0/1: whether each expanded after `day`, the date they are seen at."""

    day: date
    accounts: Sequence[str]
    label: np.ndarray
    facts: Facts
    definitions: Definitions
    build: Build
    seed: int

    def features(self, facts: Facts, day: date | None = None) -> pa.Table:
        """The feature rows of the accounts at `day`, by account."""
        return features_of(facts, spine_of(self.accounts, day or self.day), self.definitions, self.build)


def rebuilt(
    warehouse: Path, trained_on: pa.Table, days: Sequence[date], definitions: Definitions, build: Build
) -> Probe:
    """Cut in time: the rows trained on at `days` equal rows rebuilt from a warehouse cut at each of these days."""
    found: dict[str, int] = {}
    rows = 0
    for day in days:
        mine = trained_on.filter(pc.equal(trained_on["as_of"], pa.scalar(day, pa.date32())))
        rows += len(mine)
        with connect(warehouse) as con:
            open_warehouse(con, warehouse)
            cut_views(con, day)
            again = build(con, mine.select(list(KEYS)), definitions)
        for name, count in differing(mine, again).items():
            found[name] = found.get(name, 0) + count
    on = " and ".join(day.isoformat() for day in days)
    return _unchanged("future_rows", found, f"the features are built anew from data cut at as_of ({on}, {rows:,} rows)")


def late_events(sample: Sample, built: pa.Table) -> Probe:
    """Cut in time: events that happened before as_of but arrive after it change no feature."""
    late = with_late_events(sample.facts, sample.day, sample.seed)
    found = differing(built, sample.features(late))
    return _unchanged("late_events", found, f"events before {sample.day} are delivered after it")


def latest_states(sample: Sample, built: pa.Table) -> Probe:
    """Columns without a date hold today's state, so no feature may read them."""
    found = differing(built, sample.features(with_other_states(sample.facts)))
    names = ", ".join(f"{table}.{column}" for table, columns in LATEST_STATES.items() for column in columns)
    return _unchanged("undated_field", found, f"{names}, which are latest states without a date, say otherwise")


def accounts_told_again(sample: Sample, built: pa.Table) -> Probe:
    """What an account is said to be later, such as its size once it has grown, was not known at its sign-up."""
    found = differing(built, sample.features(with_accounts_told_again(sample.facts)))
    return _unchanged("retold_accounts", found, "a later file tells another sign-up, industry, country, size, channel")


def later_touches(sample: Sample, built: pa.Table) -> Probe:
    """A touch after as_of may be a reaction to the move that is being predicted."""
    without, planted = with_touches_after(sample.facts, sample.day, sample.seed)
    found = differing(built, sample.features(without)) | differing(built, sample.features(planted))
    return _unchanged("post_label_touches", found, f"touches after {sample.day} are taken away or others planted")


def row_order(sample: Sample, built: pa.Table) -> Probe:
    """Raw rows often come sorted by something that the outcome decided."""
    found = differing(built, sample.features(shuffled(sample.facts, sample.seed)))
    return _unchanged("row_order", found, "the raw rows come in another order")


def canary_refused(sample: Sample, built: pa.Table, planted: Facts) -> Probe:
    """Planted canary: usage planted after as_of must change no feature."""
    found = differing(built, sample.features(planted))
    return _unchanged("canary_refused", found, f"usage of the month after {sample.day} is planted for who expands")


def canary_seen(sample: Sample, built: pa.Table, planted: Facts) -> Probe:
    """Planted canary: the same usage, let in by building features at the end of that month, must lift the audit's own
    learner. If it does not, the audit could not see a leak."""
    positives = int(sample.label.sum())
    if positives < FEWEST or positives == len(sample.label):
        return not_asked("canary_seen", f"{positives} accounts of the sample expand, {FEWEST} are needed")
    clean = _foretells(sample, built)
    forced = _foretells(sample, sample.features(planted, sample.day + MONTH))
    bound = min(VISIBLE, (1 - clean) / 2)
    sentence = (
        f"ROC-AUC is {clean:.3f} as of {sample.day} and {forced:.3f} with the next month's usage forced in; "
        f"a lift of {bound:.3f} or more shows that the audit sees such a leak."
    )
    return Probe("canary_seen", forced - clean >= bound, round(forced - clean, 6), round(bound, 6), sentence)


def canary(sample: Sample) -> Facts:
    """The facts with usage after as_of for exactly the accounts that expand."""
    named = zip(sample.accounts, sample.label, strict=True)
    return with_canary(sample.facts, sample.day, [name for name, label in named if label == 1])


def of_features(sample: Sample) -> list[Probe]:
    """Every probe that needs the sample alone."""
    built, planted = sample.features(sample.facts), canary(sample)
    bent = (late_events, latest_states, accounts_told_again, later_touches, row_order)
    probes = [probe(sample, built) for probe in bent]
    return [*probes, canary_refused(sample, built, planted), canary_seen(sample, built, planted)]


def _foretells(sample: Sample, features: pa.Table) -> float:
    """Mean ROC-AUC of the small learner over two folds by account."""
    matrix, recipe = small_booster(features, sample.seed)
    learn = halves(features["account_id"].to_pylist(), sample.seed)
    folds = [ranked(sample.label[~side], recipe(matrix, sample.label, side)).auc for side in (learn, ~learn)]
    return float(np.nanmean(folds))


def _unchanged(name: str, found: dict[str, int], when: str) -> Probe:
    cells = sum(found.values())
    if not found:
        return Probe(name, True, 0.0, 0.0, f"No feature changes a bit when {when}.")
    return Probe(
        name,
        False,
        float(cells),
        0.0,
        f"{told(found)} change when {when}; 0 may. Such a feature knows what it could not: mend or remove it.",
    )
