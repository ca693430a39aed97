"""Whatever makes features, labels or a model does the same beside a truth it cannot read; evaluation alone stumbles."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from features.build import features_stage
from features.catalogue import Definitions
from features.snapshots import SnapshotParams, snapshots_stage
from models.boosting import BoosterParams
from tests.builders import account, event, invoice, write_raw
from tests.pipeline.vendor import run, small_params
from training.evaluate import main
from training.labels import LabelParams, labels_stage
from training.recipe import TrainParams
from training.train import train
from warehouse.ingest import IngestParams, ingest
from warehouse.params import read_params
from warehouse.store import Workspace

DEFINITIONS = Definitions.from_params(read_params(Path(__file__).parents[2] / "params.yaml"))
START, END = date(2024, 1, 1), date(2025, 7, 1)
ACCOUNTS = 90
UNREADABLE = b"whoever reads this, fails"


def _vendor(folder: Path) -> Path:
    """Trials that sign up over a year; every other one starts to pay for a tier some months later, by the month."""
    rng = np.random.default_rng(2)
    accounts, events, revenue = [], [], []
    for i in range(ACCOUNTS):
        name, signed = f"a{i:03d}", START + timedelta(days=4 * i)
        accounts.append(account(name, f"{signed}T08:00:00Z"))
        paying = signed + timedelta(days=int(rng.integers(60, 240))) if i % 2 else END
        for day in (signed + timedelta(days=int(d)) for d in rng.integers(1, 300, 12)):
            if day < END:
                events.append(event(name, f"{day}T10:00:00Z", str(rng.choice(["report_built", "page_seen"]))))
        while paying < END:
            until, since = paying + timedelta(days=30), paying
            months = {"period_start": str(since), "period_end": str(until), "kind": "subscription"}
            revenue.append(invoice(name, f"{since}T00:00:00Z", 40, **months))
            paying = until
    return write_raw(folder, accounts, events, revenue)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _vendor(tmp_path_factory.mktemp("vendor") / "raw")


def _trained(root: Path, raw: Path) -> dict[str, str]:
    """All stages up to `train`; SHA-256 of everything they left."""
    workspace = Workspace(root)
    ingest(raw, workspace, IngestParams(), datetime(2026, 1, 1, tzinfo=UTC))
    snapshots_stage(workspace, SnapshotParams(every_months=2))
    features_stage(workspace, DEFINITIONS)
    labels = LabelParams(horizons=(90,), default_horizon=90)
    labels_stage(workspace, DEFINITIONS, labels)
    train(workspace, DEFINITIONS, labels, TrainParams(booster=BoosterParams(rounds=4), min_positives=5))
    files = sorted(path for path in workspace.artifacts.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_truth_that_nobody_can_read_stops_evaluation_and_changes_nothing_before_it(
    vendor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without = _trained(tmp_path / "other", vendor)
    raw, workspace = shutil.copytree(vendor, tmp_path / "raw"), tmp_path / "workspace"
    (raw / "truth.parquet").write_bytes(UNREADABLE)
    assert _trained(workspace, raw) == without
    assert {"artifacts/heldout.parquet", "artifacts/candidate/manifest.json"} <= set(without)
    assert main(["--workspace", str(workspace), "--raw", str(raw)]) == 3
    assert "not readable Parquet" in capsys.readouterr().err
    assert not (workspace / "artifacts" / "evaluation.json").exists()
    (raw / "truth.parquet").unlink()
    assert main(["--workspace", str(workspace), "--raw", str(raw)]) == 0


def test_the_command_line_hands_the_raw_folder_to_evaluation_and_a_bad_truth_moves_nothing(
    vendor: Path, tmp_path: Path
) -> None:
    raw, workspace = shutil.copytree(vendor, tmp_path / "raw"), tmp_path / "workspace"
    (raw / "truth.parquet").write_bytes(UNREADABLE)
    quick = {"booster": {"rounds": 4}, "min_positives": 5}
    params = small_params(tmp_path, train=quick, labels={"horizons": [90], "default_horizon": 90})
    finished = run("train", "--raw", raw, "--workspace", workspace, "--params", params)
    assert finished.returncode == 3, finished.stderr
    assert "truth.parquet is not readable Parquet" in finished.stderr
    assert (workspace / "artifacts" / "heldout.parquet").exists()
    assert not (workspace / "mlflow.db").exists()
