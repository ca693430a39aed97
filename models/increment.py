"""Money: expected increment = P(expand) x E[increment | expand], the second in logs by trees and a ridge, averaged.

The mean of a back-transformed log is too low, so it is multiplied by total actual over total expected (Duan 1983, as a
ratio), told out of fold by account: in sample the trees have seen the amounts and the factor would come out too small.
Tweedie is the challenger: one model of the gain itself, whoever it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np

from models.boosting import THREADS, BoosterParams, fit_booster
from models.hazard import thin
from models.logistic import Design, linear

HORIZON_FEATURE = "log_horizon"
LEAST_ROWS = 30  # fewer, and every account is given the mean gain: money then ranks as probability does
NO_GAIN_KNOWN = 1.0 / 30  # one unit of money a month, where nobody has expanded yet
WINSOR = 0.995  # training amounts above this quantile are set to it; evaluation never is
BAND = (0.1, 0.9)  # quantiles of the multiplicative error told as the range of the amount
FOLDS = 3  # by account, for the smearing
PENALTY = 100.0  # of the ridge on log amounts
SHARES = (0.5, 0.25, 0.75, 0.0, 1.0)  # of the ridge; the best out of fold is taken
HALF_TRUST = 200  # accounts of a later window whose total is half believed: a few large ones make it; docs/adr/0016
TWEEDIE_POWER = 1.5


@dataclass(frozen=True)
class Line:
    """A linear sum over a design's columns and the log horizon: log1p of money."""

    design: Design
    weights: tuple[float, ...]
    intercept: float
    least: float
    most: float  # of training; a line goes on for ever, and amounts are told in logs

    def raw(self, matrix: np.ndarray, horizon: np.ndarray) -> np.ndarray:
        said = linear(_columns(self.design, matrix, horizon), np.array(self.weights)) + self.intercept
        return np.clip(said, self.least, self.most)

    def to_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("intercept", "least", "most")}
        return {"design": self.design.to_json(), "weights": list(self.weights), **plain}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Line:
        return cls(**said | {"design": Design.from_json(said["design"]), "weights": tuple(said["weights"])})


@dataclass(frozen=True)
class Amount:
    """E[increment | expand]. `smear`: total actual over total back-transformed. `low`, `high`: 10 % and 90 % quantiles
    of actual over expected, told out of fold by account over all horizons."""

    booster: lgb.Booster | None
    smear: float
    low: float
    high: float
    mean_a_day: float = 0.0  # gain of an account that expands, money a day of the horizon; serves without a booster
    line: Line | None = None
    share: float = 0.5  # of the line in the mean of both

    def expected(self, matrix: np.ndarray, horizon: int) -> np.ndarray:
        """(n,) money in [as_of, as_of + horizon) if the account expands within it; never negative."""
        if self.booster is None or self.line is None or not len(matrix):
            return np.full(len(matrix), self.smear * self.mean_a_day * horizon)
        horizons = np.full(len(matrix), float(horizon))
        trees, line = _raw(self.booster, self.line, matrix, horizons)
        return np.asarray(self.smear * _back(trees, line, self.share))

    def brought_into_line(self, expected: np.ndarray, gained: np.ndarray) -> Amount:
        """The same, its total held against accounts of a later window that expanded: what was `expected` and what they
        `gained` (both (n,) money). It moves by actual over expected, the less the fewer they are; the range moves with
        it and keeps its width, which other horizons than the window's were also measured by."""
        gained = np.maximum(gained, 0.0)
        if len(gained) == 0 or not (expected.sum() > 0 and gained.sum() > 0):
            return self
        trust = len(gained) / (len(gained) + HALF_TRUST)
        return replace(self, smear=self.smear * float(np.clip((gained.sum() / expected.sum()) ** trust, 0.5, 2.0)))


