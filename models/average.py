"""The average of hazards in log-odds: trees and a ridge err apart, so their mean is the best known on a plain world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.calibration import total_shift
from models.hazard import LOG_MONTHS, Hazard, Never, PersonPeriods
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


def average(matrix: np.ndarray, taught: PersonPeriods, *hazards: Hazard) -> Hazard:
    """The equal-weight mean of the hazards, its level such that the snapshots of `matrix` that taught them add up to
    the events they saw; of an event that was never seen, `Never`."""
    if any(isinstance(hazard, Never) for hazard in hazards):
        return Never()
    mean = Average(tuple((1 / len(hazards), hazard) for hazard in hazards))
    whole = np.zeros(len(taught.row))
    for interval in np.unique(taught.interval):
        rows = np.flatnonzero(taught.interval == interval)
        whole[rows] = mean.at(matrix[taught.row[rows]], int(interval)) - LOG_MONTHS[interval]
    level = total_shift(whole + np.log(taught.months), taught.label, taught.weight)
    return Average(mean.parts, level)
