"""Adapters through the whole ingest: side by side, night after night, with the books of every file."""

from __future__ import annotations

import gzip
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.builders import account, event, invoice, write_file, write_raw
from warehouse.errors import ContractBroken, ParamsError
from warehouse.ingest import IngestParams, ingest
from warehouse.params import section
from warehouse.store import Workspace

NOW = datetime(2024, 6, 1, tzinfo=UTC)
NOON = 1704110400  # 2024-01-01 12:00 UTC
JANUARY = {"start": 1704067200, "end": 1706745600}


def params(**keys: Any) -> IngestParams:
    return section({"ingest": keys}, "ingest", IngestParams)


def table(workspace: Workspace, name: str, *columns: str) -> list[tuple[Any, ...]]:
    rows = pq.read_table(workspace.warehouse / name).to_pylist()
    return sorted(tuple(row[column] for column in columns) for row in rows)


def hour(raw: Path, name: str, *acts: tuple[str, str]) -> None:
    """One hour of an Amplitude export: (insert id, time) of acts in the group acme."""
    path = raw / "export" / f"{name}.json.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        for number, at in acts:
            said = {
                "$insert_id": number,
                "user_id": "u1",
                "event_type": "report built",
                "groups": {"company": ["acme"]},
            }
            stream.write(json.dumps(said | {"event_time": at, "server_received_time": at}) + "\n")


def bill(raw: Path, number: str, cents: int) -> None:
    line = {
        "id": f"il_{number}",
        "amount": cents,
        "currency": "usd",
        "period": {"start": 1704067200, "end": 1706745600},
    }
    made = {
        "id": number,
        "customer": "acme",
        "status": "paid",
        "currency": "usd",
        "created": 1704110400,
        "livemode": True,
    }
    with (raw / "invoices.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(made | {"lines": {"data": [line], "has_more": False}}) + "\n")


def test_events_of_one_source_money_of_another_and_accounts_from_a_plain_file(tmp_path: Path) -> None:
    raw, workspace = tmp_path / "raw", Workspace(tmp_path / "w")
    raw.mkdir()
    write_file(raw / "accounts.csv", ["account_id", "created_at"], [account("acme", "2024-01-01")])
    hour(raw, "2024-01-05_10", ("i1", "2024-01-05 10:00:00.000000"), ("i1", "2024-01-05 10:00:00.000000"))
    bill(raw, "in_1", 1299)
    settings = params(
        adapter=["amplitude", "stripe", "tables"],
        currency="USD",
        amplitude={"files": "export/**/*.json.gz", "group_type": "company"},
        stripe={"account_metadata": None},
    )
    first = ingest(raw, workspace, settings, NOW)
    assert (first.counts["events"], first.duplicate("events")) == (1, 1)
    assert table(workspace, "revenue", "account_id", "currency", "revenue_id") == [("acme", "USD", "il_in_1")]
    assert [(one.currency, float(one.accepted)) for one in first.sums] == [("USD", 12.99)]
    hour(raw, "2024-02-05_10", ("i1", "2024-01-05 10:00:00.000000"), ("i2", "2024-02-05 10:00:00.000000"))
    bill(raw, "in_2", 101)
    second = ingest(raw, workspace, settings, NOW)
    assert second.written == {"events": ["2024-02"], "revenue": ["2024-01"]}
    assert second.duplicate("events") == 2
    assert [float(one.accepted) for one in second.sums] == [14.0]
    assert ingest(raw, workspace, settings, NOW).written == {}


def test_a_table_given_twice_and_a_table_given_by_nobody_are_refused(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account()], [event()], [invoice()])
    twice = {"events": {"files": "events", "columns": {c: c for c in ("account_id", "event_name", "occurred_at")}}}
    both = params(adapter=["columns", "mapping"], columns=twice, mapping={"events": "FROM events"})
    with pytest.raises(ParamsError, match='both columns and mapping give the table "events"'):
        ingest(raw, Workspace(tmp_path / "w"), both, NOW)
    with pytest.raises(ContractBroken, match="table accounts, revenue comes from no adapter"):
        ingest(raw, Workspace(tmp_path / "w"), params(adapter="columns", columns=twice), NOW)


def test_other_names_and_epochs_by_params_alone_land_like_canonical_tables(tmp_path: Path) -> None:
    raw, workspace = tmp_path / "raw", Workspace(tmp_path / "w")
    write_file(raw / "crm/part.csv", ["Id", "Created"], [{"Id": "007", "Created": "2024-01-01T00:00:00Z"}])
    write_file(raw / "log/2024.csv", ["org", "what", "ms"], [{"org": "007", "what": "seen", "ms": "1707469200000"}])
    write_file(
        raw / "paid.csv", ["org", "cents", "at"], [{"org": "007", "cents": "1250", "at": "2024-03-01T00:00:00Z"}]
    )
    mapped = {
        "accounts": {"files": "crm/*.csv", "columns": {"account_id": "Id", "created_at": "Created"}},
        "events": {
            "files": "log",
            "columns": {"account_id": "org", "event_name": "what", "occurred_at": "ms"},
            "unit": {"occurred_at": "epoch_ms"},
        },
        "revenue": {
            "files": "paid",
            "columns": {"account_id": "org", "amount": "cents", "booked_at": "at", "currency": {"value": "USD"}},
            "unit": {"amount": "minor"},
        },
    }
    accounting = ingest(raw, workspace, params(adapter="columns", columns=mapped), NOW)
    assert not any(accounting.quarantined(name) for name in accounting.counts)
    assert table(workspace, "events", "account_id", "occurred_at") == [("007", datetime(2024, 2, 9, 9))]
    assert [float(amount) for (amount,) in table(workspace, "revenue", "amount")] == [12.5]


def test_a_database_is_read_night_after_night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, workspace = tmp_path / "vendor.db", Workspace(tmp_path / "w")
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE orgs (id TEXT, born TEXT, email TEXT)")
        db.execute("CREATE TABLE acts (id TEXT, org TEXT, what TEXT, at TEXT)")
        db.execute("CREATE TABLE bills (id TEXT, org TEXT, amount TEXT, at TEXT)")
        db.execute("INSERT INTO orgs VALUES ('007', '2024-01-01', 'x@example.org')")
        db.execute("INSERT INTO acts VALUES ('e1', '007', 'seen', '2024-02-01 09:00:00')")
        db.execute("INSERT INTO bills VALUES ('r1', '007', '19.99', '2024-02-01')")
    monkeypatch.setenv("VENDOR_DATABASE", f"sqlite:///{path}")
    queries = {
        "accounts": "SELECT id AS account_id, born AS created_at FROM orgs ORDER BY 1",
        "events": "SELECT id AS event_id, org AS account_id, what AS event_name, at AS occurred_at FROM acts",
        "revenue": "SELECT id AS revenue_id, org AS account_id, amount, at AS booked_at FROM bills ORDER BY 1",
    }
    settings = params(adapter="database", database={"url_env": "VENDOR_DATABASE", **queries})
    raw = tmp_path / "nothing"
    raw.mkdir()
    assert list(ingest(raw, workspace, settings, NOW).counts.values())[:3] == [1, 1, 1]
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO acts VALUES ('e2', '007', 'seen', '2024-03-01 09:00:00')")
    second = ingest(raw, workspace, settings, NOW)
    assert second.written["events"] == ["2024-03"]
    assert second.counts["events"] == 2
    assert ingest(raw, workspace, settings, NOW).written == {}
