"""The average of hazards in log-odds: trees and a ridge err apart, so their mean is the best known on a plain world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.calibration import total_shift
from models.hazard import Fit, Hazard, Never, PersonPeriods
from models.reasons import Blend


@dataclass(frozen=True)
class Average(Blend):
    """Members with their weights, which sum to 1; explained as the sum of what explains each."""

    parts: tuple[tuple[float, Hazard], ...]
    level: float = 0.0  # added to the mean of the log-odds, which alone adds up to fewer events than its members do

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        return self.of([hazard.log_odds(matrix) for _, hazard in self.parts])

    def at(self, matrix: np.ndarray, interval: int) -> np.ndarray:
        return self.of([hazard.at(matrix, interval) for _, hazard in self.parts])

    def of(self, said: Sequence[np.ndarray]) -> np.ndarray:
        """What it says where its parts, in their order, say this."""
        return np.asarray(sum(weight * one for (weight, _), one in zip(self.parts, said, strict=True))) + self.level

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        return super().raw(matrix) + self.level

    def to_json(self) -> dict[str, Any]:
        parts = [[weight, hazard.to_json()] for weight, hazard in self.parts]
        return {"kind": "average", "level": self.level, "parts": parts}


def average(taught: PersonPeriods, *fits: Fit, weights: Sequence[float] | None = None) -> Hazard:
    """The mean of the fits' hazards, its level such that the rows of `taught` add up to the events they saw; of an
    event that was never seen, `Never`.

    Args:
        fits: what they said is of the rows of `taught`.
        weights: one a fit, together 1; null: equal ones.
    """
    shares = [1 / len(fits)] * len(fits) if weights is None else weights
    if any(isinstance(fit.hazard, Never) for fit in fits):
        return Never()
    whole = np.sum([share * fit.said for share, fit in zip(shares, fits, strict=True)], axis=0)
    level = total_shift(whole, taught.label, taught.weight)
    return Average(tuple((share, fit.hazard) for share, fit in zip(shares, fits, strict=True)), level)
