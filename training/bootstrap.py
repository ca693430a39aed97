"""How sure a figure is: intervals from resampling ACCOUNTS, the unit that is independent of the others.

An account drawn twice brings all its rows twice, so a replicate is a whole-number weight a row and no row is copied.
Every candidate sees the same replicates, so differences between candidates are paired. Sorting happens once a
candidate; a replicate costs two cumulative sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from training import metrics
from training.ranking import Floats, Ladder, Ranking

LEVEL = 0.95
PERCENTS = (1, 5, 10)  # of the accounts, where lift and revenue captured are read
Interval = tuple[float, float]
Figures = dict[str, float]


@dataclass(frozen=True)
class Scored:
    """One candidate on the held-out rows, sorted once. All arrays (n,); `label` 0 or 1, `increment` signed money,
    `score` ranks for the event, `money_score` for money; `probability` None for what is only a ranking."""

    label: Floats
    increment: Floats
    score: Floats
    money_score: Floats
    probability: Floats | None = None
    _by_score: Ranking = field(init=False, repr=False)
    _by_money: Ranking = field(init=False, repr=False)
    _gain: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_score = Ranking.of(self.score)
        same = self.money_score is self.score or np.array_equal(self.money_score, self.score)
        object.__setattr__(self, "_by_score", by_score)
        object.__setattr__(self, "_by_money", by_score if same else Ranking.of(self.money_score))
        object.__setattr__(self, "_gain", np.maximum(self.increment, 0.0))

    def figures(self, weight: Floats | None = None) -> Figures:
        """Every headline figure under `weight` (n,); nan where undefined, and for a probability that is not there."""
        events = Ladder.of(self._by_score, self.label, weight)
        money = Ladder.of(self._by_money, self._gain, weight)
        out = {"roc_auc": metrics.roc_auc_of(events), "pr_auc": metrics.pr_auc_of(events)}
        for percent in PERCENTS:
            out[f"lift_{percent}"] = metrics.share_of(events, percent) * 100 / percent
            out[f"revenue_captured_{percent}"] = metrics.share_of(money, percent)
        said = self.probability
        for name, metric in (
            ("brier_skill", metrics.brier_skill),
            ("log_loss", metrics.log_loss),
            ("expected_over_actual", metrics.expected_over_actual),
        ):
            out[name] = float("nan") if said is None else metric(self.label, said, weight)
        return out


def replicate_weights(account: npt.NDArray[np.integer], replicates: int, seed: int) -> Iterator[Floats]:
    """`replicates` times a weight a row, (n,): how often the row's account came up when as many accounts as there are
    were drawn with replacement. `account` (n,) numbers the accounts from 0."""
    count = int(account.max()) + 1 if len(account) else 0
    rng = np.random.default_rng(seed)
    for _ in range(replicates):
        drawn = np.bincount(rng.integers(0, count, count), minlength=count) if count else np.zeros(0)
        yield drawn.astype(np.float64)[account]


def bootstrap(
    candidates: Mapping[str, Scored], account: npt.NDArray[np.integer], replicates: int, seed: int
) -> dict[str, dict[str, Floats]]:
    """Candidate -> figure -> its value in each replicate, (replicates,), nan where a replicate does not define it."""
    rows: dict[str, list[Figures]] = {name: [] for name in candidates}
    for weight in replicate_weights(account, replicates, seed):
        for name, scored in candidates.items():
            rows[name].append(scored.figures(weight))
    return {
        name: {figure: np.array([row[figure] for row in found]) for figure in found[0]} if found else {}
        for name, found in rows.items()
    }


def interval(values: Floats, value: float, level: float = LEVEL) -> Interval | None:
    """The central share `level` of the replicates, widened to hold `value` itself where their skew leaves it outside.
    Replicates without a value are left out; None when the value is undefined or so are most replicates."""
    known = values[~np.isnan(values)]
    if np.isnan(value) or 2 * len(known) <= len(values):
        return None
    low, high = np.percentile(known, [50 * (1 - level), 50 * (1 + level)])
    return min(float(low), value), max(float(high), value)


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
