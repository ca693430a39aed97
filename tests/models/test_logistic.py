"""The baseline on its own feet: the same probabilities as scikit-learn, without scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from models.hazard import EDGES, NEVER, person_periods
from models.logistic import PLAIN_PENALTY, LogisticHazard, fit_logistic, fit_logistic_hazard


def _world(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    matrix = np.column_stack([rng.lognormal(2, 1.5, n), rng.normal(0, 30, n), np.full(n, 7.0), np.full(n, np.nan)])
    matrix[rng.random(n) < 0.2, 1] = np.nan
    chance = 1 / (1 + np.exp(-(np.log1p(matrix[:, 0]) - 2.5)))
    return matrix, (rng.random(n) < chance).astype(float)


def _design_by_hand(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Signed log, standardised by the known values of training, null at the mean, then one flag for each column that
    was null in training."""
    columns, flags = [], []
    for j in range(train.shape[1]):
        known = [math.copysign(math.log1p(abs(v)), v) for v in train[:, j] if not math.isnan(v)]
        mean = sum(known) / len(known) if known else 0.0
        spread = math.sqrt(sum((v - mean) ** 2 for v in known) / len(known)) if known else 0.0
        spread = spread if spread > 1e-9 else 1.0
        columns.append(
            [0.0 if math.isnan(v) else (math.copysign(math.log1p(abs(v)), v) - mean) / spread for v in rows[:, j]]
        )
        if any(math.isnan(v) for v in train[:, j]):
            flags.append([float(math.isnan(v)) for v in rows[:, j]])
    return np.array([*columns, *flags]).T


def test_it_says_what_scikit_learn_says_on_the_same_design() -> None:
    matrix, label = _world()
    train, rows = matrix[:400], matrix[400:]
    peer = LogisticRegression(C=1 / PLAIN_PENALTY, max_iter=300, tol=1e-8).fit(
        _design_by_hand(train, train), label[:400]
    )
    said = fit_logistic(train, label[:400]).predict(rows)
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
    kind = np.random.default_rng(2).integers(0, 3, len(matrix)).astype(float)
    label = np.where(kind == 2, 1.0, label)
    model = fit_logistic(np.column_stack([matrix, kind]), label, [4], 1.0)
    rows = np.column_stack([matrix, kind])
    told = model.contributions(rows)
    assert told.shape == rows.shape
    assert np.abs(model.raw(rows) - told.sum(axis=1) - model.intercept).max() < 1e-9
    assert told[kind == 2, 4].min() > told[kind != 2, 4].max()


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
    )
    assert isinstance(hazard, LogisticHazard)
    again = LogisticHazard.from_json(json.loads(json.dumps(hazard.to_json())))
    assert np.array_equal(again.log_odds(matrix), hazard.log_odds(matrix))
    assert hazard.log_odds(matrix).shape == (len(matrix), len(EDGES) - 1)
