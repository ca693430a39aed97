"""Money if an account expands: planted amounts come back in total, whatever is negative, huge or scarce."""

from __future__ import annotations

import json
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest

from models.boosting import BoosterParams
from models.errors import BundleRefused
from models.files import amount_from_json
from models.increment import STEP, WINSOR, Amount, fit_amount, fit_tweedie

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
    """The total is matched to the capped amounts, out of fold."""
    matrix, gain = _planted(2_000, seed=5)
    capped = np.minimum(gain, np.quantile(gain, WINSOR))
    assert _fit(matrix, gain).expected(matrix, 180).sum() == pytest.approx(capped.sum(), rel=0.03)


def test_the_total_and_the_range_follow_a_later_window_in_which_all_gained_twice_as_much() -> None:
    amount = _fit(*_planted(3_000, seed=1))
    matrix, gain = _planted(6_000, seed=2)
    expected = amount.expected(matrix, 180)
    moved = amount.brought_into_line(expected, 1.6 * gain)
    assert moved.expected(matrix, 180).sum() == pytest.approx(1.6 * gain.sum(), rel=0.05)
    fresh, later = _planted(20_000, seed=3)
    said = moved.expected(fresh, 180)
    inside = (1.6 * later >= said * moved.low) & (1.6 * later <= said * moved.high)
    assert inside.mean() == pytest.approx(0.8, abs=0.03)


def test_a_handful_of_expansions_moves_the_total_by_little_and_the_range_not_at_all() -> None:
    amount = _fit(*_planted(3_000, seed=1))
    moved = amount.brought_into_line(np.full(5, 100.0), np.full(5, 200.0))
    assert 1 < moved.smear / amount.smear < 1.1
    assert (moved.low, moved.high) == (amount.low, amount.high)
    assert amount.brought_into_line(np.empty(0), np.empty(0)) is amount


def test_smearing_is_told_by_accounts_that_were_not_learned_from() -> None:
    """Ten snapshots an account share its luck: trees that saw one know the other nine."""
    rng = np.random.default_rng(8)
    luck = np.exp(rng.normal(0, 1.2, 200))
    account = np.repeat(np.arange(200), 10)
    matrix = np.column_stack([luck[account] + 1e-6 * rng.normal(size=2_000), rng.normal(size=2_000)])
    gain = 100 * np.exp(rng.normal(0, 1.0, 200))[account]
    apart = fit_amount(matrix, {180: (np.arange(2_000), gain)}, QUICK, 1, ["x", "noise"], [], account)
    mixed = fit_amount(matrix, {180: (np.arange(2_000), gain)}, QUICK, 1, ["x", "noise"], [])
    assert apart.low < mixed.low < mixed.high < apart.high


def test_tweedie_gives_everyone_at_risk_the_gain_of_its_kind() -> None:
    rng = np.random.default_rng(9)
    kind = rng.integers(0, 2, 6_000).astype(float)
    gain = np.where(rng.random(6_000) < 0.05 + 0.1 * kind, rng.lognormal(5, 0.5, 6_000), 0.0)
    matrix = np.column_stack([kind, rng.normal(size=6_000)])
    said = fit_tweedie(matrix, gain, QUICK.model_copy(update={"rounds": 120}), 1, ["kind", "noise"], []).predict(matrix)
    for value in (0, 1):
        assert said[kind == value].sum() == pytest.approx(gain[kind == value].sum(), rel=0.15)


def test_a_longer_horizon_learned_from_larger_amounts_says_more() -> None:
    matrix, gain = _planted(2_000, seed=6)
    rows = np.arange(2_000)
    amount = fit_amount(matrix, {90: (rows, gain), 180: (rows, 2 * gain)}, QUICK, 1, ["x", "noise"], [])
    assert amount.expected(matrix, 180).sum() == pytest.approx(2 * amount.expected(matrix, 90).sum(), rel=0.1)


LADDER = (0.0, 30.0, 120.0, 500.0)  # run-rates of the tiers


