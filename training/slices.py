"""Where the model holds and where it does not: the pooled rows cut by date, age, place, size, channel and activity.

The accounts' facts come from `heldout_accounts.parquet`; without that file only the origins can be told apart. A slice
with fewer than 30 positives, or nothing else, is thin: its figures are shown and no verdict is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.journey import STAGES
from training.bootstrap import Difference, Scored, bootstrap, difference, interval, reflected
from training.errors import HeldOutBroken
from training.grade import THIN
from training.heldout import CHAMPION
from training.measured import GAPS, pair, written
from training.rolling import Pool, within
from warehouse.store import read_table

ACCOUNTS = "heldout_accounts.parquet"
KEYS = ("account_id", "as_of")
FACTS = ("tenure_days", "tier", "stage", "country", "employees", "channel", "active", "new")
TENURE = ((0, "under 90 days"), (90, "90 to 179 days"), (180, "180 to 359 days"), (360, "360 days and more"))
SIZE = ((0, "1 to 9 people"), (10, "10 to 49 people"), (50, "50 to 249 people"), (250, "250 people and more"))
NOT_TOLD = "not told"
MOST = 8  # values of a word column that stand alone, the most frequent ones; the others are one slice
Words = npt.NDArray[np.object_]


def read_facts(path: Path, pool: Pool) -> dict[str, npt.NDArray[Any]] | None:
    """The columns `FACTS` in the order of the pool's rows, each (n,), nan or None where not told; None without the
    file, as a train stage of an earlier version leaves it.

    Raises:
        HeldOutBroken: a column is missing, or a row of the pool has no facts or has them twice.
    """
    if not path.exists():
        return None
    table = read_table(path)
    if missing := [name for name in (*KEYS, *FACTS) if name not in table.column_names]:
        raise HeldOutBroken(f"{path}: column {missing[0]} is missing.")
    table = table.set_column(table.column_names.index("as_of"), "as_of", table["as_of"].cast(pa.date32()))
    rows = pa.table(
        {
            "account_id": pa.array(pool.rows.account_id, pa.string()),
            "as_of": pa.array(pool.day.astype("datetime64[D]")),
            "_place": np.arange(len(pool.day)),
        }
    )
    found = rows.join(table.select([*KEYS, *FACTS]), list(KEYS), join_type="inner").sort_by("_place")
    if not np.array_equal(found["_place"].to_numpy(), np.arange(len(pool.day))):
        raise HeldOutBroken(
            f"{path}: {len(found):,} rows belong to the {len(pool.day):,} held-out rows of {pool.rows.target} at "
            f"{pool.rows.horizon} days; each must have one."
        )
    return {name: np.asarray(found[name].to_numpy()) for name in FACTS}


def slices(
    pool: Pool,
    facts: dict[str, npt.NDArray[Any]] | None,
    tiers: Sequence[str],
    rival: str | None,
    replicates: int,
    seed: int,
) -> list[dict[str, Any]]:
    """One row a slice, by axis: n, positives, base_rate and `thin`; roc_auc, pr_auc, lift_10, expected_over_actual and
    ece; their intervals and a `verdict`, null if thin. `tiers`: names of the ladder's, lowest first. `rival`: the rule
    of thumb to be better than."""
    out = []
    for axis, value in _axes(pool, facts, tiers):
        for name in _in_order(axis, value, tiers):
            inside = value == name
            out.append({"axis": axis, "slice": str(name), **_judged(pool, inside, rival, replicates, seed)})
    return out


def _axes(pool: Pool, facts: dict[str, npt.NDArray[Any]] | None, tiers: Sequence[str]) -> Iterator[tuple[str, Words]]:
    yield "origin", pool.day.astype("datetime64[D]").astype(str).astype(object)
    if facts is None:
        return
    yield "tenure", banded(facts["tenure_days"], TENURE)
    yield "tier", np.array([tiers[step] for step in facts["tier"].astype(int)], dtype=object)
    yield "stage", facts["stage"]
    yield "region", _frequent(facts["country"])
    yield "size", banded(facts["employees"], SIZE)
    yield "channel", _frequent(facts["channel"])
    yield "activity", np.where(facts["active"].astype(bool), "active", "no event in 90 days").astype(object)
    yield "acquaintance", np.where(facts["new"].astype(bool), "signed up since the last origin", "known").astype(object)


def banded(value: npt.NDArray[Any], bands: tuple[tuple[int, str], ...]) -> Words:
    """The name of the band of each value; `NOT_TOLD` for nan."""
    number = value.astype(np.float64)
    place = np.digitize(number, [floor for floor, _ in bands[1:]])
    names = np.array([name for _, name in bands], dtype=object)
    return np.where(np.isnan(number), NOT_TOLD, names[np.minimum(place, len(bands) - 1)])


def _frequent(value: npt.NDArray[Any]) -> Words:
    told = np.array([NOT_TOLD if one is None or one != one else str(one) for one in value], dtype=object)
    names, counts = np.unique(told.astype(str), return_counts=True)
    if len(names) <= MOST:
        return told
    kept = set(names[np.argsort(-counts, kind="stable")[: MOST - 1]])
    return np.array([one if one in kept else "others" for one in told], dtype=object)


def _in_order(axis: str, value: Words, tiers: Sequence[str]) -> list[str]:
    names = sorted(set(value))
    bands = {"tenure": TENURE, "size": SIZE, "tier": enumerate(tiers), "stage": enumerate(STAGES)}.get(axis)
    if bands is None:
        return names
    order = [name for _, name in bands] + [NOT_TOLD]
    return sorted(names, key=order.index)


def _judged(pool: Pool, inside: npt.NDArray[np.bool_], rival: str | None, replicates: int, seed: int) -> dict[str, Any]:
    day = pool.day[inside]
    beside = (CHAMPION,) if rival is None else (CHAMPION, rival)
    judged = {name: within(part_of(pool.rows.candidates[name], inside), day) for name in beside}
    own = judged[CHAMPION]
    positives, figures = int(own.label.sum()), own.figures()
    account = np.unique(pool.rows.account[inside], return_inverse=True)[1]
    thin = not THIN <= positives < len(own.label)
    resampled = {} if thin else bootstrap(judged, account, replicates, seed)
    drawn = resampled.get(CHAMPION, {})
    out: dict[str, Any] = {
        "n": len(own.label),
        "positives": positives,
        "base_rate": written(positives / len(own.label)),
    }
    for figure in ("roc_auc", "pr_auc", "lift_10", "expected_over_actual", "ece"):
        out[figure] = written(figures[figure])
        around = reflected if figure in GAPS else interval
        out[f"{figure}_ci"] = pair(around(drawn[figure], figures[figure])) if drawn else None
    lead = None
    if rival is not None and drawn:
        gap = figures["pr_auc"] - judged[rival].figures()["pr_auc"]
        lead = difference(drawn["pr_auc"], resampled[rival]["pr_auc"], gap)
    level = out["expected_over_actual"], out["expected_over_actual_ci"]
    return {**out, "thin": thin, "verdict": None if thin else verdict(lead, *level)}


def part_of(scored: Scored, inside: npt.NDArray[np.bool_]) -> Scored:
    """The same candidate on the rows `inside` (n,) alone."""

    def cut(values: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64] | None:
        return None if values is None else values[inside]

    return replace(
        scored,
        label=scored.label[inside],
        increment=scored.increment[inside],
        score=scored.score[inside],
        money_score=scored.money_score[inside],
        probability=cut(scored.probability),
        expected=cut(scored.expected),
    )


def verdict(lead: Difference | None, level: float | None, around: Sequence[float | None] | None) -> str:
    """`holds`, or what does not: the model ranks significantly worse than the rule of thumb; its `level`, positives
    expected over seen, is off by more than a quarter and its interval `around` excludes 1; or the interval of its
    `lead` in PR-AUC (null: there is no rule) contains 0. Accounts are resampled, not rows: over several dates one
    expansion is counted more than once, and an interval of rows would be too narrow."""
    if lead is not None and lead.below_zero:
        return "worse than the rule"
    low, high = (None, None) if around is None else around
    if level is not None and level > 1.25 and low is not None and low > 1:
        return "expects too many"
    if level is not None and level < 0.75 and high is not None and high < 1:
        return "expects too few"
    return "holds" if lead is None or lead.above_zero else "not distinguishable from the rule"
