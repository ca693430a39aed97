"""The live warehouse that the tests of the fault catalogue deliver to; a module may have fixtures of these names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.warehouse.spoilt_files import Live, copied, first_ingest


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with good data, to be copied and never written to."""
    return first_ingest(tmp_path_factory.mktemp("ingested"))


@pytest.fixture
def live(ingested: Path, tmp_path: Path) -> Live:
    return copied(ingested, tmp_path / "workspace")
