"""What the pictures are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from training.plots import bins, curve, wilson


def test_a_gains_curve_runs_from_nothing_to_everything_and_ties_are_straight() -> None:
    called, found = curve(np.array([3.0, 2.0, 2.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.0]))
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
    assert sum(n for *_, n in bins(many, said)) == 1000
    assert len(bins(many, said)) == 10
    assert len(bins(few, said)) == 2
    assert all(abs(told - seen) < 0.15 for told, seen, *_ in bins(many, said))
