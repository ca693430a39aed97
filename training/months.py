"""What the snapshots of every account show, in steps: the history that hidden phases are learned from (`phases.py`).

A snapshot is two steps: the days since the snapshot before but for the last `RECENT`, and those. With the second come
the moves that labels tell of the time in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.catalogue import CATEGORIES
from training.dataset import Dataset
from warehouse.periods import TARGET

RECENT = 7  # days before a snapshot
COUNTS = (
    *("user_days", "seat_days", "plain", "specialist", "configuration", "active_days", "limits", "limit_days"),
    *("joined", "crowd_days", "intent", "days", "moves", "months"),
)
PLACE = {name: place for place, name in enumerate(COUNTS)}
PART = 2_000  # accounts at a time, so that what is at work fits a cache
LEAST_DATES = 4  # fewer are no history
LEAST_MOVES = 30  # fewer tell no hazards apart
STEADY = 0.05  # least use of a date beside what is usual
AGES = (30, 60, 90, 120, 180, 270, 360, 540)  # days since sign-up that part accounts of one usual use from others
MANY = 12  # seats; more are one level


@dataclass(frozen=True)
class Months:
    """Accounts by the date of their first snapshot, then of their last.

    counts: (2 dates, accounts, COUNTS), 0 where there is no snapshot; tier: (dates, accounts) at the snapshot before;
    row: (dates, accounts) place of the snapshot in the dataset, -1 where there is none; traits: (accounts,) level of
    each, one of `levels`, at the first; tiers: how many the dataset knows; first, last: (accounts,) dates; apart: days
    from one date to the next.
    """

    counts: np.ndarray
    tier: np.ndarray
    row: np.ndarray
    traits: tuple[np.ndarray, ...]
    levels: tuple[int, ...]
    tiers: int
    first: np.ndarray
    last: np.ndarray
    apart: float

    def take(self, accounts: slice | np.ndarray, dates: slice = slice(None)) -> Months:
        begin = dates.start or 0
        return Months(
            self.counts[2 * begin : None if dates.stop is None else 2 * dates.stop, accounts],
            self.tier[dates, accounts],
            self.row[dates, accounts],
            tuple(trait[accounts] for trait in self.traits),
            self.levels,
            self.tiers,
            self.first[accounts] - begin,
            self.last[accounts] - begin,
            self.apart,
        )

    def some(self, most: int) -> Months:
        """At most `most` accounts, evenly spaced."""
        return self.take(np.arange(0, len(self.first), max(1, -(-len(self.first) // most))))

    def parts(self) -> Iterator[Months]:
        for begin in range(0, len(self.first), PART):
            own = slice(begin, begin + PART)
            yield self.take(own, slice(int(self.first[own].min()), int(self.last[own].max()) + 1))


def months_of(data: Dataset) -> Months | None:
    """Null where the history is too short, nobody is seen to use anything, or too few moved."""
    day = data.features["as_of"].to_numpy().astype("datetime64[D]").astype(np.int64)
    grid = np.unique(day)
    if len(grid) < LEAST_DATES:
        return None
    account, date = data.account_numbers(), np.searchsorted(grid, day)
    apart = float(np.median(np.diff(grid)))
    opens = np.append(True, account[1:] != account[:-1])
    follows = ~opens & (date == np.roll(date, 1) + 1)
    older, recent = _use(data, date, opens)
    watched = np.clip(data.days("observed_days"), 0, apart) * data.flag(f"{TARGET}_at_risk")
    moved = data.days(f"{TARGET}_day") < watched
    months = np.where(moved, data.days(f"{TARGET}_day").clip(0, apart) + 0.5, watched) / apart
    recent["moves"], recent["months"] = (np.where(follows, np.roll(one, 1), 0.0) for one in (moved, months))
    if not recent["user_days"].any() or recent["moves"].sum() < LEAST_MOVES:
        return None
    first, last = date[opens], date[np.roll(opens, -1)]  # rows are sorted by account and date
    order = np.lexsort((last, first))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    counts = np.zeros((2 * len(grid), len(order), len(COUNTS)))
    for half, told in enumerate((older, recent)):
        counts[2 * date + half, rank[account]] = np.column_stack([told.get(n, np.zeros(len(day))) for n in COUNTS])
    row, tier = np.full((len(grid), len(order)), -1), np.zeros((len(grid), len(order)), np.int64)
    row[date, rank[account]] = np.arange(len(day))
    tier[date, rank[account]] = np.where(follows, np.roll(column(data, "tier"), 1), 0).astype(np.int64)
    traits = tuple(trait[opens][order] for trait in _traits(data))
    levels, tiers = tuple(int(trait.max()) + 1 for trait in traits), int(column(data, "tier").max()) + 1
    return Months(counts, tier, row, traits, levels, tiers, first[order], last[order], apart)


def column(data: Dataset, name: str) -> np.ndarray:
    """(n,) of a feature, 0 for null."""
    return np.asarray(np.nan_to_num(data.features[name].to_numpy(zero_copy_only=False).astype(np.float64)))


def _use(data: Dataset, date: np.ndarray, first: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the older and the recent days since the snapshot before show, or since sign-up where it is the `first`. The
    day of sign-up is left out: whoever signs up is there that day, whatever the phase."""

    def of(name: str) -> np.ndarray:
        return column(data, name)

    def since(now: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum(now - np.where(first, 0.0, np.roll(now, 1)), 0.0))

    seats = np.maximum(of("seats"), np.maximum(of("users_28d"), 1.0))
    mean = np.where(first, seats, (seats + np.roll(seats, 1)) / 2)
    named = of("specialist_life"), of("configuration_life"), of("intent_life")
    life = {
        "user_days": of("user_days_life"),
        "active_days": of("active_days_life"),
        "plain": np.maximum(of("events_life") - sum(named), 0.0),
        **dict(zip(("specialist", "configuration", "intent"), named, strict=True)),
        "days": of("tenure_days"),
    }
    whole = {name: since(values) for name, values in life.items()}
    for name, told in (("user_days", 1.0), ("active_days", 1.0), ("plain", seats), ("days", 1.0)):
        whole[name] = np.maximum(whole[name] - first * told, 0.0)
    recent = {name: np.minimum(of(f"{name}_{RECENT}d"), whole[name]) for name in whole if name != "days"}
    recent["days"] = np.minimum(whole["days"], RECENT)
    older = {name: whole[name] - recent[name] for name in whole}
    age = np.digitize(of("tenure_days"), AGES)
    for told in (older, recent):
        seat_days = mean * told["days"]
        pace = pace_of(told["user_days"], seat_days, date, age)[date]
        told["seat_days"], told["days"] = seat_days * pace, told["days"] * pace
    recent["limits"], recent["limit_days"] = of("limit_hits_28d"), of("user_days_28d")
    recent["joined"] = np.where(first, 0.0, np.maximum(seats - np.roll(seats, 1), 0.0))
    recent["crowd_days"] = np.where(first, 0.0, np.sqrt(mean) * (older["days"] + recent["days"]))
    return older, recent


