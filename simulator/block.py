"""One block of accounts, simulated from first day to last by one process, with random streams of its own.

So any number of processes gives the same bytes: a block depends on the seed and its number alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from simulator.accounts import Accounts, accounts_table
from simulator.behaviour import Behaviour, account_users_table, events_table
from simulator.belief import Belief
from simulator.billing import Billing, revenue_table
from simulator.calendar import Calendar
from simulator.lives import Lives
from simulator.market import CHURNED, HORIZONS, Market
from simulator.sales import Sales
from simulator.truth import Truth

SIZE = 2_500  # accounts; part of the seed's meaning, so changing it changes every world
STREAMS = (
    *("stages", "steps", "amounts", "seats", "credits", "closings", "moments"),
    *("emissions", "robots", "delays", "bills", "sales"),
)


@dataclass(frozen=True, eq=False)
class Block:
    """What a process needs to know of a block. `values`: folder of the outlook's arrays, None without truth."""

    number: int
    seed: int
    market: Market
    start: date
    days: int
    accounts: Accounts
    folder: Path
    values: Path | None


def streams(seed: int, block: int) -> dict[str, np.random.Generator]:
    """A random stream for each purpose, so that a change to one leaves the others alone."""
    return {
        name: np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, block, place)))
        for place, name in enumerate(STREAMS)
    }


def last_day(days: int) -> int:
    """Days of calendar that a simulation of `days` needs: its forecasts and bills look further."""
    return days + max(HORIZONS) + 31


def simulate_block(block: Block, calendar: Calendar) -> dict[str, int]:
    """Writes the block's tables as Arrow files in its folder: `events.arrow` holds one record batch a day.

    Returns counts for the run's summary.
    """
    run = BlockRun(block, calendar)
    block.folder.mkdir(parents=True)
    events = 0
    with pa.OSFile(str(block.folder / "events.arrow"), "wb") as sink:
        writer = None
        for table in run.days():
            writer = writer or pa.ipc.new_file(sink, table.schema)
            events += table.num_rows
            writer.write_batch(table.combine_chunks().to_batches()[0] if table.num_rows else _empty(table.schema))
        if writer is not None:
            writer.close()
    for name, table in run.tables().items():
        with (
            pa.OSFile(str(block.folder / f"{name}.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)
    return {**run.counts(), "events": events}


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], kind) for kind in schema.types], schema=schema)


class BlockRun:
    """The days of a block, one after the other; `lives` and `behaviour` stand at the end of the day last given."""

    def __init__(self, block: Block, calendar: Calendar) -> None:
        self._block, self._calendar = block, calendar
        market, accounts = block.market, block.accounts
        self._rngs = streams(block.seed, block.number)
        self._ids = accounts.ids
        self.lives = Lives(self._rngs, market, calendar, accounts)
        self.behaviour = Behaviour(self._rngs, market, calendar, accounts)
        self._sales = Sales(self._rngs["sales"], market, accounts)
        self._truth = None if block.values is None else Truth(market, calendar, accounts, block.values)
        self._truths: list[pa.Table] = []

    def days(self) -> Iterator[pa.Table]:
        """The events of one day after the other."""
        block, lives, calendar = self._block, self.lives, self._calendar
        belief = Belief(block.market, calendar, block.accounts)
        landmarks = set(calendar.month_starts(block.days)) if self._truth else set()
        written, opened = 0, 0
        for number in range(block.days + 1):
            weekly = number % 7 == 0
            if self._truth and number and (weekly or number in landmarks):
                belief.close(opened)
                opened = number
            if self._truth and number in landmarks:
                self._truths.append(self._truth.at(number, belief, lives))
            if number == block.days:
                return
            if weekly:
                if self._truth:
                    belief.turn(number, lives.settling(number - 1))
                lives.turn(number)
                self._sales.turn(number, lives)
            money = lives.day(number)
            events, seen = self.behaviour.day(number, lives)
            lives.looked |= seen.looked & ~lives.settling(number)
            if self._truth:
                belief.see(number, money, seen)
            users, start = self.behaviour.users, block.start
            table = events_table(self._rngs["delays"], events, users, self._ids, block.number, written + 1, start)
            written += table.num_rows
            yield table

    def tables(self) -> dict[str, pa.Table]:
        """Everything but the events."""
        block, lives, users = self._block, self.lives, self.behaviour.users
        market, accounts, start = block.market, block.accounts, block.start
        billing = Billing(self._rngs["bills"], market, self._calendar, block.days)
        rows = [
            row
            for account, changes in enumerate(lives.changes)
            for row in billing.invoices(account, changes, bool(accounts.yearly[account]))
        ]
        plan = np.searchsorted(market.floors, lives.rate, side="right") - 1
        tables = {
            "accounts": accounts_table(accounts, market, start, lives.closed_at, plan),
            "revenue": revenue_table(rows, self._ids, block.number, start),
            "account_users": account_users_table(users, self._ids, block.number, lives.closed_at, start),
        }
        if market.sells:
            tables["touches"] = self._sales.table(start)
        if self._truth:
            tables["truth"] = pa.concat_tables(self._truths).sort_by(
                [("account_id", "ascending"), ("as_of", "ascending"), ("horizon", "ascending")]
            )
        return tables

    def counts(self) -> dict[str, Any]:
        lives, market = self.lives, self._block.market
        tiers = np.bincount(np.searchsorted(market.floors, lives.rate, side="right") - 1, minlength=len(market.tiers))
        return {
            "accounts": len(self._block.accounts),
            "internal": int(self._block.accounts.internal.sum()),
            "closed": int((lives.closed_at >= 0).sum()),
            "churned": int((lives.stage == CHURNED).sum()),
            "users": self.behaviour.users.count,
            "paid": sum(1 for changes in lives.changes if changes),
            **{f"tier {name}": int(tiers[place]) for place, name in enumerate(market.tiers)},
        }