def fit_amount(
    matrix: np.ndarray,
    gains: dict[int, tuple[np.ndarray, np.ndarray]],
    params: BoosterParams,
    seed: int,
    names: list[str],
    categories: list[int],
    accounts: np.ndarray | None = None,
) -> Amount:
    """Fits on snapshots that expanded.

    Args:
        gains: by horizon, the rows that expanded within it and their realised increments (signed money); a negative
            increment of an account that expanded counts as zero gain.
        accounts: (n,) number of each row's account; null: every row is another's.
    """
    rows = np.concatenate([row for row, _ in gains.values()]) if gains else np.empty(0, dtype=int)
    if len(rows) < LEAST_ROWS:
        daily = np.concatenate([[], *(np.maximum(gain, 0.0) / horizon for horizon, (_, gain) in gains.items())])
        return Amount(None, 1.0, 1.0, 1.0, float(daily.mean()) if daily.sum() > 0 else NO_GAIN_KNOWN)
    horizon = np.concatenate([np.full(len(row), float(h)) for h, (row, _) in gains.items()])
    gain = np.maximum(np.concatenate([g for _, g in gains.values()]), 0.0)
    capped = np.minimum(gain, np.quantile(gain, WINSOR))
    small = params.model_copy(
        update={"num_leaves": 7, "min_data_in_leaf": max(20, len(rows) // 50), "lambda_l2": min(params.lambda_l2, 10.0)}
    )

    def fit(part: np.ndarray) -> tuple[lgb.Booster, Line]:
        taught, target = matrix[rows[part]], np.log1p(capped[part])
        data = np.column_stack([taught, np.log(horizon[part])])
        trees = fit_booster(
            data, target, "regression", small, seed, names=[*names, HORIZON_FEATURE], categories=categories
        )
        return trees, _fit_line(taught, horizon[part], target, categories)

    whose = np.arange(len(rows)) if accounts is None else np.unique(accounts[rows], return_inverse=True)[1]
    fold = np.random.default_rng([seed, FOLDS]).integers(0, FOLDS, whose.max() + 1)[whose]
    apart = np.zeros((2, len(rows)))  # what trees and line say of rows they did not learn from
    for number in range(FOLDS):
        held, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        if len(held) and len(rest):
            apart[:, held] = _raw(*fit(rest), matrix[rows[held]], horizon[held])
    share = min(SHARES, key=lambda share: _missed(apart, share, np.log1p(capped)))
    back = _back(apart[0], apart[1], share)
    smear = float(capped.sum() / max(back.sum(), 1e-9))
    low, high = (float(q) for q in np.quantile(gain / np.maximum(smear * back, 1e-9), BAND))
    trees, line = fit(np.arange(len(rows)))
    return Amount(trees, smear, low, high, line=line, share=share)


def fit_tweedie(
    matrix: np.ndarray, gain: np.ndarray, params: BoosterParams, seed: int, names: list[str], categories: list[int]
) -> lgb.Booster:
    """The challenger: E[gain] of every account at risk at once, one horizon. gain: (n,) money, losses as zero."""
    capped = np.minimum(gain, np.quantile(gain[gain > 0], WINSOR)) if (gain > 0).any() else gain
    kept, stands_for = thin(gain > 0, seed)
    return fit_booster(
        matrix[kept],
        capped[kept],
        "tweedie",
        params,
        seed,
        names=names,
        categories=categories,
        weight=stands_for,
        settings={"tweedie_variance_power": TWEEDIE_POWER},
    )


def _fit_line(matrix: np.ndarray, horizon: np.ndarray, target: np.ndarray, categories: list[int]) -> Line:
    design = Design.learn(matrix, categories)
    columns = _columns(design, matrix, horizon)
    centre, middle = columns.mean(axis=0), float(target.mean())
    centred = columns - centre
    bend = centred.T @ centred + PENALTY * np.eye(columns.shape[1])
    bend[-1, -1] -= PENALTY * 0.99  # the horizon is told, not learned: longer must mean more
    weights = np.linalg.solve(bend, centred.T @ (target - middle))
    intercept = middle - float(centre @ weights)
    return Line(design, tuple(weights.tolist()), intercept, float(target.min()), float(target.max()))


def _columns(design: Design, matrix: np.ndarray, horizon: np.ndarray) -> np.ndarray:
    return np.column_stack([design.columns(matrix), np.log(horizon)])


def _raw(trees: lgb.Booster, line: Line, matrix: np.ndarray, horizon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) log1p of money by each."""
    data = np.column_stack([matrix, np.log(horizon)])
    return np.asarray(trees.predict(data, num_threads=THREADS)), line.raw(matrix, horizon)


def _back(trees: np.ndarray, line: np.ndarray, share: float) -> np.ndarray:
    """(n,) money before smearing: the mean of both in logs, carried back."""
    return np.asarray(np.expm1(np.maximum((1 - share) * trees + share * line, 0.0)))


def _missed(apart: np.ndarray, share: float, target: np.ndarray) -> float:
    return float(np.mean(((1 - share) * apart[0] + share * apart[1] - target) ** 2))
