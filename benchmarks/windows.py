"""How long features take, against the floor of reading, grouping and writing, a pandas loop, and Polars: in one run.

`python -m benchmarks.windows [--events 1,5,20] [--large] [--json FILE]`

The market: 100,000 accounts of very unequal size, seven users each, 40 event names, 24 months, one Parquet a month as
an ingest leaves them. Monthly snapshots of every account at 24 dates.

floor       read every event, group it by account, user and day, write as many rows and columns as the features have
rollup      events to daily files (once; a night adds a day)
features    daily files to the feature table, written: the product, every feature of the catalogue
rivals      benchmarks/rivals.py: 36 columns of every account at every date from raw events, by this engine, by the
            loop most people write in pandas, and by Polars; all of the same numbers
night       one date, all accounts, from the fold; beside reading the last 90 days of daily rows and writing the result;
            then again with twice the history

Ratios are of medians within this run. Peak memory is of a process of its own. `--large`: 100 million
events too, the product alone. DuckDB keeps within 3 GB at every size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.rivals import SPECIALIST, beside_rivals, event_files, timed
from features import daily
from features.build import features_at, open_vendor
from features.catalogue import FEATURE_NAMES, Definitions
from features.rollup_stage import bring_up
from features.snapshots import everyone
from warehouse.engine import connect, parquet
from warehouse.landing import Part
from warehouse.manifest import Manifest
from warehouse.periods import month_starts
from warehouse.scratch import scratch
from warehouse.store import Workspace, part_file, read_table, write_table

START, MONTHS = date(2024, 1, 1), 24
LARGE = 20_000_000  # events; beyond, the product alone
MEANINGS = {"features": {"specialist": SPECIALIST, "configuration": ["event_36", "event_37"], "limit": ["event_38"]}}


def market(workspace: Workspace, events: int, accounts: int, months: int) -> None:
    """A warehouse as an ingest leaves it: typed, one file of events and revenue a month. A session has four events."""
    folder = workspace.warehouse
    for table in ("accounts", "events", "revenue", "touches", "account_users"):
        (folder / table).mkdir(parents=True, exist_ok=True)
    with connect(folder) as con:

        def copy(query: str, table: str, part: int) -> None:
            con.execute(f"COPY ({query}) TO '{folder / table / part_file(part)}' (COMPRESSION zstd)").fetchall()

        copy(
            f"""SELECT printf('a%07d', i) AS account_id, TIMESTAMP '{START}' + INTERVAL (i % 300) DAY AS created_at,
                CAST(NULL AS TIMESTAMP) AS closed_at, 'retail' AS industry, 'GB' AS country,
                CAST(1 + i % 400 AS BIGINT) AS employees, ['web', 'partner', 'fair'][1 + i % 3] AS channel,
                CAST(NULL AS VARCHAR) AS owner, false AS is_internal FROM range({accounts}) AS r(i)""",
            "accounts",
            0,
        )
        copy("SELECT 1 AS nothing WHERE false", "touches", 0)
        copy(
            f"""SELECT printf('a%07d', a) AS account_id, printf('a%07d-u%d', a, u) AS user_id,
                TIMESTAMP '{START}' + INTERVAL (a % 300 + u) DAY AS valid_from, CAST(NULL AS TIMESTAMP) AS valid_to
                FROM range({accounts}) AS r(a), range(12) AS o(u) WHERE u < 2 + a % 11""",
            "account_users",
            0,
        )
        first = START
        for _ in range(months):
            after = (first + timedelta(days=32)).replace(day=1)
            part, days = first.year * 100 + first.month, (after - first).days
            n = events // months
            # a session: one account (heavy tail), one of its users, one day, four events
            copy(
                f"""SELECT printf('%016x', hash(i, {part})) AS event_id, printf('a%07d', a) AS account_id,
                    printf('a%07d-u%d', a, u) AS user_id, printf('event_%02d', (hash(i, 7) // 7) % 40) AS event_name,
                    t AS occurred_at,
                    t + INTERVAL (CASE WHEN s % 100 = 0 THEN 2 ELSE 0 END) DAY AS received_at,
                    CAST(1 + i % 5 AS DECIMAL(18, 4)) AS quantity
                FROM (SELECT i, s, a, hash(s, 3, {part}) % (2 + a % 11) AS u,
                             TIMESTAMP '{first}' + INTERVAL (hash(s, 5, {part}) % {days}) DAY
                               + INTERVAL (i % 86000) SECOND AS t
                      FROM (SELECT i, i // 4 AS s,
                                   CAST(floor({accounts} * pow((hash(i // 4, {part}, 1) % 1000003) / 1000003.0, 3))
                                     AS BIGINT) AS a FROM range({n}) AS r(i)))""",
                "events",
                part,
            )
            copy(
                f"""SELECT printf('r%d-{part}', i) AS revenue_id, printf('a%07d', i) AS account_id,
                    CAST(10 + i % 900 AS DECIMAL(18, 4)) AS amount, 'USD' AS currency,
                    TIMESTAMP '{first}' AS booked_at, TIMESTAMP '{first}' AS period_start,
                    TIMESTAMP '{after}' AS period_end, 'subscription' AS kind
                FROM range({accounts}) AS r(i) WHERE i % 10 = 0""",
                "revenue",
                part,
            )
            first = after
    stamp(workspace)


def stamp(workspace: Workspace) -> None:
    """Writes the manifest that an ingest leaves beside the tables, so that no file is read to know whether it is
    new."""
    files = event_files(workspace)
    parts = {int(file.stem.replace("-", "")): Part(0, f"{file.stat().st_size}", "2030-01-01") for file in files}
    Manifest("market", "2030-01-01", parts={"events": parts}).write(workspace.warehouse)


def floor(workspace: Workspace, rows: int) -> dict[str, float]:
    """Seconds to read every column, to group by account, user and day, and to write the result's shape."""
    with connect(workspace.warehouse, workspace.root / "out", keep_order=False) as con:
        source = parquet(*event_files(workspace))
        scan = timed(lambda: con.execute(f"SELECT sum(hash(COLUMNS(*))) FROM {source}").fetchall())
        grouped = (
            "SELECT account_id, user_id, CAST(occurred_at AS DATE) AS day, count(*) AS events, sum(quantity) AS q "
            f"FROM {source} GROUP BY 1, 2, 3"
        )
        group = timed(lambda: con.execute(f"SELECT count(*), sum(events) FROM ({grouped})").fetchall())
        wide = ", ".join(f"hash(i, {n}) % 1000 / 7.0 AS c{n}" for n in range(len(FEATURE_NAMES)))
        con.execute(
            f"CREATE TEMP TABLE shape AS SELECT printf('a%07d', i) AS account_id, {wide} FROM range({rows}) r(i)"
        )
        table = con.sql("SELECT * FROM shape").to_arrow_table()
    write = timed(lambda: write_table(table, workspace.root / "out" / "floor.parquet"))
    return {"scan": scan, "group": group, "write": write}


def snapshots(workspace: Workspace, dates: list[date]) -> Any:
    import pyarrow as pa

    with open_vendor(workspace) as con:
        return pa.concat_tables([everyone(con, day) for day in dates])


def product(workspace: Workspace, dates: list[date], definitions: Definitions) -> float:
    """Seconds from daily files to the written table."""
    spine = snapshots(workspace, dates)

    def run() -> None:
        with open_vendor(workspace) as con:
            write_table(features_at(con, workspace, spine, definitions), workspace.root / "out" / "features.parquet")

    return timed(run)


def night(workspace: Workspace, definitions: Definitions) -> dict[str, float]:
    """One date from the fold, beside reading the last 90 days of daily rows and writing the result."""
    rolled = daily.ready(workspace, definitions)
    assert rolled is not None
    assert rolled.folded is not None
    last = max(rolled.days) + timedelta(days=1)
    recent = [
        file
        for day in rolled.days
        if day >= last - timedelta(days=90)
        for file in daily.day_files(workspace.rollup, day)
    ]
    with open_vendor(workspace) as con:
        spine = everyone(con, last)
        read = timed(lambda: con.execute(f"SELECT sum(hash(COLUMNS(*))) FROM {parquet(*recent)}").fetchall())
        made: dict[str, Any] = {}

        def run() -> None:
            made["table"] = features_at(con, workspace, spine, definitions)

        features = timed(run)
        write = timed(lambda: write_table(made["table"], workspace.root / "out" / "night.parquet"))
    return {"read": read, "features": features, "write": write, "ratio": (features + write) / (read + write)}


def new_day(workspace: Workspace, definitions: Definitions, a_day: int) -> float:
    """Seconds to roll up when the next day's events have come in, a month of their own."""
    rolled = daily.read_rolled(workspace)
    assert rolled is not None
    assert rolled.folded is not None
    day = rolled.folded + timedelta(days=4)
    source, path = event_files(workspace)[0], workspace.root / "out" / "day.parquet"
    with connect(workspace.warehouse, workspace.root / "out") as con:
        rows = f"""SELECT * REPLACE (TIMESTAMP '{day}' + INTERVAL (hash(event_id) % 80000) SECOND AS occurred_at,
            TIMESTAMP '{day}' + INTERVAL (hash(event_id) % 80000) SECOND AS received_at)
            FROM {parquet(source)} LIMIT {a_day}"""
        con.execute(f"COPY ({rows}) TO '{path}' (COMPRESSION zstd)").fetchall()
    target = source.with_name(part_file(day.year * 100 + day.month))
    if target.is_file():  # late rows of the market lie there already
        with connect(workspace.warehouse, workspace.root / "out") as con:
            both = f"SELECT * FROM {parquet(target, path)}"
            con.execute(f"COPY ({both}) TO '{path}.both' (COMPRESSION zstd)").fetchall()
        path = path.with_name("day.parquet.both")
    shutil.move(path, target)
    stamp(workspace)
    return timed(lambda: bring_up(workspace, definitions))


def measure(events: int, accounts: int, root: Path, alone: bool) -> dict[str, Any]:
    """alone: without rivals and without the twice as long history."""
    definitions = Definitions.from_params(MEANINGS)
    workspace = Workspace(root / f"{events}")
    (workspace.root / "out").mkdir(parents=True)
    market(workspace, events, accounts, MONTHS)
    dates = month_starts(START + timedelta(days=1), START + timedelta(days=31 * MONTHS))[:MONTHS]
    rollup = timed(lambda: bring_up(workspace, definitions))
    features = product(workspace, dates, definitions)
    rows = read_table(workspace.root / "out" / "features.parquet", ["account_id"]).num_rows
    least = floor(workspace, rows)
    total = sum(least.values())
    out: dict[str, Any] = {"events": events, "accounts": accounts, "snapshots": rows, "columns": len(FEATURE_NAMES)}
    out |= {"floor": least, "floor_s": total, "rollup_s": rollup, "features_s": features}
    out |= {"ratio": (rollup + features) / total, "ratio_from_daily": features / total}
    if alone:
        return out | {"night": night(workspace, definitions)}
    out |= beside_rivals(workspace, dates, snapshots(workspace, dates), definitions)
    one = night(workspace, definitions)
    doubled = Workspace(root / f"{events}-doubled")
    (doubled.root / "out").mkdir(parents=True)
    market(doubled, 2 * events, accounts, 2 * MONTHS)
    bring_up(doubled, definitions)
    two = night(doubled, definitions)
    out |= {"night": one, "night_doubled": two, "night_growth": two["features"] / one["features"] - 1}
    a_day = events // (30 * MONTHS)
    out |= {"new_day_s": new_day(workspace, definitions, a_day)}
    out |= {"new_day_doubled_s": new_day(doubled, definitions, a_day)}
    for done in (workspace, doubled):
        shutil.rmtree(done.root)
    return out


def apart(events: int, options: argparse.Namespace) -> dict[str, Any]:
    """`measure` in a process of its own, with its peak memory."""
    with scratch("bench") as folder:
        command = [
            sys.executable,
            __file__,
            "--one",
            str(events),
            "--accounts",
            str(options.accounts),
            "--root",
            str(folder),
        ]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", default="1,5,20", help="millions, separated by commas")
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--large", action="store_true", help="100 million events as well")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        found = measure(options.one, options.accounts, options.root, alone=options.one > LARGE)
        found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps(found))
        return
    sizes = [int(float(size) * 1e6) for size in options.events.split(",")] + ([100_000_000] if options.large else [])
    results = []
    for size in sizes:
        results.append(apart(size, options))
        print(json.dumps(results[-1], indent=1), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"load": os.getloadavg()[0], "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
