"""How a night grows with events on a real Spark cluster of one master and two workers, beside DuckDB: in one run.

`python -m benchmarks.spark [--events 1,5,20] [--accounts 20000] [--master URL] [--json FILE]`

The market is that of benchmarks/windows.py. Every feature of every account at one date, from the warehouse's Parquet
files: roll-up and features by the cluster, brought home; DuckDB does the same from the same files, with two threads.
The first build of a session pays for starting executors and compiling plans, so it is told apart; the growth between
two sizes, in seconds a million events, is what tells how a cluster will fare.
"""

from __future__ import annotations

import argparse
import json
import os
from contextlib import nullcontext
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.cluster import standalone
from benchmarks.windows import MEANINGS, MONTHS, START, market, timed
from features.build import build_features, open_vendor
from features.catalogue import Definitions
from features.distributed import brought_home, features_on_spark
from features.snapshots import everyone
from warehouse.scratch import scratch
from warehouse.spark import connect_spark
from warehouse.store import Workspace


def measure(workspace: Workspace, events: int, accounts: int, session: Any) -> dict[str, Any]:
    """Seconds of a build at the last date, by engine; Spark's twice, the second without what only a first one pays."""
    definitions, as_of = Definitions.from_params(MEANINGS), START + timedelta(days=700)
    market(workspace, events, accounts, MONTHS)
    made: dict[str, Any] = {}

    def cluster() -> None:
        made["there"] = brought_home(features_on_spark(session, workspace, as_of, definitions))

    def here() -> None:
        with open_vendor(workspace) as con:
            made["here"] = build_features(con, everyone(con, as_of), definitions)

    out = {"events": events, "spark_first_s": timed(cluster), "spark_s": timed(cluster), "duckdb_s": timed(here)}
    return out | {"differences": _differences(made["here"], made["there"]), "rows": made["here"].num_rows}


def _differences(here: Any, there: Any) -> int:
    """Columns in which a cell differs by more than 1e-9, relative."""
    import numpy as np

    found = 0
    for name in here.column_names:
        mine, theirs = (table[name].to_pandas() for table in (here, there))
        if mine.dtype.kind == "f":
            found += not np.allclose(mine, theirs, rtol=1e-9, atol=1e-9, equal_nan=True)
        else:
            found += not mine.equals(theirs)
    return found


def growth(results: list[dict[str, Any]], engine: str) -> list[float]:
    """Seconds a million events more, from each size to the next."""
    return [
        (after[engine] - before[engine]) / (after["events"] - before["events"]) * 1e6
        for before, after in pairwise(results)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", default="1,5,20", help="millions, separated by commas")
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--master", help="of a cluster that runs already; without it one is started here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    with scratch("bench") as root:
        cluster = nullcontext(options.master) if options.master else standalone(root, "2g")
        with cluster as master, connect_spark(master) as session:
            for size in options.events.split(","):
                events = int(float(size) * 1e6)
                results.append(measure(Workspace(root / str(events)), events, options.accounts, session))
                print(json.dumps(results[-1]), flush=True)
    said = {"load": os.getloadavg()[0], "accounts": options.accounts, "results": results}
    said |= {"growth_s_a_million": {engine: growth(results, engine) for engine in ("spark_s", "duckdb_s")}}
    print(json.dumps(said["growth_s_a_million"]))
    if options.json:
        options.json.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
