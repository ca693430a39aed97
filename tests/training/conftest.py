from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models import registry
from tests.training.judged import NOW, heldout_rows, trained
from tests.training.promoting import DOCUMENT, PARAMS, Train
from training.evaluate import evaluate
from training.promote import Registration, register_candidate
from warehouse.store import Workspace, write_table


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mlflow.db of a new workspace: making one takes seconds, copying one does not."""
    root = tmp_path_factory.mktemp("ledger")
    registry.move_aliases(Workspace(root), {})
    return root / "mlflow.db"


@pytest.fixture
def workspace(tmp_path: Path, empty_ledger: Path) -> Workspace:
    shutil.copy(empty_ledger, tmp_path / "mlflow.db")
    return Workspace(tmp_path)


@pytest.fixture
def train(workspace: Workspace) -> Train:
    """Trains, evaluates and registers on held-out rows, each account from one of two countries; a keyword changes
    train.json."""

    def run(heldout: pa.Table | None = None, **changes: Any) -> Registration:
        trained(workspace.root, heldout, **changes)
        evaluate(workspace, PARAMS)
        held = heldout_rows() if heldout is None else heldout
        keys = held.filter(pc.equal(held["candidate"], "champion")).select(["account_id", "as_of"])
        countries = pa.array(np.where(np.arange(len(keys)) % 2, "DE", "GB"))
        facts = workspace.artifacts / "heldout_accounts.parquet"
        write_table(keys.append_column("country", countries), facts)
        try:
            return register_candidate(workspace, DOCUMENT, "abc123", NOW)
        finally:
            facts.unlink()  # one fact is enough for the gate; the next evaluation would want them all

    return run
