"""One life of the plain world from the inside: what `truth.parquet` and the raw tables cannot show, for a picture.

The first block of a simulation is simulated again, day by day, with a look at its hidden stages. The block is the one
that `simulate` makes of the same params, so the life that is drawn is in the raw tables too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from simulator.accounts import Accounts, draw_accounts
from simulator.behaviour import CONFIGURATION, EVERYDAY, LAUNCHED, SPECIALIST
from simulator.block import SIZE, Block, BlockRun, last_day
from simulator.calendar import Calendar, calendar_of
from simulator.market import MUSHROOM, Floats, Ints, Market
from simulator.outlook import Outlook
from simulator.truth import write_values
from warehouse.errors import UsageError

ROOMY = 18  # users that an account could have
GROUPS = {
    "everyday": tuple(EVERYDAY),
    "specialist": tuple({**SPECIALIST, **LAUNCHED}),
    "configuration": tuple(CONFIGURATION),
    "limits hit": ("limit_hit",),
}


@dataclass(frozen=True, eq=False)
class Life:
    """One account, day by day from the first midnight of the simulation; arrays (days,) unless said.

    `kind`: its hidden type; `stage`: hidden, -1 before sign-up; `users`; `rate`: money per 30 days; `events` (GROUPS,
    days); `invoices`: (day booked, amount, kind); `chances`: (day, observer's, clairvoyant's) chance of a step up at
    each month start, nan in the top tier.
    """

    account_id: str
    kind: str
    capacity: int
    start: date
    signed_up: int
    stage: Ints
    users: Ints
    rate: Floats
    events: Ints
    invoices: list[tuple[int, float, str]]
    chances: list[tuple[int, float, float]]


@dataclass(frozen=True, eq=False)
class Trace:
    """A block of accounts, day by day: stage, users, rate (days, n) and events (GROUPS, days, n); its raw tables."""

    market: Market
    accounts: Accounts
    start: date
    stage: Ints
    users: Ints
    rate: Floats
    events: Ints
    tables: dict[str, pa.Table]

    def life(self, account: int, horizon: int) -> Life:
        """The account at place `account` of the block, with its chances within `horizon` days."""
        found, who = self.accounts, self.accounts.ids[account].as_py()
        revenue = self.tables["revenue"].filter(pc.equal(self.tables["revenue"]["account_id"], who))
        truth = self.tables["truth"]
        truth = truth.filter(pc.and_(pc.equal(truth["account_id"], who), pc.equal(truth["horizon"], horizon)))
        pairs = (_numbers(truth[name]) for name in ("expansion", "clairvoyant_expansion"))
        days = [(day - self.start).days for day in truth["as_of"].to_pylist()]
        booked = [(moment.date() - self.start).days for moment in revenue["booked_at"].to_pylist()]
        amounts = [float(amount) for amount in revenue["amount"].to_pylist()]
        return Life(
            account_id=who,
            kind=self.market.types[int(found.type[account])],
            capacity=int(self.market.user_capacity[found.size[account]]),
            start=self.start,
            signed_up=int(found.first_day[account]),
            stage=self.stage[:, account],
            users=self.users[:, account],
            rate=self.rate[:, account],
            events=self.events[:, :, account],
            invoices=list(zip(booked, amounts, revenue["kind"].to_pylist(), strict=True)),
            chances=list(zip(days, *pairs, strict=True)),
        )


def trace(market: Market, start: date, days: int, count: int, seed: int, folder: Path) -> Trace:
    """The first block of the simulation of `count` accounts over `days` days. `folder`: for the outlook's arrays."""
    calendar = calendar_of(market, start, last_day(days))
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    accounts = draw_accounts(rng, market, calendar, count, days).part(0, SIZE)
    with threadpool_limits(1):  # as in `simulate`: a sum must not depend on the number of threads
        outlook = Outlook(market, calendar)
        for landmark in calendar.month_starts(days):
            write_values(outlook, landmark, folder)
        return _traced(Block(0, seed, market, start, days, accounts, folder, folder), calendar)


def _traced(block: Block, calendar: Calendar) -> Trace:
    run, shape = BlockRun(block, calendar), (block.days, len(block.accounts))
    stage, users = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    rate, events = np.zeros(shape), np.zeros((len(GROUPS), *shape), dtype=np.int64)
    ids = block.accounts.ids
    for number, table in enumerate(run.days()):
        stage[number], rate[number] = run.lives.stage, run.lives.rate
        users[number] = run.behaviour.users.per_account
        closed = run.lives.closed_at >= 0
        users[number, closed] = 0
        who = pc.index_in(table["account_id"], value_set=ids).to_numpy()
        for place, names in enumerate(GROUPS.values()):
            mine = pc.is_in(table["event_name"], value_set=pa.array(names)).to_numpy()
            events[place, number] = np.bincount(who[mine], minlength=shape[1])
    return Trace(block.market, block.accounts, block.start, stage, users, rate, events, run.tables())


def typical_mushroom(traced: Trace) -> int:
    """The mushroom that the picture shows: of those with room for enough users that there is something to see, which
    went up tier by tier at least to the one that counts as high value and never down, the one that took the median
    time from sign-up to there (of an even number, the shorter of the two in the middle).

    Raises:
        UsageError: no mushroom of the block did.
    """
    market, accounts = traced.market, traced.accounts
    tier = np.searchsorted(market.floors, traced.rate, side="right") - 1
    roomy = market.user_capacity[accounts.size] >= ROOMY
    took: list[tuple[int, int]] = []
    for account in np.flatnonzero((accounts.type == MUSHROOM) & roomy & ~accounts.internal).tolist():
        path = tier[:, account]
        steps = np.diff(path)
        if path[-1] >= market.high_value and steps.min() >= 0 and steps.max() == 1:
            took.append((int(np.argmax(path == market.high_value) - accounts.first_day[account]), account))
    if not took:
        raise UsageError("No mushroom of the first block went up the ladder tier by tier. Simulate more accounts.")
    return sorted(took)[(len(took) - 1) // 2][1]


def _numbers(column: pa.ChunkedArray) -> list[float]:
    return [float("nan") if value is None else float(value) for value in column.to_pylist()]
