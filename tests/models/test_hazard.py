"""Time to expansion: which rows teach, what is recovered, and that the probabilities add up on any hazards whatever."""

from __future__ import annotations

from itertools import pairwise

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.boosted import Boosted, fit_boosted
from models.boosting import BoosterParams
from models.calibration import Calibration
from models.hazard import (
    CONTROLS,
    EDGES,
    LEAST_EXPOSURE,
    NEVER,
    REASON_INTERVAL,
    Hazard,
    chance,
    incidence,
    person_periods,
)
from models.logistic import fit_logistic_hazard
from tests.models.made_features import days_or_never

QUICK = BoosterParams(rounds=30, min_data_in_leaf=50)
HORIZONS = EDGES[1:]
PAIRS = arrays(np.float64, (12, 2, len(EDGES) - 1), elements=st.floats(0, 1))
DAY = st.one_of(st.integers(0, 400), st.just(int(NEVER)))


def taught_by_loops(event: int, other: int, observed: int) -> list[tuple[int, int, int]]:
    """(interval, label, days observed of it) of one snapshot, interval by interval until its story ends."""
    taught = []
    for k, (start, end) in enumerate(pairwise(EDGES)):
        seen = min(observed, end)
        if seen - start < LEAST_EXPOSURE or min(event, other) < start:
            break
        taught.append((k, int(event < seen and event <= other), seen - start))
    return taught


def fit(
    matrix: np.ndarray, event: np.ndarray, other: np.ndarray, observed: np.ndarray, params: BoosterParams, names: str
) -> Hazard:
    return fit_boosted(matrix, person_periods(event, other, observed), params, 1, list(names), []).hazard


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(DAY, DAY, st.integers(-40, 420)), min_size=1, max_size=8))
def test_a_snapshot_teaches_what_a_walk_through_its_intervals_would(stories: list[tuple[int, int, int]]) -> None:
    event, other, observed = (np.array(column, dtype=np.int64) for column in zip(*stories, strict=True))
    rows = person_periods(event, other, observed)
    days = np.round(rows.months * 30).astype(int)
    found = sorted(
        zip(*(part.astype(int).tolist() for part in (rows.row, rows.interval, rows.label, days)), strict=True)
    )
    assert found == sorted((i, *taught) for i, story in enumerate(stories) for taught in taught_by_loops(*story))
    assert all(EDGES[k] + seen <= observed[i] for i, k, _, seen in found), "a day not yet observed taught something"


def test_thinning_keeps_every_event_and_the_weight_of_all_the_others() -> None:
    rng = np.random.default_rng(4)
    event = np.where(rng.random(9_000) < 0.005, rng.integers(0, 360, 9_000), NEVER)
    rows = person_periods(event, np.full(9_000, NEVER), np.full(9_000, 400))
    few = rows.thinned(1)
    assert few.label.sum() == rows.label.sum() > 0
    assert len(few.label) == (CONTROLS + 1) * rows.label.sum()
    assert few.weight.sum() == pytest.approx(len(rows.label))
    assert few.base == pytest.approx(rows.base, abs=0.03)
    assert few.thinned(1) is few


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_probabilities_never_fall_with_the_horizon_and_never_sum_past_one(hazards: np.ndarray) -> None:
    expand, churn = incidence(hazards[:, 0], hazards[:, 1], HORIZONS)
    for earlier, later in pairwise(HORIZONS):
        assert (expand[later] >= expand[earlier]).all()
        assert (churn[later] >= churn[earlier]).all()
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
    true = 1 - np.exp(-rate * np.diff(EDGES))
    exposed = np.array([(observed >= end).sum() for end in EDGES[1:]]) * np.exp(-(rate + 0.001) * np.array(EDGES[:-1]))
    trees = fit(noise, event, other, observed, QUICK, "xy")
    ridge = fit_logistic_hazard(noise, person_periods(event, other, observed), []).hazard
    for hazard in (trees, ridge):
        said = chance(hazard.log_odds(noise)).mean(axis=0)
        assert (np.abs(said - true) < 5 * np.sqrt(true / exposed)).all(), (said, true)


