"""How fast a vendor is invented: events a second, beside the floor of writing the same Parquet files again.

`python benchmarks/simulate.py [--accounts 20000,100000] [--workers N] [--json]`: world `plain`, 8 quarters, with truth.
The floor reads all event files into memory first and then times `warehouse.store.write_table` on the same tables, one
after the other in one process; it is what no simulator that writes these files can beat on one core. Peak memory is the
proportional set size of all processes of the run together, sampled ten times a second.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from simulator.simulate import SimulateParams, simulate
from warehouse.store import read_table, write_table


def run(accounts: int, workers: int | None, folder: Path) -> dict[str, Any]:
    """Seconds, events, and peak memory in MiB of one simulation, and its floor."""
    raw = folder / "raw"
    child = multiprocessing.get_context("spawn").Process(target=_simulate, args=(raw, accounts, workers))
    began, peak = time.perf_counter(), 0
    child.start()
    while child.is_alive():
        peak = max(peak, sum(_memory(process) for process in _tree(child.pid or 0)))
        time.sleep(0.1)
    seconds = time.perf_counter() - began
    if child.exitcode:
        raise SystemExit(f"The simulation of {accounts:,} accounts ended with exit code {child.exitcode}.")
    tables = [read_table(file) for file in sorted((raw / "events").iterdir())]
    events = sum(table.num_rows for table in tables)
    floor = _floor(tables, folder / "again")
    return {
        "accounts": accounts,
        "events": events,
        "seconds": round(seconds, 1),
        "events_a_second": round(events / seconds),
        "floor_seconds": round(floor, 1),
        "times_the_floor": round(seconds / floor, 1),
        "peak_mib": peak // 1024,
    }


def _simulate(raw: Path, accounts: int, workers: int | None) -> None:
    simulate(raw, SimulateParams(accounts=accounts), workers=workers)


def _floor(tables: list[pa.Table], folder: Path) -> float:
    began = time.perf_counter()
    for number, table in enumerate(tables):
        write_table(table, folder / f"{number:04d}.parquet")
    return time.perf_counter() - began


def _tree(process: int) -> list[int]:
    """The process and all below it."""
    try:
        found = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    except OSError:  # it has just ended
        return []
    return [process, *(below for child in found for below in _tree(int(child)))]


def _memory(process: int) -> int:
    """Proportional set size in KiB; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| accounts | events | seconds | events a second | writing the same files | times that floor | peak memory |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['accounts']:,} | {row['events']:,} | {row['seconds']} | {row['events_a_second']:,} "
            f"| {row['floor_seconds']} s | {row['times_the_floor']} | {row['peak_mib']:,} MiB |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", default="20000,100000", help="sizes, separated by commas")
    parser.add_argument("--workers", type=int, help=f"processes; here {os.cpu_count()}")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    for accounts in map(int, asked.accounts.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(run(accounts, asked.workers, Path(folder)))
    print(json.dumps(rows, indent=1) if asked.json else markdown(rows))


if __name__ == "__main__":
    main()
