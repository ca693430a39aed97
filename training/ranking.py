"""The ladder of a ranking: how much mass, and how much of what was wanted, lies at or above each distinct score.

Every rank metric reads the same two cumulative columns, so ties are treated alike everywhere: rows of equal score come
in a random order, and a metric is its expectation over those orders, exactly.
Example: scores (.9, .5, .5, .1) with labels (1, 1, 0, 0) give three steps, reach (1, 3, 4) and held (1, 2, 2).
Steps that hold nothing wanted are one with their neighbours of the same kind: between two steps that hold something
the columns are straight lines whatever lies there. So a ladder has about as many steps as there are positives, and
hundreds of resampled ladders cost one sparse product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

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

    def holding(self, wanted: Floats) -> Ranking:
        """The same order with neighbouring steps that hold none of `wanted` (n,) made one."""
        if not len(self.order):
            return self
        held = np.add.reduceat(wanted[self.order], np.append(0, self.ends[:-1] + 1)) != 0
        return Ranking(self.order, self.ends[held | np.append(held[1:], True)])


@dataclass(frozen=True)
class Ladder:
    """Best score first, both non-decreasing: `reach` total weight, `held` total of what was wanted. Shape (steps,) for
    one sample of the rows, (steps, samples) for several."""

    reach: Floats
    held: Floats

    @classmethod
    def of(cls, ranking: Ranking, wanted: Floats, weight: Floats | None = None) -> Ladder:
        """`wanted` (n,) is the label, or money >= 0; `weight` says how often each row stands in the sample, (n,), or in
        each of several, (n, samples)."""
        steps = ranking.holding(wanted)
        order, ends = steps.order, steps.ends
        if weight is None:
            return cls((ends + 1).astype(np.float64), np.cumsum(wanted[order])[ends])
        bounds = np.append(0, ends + 1)
        rows = csr_matrix((np.ones(len(order), weight.dtype), order, bounds), (len(ends), len(order)))
        found = np.flatnonzero(wanted[order])
        what = wanted[order[found]].astype(weight.dtype)
        sought = csr_matrix((what, order[found], np.searchsorted(found, bounds)), (len(ends), len(order)))
        return cls(np.cumsum(rows @ weight, 0, np.float64), np.cumsum(sought @ weight, 0, np.float64))

    @property
    def mass(self) -> Floats:
        """Weight of all rows; 0 where nothing is ranked."""
        return self.reach[-1] if len(self.reach) else np.zeros(self.reach.shape[1:])

    @property
    def total(self) -> Floats:
        """Of what was wanted, in all rows."""
        return self.held[-1] if len(self.held) else np.zeros(self.held.shape[1:])

    def top(self, percent: float) -> Floats:
        """What the top `percent` % of the mass holds, in units of `wanted`; see `first`."""
        return self.first(self.mass * percent / 100)

    def first(self, count: Floats | float) -> Floats:
        """What the first `count` of the mass holds, in units of `wanted`; a run of equal scores that straddles the
        border gives the part of it that fits. All there is if `count` is more than there is; 0 where nothing is
        ranked."""
        if not len(self.reach):
            return self.total
        at = np.minimum((self.reach < count).sum(axis=0), len(self.reach) - 1)[None]
        reach, held = (np.take_along_axis(column, at, 0)[0] for column in (self.reach, self.held))
        above = np.maximum(at - 1, 0)
        before, gained = (
            np.where(at[0] > 0, np.take_along_axis(column, above, 0)[0], 0.0) for column in (self.reach, self.held)
        )
        part = np.clip((count - before) / np.maximum(reach - before, 1e-12), 0.0, 1.0)
        out: Floats = gained + (held - gained) * part
        return out
