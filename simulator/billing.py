"""What the accounts pay: hidden steps up the ladder first, then the invoices such steps leave behind.

One account through this file: trial until 12 March, when it steps to 25.00 a month. It is invoiced for
[12 March, 12 April), [12 April, 12 May), ...; on 2 May it steps up to 180.00 and pays ten 30ths of the difference for
[2 May, 12 May) at once. Its run-rate follows its price on the very day, give or take the length of a month.
"""

from __future__ import annotations

import calendar
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from simulator.accounts import DAY, Accounts, timestamps
from simulator.behaviour import NOT_YET, numbered
from simulator.market import CHURNED, Floats, Ints, Market, Stages, daily

CURRENCY = "USD"
MONTH = 365.25 / 12  # days: a price is per average month, a run-rate per 30 days
HELD = 35 * DAY  # seconds a step stays paid for even when the account churns the week after
STEP, SEATS, REVOKED = 1, 2, 3


@dataclass(frozen=True)
class Change:
    """A new price. `second`: since the first midnight of the simulation; `rate`: money per 30 days from then on."""

    second: int
    rate: float
    cause: int


@dataclass(frozen=True)
class Row:
    """One row of the raw table; times in seconds since the first midnight of the simulation."""

    account: int
    amount: float
    start: int
    end: int
    kind: str


class Ladder:
    """Walks all accounts up the ladder, day by day: `rate` is what each pays per 30 days, `changes` how it came."""

    def __init__(self, rng: np.random.Generator, market: Market, accounts: Accounts, start: date) -> None:
        self.rate = np.zeros(len(accounts))
        self.changes: list[list[Change]] = [[] for _ in range(len(accounts))]
        self._rng, self._market, self._accounts, self._start = rng, market, accounts, start
        self._chance = market.step_chance()
        self._seats = daily(market.seat_step)
        self._before = np.zeros(len(accounts))
        self._revoke_on = np.full(len(accounts), -1, dtype=np.int64)

    def day(self, number: int, stage: Ints) -> None:
        """Everything that changes on day `number` for accounts in `stage`."""
        market, accounts, rng = self._market, self._accounts, self._rng
        _, factor = market.calendar(self._start + timedelta(days=number))
        near = market.near_expiry(number - accounts.first_day, accounts.channel)
        chance = self._chance[accounts.type, accounts.size, stage] * factor
        chance *= np.where(near, market.trial_expiry[1], 1.0)
        draw = rng.random(len(accounts))
        free = (stage != NOT_YET) & (accounts.first_day < number) & ~accounts.internal & (self._revoke_on < number)
        below_top = self.rate < market.floors[-1]
        steps = np.flatnonzero(free & below_top & (draw < chance))
        seats = np.flatnonzero(free & (self.rate > 0) & (draw > 1.0 - self._seats[stage]))
        revoked = np.flatnonzero(self._revoke_on == number)
        self._change(revoked, self._before[revoked], number, REVOKED)
        self._change(seats, self._with_seats(seats), number, SEATS)
        self._before[steps] = self.rate[steps]
        self._change(steps, self._stepped(steps), number, STEP)
        back = steps[rng.random(len(steps)) < market.revoked]
        self._revoke_on[back] = number + rng.integers(4, 25, size=len(back))

    def _stepped(self, who: Ints) -> Floats:
        """New run-rates after a step: over the next floor by a log-normal share of it, never just under or just over
        another floor, where the length of a month alone would move the account between tiers."""
        market, accounts = self._market, self._accounts
        into = np.searchsorted(market.floors, self.rate[who], side="right")
        median = market.gain[accounts.type[who]] * market.gain_size[accounts.size[who]]
        over = median * np.exp(self._rng.normal(0.0, market.gain_noise, len(who)))
        rate = market.floors[into] * (market.landing + over)
        for floor in market.floors[2:]:
            edge = (rate > market.ceiling * floor) & (rate < market.landing * floor) & (market.floors[into] < floor)
            rate[edge] = market.ceiling * floor
        return rate

    def _with_seats(self, who: Ints) -> Floats:
        """New run-rates after some more seats: closer to the end of the tier, never over it."""
        market = self._market
        rate = self.rate[who]
        above = np.searchsorted(market.floors, rate, side="right")
        top = above == len(market.floors)
        limit = market.ceiling * market.floors[np.minimum(above, len(market.floors) - 1)]
        grown: Floats = np.where(
            top, rate * (1.0 + market.top_growth), rate + market.seat_share * np.maximum(limit - rate, 0.0)
        )
        return grown

    def _change(self, who: Ints, rate: Floats, number: int, cause: int) -> None:
        moments = number * DAY + self._rng.integers(7 * 3_600, 19 * 3_600, size=len(who))
        for account, moment, new in zip(who.tolist(), moments.tolist(), rate.tolist(), strict=True):
            self.changes[account].append(Change(moment, new, cause))
        self.rate[who] = rate


def churned_at(stages: Stages) -> Ints:
    """Second of the simulation at which each account churned, -1 for those that did not."""
    churned = stages == CHURNED
    return np.where(churned.any(axis=1), churned.argmax(axis=1) * 7 * DAY, -1)


