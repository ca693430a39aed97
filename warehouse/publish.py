"""Writes what an ingest has judged: the quarantine, and the typed tables with their fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from warehouse import rules
from warehouse.accounting import Accounting
from warehouse.engine import name, quote
from warehouse.periods import midnight_after
from warehouse.raw import TABLES, RawTable
from warehouse.store import copy_to_parquet
from warehouse.validate import Outcome


def accepted(table: RawTable) -> str:
    """The accepted rows in a total order of their content, whatever order they came in."""
    columns = ", ".join(name(column.name) for column in table.columns)
    first = ["account_id", table.happened]
    order = first + [column.name for column in table.columns if column.name not in first]
    return f"SELECT {columns} FROM ingest.{table.name} WHERE _breach IS NULL ORDER BY {', '.join(map(name, order))}"


def write_quarantine(con: duckdb.DuckDBPyConnection, outcome: Outcome, folder: Path) -> None:
    folder.mkdir()
    for table in sorted({tally.table for tally in outcome.tallies}):
        parts = []
        if table in TABLES:
            parts.append(
                f"SELECT _file AS file, _line AS line, '{table}' AS \"table\", split_part(_breach, '|', 1) AS rule, "
                f"nullif(split_part(_breach, '|', 2), '') AS \"column\", _row AS \"row\" FROM ingest.{table} "
                f"WHERE _breach IS NOT NULL AND _breach <> '{rules.DUPLICATE}'"
            )
        parts += [
            f"SELECT {quote(file)}, line, '{table}', 'malformed', CAST(NULL AS VARCHAR), "
            f"CAST(to_json({{'line': first(csv_line ORDER BY column_idx)}}) AS VARCHAR) FROM {lines} GROUP BY line"
            for owner, file, lines in outcome.rejects
            if owner == table
        ]
        if table not in TABLES:
            parts[0] = f'SELECT * FROM ({parts[0]}) AS q(file, line, "table", rule, "column", "row")'
        copy_to_parquet(con, f"{' UNION ALL '.join(parts)} ORDER BY file, line, rule", folder / f"{table}.parquet")
    _write_json(folder / "accounting.json", outcome.accounting.to_json())


def write_warehouse(con: duckdb.DuckDBPyConnection, accounting: Accounting, folder: Path) -> Accounting:
    digest = hashlib.sha256()
    known: list[datetime] = []
    for table in TABLES.values():
        path = folder / f"{table.name}.parquet"
        latest = con.execute(f"SELECT max({table.known}) FROM ingest.{table.name} WHERE _breach IS NULL").fetchone()
        known += [latest[0]] if latest and latest[0] and table.name in ("accounts", "events", "revenue") else []
        copy_to_parquet(con, accepted(table), path)
        con.execute(f"DROP TABLE ingest.{table.name}")
        with path.open("rb") as stream:
            digest.update(f"{table.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    end: date = midnight_after(max(known))
    accounting = replace(accounting, fingerprint=digest.hexdigest(), data_end=end)
    _write_json(folder / "accounting.json", accounting.to_json())
    return accounting


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
