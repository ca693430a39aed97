"""Money if an account expands: planted amounts come back in total, whatever is negative, huge or scarce."""

from __future__ import annotations

import numpy as np
import pytest

from models.boosting import BoosterParams
from models.increment import WINSOR, Amount, fit_amount

QUICK = BoosterParams(rounds=60, learning_rate=0.1, feature_fraction=1.0)


def _planted(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-normal gains whose median doubles with the feature."""
    rng = np.random.default_rng(seed)
    matrix = np.column_stack([rng.integers(0, 4, n), rng.normal(size=n)]).astype(float)
    return matrix, np.exp(4 + np.log(2) * matrix[:, 0] + rng.normal(0, 0.8, n))


def _fit(matrix: np.ndarray, gain: np.ndarray, horizon: int = 180) -> Amount:
    return fit_amount(matrix, {horizon: (np.arange(len(gain)), gain)}, QUICK, 1, ["x", "noise"], [])


def test_planted_amounts_come_back_in_total_and_by_group() -> None:
    amount = _fit(*_planted(5_000, seed=1))
    matrix, gain = _planted(20_000, seed=2)
    said = amount.expected(matrix, 180)
    assert said.sum() == pytest.approx(gain.sum(), rel=0.06)
    for level in range(4):
        group = matrix[:, 0] == level
        assert said[group].sum() == pytest.approx(gain[group].sum(), rel=0.15)


def test_four_fifths_of_fresh_amounts_lie_in_the_range_told() -> None:
    amount = _fit(*_planted(5_000, seed=1))
    matrix, gain = _planted(20_000, seed=2)
    said = amount.expected(matrix, 180)
    inside = (gain >= said * amount.low) & (gain <= said * amount.high)
    assert inside.mean() == pytest.approx(0.8, abs=0.03)


def test_a_loss_of_an_account_that_expanded_counts_as_no_gain() -> None:
    matrix, gain = _planted(1_000, seed=3)
    lost, nothing = gain.copy(), gain.copy()
    lost[:100], nothing[:100] = -500.0, 0.0
    assert np.array_equal(_fit(matrix, lost).expected(matrix, 180), _fit(matrix, nothing).expected(matrix, 180))
    assert (_fit(matrix, np.full(1_000, -5.0)).expected(matrix, 180) == 0).all()


def test_one_giant_in_training_does_not_move_what_everyone_is_said_to_gain() -> None:
    matrix, gain = _planted(2_000, seed=4)
    large, giant = gain.copy(), gain.copy()
    large[7], giant[7] = 1e5, 1e9
    assert np.array_equal(_fit(matrix, large).expected(matrix, 180), _fit(matrix, giant).expected(matrix, 180))


def test_the_cap_holds_in_training_alone() -> None:
    """The total is matched to the capped amounts; the range told is of the amounts as they were."""
    matrix, gain = _planted(2_000, seed=5)
    amount = _fit(matrix, gain)
    said = amount.expected(matrix, 180)
    assert said.sum() == pytest.approx(np.minimum(gain, np.quantile(gain, WINSOR)).sum(), rel=1e-9)
    assert amount.high == pytest.approx(np.quantile(gain / said, 0.9), rel=1e-9)


def test_a_longer_horizon_learned_from_larger_amounts_says_more() -> None:
    matrix, gain = _planted(2_000, seed=6)
    rows = np.arange(2_000)
    amount = fit_amount(matrix, {90: (rows, gain), 180: (rows, 2 * gain)}, QUICK, 1, ["x", "noise"], [])
    assert amount.expected(matrix, 180).sum() == pytest.approx(2 * amount.expected(matrix, 90).sum(), rel=0.1)


@pytest.mark.parametrize("count", [0, 1, 29])
def test_with_fewer_than_thirty_expansions_every_account_is_given_their_mean(count: int) -> None:
    matrix, gain = _planted(29, seed=7)
    amount = fit_amount(matrix, {90: (np.arange(count), gain[:count])}, QUICK, 1, ["x", "noise"], [])
    assert amount.booster is None
    expected = gain[:count].mean() if count else 3.0  # nobody expanded yet: one unit of money a month
    assert amount.expected(matrix, 90) == pytest.approx(np.full(29, expected))
    assert amount.expected(matrix, 180) == pytest.approx(np.full(29, 2 * expected))
    assert fit_amount(matrix, {}, QUICK, 1, ["x", "noise"], []).booster is None
