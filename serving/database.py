"""One night's scores as a read-only SQLite file: a row an account, with an index for every order the API offers.

The same rows give the same bytes. An order is an expression that sorts "no value" last and never meets a null, so that
a page can be continued from its last row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from warehouse.errors import DataError

DATABASE = "scores.sqlite"
NO_VALUE = "-1e300"  # below every amount of money and every probability
WHY_COLUMNS = ("why_changed", "why_changed_absent")  # the answer as JSON, or the word why there is none
CHANGE_COLUMNS = (
    *("changed_on", "stage_since", "previous_band", "previous_tier", "previous_stage", "previous_rank"),
    *WHY_COLUMNS,
)
CHUNK = 10_000


def columns_of(con: sqlite3.Connection) -> set[str]:
    """The columns of the scores; an earlier version wrote fewer."""
    return {row["name"] for row in con.execute("PRAGMA table_info(scores)")}


def sort_key(column: str) -> str:
    """SQL of the order by `column`, descending; ties are broken by account_id, ascending."""
    return f'IFNULL("{column}", {NO_VALUE})'


def sortable(columns: list[str]) -> list[str]:
    """The columns that leads can be sorted by."""
    return [name for name in columns if name == "score" or name.startswith(("probability_", "increment_"))]


def write_database(scores: pa.Table, history: dict[str, tuple[Any, ...]], path: Path) -> None:
    """Writes `scores` in the order given, plus the CHANGE_COLUMNS that `history` holds for each account_id."""
    names = [*scores.column_names, *CHANGE_COLUMNS]
    con = sqlite3.connect(path, isolation_level=None)
    try:
        # No journal: the folder of an unfinished release is thrown away whole.
        con.executescript("PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN")
        con.execute(f"CREATE TABLE scores ({', '.join(_column(scores, name) for name in names)})")
        places = ", ".join("?" * len(names))
        con.executemany(f"INSERT INTO scores VALUES ({places})", _rows(scores, history))
        con.execute("CREATE UNIQUE INDEX by_account ON scores (account_id)")
        con.execute("CREATE INDEX by_owner ON scores (owner)")
        con.execute("CREATE INDEX by_change ON scores (changed_on)")
        for column in sortable(scores.column_names):
            con.execute(f'CREATE INDEX "by_{column}" ON scores ({sort_key(column)} DESC, account_id)')
        con.execute("COMMIT")
    finally:
        con.close()


def rows_of(path: Path, account_id: str) -> int:
    """How many rows of an account the file has; 0 where there is no file.

    Raises:
        DataError: it cannot be read.
    """
    if not path.is_file():
        return 0
    try:
        with closing(open_database(path)) as con:
            [(rows,)] = con.execute("SELECT count(*) FROM scores WHERE account_id = ?", (account_id,)).fetchall()
    except sqlite3.Error as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    return int(rows)


def take_out(path: Path, account_id: str) -> None:
    """Takes an account out of a file that nobody reads yet, and leaves no byte of it in free pages."""
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("PRAGMA journal_mode = OFF")
        con.execute("DELETE FROM scores WHERE account_id = ?", (account_id,))
        con.execute("VACUUM")


def open_database(path: Path) -> sqlite3.Connection:
    """A read-only connection that trusts the file never to change; rows come as mappings."""
    con = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    con.row_factory = sqlite3.Row
    con.execute("PRAGMA query_only = ON")
    con.execute("PRAGMA mmap_size = 1073741824")
    return con


def _column(scores: pa.Table, name: str) -> str:
    if name in CHANGE_COLUMNS:
        return f'"{name}" {"INTEGER" if name == "previous_rank" else "TEXT"}'
    kind = scores.schema.field(name).type
    sql = "REAL" if pa.types.is_floating(kind) else "INTEGER" if pa.types.is_integer(kind) else "TEXT"
    return f'"{name}" {sql}'


def _rows(scores: pa.Table, history: dict[str, tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    days = [place for place, field in enumerate(scores.schema) if pa.types.is_date(field.type)]
    account = scores.column_names.index("account_id")
    for batch in scores.to_batches(max_chunksize=CHUNK):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            values = list(row)
            for place in days:
                values[place] = None if row[place] is None else row[place].isoformat()
            yield (*values, *history[row[account]])
