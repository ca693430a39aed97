"""Money: expected increment = P(expand) x E[increment | expand], the second by LightGBM on log money with smearing."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from models.boosting import THREADS, BoosterParams, fit_booster

HORIZON_FEATURE = "log_horizon"
LEAST_ROWS = 30  # fewer, and every account is given the mean gain: money then ranks as probability does
NO_GAIN_KNOWN = 1.0 / 30  # one unit of money a month, where nobody has expanded yet
WINSOR = 0.995  # training amounts above this quantile are set to it; evaluation never is
BAND = (0.1, 0.9)  # quantiles of the multiplicative error told as the range of the amount


@dataclass(frozen=True)
class Amount:
    """E[increment | expand]. `smear`: total actual over total back-transformed in training (Duan 1983, as a ratio).
    `low`, `high`: 10 % and 90 % quantiles of actual over expected."""

    booster: lgb.Booster | None
    smear: float
    low: float
    high: float
    mean_a_day: float = 0.0  # gain of an account that expands, money a day of the horizon; serves without a booster

    def expected(self, matrix: np.ndarray, horizon: int) -> np.ndarray:
        """(n,) money in [as_of, as_of + horizon) if the account expands within it; never negative."""
        if self.booster is None or not len(matrix):
            return np.full(len(matrix), self.mean_a_day * horizon)
        raw = self.booster.predict(_rows(matrix, horizon), num_threads=THREADS)
        return np.asarray(self.smear * np.expm1(np.maximum(raw, 0.0)))


def fit_amount(
    matrix: np.ndarray,
    gains: dict[int, tuple[np.ndarray, np.ndarray]],
    params: BoosterParams,
    seed: int,
    names: list[str],
    categories: list[int],
) -> Amount:
    """Fits on snapshots that expanded.

    Args:
        gains: by horizon, the rows that expanded within it and their realised increments (signed money); a negative
            increment of an account that expanded counts as zero gain.
    """
    rows = np.concatenate([row for row, _ in gains.values()]) if gains else np.empty(0, dtype=int)
    if len(rows) < LEAST_ROWS:
        daily = np.concatenate([[], *(np.maximum(gain, 0.0) / horizon for horizon, (_, gain) in gains.items())])
        return Amount(None, 1.0, 1.0, 1.0, float(daily.mean()) if daily.sum() > 0 else NO_GAIN_KNOWN)
    data = np.concatenate([_rows(matrix[row], h) for h, (row, _) in gains.items()])
    gain = np.maximum(np.concatenate([g for _, g in gains.values()]), 0.0)
    capped = np.minimum(gain, np.quantile(gain, WINSOR))
    small = params.model_copy(update={"num_leaves": 7, "min_data_in_leaf": max(20, len(rows) // 50)})
    booster = fit_booster(
        data, np.log1p(capped), "regression", small, seed, names=[*names, HORIZON_FEATURE], categories=categories
    )
    back = np.expm1(np.maximum(booster.predict(data, num_threads=THREADS), 0.0))
    smear = float(capped.sum() / max(back.sum(), 1e-9))
    ratio = gain / np.maximum(smear * back, 1e-9)
    low, high = (float(q) for q in np.quantile(ratio, BAND))
    return Amount(booster, smear, low, high)


def _rows(matrix: np.ndarray, horizon: int) -> np.ndarray:
    return np.column_stack([matrix, np.full(len(matrix), np.log(horizon))])
