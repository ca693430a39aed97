"""Time to expansion: which rows teach, what is recovered, and that the probabilities add up on any hazards whatever."""

from __future__ import annotations

from itertools import pairwise

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.boosting import BoosterParams
from models.hazard import EDGES, NEVER, REASON_INTERVAL, Hazard, fit_hazard, incidence, person_periods
from tests.models.made_features import days_or_never

QUICK = BoosterParams(rounds=30, min_data_in_leaf=50)
HORIZONS = EDGES[1:]
PAIRS = arrays(np.float64, (12, 2, len(EDGES) - 1), elements=st.floats(0, 1))
DAY = st.one_of(st.integers(0, 400), st.just(int(NEVER)))


def taught_by_loops(event: int, other: int, observed: int) -> list[tuple[int, int]]:
    """(interval, label) of one snapshot, interval by interval until its story ends."""
    taught = []
    for k, (start, end) in enumerate(pairwise(EDGES)):
        if observed < end or min(event, other) < start:
            break
        taught.append((k, int(event < end and event <= other)))
    return taught


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(DAY, DAY, st.integers(-40, 420)), min_size=1, max_size=8))
def test_a_snapshot_teaches_what_a_walk_through_its_intervals_would(stories: list[tuple[int, int, int]]) -> None:
    event, other, observed = (np.array(column, dtype=np.int64) for column in zip(*stories, strict=True))
    row, interval, label = person_periods(event, other, observed)
    found = sorted(zip(row.tolist(), interval.tolist(), label.astype(int).tolist(), strict=True))
    assert found == sorted((i, k, y) for i, story in enumerate(stories) for k, y in taught_by_loops(*story))
    assert all(EDGES[k + 1] <= observed[i] for i, k, _ in found), "an interval still open taught something"


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_probabilities_never_fall_with_the_horizon_and_never_sum_past_one(hazards: np.ndarray) -> None:
    expand, churn = incidence(hazards[:, 0], hazards[:, 1], HORIZONS)
    for earlier, later in pairwise(HORIZONS):
        assert (expand[later] >= expand[earlier]).all()
        assert (churn[later] >= churn[earlier] - 1e-12).all()
    for h in HORIZONS:
        assert (expand[h] + churn[h] <= 1).all()
        assert (expand[h] >= 0).all()
        assert (churn[h] >= 0).all()


@settings(max_examples=50, deadline=None)
@given(PAIRS)
def test_incidence_is_the_recursion_of_the_paper(hazards: np.ndarray) -> None:
    expand, churn = incidence(hazards[:, 0], hazards[:, 1], HORIZONS)
    for i in range(len(hazards)):
        alive, by_expand, by_churn = 1.0, 0.0, 0.0
        for k, h in enumerate(HORIZONS):
            grows, closes = hazards[i, 0, k], hazards[i, 1, k]
            if grows + closes > 1:
                grows, closes = grows / (grows + closes), closes / (grows + closes)
            by_expand, by_churn = by_expand + alive * grows, by_churn + alive * closes
            alive *= 1 - grows - closes
            assert expand[h][i] == pytest.approx(by_expand, abs=1e-12)
            assert churn[h][i] == pytest.approx(by_churn, abs=1e-12)


def test_incidence_is_what_a_thousand_lives_turn_out_to_be() -> None:
    rng = np.random.default_rng(3)
    hazard = np.tile(rng.uniform(0.02, 0.2, (2, 1, len(EDGES) - 1)), (1, 40_000, 1))
    fate, dice = np.zeros(40_000), rng.random((len(EDGES) - 1, 40_000))
    for k in range(EDGES.index(180)):
        grows, closes = hazard[0, 0, k], hazard[1, 0, k]
        fate = np.where(fate > 0, fate, np.where(dice[k] < grows, 1, np.where(dice[k] < grows + closes, 2, 0)))
    expand, churn = incidence(hazard[0], hazard[1], (180,))
    assert (fate == 1).mean() == pytest.approx(expand[180][0], abs=0.01)
    assert (fate == 2).mean() == pytest.approx(churn[180][0], abs=0.01)


