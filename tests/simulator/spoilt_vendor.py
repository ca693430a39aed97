"""A small vendor with made-up tables in all the right types, and what the faults make of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulator.faults import RENAMES, Faults
from simulator.spoiling import Spoiler

START, DAYS, ACCOUNTS, SEED = date(2024, 1, 1), 150, 1_000, 5
DAY = 86_400
FIRST, END = np.datetime64(START, "us"), np.datetime64(START, "us") + np.timedelta64(DAYS, "D")
HOUR = np.timedelta64(1, "h")
TABLES = ("accounts", "revenue", "account_users")
DRIVEN = Faults(  # every fault often enough to be counted
    **{name: 0.1 for name in Faults.model_fields} | {"unflagged": 0.5, "missing_days": 0.02}
)


@dataclass
class Vendor:
    """Raw tables by name; `days`: the events by day, None for a day without a file."""

    tables: dict[str, pa.Table]
    days: list[pa.Table | None]

    @property
    def events(self) -> pa.Table:
        return pa.concat_tables([day for day in self.days if day is not None])


def moments(seconds: np.ndarray) -> np.ndarray:
    return FIRST + seconds.astype("timedelta64[s]")


@cache
def clean() -> Vendor:
    rng = np.random.default_rng(1)
    ids = np.array([f"acc-{i:06d}" for i in range(ACCOUNTS)])
    born = np.sort(rng.integers(0, 100 * DAY, ACCOUNTS))
    gone = born + rng.integers(10 * DAY, 400 * DAY, ACCOUNTS)
    closed = pa.array(moments(gone), mask=gone >= DAYS * DAY)
    accounts = pa.table(
        {
            "account_id": ids,
            "created_at": moments(born),
            "closed_at": closed,
            "plan": rng.choice(["trial", "team"], ACCOUNTS),
            "is_internal": rng.random(ACCOUNTS) < 0.02,
        }
    )
    owner = np.repeat(np.arange(ACCOUNTS), rng.integers(1, 7, ACCOUNTS))
    founder = np.diff(owner, prepend=-1) > 0
    joined = born[owner] + np.where(founder, 0, rng.integers(0, 70 * DAY, len(owner)))
    owner, joined = (column[joined < np.minimum(gone[owner], DAYS * DAY)] for column in (owner, joined))
    stays = pa.table(
        {
            "account_id": ids[owner],
            "user_id": [f"u-{i}" for i in range(len(owner))],
            "valid_from": moments(joined),
            "valid_to": closed.take(pa.array(owner)),
            "role": rng.choice(["admin", "member"], len(owner)),
        }
    )
    days: list[pa.Table | None] = [_day(rng, day, ids, owner, joined, gone) for day in range(DAYS)]
    return Vendor({"accounts": accounts, "revenue": _revenue(rng, ids, born, gone), "account_users": stays}, days)


def _day(
    rng: np.random.Generator, day: int, ids: np.ndarray, owner: np.ndarray, joined: np.ndarray, gone: np.ndarray
) -> pa.Table:
    there = np.flatnonzero((joined < day * DAY) & (gone[owner] >= (day + 1) * DAY))
    who = rng.choice(there, 2 * len(there)) if len(there) else there
    at = day * DAY + np.sort(rng.integers(0, DAY, len(who)))
    return pa.table(
        {
            "event_id": pa.array([f"e-{day}-{i}" for i in range(len(who))], pa.string()),
            "account_id": pa.array(ids[owner[who]], pa.string()),
            "user_id": pa.array([f"u-{i}" for i in who], pa.string(), mask=rng.random(len(who)) < 0.05),
            "event_name": pa.array(rng.choice([*RENAMES, "login"], len(who)), pa.string()),
            "occurred_at": moments(at),
            "received_at": moments(at + rng.integers(0, 60, len(who))),
            "quantity": np.ones(len(who)),
        }
    )


def _revenue(rng: np.random.Generator, ids: np.ndarray, born: np.ndarray, gone: np.ndarray) -> pa.Table:
    payer = np.repeat(np.flatnonzero(rng.random(ACCOUNTS) < 0.6), 6)
    begins = born[payer] + rng.integers(0, 60 * DAY, len(payer))
    payer, begins = (column[begins < np.minimum(gone[payer], DAYS * DAY)] for column in (payer, begins))
    order = np.argsort(begins)
    payer, begins = payer[order], begins[order]
    cents = rng.choice([3_951, 4_400, 1, -1_001], len(begins), p=[0.6, 0.2, 0.1, 0.1])
    return pa.table(
        {
            "revenue_id": [f"r-{i:04d}" for i in range(len(begins))],
            "account_id": ids[payer],
            "amount": pa.array([Decimal(amount).scaleb(-2) for amount in cents.tolist()], pa.decimal128(18, 4)),
            "currency": ["USD"] * len(begins),
            "booked_at": moments(begins),
            "period_start": moments(begins),
            "period_end": moments(begins + 30 * DAY),
            "kind": np.where(cents < 0, "credit", "subscription"),
        }
    )


def spoiler(faults: Faults) -> Spoiler:
    return Spoiler(faults, clean().tables["accounts"], START, DAYS, SEED)


def spoil(faults: Faults) -> tuple[Vendor, Spoiler]:
    worker = spoiler(faults)
    tables = {name: getattr(worker, name)(clean().tables[name]) for name in TABLES}
    return Vendor(tables, [worker.events(day, table) for day, table in enumerate(clean().days)]), worker


@cache
def alone(fault: str) -> tuple[Vendor, Spoiler]:
    return spoil(Faults(**{fault: getattr(DRIVEN, fault)}))


@cache
def together() -> tuple[Vendor, Spoiler]:
    return spoil(DRIVEN)


def events_beside(fault: str) -> tuple[pa.Table, pa.Table, np.ndarray]:
    """Events before and after `fault` alone, row by row, and the day of each."""
    before, after = clean().events, alone(fault)[0].events
    assert before.num_rows == after.num_rows
    return before, after, np.repeat(np.arange(DAYS), [day.num_rows for day in clean().days if day is not None])


def values(table: pa.Table, column: str) -> np.ndarray:
    return table[column].to_numpy()


def differ(before: pa.Table, after: pa.Table, column: str) -> np.ndarray:
    return pc.fill_null(pc.not_equal(before[column], after[column]), False).to_numpy()


def by_id(table: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["revenue_id"]: row for row in table.to_pylist()}


def as_often_as(rate: float, hit: int, among: int) -> bool:
    return bool(abs(hit - rate * among) < 5 * np.sqrt(among * rate * (1 - rate)))


def users_hit(before: pa.Table, hit: np.ndarray) -> tuple[set[str], set[str]]:
    """Users with a row that is hit, and users with one that is not, among the rows given."""
    users = before["user_id"]
    of = [set(users.filter(pa.array(mask)).drop_null().to_pylist()) for mask in (hit, ~hit)]
    return of[0], of[1]
