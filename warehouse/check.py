"""Looks a data folder over before anything is built from it; writes nothing but a folder of its own that it removes."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from warehouse.accounting import Accounting
from warehouse.engine import connect
from warehouse.ingest import IngestParams, open_sources
from warehouse.raw import TABLES
from warehouse.validate import validate

QUANTILES = (0.5, 0.8, 0.95)
LISTED_NAMES = 20


@dataclass(frozen=True)
class CheckReport:
    """What a data folder holds.

    clocks: by table, then by clock, the first and last accepted moment (ISO, UTC); tables without rows are absent.
    event_names: accepted events by name, most frequent first. suggested_floors: quantile (0.5, 0.8, 0.95) of positive
    monthly spend per account, as money per month; empty without revenue.
    """

    accounting: Accounting
    clocks: dict[str, dict[str, list[str]]]
    accounts_with_events: int
    accounts_with_revenue: int
    event_names: dict[str, int]
    suggested_floors: dict[str, float]

    @property
    def problems(self) -> tuple[str, ...]:
        """Rules over their limit: with any, ingest would refuse the folder."""
        return self.accounting.problems

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"accounting": self.accounting.to_json()}

    def lines(self) -> list[str]:
        """The report for people: counts, clocks, names, floors, and last what is wrong."""
        out = self.accounting.lines()
        for table, clocks in self.clocks.items():
            out += [f"{table}: {clock} from {first} to {last}" for clock, (first, last) in clocks.items()]
        accounts = self.accounting.counts["accounts"]
        out.append(f"accounts with events: {self.accounts_with_events:,} of {accounts:,}")
        out.append(f"accounts with revenue: {self.accounts_with_revenue:,} of {accounts:,}")
        shown = list(self.event_names.items())[:LISTED_NAMES]
        out += [f"event {event}: {count:,}" for event, count in shown]
        if len(self.event_names) > LISTED_NAMES:
            out.append(f"and {len(self.event_names) - LISTED_NAMES:,} more event names")
        if self.suggested_floors:
            floors = ", ".join(f"{floor:,.2f}" for floor in self.suggested_floors.values())
            out.append(f"suggested tiers.ladder floors (50, 80, 95 % of paid account months): {floors}")
        return out + [f"would be refused: {problem}" for problem in self.problems]


def check(raw: Path, params: IngestParams, now: datetime) -> CheckReport:
    """Applies the rules of `ingest` to `raw` and reports; rules over their limit are in `problems`, not raised.

    Raises:
        ContractBroken: a table or column is missing, or a file is unreadable, so there is nothing to report.
        ParamsError: an SQL text in the params does not fit the files.
    """
    raw = raw.resolve()
    with tempfile.TemporaryDirectory(prefix="expansion-check-") as aside, connect(raw, Path(aside)) as con:
        reading = params.reading(now)
        sources = open_sources(con, raw, params, reading)
        outcome = validate(con, sources, reading, params.limits("the quarantine of a workspace by `expansion ingest`"))
        return CheckReport(
            outcome.accounting,
            _clocks(con),
            _active(con, "events"),
            _active(con, "revenue"),
            _event_names(con),
            _floors(con),
        )


def _clocks(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, list[str]]]:
    out: dict[str, dict[str, list[str]]] = {}
    for table in TABLES.values():
        for clock in dict.fromkeys((table.happened, table.known)):
            row = con.execute(
                f"SELECT min({clock}), max({clock}) FROM ingest.{table.name} WHERE _breach IS NULL"
            ).fetchone()
            if row and row[0] is not None:
                out.setdefault(table.name, {})[clock] = [moment.isoformat(" ") for moment in row]
    return out


def _active(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row = con.execute(f"SELECT count(DISTINCT account_id) FROM ingest.{table} WHERE _breach IS NULL").fetchone()
    return int(row[0]) if row else 0


def _event_names(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    query = "SELECT event_name, count(*) FROM ingest.events WHERE _breach IS NULL GROUP BY 1 ORDER BY 2 DESC, 1"
    return dict(con.execute(query).fetchall())


def _floors(con: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """Quantiles of what an account paid in a calendar month (UTC, by booking), over months with positive spend."""
    row = con.execute(
        f"""SELECT quantile_disc(spend, {list(QUANTILES)}) FROM (
            SELECT sum(amount) AS spend FROM ingest.revenue WHERE _breach IS NULL
            GROUP BY account_id, date_trunc('month', booked_at) HAVING sum(amount) > 0)"""
    ).fetchone()
    return dict(zip(map(str, QUANTILES), map(float, row[0]), strict=True)) if row and row[0] else {}
