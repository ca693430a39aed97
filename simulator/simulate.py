"""The simulate stage: an invented vendor's raw tables, seeded, streamed to Parquet month by month."""

from __future__ import annotations

import argparse
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from simulator.accounts import DAY, Accounts, accounts_table, draw_accounts
from simulator.behaviour import Behaviour, Events, account_users_table, events_table, walk_stages
from simulator.billing import Billing, Ladder, Row, churned_at, closings, revenue_table
from simulator.market import MOST_ACCOUNTS, Ints, Market, Stages, market_of
from warehouse.errors import UsageError
from warehouse.params import Section, read_params, section
from warehouse.periods import month_starts
from warehouse.progress import Report, stage
from warehouse.store import swap_folder, write_table


class SimulateParams(Section):
    """Section `simulate`. `quarters`: calendar length of the simulation, three months each, from `start`. The world
    `tiny` never has more than 2,000 accounts, whatever `accounts` says."""

    world: str = "plain"
    accounts: int = Field(default=12_000, ge=1, le=10_000_000)
    quarters: int = Field(default=8, ge=1, le=40)
    start: date = date(2024, 1, 1)
    seed: int = Field(default=7, ge=0)


def simulate(out: Path, params: SimulateParams, force: bool = False) -> dict[str, Any]:
    """Writes `accounts`, `events/` (one file a month of occurrence), `revenue` and `account_users` under `out`, whole
    or not at all. The same params give the same bytes.

    Returns counts and sums of what was written. Nothing hidden (type, size, stage) is written anywhere.

    Raises:
        UsageError: unknown world, or `out` holds something and `force` is not given.
    """
    market = market_of(params.world)
    _refuse_to_overwrite(out, force)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with stage(f"simulate {params.world}") as report:
            summary = _Run(market, params, partial, report).write()
        swap_folder(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary


class _Run:
    """One simulation. Sign-ups, stages, steps, emissions, billing and closings each draw from a stream of their own,
    so that a change to one leaves the others alone."""

    def __init__(self, market: Market, params: SimulateParams, folder: Path, report: Report) -> None:
        self._market, self._params, self._folder, self._report = market, params, folder, report
        streams = [np.random.default_rng(seed) for seed in np.random.SeedSequence(params.seed).spawn(7)]
        self._sign_ups, self._stages, self._steps, self._emissions = streams[:4]
        self._billing, self._closing, self._delays = streams[4:]
        self._end = _months_later(params.start, 3 * params.quarters)
        self._days = (self._end - params.start).days

    def write(self) -> dict[str, Any]:
        market, params = self._market, self._params
        count = min(params.accounts, MOST_ACCOUNTS.get(params.world, params.accounts))
        accounts = draw_accounts(self._sign_ups, market, count, params.start, self._days)
        stages = walk_stages(self._stages, market, accounts, self._days)
        ids = pa.array(accounts.ids, pa.string())
        churned = churned_at(stages)
        ladder = self._climb(accounts, stages)
        revenue, closed_at = self._bill(accounts, ladder, churned, ids)
        behaviour = Behaviour(self._emissions, market, accounts, stages, params.start)
        events = self._stream_events(behaviour, ids)
        plan = np.searchsorted(market.floors, np.where(churned >= 0, 0.0, ladder.rate), side="right") - 1
        for name, table in {
            "accounts": accounts_table(accounts, market, params.start, closed_at, plan),
            "revenue": revenue,
            "account_users": account_users_table(behaviour.users, ids, closed_at, params.start),
        }.items():
            write_table(table, self._folder / f"{name}.parquet")
        return {
            "world": params.world,
            "seed": params.seed,
            "start": params.start.isoformat(),
            "end": self._end.isoformat(),
            "accounts": count,
            "internal": int(accounts.internal.sum()),
            "closed": int((closed_at >= 0).sum()),
            "users": behaviour.users.count,
            "events": events,
            "revenue_rows": revenue.num_rows,
            "paying": sum(1 for changes in ladder.changes if changes),
            "tiers": dict(zip(market.tiers, np.bincount(plan, minlength=len(market.tiers)).tolist(), strict=True)),
        }

    def _climb(self, accounts: Accounts, stages: Stages) -> Ladder:
        ladder = Ladder(self._steps, self._market, accounts, self._params.start)
        for number in range(self._days):
            ladder.day(number, stages[:, number // 7].astype(np.int64))
        return ladder

    def _bill(self, accounts: Accounts, ladder: Ladder, churned: Ints, ids: pa.Array) -> tuple[pa.Table, Ints]:
        """The revenue table, and the second at which each account closed (-1: open)."""
        last = self._days * DAY
        billing = Billing(self._billing, self._market, self._params.start, last)
        rows: list[Row] = []
        paid_until = np.zeros(len(accounts), dtype=np.int64)
        for account, changes in enumerate(ladder.changes):
            for row in billing.invoices(account, changes, int(churned[account])):
                rows.append(row)
                paid_until[account] = max(paid_until[account], row.end)
        closed_at = closings(self._closing, self._market, churned, paid_until, last)
        return revenue_table(rows, ids, last, self._params.start), closed_at

    def _stream_events(self, behaviour: Behaviour, ids: pa.Array) -> int:
        """Writes events/YYYY-MM.parquet, a month at a time; returns the number of events."""
        start, written = self._params.start, 0
        turns = month_starts(start + timedelta(days=1), self._end - timedelta(days=1))
        for first, after in zip([start, *turns], [*turns, self._end], strict=True):
            days = [behaviour.day(number) for number in range((first - start).days, (after - start).days)]
            events = Events.joined(days)
            table = events_table(self._delays, events, behaviour.users, ids, written + 1, start)
            write_table(table, self._folder / "events" / f"{first:%Y-%m}.parquet")
            written += table.num_rows
            self._report(f"{first:%Y-%m}, {written:,} events")
        return written


def _refuse_to_overwrite(out: Path, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file. Give a folder to --out.")
    if not force and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty and is left as it is. Give another --out, or --force to replace it.")


def _months_later(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, min(day.day, 28))


def main(argv: list[str] | None = None) -> None:
    """`python -m simulator.simulate --out DIR [--params FILE] [--force]`."""
    parser = argparse.ArgumentParser(prog="python -m simulator.simulate", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the raw tables")
    parser.add_argument("--params", type=Path, help="params file; default: params.yaml here")
    parser.add_argument("--force", action="store_true", help="replace what the folder holds")
    arguments = parser.parse_args(argv)
    simulate(arguments.out, section(read_params(arguments.params), "simulate", SimulateParams), arguments.force)


if __name__ == "__main__":
    main()
