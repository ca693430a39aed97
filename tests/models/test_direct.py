"""The direct classifier: each snapshot counts for those that the data end hid, and longer horizons are never less."""

from __future__ import annotations

import numpy as np
import pytest

from models.boosting import BoosterParams
from models.direct import censored, fit_direct, matured
from models.hazard import NEVER

QUICK = BoosterParams(rounds=30, min_data_in_leaf=50, feature_fraction=1.0)


def _histories(n: int, rate: float = 0.002) -> tuple[np.ndarray, np.ndarray]:
    """Days to the event, and observation that ends at any day up to 300."""
    rng = np.random.default_rng(1)
    event, observed = rng.exponential(1 / rate, n).astype(np.int64), rng.integers(1, 300, n)
    return np.where(event < observed, event, NEVER), observed


def test_weighted_the_rate_of_the_known_is_the_rate_of_all() -> None:
    event, observed = _histories(60_000)
    label, weight = censored(event, observed, 180)
    true = 1 - np.exp(-0.002 * 180)
    assert np.average(label, weights=weight) == pytest.approx(true, rel=0.03)
    assert np.average(label[weight > 0]) > 1.1 * true, "without weights early events are told of too often"


def test_a_snapshot_tells_by_its_event_or_by_having_been_watched_to_the_end() -> None:
    event = np.array([10, NEVER, NEVER, 200])
    observed = np.array([20, 179, 180, 300])
    label, weight = censored(event, observed, 180)
    assert label.tolist() == [1, 0, 0, 0]
    assert (weight > 0).tolist() == [True, False, True, True]
    # four snapshots, all observed for more than ten days: the first counts once
    assert weight[0] == 1.0


def test_of_whole_windows_alone_the_rate_is_right_and_whoever_was_cut_off_says_nothing() -> None:
    event, observed = _histories(60_000)
    label, weight = matured(event, observed, 180)
    assert np.average(label, weights=weight) == pytest.approx(1 - np.exp(-0.002 * 180), rel=0.03)
    label, weight = matured(np.array([10, NEVER, NEVER, 200]), np.array([20, 179, 180, 300]), 180)
    assert label[weight > 0].tolist() == [0, 0]
    assert weight.tolist() == [0, 0, 1, 1]


def test_longer_horizons_are_never_less_likely() -> None:
    event, observed = _histories(3_000)
    matrix = np.random.default_rng(2).normal(size=(3_000, 2))
    model = fit_direct(matrix, event, observed, (90, 180), QUICK, 1, ["x", "y"], [])
    said = model.by_horizon(matrix, (180, 90))
    assert (said[180] >= said[90]).all()
    assert (model.boosters[180].predict(matrix) < model.boosters[90].predict(matrix)).any() or (
        said[180] > said[90]
    ).any()


def test_a_horizon_without_an_event_says_what_the_shorter_one_says() -> None:
    event, observed = _histories(3_000)
    model = fit_direct(np.zeros((3_000, 1)), event, observed, (90, 299), QUICK, 1, ["x"], [])
    few = fit_direct(np.zeros((50, 1)), np.full(50, NEVER), np.full(50, 400), (90,), QUICK, 1, ["x"], [])
    assert 90 in model.boosters
    assert few.by_horizon(np.zeros((4, 1)), (90, 180))[180].tolist() == [0, 0, 0, 0]
