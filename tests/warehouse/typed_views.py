"""The typed tables of a warehouse, made in memory of a few rows; a column left out takes its default or null."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb

from warehouse.engine import connect
from warehouse.raw import SQL_TYPES, TABLES

Row = dict[str, Any]


@contextmanager
def warehouse_of(**rows: Sequence[Row]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Tables by name, e.g. `events=[{"account_id": "a1", ...}]`, as `open_warehouse` would show them."""
    with connect() as con:
        for table in TABLES.values():
            columns = ", ".join(f"{column.name} {SQL_TYPES[column.type]}" for column in table.columns)
            con.execute(f"CREATE TABLE {table.name} ({columns})")
            names = [column.name for column in table.columns]
            lines = [[row.get(name) for name in names] for row in rows.get(table.name, ())]
            if lines:
                marks = ", ".join("?" for _ in names)
                con.executemany(f"INSERT INTO {table.name} VALUES ({marks})", lines)
            for column in table.columns:
                if column.default is not None:
                    value = f"{column.name} = CAST({column.default} AS {SQL_TYPES[column.type]})"
                    con.execute(f"UPDATE {table.name} SET {value} WHERE {column.name} IS NULL")
        yield con


def signed_up(account_id: str, day: str = "2024-01-05", **columns: Any) -> Row:
    return {"account_id": account_id, "created_at": f"{day} 08:00:00", **columns}


def did(account_id: str, moment: str, event_name: str = "login", **columns: Any) -> Row:
    return {"account_id": account_id, "occurred_at": moment, "event_name": event_name, **columns}


def paid(account_id: str, day: str, amount: float, until: str | None = None) -> Row:
    """Booked and served from `day`; a one-off purchase without `until`."""
    end = f"{until} 00:00:00" if until else None
    return {"account_id": account_id, "amount": amount, "booked_at": f"{day} 00:00:00", "period_end": end}
