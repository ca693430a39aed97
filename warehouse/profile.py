"""What a warehouse holds, in figures a data engineer can hold against what the vendor believes: rows, clocks, lateness,
names, and on how few accounts the revenue rests. Pure: typed views in, numbers out; nothing is written.

Moments are UTC. Shares are in [0, 1]. Rows that ingest set aside are not here; they are in its accounting.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np

from warehouse.engine import quote
from warehouse.raw import TABLES, RawTable
from warehouse.specialists import Specialist, suggest_specialists
from warehouse.volume import Days, days_of

LISTED = 500  # event names kept, the most frequent ones
TOPS = (1, 5, 10, 20, 50)  # per cent of the paying accounts
POINTS = 101  # of the concentration curve
LATE = (  # what is said of a lateness, and the days up to which it holds
    ("at once", 0.0),
    ("within an hour", 1 / 24),
    ("within a day", 1.0),
    ("1 to 2 days", 2.0),
    ("2 to 7 days", 7.0),
    ("7 to 30 days", 30.0),
    ("over 30 days", float("inf")),
)
EARLY = "before it happened"


@dataclass(frozen=True)
class TableProfile:
    """accounts: that have a row. clocks: first and last moment of each clock, the one it happened by first; empty
    without rows. filled: share of rows with a value, by column that may be empty."""

    table: str
    rows: int
    accounts: int
    clocks: dict[str, tuple[datetime, datetime]]
    filled: dict[str, float]


@dataclass(frozen=True)
class Lateness:
    """From occurred_at to received_at, in days; negative where a device's clock runs fast.

    one_clock: no event has a received_at of its own, so lateness is unknown, not zero; last_own: the last moment at
    which one had (null then). late: share over one day.
    early: share received before it happened. parts: events by how late, in order, `EARLY` first.
    """

    events: int
    one_clock: bool
    last_own: datetime | None
    late: float
    early: float
    p50: float
    p95: float
    p99: float
    longest: float
    parts: dict[str, int]


@dataclass(frozen=True)
class EventName:
    name: str
    events: int
    accounts: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Concentration:
    """paying: accounts, internal ones apart, that paid more than they were given back. total: money they paid in all.
    top: share of it that the best-paying 1, 5, 10, 20 and 50 % of them hold (rounded up to whole accounts). curve:
    (share of the paying accounts, best first; share of the money they hold), at most 101 points from (0, 0) to (1, 1).
    """

    paying: int
    total: float
    top: dict[int, float]
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Profile:
    """internal: accounts of the vendor itself. unmarked: those of which nobody says whether they are. names: how many
    event names there are; event_names: the most frequent `LISTED` of them. lateness, days: null without events.
    concentration: null where nobody paid."""

    tables: tuple[TableProfile, ...]
    accounts: int
    internal: int
    unmarked: int
    with_events: int
    with_revenue: int
    lateness: Lateness | None
    days: Days | None
    names: int
    event_names: tuple[EventName, ...]
    concentration: Concentration | None
    specialists: tuple[Specialist, ...]

    def table(self, name: str) -> TableProfile:
        return next(table for table in self.tables if table.table == name)


def profile(con: duckdb.DuckDBPyConnection) -> Profile:
    """The views accounts, events, revenue, touches and account_users of an opened warehouse."""
    tables = tuple(_table(con, table) for table in TABLES.values())
    by_name = {table.table: table for table in tables}
    [(internal, unmarked)] = con.execute(
        "SELECT count(*) FILTER (is_internal), count(*) - count(is_internal) FROM accounts"
    ).fetchall()
    [(names,)] = con.execute("SELECT count(DISTINCT event_name) FROM events").fetchall()
    return Profile(
        tables,
        by_name["accounts"].rows,
        internal,
        unmarked,
        by_name["events"].accounts,
        by_name["revenue"].accounts,
        _lateness(con),
        days_of(con),
        names,
        _event_names(con),
        _concentration(con),
        suggest_specialists(con),
    )


def _table(con: duckdb.DuckDBPyConnection, table: RawTable) -> TableProfile:
    clocks = tuple(dict.fromkeys((table.happened, table.known)))
    open_columns = [column.name for column in table.columns if not column.required and column.default is None]
    asked = [f"min({clock}), max({clock})" for clock in clocks] + [f"count({name})" for name in open_columns]
    [(rows, accounts, *found)] = con.execute(
        f"SELECT count(*), count(DISTINCT account_id), {', '.join(asked)} FROM {table.name}"
    ).fetchall()
    ranges = {clock: (found[2 * i], found[2 * i + 1]) for i, clock in enumerate(clocks)} if rows else {}
    counts = found[2 * len(clocks) :]
    filled = {name: round(count / rows, 4) for name, count in zip(open_columns, counts, strict=True)} if rows else {}
    return TableProfile(table.name, rows, accounts, ranges, filled)


def _lateness(con: duckdb.DuckDBPyConnection) -> Lateness | None:
    cases = " ".join(f"WHEN days <= {bound!r} THEN {quote(said)}" for said, bound in LATE[:-1])
    late = "SELECT (epoch_us(received_at) - epoch_us(occurred_at)) / 86400e6 AS days, occurred_at FROM events"
    [(events, over, under, own, quantiles, longest)] = con.execute(f"""
        SELECT count(*), count(*) FILTER (days > 1), count(*) FILTER (days < 0), max(occurred_at) FILTER (days <> 0),
               quantile_cont(days, [0.5, 0.95, 0.99]), max(days) FROM ({late})""").fetchall()
    if not events:
        return None
    found = con.execute(f"""
        SELECT CASE WHEN days < 0 THEN {quote(EARLY)} {cases} ELSE {quote(LATE[-1][0])} END AS part, count(*)
        FROM ({late}) GROUP BY part""").fetchall()
    counts = dict(found)
    parts = {said: int(counts.get(said, 0)) for said in (EARLY, *(said for said, _ in LATE))}
    p50, p95, p99 = (round(value, 4) for value in quantiles)
    return Lateness(events, own is None, own, over / events, under / events, p50, p95, p99, round(longest, 4), parts)


def _event_names(con: duckdb.DuckDBPyConnection) -> tuple[EventName, ...]:
    rows = con.execute(f"""
        SELECT event_name, count(*) AS events, count(DISTINCT account_id), min(occurred_at), max(occurred_at)
        FROM events GROUP BY event_name ORDER BY events DESC, event_name LIMIT {LISTED}""").fetchall()
    return tuple(EventName(*row) for row in rows)


def _concentration(con: duckdb.DuckDBPyConnection) -> Concentration | None:
    rows = con.execute("""
        SELECT sum(amount) AS paid FROM revenue JOIN accounts USING (account_id) WHERE is_internal IS NOT TRUE
        GROUP BY account_id HAVING paid > 0 ORDER BY paid DESC""").fetchall()
    return concentration_of([float(paid) for (paid,) in rows]) if rows else None


def concentration_of(paid: list[float]) -> Concentration:
    """Of what each account paid: positive, the most first, at least one."""
    n, held = len(paid), np.concatenate([[0.0], np.cumsum(paid)])
    top = {percent: round(float(held[-(-percent * n // 100)] / held[-1]), 4) for percent in TOPS}
    places = np.unique(np.round(np.linspace(0, n, POINTS)).astype(int))  # few accounts: a point each
    curve = tuple((round(float(i / n), 4), round(float(held[i] / held[-1]), 4)) for i in places)
    return Concentration(n, round(float(held[-1]), 2), top, curve)
