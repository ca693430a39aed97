"""Spark runs the very stages that DuckDB runs and says the same numbers: worlds, late rows, a cluster of its own."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.cluster import standalone
from features.build import HISTORY, build_features, feature_stages, features_of, features_stage, open_vendor
from features.catalogue import Definitions
from features.distributed import brought_home, features_on_spark, plan
from features.snapshots import SnapshotParams, everyone, snapshots_stage
from models.boosting import BoosterParams
from serving.database import open_database
from simulator.simulate import SimulateParams, simulate
from simulator.worlds import WORLDS
from tests.features.histories import AS_OFS, DEFINITIONS, History, account, event, invoice, spine_of, stay, warehouse
from tests.features.nights import land
from tests.models.made_features import fit_scorer
from training.dataset import Dataset
from training.labels import LabelParams, labels_stage
from warehouse.engine import reads
from warehouse.errors import ExpansionError, UsageError
from warehouse.ingest import IngestParams, ingest
from warehouse.params import read_params, section
from warehouse.spark import connect_spark, run_spark_stages, transpiled
from warehouse.store import Workspace, read_table, table_files

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 2, tzinfo=UTC)
LOOSER = {"faulty": {"max_ratio": {"mixed_currency": 0.5, "wrong_sign": 0.5}}}  # of a dozen invoices, two are wrong
SMALL = 250  # accounts a world; tiny is what it is

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="the extra spark is not installed"),
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java here"),
]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    with connect_spark("local[2]") as session:
        yield session


def differences(one: pa.Table, other: pa.Table) -> list[tuple[Any, ...]]:
    """Cells that are further apart than 1e-9, relative, or 1e-6 in a list, which holds seven digits; both tables sorted
    by account and date."""
    assert one.column_names == other.column_names
    assert one["account_id"].to_pylist() == other["account_id"].to_pylist()
    found = []
    for name in one.column_names:
        for row, (mine, theirs) in enumerate(zip(one[name].to_pylist(), other[name].to_pylist(), strict=True)):
            close = isinstance(mine, float) and isinstance(theirs, float)
            same = math.isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-9) if close else mine == theirs
            if isinstance(mine, list):
                same = len(mine) == len(theirs) and np.allclose(mine, theirs, rtol=1e-6, atol=1e-6, equal_nan=True)
            if not same:
                found.append((name, row, mine, theirs))
    return found


def test_every_stage_is_one_query_that_spark_can_read() -> None:
    from features.windows import Layout

    for stage in feature_stages(DEFINITIONS, Layout()):
        assert transpiled(stage.sql).strip(), stage.name


@pytest.mark.parametrize("world", list(WORLDS))
def test_spark_says_what_duckdb_says_in_every_world(spark: Any, world: str, tmp_path: Path) -> None:
    simulate(tmp_path / "raw", SimulateParams(world=world, accounts=SMALL, quarters=3))
    document = read_params(ROOT / "params.yaml")
    document["ingest"] = document["ingest"] | LOOSER.get(world, {})
    workspace, definitions = Workspace(tmp_path / "workspace"), Definitions.from_params(document)
    ingest(tmp_path / "raw", workspace, section(document, "ingest", IngestParams), NOW)
    day = date(2024, 9, 15)
    with open_vendor(workspace) as con:
        here = build_features(con, everyone(con, day), definitions)
    there = brought_home(features_on_spark(spark, workspace, day, definitions))
    assert here.num_rows > SMALL / 3
    assert not differences(here, there)


def test_spark_sees_late_rows_as_duckdb_does(spark: Any, tmp_path: Path) -> None:
    """Several dates at once, rows received late, users in two accounts, a leap day, money of all sorts, seats."""
    history = History(
        [account("a1", employees=40), account("a2", "2023-12-02"), account("a3", "2024-02-29")],
        [
            event("2024-02-28T23:59:59", "api_called", "a1", user_id="u1", received_at="2024-03-09"),
            event("2024-02-28T23:59:59", "api_called", "a2", user_id="u1"),
            event("2024-02-29", "pricing_viewed", "a1", user_id="u2", received_at="2024-03-01"),
            event("2023-12-03", "limit_hit", "a2", user_id="u3", received_at="2024-03-01T00:00:01"),
            event("2024-01-05", "limit_hit", "a2", user_id="u3", quantity=3),
            event("2024-02-29T12:00:00", "page_seen", "a3", user_id=None),
        ],
        [
            invoice("2024-01-31", "60.10", "a1"),
            invoice("2024-02-01", 900, "a2", period_start="2024-02-01", period_end="2025-02-01"),
            invoice("2024-02-20", "-10", "a2", kind="credit"),
        ],
        [stay("2024-01-02", account_id="a1"), stay("2024-01-02", "2024-02-25", "a2"), stay("2024-03-01", None, "a3")],
    )
    workspace = land(history, Workspace(tmp_path))
    rows = spine_of(history, AS_OFS)
    with warehouse(history) as con:
        here = build_features(con, rows, DEFINITIONS)
    for table in ("accounts", *HISTORY):
        files = [str(file) for file in table_files(workspace.warehouse, table)]
        spark.read.parquet(*files).createOrReplaceTempView(table)
    spark.createDataFrame(rows).createOrReplaceTempView("given_spine")
    stages = plan(spark, "SELECT account_id, as_of FROM given_spine", DEFINITIONS)
    there = brought_home(run_spark_stages(spark, stages, lambda _: None))
    assert not differences(here, there)


def test_a_stage_is_kept_only_where_a_later_one_reads_it() -> None:
    from features.windows import Layout

    stages = feature_stages(DEFINITIONS, Layout())
    for number, stage in enumerate(stages[:-1]):
        assert any(reads(later, stage.name) for later in stages[number + 1 :]), stage.name


def test_a_master_that_does_not_answer_and_a_missing_extra_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    with pytest.raises(UsageError, match=r"\[spark\]"), connect_spark("local[1]"):
        pass
    monkeypatch.undo()
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(UsageError, match="Java"), connect_spark("local[1]"):
        pass


def test_hindsight_is_not_told_on_spark() -> None:
    with pytest.raises(UsageError, match="duckdb only"):
        features_of(Path("raw"), date(2024, 1, 1), IngestParams(), DEFINITIONS, NOW, date(2024, 2, 1), "local[1]")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    with standalone(tmp_path) as master:
        yield master


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """params.yaml of a small vendor, ingested into a workspace, and two bundles with boosters over its features."""
    params, workspace = tmp_path / "params.yaml", Workspace(tmp_path / "duckdb")
    document = read_params(ROOT / "params.yaml")
    document["simulate"] = document["simulate"] | {"accounts": 700, "quarters": 6}
    params.write_text(json.dumps(document, default=str))
    definitions, labels = Definitions.from_params(document), LabelParams()
    simulate(tmp_path / "raw", section(document, "simulate", SimulateParams))
    ingest(tmp_path / "raw", workspace, section(document, "ingest", IngestParams), NOW)
    snapshots_stage(workspace, SnapshotParams())
    features_stage(workspace, definitions)
    labels_stage(workspace, definitions, labels)
    data = Dataset(*(read_table(workspace.artifacts / f"{name}.parquet") for name in ("features", "labels")))
    for seed in (1, 2):
        card = {"trained_as_of": None, "data_fingerprint": None, "seed": seed}
        fit_scorer(data, definitions, labels, BoosterParams(rounds=20), seed, card).save(tmp_path / f"bundle-{seed}")
        assert (tmp_path / f"bundle-{seed}" / "expansion.0.lgb.txt").is_file()
    return params


def test_a_cluster_of_two_workers_publishes_what_this_machine_publishes(
    cluster: str, vendor: Path, tmp_path: Path
) -> None:
    """Two nights through the command line, the second with a new bundle: features, boosters and reasons are made in the
    executors, and so is what the last bundle makes of tonight's features."""

    def night(workspace: Path, day: str, bundle: str, *engine: str) -> Path:
        place = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"}
        said = ["--workspace", str(workspace), "--as-of", day, "--bundle", str(tmp_path / bundle), *engine]
        command = [sys.executable, "-m", "expansion", "score", "--params", str(vendor), *said]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=place, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return (workspace / "releases" / "current").resolve()

    night(tmp_path / "duckdb", "2025-05-01", "bundle-1")
    shutil.copytree(tmp_path / "duckdb", tmp_path / "spark", symlinks=True)
    here = night(tmp_path / "duckdb", "2025-05-02", "bundle-2")
    there = night(tmp_path / "spark", "2025-05-02", "bundle-2", "--engine", "spark", "--master", cluster)
    for name in ("scores", "contributions"):
        one, other = (pq.read_table(live / f"{name}.parquet").sort_by("account_id") for live in (here, there))
        assert one.schema == other.schema
        assert one.num_rows > 300
        assert not differences(*(table.drop_columns(["reasons"] * (name == "scores")) for table in (one, other)))
    for name, rows in (("season", 12), ("peers", 20)):
        mine, theirs = (pq.read_table(live / f"{name}.parquet") for live in (here, there))
        assert mine.num_rows >= rows
        assert mine.equals(theirs), name
    kept = [json.loads((live / "distributions.json").read_text(encoding="utf-8"))["features"] for live in (here, there)]
    counts = [{name: column["counts"] for name, column in one.items()} for one in kept]
    assert counts[0] == counts[1]
    ends = [json.loads((live / "run.json").read_text(encoding="utf-8"))["data_end"] for live in (here, there)]
    assert ends[0] == ends[1] > "2025-05-02"
    told = [{row["account_id"]: json.loads(row["why_changed"]) for row in explained(live)} for live in (here, there)]
    assert told[0].keys() == told[1].keys()
    assert len(told[0]) > 300
    named = set()
    for who in told[0]:
        mine, theirs = ({term["family"]: term["change"] for term in one[who]["changes"]} for one in told)
        assert mine == pytest.approx(theirs, abs=1e-8), who
        named |= mine.keys()
    assert "new model" in named
    assert len(named) > 2, "what the accounts did is told apart from what the new bundle sees otherwise"


def explained(live: Path) -> list[sqlite3.Row]:
    con = open_database(live / "scores.sqlite")
    try:
        return con.execute("SELECT account_id, why_changed FROM scores WHERE why_changed IS NOT NULL").fetchall()
    finally:
        con.close()


def test_an_unknown_engine_is_a_usage_error() -> None:
    command = [
        sys.executable,
        "-m",
        "expansion",
        "features",
        "--raw",
        "none",
        "--as-of",
        "2024-01-01",
        "--engine",
        "dask",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'no engine "dask"' in done.stderr


def test_an_unreachable_master_is_a_fault_outside_us() -> None:
    asks = "from warehouse.spark import connect_spark\nwith connect_spark('not-a-master'): pass"
    done = subprocess.run([sys.executable, "-c", asks], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 'ExpansionError: Spark master "not-a-master" cannot be used' in done.stderr


def test_a_session_elsewhere_is_not_taken_for_the_master_asked_for(spark: Any) -> None:
    with pytest.raises(ExpansionError, match=r'already works on "local\[2\]"'), connect_spark("spark://127.0.0.1:1"):
        pass
    assert spark.range(3).count() == 3, "and the session that was there lives on"
