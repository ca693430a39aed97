"""Calibration: what it makes equal, where it stops, when it is not worth having, and that order survives it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit

from models.calibration import BETA_FROM, LIMIT, Calibration, fit_calibration, helps, total_shift
from models.hazard import EDGES, chance, incidence

HORIZONS = EDGES[1:]
LOG_ODDS = arrays(np.float64, (9, 2, len(HORIZONS)), elements=st.floats(-12, 6))
SLOPES = st.floats(0, 3)


def _world(seed: int, n: int = 400, level: float = 0.0, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-2, 1, n)
    return log_odds, (rng.random(n) < expit(slope * log_odds + level)).astype(float)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.6, 0.6))
@example(30, -0.5)
def test_after_the_shift_expected_equals_actual_or_it_stands_at_its_limit_and_would_go_on(
    seed: int, level: float
) -> None:
    log_odds, label = _world(seed, level=level)
    shift = total_shift(log_odds, label)
    over = expit(log_odds + shift).sum() - label.sum()
    if abs(shift) < LIMIT:
        assert over == pytest.approx(0, abs=1e-6)
    else:  # few positives, by luck even fewer: seed 30
        assert over * shift < 0


@pytest.mark.parametrize(("said", "limited"), [(0.001, 1.0), (0.999, -1.0)])
def test_the_shift_stops_at_its_limit(said: float, limited: float) -> None:
    label = np.array([0.0, 1.0] * 50)
    assert total_shift(np.full(100, np.log(said / (1 - said))), label) == pytest.approx(limited, abs=1e-9)


@pytest.mark.parametrize("only", [0.0, 1.0])
def test_a_single_class_teaches_nothing(only: float) -> None:
    assert fit_calibration(np.array([0.2, 0.4, 0.9]), np.full(3, only)) == Calibration()


def test_few_positives_move_the_level_alone_and_many_the_slopes_too() -> None:
    few, label = _world(1, n=300, slope=0.5)
    assert label.sum() < BETA_FROM
    shifted = fit_calibration(few, label)
    assert (shifted.a, shifted.b) == (1.0, 1.0)
    assert shifted.c != 0
    many, told = _world(2, n=40_000, slope=0.5)
    beta = fit_calibration(many, told)
    assert beta(np.array([-4.0, 0.0])) == pytest.approx([-2.0, 0.0], abs=0.1)


def test_slopes_never_turn_the_order_round() -> None:
    log_odds, label = _world(3, n=4_000, slope=-1.0)
    beta = fit_calibration(log_odds, label)
    assert beta.a >= 0
    assert beta.b >= 0
    assert (np.diff(beta(np.linspace(-9, 9, 50))) >= 0).all()


@settings(max_examples=80, deadline=None)
@given(LOG_ODDS, SLOPES, SLOPES, st.floats(-2, 2))
def test_whatever_it_is_probabilities_never_fall_with_the_horizon_and_never_sum_past_one(
    log_odds: np.ndarray, a: float, b: float, c: float
) -> None:
    hazards = chance(Calibration(a, b, c)(log_odds[:, 0]))
    expand, churn = incidence(hazards, chance(log_odds[:, 1]), HORIZONS)
    for earlier, later in pairwise(HORIZONS):
        assert (expand[later] >= expand[earlier]).all()
    for h in HORIZONS:
        assert (expand[h] + churn[h] <= 1).all()


def test_a_shift_helps_only_where_the_level_is_off() -> None:
    low, label = _world(1, n=4_000, level=0.8)
    assert helps(Calibration(c=0.8), low, label)
    assert not helps(Calibration(c=-0.8), low, label)
    right, truth = _world(2, n=4_000)
    assert not helps(Calibration(c=0.8), right, truth)
