"""PostHog's export of events: one row an event, its properties JSON in a string, the account a group among them."""

from __future__ import annotations

from pathlib import Path

import duckdb
from pydantic import Field

from warehouse import casting, rules
from warehouse.adapters import Source, files, values
from warehouse.adapters.tables import require
from warehouse.engine import name, quote
from warehouse.errors import ContractBroken
from warehouse.params import Section
from warehouse.raw import EVENTS, Column, RawTable

NOISE = ("$autocapture", "$pageleave", "$feature_flag_called", "$groupidentify", "$identify", "$set")
ARRIVALS = ("_inserted_at", "inserted_at", "created_at")  # whichever the export calls it
EXPORT = RawTable(
    "posthog",
    tuple(Column(column, "text", "", required=True) for column in ("uuid", "event", "timestamp", "distinct_id")),
    (),
    "timestamp",
    "timestamp",
    "one row an event",
)


class PostHogParams(Section):
    """files: the name of the export in the raw folder, or a glob below it.
    group_type: the type of group that is an account. group_index: its number, 0 to 4, where the export has `$group_N`.
    drop_events: names of events that say nothing of use; set aside as `excluded:dropped_event`.
    accounts: whether the first event of a group also makes its account; false where another adapter gives them.
    """

    files: str = "events"
    group_type: str = Field(default="company", min_length=1)
    group_index: int | None = Field(default=None, ge=0, le=4)
    drop_events: tuple[str, ...] = NOISE
    accounts: bool = False


def sources(con: duckdb.DuckDBPyConnection, raw: Path, params: PostHogParams, reading: rules.Reading) -> list[Source]:
    """Events, and accounts where the params want them.

    Raises:
        ContractBroken: the export or one of its columns is missing, or a file cannot be read.
    """
    there = files.expect(con, raw, params.files, "ingest.posthog.files")
    for file, columns in there.by_file.items():
        require(file, EXPORT, columns)
    column = None if params.group_index is None else f"$group_{params.group_index}"
    if "properties" not in there.columns and column not in there.columns:
        raise ContractBroken(
            [
                f"{', '.join(list(there.by_file)[:3])}: nothing tells the account of an event (rule missing_column): "
                'neither the column "properties" nor the column $group_N of ingest.posthog.group_index is there.'
            ]
        )
    arrival = next((known for known in ARRIVALS if known in there.columns), None)
    wanted = [c for c in (*EXPORT.required, "properties", column, arrival) if c is not None and c in there.columns]
    lines, rejects = files.relation(raw, there, wanted)
    json = values.document("f.properties", there.columns["properties"]) if "properties" in wanted else None
    group = (f"f.{name(column)}", there.columns[column]) if column is not None and column in wanted else None
    account = _account(json, group, params)
    happened = values.utc("f.timestamp", there.columns["timestamp"], reading.timezone)
    picked = {
        "event_id": "f.uuid",
        "account_id": account,
        # not the person: a merge rewrites person_id in events long past
        "user_id": "f.distinct_id",
        "event_name": "f.event",
        "occurred_at": happened[0],
    }
    types = {"event_id": there.columns["uuid"], "account_id": "VARCHAR", "user_id": there.columns["distinct_id"]}
    types |= {"event_name": there.columns["event"], "occurred_at": happened[1]}
    if arrival is not None:
        picked["received_at"], types["received_at"] = values.utc(
            f"f.{name(arrival)}", there.columns[arrival], reading.timezone
        )
    dropped = ", ".join(quote(event) for event in params.drop_events) or "NULL"
    breaches = [] if json is None else [(values.unreadable(json), "malformed|account_id")]
    breaches += [
        (f"CAST(f.event AS VARCHAR) IN ({dropped})", "excluded:dropped_event|"),
        *values.no_ids("account_id", [] if group is None else [group]),
        (f"({account}) IS NULL", "excluded:no_group|"),
    ]
    labels = tuple(there.by_file)
    events = Source(
        "events",
        values.select(lines, picked, breaches),
        types,
        labels,
        there.besides(wanted),
        rejects,
        judged=True,
        paths=there.paths,
        by_file=True,
    )
    if not params.accounts:
        return [events]
    moment = casting.cast(EVENTS.column("occurred_at"), "happened", happened[1], "UTC")
    query = _accounts(lines, _identified(json, account, params), happened[0], moment, reading)
    return [
        Source("accounts", query, {"account_id": "VARCHAR", "created_at": values.ZONED}, labels, paths=there.paths),
        events,
    ]


def _account(json: str | None, group: tuple[str, str] | None, params: PostHogParams) -> str:
    told = [] if group is None else [values.told(*group)]
    if json is not None:
        told.append(values.inside(json, ["$groups", params.group_type]))
        if params.group_index is not None:
            told.append(values.inside(json, [f"$group_{params.group_index}"]))
    return values.first_of(told)


def _identified(json: str | None, account: str, params: PostHogParams) -> str:
    """The group of an event, or the one that a `$groupidentify` describes."""
    if json is None:
        return account
    kind, key = values.inside(json, ["$group_type"]), values.inside(json, ["$group_key"])
    described = f"CASE WHEN f.event = '$groupidentify' AND {kind} = {quote(params.group_type)} THEN {key} END"
    return values.first_of([described, account])


def _accounts(lines: str, account: str, happened: str, moment: str, reading: rules.Reading) -> str:
    """One row an account, signed up when its group is first seen; moments that the rules refuse are not seen.
    moment: SQL over `happened`."""
    first = "(moment, _file, _line)"
    return (
        f"SELECT arg_min(_file, {first}) AS _file, arg_min(_line, {first}) AS _line, account_id, "
        "min(moment) AT TIME ZONE 'UTC' AS created_at "
        f"FROM (SELECT _file, _line, account_id, {moment} AS moment FROM "
        f"(SELECT f._file, f._line, {account} AS account_id, {happened} AS happened FROM ({lines}) AS f)) "
        f"WHERE account_id IS NOT NULL AND moment >= {rules.OLDEST} "
        f"AND moment <= TIMESTAMP '{reading.latest.isoformat(' ')}' GROUP BY account_id"
    )
