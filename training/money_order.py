"""How a candidate orders money, and how far its amounts are off by tenths: figures and their account bootstrap.

Apart from `training.bootstrap`, as ranks are sorted anew in every replicate, which costs more than all else there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from training import metrics
from training.bin_sums import sums, whole
from training.bootstrap import Figures, Scored, replicate_weights
from training.ranking import Floats, Ladder, Ranking

GAP = "decile_mape"
MONEY_FIGURES = ("gini", "spearman", GAP)
Tenths = tuple[csr_matrix, csr_matrix]  # (10, n) money expected less money seen, and money seen


@dataclass(frozen=True)
class MoneyOrder:
    """`candidates` on the same rows; the money itself is ranked once a sample for all of them."""

    candidates: Mapping[str, Scored]

    def figures(self) -> dict[str, Figures]:
        """Candidate -> `MONEY_FIGURES` of its money score and of the money it expects, on the rows as they are; nan
        where undefined. `decile_mape`, like `money_expected_over_actual`, is of the money of those who made the
        move."""
        found = self._resampled(None, self._tenths())
        return {name: {figure: float(value) for figure, value in own.items()} for name, own in found.items()}

    def bootstrap(self, account: npt.NDArray[np.integer], replicates: int, seed: int) -> dict[str, dict[str, Floats]]:
        """The same in the replicates of `training.bootstrap.bootstrap`, each (replicates,). The tenths are those of
        the rows as they are."""
        tenths = self._tenths()
        blocks = [self._resampled(weight, tenths) for weight in replicate_weights(account, replicates, seed)]
        return {
            name: {figure: np.concatenate([block[name][figure] for block in blocks]) for figure in MONEY_FIGURES}
            for name in (self.candidates if blocks else ())
        }

    def _tenths(self) -> dict[str, Tenths]:
        out = {}
        for name, scored in self.candidates.items():
            if scored.expected is not None:
                seen = scored.label * np.maximum(scored.increment, 0.0)
                parts = whole(metrics.equal_parts(scored.expected, metrics.DECILES), len(seen))
                out[name] = parts.multiply(scored.expected - seen).tocsr(), parts.multiply(seen).tocsr()
        return out

    def _resampled(self, weight: Floats | None, tenths: Mapping[str, Tenths]) -> dict[str, dict[str, Floats]]:
        increment = next(iter(self.candidates.values())).increment
        gain, ranks = np.maximum(increment, 0.0), metrics.ranks(increment, weight)
        best = metrics.lorenz_of(Ladder.of(Ranking.of(gain), gain, weight))
        out = {}
        for name, scored in self.candidates.items():
            own = metrics.lorenz_of(Ladder.of(Ranking.of(scored.money_score), gain, weight))
            out[name] = {
                "gini": metrics.gini_of(own, best),
                "spearman": metrics.spearman_of(ranks, metrics.ranks(scored.money_score, weight), weight),
                GAP: np.full_like(best, np.nan),
            }
            if name in tenths:
                gap, seen = (np.abs(sums(part, weight)).sum(axis=0) for part in tenths[name])
                out[name][GAP] = metrics.ratio(gap, seen)
        return out
