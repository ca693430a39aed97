"""Raw folders of any shape: the params give one SELECT a canonical table, over views named after the files.

Files whose name occurs in no query are left alone: not opened, not counted.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from warehouse.adapters import Source, files
from warehouse.adapters.tables import require
from warehouse.engine import name
from warehouse.errors import ContractBroken, ParamsError
from warehouse.params import Section
from warehouse.raw import TABLES
from warehouse.rules import Reading


class MappingParams(Section):
    """One SELECT a table; `events.csv` and a folder `events/` are both the view `events`. Columns of CSV files are
    text, and so is a column that files type differently; but numbers of several types become the widest. Rows without
    an id that are equal in all columns count as one fact, so select an id where repeats are real."""

    accounts: str | None = None
    events: str | None = None
    revenue: str | None = None
    touches: str | None = None
    account_users: str | None = None


def sources(con: duckdb.DuckDBPyConnection, raw: Path, params: MappingParams, reading: Reading) -> list[Source]:
    """One source a query; a file whose CSV lines are partly unreadable gives one more, of table "source".

    Raises:
        ContractBroken: no raw folder, an unreadable file, or a query that lacks a required column.
        ParamsError: a query is not SQL over the files of the folder.
    """
    queries = {table: query.strip().rstrip(";") for table, query in params.model_dump().items() if query is not None}
    stems, found = list(files.stems(raw)), []
    read: dict[str, Path] = {}
    for stem in stems:
        there = files.look(con, raw, stem) if _occurs(stem, queries) else None
        if there is None:
            continue
        read |= there.paths
        query, rejects = files.relation(raw, there, sql=True)
        # A CSV file is read once and kept, so that each unreadable line is counted once.
        con.execute(f"CREATE {'TABLE' if rejects else 'VIEW'} main.{name(stem)} AS SELECT * FROM ({query})")
        if rejects:
            found.append(Source("source", f"SELECT * FROM main.{name(stem)}", {}, tuple(there.by_file), (), rejects))
    return found + [_source(con, table, query, stems, read) for table, query in queries.items()]


def _occurs(stem: str, queries: dict[str, str]) -> bool:
    """Whether some query can mean the files of `stem`: it holds that name, in any case, be it inside a longer word."""
    written = name(stem)[1:-1].lower()
    return any(written in query.lower() for query in queries.values())


def _source(con: duckdb.DuckDBPyConnection, table: str, query: str, stems: list[str], read: dict[str, Path]) -> Source:
    place = f"ingest.mapping.{table}"
    try:
        described = con.execute(f"DESCRIBE SELECT * FROM ({query})").fetchall()
    except duckdb.CatalogException as error:
        raise ContractBroken(
            [f"{place}: {str(error).splitlines()[0]} Files found: {', '.join(stems) or 'none'}."]
        ) from error
    except duckdb.Error as error:
        raise ParamsError(f"{place} is not a SELECT over the files ({error}).") from error
    columns = {row[0]: row[1] for row in described}
    canonical = TABLES[table]
    require(place, canonical, tuple(columns))
    known = [column.name for column in canonical.columns if column.name in columns]
    picked = ", ".join(name(column) for column in known)
    return Source(
        table,
        f"SELECT '{table}' AS _file, row_number() OVER () AS _line, {picked} FROM ({query})",
        {column: columns[column] for column in known},
        (table,),
        tuple(sorted(set(columns) - set(known))),
        paths=read,
    )
