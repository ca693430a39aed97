"""Raw files into the typed warehouse: every row accepted, counted as a duplicate, or quarantined with its reason.

Everything is built aside and swapped in whole, so the live warehouse is either the old one or the new one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from warehouse import rules
from warehouse.accounting import Accounting, Limits
from warehouse.adapters import Source, tables
from warehouse.adapters import mapping as mapping_adapter
from warehouse.adapters import transaction_log as log_adapter
from warehouse.adapters.mapping import MappingParams
from warehouse.adapters.transaction_log import TransactionLogParams
from warehouse.engine import connect
from warehouse.errors import ContractBroken, ExpansionError
from warehouse.params import Section, read_params, section
from warehouse.progress import stage
from warehouse.publish import accepted, write_quarantine, write_warehouse
from warehouse.raw import TABLES, RawTable
from warehouse.store import Workspace, recover_folder, swap_folder
from warehouse.validate import over_limit, stage_all, validate

OWN_LIMITS = {"unknown_account": 0.02}  # deliveries of accounts and events rarely close at the same second


class IngestParams(Section):
    """Section `ingest`.

    timezone: zone of timestamps that carry none; null refuses them.
    currency: the only one accepted; null accepts any single one.
    max_bad_ratio: share of a table's rows that may break one rule before the run stops; max_ratio: the same by rule.
    never_empty: tables that must come with at least one row; `accounts` always must.
    transaction_log, mapping: what the adapter of that name needs.
    """

    adapter: Literal["tables", "transaction_log", "mapping"] = "tables"
    timezone: str | None = "UTC"
    currency: str | None = None
    max_bad_ratio: float = Field(default=0.001, ge=0, le=1)
    max_ratio: dict[str, float] = Field(default_factory=dict)
    future_tolerance_minutes: float = Field(default=10, ge=0)
    never_empty: tuple[Literal["events", "revenue", "touches", "account_users"], ...] = ("events", "revenue")
    transaction_log: TransactionLogParams | None = None
    mapping: MappingParams | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        if zone is not None and zone not in zoneinfo.available_timezones():
            raise ValueError("not a time zone; give a name such as UTC or Europe/London, or null")
        return zone

    @model_validator(mode="after")
    def _adapter_has_its_section(self) -> IngestParams:
        if self.adapter != "tables" and getattr(self, self.adapter) is None:
            raise ValueError(f'adapter "{self.adapter}" needs the section ingest.{self.adapter}')
        return self

    def reading(self, now: datetime) -> rules.Reading:
        latest = utc(now) + timedelta(minutes=self.future_tolerance_minutes)
        return rules.Reading(self.timezone, latest, self.currency)

    def limits(self, kept: str) -> Limits:
        """kept: the quarantine folder that messages name."""
        return Limits(self.max_bad_ratio, OWN_LIMITS | self.max_ratio, kept)


def ingest(raw: Path, workspace: Workspace, params: IngestParams, now: datetime) -> Accounting:
    """Reads the folder `raw` into `workspace.warehouse`; rows set aside go to `workspace.quarantine`.

    now: the moment of the run; an aware time, or a naive one in UTC.

    Raises:
        ContractBroken: a table or column is missing, a file is unreadable, there is no account, or more rows break a
            rule than its limit allows. The live warehouse is untouched; in the last case the quarantine is written.
        ParamsError: an SQL text in the params does not fit the files.
    """
    raw = raw.resolve()
    workspace.root.mkdir(parents=True, exist_ok=True)
    recover_folder(workspace.warehouse)
    with _building(workspace.root.resolve() / ".ingest") as building, connect(raw, building) as con:
        reading = params.reading(now)
        sources = open_sources(con, raw, params, reading)
        outcome = validate(con, sources, reading, params.limits(str(workspace.quarantine)))
        write_quarantine(con, outcome, building / "quarantine")
        swap_folder(building / "quarantine", workspace.quarantine)
        broken = [*outcome.accounting.problems, *empty_tables(sources, outcome.accounting, params)]
        if broken:
            raise ContractBroken(broken)
        accounting = write_warehouse(con, outcome.accounting, building / "warehouse")
        swap_folder(building / "warehouse", workspace.warehouse)
    return accounting


def empty_tables(sources: list[Source], accounting: Accounting, params: IngestParams) -> list[str]:
    """A sentence a table of `params.never_empty` that came without a row: a feed that broke, not a quiet day."""
    return [
        f"{_several(sorted(source.files)) or source.table}: 0 rows of {source.table} (rule no_rows). Nothing would "
        f"be left to score by; deliver it whole, or take {source.table} out of ingest.never_empty."
        for source in sources
        if source.table in params.never_empty and accounting.read(source.table) == 0
    ]


def _several(files: list[str]) -> str:
    return " and ".join(files) if len(files) < 4 else f"{files[0]} and {len(files) - 1} more"


def ingest_stage(raw: Path, workspace: Workspace, params: IngestParams, now: datetime) -> Accounting:
    """Stage `ingest`: the same, with progress, and a line for every table that had rows set aside."""
    with stage("ingest") as say:
        accounting = ingest(raw, workspace, params, now)
        say(", ".join(f"{n:,} {table}" for table, n in accounting.counts.items() if n))
    for table in accounting.counts:
        aside = sum(accounting.quarantined(table).values())
        if aside:
            print(f"    {table}: {aside:,} rows set aside, see {workspace.quarantine}", file=sys.stderr)
    return accounting


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
        sources = [_row_source(con, table, rows[table.name]) for table in TABLES.values() if rows.get(table.name)]
        found = over_limit(stage_all(con, sources, params.reading(now)), Limits(0.0))
        if found:
            raise ContractBroken(found)
        for table in TABLES.values():
            con.execute(f"CREATE OR REPLACE TABLE main.{table.name} AS {accepted(table)}")
    finally:
        con.execute("DROP SCHEMA ingest CASCADE")
        for table in TABLES.values():
            con.unregister(f"request_{table.name}")


def utc(moment: datetime) -> datetime:
    """`moment` as a naive time in UTC; a naive one is taken to be in UTC already."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def open_sources(
    con: duckdb.DuckDBPyConnection, raw: Path, params: IngestParams, reading: rules.Reading
) -> list[Source]:
    """The rows of `raw` by table, through the adapter that the params name; nothing is judged yet.

    Raises:
        ContractBroken, ParamsError: as `ingest`.
    """
    con.execute("CREATE SCHEMA ingest")
    if params.mapping is not None and params.adapter == "mapping":
        return mapping_adapter.sources(con, raw, params.mapping)
    if params.transaction_log is not None and params.adapter == "transaction_log":
        return log_adapter.sources(con, raw, params.transaction_log, reading)
    return tables.sources(con, raw)


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _row_source(con: duckdb.DuckDBPyConnection, table: RawTable, rows: list[dict[str, Any]]) -> Source:
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
    return json.dumps(value, default=str)


def main(argv: list[str] | None = None) -> int:
    """`python -m warehouse.ingest`: the same stage as the verb `expansion ingest`. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m warehouse.ingest")
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--params", type=Path)
    options = parser.parse_args(argv)
    try:
        params = section(read_params(options.params), "ingest", IngestParams)
        accounting = ingest_stage(options.raw, Workspace(options.workspace), params, datetime.now(UTC))
    except ExpansionError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("\n".join(accounting.lines()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
