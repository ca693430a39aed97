"""The simulate stage: an invented vendor's raw tables and the truth about them, seeded, streamed to Parquet."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field
from threadpoolctl import threadpool_limits

from simulator.accounts import draw_accounts
from simulator.block import SIZE, Block, last_day, simulate_block
from simulator.calendar import calendar_of
from simulator.faults import Faults
from simulator.market import Market
from simulator.outlook import Outlook
from simulator.spoiling import Spoiler
from simulator.truth import write_values
from simulator.worlds import World, world_of
from warehouse.command import ended
from warehouse.errors import UsageError
from warehouse.params import Section, read_params, section
from warehouse.progress import Report, stage
from warehouse.store import swap_folder, write_table


class SimulateParams(Section):
    """Section `simulate`. `quarters`: calendar length of the simulation, three months each, from `start`. The world
    `tiny` never has more than 2,000 accounts, whatever `accounts` says. `truth`: write the best possible scores too.
    `faults`: instead of those of the world."""

    world: str = "plain"
    accounts: int = Field(default=12_000, ge=1, le=10_000_000)
    quarters: int = Field(default=8, ge=1, le=40)
    start: date = date(2024, 1, 1)
    seed: int = Field(default=7, ge=0)
    truth: bool = True
    faults: Faults | None = None


def simulate(out: Path, params: SimulateParams, force: bool = False, workers: int | None = None) -> dict[str, Any]:
    """Writes `accounts`, `events/YYYY-MM-DD` (one file a day of occurrence), `revenue`, `account_users`, where sales
    calls `touches`, and `truth` under `out`, whole or not at all. The same params give the same bytes, whatever the
    number of `workers` (processes; one a core by default).

    Returns counts and sums of what was written.

    Raises:
        UsageError: unknown world, or `out` holds something and `force` is not given.
    """
    world = world_of(params.world)
    _refuse_to_overwrite(out, force)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with stage(f"simulate {params.world}") as report, threadpool_limits(1):
            summary = _Run(world, params, partial, report, workers or os.cpu_count() or 1).write()
        swap_folder(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary


class _Run:
    def __init__(self, world: World, params: SimulateParams, folder: Path, report: Report, workers: int) -> None:
        self._params, self._folder, self._report, self._workers = params, folder, report, workers
        self._market = world.market()
        self._faults = world.faults if params.faults is None else params.faults
        self._spoils = self._faults != Faults()
        self._most = world.most_accounts or params.accounts
        self._end = _months_later(params.start, 3 * params.quarters)
        self._days = (self._end - params.start).days
        self._calendar = calendar_of(self._market, params.start, last_day(self._days))
        self._parts = folder / "parts"

    def write(self) -> dict[str, Any]:
        params = self._params
        count = min(params.accounts, self._most)
        blocks = self._blocks(count)
        with ExitStack() as stack:
            run = self._runner(stack, len(blocks))
            if params.truth:
                landmarks = self._calendar.month_starts(self._days)
                (self._parts / "values").mkdir(parents=True)
                tasks = [(self._market, params.start, self._days, day, self._parts / "values") for day in landmarks]
                for done, _ in enumerate(run(_values_task, tasks), start=1):
                    self._report(f"outlook from {done} of {len(landmarks)} month starts")
            totals: Counter[str] = Counter()
            for counts in run(_block_task, [(block,) for block in blocks]):
                totals.update(counts)
                self._report(f"{totals['accounts']:,} of {count:,} accounts, {totals['events']:,} events")
            accounts = _joined(blocks, "accounts")
            spoiler = (self._faults, accounts, params.start, self._days, params.seed)
            hits: Counter[str] = Counter()
            for counts in run(_days_task, self._day_tasks(blocks, spoiler)):
                hits.update(counts)
        hits.update(self._write_tables(blocks, Spoiler(*spoiler)))
        shutil.rmtree(self._parts)
        return {
            "world": params.world,
            "seed": params.seed,
            "start": params.start.isoformat(),
            "end": self._end.isoformat(),
            **{name: number for name, number in totals.items() if not name.startswith("tier ")},
            "tiers": {name: totals[f"tier {name}"] for name in self._market.tiers},
            "faults": dict(sorted(hits.items())),
        }

    def _write_tables(self, blocks: list[Block], spoiler: Spoiler) -> Counter[str]:
        """Everything but the events; returns the faults that hit."""
        spoil = {"accounts": spoiler.accounts, "revenue": spoiler.revenue, "account_users": spoiler.account_users}
        for name in sorted(path.stem for path in blocks[0].folder.glob("*.arrow") if path.stem != "events"):
            table = spoil[name](_joined(blocks, name)) if name in spoil else _joined(blocks, name)
            notes = {"ladder": json.dumps(self._market.floors.tolist()), "spoiled": json.dumps(self._spoils)}
            table = table.replace_schema_metadata(notes) if name == "truth" else table
            write_table(table, self._folder / f"{name}.parquet")
        return spoiler.counts

    def _blocks(self, count: int) -> list[Block]:
        params = self._params
        rng = np.random.default_rng(np.random.SeedSequence(params.seed, spawn_key=(0,)))
        accounts = draw_accounts(rng, self._market, self._calendar, count, self._days)
        values = self._parts / "values" if params.truth else None
        return [
            Block(
                number=number,
                seed=params.seed,
                market=self._market,
                start=params.start,
                days=self._days,
                accounts=accounts.part(first, first + SIZE),
                folder=self._parts / f"{number:04d}",
                values=values,
            )
            for number, first in enumerate(range(0, count, SIZE))
        ]

    def _day_tasks(self, blocks: list[Block], spoiler: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """A month of days each."""
        files = [block.folder / "events.arrow" for block in blocks]
        turns = sorted({0, *self._calendar.month_starts(self._days), self._days})
        start, folder = self._params.start, self._folder / "events"
        return [(files, start, first, after, folder, spoiler) for first, after in itertools.pairwise(turns)]

    def _runner(self, stack: ExitStack, blocks: int) -> Callable[..., Iterable[Any]]:
        """How tasks are run: here, or on a pool of processes where there is enough to share out."""
        if self._workers == 1 or blocks == 1:
            return lambda task, arguments: (task(*each) for each in arguments)
        context = get_context("spawn")
        pool = stack.enter_context(ProcessPoolExecutor(self._workers, context, initializer=_one_thread))

        def spread(task: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> Iterable[Any]:
            futures: list[Future[Any]] = [pool.submit(task, *each) for each in arguments]
            return (future.result() for future in as_completed(futures))

        return spread


def _one_thread() -> None:
    """One thread a process: as many processes as cores are at work, and a sum must not depend on their number."""
    threadpool_limits(1)


def _values_task(market: Market, start: date, days: int, landmark: int, folder: Path) -> None:
    write_values(Outlook(market, calendar_of(market, start, last_day(days))), landmark, folder)


def _block_task(block: Block) -> dict[str, int]:
    return simulate_block(block, calendar_of(block.market, block.start, last_day(block.days)))


def _days_task(
    files: list[Path], start: date, first: int, after: int, folder: Path, spoiler: tuple[Any, ...]
) -> Counter[str]:
    """Writes the event files of days [first, after) from those of the blocks; returns the faults that hit."""
    readers = [pa.ipc.open_file(pa.memory_map(str(file))) for file in files]
    spoil = Spoiler(*spoiler)
    for number in range(first, after):
        table = spoil.events(number, pa.Table.from_batches([reader.get_batch(number) for reader in readers]))
        if table is not None:
            write_table(table, folder / f"{start + timedelta(days=number)}.parquet")
    return spoil.counts


def _joined(blocks: list[Block], name: str) -> pa.Table:
    parts = [pa.ipc.open_file(pa.memory_map(str(block.folder / f"{name}.arrow"))).read_all() for block in blocks]
    return pa.concat_tables(parts)


def _refuse_to_overwrite(out: Path, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file. Give a folder to --out.")
    if not force and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty and is left as it is. Give another --out, or --force to replace it.")


def _months_later(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, min(day.day, 28))


def main(argv: list[str] | None = None) -> int:
    """`python -m simulator.simulate --out DIR [--params FILE] [--force]`."""
    parser = argparse.ArgumentParser(prog="python -m simulator.simulate", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the raw tables")
    parser.add_argument("--params", type=Path, help="params file; default: params.yaml here")
    parser.add_argument("--force", action="store_true", help="replace what the folder holds")
    arguments = parser.parse_args(argv)

    def called() -> None:
        simulate(arguments.out, section(read_params(arguments.params), "simulate", SimulateParams), arguments.force)

    return ended(called)


if __name__ == "__main__":
    raise SystemExit(main())
