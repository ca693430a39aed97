"""A made-up release per test, answered for by a scorer that only knows its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serving import release
from tests.serving.published import Service, load_fake, open_service, publish


@pytest.fixture(autouse=True)
def _made_up_bundles_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up bundle has no manifest and gives a scorer that only knows its card; a real one loads as ever."""
    real = release.load_scorer

    def load(bundle: Path) -> Any:
        return real(bundle) if (bundle / "manifest.json").exists() else load_fake(bundle)

    monkeypatch.setattr(release, "load_scorer", load)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def service(workspace: Path) -> Service:
    publish(workspace)
    return open_service(workspace)
