"""One shift of the log-odds: what it makes equal, where it stops, and when it is not worth having."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import helps, shifted, total_shift


def _world(seed: int, n: int = 400, level: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logit = rng.normal(-2, 1, n)
    return 1 / (1 + np.exp(-logit)), (rng.random(n) < shifted(logit, level)).astype(float)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.6, 0.6))
def test_after_the_shift_expected_equals_actual(seed: int, level: float) -> None:
    probability, label = _world(seed, level=level)
    shift = total_shift(probability, label, limit=5.0)
    moved = shifted(np.log(probability / (1 - probability)), shift)
    assert moved.sum() == pytest.approx(label.sum(), abs=1e-6)
    assert np.array_equal(np.argsort(moved, kind="stable"), np.argsort(probability, kind="stable"))


@pytest.mark.parametrize(("said", "limited"), [(0.001, 1.0), (0.999, -1.0)])
def test_the_shift_stops_at_its_limit(said: float, limited: float) -> None:
    label = np.array([0.0, 1.0] * 50)
    assert total_shift(np.full(100, said), label) == pytest.approx(limited, abs=1e-9)


@pytest.mark.parametrize("only", [0.0, 1.0])
def test_a_single_class_teaches_no_level(only: float) -> None:
    assert total_shift(np.array([0.2, 0.4, 0.9]), np.full(3, only)) == 0.0


def test_a_shift_helps_only_where_the_level_is_off() -> None:
    low, label = _world(1, n=4_000, level=0.8)
    assert helps(0.8, low, label)
    assert not helps(-0.8, low, label)
    right, truth = _world(2, n=4_000)
    assert not helps(0.8, right, truth)
