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


def average(taught: PersonPeriods, *fits: Fit) -> Hazard:
    """The equal-weight mean of the fits' hazards, its level such that the rows of `taught` add up to the events they
    saw; of an event that was never seen, `Never`. `fits`: what they said is of the rows of `taught`."""
    if any(isinstance(fit.hazard, Never) for fit in fits):
        return Never()
    whole = np.sum([fit.said for fit in fits], axis=0) / len(fits)
    level = total_shift(whole, taught.label, taught.weight)
    return Average(tuple((1 / len(fits), fit.hazard) for fit in fits), level)
