"""The baseline on its own feet: the same probabilities as scikit-learn, without scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from models.boosted import fit_boosted
from models.boosting import BoosterParams
from models.errors import BundleRefused
from models.hazard import EDGES, NEVER, chance, person_periods, said_of
from models.logistic import (
    FIRST,
    PLAIN_PENALTY,
    SPARE,
    SPREAD,
    Design,
    LogisticHazard,
    fit_logistic,
    fit_logistic_hazard,
)
from training.ceiling import divergence


def _world(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    matrix = np.column_stack([rng.lognormal(2, 1.5, n), rng.normal(0, 30, n), np.full(n, 7.0), np.full(n, np.nan)])
    matrix[rng.random(n) < 0.2, 1] = np.nan
    chance = 1 / (1 + np.exp(-(np.log1p(matrix[:, 0]) - 2.5)))
    matrix = np.column_stack([matrix, rng.beta(0.3, 40, n)])  # a share: seldom more than a hundredth
    return matrix, (rng.random(n) < chance).astype(float)


def _design_by_hand(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Signed log of multiples of the unit, which is the lower quartile of the magnitudes or 1, standardised by the
    known values of training, null at the mean, then one flag for each column that was null in training."""
    columns, flags = [], []
    for j in range(train.shape[1]):
        sizes = sorted(abs(v) for v in train[:, j] if not math.isnan(v) and v != 0)
        at = 0.25 * (len(sizes) - 1)
        low, up = (sizes[math.floor(at)], sizes[math.ceil(at)]) if sizes else (1.0, 1.0)
        unit = min(1.0, low + (up - low) * (at - math.floor(at)))
        known = [math.copysign(math.log1p(abs(v) / unit), v) for v in train[:, j] if not math.isnan(v)]
        mean = sum(known) / len(known) if known else 0.0
        spread = math.sqrt(sum((v - mean) ** 2 for v in known) / len(known)) if known else 0.0
        spread = spread if spread > 1e-9 else 1.0
        columns.append(
            [
                0.0 if math.isnan(v) else (math.copysign(math.log1p(abs(v) / unit), v) - mean) / spread
                for v in rows[:, j]
            ]
        )
        if any(math.isnan(v) for v in train[:, j]):
            flags.append([float(math.isnan(v)) for v in rows[:, j]])
    return np.array([*columns, *flags]).T


@pytest.mark.parametrize("n", [400, FIRST * SPARE + 1])
def test_it_says_what_scikit_learn_says_on_the_same_design(n: int) -> None:
    """Of many rows, too, of which a part tells where to start from."""
    matrix, label = _world(n + 200)
    train, rows = matrix[:n], matrix[n:]
    peer = LogisticRegression(C=1 / PLAIN_PENALTY, max_iter=300, tol=1e-8).fit(_design_by_hand(train, train), label[:n])
    said = fit_logistic(train, label[:n]).predict(rows)
    assert said == pytest.approx(peer.predict_proba(_design_by_hand(train, rows))[:, 1], abs=1e-4)


def test_its_weights_applied_by_hand_give_its_probabilities() -> None:
    matrix, label = _world()
    model = fit_logistic(matrix, label)
    design = _design_by_hand(matrix, matrix)
    by_hand = [1 / (1 + math.exp(-(float(row @ model.weights) + model.intercept))) for row in design]
    assert model.predict(matrix) == pytest.approx(by_hand, abs=1e-12)


def test_a_column_never_known_and_one_never_varying_say_nothing_and_break_nothing() -> None:
    matrix, label = _world()
    model = fit_logistic(matrix, label)
    assert np.isfinite(model.predict(matrix)).all()
    assert np.abs(model.weights[[2, 3]]).max() < 1e-9


def test_categories_speak_level_by_level_and_all_columns_of_a_feature_explain_it_together() -> None:
    matrix, label = _world()
    place = matrix.shape[1]
    kind = np.random.default_rng(2).integers(0, 3, len(matrix)).astype(float)
    label = np.where(kind == 2, 1.0, label)
    model = fit_logistic(np.column_stack([matrix, kind]), label, [place], 1.0)
    rows = np.column_stack([matrix, kind])
    told = model.contributions(rows)
    assert told.shape == rows.shape
    assert np.abs(model.raw(rows) - told.sum(axis=1) - model.intercept).max() < 1e-9
    assert told[kind == 2, place].min() > told[kind != 2, place].max()


def test_a_row_is_told_the_same_alone_and_in_company() -> None:
    """Else the API would answer another number than the night before."""
    matrix, label = _world()
    model = fit_logistic(matrix, label)
    alone = np.concatenate([model.raw(matrix[i : i + 1]) for i in range(50)])
    assert np.array_equal(alone, model.raw(matrix)[:50])


