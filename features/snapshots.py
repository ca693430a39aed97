"""The spine: who is scored at which date, and why others are not. Dates first, outcomes never.

An account that signed up on 2024-01-10 enters the training grid on 2024-02-01 (age 22 days, at least 7) and is scored
every night from 2024-01-11, marked low in confidence until it is 7 days old.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa
from pydantic import Field

from warehouse import progress
from warehouse.command import Call, run
from warehouse.engine import connect
from warehouse.errors import DataError, UsageError
from warehouse.params import Section, section
from warehouse.periods import month_starts
from warehouse.store import Workspace, open_warehouse, write_json, write_table

INTERNAL_TOLD = 0.9  # share of the accounts: where so many say whether they are internal, one that does not is in doubt


class SnapshotParams(Section):
    """The grid of training dates: first days of every n-th month in [first, until]."""

    every_months: int = Field(default=1, ge=1)
    min_age_days: int = Field(default=7, ge=1)
    first: date | None = None  # null: the month after the first sign-up
    until: date | None = None  # null: the end of the data; set it where tracking stopped before billing


@dataclass(frozen=True)
class Population:
    """Snapshots in, and snapshots out by reason."""

    taken: int
    out: dict[str, int]

    def line(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.out.items())
        return f"{self.taken:,} snapshots in; out: {reasons or 'none'}"


def data_end(con: duckdb.DuckDBPyConnection) -> date:
    """The midnight after the last fact known to the warehouse: nothing is known from this day on.

    Raises:
        DataError: the warehouse holds no account.
    """
    [(end,)] = con.execute("""
        SELECT CAST(max(known) AS DATE) + 1 FROM (
            SELECT max(created_at) AS known FROM accounts
            UNION ALL SELECT max(greatest(occurred_at, received_at)) FROM events
            UNION ALL SELECT max(booked_at) FROM revenue)""").fetchall()
    if end is None:
        raise DataError("the warehouse holds no account. Ingest a folder whose accounts table has rows.")
    return date.fromisoformat(str(end))


def last_as_of(con: duckdb.DuckDBPyConnection, params: SnapshotParams) -> date:
    """The newest date that can be scored: the end of the data, or `until` if tracking stopped before it."""
    end = data_end(con)
    return min(end, params.until) if params.until else end


def grid(con: duckdb.DuckDBPyConnection, params: SnapshotParams) -> list[date]:
    """The dates of the training spine, ascending.

    Raises:
        DataError: the warehouse holds no account.
    """
    [(first_sign_up,)] = con.execute("SELECT CAST(min(created_at) AS DATE) FROM accounts").fetchall()
    first = params.first or first_sign_up
    if first is None:
        raise DataError("the warehouse holds no account. Ingest a folder whose accounts table has rows.")
    return month_starts(first, last_as_of(con, params))[:: params.every_months]


def take_snapshots(con: duckdb.DuckDBPyConnection, params: SnapshotParams) -> tuple[pa.Table, Population]:
    """The training spine.

    Returns:
        account_id, as_of (DATE) sorted by both; and the population with counts by reason.
    """
    con.register("grid", pa.table({"as_of": pa.array(grid(con, params), pa.date32())}))
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE candidates AS
        SELECT a.account_id, g.as_of, coalesce({no_customer("a", "g")}, CASE
            WHEN date_diff('day', CAST(a.created_at AS DATE), g.as_of) < {params.min_age_days}
              THEN 'younger than {params.min_age_days} days' END) AS reason
        FROM accounts a JOIN grid g ON CAST(a.created_at AS DATE) < g.as_of""")
    out = con.execute(
        "SELECT reason, count(*) FROM candidates WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    spine = con.sql(
        "SELECT account_id, as_of FROM candidates WHERE reason IS NULL ORDER BY account_id, as_of"
    ).to_arrow_table()
    con.unregister("grid")
    return spine, Population(spine.num_rows, dict(out))


def no_customer(account: str, date: str) -> str:
    """SQL over a row of accounts and one with an as_of: why the account was no customer then that could teach or be
    judged by; null if it was one."""
    return f"""CASE
            WHEN {account}.is_internal THEN 'internal'
            WHEN {account}.is_internal IS NULL AND ({_internal_told()}) THEN 'internal or not is unknown'
            WHEN coalesce(CAST({account}.closed_at AS DATE) < {date}.as_of, false) THEN 'closed' END"""


def _internal_told() -> str:
    """SQL: whether most accounts say if they are internal. Test accounts use much and never pay: the few that nobody
    has marked would teach that use leads nowhere, so they are scored, and neither taught nor judged (docs/adr/0026)."""
    return f"SELECT count(is_internal) >= {INTERNAL_TOLD} * count(*) FROM accounts"


def refuse_unopened(as_of: date, today: date) -> None:
    """Raises UsageError for a day that has not opened yet (UTC)."""
    if as_of > today:
        raise UsageError(f"as_of {as_of} has not opened yet: today is {today} (UTC). Give today or an earlier day.")


def everyone(con: duckdb.DuckDBPyConnection, as_of: date) -> pa.Table:
    """The nightly spine: every account signed up before as_of, neither internal nor closed, whatever its age."""
    return con.sql(everyone_query(as_of)).to_arrow_table()


def everyone_query(as_of: date) -> str:
    """SQL of the nightly spine, sorted."""
    return f"""
        SELECT account_id, DATE '{as_of}' AS as_of FROM accounts
        WHERE CAST(created_at AS DATE) < DATE '{as_of}' AND is_internal IS NOT TRUE
          AND coalesce(CAST(closed_at AS DATE) >= DATE '{as_of}', true)
        ORDER BY account_id"""


def snapshots_stage(workspace: Workspace, params: SnapshotParams) -> Population:
    """Stage `snapshots`: warehouse -> artifacts/snapshots.parquet and artifacts/population.json."""
    with progress.stage("snapshots") as say, connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse)
        spine, population = take_snapshots(con, params)
        write_table(spine, workspace.artifacts / "snapshots.parquet")
        said = {"in": population.taken, "out": population.out, "data_end": data_end(con).isoformat()}
        said["params"] = params.model_dump(mode="json")
        write_json(said, workspace.artifacts / "population.json")
        say(population.line())
    return population


def main(argv: list[str] | None = None) -> int:
    def called(call: Call) -> None:
        snapshots_stage(call.workspace, section(call.document, "snapshots", SnapshotParams))

    return run(called, "Stage snapshots: who is scored at which date.", argv)


if __name__ == "__main__":
    raise SystemExit(main())
