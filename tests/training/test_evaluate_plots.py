"""What the pictures are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics import gains, observed_expected, wilson
from training.plots import calibration_parts


def test_a_gains_curve_runs_from_nothing_to_everything_and_ties_are_straight() -> None:
    called, found = gains(np.array([1.0, 1.0, 0.0, 0.0]), np.array([3.0, 2.0, 2.0, 1.0]))
    assert called.tolist() == [0, 0.25, 0.75, 1]
    assert found.tolist() == [0, 0.5, 1, 1]


def test_wilson_interval_is_the_published_one_and_never_leaves_the_rates() -> None:
    assert wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0, 50)[0] == pytest.approx(0)
    assert wilson(50, 50)[1] == pytest.approx(1)


def test_calibration_bins_hold_every_account_once_and_are_fewer_when_positives_are() -> None:
    rng = np.random.default_rng(0)
    said = rng.random(1000)
    many, few = (rng.random(1000) < said).astype(float), np.zeros(1000)
    assert sum(len(part) for part in calibration_parts(many, said)) == 1000
    assert len(calibration_parts(many, said)) == 10
    assert len(calibration_parts(few, said)) == 2
    parts = observed_expected(many, said)
    assert sum(part.n for part in parts) == 1000
    assert all(abs(part.expected - part.observed) < 0.15 * part.n for part in parts)
