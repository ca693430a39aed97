"""Raw rows with sensible defaults, and folders of raw files made of them."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
_numbers = itertools.count(1)


def account(account_id: str = "a1", created_at: str = "2024-01-01T00:00:00Z", **columns: Any) -> Row:
    return {"account_id": account_id, "created_at": created_at, **columns}


def event(
    account_id: str = "a1", occurred_at: str = "2024-02-01T09:00:00Z", event_name: str = "report_built", **columns: Any
) -> Row:
    """An event with an id of its own; `event_id=None` for one without."""
    made = {"event_id": f"e{next(_numbers)}", "user_id": f"{account_id}-u1", "received_at": occurred_at, "quantity": 1}
    return {"account_id": account_id, "event_name": event_name, "occurred_at": occurred_at, **made, **columns}


def invoice(
    account_id: str = "a1", booked_at: str = "2024-02-01T00:00:00Z", amount: float | str = 100, **columns: Any
) -> Row:
    """A one-off invoice with an id of its own; give period_start and period_end for a subscription."""
    made = {"revenue_id": f"r{next(_numbers)}", "currency": "USD", "kind": "invoice"}
    return {"account_id": account_id, "amount": amount, "booked_at": booked_at, **made, **columns}


def write_raw(
    folder: Path,
    accounts: Sequence[Row] = (),
    events: Sequence[Row] = (),
    revenue: Sequence[Row] = (),
    format: str = "csv",
    **optional: Sequence[Row],
) -> Path:
    """Writes the raw tables (values as text, None as null) to `folder` and returns it. A table without rows gets its
    required columns only; `touches` and `account_users` are written when given."""
    folder.mkdir(parents=True, exist_ok=True)
    headers = {
        "accounts": ["account_id", "created_at"],
        "events": ["account_id", "event_name", "occurred_at"],
        "revenue": ["account_id", "amount", "booked_at"],
    }
    for table, rows in {"accounts": accounts, "events": events, "revenue": revenue, **optional}.items():
        columns = list(dict.fromkeys(key for row in rows for key in row)) or headers[table]
        write_file(folder / f"{table}.{format}", columns, rows)
    return folder


def write_file(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [[None if row.get(column) is None else str(row[column]) for column in columns] for row in rows]
    if path.suffix == ".parquet":
        arrays = [pa.array([line[i] for line in texts], pa.string()) for i in range(len(columns))]
        pq.write_table(pa.table(arrays, names=list(columns)), path)
        return
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(texts)
