"""A made-up release per test, answered for by a scorer that only knows its card."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import release
from tests.serving.published import Service, load_fake, open_service, publish


@pytest.fixture(autouse=True)
def _fake_scorer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_scorer" not in request.keywords:
        monkeypatch.setattr(release, "load_scorer", load_fake)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def service(workspace: Path) -> Service:
    publish(workspace)
    return open_service(workspace)
