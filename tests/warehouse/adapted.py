"""What an adapter's rows come to under the rules, table by table, without a workspace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from warehouse import repeats, rules
from warehouse.adapters import Source
from warehouse.engine import connect, name
from warehouse.params import Section
from warehouse.raw import TABLES

Sources = Callable[[duckdb.DuckDBPyConnection, Path, Any, rules.Reading], list[Source]]
LATEST = datetime(2025, 1, 1)


@dataclass(frozen=True)
class Adapted:
    """`rows`: accepted ones by table, each its columns that are not null, in order of time. `aside`: rows set aside by
    table and `rule|column`, copies as "duplicate", unreadable lines as "malformed". `sources`: by table."""

    rows: dict[str, list[dict[str, Any]]]
    aside: dict[str, Counter[str]]
    sources: dict[str, Source]


def adapt(
    sources: Sources,
    raw: Path,
    params: Section,
    accounts: Mapping[str, str] | None = None,
    timezone: str | None = "UTC",
    currency: str | None = None,
) -> Adapted:
    """accounts: id and sign-up of those that another adapter gives."""
    reading = rules.Reading(timezone, LATEST, currency)
    rows: dict[str, list[dict[str, Any]]] = {}
    aside: dict[str, Counter[str]] = {}
    with connect(raw) as con:
        con.execute("CREATE SCHEMA ingest")
        con.execute("CREATE TABLE ingest.known_accounts (account_id VARCHAR, created_at TIMESTAMP)")
        for account, created in (accounts or {}).items():
            con.execute("INSERT INTO ingest.known_accounts VALUES (?, ?)", [account, created])
        found = {source.table: source for source in sources(con, raw, params, reading)}
        for table in TABLES.values():
            source = found.get(table.name)
            if source is None:
                continue
            con.execute(f"CREATE TABLE ingest.batch AS {rules.judged(table, source, reading)}")
            repeats.settle(con, table, "ingest.batch")
            if table.name == "accounts":
                clean = "SELECT account_id, created_at FROM ingest.batch WHERE _breach IS NULL"
                con.execute(f"INSERT INTO ingest.known_accounts {clean}")
            names = [column.name for column in table.columns]
            picked = ", ".join(name(column) for column in names)
            accepted = con.execute(
                f"SELECT {picked} FROM ingest.batch WHERE _breach IS NULL ORDER BY {table.happened}, {picked}"
            ).fetchall()
            rows[table.name] = [{k: v for k, v in zip(names, row, strict=True) if v is not None} for row in accepted]
            broken = con.execute("SELECT _file, _breach FROM ingest.batch WHERE _breach IS NOT NULL").fetchall()
            aside[table.name] = Counter(breach for _, breach in broken)
            for _, rejects in source.rejects:
                [(lines,)] = con.execute(f"SELECT count(DISTINCT line) FROM {rejects}").fetchall()
                if lines:
                    aside[table.name]["malformed"] += lines
            con.execute("DROP TABLE ingest.batch")
    return Adapted(rows, aside, found)


def at(text: str) -> datetime:
    """A naive UTC moment, as the warehouse holds it."""
    return datetime.fromisoformat(text)


def only(rows: Sequence[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row.get(column) for column in columns) for row in rows]


def write(path: Path, *lines: str) -> Path:
    """A text file of these lines; returns its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path.parent
