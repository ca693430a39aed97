"""Two small worlds, simulated once for all tests of the room."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.simulate import SimulateParams, simulate


@pytest.fixture(scope="session")
def plain_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw tables of 3,000 accounts over 8 quarters, without the truth."""
    out = tmp_path_factory.mktemp("plain") / "raw"
    simulate(out, SimulateParams(accounts=3_000, truth=False))
    return out


@pytest.fixture(scope="session")
def null_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw tables of 3,000 accounts over 8 quarters in which nothing foretells anything, without the truth."""
    out = tmp_path_factory.mktemp("null") / "raw"
    simulate(out, SimulateParams(world="null", accounts=3_000, truth=False))
    return out
