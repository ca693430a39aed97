"""One feature path: the same account and date look the same to training, the nightly batch and HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from features.build import HISTORY, build_features
from features.snapshots import everyone
from models.scorer import Scorer
from serving.api import create_app
from serving.keys import create_key
from serving.release import open_release
from serving.settings import Settings
from tests.pipeline.conftest import Vendor
from warehouse.engine import connect
from warehouse.ingest import IngestParams
from warehouse.rows import load_rows
from warehouse.store import open_warehouse

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def live(vendor: Vendor) -> Any:
    return (vendor.workspace / "releases" / "current").resolve()


@pytest.fixture(scope="module")
def at_training(trained: Vendor) -> pa.Table:
    table = pq.read_table(trained.workspace / "artifacts" / "features.parquet")
    return table.filter(pc.equal(table["as_of"], date.fromisoformat(trained.as_of))).combine_chunks()


@pytest.fixture(scope="module")
def at_night(trained: Vendor) -> pa.Table:
    scorer = Scorer.load(live(trained) / "bundle")
    with connect(trained.workspace / "warehouse") as con:
        open_warehouse(con, trained.workspace / "warehouse")
        return build_features(con, everyone(con, date.fromisoformat(trained.as_of)), scorer.definitions)


@pytest.fixture(scope="module")
def sent(trained: Vendor, at_training: pa.Table) -> list[dict[str, Any]]:
    """Sixty whole histories as a caller would send them, the busiest left out for the size of a request."""
    with connect(trained.workspace / "warehouse") as con:
        open_warehouse(con, trained.workspace / "warehouse")
        con.register("asked", at_training.select(["account_id"]))
        ids = [
            row[0]
            for row in con.sql("""
            SELECT account_id FROM asked LEFT JOIN events USING (account_id) GROUP BY 1
            HAVING count(*) < 60 ORDER BY md5(account_id) LIMIT 60""").fetchall()
        ]
        payers = [
            row[0]
            for row in con.sql("""
            SELECT account_id FROM asked JOIN revenue USING (account_id)
            WHERE account_id IN (SELECT account_id FROM events GROUP BY 1 HAVING count(*) < 900)
            GROUP BY 1 ORDER BY 1 LIMIT 3""").fetchall()
        ]
        return [history(con, account_id) for account_id in sorted({*ids, *payers})]


def history(con: Any, account_id: str) -> dict[str, Any]:
    def rows(table: str) -> list[dict[str, Any]]:
        found = con.sql(f"SELECT * FROM {table} WHERE account_id = $a", params={"a": account_id}).to_arrow_table()
        return [{k: said(v) for k, v in row.items() if v is not None} for row in found.to_pylist()]

    return {"account": rows("accounts")[0], **{table: rows(table) for table in HISTORY}}


def said(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value if isinstance(value, str | bool | int) else float(value)


@pytest.fixture(scope="module")
def caller(trained: Vendor) -> Iterator[TestClient]:
    settings = Settings(workspace=trained.workspace)
    _, key = create_key(settings.keys_file, "parity", ("read", "score"), NOW)
    surface = create_app(settings, now=lambda: NOW)
    with TestClient(surface.guarded, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def test_the_nightly_batch_sees_what_training_saw(at_training: pa.Table, at_night: pa.Table) -> None:
    shared = at_night.filter(pc.is_in(at_night["account_id"], at_training["account_id"])).combine_chunks()
    assert len(shared) == len(at_training) > 800
    assert shared.equals(at_training)


def test_http_computes_the_same_feature_rows(trained: Vendor, at_night: pa.Table, sent: list[dict[str, Any]]) -> None:
    scorer = Scorer.load(live(trained) / "bundle")
    ids = [item["account"]["account_id"] for item in sent]
    rows = {
        "accounts": [item["account"] for item in sent],
        **{table: [row for item in sent for row in item[table]] for table in HISTORY},
    }
    spine = pa.table(
        {"account_id": ids, "as_of": pa.array([date.fromisoformat(trained.as_of)] * len(ids), pa.date32())}
    )
    with connect() as con:
        load_rows(con, rows, IngestParams(), NOW)
        whole = open_release(live(trained)).vendor  # accounts that the caller does not know
        live_rows = build_features(con, spine, scorer.definitions, vendor=whole)
    nightly = at_night.filter(pc.is_in(at_night["account_id"], pa.array(ids))).combine_chunks()
    assert live_rows.combine_chunks().equals(nightly)


def test_published_scores_are_the_scorers_own_on_the_training_rows(trained: Vendor, at_training: pa.Table) -> None:
    published = {row["account_id"]: row for row in pq.read_table(live(trained) / "scores.parquet").to_pylist()}
    for row in Scorer.load(live(trained) / "bundle").score(at_training).to_pylist():
        assert {name: published[row["account_id"]][name] for name in row} == row


@pytest.mark.parametrize("fact", [{"is_internal": True}, {"closed_at": "2025-08-01"}])
def test_whom_the_night_leaves_out_http_leaves_out(trained: Vendor, caller: TestClient, fact: dict[str, Any]) -> None:
    account = {"account_id": "left-out", "created_at": "2025-01-01"} | fact
    answer = caller.post("/v1/score", json={"as_of": trained.as_of, "accounts": [{"account": account}]})
    assert answer.json()["items"] == [{"account_id": "left-out", "status": "not_scored", "result": None}]


def test_http_scores_equal_the_published_ones(trained: Vendor, caller: TestClient, sent: list[dict[str, Any]]) -> None:
    published = {row["account_id"]: row for row in pq.read_table(live(trained) / "scores.parquet").to_pylist()}
    answers = []
    for start in range(0, len(sent), 20):
        answer = caller.post("/v1/score", json={"as_of": trained.as_of, "accounts": sent[start : start + 20]})
        assert answer.status_code == 200, answer.text
        answers += [item["result"] for item in answer.json()["items"]]
    for item in answers:
        night = published[item["account_id"]]
        assert item["score"] == night["score"]
        assert [h["probability"] for h in item["horizons"]] == [
            night[f"probability_{h['days']}"] for h in item["horizons"]
        ]
        assert [h["amount_high"] for h in item["horizons"]] == [
            night[f"amount_high_{h['days']}"] for h in item["horizons"]
        ]
        assert [r["text"] for r in item["reasons"]] == [r["text"] for r in json.loads(night["reasons"])]
    assert sum(published[item["account_id"]]["run_rate"] > 0 for item in answers) >= 2
