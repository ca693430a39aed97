"""Who was erased is not taken again: by a whole ingest, by a new day, in any table, and nothing of the id is kept."""

from __future__ import annotations

import shutil
import stat
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.builders import Row, account, event, invoice, write_raw
from warehouse.errors import UsageError
from warehouse.ingest import IngestParams, ingest
from warehouse.privacy import hash_of, workspace_key
from warehouse.raw import TABLES
from warehouse.store import Workspace
from warehouse.tombstones import FILE, Tombstone, bury, read_tombstones

NOW = datetime(2024, 6, 1, tzinfo=UTC)
WHO, LEAVER = "zz-gone-7f3a", "zz-left-7f3a"
STRICT = IngestParams(never_empty=())  # every other rule may be broken by one row in a thousand
LENIENT = IngestParams(never_empty=(), max_bad_ratio=1)


def tables(days: int) -> dict[str, list[Row]]:
    """Half of everything is of the account WHO, also in rows that break a rule; a user LEAVER acts for another."""
    dates = [f"2024-0{2 + day % 3}-1{day % 9}T09:00:00Z" for day in range(days)]
    return {
        "accounts": [account("a1"), account(WHO), account(WHO, created_at="nonsense")],
        "events": [event(who, at, event_id=f"{who}{n}") for n, at in enumerate(dates) for who in ("a1", WHO)]
        + [event("a1", at, event_id=f"u{n}", user_id=LEAVER) for n, at in enumerate(dates)]
        + [event(WHO, dates[0], event_id="bad", quantity="x")],
        "revenue": [invoice("a1", revenue_id="r1"), invoice(WHO, revenue_id="r2"), invoice(WHO, amount=-5)],
        "touches": [{"account_id": who, "occurred_at": dates[0], "kind": "contacted"} for who in ("a1", WHO)],
        "account_users": [
            {"account_id": who, "user_id": user, "valid_from": dates[0]}
            for who, user in (("a1", "a1-u1"), ("a1", LEAVER), (WHO, "x"))
        ],
    }


def without(rows: dict[str, list[Row]]) -> dict[str, list[Row]]:
    return {
        table: [row for row in found if row["account_id"] != WHO and row.get("user_id") != LEAVER]
        for table, found in rows.items()
    }


def erase(workspace: Workspace) -> None:
    key = workspace_key(workspace.root)
    found = read_tombstones(workspace.root, key)
    for kind, who in (("account", WHO), ("user", LEAVER)):
        found = bury(workspace.root, found, Tombstone(kind, hash_of(who, key), date(2024, 5, 1)))


def made(folder: Path) -> Workspace:
    folder.mkdir()
    return Workspace(folder)


def state(workspace: Workspace) -> dict[str, list[Row]]:
    found = sorted(workspace.warehouse.rglob("*.parquet"))
    return {str(path.relative_to(workspace.warehouse)): pq.read_table(path).to_pylist() for path in found}


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_rows_of_the_erased_are_counted_set_aside_and_keep_nothing_of_the_id(tmp_path: Path, format: str) -> None:
    rows = tables(12)
    raw = write_raw(tmp_path / "raw", format=format, **rows)
    workspace = made(tmp_path / "w")
    erase(workspace)
    accounting = ingest(raw, workspace, STRICT, NOW)  # half of the rows, and no limit is broken
    left = without(rows)
    for table in TABLES:
        gone = len(rows[table]) - len(left[table])
        assert accounting.quarantined(table) == {"erased": gone}
        assert (accounting.read(table), accounting.counts[table]) == (len(rows[table]), len(left[table]))
    assert "  2 erased" in accounting.lines()
    for path in [path for path in workspace.root.rglob("*") if path.is_file()]:
        said = str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else ""
        for who in (WHO, LEAVER):
            assert who.encode() not in path.read_bytes(), path
            assert who not in said, path
    [aside, *_] = pq.read_table(workspace.quarantine / "accounts.parquet").to_pylist()
    assert (aside["rule"], aside["account_id"], aside["column"], aside["shape"]) == ("erased", None, None, None)
    beside = made(tmp_path / "beside")
    shutil.copy2(workspace.root / ".privacy-key", beside.root)
    clean = ingest(write_raw(tmp_path / "clean", format=format, **left), beside, STRICT, NOW)
    assert clean.fingerprint == accounting.fingerprint
    kept = {name: rows for name, rows in state(workspace).items() if not name.startswith("quarantine")}
    assert kept == state(beside)


def test_a_delivery_after_an_erasure_ends_where_one_ingest_of_the_folder_would(tmp_path: Path) -> None:
    raw, workspace = tmp_path / "raw", made(tmp_path / "w")
    write_raw(raw, **tables(6))
    (raw / "events").mkdir()
    (raw / "events.csv").rename(raw / "events" / "1.csv")
    first = ingest(raw, workspace, LENIENT, NOW)
    assert first.counts["accounts"] == 2
    erase(workspace)
    assert ingest(raw, workspace, LENIENT, NOW).quarantined("accounts") == {"erased": 2}
    write_raw(tmp_path / "more", **tables(12))
    (tmp_path / "more" / "events.csv").rename(raw / "events" / "2.csv")
    (tmp_path / "more" / "accounts.csv").rename(raw / "accounts.csv")
    live = ingest(raw, workspace, LENIENT, NOW)
    assert live.audit["events"].added > 0  # built on what was there
    fresh = made(tmp_path / "fresh")
    for name in (".privacy-key", FILE):
        shutil.copy2(workspace.root / name, fresh.root)
    whole = ingest(raw, fresh, LENIENT, NOW)
    assert state(workspace) == state(fresh)
    assert (live.files, live.fingerprint, live.sums) == (whole.files, whole.fingerprint, whole.sums)


def test_without_the_key_or_a_readable_file_nothing_is_taken(tmp_path: Path) -> None:
    raw, workspace = write_raw(tmp_path / "raw", **tables(3)), made(tmp_path / "w")
    erase(workspace)
    path = workspace.root / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (workspace.root / ".privacy-key").unlink()
    with pytest.raises(UsageError, match="written with another"):
        ingest(raw, workspace, STRICT, NOW)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(UsageError, match="unknown who was erased"):
        ingest(raw, workspace, STRICT, NOW)
    assert not workspace.warehouse.exists()
