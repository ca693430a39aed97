"""Rows by request obey the same contract as rows from files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.builders import account, event, invoice, write_raw
from warehouse import privacy
from warehouse.engine import connect
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams, ingest
from warehouse.raw import TABLES
from warehouse.rows import load_rows
from warehouse.store import Workspace, open_warehouse

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def load(rows: dict[str, list[dict[str, Any]]]) -> None:
    with connect() as con:
        load_rows(con, rows, IngestParams(), NOW)


def test_rows_by_request_equal_rows_from_files(tmp_path: Path) -> None:
    rows = {
        "accounts": [account("007", employees=12, is_internal=False), account("8")],
        "events": [
            event("007", quantity=2.5),
            event("8", "2024-02-01 09:00", received_at=None),
            event("8", "2024-02-02"),
        ],
        "revenue": [invoice("007", amount=99.95), invoice("8", period_start="2024-02-01", period_end="2024-03-01")],
    }
    workspace = Workspace(tmp_path / "w")
    ingest(write_raw(tmp_path / "raw", **rows), workspace, IngestParams(), NOW)
    with connect() as asked, connect(workspace.warehouse) as filed:
        load_rows(asked, rows, IngestParams(), NOW)
        open_warehouse(filed, workspace.warehouse)
        for table in TABLES:
            key = (workspace.root / ".privacy-key").read_text().strip()
            hashed = (
                f"REPLACE ({privacy.hashed('user_id', key)} AS user_id)" if table in ("events", "account_users") else ""
            )
            assert "007-u1" not in str(filed.execute(f"FROM {table}").fetchall())
            query = f"SELECT * FROM {table} ORDER BY ALL"
            assert asked.execute(query.replace("*", f"* {hashed}")).fetchall() == filed.execute(query).fetchall()
            assert asked.execute(f"DESCRIBE {table}").fetchall() == filed.execute(f"DESCRIBE {table}").fetchall()


def test_a_second_request_on_the_same_connection_replaces_the_first() -> None:
    with connect() as con:
        for name in ("a1", "a2"):
            load_rows(con, {"accounts": [account(name)]}, IngestParams(), NOW)
            assert con.execute("SELECT account_id FROM accounts").fetchall() == [(name,)]


@pytest.mark.parametrize(
    ("table", "row", "words"),
    [
        (
            "events",
            event(occurred_at="soon"),
            r'events: column "occurred_at": 1 of 2 rows is not a timestamp .*row 2\)',
        ),
        ("events", event("nobody"), "names no accepted account"),
        ("events", event(quantity=float("inf")), '"quantity".* finite number'),
        ("events", event(quantity=[1]), '"quantity".* finite number'),
        ("revenue", invoice(amount=True), '"amount".* finite number'),
        ("revenue", invoice(kind="gift"), "unknown_kind"),
        ("events", event(occurred_at="2031-01-01"), "future"),
    ],
)
def test_one_bad_row_refuses_the_request(table: str, row: dict[str, Any], words: str) -> None:
    fine = {"accounts": [account()], "events": [event()], "revenue": [invoice()]}
    fine[table].append(row)
    with pytest.raises(ContractBroken, match=words) as caught:
        load(fine)
    assert len(caught.value.problems) == 1
    assert "Quarantined" not in str(caught.value)


def test_a_request_without_accounts_or_with_a_strange_table_is_refused() -> None:
    with pytest.raises(ContractBroken, match="no account"):
        load({"accounts": [], "events": [event()]})
    with pytest.raises(ContractBroken, match='no table is called "invoices"'):
        load({"accounts": [account()], "invoices": []})
    with pytest.raises(ContractBroken, match=r'"event_name"'):
        load({"accounts": [account()], "events": [{"account_id": "a1", "occurred_at": "2024-02-01"}]})


def test_a_refused_request_leaves_the_connection_usable() -> None:
    with connect() as con:
        with pytest.raises(ContractBroken):
            load_rows(con, {"accounts": [account(created_at="soon")]}, IngestParams(), NOW)
        load_rows(con, {"accounts": [account()]}, IngestParams(), NOW)
        assert con.execute("SELECT count(*) FROM accounts").fetchall() == [(1,)]
