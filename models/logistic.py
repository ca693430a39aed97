"""Ridge logistic regression on log features: the baseline that a boosted model must beat on a plain world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Logistic:
    """Weights over signed-log, standardised columns plus one missing flag a column, and an intercept."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: float

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) probability."""
        return np.asarray(1.0 / (1.0 + np.exp(-self.raw(matrix))))

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds."""
        return np.asarray(_design(matrix, self.mean, self.scale) @ self.weights + self.intercept)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, k) terms of the linear sum, value and missing flag of a column together: `raw` less the intercept."""
        terms = _design(matrix, self.mean, self.scale) * self.weights
        return np.asarray(terms[:, : matrix.shape[1]] + terms[:, matrix.shape[1] :])


def fit_logistic(matrix: np.ndarray, label: np.ndarray) -> Logistic:
    """Training only: imports scikit-learn.

    Args:
        matrix: (n, k) numeric features, categories excluded; NaN is null. label: (n,) with both classes.
    """
    from sklearn.linear_model import LogisticRegression

    logged = np.ma.masked_invalid(_log(matrix))
    mean = np.asarray(logged.mean(axis=0).filled(0.0))
    scale = np.asarray(logged.std(axis=0).filled(0.0))
    scale = np.where(scale > 1e-9, scale, 1.0)
    model = LogisticRegression(C=0.1, max_iter=300).fit(_design(matrix, mean, scale), label)
    return Logistic(mean, scale, model.coef_[0], float(model.intercept_[0]))


def _log(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(matrix) * np.log1p(np.abs(matrix)))


def _design(matrix: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    standard = np.nan_to_num((_log(matrix) - mean) / scale)
    return np.column_stack([standard, np.isnan(matrix).astype(np.float64)])