def pace_of(user_days: np.ndarray, seat_days: np.ndarray, date: np.ndarray, age: np.ndarray) -> np.ndarray:
    """(dates,) use beside what is usual of accounts as old. A holiday of all is no phase of one; and as those who stay
    use more, the mean of all accounts rises with a vendor's years, which is no decline of its newcomers.

    user_days, seat_days, date, age: (n,) each; `age` a number of a group of ages.
    """
    usual = np.bincount(age, user_days) / np.maximum(np.bincount(age, seat_days), 1.0)
    used, expected = np.bincount(date, user_days), np.bincount(date, seat_days * usual[age])
    return np.asarray(np.maximum(used / np.maximum(expected, 1e-9), STEADY))


def _traits(data: Dataset) -> list[np.ndarray]:
    """(n,) levels of each: categories, employees to a factor of three (0: unknown), seats."""
    employees = column(data, "employees")
    sized = np.where(employees > 0, 1 + np.log(np.maximum(employees, 1)) / np.log(3), 0).astype(np.int64)
    named = [data.features[name].cast(pa.string()).combine_chunks() for name in CATEGORIES if name != "stage"]
    coded = [one.dictionary_encode("encode").indices.to_numpy(zero_copy_only=False).astype(np.int64) for one in named]
    return [*coded, np.minimum(sized, 8), np.minimum(column(data, "seats"), MANY).astype(np.int64)]
