"""Segment, RudderStack and Hightouch Events as they write a warehouse: events from `tracks`, accounts from `groups`.

Every group call is a row that stays, so `groups` is history: what a user's account was when an event happened, and what
was told of an account at its sign-up. `users` and `accounts` hold the latest state only and are never opened.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import duckdb
from pydantic import Field

from warehouse import casting, rules
from warehouse.adapters import Source, files, values
from warehouse.adapters.tables import require
from warehouse.engine import name, quote
from warehouse.errors import ContractBroken
from warehouse.mixed import MIXED, carried
from warehouse.params import Section
from warehouse.raw import EVENTS, Column, RawTable

TRAITS = ("industry", "employees", "plan")
TRACKS = RawTable(
    "tracks",
    (
        Column("id", "text", "message id", required=True),
        Column("event", "text", "name of the event", required=True),
        Column("timestamp", "timestamp", "when, corrected for the clock of the device", required=True),
    ),
    (),
    "timestamp",
    "received_at",
    "one row an event",
)
CALLS = RawTable(
    "segment_groups",
    (
        Column("account_id", "text", "group_id", required=True),
        Column("user_id", "text", "null for an anonymous visitor"),
        Column("valid_from", "timestamp", "timestamp", required=True),
        Column("received_at", "timestamp", "when the vendor knew of it", default="valid_from"),
        *(Column(trait, "text", "as told by this call; the rules of accounts judge it") for trait in TRAITS),
    ),
    (),
    "valid_from",
    "received_at",
    "one row a group call",
)
GROUPS = {
    "group_id": "account_id",
    "user_id": "user_id",
    "timestamp": "valid_from",
    "received_at": "received_at",
    **dict(zip(TRAITS, TRAITS, strict=True)),
}
CLEAN = "FROM ingest.segment_groups WHERE _breach IS NULL"


class SegmentParams(Section):
    """tracks, groups: the names of these tables in the raw folder, or globs below it; there may be no groups.
    accounts: whether group calls also make the accounts; false where another adapter gives them.
    ungrouped: what becomes of an event of nobody's account: `excluded:no_group`, or refused as `null_key`.
    late_group_minutes: how much later than the event a group call may be received and still tell its account.
    traits_within_days: how long after an account's first group call its industry, employees and plan may be told.
    """

    tracks: str = "tracks"
    groups: str = "groups"
    accounts: bool = True
    ungrouped: Literal["exclude", "refuse"] = "exclude"
    late_group_minutes: float = Field(default=10, ge=0, le=525_600)
    traits_within_days: float = Field(default=1, ge=0, le=3_650)


def sources(con: duckdb.DuckDBPyConnection, raw: Path, params: SegmentParams, reading: rules.Reading) -> list[Source]:
    """Events, and with group calls also account_users and accounts. Leaves `ingest.segment_groups` in `con`.

    Raises:
        ContractBroken: tracks or one of its columns is missing, nothing tells an account, or a file cannot be read.
    """
    tracks = files.expect(con, raw, params.tracks, "ingest.segment.tracks")
    for file, columns in tracks.by_file.items():
        require(file, TRACKS, tuple(values.own_names(columns)))
    groups = files.look(con, raw, params.groups)
    own = values.own_names(tracks.columns)
    if "context_group_id" not in own and (groups is None or "user_id" not in own):
        raise ContractBroken(
            [
                f"{raw}: nothing tells the account of an event (rule missing_column): {params.tracks} has no column "
                f'"context_group_id"{"" if "user_id" in own else " and no user_id"}, and '
                f"{params.groups} is {'missing' if groups is None else 'there'}. Export the table groups too."
            ]
        )
    if groups is None:
        return [_events(con, raw, tracks, params, reading)]
    found = _of_groups(con, raw, groups, params, reading)
    events = _events(con, raw, tracks, params, None)
    return [*found, replace(events, paths=events.paths | found[0].paths)]


def _of_groups(
    con: duckdb.DuckDBPyConnection, raw: Path, there: files.RawFiles, params: SegmentParams, reading: rules.Reading
) -> list[Source]:
    own = values.own_names(there.columns)
    needed = RawTable("groups", tuple(Column(c, "text", "", True) for c in ("group_id", "timestamp")), (), "", "", "")
    for file, columns in there.by_file.items():
        require(file, needed, tuple(values.own_names(columns)))
    wanted = {column: given for column, given in GROUPS.items() if column in own}
    lines, rejects = files.relation(raw, there, [own[column] for column in wanted])
    picked, types = {}, {}
    for column, given in wanted.items():
        picked[given], types[given] = f"f.{name(own[column])}", there.columns[own[column]]
        if CALLS.column(given).type == "timestamp":
            picked[given], types[given] = values.utc(picked[given], types[given], None)
        elif given in TRAITS:
            picked[given], types[given] = values.told(picked[given], types[given]), "VARCHAR"
    labels = tuple(there.by_file)
    try:
        source = Source("groups", values.select(lines, picked, []), types, labels, judged=True)
        con.execute(f"CREATE TABLE ingest.{CALLS.name} AS {rules.judged(CALLS, source, reading)}")
    except duckdb.Error as error:
        blamed = files.at_fault(con, there.paths, error) or ", ".join(labels[:3])
        raise ContractBroken([f"{blamed}: {files.why(error)}"]) from error
    extra = there.besides(own[column] for column in wanted)
    users = Source("account_users", _STAYS, _STAY_TYPES, labels, extra, rejects, judged=True, paths=there.paths)
    if not params.accounts:
        return [users]
    told = [trait for trait in TRAITS if trait in wanted]
    types = {"account_id": "VARCHAR", "created_at": values.ZONED} | dict.fromkeys(told, "VARCHAR")
    return [Source("accounts", _accounts(told, params.traits_within_days), types, labels, paths=there.paths), users]


# A stay has one clock, so it begins and ends when that was known. A call that was overtaken, or that names the user's
# account again, starts no stay; it is counted and set aside.
_ORDER = "known_at, valid_from, account_id, _file, _line"
_STAYS = f"""
    WITH calls AS (
        SELECT *, _breach IS NULL AND user_id IS NOT NULL AS _there, greatest(valid_from, received_at) AS known_at
        FROM ingest.segment_groups
    ),
    timely AS (
        SELECT *, _there AND valid_from >= coalesce(max(valid_from) OVER earlier, valid_from) AS _counts FROM calls
        WINDOW earlier AS (
            PARTITION BY user_id, _there ORDER BY {_ORDER} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
    ),
    ordered AS (
        SELECT *, CASE WHEN _counts THEN lag(account_id) OVER in_order END AS _before FROM timely
        WINDOW in_order AS (PARTITION BY user_id, _counts ORDER BY {_ORDER})
    ),
    started AS (SELECT *, _counts AND _before IS DISTINCT FROM account_id AS _starts FROM ordered)
    SELECT _file, _line, account_id, user_id,
        (CASE WHEN _breach IS NULL THEN known_at ELSE valid_from END) AT TIME ZONE 'UTC' AS valid_from,
        (min(CASE WHEN _starts THEN known_at END) OVER later_calls) AT TIME ZONE 'UTC' AS valid_to,
        CASE WHEN _breach IS NOT NULL THEN replace(_breach, '|received_at', '|valid_from')
             WHEN user_id IS NULL THEN 'excluded:no_user|'
             WHEN NOT _counts THEN 'excluded:late_group|'
             WHEN NOT _starts THEN 'excluded:same_group|' END AS _breach
    FROM started
    WINDOW later_calls AS (
        PARTITION BY user_id, _counts ORDER BY {_ORDER} ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    )"""
_STAY_TYPES = {
    "account_id": "VARCHAR",
    "user_id": "VARCHAR",
    "valid_from": values.ZONED,
    "valid_to": values.ZONED,
}


def _accounts(told: list[str], days: float) -> str:
    """One row an account: signed up with its first group call; a trait is what the first call said that said it, unless
    that came so late that it was not known at sign-up."""
    first = "(valid_from, received_at, _file, _line)"
    in_time = f"greatest(valid_from, received_at) <= signed_up + to_microseconds({round(days * 86_400_000_000)})"
    traits = "".join(
        f", arg_min({trait}, (valid_from, received_at, {trait})) FILTER ({trait} IS NOT NULL AND {in_time}) AS {trait}"
        for trait in told
    )
    return (
        f"SELECT arg_min(_file, {first}) AS _file, arg_min(_line, {first}) AS _line, account_id, "
        f"min(valid_from) AT TIME ZONE 'UTC' AS created_at{traits} "
        f"FROM (SELECT *, min(valid_from) OVER (PARTITION BY account_id) AS signed_up {CLEAN}) GROUP BY account_id"
    )


def _events(
    con: duckdb.DuckDBPyConnection,
    raw: Path,
    there: files.RawFiles,
    params: SegmentParams,
    reading: rules.Reading | None,
) -> Source:
    """reading: null when there are group calls, as rows are then joined and no file stands for itself."""
    grouped, zone = reading is None, None if reading is None else reading.timezone
    own = values.own_names(there.columns)
    wanted = [c for c in ("id", "event", "timestamp", "received_at", "user_id", "context_group_id") if c in own]
    lines, rejects = files.relation(raw, there, [own[column] for column in wanted])
    given = {column: (f"f.{name(own[column])}", there.columns[own[column]]) for column in wanted}
    happened = values.utc(*given["timestamp"], zone)
    received = values.utc(*given["received_at"], zone) if "received_at" in given else happened
    at, known = (
        casting.cast(EVENTS.column("occurred_at"), clock, kind, "UTC")
        for clock, kind in (("occurred_at", happened[1]), ("received_at", received[1]))
    )
    user, direct = (
        values.told(*given[column]) if column in given else "CAST(NULL AS VARCHAR)"
        for column in ("user_id", "context_group_id")
    )
    no_ids = [
        one
        for column, own_name in (("context_group_id", "account_id"), ("user_id", "user_id"))
        for one in values.no_ids(own_name, [given[column]] if column in given else [])
    ]
    found = f"CASE {' '.join(f'WHEN {bad} THEN {quote(breach)}' for bad, breach in no_ids)} END" if no_ids else "NULL"
    tracks = (
        f"SELECT f._file, f._line, {given['id'][0]} AS event_id, {direct} AS direct, {user} AS user_id, "
        f"{given['event'][0]} AS event_name, {happened[0]} AS occurred_at, {received[0]} AS received_at, "
        f"CAST({found} AS VARCHAR) AS found FROM ({lines}) AS f"
    )
    tracks = f"SELECT *, {at} AS at, greatest({known}, {at}) AS known FROM ({tracks})"
    account, later, joined = "t.direct", "t.received_at", "tracks AS t"
    if grouped:
        tracks, joined = _with_groups(con, tracks, params.late_group_minutes)
        account = "coalesce(t.direct, g.account_id)"
        # the event's account is known once both are
        moment = "g.received_at AT TIME ZONE 'UTC'"
        moment = moment if received[1] == values.ZONED else f"CAST({moment} AS VARCHAR)"
        moment = carried(moment, "VARCHAR") if received[1] == MIXED else moment
        later = f"CASE WHEN t.direct IS NULL AND g.received_at > t.known THEN {moment} ELSE t.received_at END"
    none = f"{account} IS NULL"
    blank = f"{values.told('t.occurred_at')} IS NULL"
    breaches = [
        ("t.found IS NOT NULL", "t.found"),
        (f"{none} AND {blank}", "'required_null|occurred_at'"),
        (f"{none} AND t.at IS NULL", "'wrong_type|occurred_at'"),
    ]
    if params.ungrouped == "exclude":
        breaches.append((none, "'excluded:no_group|'"))
    judged = " ".join(f"WHEN {condition} THEN {breach}" for condition, breach in breaches)
    query = (
        f"WITH tracks AS ({tracks}) SELECT t._file, t._line, t.event_id, {account} AS account_id, t.user_id, "
        f"t.event_name, t.occurred_at, {later} AS received_at, CASE {judged} END AS _breach "
        f"FROM {joined}"
    )
    types = {"event_id": given["id"][1], "account_id": "VARCHAR", "user_id": "VARCHAR"}
    types |= {"event_name": given["event"][1], "occurred_at": happened[1], "received_at": received[1]}
    return Source(
        "events",
        query,
        types,
        tuple(there.by_file),
        there.besides(own[column] for column in wanted),
        rejects,
        judged=True,
        paths=there.paths,
        by_file=not grouped,
    )


def _with_groups(con: duckdb.DuckDBPyConnection, tracks: str, minutes: float) -> tuple[str, str]:
    """Gives each event the last group call of its user that was made before it and received with it or before it.

    Calls received promptly qualify by the first condition alone, so one as-of join finds them; the few late ones are
    tried by both. Returns the query of `tracks` with what it needs beside it, and the join that adds `g`.
    """
    prompt = f"received_at <= valid_from + to_microseconds({round(minutes * 60_000_000)})"
    calls = f"SELECT user_id, valid_from, received_at, account_id {CLEAN} AND user_id IS NOT NULL"
    last = "arg_max({0}, (received_at, account_id)) AS {0}"  # of calls at the same moment
    by_moment = (
        f"SELECT user_id, valid_from, {last.format('account_id')}, max(received_at) AS received_at "
        f"FROM ({calls} AND {prompt}) GROUP BY user_id, valid_from"
    )
    con.execute(f"CREATE TABLE ingest.segment_prompt AS {by_moment}")
    con.execute(f"CREATE TABLE ingest.segment_late AS {calls} AND NOT ({prompt})")
    late = con.execute("SELECT count(*) FROM ingest.segment_late").fetchone()
    asof = "ASOF LEFT JOIN ingest.segment_prompt AS g ON g.user_id = t.user_id AND g.valid_from <= t.at"
    if not late or not late[0]:
        return tracks, f"tracks AS t {asof}"
    call = "{{'valid_from': {0}.valid_from, 'received_at': {0}.received_at, 'account_id': {0}.account_id}}"
    both = (
        f"{tracks}), prompt AS (SELECT t._file, t._line, {call.format('g')} AS call FROM tracks AS t {asof}), "
        f"late AS (SELECT t._file, t._line, {call.format('l')} AS call FROM tracks AS t "
        "JOIN ingest.segment_late AS l ON l.user_id = t.user_id AND l.valid_from <= t.at "
        f"AND l.received_at <= t.known + to_microseconds({round(minutes * 60_000_000)})), "
        "found AS (SELECT _file, _line, max(call) AS call FROM (FROM prompt UNION ALL FROM late) "
        "WHERE call.account_id IS NOT NULL GROUP BY _file, _line), "
        "lasts AS (SELECT _file, _line, call.account_id, call.received_at FROM found"
    )
    return both, "tracks AS t LEFT JOIN lasts AS g ON g._file = t._file AND g._line = t._line"