def _lives(rate_per_day: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days to the event and to closure at constant rates, and observation that ends at any day up to 400."""
    rng = np.random.default_rng(seed)
    n = len(rate_per_day)
    event, other = rng.exponential(1 / rate_per_day).astype(np.int64), rng.exponential(1000, n).astype(np.int64)
    observed = rng.integers(0, 400, n)
    return (
        days_or_never(event, (event < observed) & (event <= other)),
        days_or_never(other, (other < observed) & (other < event)),
        observed,
    )


def test_a_constant_rate_is_recovered_from_histories_cut_short() -> None:
    n, rate = 12_000, 0.001
    noise = np.random.default_rng(0).normal(size=(n, 2))
    event, other, observed = _lives(np.full(n, rate), seed=1)
    hazard = fit_hazard(noise, event, other, observed, QUICK, 1, ["x", "y"], [])
    said = hazard.by_interval(noise).mean(axis=0)
    true = 1 - np.exp(-rate * np.diff(EDGES))
    exposed = np.array([(observed >= end).sum() for end in EDGES[1:]]) * np.exp(-(rate + 0.001) * np.array(EDGES[:-1]))
    assert (np.abs(said - true) < 5 * np.sqrt(true / exposed)).all(), (said, true)


def test_a_planted_effect_is_found_in_its_direction_and_size() -> None:
    rng = np.random.default_rng(2)
    strong = (rng.random(12_000) < 0.3).astype(float)
    matrix = np.column_stack([strong, rng.normal(size=12_000)])
    event, other, observed = _lives(np.where(strong > 0, 0.002, 0.0005), seed=3)
    params = QUICK.model_copy(update={"feature_fraction": 1.0, "learning_rate": 0.1})
    hazard = fit_hazard(matrix, event, other, observed, params, 1, ["strong", "noise"], [])
    said = hazard.by_interval(matrix)
    expand, _ = incidence(said, np.zeros_like(said), (180,))
    assert expand[180][strong > 0].mean() == pytest.approx(1 - np.exp(-0.36), rel=0.12)
    assert expand[180][strong == 0].mean() == pytest.approx(1 - np.exp(-0.09), rel=0.12)


def test_without_a_single_event_the_hazard_is_zero_everywhere() -> None:
    never = np.full(50, NEVER)
    hazard = fit_hazard(np.zeros((50, 1)), never, never, np.full(50, 400), QUICK, 1, ["x"], [])
    assert hazard.by_interval(np.zeros((3, 1))).sum() == 0
    assert hazard.contributions(np.zeros((3, 1))).tolist() == [[0.0], [0.0], [0.0]]


@pytest.fixture(scope="module")
def small() -> tuple[Hazard, np.ndarray]:
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(4_000, 3))
    matrix[rng.random((4_000, 3)) < 0.1] = np.nan
    event, other, observed = _lives(0.001 * np.exp(np.nan_to_num(matrix[:, 0])), seed=6)
    return fit_hazard(matrix, event, other, observed, QUICK, 1, ["x", "y", "z"], []), matrix


def test_a_model_read_back_from_text_predicts_the_very_same(small: tuple[Hazard, np.ndarray]) -> None:
    hazard, matrix = small
    assert hazard.booster is not None
    again = Hazard(lgb.Booster(model_str=hazard.booster.model_to_string()), hazard.base)
    assert np.array_equal(again.by_interval(matrix), hazard.by_interval(matrix))


def test_contributions_of_features_alone_and_one_constant_add_up_to_the_log_odds_of_the_hazard(
    small: tuple[Hazard, np.ndarray],
) -> None:
    hazard, matrix = small
    said = hazard.by_interval(matrix)[:, REASON_INTERVAL]
    log_odds = np.log(said / (1 - said))
    assert np.abs(hazard.raw(matrix) - log_odds).max() < 1e-9
    told = hazard.contributions(matrix)
    assert told.shape == matrix.shape
    assert np.ptp(log_odds - told.sum(axis=1)) < 1e-6


def test_a_shift_moves_the_log_odds_of_every_interval_by_just_that(small: tuple[Hazard, np.ndarray]) -> None:
    hazard, matrix = small
    plain, moved = hazard.by_interval(matrix), hazard.by_interval(matrix, shift=0.7)
    assert np.allclose(np.log(moved / (1 - moved)) - np.log(plain / (1 - plain)), 0.7, atol=1e-9)
