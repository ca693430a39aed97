"""Invoices as they should not be: in another currency, booked late, wrong at first, or for an account that moved."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulator.faults import Bools, Faults, how_many, put, stream
from simulator.identities import Identities, Moves
from simulator.market import Ints

DAY = 86_400  # seconds
EUR = 1.1  # USD a euro
PLACES = 4  # of an amount


class Misbilling:
    """Spoils the raw revenue table. `counts`: rows hit, by `revenue.switch`. What a fault moves to `end` or later goes.

    What is hit is decided on the clean rows. An account that moved is told last, by the moment of booking.
    """

    def __init__(self, faults: Faults, identities: Identities, end: np.datetime64, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._faults, self._identities, self._end, self._seed = faults, identities, end, seed

    def spoiled(self, table: pa.Table) -> pa.Table:
        """`table` in its order, rows that a fault adds last."""
        split, merged = self._identities.split, self._identities.merged
        bookings, origin = self._rebooked(table)
        bookings = self._in_euro(bookings, self._euro(table)[origin])
        bookings = self._shared(bookings, split) if len(split.source) else bookings
        return self._taken_over(bookings, merged) if len(merged.source) else bookings

    def _rebooked(self, table: pa.Table) -> tuple[pa.Table, Ints]:
        """All rows, late, wrong or right, as far as booked by the end; and the clean row that each comes of."""
        rows = np.arange(table.num_rows)
        late, delay = self._drawn("backdated", self._faults.backdated, (1, 20 * DAY + 1), table.num_rows)
        wrong, until_noticed = self._drawn("corrected", self._faults.corrected, (DAY, 10 * DAY), table.num_rows)
        wrong &= _units(table) > 0
        if not (late | wrong).any():
            return table, rows
        booked = table["booked_at"].to_numpy() + np.where(late, delay, 0).astype("timedelta64[s]")
        first = _priced(table, np.where(wrong, 2, 1) * _units(table))
        right = table.filter(pa.array(wrong))
        kinds = np.array(["credit", "invoice"])[until_noticed[wrong] % 2]
        cancel = _priced(_suffixed(right, "c"), -2 * _units(right))
        cancel = put(cancel, "kind", pa.array(kinds.tolist(), pa.string()))
        corrected = booked[wrong] + until_noticed[wrong].astype("timedelta64[s]")
        bookings = pa.concat_tables([first, cancel, _suffixed(right, "r")])
        booked = np.concatenate([booked, corrected, corrected])
        origin = np.concatenate([rows, rows[wrong], rows[wrong]])
        there = (booked < self._end) | ~(late | wrong)[origin]
        self._count("backdated", late)
        self._count("corrected", wrong)
        self._count("not_there_yet", ~there)
        return put(bookings, "booked_at", pa.array(booked)).filter(pa.array(there)), origin[there]

    def _drawn(self, fault: str, rate: float, between: tuple[int, int], rows: int) -> tuple[Bools, Ints]:
        """Which rows are hit, and seconds in [between[0], between[1]) for each row."""
        rng = stream(self._seed, fault)
        return rng.random(rows) < rate, rng.integers(*between, size=rows)

    def _euro(self, table: pa.Table) -> Bools:
        """The rows of the accounts that are hit, from a random one of each account's rows on."""
        coded = table["account_id"].combine_chunks().dictionary_encode()
        payer, payers = coded.indices.to_numpy(), len(coded.dictionary)
        rng = stream(self._seed, "currency")
        hit = np.zeros(payers, dtype=bool)
        hit[rng.permutation(payers)[: how_many(self._faults.currency, payers)]] = True
        rows = np.bincount(payer, minlength=payers)
        first = (rng.random(payers) * rows).astype(np.int64)
        place = np.empty(len(payer), dtype=np.int64)  # of a row among those of its account
        by_account = np.lexsort((table["booked_at"].to_numpy(), payer))
        place[by_account] = np.arange(len(payer)) - (rows.cumsum() - rows)[payer[by_account]]
        euro: Bools = hit[payer] & (place >= first[payer])
        return euro

    def _in_euro(self, table: pa.Table, euro: Bools) -> pa.Table:
        if not euro.any():
            return table
        self._count("currency", euro)
        units = _units(table)
        table = _priced(table, np.where(euro, np.rint(units / EUR).astype(np.int64), units))
        return put(table, "currency", pc.if_else(pa.array(euro), "EUR", table["currency"]))

    def _shared(self, table: pa.Table, split: Moves) -> pa.Table:
        found, moved = _moved(table, split)
        self._count("split", moved)
        units = _units(table)
        half = np.where(moved, units // 2, 0)
        other = _priced(_suffixed(table.filter(pa.array(moved)), "2"), half[moved])
        other = put(other, "account_id", split.target.take(pa.array(found[moved])))
        return pa.concat_tables([_priced(table, units - half), other])

    def _taken_over(self, table: pa.Table, merged: Moves) -> pa.Table:
        found, moved = _moved(table, merged)
        self._count("merged", moved)
        return put(table, "account_id", merged.relabelled(table["account_id"], found, moved))

    def _count(self, fault: str, hit: Bools) -> None:
        if hit.any():
            self.counts[f"revenue.{fault}"] += int(hit.sum())


def _moved(table: pa.Table, moves: Moves) -> tuple[Ints, Bools]:
    """The move out of the account of each row, -1 for none, and whether the row is booked after it."""
    found = moves.find(table["account_id"])
    return found, (found >= 0) & (table["booked_at"].to_numpy() >= moves.moment(found))


def _suffixed(table: pa.Table, end: str) -> pa.Table:
    return put(table, "revenue_id", pc.binary_join_element_wise(table["revenue_id"], end, "-"))


def _units(table: pa.Table) -> Ints:
    """Amounts in ten-thousandths."""
    units: Ints = np.rint(table["amount"].cast(pa.float64()).to_numpy() * 10**PLACES).astype(np.int64)
    return units


def _priced(table: pa.Table, units: Ints) -> pa.Table:
    whole = pa.array(units).cast(pa.decimal128(19, 0))
    return put(
        table, "amount", pc.multiply(whole, pa.scalar(Decimal(1).scaleb(-PLACES), pa.decimal128(PLACES, PLACES)))
    )
