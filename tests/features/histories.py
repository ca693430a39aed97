"""Small histories of typed raw rows, the warehouse they make, and random ones with every awkward case in them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from features.catalogue import Definitions
from warehouse.raw import SQL_TYPES, TABLES

Row = dict[str, Any]
DEFINITIONS = Definitions.from_params(
    {
        "features": {
            "specialist": ["automation_run", "api_called"],
            "configuration": ["setting_changed", "role_assigned"],
            "limit": ["limit_hit", "seat_refused"],
            "ticket": ["ticket_opened", "ticket_reopened"],
            "intent": ["pricing_viewed"],
        }
    }
)
NAMES = (*(name for names in DEFINITIONS.features.kinds().values() for name in names), "page_seen")
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)  # the finest step of both clocks


def at(text: str | date | datetime) -> datetime:
    """A moment of the warehouse: UTC, without a zone. A date is its opening midnight."""
    if isinstance(text, datetime):
        return text
    if isinstance(text, date):
        return datetime.combine(text, time.min)
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def account(account_id: str = "a1", created_at: str | datetime = "2023-01-01", **columns: Any) -> Row:
    return {"account_id": account_id, "created_at": at(created_at), "is_internal": False, **columns}


def event(occurred_at: str | datetime, event_name: str = "page_seen", account_id: str = "a1", **columns: Any) -> Row:
    """`received_at` is the moment it occurred, unless given."""
    known = {"received_at": at(columns.pop("received_at", occurred_at))}
    made = {"user_id": "u1", "quantity": Decimal(1)}
    return {
        "account_id": account_id,
        "event_name": event_name,
        "occurred_at": at(occurred_at),
        **made,
        **known,
    } | columns


def invoice(booked_at: str | datetime, amount: float | str | Decimal, account_id: str = "a1", **columns: Any) -> Row:
    """A one-off purchase; with `period_start` and `period_end` a subscription."""
    start = at(columns.pop("period_start", booked_at))
    end = columns.pop("period_end", None)
    period = {"period_start": start, "period_end": None if end is None else at(end), "kind": "invoice"}
    return {"account_id": account_id, "amount": Decimal(str(amount)), "booked_at": at(booked_at), **period, **columns}


def stay(
    valid_from: str | datetime, valid_to: str | datetime | None = None, account_id: str = "a1", **columns: Any
) -> Row:
    """A user of the account; `valid_to` null: still there."""
    end = None if valid_to is None else at(valid_to)
    return {"account_id": account_id, "user_id": "u1", "valid_from": at(valid_from), "valid_to": end, **columns}


@dataclass(frozen=True)
class History:
    accounts: Sequence[Row] = (account(),)
    events: Sequence[Row] = ()
    revenue: Sequence[Row] = ()
    stays: Sequence[Row] = ()

    @property
    def tables(self) -> dict[str, Sequence[Row]]:
        """Rows by raw table."""
        return {
            "accounts": self.accounts,
            "events": self.events,
            "revenue": self.revenue,
            "account_users": self.stays,
        }

    def plus(self, other: History) -> History:
        return History(
            *([*mine, *more] for mine, more in zip(self.tables.values(), other.tables.values(), strict=True))
        )

    def shuffled(self, seed: int) -> History:
        dice = random.Random(seed)
        return History(*(dice.sample(rows, len(rows)) for rows in self.tables.values()))

    def only(self, account_id: str) -> History:
        return History(*([row for row in rows if row["account_id"] == account_id] for rows in self.tables.values()))

    def cut(self, as_of: date) -> History:
        """What the vendor could know at `as_of`: the warehouse of that midnight."""
        end = at(as_of)
        accounts = [row for row in self.accounts if row["created_at"] < end]
        return replace(
            self,
            accounts=[
                row | {"closed_at": None} if row.get("closed_at") and row["closed_at"] >= end else row
                for row in accounts
            ],
            events=[row for row in self.events if row["occurred_at"] < end and row["received_at"] < end],
            revenue=[row for row in self.revenue if row["booked_at"] < end],
            stays=[
                row | {"valid_to": row["valid_to"] if row["valid_to"] and row["valid_to"] < end else None}
                for row in self.stays
                if row["valid_from"] < end
            ],
        )


@contextmanager
def warehouse(history: History) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees the typed tables of `history`."""
    con = duckdb.connect(":memory:", config={"threads": 2})
    try:
        for name, rows in history.tables.items():
            columns = TABLES[name].columns
            con.execute(f"CREATE TABLE {name} ({', '.join(f'{c.name} {SQL_TYPES[c.type]}' for c in columns)})")
            if rows:
                arrow = pa.table({c.name: [row.get(c.name) for row in rows] for c in columns})
                con.register("given", arrow)
                con.execute(f"INSERT INTO {name} SELECT * FROM given")
                con.unregister("given")
        yield con
    finally:
        con.close()


