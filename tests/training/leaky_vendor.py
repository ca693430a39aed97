"""A small vendor drawn straight into a warehouse and taken to the stage before the leak audit; and feature builders
that leak on purpose, each in one way. Activity foretells who will pay; plan, owner and touches say who did."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.build import build_features, features_stage
from features.catalogue import Definitions
from features.snapshots import SnapshotParams, snapshots_stage
from tests.models import made_features
from training.dataset import Dataset
from training.labels import LabelParams, labels_stage
from training.leak_facts import Build
from training.leaks import LeakParams
from warehouse.engine import connect
from warehouse.raw import SQL_TYPES, TABLES
from warehouse.store import Workspace, open_warehouse, read_table, write_table

START, END = datetime(2024, 1, 1), datetime(2025, 4, 1)
DEFINITIONS = Definitions.from_params({"features": {"specialist": ["api_called"], "ticket": ["ticket_opened"]}})
LABELS = LabelParams(horizons=(90, 180))
PARAMS = LeakParams(accounts=100, rows=200, repeats=8)
NAMES = ("page_seen", "api_called", "ticket_opened")
Rows = list[dict[str, Any]]


def vendor(root: Path, accounts: int = 160, seed: int = 0) -> Workspace:
    """A workspace with features, labels, held-out rows of the headline and train.json."""
    workspace = Workspace(root)
    _write(workspace, _drawn(accounts, np.random.default_rng(seed)))
    snapshots_stage(workspace, SnapshotParams(every_months=2))
    features_stage(workspace, DEFINITIONS)
    labels_stage(workspace, DEFINITIONS, LABELS)
    hold_out(workspace)
    train = {"bundle_id": "b" * 64, "gain": [{"feature": "active_days_28d", "share": 0.3}]}
    (workspace.artifacts / "train.json").write_text(json.dumps(train))
    return workspace


def dataset(workspace: Workspace) -> Dataset:
    return Dataset(*(read_table(workspace.artifacts / f"{name}.parquet") for name in ("features", "labels")))


def hold_out(workspace: Workspace, origin: date | None = None) -> None:
    """heldout.parquet: the newest date with complete labels, ranked by active days. `origin`: the end of training it
    claims; absent: that date, as it should be."""
    data = dataset(workspace)
    outcome = data.outcome("expansion", 180)
    day = max(data.features["as_of"].filter(pa.array(~np.isnan(outcome))).to_pylist())
    own = ~np.isnan(outcome) & np.asarray(pc.equal(data.features["as_of"], day))
    rows = data.take(own)
    n = len(rows)
    columns = {
        "account_id": rows.features["account_id"],
        "as_of": rows.features["as_of"],
        "origin": pa.array([origin or day] * n, pa.date32()),
        "target": ["expansion"] * n,
        "horizon": pa.array([180] * n, pa.int16()),
        "candidate": ["champion"] * n,
        "score": rows.features["active_days_28d"],
        "label": pa.array(outcome[own].astype(np.int8)),
        "increment": rows.labels["increment_180"],
    }
    write_table(pa.table(columns), workspace.artifacts / "heldout.parquet")


def built_by(workspace: Workspace, build: Build) -> None:
    """features.parquet anew, by `build`."""
    with connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse)
        spine = read_table(workspace.artifacts / "snapshots.parquet")
        write_table(build(con, spine, DEFINITIONS), workspace.artifacts / "features.parquet")


def leaking(feature: str, query: str) -> Build:
    """A builder whose `feature` is what `query` says of (account_id, as_of) as `value`; `{spine}` is the spine."""

    def build(con: duckdb.DuckDBPyConnection, spine: pa.Table, definitions: Definitions) -> pa.Table:
        table = build_features(con, spine, definitions)
        con.register("asked", table.select(["account_id", "as_of"]))
        found = con.sql(f"""
            SELECT coalesce(CAST(value AS DOUBLE), 0) AS value FROM asked LEFT JOIN ({query}) USING (account_id, as_of)
            ORDER BY account_id, as_of""").to_arrow_table()
        con.unregister("asked")
        return table.set_column(table.column_names.index(feature), feature, found["value"])

    return build


def _counted(table: str, condition: str) -> str:
    return f"""SELECT asked.account_id, as_of, count(*) AS value FROM asked JOIN {table} AS fact
               ON fact.account_id = asked.account_id AND {condition} GROUP BY ALL"""


FUTURE_ROWS = leaking("events_28d", _counted("events", "occurred_at >= as_of AND occurred_at < as_of + 28"))
LATE_ROWS = leaking("events_28d", _counted("events", "occurred_at < as_of"))  # whenever they were received
UNDATED_FIELD = leaking(
    "employees", "SELECT account_id, as_of, plan = 'paid' AS value FROM asked JOIN accounts USING (account_id)"
)
UNDATED_ROLE = leaking(
    "employees",
    """SELECT account_id, as_of, max(CAST(role = 'admin' AS INTEGER)) AS value
       FROM asked JOIN account_users USING (account_id) GROUP BY ALL""",
)
UNDATED_FLAG = leaking(
    "employees", "SELECT account_id, as_of, is_internal IS NULL AS value FROM asked JOIN accounts USING (account_id)"
)
POST_LABEL_TOUCHES = leaking("events_28d", _counted("touches", "occurred_at >= as_of"))
ROW_ORDER = leaking(
    "tenure_days",
    """SELECT account_id, as_of, place AS value FROM asked
       JOIN (SELECT account_id, row_number() OVER () AS place FROM accounts) USING (account_id)""",
)


def told_by(workspace: Workspace, feature: str, value: Callable[[Dataset], np.ndarray]) -> None:
    """`feature` of features.parquet replaced by what `value` makes of features and labels."""
    data = dataset(workspace)
    place = data.features.column_names.index(feature)
    changed = data.features.set_column(place, feature, pa.array(value(data), pa.float64(), from_pandas=True))
    write_table(changed, workspace.artifacts / "features.parquet")


def filled_in(workspace: Workspace, field: str, expanding: float, others: float) -> None:
    """Accounts delivered anew with `field` known for these shares of those that ever expand and of the others, and the
    features of that."""
    data, rng = dataset(workspace), np.random.default_rng(11)
    moved = set(data.features["account_id"].filter(pa.array(data.outcome("expansion", 180) == 1)).to_pylist())
    path = workspace.warehouse / "accounts" / "all.parquet"
    told = read_table(path)
    share = np.where(np.isin(told["account_id"].to_pylist(), list(moved)), expanding, others)
    kept = pc.if_else(pa.array(rng.random(len(told)) < share), told[field], pa.scalar(None, told[field].type))
    write_table(told.set_column(told.column_names.index(field), field, kept), path)
    built_by(workspace, build_features)


def _drawn(accounts: int, rng: np.random.Generator) -> dict[str, Rows]:
    """Raw rows: two in five accounts start to pay 40 to 120 a month at some day; they are the more active ones."""
    rows: dict[str, Rows] = {name: [] for name in TABLES}
    for number in range(accounts):
        name, keen = f"acc-{rng.integers(10**9):09}", bool(rng.random() < 0.4)
        born = START + timedelta(days=int(rng.integers(0, 100)), hours=9)
        pays = born + timedelta(days=int(rng.integers(60, 400))) if keen else None
        paid = pays is not None and pays < END
        sold = {"plan": "paid" if paid else "free", "owner": "Kim" if paid else None}
        told = {"country": str(rng.choice(["DE", "FR"])), "employees": int(rng.integers(1, 300)), **sold}
        rows["accounts"].append({"account_id": name, "created_at": born, "is_internal": False, **told})
        user = {"account_id": name, "user_id": f"{name}-u1", "role": "admin" if paid else "member"}
        rows["account_users"].append({**user, "valid_from": born})
        for when in _days(born, 9 if keen else 25, rng):
            heard = when + timedelta(days=int(rng.integers(0, 6)) if rng.random() < 0.1 else 0)
            rows["events"].append(_event(f"{number}-{len(rows['events'])}", name, when, heard, rng))
        amount = int(rng.integers(40, 120))
        for month in range(20 if pays is not None else 0):
            assert pays is not None
            rows["revenue"].append(_invoice(f"{number}-{month}", name, amount, pays + timedelta(days=30 * month)))
        if paid and pays is not None:
            rows["touches"].append({"account_id": name, "occurred_at": pays, "kind": "contacted", "owner": "Kim"})
    rows["revenue"] = [row for row in rows["revenue"] if row["booked_at"] < END]
    return rows


def _days(born: datetime, gap: int, rng: np.random.Generator) -> list[datetime]:
    steps = np.cumsum(rng.exponential(gap, 500 // gap))
    return [born + timedelta(days=float(step)) for step in steps if born + timedelta(days=float(step)) < END]


def _event(number: str, name: str, when: datetime, heard: datetime, rng: np.random.Generator) -> dict[str, Any]:
    said = {"event_name": str(rng.choice(NAMES)), "user_id": f"{name}-u{rng.integers(1, 4)}", "quantity": 1}
    return {"event_id": number, "account_id": name, "occurred_at": when, "received_at": min(heard, END), **said}


def _invoice(number: str, name: str, amount: int, start: datetime) -> dict[str, Any]:
    served = {"period_start": start, "period_end": start + timedelta(days=30), "kind": "subscription"}
    return {"revenue_id": number, "account_id": name, "amount": amount, "currency": "USD", "booked_at": start, **served}


def _write(workspace: Workspace, rows: dict[str, Rows]) -> None:
    """Typed tables as the warehouse keeps them, one part each."""
    con = duckdb.connect(":memory:")
    for name, table in TABLES.items():
        columns = ", ".join(f"CAST({c.name} AS {SQL_TYPES[c.type]}) AS {c.name}" for c in table.columns)
        con.register("given", pa.table({c.name: [row.get(c.name) for row in rows[name]] for c in table.columns}))
        write_table(
            con.sql(f"SELECT {columns} FROM given").to_arrow_table(), workspace.warehouse / name / "all.parquet"
        )
        con.unregister("given")
    con.close()


def telling_nothing_but(n: int, told: dict[str, list[Any]]) -> pa.Table:
    """Feature rows of which all is null that is not `told`."""
    rows = made_features.feature_rows(n)
    for place, field in enumerate(rows.schema):
        if field.name in told:
            rows = rows.set_column(place, field, pa.array(told[field.name], field.type))
        elif field.name not in ("account_id", "as_of"):
            rows = rows.set_column(place, field, pa.nulls(n, field.type))
    return rows
