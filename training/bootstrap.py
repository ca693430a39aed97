"""How sure a figure is: intervals from resampling ACCOUNTS, the unit that is independent of the others.

An account drawn twice brings all its rows twice, so a replicate is a whole-number weight a row and no row is copied.
Every candidate sees the same replicates, so differences between candidates are paired. Sorting happens once a
candidate, and all replicates of it climb their ladders together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from training import metrics
from training.bin_sums import equal_mass, sums
from training.probability_figures import OF_PROBABILITY, Line, probability_columns, probability_figures
from training.ranking import Floats, Ladder, Ranking

LEVEL = 0.95
PERCENTS = (1, 5, 10, 20)  # of the accounts, where lift and revenue captured are read
OF_MONEY = "money_expected_over_actual"
CALLED = 100  # accounts called, in the figures that end in `_called`
BLOCK = 4_000_000  # weights held at once
Interval = tuple[float, float]
Figures = dict[str, float]


@dataclass(frozen=True)
class Scored:
    """One candidate on the held-out rows, sorted once, when first asked. All arrays (n,); `label` 0 or 1, `increment`
    signed money, `score` ranks for the event, `money_score` for money; `probability` and `expected` (money) None where
    none is stated."""

    label: Floats
    increment: Floats
    score: Floats
    money_score: Floats
    probability: Floats | None = None
    expected: Floats | None = None

    @cached_property
    def _gain(self) -> Floats:
        return np.maximum(self.increment, 0.0)

    @cached_property
    def _ranking(self) -> Ranking:
        return Ranking.of(self.score)

    @cached_property
    def _by_score(self) -> Ranking:
        return self._ranking.holding(self.label)

    @cached_property
    def _by_money(self) -> Ranking:
        same = np.array_equal(self.money_score, self.score)
        return (self._ranking if same else Ranking.of(self.money_score)).holding(self._gain)

    @cached_property
    def _line(self) -> Line:
        """Of calibration, of the rows as they are."""
        assert self.probability is not None
        return metrics.calibration_line(self.label, self.probability)

    @cached_property
    def _gaps(self) -> csr_matrix:
        """(bins, n) probability less label, by bin of `ece`."""
        assert self.probability is not None
        return equal_mass(self.probability, metrics.BINS).multiply(self.probability - self.label).tocsr()

    @cached_property
    def _columns(self) -> Floats:
        """(k, n) whose sums the figures of what is stated are made of."""
        columns = np.empty((0, len(self.label)))
        if self.probability is not None:
            columns = probability_columns(self.label, self.probability, self._line)
        if self.expected is not None:  # it speaks of the money of those who made the move
            columns = np.vstack([columns, self.expected, self.label * self._gain])
        return columns

    def figures(self, called: int = CALLED) -> Figures:
        """Every headline figure of the rows as they are; nan where undefined, and for a probability that is not there.
        The figures that end in `_called` are of the first `called` accounts."""
        return {figure: float(value) for figure, value in self.resampled(None, called).items()}

    def resampled(self, weight: Floats | None, called: int = CALLED) -> dict[str, Floats]:
        """`figures` once for each sample of `weight`, see `training.metrics`. The bins of `ece` are those of the rows
        as they are."""
        events = Ladder.of(self._by_score, self.label, weight)
        money = Ladder.of(self._by_money, self._gain, weight)
        out = {"roc_auc": metrics.roc_auc_of(events), "pr_auc": metrics.pr_auc_of(events)}
        for percent in PERCENTS:
            out[f"lift_{percent}"] = metrics.share_of(events, percent) * 100 / percent
            out[f"revenue_captured_{percent}"] = metrics.share_of(money, percent)
        out["recall_called"] = metrics.share_at(events, called)
        out["revenue_captured_called"] = metrics.share_at(money, called)
        return out | self._stated(weight, events.mass, np.full_like(out["roc_auc"], np.nan))

    def _stated(self, weight: Floats | None, mass: Floats, nothing: Floats) -> dict[str, Floats]:
        held = [*(self._columns.sum(axis=1) if weight is None else self._columns @ weight)]  # one pass over the weights
        out = dict.fromkeys((*OF_PROBABILITY, "ece", OF_MONEY), nothing)
        if self.expected is not None:
            *held, expected, gained = held
            out[OF_MONEY] = metrics.ratio(expected, gained)
        if self.probability is not None:
            out["ece"] = metrics.ratio(np.abs(sums(self._gaps, weight)).sum(axis=0), mass)
            out |= probability_figures(held, mass, self._line)
        return out


def replicate_weights(account: npt.NDArray[np.integer], replicates: int, seed: int) -> Iterator[Floats]:
    """`replicates` samples of the rows, a block of (n, some of them) at a time: how often the row's account came up
    when as many accounts as there are were drawn with replacement. `account` (n,) numbers the accounts from 0."""
    count = int(account.max()) + 1 if len(account) else 0
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK // max(len(account), 1))
    for start in range(0, replicates, block):
        drawn = np.zeros((count, min(block, replicates - start)))
        for column in drawn.T if count else ():
            column[:] = np.bincount(rng.integers(0, count, count), minlength=count)
        yield drawn[account]


def bootstrap(
    candidates: Mapping[str, Scored],
    account: npt.NDArray[np.integer],
    replicates: int,
    seed: int,
    called: int = CALLED,
) -> dict[str, dict[str, Floats]]:
    """Candidate -> figure -> its value in each replicate, (replicates,), nan where a replicate does not define it."""
    blocks: dict[str, list[dict[str, Floats]]] = {name: [] for name in candidates}
    with threadpool_limits(1, "blas"):  # the products are thin: threads would wait for each other longer than they work
        for weight in replicate_weights(account, replicates, seed):
            for name, scored in candidates.items():
                blocks[name].append(scored.resampled(weight, called))
    return {
        name: {figure: np.concatenate([block[figure] for block in found]) for figure in found[0]} if found else {}
        for name, found in blocks.items()
    }


def interval(values: Floats, value: float, level: float = LEVEL) -> Interval | None:
    """The central share `level` of the replicates, widened to hold `value` itself where their skew leaves it outside.
    Replicates without a value are left out; None when the value is undefined or so are most replicates."""
    found = _central(values, value, level)
    return None if found is None else (min(found[0], value), max(found[1], value))


def reflected(values: Floats, value: float, level: float = LEVEL) -> Interval | None:
    """The interval of an absolute gap (>= 0). Luck mostly adds to one: the square of a sample's exceeds that of the
    truth by a variance, a replicate's that of the sample's by as much again. So the lower end is the upper one of the
    replicates' squares mirrored at that of `value` (the basic bootstrap: Davison and Hinkley, Bootstrap Methods, 1997,
    section 5.2); the upper end is the replicates' own, as a gap may also be small by luck, and errs to the wide side.
    None as `interval`."""
    found = _central(values, value, level)
    if found is None:
        return None
    low = float(np.sqrt(max(2 * value**2 - found[1] ** 2, 0.0)))
    return min(low, value), max(found[1], value)


def _central(values: Floats, value: float, level: float) -> Interval | None:
    known = values[~np.isnan(values)]
    if np.isnan(value) or 2 * len(known) <= len(values):
        return None
    low, high = np.percentile(known, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """`value` of one candidate less the other's on the same rows, with its interval."""

    value: float
    ci: Interval

    @property
    def above_zero(self) -> bool:
        return self.ci[0] > 0

    @property
    def below_zero(self) -> bool:
        return self.ci[1] < 0


def difference(one: Floats, other: Floats, value: float, level: float = LEVEL) -> Difference | None:
    """The paired difference `one` - `other` of two figures over the same replicates; None where undefined."""
    found = interval(one - other, value, level)
    return None if found is None else Difference(value, found)