def test_the_hazard_read_back_from_json_says_the_very_same() -> None:
    matrix, label = _world()
    event = np.where(label > 0, np.arange(len(label)) % 360, NEVER)
    hazard = fit_logistic_hazard(
        matrix, person_periods(event, np.full_like(event, NEVER), np.full(len(event), 400)), []
    ).hazard
    assert isinstance(hazard, LogisticHazard)
    again = LogisticHazard.from_json(json.loads(json.dumps(hazard.to_json())))
    assert np.array_equal(again.log_odds(matrix), hazard.log_odds(matrix))
    assert hazard.log_odds(matrix).shape == (len(matrix), len(EDGES) - 1)


SIGNS = ["users_28d", "users_90d", "user_days_28d", "user_days_90d", "tickets_90d", "tenure_days"]
NOISE = ["events_7d", "events_14d", "specialist_7d", "intent_7d", "plain_7d", "quantity_28d"] * 5


def _signs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four usage columns tell, those of other families are noise; the first interval's true chance."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(0, 1, (n, len(SIGNS) + len(NOISE)))
    rate = 0.0006 * np.exp(logs[:, :4].sum(axis=1) / 2)
    return np.exp(logs + 2), rate, rng.exponential(1 / rate).astype(int)


def test_a_family_that_tells_is_held_back_less_so_the_truth_is_nearer() -> None:
    """What an equal penalty for all cannot: noise is kept out without holding back what tells."""
    signs, _, day = _signs(3_000, 3)
    seen = np.where(day < 90, day, NEVER)
    taught = person_periods(seen, np.full_like(seen, NEVER), np.full(len(seen), 90))
    there, true_rate, _ = _signs(3_000, 4)
    true = -np.expm1(-90 * true_rate)
    equal, learned = (fit_logistic_hazard(signs, taught, [], 100.0, names).hazard for names in (None, [*SIGNS, *NOISE]))
    far, near = (divergence(true, chance(hazard.at(there, 0))) for hazard in (equal, learned))
    assert near < 0.85 * far


def test_what_the_fit_says_of_its_own_rows_is_what_the_hazard_says_of_them() -> None:
    signs, _, day = _signs(1_000, 5)
    seen = np.where(day < 300, day, NEVER)
    taught = person_periods(seen, np.full_like(seen, NEVER), np.full(len(seen), 250))
    names = [*SIGNS, *(f"noise_{k}" for k in range(signs.shape[1] - len(SIGNS)))]
    ridge = fit_logistic_hazard(signs, taught, [], names=names)
    trees = fit_boosted(signs, taught, BoosterParams(rounds=20), 1, names, [])
    assert isinstance(ridge.hazard, LogisticHazard)
    assert ridge.hazard.pace != 0, "the age has a weight of its own in every interval"
    for fit in (ridge, trees):
        assert fit.said == pytest.approx(said_of(fit.hazard, signs, taught), abs=1e-9)


@pytest.mark.parametrize(("days", "paced"), [(100, False), (190, False), (300, True)])
def test_how_the_weight_of_age_changes_is_not_told_from_a_short_history(days: int, paced: bool) -> None:
    """A line through two intervals would be drawn on to the fourth, where chances would run away."""
    signs, _, day = _signs(3_000, 6)
    seen = np.where(day < days, day, NEVER)
    taught = person_periods(seen, np.full_like(seen, NEVER), np.full(len(seen), days))
    hazard = fit_logistic_hazard(signs, taught, [], names=[*SIGNS, *NOISE]).hazard
    assert isinstance(hazard, LogisticHazard)
    assert (hazard.clock is not None) == paced


def test_what_hardly_anyone_did_is_bounded_where_many_do_it() -> None:
    """One account of training in a thousand did it a little; tonight all do."""
    rare = np.zeros((1_000, 1))
    rare[0] = 2.0
    design, _ = Design.learn(rare, [])
    assert np.abs(design.columns(np.full((10, 1), 2.0))).max() <= np.log1p(2.0) / SPREAD


def test_a_ridge_written_by_another_version_is_refused_by_name() -> None:
    matrix, label = _world()
    event = np.where(label > 0, 10, NEVER)
    taught = person_periods(event, np.full_like(event, NEVER), np.full(len(event), 400))
    said = fit_logistic_hazard(matrix, taught, []).hazard.to_json()
    del said["design"]["unit"]
    with pytest.raises(BundleRefused, match=r"a logistic design is told by .*Train it again"):
        LogisticHazard.from_json(said)
