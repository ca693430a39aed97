"""A tiny vendor with raw files, a typed warehouse and a rule bundle: the real path from rows to a release."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from features.catalogue import Definitions
from models.scorer import rule_scorer
from serving.batch import ScoreParams, score
from tests import builders
from tests.serving.published import Service, open_service
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace

AS_OF = date(2025, 7, 1)
NOW = datetime(2025, 7, 1, 3, 0, tzinfo=UTC)
START = datetime(2025, 1, 6)
Rows = Sequence[builders.Row]


def histories(accounts: int = 12) -> list[dict[str, Any]]:
    """Histories as POST /v1/score takes them. Account n acts on every (n+1)th day and pays from its third month."""
    out = []
    for n in range(accounts):
        created = START + timedelta(days=5 * n)
        days = range(0, (AS_OF - created.date()).days, n + 1)
        events = [
            {
                "event_id": f"e-{n}-{d}",
                "user_id": f"u-{n}-{d % 3}",
                "event_name": ("opened", "report_built", "setting_changed")[d % 3],
                "occurred_at": (created + timedelta(days=d, hours=1)).isoformat(sep=" "),
                "quantity": 1 + d % 4,
            }
            for d in days
        ]
        revenue = [
            {
                "revenue_id": f"r-{n}-{month}",
                "amount": 10.5 * (n + 1),
                "currency": "USD",
                "booked_at": (created + timedelta(days=60 + 30 * month)).isoformat(sep=" "),
            }
            for month in range(2)
        ]
        account = {
            "account_id": f"{n:03d}",
            "created_at": created.isoformat(sep=" "),
            "country": "GB",
            "industry": "retail",
            "employees": 10 + n,
            "owner": "ana",
            "channel": "web",
        }
        joined = [
            {"user_id": f"u-{n}-{k}", "valid_from": (created + timedelta(days=9 * k)).isoformat(sep=" ")}
            for k in range(1 + n % 3)
        ]
        out.append({"account": account, "events": events, "revenue": revenue, "account_users": joined})
    return out


def warehouse_of(workspace: Path, sent: list[dict[str, Any]], now: datetime = NOW) -> Workspace:
    """The histories written as CSV files and ingested, as a vendor's export would be."""
    raw = workspace / "raw"
    raw.mkdir(parents=True)
    tables = {
        "accounts": [item["account"] for item in sent],
        **{
            table: [{"account_id": i["account"]["account_id"], **row} for i in sent for row in i[table]]
            for table in ("events", "revenue", "account_users")
        },
    }
    for name, rows in tables.items():
        with (raw / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    ingest(raw, Workspace(workspace), IngestParams(), now)
    return Workspace(workspace)


def ingested(workspace: Path, accounts: Rows, events: Rows, revenue: Rows, now: datetime) -> Workspace:
    """The raw rows of tests/builders.py written as files and ingested."""
    ingest(builders.write_raw(workspace / "raw", accounts, events, revenue), Workspace(workspace), IngestParams(), now)
    return Workspace(workspace)


def served_by_rule(vendor: Workspace, as_of: date) -> Service:
    """The service over a night of that day, three hours into it."""
    score(vendor, rule_bundle(vendor.artifacts / "candidate"), as_of, {}, ScoreParams())
    return open_service(vendor.root, clock=datetime(as_of.year, as_of.month, as_of.day, 3, tzinfo=UTC))


def rule_bundle(folder: Path) -> Path:
    rule_scorer(Definitions.from_params({}), (90, 180, 270, 360), 180, "a test has too few expansions").save(folder)
    return folder
