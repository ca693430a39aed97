"""The baseline on its own feet: the same probabilities as scikit-learn, without scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from models.logistic import fit_logistic


def _world(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    matrix = np.column_stack([rng.lognormal(2, 1.5, n), rng.normal(0, 30, n), np.full(n, 7.0), np.full(n, np.nan)])
    matrix[rng.random(n) < 0.2, 1] = np.nan
    chance = 1 / (1 + np.exp(-(np.log1p(matrix[:, 0]) - 2.5)))
    return matrix, (rng.random(n) < chance).astype(float)


def _design_by_hand(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Signed log, standardised by the known values of training, null at the mean, then one flag a column."""
    columns, flags = [], []
    for j in range(train.shape[1]):
        known = [math.copysign(math.log1p(abs(v)), v) for v in train[:, j] if not math.isnan(v)]
        mean = sum(known) / len(known) if known else 0.0
        spread = math.sqrt(sum((v - mean) ** 2 for v in known) / len(known)) if known else 0.0
        spread = spread if spread > 1e-9 else 1.0
        columns.append(
            [0.0 if math.isnan(v) else (math.copysign(math.log1p(abs(v)), v) - mean) / spread for v in rows[:, j]]
        )
        flags.append([float(math.isnan(v)) for v in rows[:, j]])
    return np.array([*columns, *flags]).T


def test_it_says_what_scikit_learn_says_on_the_same_design() -> None:
    matrix, label = _world()
    train, rows = matrix[:400], matrix[400:]
    peer = LogisticRegression(C=0.1, max_iter=300).fit(_design_by_hand(train, train), label[:400])
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
