"""One target and horizon as measured: every candidate over the same replicates, and how a figure is written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from training.bootstrap import Difference, Figures, Interval, difference, interval
from training.heldout import CEILING, CHAMPION, HeldOut
from training.ranking import Floats

DIGITS = 8  # of every figure written


@dataclass(frozen=True)
class Measured:
    """One target and horizon with its figures: candidate -> figure -> value, and the same over the replicates."""

    rows: HeldOut
    figures: dict[str, Figures]
    replicates: dict[str, dict[str, Floats]]

    def interval(self, candidate: str, figure: str) -> Interval | None:
        return interval(self.replicates[candidate][figure], self.figures[candidate][figure])

    def gap(self, one: str, other: str, figure: str) -> Difference | None:
        """The figure of candidate `one` less that of `other`; None where undefined."""
        value = self.figures[one][figure] - self.figures[other][figure]
        return difference(self.replicates[one][figure], self.replicates[other][figure], value)

    def lead(self, candidate: str, figure: str) -> Difference | None:
        """The champion's figure less the candidate's."""
        return self.gap(CHAMPION, candidate, figure)

    def share(self, one: str, other: str, figure: str) -> tuple[float, Interval | None]:
        """The figure of `one` over that of `other`, paired; nan and None where undefined or `other` has 0."""
        value, whole = self.figures[one][figure], self.figures[other][figure]
        wholes = self.replicates[other][figure]
        drawn = np.divide(self.replicates[one][figure], wholes, out=np.full(len(wholes), np.nan), where=wholes > 0)
        ratio = value / whole if whole > 0 else math.nan
        return ratio, interval(drawn, ratio)

    @property
    def listed(self) -> list[str]:
        """The champion, the ceiling where there is one, then the others by name."""
        return sorted(self.rows.candidates, key=lambda name: (name != CHAMPION, name != CEILING, name))

    @property
    def rules(self) -> tuple[str, ...]:
        """Candidates that only rank: the rules of thumb."""
        candidates = self.rows.candidates.items()
        return tuple(name for name, scored in candidates if name != CHAMPION and scored.probability is None)


def written(value: float) -> float | None:
    """A figure as JSON has it: null for nan."""
    return None if math.isnan(value) else round(float(value), DIGITS)


def pair(found: Interval | None) -> list[float | None] | None:
    """An interval as JSON has it."""
    return None if found is None else [written(bound) for bound in found]
