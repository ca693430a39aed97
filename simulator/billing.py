"""What the accounts pay: the invoices that price changes leave behind.

One account through this file: it steps to 25.00 per 30 days on 12 March and is invoiced at once for [12 March, 1
April), then on the first of each month, by the number of its days. On 2 May it steps up to 180.00 and pays the
difference for [2 May, 1 June). Were it billed by the year, it would on the same day also pay for [1 June, 1 May of the
next year). So its run-rate, spread over service periods, follows its price on the very day, to the cent.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa

from simulator.accounts import DAY, numbered, timestamps
from simulator.calendar import Calendar
from simulator.lives import BACK, CREDIT, STEP, STOP, Change
from simulator.market import Market

CURRENCY = "USD"


@dataclass(frozen=True)
class Row:
    """One row of the raw table. `booked`: seconds since the first midnight of the simulation; `start`, `end`: days."""

    account: int
    amount: float
    booked: int
    start: int
    end: int
    kind: str


class Billing:
    """Turns the changes of an account into invoices, prorations, credits and refunds up to day `last`."""

    def __init__(self, rng: np.random.Generator, market: Market, calendar: Calendar, last: int) -> None:
        self._rng, self._market, self._calendar, self._last = rng, market, calendar, last

    def invoices(self, account: int, changes: list[Change], yearly: bool) -> Iterator[Row]:
        """All rows of one account, in the order in which they are booked; service is paid in [start, end) of rows.

        `yearly`: from tier 2 on, periods are a year long.
        """
        rate, paid_to = 0.0, 0  # price; day up to which service is invoiced
        waiting = deque(changes)
        while True:
            day = waiting[0].second // DAY if waiting else self._last
            stops = bool(waiting) and waiting[0].cause == STOP
            if rate > 0.0 and paid_to < self._last and (paid_to < day or (paid_to == day and not stops)):
                begin, paid_to = paid_to, self._period_end(paid_to, yearly, rate)
                booked = begin * DAY + int(self._rng.integers(0, 3_600))
                yield self._row(account, rate, booked, begin, paid_to, "subscription")
            elif not waiting:
                return
            else:
                change = waiting.popleft()
                if change.cause == CREDIT:
                    yield self._row(account, -change.rate, change.second, day, change.until, "credit")
                    continue
                if rate > 0.0 and paid_to > day:
                    kind = self._kind(change, rate)
                    yield self._row(account, change.rate - rate, change.second, day, paid_to, kind)
                begin = paid_to if rate > 0.0 else day
                rate = change.rate
                paid_to = max(begin, self._period_end(day, yearly, rate)) if change.cause == STEP else begin
                if begin < paid_to:
                    yield self._row(account, rate, change.second, begin, paid_to, "subscription")

    def _period_end(self, day: int, yearly: bool, rate: float) -> int:
        """The first day of the next month; for those billed by the year: of this month, a year on."""
        if not yearly or rate < self._market.floors[2]:
            return int(self._calendar.month_end[day])
        opened = self._calendar.day(day).replace(day=1)
        return (opened.replace(year=opened.year + 1) - self._calendar.start).days

    def _row(self, account: int, rate: float, booked: int, start: int, end: int, kind: str) -> Row:
        return Row(account, rate / 30.0 * (end - start), booked, start, end, kind)

    def _kind(self, change: Change, rate: float) -> str:
        if change.cause == STOP:
            return "refund"
        if change.cause == BACK:
            return "refund" if self._rng.random() < 0.5 else "credit"
        return "invoice" if change.rate >= rate else "credit"


def revenue_table(rows: list[Row], ids: pa.Array, block: int, start: date) -> pa.Table:
    """The raw table of all rows, by time of booking."""
    rows = sorted((row for row in rows if _cents(row.amount) != 0), key=lambda row: (row.booked, row.account))
    columns = {
        name: np.array([getattr(row, name) for row in rows], dtype=np.int64)
        for name in ("account", "booked", "start", "end")
    }
    return pa.table(
        {
            "revenue_id": numbered(f"r-{block:04d}-", np.arange(1, len(rows) + 1), 6),
            "account_id": ids.take(pa.array(columns["account"])),
            "amount": pa.array([_cents(row.amount) for row in rows], pa.decimal128(18, 4)),
            "currency": pa.array([CURRENCY] * len(rows), pa.string()),
            "booked_at": timestamps(columns["booked"], start),
            "period_start": timestamps(columns["start"] * DAY, start),
            "period_end": timestamps(columns["end"] * DAY, start),
            "kind": pa.array([row.kind for row in rows], pa.string()),
        }
    )


def _cents(amount: float) -> Decimal:
    """Rounded up to whole cents, so that nobody ever gets back more than was paid."""
    return Decimal(math.ceil(round(amount * 100, 4))).scaleb(-2)
