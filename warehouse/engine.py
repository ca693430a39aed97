"""The DuckDB connection everyone uses: UTC, bounded in memory, and locked down to the folders it was given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb

from warehouse.scratch import scratch

MEMORY_LIMIT = "3GB"  # leaves room beside the service on a 4 GiB machine
THREADS = 2


class Stage(NamedTuple):
    """A named relation and the SQL that makes it, of earlier ones and of the tables that were there before.

    order: in which one machine keeps its rows, so that what later stages sum up lies together (a third of the time of
    doing without); a cluster need not, and no result may depend on it.
    """

    name: str
    sql: str
    order: str = ""

    @property
    def ordered(self) -> str:
        return f"{self.sql} ORDER BY {self.order}" if self.order else self.sql


def run_stages(con: duckdb.DuckDBPyConnection, stages: Sequence[Stage], say: Callable[[str], None]) -> None:
    """Makes each stage a temporary table, in order, and drops it after the last stage that reads it; the last stage
    stays. `say` is told the stage at work."""
    for number, stage in enumerate(stages):
        say(stage.name)
        con.execute(f"CREATE OR REPLACE TEMP TABLE {stage.name} AS {stage.ordered}")
        for earlier in stages[:number]:
            if reads(stage, earlier.name) and not any(reads(later, earlier.name) for later in stages[number + 1 :]):
                con.execute(f"DROP TABLE {earlier.name}")


def reads(stage: Stage, relation: str) -> bool:
    """Whether the SQL of `stage` names `relation`."""
    return re.search(rf"\b{relation}\b", stage.sql) is not None


@contextmanager
def connect(
    *folders: Path, memory_limit: str = MEMORY_LIMIT, keep_order: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB that can read and write only under `folders`, spills to a bounded folder of its own,
    keeps UTC whatever the machine's zone, and refuses network, extensions and any change to these settings.

    keep_order: rows of a query without ORDER BY come as they were inserted; false is faster.
    """
    with scratch("spill") as spill:
        con = duckdb.connect(":memory:")
        try:
            con.execute("SET TimeZone = 'UTC'")
            con.execute(f"SET memory_limit = '{memory_limit}'")
            con.execute(f"SET threads = {THREADS}")
            con.execute(f"SET temp_directory = {quote(str(spill))}")
            con.execute("SET max_temp_directory_size = '50GB'")
            con.execute(f"SET preserve_insertion_order = {str(keep_order).lower()}")
            con.execute("SET enable_progress_bar = false")
            con.execute("SET autoinstall_known_extensions = false")
            con.execute("SET autoload_known_extensions = false")
            allowed = ", ".join(quote(str(folder.resolve())) for folder in folders)
            con.execute(f"SET allowed_directories = [{allowed}]")
            con.execute("SET enable_external_access = false")
            con.execute("SET lock_configuration = true")
            yield con
        finally:
            con.close()


def parquet(*files: Path, filename: bool = False) -> str:
    """The rows of Parquet files of one schema as an SQL relation; `filename`: with the path of each row's file."""
    listed = ", ".join(quote(str(file)) for file in files)
    return f"read_parquet([{listed}]{', filename = true' if filename else ''})"


def quote(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """`text` as an SQL identifier."""
    return '"' + text.replace('"', '""') + '"'
