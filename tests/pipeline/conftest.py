from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipeline.terminal import Terminal
from tests.pipeline.vendor import done, small_params

AS_OF = "2025-09-01"  # a date of the training grid, so that all three ways meet


@dataclass(frozen=True)
class Vendor:
    raw: Path
    params: Path
    workspace: Path
    as_of: str = AS_OF


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Vendor:
    """Simulated, trained, champion or not, and published once for the whole session. Never changed by a test."""
    folder = tmp_path_factory.mktemp("vendor")
    vendor = Vendor(folder / "raw", small_params(folder), folder / "workspace")
    done("simulate", "--out", vendor.raw, "--params", vendor.params)
    done("train", "--raw", vendor.raw, "--workspace", vendor.workspace, "--params", vendor.params)
    bundle = vendor.workspace / "artifacts" / "candidate"
    done("score", "--workspace", vendor.workspace, "--as-of", AS_OF, "--bundle", bundle)
    return vendor


@pytest.fixture
def vendor(trained: Vendor, tmp_path: Path) -> Vendor:
    """A copy that a test may harm."""
    shutil.copytree(trained.workspace, tmp_path / "workspace", symlinks=True)
    shutil.copytree(trained.raw, tmp_path / "raw")
    return Vendor(tmp_path / "raw", trained.params, tmp_path / "workspace")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)