def spine(*pairs: tuple[str, date]) -> pa.Table:
    return pa.table({"account_id": [a for a, _ in pairs], "as_of": pa.array([d for _, d in pairs], pa.date32())})


def spine_of(history: History, days: Sequence[date]) -> pa.Table:
    """Every account at every date, in no tidy order."""
    return spine(*((row["account_id"], day) for day in reversed(days) for row in history.accounts))


# Random histories. Every distance is measured back from 2024-03-01, the day after a leap day, and clusters at the edges
# of the windows; clock times cluster at midnight.
ANCHOR = date(2024, 3, 1)
AS_OFS = (ANCHOR, date(2024, 2, 29), date(2024, 3, 2), date(2024, 5, 30), date(2025, 3, 1))
_EDGES = (7, 28, 56, 60, 90, 180, 270, 360)
_ages = st.one_of(st.sampled_from([w + step for w in _EDGES for step in (0, 1)]), st.integers(-5, 60))
_clocks = st.sampled_from([timedelta(0), TICK, timedelta(hours=12), DAY - TICK])
_delays = st.sampled_from([timedelta(0), timedelta(hours=1), -DAY, DAY, 9 * DAY, 95 * DAY])


@st.composite
def _moments(draw: st.DrawFn) -> datetime:
    return at(ANCHOR) - draw(_ages) * DAY + draw(_clocks)


@st.composite
def _accounts(draw: st.DrawFn, account_id: str) -> Row:
    age = draw(st.sampled_from([0, 1, 2, 7, 28, 29, 61, 90, 91, 180, 181, 270, 271, 500]))
    told = draw(st.sampled_from([{}, {"employees": 40, "industry": "retail", "country": "GB", "channel": "fair"}]))
    closed = draw(st.one_of(st.none(), st.none(), _moments()))
    created = at(ANCHOR) - age * DAY + draw(_clocks)
    return account(account_id, created, closed_at=None if closed is None else max(closed, created), **told)


@st.composite
def _events(draw: st.DrawFn, ids: st.SearchStrategy[str]) -> Row:
    occurred = draw(_moments())
    on_a_date = st.builds(lambda day, clock: at(day) + clock, st.sampled_from(AS_OFS), _clocks)
    return event(
        occurred,
        draw(st.sampled_from(NAMES)),
        draw(ids),
        received_at=draw(st.one_of(_delays.map(lambda delay: occurred + delay), on_a_date)),
        user_id=draw(st.sampled_from([None, "u1", "u2", "u3", "u4", "u5", "u6"])),
        quantity=draw(st.sampled_from([Decimal(1), Decimal("0.25"), Decimal(0), Decimal("1200.5")])),
    )


