"""What must not enter does not: not into the warehouse, the quarantine, the books, a message, a log or a page."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.builders import Row, account, event, invoice, write_raw
from warehouse.errors import UsageError
from warehouse.ingest import IngestParams, ingest
from warehouse.raw import TABLES
from warehouse.store import Workspace

NOW = datetime(2024, 6, 1, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
CANARY = "zz-PII-7f3a"


def spied() -> dict[str, list[Row]]:
    """A delivery with the canary wherever a person could be: as user, in columns nobody asked for, as a value of every
    typed column, and in a kind that is none. What is left out are ids and attributes of accounts, the product's own."""
    tables: dict[str, list[Row]] = {
        "accounts": [account("a1"), account("a2", email=CANARY, contact_name=f"Dr {CANARY}")],
        "events": [event("a1", user_id=CANARY, note=CANARY), event("a2", user_id=f"{CANARY}@example.org")],
        "revenue": [invoice("a1", memo=CANARY), invoice("a2")],
        "touches": [{"account_id": "a1", "occurred_at": "2024-03-01T00:00:00Z", "kind": "contacted"}],
        "account_users": [{"account_id": "a1", "user_id": CANARY, "valid_from": "2024-01-02T00:00:00Z"}],
    }
    for table in TABLES.values():
        good = tables[table.name][0]
        for column in table.columns:
            if column.type != "text" or column.choices:
                key = dict.fromkeys(table.key, f"bad-{column.name}")
                tables[table.name].append(good | key | {column.name: CANARY})
    return tables


def found_in(folder: Path) -> list[str]:
    """Files below `folder` with the canary in their bytes or, for Parquet, in a value."""
    hits = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            table = str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else ""
            hits += [str(path)] if CANARY.encode() in path.read_bytes() or CANARY in table else []
    return hits


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "expansion", *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 3, done.stderr
    return done.stdout + done.stderr


def test_a_canary_in_every_field_is_in_no_log_report_artefact_or_error(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", **spied())
    for path in raw.glob("*.csv"):
        with path.open("a", newline="") as stream:
            stream.write(f"{CANARY}\r\n")  # and as a line that cannot be split
    params = tmp_path / "params.yaml"
    params.write_text("ingest: {never_empty: []}\n")
    said = run("ingest", "--raw", raw, "--workspace", tmp_path / "w", "--params", params)
    assert "quarantine" in said.lower()
    assert CANARY not in said
    assert found_in(tmp_path / "w") == []
    page = tmp_path / "page.html"
    said = run("check", "--raw", raw, "--params", params, "--json", "--html", page)
    assert CANARY not in said
    assert CANARY not in page.read_text()
    lenient = IngestParams(max_bad_ratio=1, never_empty=())
    accounting = ingest(raw, Workspace(tmp_path / "w"), lenient, NOW)
    assert sum(sum(accounting.quarantined(table).values()) for table in TABLES) >= 20
    assert found_in(tmp_path / "w") == []


def test_the_same_user_is_one_hash_here_and_another_elsewhere(tmp_path: Path) -> None:
    rows = [event("a1", user_id="u1"), event("a1", user_id="u2"), event("a2", user_id="u1"), event("a2", user_id=None)]
    raw = write_raw(tmp_path / "raw", [account("a1"), account("a2")], rows, [invoice("a1")])
    seen = []
    for name in ("here", "there"):
        workspace = Workspace(tmp_path / name)
        ingest(raw, workspace, IngestParams(), NOW)
        users = pq.read_table(workspace.warehouse / "events")["user_id"].to_pylist()
        assert len(set(users)) == 3
        assert all(user is None or len(user) == 32 for user in users)
        seen.append(set(users) - {None})
    assert not seen[0] & seen[1]


def test_the_key_is_the_owners_alone_and_a_lost_one_means_a_whole_ingest(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account("a1")], [event("a1")], [invoice("a1")])
    workspace = Workspace(tmp_path / "w")
    ingest(raw, workspace, IngestParams(), NOW)
    key = workspace.root / ".privacy-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        ingest(raw, workspace, IngestParams(), NOW)
    key.unlink()
    assert set(ingest(raw, workspace, IngestParams(), NOW).counts) == set(TABLES)
    assert ingest(raw, workspace, IngestParams(), NOW).written == {}
