"""The ladder of a ranking: how much mass, and how much of what was wanted, lies at or above each distinct score.

Every rank metric reads the same two cumulative columns, so ties are treated alike everywhere: rows of equal score come
in a random order, and a metric is its expectation over those orders, exactly.
Example: scores (.9, .5, .5, .1) with labels (1, 1, 0, 0) give three steps, reach (1, 3, 4) and held (1, 2, 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Ranking:
    """Rows by descending score, fixed whatever the weights. `order` (n,) row numbers, best first; `ends` (steps,)
    the position in `order` of the last row of each run of equal scores."""

    order: Indices
    ends: Indices

    @classmethod
    def of(cls, score: Floats) -> Ranking:
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        changes = np.flatnonzero(ordered[1:] != ordered[:-1])
        return cls(order, np.append(changes, len(order) - 1) if len(order) else changes)


@dataclass(frozen=True)
class Ladder:
    """Best score first, both (steps,) and non-decreasing: `reach` total weight, `held` total of what was wanted."""

    reach: Floats
    held: Floats

    @classmethod
    def of(cls, ranking: Ranking, wanted: Floats, weight: Floats | None = None) -> Ladder:
        """`wanted` (n,) is the label, or money >= 0; `weight` (n,) says how often each row stands in the sample."""
        order, ends = ranking.order, ranking.ends
        if weight is None:
            return cls((ends + 1).astype(np.float64), np.cumsum(wanted[order])[ends])
        return cls(np.cumsum(weight[order])[ends], np.cumsum((wanted * weight)[order])[ends])

    def top(self, percent: float) -> float:
        """What the top `percent` % of the mass holds, in units of `wanted`; a run of equal scores that straddles the
        border gives the part of it that fits. 0 where nothing is ranked."""
        if not len(self.reach):
            return 0.0
        capacity = self.reach[-1] * percent / 100
        step = int(np.searchsorted(self.reach, capacity))
        if step >= len(self.reach):  # rounding at 100 %
            return float(self.held[-1])
        before = self.reach[step - 1] if step else 0.0
        held = self.held[step - 1] if step else 0.0
        mass = self.reach[step] - before
        part = (capacity - before) / mass if mass else 0.0
        return float(held + (self.held[step] - held) * part)