class Billing:
    """Turns the changes of an account into invoices, prorations, credits and refunds up to second `last`."""

    def __init__(self, rng: np.random.Generator, market: Market, start: date, last: int) -> None:
        self._rng, self._market, self._last = rng, market, last
        self._origin = datetime(start.year, start.month, start.day)

    def invoices(self, account: int, changes: list[Change], churned: int) -> Iterator[Row]:
        """All rows of one account in the order of their periods. `churned`: second, -1 for never: no new period
        starts after it, nor is the last step unpaid before it was held."""
        yearly = self._rng.random() < self._market.annual
        waiting = deque(changes)
        while waiting:
            yield from self._subscription(account, waiting, churned, yearly)

    def _subscription(self, account: int, waiting: deque[Change], churned: int, yearly: bool) -> Iterator[Row]:
        """From the first waiting change until the price falls to nothing, the account leaves or the time is up."""
        first = waiting.popleft()
        start, rate, stepped = first.second, first.rate, first.second
        anchor = self._at(start).day
        while rate > 0.0 and start < self._last:
            if churned >= 0 and max(churned, stepped + HELD) <= start:
                waiting.clear()
                return
            months = 12 if yearly and rate >= self._market.floors[2] else 1
            end = self._later(start, months, anchor)
            yield Row(account, self._price(rate) * months, start, end, "subscription")
            if not 0 <= churned < end and not (waiting and waiting[0].second < end):
                yield from self._goodwill(account, rate, months, start, end)
            while rate > 0.0 and waiting and waiting[0].second < end:
                change = waiting.popleft()
                share = (end - change.second) / (end - start)
                amount = (self._price(change.rate) - self._price(rate)) * months * share
                yield Row(account, amount, change.second, end, self._kind(change))
                rate = change.rate
                stepped = change.second if change.cause == STEP else stepped
            if churned >= 0:
                yield from self._unused(account, rate, months, start, end, max(churned, stepped + HELD))
            start = end

    def _goodwill(self, account: int, rate: float, months: int, start: int, end: int) -> Iterator[Row]:
        """Now and then half of what lies over the floor of the tier is credited for the rest of a period in
        which nothing else happens: no credit alone moves an account to another tier."""
        if self._rng.random() >= self._market.credited:
            return
        floor = self._market.floors[self._market.floors <= rate].max()
        moment = start + int(self._rng.uniform(0.1, 0.6) * (end - start))
        amount = 0.5 * (self._price(rate) - self._price(floor) * self._market.landing) * months
        amount *= (end - moment) / (end - start)
        if amount >= 1.0:
            yield Row(account, -amount, moment, end, "credit")

    def _unused(self, account: int, rate: float, months: int, start: int, end: int, leaves: int) -> Iterator[Row]:
        """Some who leave within a period get the rest of it back."""
        if rate <= 0.0 or not start < leaves < end or self._rng.random() >= self._market.refunded:
            return
        amount = self._price(rate) * months * (end - leaves) / (end - start)
        yield Row(account, -amount, leaves, end, "refund")

    def _kind(self, change: Change) -> str:
        if change.cause == REVOKED:
            return "refund" if self._rng.random() < 0.5 else "credit"
        return "invoice"

    def _price(self, rate: float) -> float:
        return round(rate / 30.0 * MONTH, 2)

    def _at(self, second: int) -> datetime:
        return self._origin + timedelta(seconds=second)

    def _later(self, second: int, months: int, anchor: int) -> int:
        """The same time of day `months` months on, on day `anchor` or the last of a shorter month."""
        moment = self._at(second)
        index = moment.year * 12 + moment.month - 1 + months
        year, month = index // 12, index % 12 + 1
        day = min(anchor, calendar.monthrange(year, month)[1])
        return int((moment.replace(year=year, month=month, day=day) - self._origin).total_seconds())


def closings(rng: np.random.Generator, market: Market, churned: Ints, paid_until: Ints, last: int) -> Ints:
    """Second at which each account closes for good, -1 for those still open at `last`: some time after churning, and
    never while a paid period runs, unless the world closes accounts the moment they churn."""
    delay = (rng.random(len(churned)) * market.closing_days * DAY).astype(np.int64)
    closed = np.maximum(churned + delay, paid_until) if market.closing_days else churned
    leaves: NDArray[np.bool_] = (churned >= 0) & (rng.random(len(churned)) < market.closed) & (closed < last)
    return np.where(leaves, closed, -1)


def revenue_table(rows: list[Row], ids: pa.Array, last: int, start: date) -> pa.Table:
    """The raw table of all rows booked before `last`, by time of booking. A row is booked when its period starts."""
    booked = [row for row in rows if row.start < last and _cents(row.amount) != 0]
    rows = sorted(booked, key=lambda row: (row.start, row.account))
    begins = np.array([row.start for row in rows], dtype=np.int64)
    return pa.table(
        {
            "revenue_id": numbered("r", np.arange(1, len(rows) + 1)),
            "account_id": ids.take(pa.array([row.account for row in rows], pa.int64())),
            "amount": pa.array([_cents(row.amount) for row in rows], pa.decimal128(18, 4)),
            "currency": pa.array([CURRENCY] * len(rows), pa.string()),
            "booked_at": timestamps(begins, start),
            "period_start": timestamps(begins, start),
            "period_end": timestamps(np.array([row.end for row in rows], dtype=np.int64), start),
            "kind": pa.array([row.kind for row in rows], pa.string()),
        }
    )


def _cents(amount: float) -> Decimal:
    """Rounded up to whole cents, so that nobody ever gets back more than was paid."""
    return Decimal(math.ceil(round(amount * 100, 4))).scaleb(-2)
