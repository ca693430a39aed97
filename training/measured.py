"""One target and horizon as measured: every candidate over the same replicates, and how a figure is written."""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.bootstrap import Difference, Figures, Interval, difference, interval, reflected
from training.heldout import CEILING, CHAMPION, HeldOut
from training.metrics import ratio
from training.ranking import Floats

DIGITS = 8  # of every figure written
GAPS = ("ece", "decile_mape")  # absolute ones


@dataclass(frozen=True)
class Measured:
    """One target and horizon with its figures: candidate -> figure -> value, and the same over the replicates for the
    candidates that were resampled; what was not has no interval."""

    rows: HeldOut
    figures: dict[str, Figures]
    replicates: dict[str, dict[str, Floats]]

    def interval(self, candidate: str, figure: str) -> Interval | None:
        drawn = self.replicates.get(candidate, {}).get(figure)
        around = reflected if figure in GAPS else interval
        return None if drawn is None else around(drawn, self.figures[candidate][figure])

    def gap(self, one: str, other: str, figure: str) -> Difference | None:
        """The figure of candidate `one` less that of `other`; None where undefined."""
        if one not in self.replicates or other not in self.replicates:
            return None
        value = self.figures[one][figure] - self.figures[other][figure]
        return difference(self.replicates[one][figure], self.replicates[other][figure], value)

    def lead(self, candidate: str, figure: str) -> Difference | None:
        """The champion's figure less the candidate's."""
        return self.gap(CHAMPION, candidate, figure)

    def share(self, one: str, other: str, figure: str) -> tuple[float, Interval | None]:
        """The figure of `one` over that of `other`, paired; nan and None where undefined or `other` has 0."""
        share = float(ratio(self.figures[one][figure], self.figures[other][figure]))
        if one not in self.replicates or other not in self.replicates:
            return share, None
        return share, interval(ratio(self.replicates[one][figure], self.replicates[other][figure]), share)

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