def test_a_planted_effect_is_found_in_its_direction_and_size() -> None:
    rng = np.random.default_rng(2)
    strong = (rng.random(12_000) < 0.3).astype(float)
    matrix = np.column_stack([strong, rng.normal(size=12_000)])
    event, other, observed = _lives(np.where(strong > 0, 0.002, 0.0005), seed=3)
    params = QUICK.model_copy(update={"feature_fraction": 1.0, "learning_rate": 0.1, "lambda_l2": 5.0})
    taught = person_periods(event, other, observed)
    said = chance(fit_boosted(matrix, taught, params, 1, ["strong", "noise"], []).hazard.log_odds(matrix))
    expand, _ = incidence(said, np.zeros_like(said), (180,))
    assert expand[180][strong > 0].mean() == pytest.approx(1 - np.exp(-0.36), rel=0.12)
    assert expand[180][strong == 0].mean() == pytest.approx(1 - np.exp(-0.09), rel=0.12)


def test_without_a_single_event_the_hazard_is_zero_everywhere() -> None:
    never = np.full(50, NEVER)
    taught = person_periods(never, never, np.full(50, 400))
    for hazard in (
        fit_boosted(np.zeros((50, 1)), taught, QUICK, 1, ["x"], []).hazard,
        fit_logistic_hazard(np.zeros((50, 1)), taught, []).hazard,
    ):
        assert chance(Calibration(0.5, 2.0, 3.0)(hazard.log_odds(np.zeros((3, 1))))).sum() == 0
        assert hazard.contributions(np.zeros((3, 1))).tolist() == [[0.0], [0.0], [0.0]]


@pytest.fixture(scope="module")
def small() -> tuple[Hazard, np.ndarray]:
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(4_000, 3))
    matrix[rng.random((4_000, 3)) < 0.1] = np.nan
    event, other, observed = _lives(0.001 * np.exp(np.nan_to_num(matrix[:, 0])), seed=6)
    return fit(matrix, event, other, observed, QUICK, "xyz"), matrix


def test_a_model_read_back_from_text_predicts_the_very_same(small: tuple[Hazard, np.ndarray]) -> None:
    hazard, matrix = small
    assert isinstance(hazard, Boosted)
    assert len({booster.model_to_string() for booster in hazard.boosters}) == QUICK.seeds
    again = Boosted(tuple(lgb.Booster(model_str=b.model_to_string()) for b in hazard.boosters), hazard.base)
    assert np.array_equal(again.log_odds(matrix), hazard.log_odds(matrix))


def test_contributions_of_features_alone_and_one_constant_add_up_to_the_log_odds_of_the_hazard(
    small: tuple[Hazard, np.ndarray],
) -> None:
    hazard, matrix = small
    log_odds = hazard.log_odds(matrix)[:, REASON_INTERVAL]
    assert np.abs(hazard.raw(matrix) - log_odds).max() < 1e-9
    told = hazard.contributions(matrix)
    assert told.shape == matrix.shape
    assert np.ptp(log_odds - told.sum(axis=1)) < 1e-6


def test_a_feature_declared_monotone_never_speaks_against_expansion(small: tuple[Hazard, np.ndarray]) -> None:
    _, matrix = small
    event, other, observed = _lives(0.001 * np.exp(-np.nan_to_num(matrix[:, 0])), seed=6)
    params = QUICK.model_copy(update={"monotone": ("x", "not there")})
    for said, falls in ((QUICK, True), (params, False)):
        hazard = fit(matrix, event, other, observed, said, "xyz")
        low, high = (np.column_stack([np.full(50, x), matrix[:50, 1:]]) for x in (-1.5, 1.5))
        gap = hazard.log_odds(high) - hazard.log_odds(low)
        assert (gap < 0).any() == falls
