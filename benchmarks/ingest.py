"""How long an ingest of 20 million events takes, against reading and re-writing the same Parquet in the same DuckDB.

`python benchmarks/ingest.py [--events N] [--accounts N] [--days N] [--json FILE] [--keep DIR]`

floor: `COPY (SELECT * FROM every events file) TO one Parquet file` with the product's own connection (memory, threads).
ingest: the whole verb in a fresh process: find, read, type, judge, de-duplicate, hash user ids, sort, write, account.
new day: one more day of files on top; again: the same delivery a second time. Peak memory is the child's resident set.
The market is plain SQL: 40 event names, accounts of very unequal size, 0.5 % of rows delivered twice, 1 % two days
late.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from warehouse.engine import connect
from warehouse.scratch import scratch

START = date(2023, 1, 1)
REPEATS = 3


def market(raw: Path, events: int, accounts: int, days: int, first: int = 0) -> None:
    """Writes days [first, days) of events, one file a day of arrival, and all accounts and revenue."""
    (raw / "events").mkdir(parents=True, exist_ok=True)
    a_day = events // days
    with connect(raw) as con:
        if first == 0:
            con.execute(f"""COPY (SELECT printf('a%07d', i) AS account_id, TIMESTAMP '{START}' AS created_at,
                ['web', 'partner', 'event'][1 + i % 3] AS channel FROM range({accounts}) AS r(i))
                TO '{raw}/accounts.parquet'""")
            con.execute(f"""COPY (SELECT printf('r%09d', i) AS revenue_id,
                printf('a%07d', i % {accounts}) AS account_id,
                CAST(10 + i % 90 AS DECIMAL(18, 2)) AS amount, 'USD' AS currency, 'invoice' AS kind,
                TIMESTAMP '{START}' + INTERVAL (i % {days}) DAY AS booked_at FROM range({accounts} * 5) AS r(i))
                TO '{raw}/revenue.parquet'""")
        for day in range(first, days):
            midnight = START + timedelta(days=day)
            # a market of its own a day: the account is drawn with a heavy tail, the rest follows from the row's number
            con.execute(f"""COPY (
                WITH drawn AS (
                    SELECT i, hash(i, {day}) AS h, CAST(floor({accounts} * pow((hash(i, {day}, 1) % 1000003) /
                    1000003.0,
                           3)) AS BIGINT) AS a FROM range({a_day}) AS r(i)
                ), rows AS (
                    SELECT printf('%016x%04x', h, {day}) AS event_id, printf('a%07d', a) AS account_id,
                           printf('a%07d-u%d', a, h % (1 + a % 13)) AS user_id,
                           printf('event_%02d', (h // 7) % 40) AS event_name,
                           TIMESTAMP '{midnight}' + INTERVAL (h % 86400000) MILLISECOND
                             - INTERVAL (CASE WHEN h % 100 = 0 THEN least(2, {day}) ELSE 0 END) DAY AS occurred_at,
                           TIMESTAMP '{midnight}' + INTERVAL (h % 86400000 + 1500) MILLISECOND AS received_at,
                           1 + h % 5 AS quantity
                    FROM drawn)
                SELECT * FROM rows
                UNION ALL (SELECT * FROM rows LIMIT {a_day // 200})
            ) TO '{raw}/events/{midnight}.parquet' (COMPRESSION zstd)""")


def floor(raw: Path, out: Path) -> float:
    """Seconds to read every column of every events file and to write it again."""
    with connect(raw, out) as con:
        started = time.perf_counter()
        con.execute(
            f"COPY (SELECT * FROM read_parquet('{raw}/events/*.parquet')) TO '{out}/copy.parquet' (COMPRESSION zstd)"
        ).fetchall()
        return time.perf_counter() - started


def ingest(raw: Path, workspace: Path) -> tuple[float, float]:
    """Seconds and peak MiB of `python -m warehouse.ingest` in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "warehouse.ingest", "--raw", str(raw), "--workspace", str(workspace)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"ingest ended with exit code {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the data; absent: a temporary one")
    options = parser.parse_args()
    with scratch("bench") as temporary:
        root = options.keep or temporary
        raw = root / "raw"
        if not raw.exists():
            market(raw, options.events, options.accounts, options.days)
        floors, walls, peaks = [], [], []
        for turn in range(options.repeats):  # side by side, so that a noisy neighbour meets both
            floors.append(floor(raw, root))
            wall, peak = ingest(raw, root / f"workspace-{turn}")
            walls.append(wall)
            peaks.append(peak)
        workspace = root / f"workspace-{options.repeats - 1}"
        again, _ = ingest(raw, workspace)
        a_day = options.events // options.days
        market(raw, a_day * (options.days + 1), options.accounts, options.days + 1, first=options.days)
        new_day, _ = ingest(raw, workspace)
    result = {
        "events": options.events,
        "floor_s": round(median(floors), 2),
        "ingest_s": round(median(walls), 2),
        "ratio": round(median([wall / copy for wall, copy in zip(walls, floors, strict=True)]), 2),
        "peak_mib": round(max(peaks)),
        "again_s": round(again, 2),
        "new_day_s": round(new_day, 2),
        "own_peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "load": os.getloadavg()[0],
    }
    for name, value in result.items():
        print(f"{name:14} {value:,}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