def _on_the_ladder(n: int, rates: tuple[float, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Accounts half-way to the next tier, which lies at five times their run-rate, from 20 a month on; what half a year
    on it brings over their run-rate is 1.5 times the tier's floor at the median. Lower rates are lower tiers."""
    rng = np.random.default_rng(seed)
    rate = rng.choice(rates, n)
    floor = np.where(rate > 0, 5 * rate, 20.0)
    matrix = np.column_stack([rate, floor - rate, np.searchsorted(LADDER, rate)])
    return matrix, 6 * floor * rng.lognormal(np.log(1.5), 0.5, n)


def _of_tiers(counts: dict[int, int], rise: dict[int, float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Accounts by tier, the gains of some multiplied by a factor of their tier that no other column tells."""
    parts = [(tier, _on_the_ladder(count, LADDER[tier : tier + 1], seed + tier)) for tier, count in counts.items()]
    gain = np.concatenate([of * rise.get(tier, 1.0) for tier, (_, of) in parts])
    return np.concatenate([matrix for _, (matrix, _) in parts]), gain


def _held_out(counts: dict[int, int], rise: dict[int, float], tier: int) -> float:
    """Expected over gained of many fresh accounts of a tier."""
    matrix, gain = _of_tiers(counts, rise, seed=20)
    amount = fit_amount(matrix, {180: (np.arange(len(gain)), gain)}, QUICK, 1, list(STEP), [])
    fresh, came = _of_tiers({tier: 4_000}, rise, seed=30)
    return float(amount.expected(fresh, 180).sum() / came.sum())


def test_a_tier_of_few_accounts_that_gain_less_than_its_step_says_is_told_apart_from_the_many() -> None:
    few, many = _held_out({0: 900, 1: 300, 3: 25}, {3: 0.4}, 3), _held_out({0: 900, 1: 300, 3: 25}, {3: 0.4}, 0)
    assert 1 < few < 1.5, "as trees tell it, of leaves of twenty rows and more: 2.0"
    assert many == pytest.approx(1.0, rel=0.1)
    assert _held_out({0: 900, 1: 300, 3: 1}, {3: 0.4}, 3) > few, "one account is hardly believed"


def test_a_tier_beyond_those_that_taught_has_no_factor() -> None:
    matrix, gain = _of_tiers({0: 300, 1: 100}, {1: 3.0}, seed=40)
    amount = fit_amount(matrix, {180: (np.arange(len(gain)), gain)}, QUICK, 1, list(STEP), [])
    assert len(amount.by_tier) == 2
    said = [replace(amount, by_tier=by).expected(_of_tiers({3: 5}, {}, seed=50)[0], 180) for by in (amount.by_tier, ())]
    assert np.array_equal(*said)


def _stepping(n: int, rates: tuple[float, ...], seed: int) -> Amount:
    matrix, gain = _on_the_ladder(n, rates, seed)
    return fit_amount(matrix, {180: (np.arange(n), gain)}, QUICK, 1, list(STEP), [])


@pytest.mark.parametrize("n", [20, 400])
def test_a_tier_that_nobody_has_left_yet_is_told_by_the_height_of_its_step(n: int) -> None:
    amount = _stepping(n, (0.0, 30.0), seed=11)
    matrix, gain = _on_the_ladder(4_000, (120.0, 500.0), seed=12)
    for rate in (120.0, 500.0):
        there = matrix[:, 0] == rate
        assert amount.expected(matrix, 180)[there].sum() == pytest.approx(gain[there].sum(), rel=0.25)


def test_text_and_json_bring_back_the_very_same_amount_and_one_told_otherwise_is_refused() -> None:
    amount, (matrix, _) = _stepping(400, (0.0, 30.0), seed=11), _on_the_ladder(50, (0.0, 120.0), seed=13)
    assert amount.booster is not None
    booster = lgb.Booster(model_str=amount.booster.model_to_string())
    said = json.loads(json.dumps(amount.to_json()))
    again = amount_from_json(said, {"amount": booster})
    assert np.array_equal(again.expected(matrix, 180), amount.expected(matrix, 180))
    with pytest.raises(BundleRefused, match="amount is told by high, low, mean_a_day, smear"):
        amount_from_json({"smear": 1.0, "low": 0.5, "high": 2.0, "mean_a_day": 3.0}, {})


def test_on_the_highest_tier_and_without_a_run_rate_money_is_still_told() -> None:
    amount = _stepping(400, (0.0, 30.0), seed=11)
    top, unknown, nothing = (np.array([row]) for row in ([900.0, np.nan, 4], [np.nan, 20.0, 0], [np.nan] * 3))
    assert amount.expected(top, 180)[0] > 900
    assert amount.expected(unknown, 180) == pytest.approx(amount.expected(np.array([[0.0, 20.0, 0]]), 180), rel=0.2)
    assert amount.expected(nothing, 180)[0] > 0


def test_the_money_of_every_horizon_adds_up_whether_growth_goes_on_or_fades() -> None:
    matrix, gain = _planted(4_000, seed=14)
    for growth in (0.4, -0.2):
        gains = {h: h / 30 * np.exp(growth * h / 90) * gain for h in (90, 180, 270, 360)}
        rows = {h: np.arange(1_000 * (h // 90 - 1), 1_000 * (h // 90)) for h in gains}
        amount = fit_amount(matrix, {h: (rows[h], gains[h][rows[h]]) for h in gains}, QUICK, 1, ["x", "noise"], [])
        for h, came in gains.items():
            assert amount.expected(matrix, h).sum() == pytest.approx(came.sum(), rel=0.1)


def test_two_accounts_at_a_long_horizon_hardly_tell_of_growth() -> None:
    matrix, gain = _planted(402, seed=15)
    seen = np.log(gain[400:].mean() / gain[:400].mean() * 10) / 3  # a quarter
    gains = {90: (np.arange(400), gain[:400]), 360: (np.arange(400, 402), 40 * gain[400:])}
    assert 0.2 < fit_amount(matrix, gains, QUICK, 1, ["x", "noise"], []).growth / seen < 0.5


@pytest.mark.parametrize("count", [0, 1, 29])
def test_with_fewer_than_thirty_expansions_every_account_is_given_their_mean(count: int) -> None:
    matrix, gain = _planted(29, seed=7)
    amount = fit_amount(matrix, {90: (np.arange(count), gain[:count])}, QUICK, 1, ["x", "noise"], [])
    assert amount.booster is None
    expected = gain[:count].mean() if count else 3.0  # nobody expanded yet: one unit, here of money a month
    assert amount.expected(matrix, 90) == pytest.approx(np.full(29, expected))
    assert amount.expected(matrix, 180) == pytest.approx(np.full(29, 2 * expected))
    assert fit_amount(matrix, {}, QUICK, 1, ["x", "noise"], []).booster is None
