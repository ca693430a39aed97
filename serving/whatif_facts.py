"""The facts of one account, and the rows it would have in addition if it had done more in the last 28 days.

A bent fact is a copy of one that the account has, under another user or another name, so that it lies on the account's
own days and was known when that one was. Nothing is drawn by lot.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.build import HISTORY
from features.catalogue import Definitions
from features.rollup import Vocabulary
from serving.errors import HistoryMoved
from serving.settings import REQUEST_MEMORY
from serving.upper_quarter import Band
from warehouse.engine import connect
from warehouse.errors import DataError, UsageError
from warehouse.manifest import refuse_changed
from warehouse.store import open_warehouse

WINDOW = 28  # days before as_of in which the facts are bent
EVERYDAY = "everyday use"  # an event of nobody's name, so a plain one
Facts = dict[str, pa.Table]  # raw table -> typed rows of one account


@dataclass(frozen=True)
class Bent:
    """Rows to add to those of the account, typed as its events and its account_users."""

    events: pa.Table
    account_users: pa.Table


def facts_of(warehouse: Path, account_id: str) -> Facts:
    """Every typed row of an account, whenever it happened.

    Raises:
        HistoryMoved: there is no warehouse, a file of it is not what `ingest` wrote, it was replaced while it was read,
            or it knows no such account.
    """
    try:
        refuse_changed(warehouse)
        with connect(warehouse, memory_limit=REQUEST_MEMORY) as con:
            open_warehouse(con, warehouse, pa.chunked_array([[account_id]], pa.string()))
            facts = {table: con.sql(f"SELECT * FROM {table}").to_arrow_table() for table in ("accounts", *HISTORY)}
    except DataError as error:
        raise HistoryMoved(str(error)) from error
    except (UsageError, duckdb.IOException) as error:
        raise HistoryMoved("the warehouse that the scores were made of is not there to be read.") from error
    if not len(facts["accounts"]):
        raise HistoryMoved("the warehouse no longer holds this account. Score again: `expansion score`.")
    return facts


def unbent(facts: Facts) -> Bent:
    return Bent(facts["events"].slice(0, 0), facts["account_users"].slice(0, 0))


def invited(facts: Facts, as_of: date, count: int, definitions: Definitions, peers: Band, seats_told: bool) -> Bent:
    """`count` new users. Each repeats the everyday events that the account's own median user had in
    [as_of - 28, as_of), on the same days; those of a typical user of the peers where the account has no user.

    seats_told: whether the vendor tells who belongs to its accounts; if so they belong to this one from their first day
    on, unless it has had users of whom none is said to belong.
    """
    days = _median_user(_plain(lately(facts["events"], as_of), definitions))
    rows = days if days is not None else _typical_user(facts, as_of, definitions, peers)
    users = [f"what-if user {number + 1}" for number in range(count)]
    copies = rows.take(pa.array(np.tile(np.arange(len(rows)), count)))
    events = _with(_with(copies, "user_id", np.repeat(users, len(rows)).tolist()), "event_id", [None] * len(copies))
    stays = unbent(facts).account_users
    if seats_told and (len(facts["account_users"]) or not pc.any(pc.is_valid(facts["events"]["user_id"])).as_py()):
        joined, account_id = pc.min(rows["occurred_at"]).as_py(), facts["accounts"]["account_id"][0].as_py()
        told = [{"account_id": account_id, "user_id": user, "valid_from": joined} for user in users]
        stays = pa.Table.from_pylist(told, stays.schema)
    return Bent(events, stays)


def done_more(facts: Facts, as_of: date, count: int, names: Sequence[str], most: int | None = None) -> Bent | None:
    """So many more events by the names given, spread evenly over the days of its users in [as_of - 28, as_of); over its
    days of use where none of them is named. Names that it has not used there come first; with those it has, at most
    `most` are different. Null: it was not used on any of these days."""
    there = lately(facts["events"], as_of)
    named = there.filter(pc.is_valid(there["user_id"]))
    there = named if len(named) else there
    first: dict[tuple[date, str], int] = {}  # the row by which a user's day is copied
    moments = zip(there["occurred_at"].to_pylist(), there["user_id"].to_pylist(), strict=True)
    for row, (moment, user) in enumerate(moments):
        first.setdefault((moment.date(), user or ""), row)
    if not first:
        return None
    user_days = [first[key] for key in sorted(first)]
    picked = [user_days[(2 * number + 1) * len(user_days) // (2 * count)] for number in range(count)]
    used = set(lately(facts["events"], as_of)["event_name"].to_pylist())
    own, fresh = [name for name in names if name in used], [name for name in names if name not in used]
    cycle = [*fresh[: None if most is None else max(most - len(own), 0)], *own]
    rows = _with(there.take(pa.array(picked)), "event_name", [cycle[n % len(cycle)] for n in range(count)])
    rows = _with(_with(rows, "event_id", [None] * count), "quantity", [Decimal(1)] * count)
    return Bent(rows, unbent(facts).account_users)


def names_of(kind: str, definitions: Definitions) -> list[str]:
    """The event names that the vendor declared and that count as this kind, in their order."""
    declared = definitions.features.kinds()[kind]
    counted = Vocabulary(declared).table(definitions)["kind"].to_pylist()
    return [name for name, counts_as in zip(declared, counted, strict=True) if counts_as == kind]


def lately(events: pa.Table, as_of: date, days: int | None = WINDOW) -> pa.Table:
    """The rows of [as_of - days, as_of), known before as_of, in order of time; null: of all its life."""
    midnight = datetime.combine(as_of, time())
    known = pc.less(pc.max_element_wise(events["occurred_at"], events["received_at"]), midnight)
    if days is not None:
        known = pc.and_(known, pc.greater_equal(events["occurred_at"], midnight - timedelta(days=days)))
    order = ("occurred_at", "user_id", "event_name", "event_id")
    return events.filter(known).sort_by([(name, "ascending") for name in order])


def _plain(events: pa.Table, definitions: Definitions) -> pa.Table:
    """Those of named users to which the vendor gave no meaning of their own."""
    kinds = Vocabulary().plus(events["event_name"].to_pylist()).table(definitions)
    plain = kinds["event_name"].filter(pc.equal(kinds["kind"], "plain"))
    meant = pc.is_in(events["event_name"], plain.combine_chunks())
    return events.filter(pc.and_(meant, pc.is_valid(events["user_id"])))


def _median_user(events: pa.Table) -> pa.Table | None:
    """The rows of the user in the middle by days of use, then by events; the lesser of two. Null: there is no user."""
    acts: dict[str, list[date]] = defaultdict(list)
    for user, moment in zip(events["user_id"].to_pylist(), events["occurred_at"].to_pylist(), strict=True):
        acts[user].append(moment.date())
    order = sorted(acts, key=lambda user: (len(set(acts[user])), len(acts[user]), user))
    return events.filter(pc.equal(events["user_id"], order[(len(order) - 1) // 2])) if order else None


def _typical_user(facts: Facts, as_of: date, definitions: Definitions, peers: Band) -> pa.Table:
    """A typical user of the peers: their usual number of everyday events a day, on their usual number of days, which
    are spread evenly over the part of the window that the account has lived. The events bear the account's most common
    everyday name, or `EVERYDAY` where it has none."""
    [created] = facts["accounts"]["created_at"].to_pylist()
    first = max(as_of - timedelta(days=WINDOW), created.date())
    lived = (as_of - first).days
    days = min(peers.user_days, lived)
    own = Counter(_plain(lately(facts["events"], as_of, None), definitions)["event_name"].to_pylist())
    name = min(own, key=lambda name: (-own[name], name), default=EVERYDAY)
    rows = []
    for number in range(days):
        noon = datetime.combine(first + timedelta(days=(2 * number + 1) * lived // (2 * days)), time(12))
        moment = max(noon, created)  # nobody acts before the account is there
        rows += [_event(facts, name, moment)] * peers.plain
    return pa.Table.from_pylist(rows, facts["events"].schema)


def _event(facts: Facts, name: str, moment: datetime) -> dict[str, Any]:
    return {
        "account_id": facts["accounts"]["account_id"][0].as_py(),
        "event_name": name,
        "occurred_at": moment,
        "received_at": moment,
        "quantity": Decimal(1),
    }


def _with(rows: pa.Table, name: str, values: Collection[Any]) -> pa.Table:
    place = rows.column_names.index(name)
    return rows.set_column(place, rows.schema.field(place), pa.array(values, rows.schema.field(place).type))
