"""PostHog's export of events: the account is a group among the properties, noise is set aside by name."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.warehouse.adapted import Adapted, adapt, at, only, write
from warehouse.adapters.posthog import PostHogParams, sources
from warehouse.errors import ContractBroken, ParamsError
from warehouse.params import section

ACME = {"acme": "2023-01-01"}


def event(
    uuid: str, happened: str, groups: dict[str, Any] | None = None, name: str = "report built", **more: Any
) -> dict:
    properties = {"$browser": "Firefox"} | ({} if groups is None else {"$groups": groups}) | more.pop("properties", {})
    columns = {"uuid": uuid, "event": name, "timestamp": happened, "distinct_id": "d1", "person_id": "p1"}
    return columns | {"properties": json.dumps(properties)} | more


def deliver(raw: Path, *events: dict[str, Any], known: dict[str, str] | None = None, **params: Any) -> Adapted:
    columns = list(dict.fromkeys(column for row in events for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(events)
    write(raw / "events.csv", text.getvalue().rstrip("\n"))
    return adapt(sources, raw, PostHogParams(**params), known)


def test_the_golden_sample(tmp_path: Path) -> None:
    acme = {"company": "acme", "project": "p9"}
    found = deliver(
        tmp_path,
        event("u1", "2024-01-01T10:00:00.000000+00:00", acme, _inserted_at="2024-01-01 10:00:02"),
        event("u1", "2024-01-01T10:00:00.000000+00:00", acme, _inserted_at="2024-01-01 10:00:02"),
        event("u2", "2024-01-02 10:00:00", acme, _inserted_at="2024-01-09 08:00:00"),  # a week late
        event("u3", "2024-01-03T12:00:00+02:00", {"company": 42}),
        event("u4", "2024-01-03 10:00:00", {"project": "p9"}),
        event("u5", "2024-01-03 10:00:00"),
        event("u6", "2024-01-03 10:00:00", acme, name="$autocapture"),
        event("u7", "2024-01-03 10:00:00", acme, properties={}) | {"properties": '{"$groups": '},
        event("u8", "soon", acme),
        known=ACME | {"42": "2023-01-01"},
    )
    columns = ("event_id", "account_id", "user_id", "event_name", "occurred_at", "received_at")
    assert only(found.rows["events"], *columns) == [
        ("u1", "acme", "d1", "report built", at("2024-01-01 10:00"), at("2024-01-01 10:00:02")),
        ("u2", "acme", "d1", "report built", at("2024-01-02 10:00"), at("2024-01-09 08:00")),
        ("u3", "42", "d1", "report built", at("2024-01-03 10:00"), at("2024-01-03 10:00")),
    ]
    assert found.aside["events"] == {
        "duplicate": 1,
        "excluded:no_group|": 2,
        "excluded:dropped_event|": 1,
        "malformed|account_id": 1,
        "wrong_type|occurred_at": 1,
    }
    assert found.sources["events"].by_file
    assert found.sources["events"].extra == ("person_id",)


def test_a_merge_of_persons_changes_nothing(tmp_path: Path) -> None:
    rows = []
    for person in ("p1", "p-merged"):
        one = event("u1", "2024-01-01 10:00:00", {"company": "acme"}, person_id=person)
        # the latest state of all groups and persons lies beside the export
        write(tmp_path / "groups.csv", "group_key,created_at", f"acme,{person}")
        write(tmp_path / "persons.csv", "id", person)
        rows.append(deliver(tmp_path, one, known=ACME).rows)
    assert rows[0] == rows[1]


def test_numbered_group_columns(tmp_path: Path) -> None:
    rows = [
        event("u1", "2024-01-01 10:00:00", **{"$group_1": "acme"}),
        event("u2", "2024-01-02 10:00:00", {"company": "acme"}, **{"$group_1": ""}),
        event("u3", "2024-01-03 10:00:00", properties={"$group_1": "acme"}),
    ]
    found = deliver(tmp_path, *rows, known=ACME, group_index=1)
    assert only(found.rows["events"], "event_id", "account_id") == [("u1", "acme"), ("u2", "acme"), ("u3", "acme")]
    assert only(deliver(tmp_path, *rows, known=ACME).rows["events"], "event_id") == [("u2",)]


def test_which_events_are_dropped_is_a_param(tmp_path: Path) -> None:
    rows = [
        event(f"u{i}", "2024-01-01 10:00:00", {"company": "acme"}, name) for i, name in enumerate(["$pageview", "$set"])
    ]
    assert only(deliver(tmp_path, *rows, known=ACME).rows["events"], "event_name") == [("$pageview",)]
    found = deliver(tmp_path, *rows, known=ACME, drop_events=["$pageview"])
    assert only(found.rows["events"], "event_name") == [("$set",)]
    assert len(deliver(tmp_path, *rows, known=ACME, drop_events=[]).rows["events"]) == 2


def test_a_group_signs_up_when_it_is_first_seen(tmp_path: Path) -> None:
    described = {"$group_type": "company", "$group_key": "acme", "$group_set": {"industry": "retail"}}
    other = {"$group_type": "project", "$group_key": "p9"}
    rows = [
        event("u1", "2024-01-02 10:00:00", {"company": "acme"}),
        event("u2", "2024-01-01 10:00:00", name="$groupidentify", properties=described),
        event("u3", "2024-01-01 10:00:00", name="$groupidentify", properties=other),
        event("u4", "2024-01-03 10:00:00", {"company": "beta"}, name="$autocapture"),
        event("u5", "1970-01-01 00:00:00", {"company": "beta"}),
        event("u6", "2095-01-01 00:00:00", {"company": "gamma"}),
    ]
    found = deliver(tmp_path, *rows, accounts=True)
    assert only(found.rows["accounts"], "account_id", "created_at") == [
        ("acme", at("2024-01-01 10:00")),
        ("beta", at("2024-01-03 10:00")),
    ]
    assert only(found.rows["events"], "event_id") == [("u1",)]
    assert not found.sources["accounts"].by_file


def test_typed_parquet_and_unreadable_lines(tmp_path: Path) -> None:
    row = event("u1", "", {"company": "acme"}) | {"timestamp": datetime(2024, 1, 1, 10, tzinfo=UTC)}
    (tmp_path / "events").mkdir()
    pq.write_table(pa.Table.from_pylist([row | {"created_at": datetime(2024, 1, 2)}]), tmp_path / "events/a.parquet")
    good = json.dumps(event("u2", "2024-01-03T10:00:00Z") | {"properties": {"$groups": {"company": "acme"}}})
    write(tmp_path / "lines/b.jsonl", good, good[:40])
    found = adapt(sources, tmp_path, PostHogParams(), ACME, timezone="America/New_York")
    assert only(found.rows["events"], "occurred_at", "received_at") == [(at("2024-01-01 10:00"), at("2024-01-02"))]
    found = adapt(sources, tmp_path, PostHogParams(files="lines/*.jsonl"), ACME)
    assert only(found.rows["events"], "event_id", "account_id") == [("u2", "acme")]
    assert found.aside["events"] == {"malformed": 1}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractBroken, match=r"events is missing \(ingest\.posthog\.files\)"):
        adapt(sources, tmp_path, PostHogParams())
    write(tmp_path / "events.csv", "uuid,event,time_stamp,distinct_id")
    with pytest.raises(ContractBroken, match=r'"timestamp" \(nearest found: "time_stamp"\)'):
        adapt(sources, tmp_path, PostHogParams())
    write(tmp_path / "events.csv", "uuid,event,timestamp,distinct_id,$group_0")
    with pytest.raises(ContractBroken, match="nothing tells the account of an event"):
        adapt(sources, tmp_path, PostHogParams())
    adapt(sources, tmp_path, PostHogParams(group_index=0))
    with pytest.raises(ParamsError, match=r"posthog\.group_index"):
        section({"posthog": {"group_index": 5}}, "posthog", PostHogParams)
