"""Amplitude's export: a file of JSON lines an hour of arrival, gzipped; the account is a group of the event.

The clock `event_time` is the device's, corrected; a device that was offline delivers days later, and only then is the
event known. Both are UTC and say no zone.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
from pydantic import Field

from warehouse import rules
from warehouse.adapters import Source, files, values
from warehouse.adapters.tables import require
from warehouse.engine import name, quote
from warehouse.errors import ContractBroken
from warehouse.params import Section
from warehouse.raw import Column, RawTable

IDS = ("$insert_id", "_insert_id", "insert_id", "uuid")  # the first that an event has
USERS = ("user_id", "device_id")
ARRIVALS = ("server_received_time", "server_upload_time")
EXPORT = RawTable(
    "amplitude",
    tuple(Column(column, "text", "", required=True) for column in ("event_type", "event_time")),
    (),
    "event_time",
    "event_time",
    "one row an event",
)


class AmplitudeParams(Section):
    """files: the name of the export in the raw folder, or a glob below it.
    group_type: the type of group that is an account; of several groups of that type the first.
    drop_events: names of events that say nothing of use; set aside as `excluded:dropped_event`.
    """

    files: str = "export"
    group_type: str = Field(default="company", min_length=1)
    drop_events: tuple[str, ...] = ()


def sources(con: duckdb.DuckDBPyConnection, raw: Path, params: AmplitudeParams, reading: rules.Reading) -> list[Source]:
    """The events.

    Raises:
        ContractBroken: the export or one of its columns is missing, or a file cannot be read.
    """
    there = files.expect(con, raw, params.files, "ingest.amplitude.files")
    for file, columns in there.by_file.items():
        require(file, EXPORT, columns)
    for needed, why in ((IDS, "identifies an event"), (("groups",), "tells the account of an event")):
        if not any(column in there.columns for column in needed):
            raise ContractBroken(
                [
                    f"{', '.join(list(there.by_file)[:3])}: nothing {why} (rule missing_column). "
                    f"Expected a column {' or '.join(needed)}. Found: {', '.join(there.columns)}."
                ]
            )
    wanted = [c for c in (*IDS, *USERS, *ARRIVALS, *EXPORT.required, "groups") if c in there.columns]
    lines, rejects = files.relation(raw, there, wanted)
    json = values.document("f.groups", there.columns["groups"])
    account = values.first_of([values.inside_or_first(json, [params.group_type])])
    ids, users = ([(f"f.{name(c)}", there.columns[c]) for c in among if c in wanted] for among in (IDS, USERS))
    picked = {
        "event_id": values.first_of([values.told(*one) for one in ids]),
        "account_id": account,
        "user_id": values.first_of([values.told(*one) for one in users]),
        "event_name": "CAST(f.event_type AS VARCHAR)",
    }
    types = dict.fromkeys(picked, "VARCHAR")
    clocks = {
        column: values.utc(f"f.{name(column)}", there.columns[column], reading.timezone)
        for column in (*ARRIVALS, "event_time")
        if column in wanted
    }
    picked["occurred_at"], types["occurred_at"] = clocks["event_time"]
    arrivals = [clocks[column] for column in ARRIVALS if column in clocks]
    if len(arrivals) == 1:
        picked["received_at"], types["received_at"] = arrivals[0]
    elif arrivals:
        picked["received_at"], types["received_at"] = values.first_of([sql for sql, _ in arrivals]), "VARCHAR"
    dropped = ", ".join(quote(event) for event in params.drop_events) or "NULL"
    breaches = [
        (values.unreadable(json), "malformed|account_id"),
        (f"CAST(f.event_type AS VARCHAR) IN ({dropped})", "excluded:dropped_event|"),
        (f"({account}) IS NULL", "excluded:no_group|"),
        *values.no_ids("event_id", ids),
        *values.no_ids("user_id", users),
    ]
    return [
        Source(
            "events",
            values.select(lines, picked, breaches),
            types,
            tuple(there.by_file),
            there.besides(wanted),
            rejects,
            judged=True,
            paths=there.paths,
            by_file=True,
        )
    ]