@st.composite
def invoices(draw: st.DrawFn, ids: st.SearchStrategy[str]) -> Row:
    """Advance, arrears and long-service rows, one-off purchases, credits, periods within one day and to its last
    second."""
    booked = draw(_moments())
    start = booked + draw(st.sampled_from([-30, -1, 0, 0, 0, 1, 20])) * DAY
    lengths = [timedelta(hours=1), DAY, 29 * DAY, 30 * DAY, 30 * DAY - timedelta(seconds=1), 31 * DAY, 365 * DAY]
    served = draw(st.sampled_from([None, None, *lengths]))
    amount = draw(st.sampled_from(["20", "60", "10", "450", "-10", "-60", "0", "0.5", "59.99", "1800", "9000.5"]))
    end = None if served is None else start + served
    return invoice(booked, amount, draw(ids), period_start=start, period_end=end)


@st.composite
def stays(draw: st.DrawFn, ids: st.SearchStrategy[str]) -> Row:
    """Users who came before sign-up or after it, left the same day, long after, or not yet; told once or twice."""
    begun = draw(_moments())
    lasted = draw(st.sampled_from([None, None, timedelta(0), DAY, 27 * DAY, 28 * DAY, 90 * DAY, 400 * DAY]))
    end = None if lasted is None else begun + lasted
    return stay(begun, end, draw(ids), user_id=draw(st.sampled_from(["u1", "u2", "u3"])))


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Up to three accounts that share user ids; rows may be equal to each other or fall outside the account's life."""
    names = ("a1", "a2", "a3")[: draw(st.integers(1, 3))]
    made, ids = [draw(_accounts(name)) for name in names], st.sampled_from(names)
    busy = draw(st.sampled_from([0, 1, 1]))  # left alone, random lists are mostly short
    events = draw(st.lists(_events(ids), min_size=24 * busy, max_size=36))
    events += events[: draw(st.integers(0, 3))]  # the same thing done twice
    there = draw(st.lists(stays(ids), max_size=10))
    back = [row | {"valid_from": row["valid_to"], "valid_to": None} for row in there[:2] if row["valid_to"]]
    return History(
        made,
        events,
        draw(st.lists(invoices(ids), min_size=10 * busy, max_size=16)),
        there + (back if draw(st.booleans()) else []),  # who left comes back at once
    )


def resting(as_of: date, size: int = 22) -> History:
    """Accounts enough for a season and for peers: each used every second day until two weeks before `as_of`, and hardly
    since. Half of them close the day after; and what they did in those weeks, too, is only known from then on."""
    names, midnight = [f"p{number}" for number in range(size)], at(as_of)
    accounts = [
        account(name, midnight - 400 * DAY, closed_at=midnight + DAY if number % 2 else None)
        for number, name in enumerate(names)
    ]
    used = [event(midnight - age * DAY, account_id=name) for name in names for age in (3, 9, *range(16, 85, 2))]
    late = [event(midnight - age * DAY, account_id=name, received_at=midnight) for name in names for age in (1, 5, 11)]
    return History(accounts, used + late)


@st.composite
def late_rows(draw: st.DrawFn, as_of: date) -> History:
    """Events that happened or were received, revenue that was booked, users who joined, and accounts that signed up, at
    or after the midnight `as_of`, the midnight itself included."""
    ids = st.sampled_from(["a1", "a2", "a3"])
    after = st.sampled_from([timedelta(0), TICK, DAY, 45 * DAY])
    before = st.sampled_from([timedelta(0), -TICK, -DAY, -28 * DAY, -100 * DAY])
    midnight, events, revenue = at(as_of), [], []
    for row in draw(st.lists(_events(ids), min_size=1, max_size=8)):
        early, late = midnight + draw(before), midnight + draw(after)
        first = draw(st.booleans())  # which clock is the late one
        clocks = {"occurred_at": early if first else late, "received_at": late if first else early}
        events.append(row | clocks | {"user_id": draw(st.sampled_from([None, "u1", "u9"])), "quantity": Decimal(7)})
    for row in draw(st.lists(invoices(ids), min_size=1, max_size=5)):
        revenue.append(row | {"booked_at": midnight + draw(after)})
    joining = [row | {"valid_from": midnight + draw(after), "valid_to": None} for row in draw(st.lists(stays(ids)))]
    return History([account("a9", midnight + draw(after))], events, revenue, joining)
