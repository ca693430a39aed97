"""Accounts that are not what their id says: merged, split, or the vendor's own without a flag."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from simulator.faults import SETTLED, Bools, Faults, how_many, stream
from simulator.market import Ints


@dataclass(frozen=True, eq=False)
class Moves:
    """From the midnight of `day` (days since `start`) on, users of `source` are found in `target`. Entry by entry."""

    source: pa.Array
    target: pa.Array
    day: Ints
    start: date

    def until(self, day: int) -> Moves:
        """The moves that have come to pass by the end of `day`."""
        past = self.day <= day
        return Moves(self.source.filter(pa.array(past)), self.target.filter(pa.array(past)), self.day[past], self.start)

    def find(self, ids: pa.ChunkedArray) -> Ints:
        """The move out of each account of `ids`, -1 for none."""
        found: Ints = pc.index_in(ids, value_set=self.source).combine_chunks().fill_null(-1).to_numpy()
        return found

    def moment(self, found: Ints) -> NDArray[np.datetime64]:
        """When each row of `found` moves; NaT for -1."""
        days = np.append(self.day, np.iinfo(np.int64).min).astype("timedelta64[D]")  # the least integer is NaT
        return (np.datetime64(self.start, "D") + days[found]).astype("datetime64[us]")

    def relabelled(self, ids: pa.ChunkedArray, found: Ints, hit: Bools) -> pa.Array:
        """`ids` with the target of the move in the rows of `hit`."""
        return pc.replace_with_mask(ids.combine_chunks(), pa.array(hit), self.target.take(pa.array(found[hit])))


class Identities:
    """Who is merged, split and unflagged, decided once from the accounts table."""

    def __init__(self, faults: Faults, accounts: pa.Table, start: date, days: int, seed: int) -> None:
        self._ids = accounts["account_id"].combine_chunks()
        self._start, self._days, self._seed = start, days, seed
        self._born = _days(accounts["created_at"], start)
        closed = _days(accounts["closed_at"], start)
        self._open = closed < 0
        self._gone = np.where(self._open, days, closed)
        internal = accounts["is_internal"].fill_null(False).to_numpy()
        self._eligible = ~internal & (self._gone - self._born >= 2 * SETTLED)
        self._keepers = np.flatnonzero(~internal & self._open)
        self.merged = self._merge(faults.merged)
        self.split = self._split(faults.split)
        own = np.flatnonzero(internal)
        chosen = stream(seed, "unflagged").permutation(own)[: how_many(faults.unflagged, len(own))]
        self.unflagged = self._ids.take(pa.array(np.sort(chosen)))

    def _merge(self, rate: float) -> Moves:
        rng = stream(self._seed, "merged")
        second = self._chosen(rng, rate)
        keepers = np.setdiff1d(self._keepers, second)
        keepers = keepers[np.argsort(self._born[keepers], kind="stable")]
        day = self._day(rng, second)
        older = np.searchsorted(self._born[keepers], self._born[second])
        pick = (rng.random(len(second)) * older).astype(np.int64)
        there = older > 0  # the very first accounts have nobody to be merged into
        return self._moves(second[there], self._ids.take(pa.array(keepers[pick[there]])), day[there])

    def _split(self, rate: float) -> Moves:
        rng = stream(self._seed, "split")
        chosen = self._chosen(rng, rate)
        new = pc.binary_join_element_wise(self._ids.take(pa.array(chosen)), "2", "-")
        return self._moves(chosen, new, self._day(rng, chosen))

    def _chosen(self, rng: np.random.Generator, rate: float) -> Ints:
        """As many eligible accounts as are `rate` of all accounts."""
        return rng.permutation(np.flatnonzero(self._eligible))[: how_many(rate, len(self._ids))]

    def _day(self, rng: np.random.Generator, chosen: Ints) -> Ints:
        born, gone = self._born[chosen] + SETTLED, self._gone[chosen] - SETTLED
        return rng.integers(born, gone + 1)

    def _moves(self, chosen: Ints, target: pa.Array, day: Ints) -> Moves:
        return Moves(self._ids.take(pa.array(chosen)), target, day, self._start)


def _days(moments: pa.ChunkedArray, start: date) -> Ints:
    """Days since `start`, negative for null."""
    days: Ints = (moments.to_numpy().astype("datetime64[D]") - np.datetime64(start, "D")).astype(np.int64)
    return days
