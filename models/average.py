"""The average of hazards in log-odds: trees and a ridge err apart, so their mean is the best known on a plain world.

A mean of log-odds adds up to fewer events than its members do, of young accounts to fewer still; and of the first
interval, of which the day's features tell most, it says too much the same of all. What it lacks is learned from the
rows that taught its members (docs/adr/0037).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from models.calibration import losses, total_shift
from models.hazard import LOG_MONTHS, Fit, Hazard, Never, PersonPeriods, chance
from models.reasons import Blend

GROWN = 400.0  # days since sign-up from which an account is no longer young
DOUBT = np.array([0.0, 100.0, 100.0, 10.0])  # penalties of the squares of what `_lacking` learns
WIDER = (-0.5, 1.0)  # bounds of the first interval's spread beyond that of the others


@dataclass(frozen=True)
class Average(Blend):
    """Members with their weights, which sum to 1; explained as the sum of what explains each.

    `level`: added to the mean of the log-odds. `youth`: added once more for every unit of `young`, of the age in column
    `clock`; without a column, to nobody. `first`: (a, b), by which the mean x of the first interval is a + b x.
    """

    parts: tuple[tuple[float, Hazard], ...]
    level: float = 0.0
    youth: float = 0.0
    clock: int | None = None
    first: tuple[float, float] = (0.0, 1.0)

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        return self.of([hazard.log_odds(matrix) for _, hazard in self.parts], matrix)

    def at(self, matrix: np.ndarray, interval: int) -> np.ndarray:
        mean = self._mean([hazard.at(matrix, interval) for _, hazard in self.parts])
        return np.asarray((self._near(mean) if interval == 0 else mean) + self._added(matrix))

    def of(self, said: Sequence[np.ndarray], matrix: np.ndarray) -> np.ndarray:
        """`log_odds` of the rows of `matrix` where its parts, in their order, say this."""
        mean = self._mean(said)
        mean[:, 0] = self._near(mean[:, 0])
        return np.asarray(mean + self._added(matrix)[:, None])

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        return np.asarray(super().raw(matrix) + self._added(matrix))

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        told = super().contributions(matrix)
        if self.clock is not None:
            told[:, self.clock] += self.youth * young(matrix[:, self.clock])
        return told

    def to_json(self) -> dict[str, Any]:
        own = {"level": self.level, "youth": self.youth, "clock": self.clock, "first": list(self.first)}
        return {"kind": "average", **own, "parts": [[weight, hazard.to_json()] for weight, hazard in self.parts]}

    def _mean(self, said: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(sum(weight * one for (weight, _), one in zip(self.parts, said, strict=True)))

    def _near(self, mean: np.ndarray) -> np.ndarray:
        shift, slope = self.first
        return np.asarray(shift + slope * mean)

    def _added(self, matrix: np.ndarray) -> np.ndarray:
        """(n,)"""
        if self.clock is None:
            return np.full(len(matrix), self.level)
        return self.level + self.youth * young(matrix[:, self.clock])


def young(age: np.ndarray) -> np.ndarray:
    """(n,) how many e-folds an account of `age` days is younger than `GROWN`; 0 of the grown and where null."""
    return np.asarray(np.log(GROWN / np.clip(np.where(np.isnan(age), GROWN, age), 1.0, GROWN)))


def average(
    taught: PersonPeriods,
    *fits: Fit,
    weights: Sequence[float] | None = None,
    age: np.ndarray | None = None,
    clock: int | None = None,
) -> Hazard:
    """The mean of the fits' hazards, its level such that the rows of `taught` add up to the events they saw; of an
    event that was never seen, `Never`.

    Args:
        fits: what they said is of the rows of `taught`.
        weights: one a fit, together 1; null: equal ones.
        age: (m,) days since sign-up of those rows, which column `clock` of the matrix holds; null: a level is all that
            is added to the mean.
    """
    shares = [1 / len(fits)] * len(fits) if weights is None else weights
    if any(isinstance(fit.hazard, Never) for fit in fits):
        return Never()
    parts = tuple((share, fit.hazard) for share, fit in zip(shares, fits, strict=True))
    mean = np.sum([share * fit.said for share, fit in zip(shares, fits, strict=True)], axis=0)
    if age is None:
        return Average(parts, total_shift(mean, taught.label, taught.weight))
    youth, first, whole = _lacking(taught, mean, age)
    return Average(parts, total_shift(whole, taught.label, taught.weight), youth, clock, first)


def _lacking(taught: PersonPeriods, mean: np.ndarray, age: np.ndarray) -> tuple[float, tuple[float, float], np.ndarray]:
    """`youth` and `first` of an `Average` whose mean is `mean` (m,), and what it becomes by them, (m,)."""
    rate = mean - np.log(taught.months)  # of an interval of one month: whole ones and parts of one have one spread
    middle = float(np.average(rate, weights=taught.weight))
    near = (taught.interval == 0).astype(np.float64)
    rows = np.column_stack([np.ones(len(mean)), young(age), near * (rate - middle), near])

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        moved = mean + rows @ x
        slope = rows.T @ (taught.weight * (chance(moved) - taught.label)) + DOUBT * x
        return float(taught.weight @ losses(moved, taught.label) + DOUBT @ x**2 / 2), slope

    bounds = [(None, None), (None, None), WIDER, (None, None)]
    x = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    youth, spread, shift = (float(value) for value in x[1:])
    first = (shift - spread * (middle + float(LOG_MONTHS[0])), 1 + spread)
    return youth, first, mean + rows[:, 1:] @ x[1:]
