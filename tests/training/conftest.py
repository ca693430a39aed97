from __future__ import annotations

from pathlib import Path

import pytest

from models import registry
from warehouse.store import Workspace


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mlflow.db of a new workspace: making one takes seconds, copying one does not."""
    root = tmp_path_factory.mktemp("ledger")
    registry.init(Workspace(root))
    return root / "mlflow.db"
