"""Amplitude's export: gzipped JSON lines by hour of arrival, clocks in UTC that say no zone."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.warehouse.adapted import Adapted, adapt, at, only, write
from warehouse.adapters.amplitude import AmplitudeParams, sources
from warehouse.errors import ContractBroken

ACME = {"acme": "2023-01-01"}
HOUR = "export/100001/100001_2024-01-01_10#0.json.gz"


def event(insert_id: str, happened: str, **more: Any) -> dict[str, Any]:
    """As exported: every key is there, some without a value."""
    return {
        "uuid": f"uuid-{insert_id}",
        "$insert_id": insert_id,
        "user_id": "u1",
        "device_id": "d1",
        "amplitude_id": 1234567890,
        "event_type": "report built",
        "event_time": happened,
        "server_upload_time": happened,
        "groups": {"company": ["acme"]},
        "event_properties": {"note": "free text"},
    } | more


def hour(raw: Path, *lines: dict[str, Any] | str, file: str = HOUR) -> None:
    path = raw / file
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_bytes(gzip.compress(text.encode()))


def deliver(raw: Path, *lines: dict[str, Any] | str, **params: Any) -> Adapted:
    hour(raw, *lines)
    return adapt(sources, raw, AmplitudeParams(**params), ACME | {"42": "2023-01-01"}, timezone="America/New_York")


def test_the_golden_sample(tmp_path: Path) -> None:
    day = "2024-01-0{} 10:00:00.000000".format
    found = deliver(
        tmp_path,
        event("i1", "2024-01-01 10:00:00.250000"),
        event("i1", "2024-01-01 10:00:00.250000"),
        event("i2", day(2), server_upload_time="2024-01-07 06:00:00.000000"),  # the device was offline
        event("i3", day(3), user_id=None),
        event("", day(4), uuid="uuid-9", groups={"company": "acme"}),
        event("i5", day(5), groups={"company": 42}),
        event("i6", day(5), groups={}),
        event("i7", day(5), groups={"company": []}),
        event("i8", day(5), groups={"team": ["acme"]}),
        event("i9", "5 January"),
        '{"uuid": "cut',
    )
    columns = ("event_id", "account_id", "user_id", "event_name", "occurred_at", "received_at")
    assert only(found.rows["events"], *columns) == [
        ("i1", "acme", "u1", "report built", at("2024-01-01 10:00:00.25"), at("2024-01-01 10:00:00.25")),
        ("i2", "acme", "u1", "report built", at("2024-01-02 10:00"), at("2024-01-07 06:00")),
        ("i3", "acme", "d1", "report built", at("2024-01-03 10:00"), at("2024-01-03 10:00")),
        ("uuid-9", "acme", "u1", "report built", at("2024-01-04 10:00"), at("2024-01-04 10:00")),
        ("i5", "42", "u1", "report built", at("2024-01-05 10:00"), at("2024-01-05 10:00")),
    ]
    assert found.aside["events"] == {
        "duplicate": 1,
        "excluded:no_group|": 3,
        "wrong_type|occurred_at": 1,
        "malformed": 1,
    }
    assert found.sources["events"].by_file
    assert found.sources["events"].extra == ("amplitude_id", "event_properties")


def test_when_the_server_received_it_goes_before_when_it_was_uploaded(tmp_path: Path) -> None:
    first = event("i1", "2024-01-01 10:00:00", server_received_time="2024-01-02 10:00:00")
    found = deliver(tmp_path, first, event("i2", "2024-01-03 10:00:00", server_received_time=None))
    assert only(found.rows["events"], "received_at") == [(at("2024-01-02 10:00"),), (at("2024-01-03 10:00"),)]


def test_an_hour_without_the_optional_keys(tmp_path: Path) -> None:
    lean = {"uuid": "x1", "event_type": "opened", "event_time": "2024-01-01 12:00:00"}
    hour(tmp_path, lean, file="export/100001/100001_2024-01-01_12#0.json.gz")
    found = deliver(tmp_path, event("i1", "2024-01-01 10:00:00"))
    assert only(found.rows["events"], "event_id") == [("i1",)]
    assert found.aside["events"] == {"excluded:no_group|": 1}
    (tmp_path / HOUR).unlink()
    hour(tmp_path, lean | {"groups": {"company": ["acme"]}}, file="export/100001/100001_2024-01-01_12#0.json.gz")
    found = adapt(sources, tmp_path, AmplitudeParams(), ACME)
    assert found.rows["events"][0].keys() == {
        "event_id", "account_id", "event_name", "occurred_at", "received_at", "quantity"
    }  # fmt: skip


def test_the_group_type_and_the_events_to_drop_are_params(tmp_path: Path) -> None:
    rows = [event("i1", "2024-01-01 10:00:00", groups={"org.id/x": ["acme", "42"]}), event("i2", "2024-01-01 11:00:00")]
    found = deliver(tmp_path, *rows, group_type="org.id/x")
    assert only(found.rows["events"], "event_id", "account_id") == [("i1", "acme")]
    found = deliver(tmp_path, *rows, drop_events=["report built"])
    assert found.aside["events"] == {"excluded:dropped_event|": 2}


def test_properties_of_users_and_groups_are_not_read(tmp_path: Path) -> None:
    rows = []
    for state in ("free", "enterprise"):
        latest = {"user_properties": {"plan": state}, "group_properties": {"company": {"plan": state}}}
        write(tmp_path / "groups.csv", "company,plan", f"acme,{state}")
        rows.append(deliver(tmp_path, event("i1", "2024-01-01 10:00:00", **latest)).rows)
    assert rows[0] == rows[1]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractBroken, match=r"export is missing \(ingest\.amplitude\.files\)"):
        adapt(sources, tmp_path, AmplitudeParams())
    for row, words in (
        (
            {"uuid": "x", "event_types": "a", "event_time": "b", "groups": {}},
            '"event_type" .nearest found: "event_types"',
        ),
        ({"uuid": "x", "event_type": "a", "event_time": "b"}, "nothing tells the account of an event"),
        ({"event_type": "a", "event_time": "b", "groups": {}}, "nothing identifies an event"),
    ):
        hour(tmp_path, row)
        with pytest.raises(ContractBroken, match=words):
            adapt(sources, tmp_path, AmplitudeParams())
