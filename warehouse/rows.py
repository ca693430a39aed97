"""Raw rows of a request through the very rules of the ingest: all of them good, or none taken."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import duckdb
import pyarrow as pa

from warehouse import repeats, rules
from warehouse.accounting import Limits, Tally, tally
from warehouse.adapters import Source, tables
from warehouse.engine import name
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams, over_limit
from warehouse.raw import TABLES, RawTable


def load_rows(
    con: duckdb.DuckDBPyConnection, rows: dict[str, list[dict[str, Any]]], params: IngestParams, now: datetime
) -> None:
    """The same contract over JSON rows by table name: makes the tables accounts, events, ... in `con`.

    Naive timestamps are in `params.timezone`. Copies of a row collapse; any other bad row refuses the whole.

    Raises:
        ContractBroken: an unknown table, a missing column, no account, or any bad row.
    """
    unknown = sorted(set(rows) - set(TABLES))
    if unknown:
        raise ContractBroken([f'no table is called "{unknown[0]}". Known: {", ".join(TABLES)}.'])
    con.execute("CREATE SCHEMA ingest")
    try:
        found: list[Tally] = []
        for table in TABLES.values():
            found += _load(con, table, rows.get(table.name, []), params, now)
            if table.name == "accounts":
                con.execute("CREATE TABLE ingest.known_accounts AS SELECT account_id, created_at FROM main.accounts")
        broken = over_limit(found, Limits(0.0))
        if broken:
            raise ContractBroken(broken)
    finally:
        con.execute("DROP SCHEMA ingest CASCADE")
        for table in TABLES.values():
            con.unregister(f"request_{table.name}")


def _load(
    con: duckdb.DuckDBPyConnection, table: RawTable, rows: list[dict[str, Any]], params: IngestParams, now: datetime
) -> list[Tally]:
    columns = ", ".join(name(column.name) for column in table.columns)
    if not rows:
        con.execute(f"CREATE OR REPLACE TABLE main.{table.name} AS {rules.no_rows(table)}")
        return []
    source = _source(con, table, rows)
    con.execute(f"CREATE TABLE ingest.{table.name} AS {rules.judged(table, source, params.reading(now))}")
    repeats.settle(con, table, f"ingest.{table.name}")
    con.execute(
        f"CREATE OR REPLACE TABLE main.{table.name} AS SELECT {columns} FROM ingest.{table.name} WHERE _breach IS NULL"
    )
    return tally(con, table.name, f"ingest.{table.name}")


def _source(con: duckdb.DuckDBPyConnection, table: RawTable, rows: list[dict[str, Any]]) -> Source:
    names = {key for row in rows for key in row}
    tables.require(table.name, table, tuple(sorted(names)))
    known = [column.name for column in table.columns if column.name in names]
    columns = {column: pa.array([_as_text(row.get(column)) for row in rows], pa.string()) for column in known}
    view = f"request_{table.name}"
    con.register(view, pa.table(columns | {"_line": pa.array(range(1, len(rows) + 1), pa.int64())}))
    query = f"SELECT '{table.name}' AS _file, * FROM {view}"
    return Source(table.name, query, dict.fromkeys(known, "VARCHAR"), (table.name,))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, default=str)
