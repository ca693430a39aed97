"""How good a ranking, a probability or an amount was: pure functions of what happened and what was said.

Columns are float64 of shape (n,); label is 0 or 1; money is signed and a loss counts as no money gained; score ranks,
highest first, and is a probability where the metric needs one; weight is a whole number, how often the row stands in
the sample: None for once each, (n,), or (n, samples) for many samples at once, which gives a figure of shape
(samples,). Those that end in `_of` take what is made once a sample: a ladder already climbed, or sums and ranks. Rows
of equal score are in random order and the figure is the exact expectation over those orders. A figure that the rows do
not define (no rows, one class only, no money) is nan, never 0. `training.bootstrap` and `training.money_order` make of
them every figure that is stated; each has a scalar twin in the tests that shares no formula with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.ranking import Floats, Indices, Ladder, Ranking

BINS = 15  # of equal mass, in which the probability said is held against the rate seen
DECILES = 10
EDGE = 1e-15  # a probability of exactly 0 or 1 costs -log(EDGE), not infinity
Z = 1.959964  # two-sided 95 % of the normal


def pr_auc(label: Floats, score: Floats) -> Floats:
    """Average precision: the precision at each positive, averaged. nan without positives."""
    return pr_auc_of(Ladder.of(Ranking.of(score), label))


def gains(wanted: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Cumulative gains: share of the accounts called, best score first, and the share of `wanted` (labels, or money
    >= 0) that they hold. Both rise from 0 to 1; a run of equal scores is a straight line. All 0 where nothing was
    wanted."""
    ladder = Ladder.of(Ranking.of(score), wanted)
    return np.append(0, ladder.reach / ladder.mass), np.append(0, ladder.held / (ladder.total or 1.0))


def gini_of(own: Floats, best: Floats) -> Floats:
    """Normalised Gini of two areas of `lorenz_of`: that of a score, and that of who knows the money. 1 orders the money
    perfectly, 0 is chance. nan where nobody gained or all gained alike."""
    return ratio(own, np.where(best > EDGE, best, 0.0))


def lorenz_of(ladder: Ladder) -> Floats:
    """The area between the gains of a ladder and the diagonal; nan where there is nothing to gain."""
    below = (_steps(ladder.reach) * (ladder.held + _shifted(ladder.held)) / 2).sum(axis=0)
    return ratio(below, ladder.mass * ladder.total) - 0.5


def spearman_of(x: Floats, y: Floats, weight: Floats | None = None) -> Floats:
    """Correlation of two columns of `ranks`. nan where either is constant."""
    once = np.ones(len(x)) if weight is None else weight
    spread = np.sqrt((once * x * x).sum(axis=0) * (once * y * y).sum(axis=0))
    return ratio((once * x * y).sum(axis=0), spread)


def ranks(value: Floats, weight: Floats | None = None) -> Floats:
    """Mean rank of each row among rows that stand `weight` times each, less the mean of all ranks, as `weight`."""
    once = np.ones(len(value)) if weight is None else weight
    if not len(value):
        return once
    ranking = Ranking.of(-value)
    reach = np.cumsum(once[ranking.order], axis=0)
    ends = reach[ranking.ends]
    out = np.empty(reach.shape)
    out[ranking.order] = np.repeat((ends + _shifted(ends) - reach[-1]) / 2, np.diff(ranking.ends, prepend=-1), axis=0)
    return out


def log_loss(label: Floats, score: Floats) -> Floats:
    """Mean of -log of the probability given to what happened, in nats. nan without rows."""
    return ratio(log_losses(label, score).sum(), len(label))


def log_losses(label: Floats, score: Floats) -> Floats:
    """The log-loss of each row, shape (n,)."""
    said = np.clip(score, EDGE, 1 - EDGE)
    out: Floats = -np.where(label > 0, np.log(said), np.log1p(-said))
    return out


def log_odds(score: Floats) -> Floats:
    """Of each probability, (n,); those of 0 and 1 are finite."""
    said = np.clip(score, EDGE, 1 - EDGE)
    out: Floats = np.log(said) - np.log1p(-said)
    return out


def calibration_line(label: Floats, score: Floats, weight: Floats | None = None) -> tuple[float, float]:
    """Intercept and slope of the label's log-odds on the probability's: (0, 1) is right, a slope below 1 overconfident.
    Newton's method on the likelihood, its steps halved until that rises. nan, nan without both classes, without two
    distinct scores, or when the classes part so cleanly that no finite line fits."""
    bad = float("nan"), float("nan")
    x = np.column_stack([np.ones(len(score)), log_odds(score)])
    w = np.ones(len(score)) if weight is None else weight
    if not len(label) or not 0 < _total(label, weight) < w.sum() or np.ptp(x[:, 1]) == 0:
        return bad

    def fit(line: Floats) -> float:
        raw = x @ line
        return float(w @ (label * raw - np.logaddexp(0.0, raw)))

    line = np.array([0.0, 1.0])
    for _ in range(100):
        fitted = 1 / (1 + np.exp(-np.clip(x @ line, -500, 500)))
        curvature = (x * (w * fitted * (1 - fitted))[:, None]).T @ x
        if np.linalg.cond(curvature) > 1e14:
            return bad
        step = np.linalg.solve(curvature, x.T @ (w * (label - fitted)))
        while np.abs(step).max() >= 1e-10 and fit(line + step) < fit(line):
            step = step / 2
        line = line + step
        if np.abs(step).max() < 1e-10:
            return float(line[0]), float(line[1])
    return bad


@dataclass(frozen=True)
class Bin:
    """Accounts next to each other by probability: how many, positives expected and seen, and Wilson's 95 % interval of
    the positives that a rate as seen allows."""

    n: int
    expected: float
    observed: int
    low: float
    high: float


def observed_expected(label: Floats, score: Floats, count: int = DECILES) -> list[Bin]:
    """`count` equal parts by probability, lowest first; rows of equal probability are divided as they stand."""
    out = []
    for part in equal_parts(score, count):
        n, observed = len(part), int(label[part].sum())
        low, high = wilson(observed, n)
        out.append(Bin(n, float(score[part].sum()), observed, low * n, high * n))
    return out


def wilson(positives: int, n: int) -> tuple[float, float]:
    """95 % interval of a rate of `positives` in `n`, Wilson's."""
    centre, spread = positives + Z * Z / 2, Z * np.sqrt(positives * (n - positives) / n + Z * Z / 4)
    return float((centre - spread) / (n + Z * Z)), float((centre + spread) / (n + Z * Z))


def equal_parts(score: Floats, count: int) -> list[Indices]:
    """Row numbers of `count` parts of equal size (within one), lowest score first; empty ones are left out."""
    return [part for part in np.array_split(np.argsort(score, kind="stable"), count) if len(part)]


def tie_range(wanted: Floats, score: Floats, count: int) -> tuple[float, float, float]:
    """What the first `count` accounts hold in the worst order of equal scores, in a random one, and in the best.
    `wanted` is a label, or money >= 0."""
    count = min(count, len(score))
    if not count:
        return 0.0, 0.0, 0.0
    border = np.partition(score, -count)[-count]
    sure, tied = wanted[score > border], np.sort(wanted[score == border])
    room, held = count - len(sure), float(sure.sum())
    worst, best = float(tied[:room].sum()), float(tied[len(tied) - room :].sum())
    return held + worst, held + float(tied.mean()) * room, held + best


def net_benefit(label: Floats, score: Floats, threshold: float) -> float:
    """Decision-curve net benefit an account of contacting all of probability >= `threshold` (0 <= threshold < 1): true
    positives less false ones at the odds of the threshold, over all rows. 0 is contacting nobody. nan without rows."""
    called = score >= threshold
    hits, misses = float(label[called].sum()), float((1 - label[called]).sum())
    return float(ratio(hits - misses * threshold / (1 - threshold), len(label)))


def cost_threshold(cost: float, margin: float, uplift: float, gain: float) -> float:
    """Probability above which a contact earns more than it costs: cost / (uplift x margin x gain), `gain` the money
    gained by an account that expands. At most 1; nan where a contact can earn nothing."""
    return float(np.minimum(ratio(cost, uplift * margin * gain), 1.0))


def profit_at(money: Floats, score: Floats, count: int, cost: float, margin: float, uplift: float) -> float:
    """Expected profit of contacting the first `count` accounts, if a contact brings `uplift` times the money that was
    gained: uplift x margin x money gained among them, less the cost of each contact."""
    count = min(count, len(score))
    held = float(Ladder.of(Ranking.of(score), np.maximum(money, 0.0)).first(count))
    return uplift * margin * held - cost * count


def share_of(ladder: Ladder, percent: float) -> Floats:
    """Share of what was wanted, positives or money gained, that the top `percent` % holds. nan where there is none."""
    return ratio(ladder.top(percent), ladder.total)


def share_at(ladder: Ladder, count: float) -> Floats:
    """Likewise of the first `count` accounts."""
    return ratio(ladder.first(count), ladder.total)


def brier_skill_of(error: Floats, rate: Floats) -> Floats:
    """1 - mean squared error over that of saying the rate of positives to each: 0 = no better. nan without both
    classes."""
    return 1 - ratio(error, rate * (1 - rate))


def roc_auc_of(ladder: Ladder) -> Floats:
    """Chance that a random positive outranks a random negative; a tie is half. nan without both classes. Of a ladder of
    labels."""
    negatives = ladder.mass - ladder.total
    missed = ladder.reach - ladder.held  # negatives ranked at or above the step
    below = negatives - (missed + _shifted(missed)) / 2
    return ratio((_steps(ladder.held) * below).sum(axis=0), ladder.total * negatives)


def pr_auc_of(ladder: Ladder) -> Floats:
    """`pr_auc` of a ladder of labels; needs whole-number weights.

    A step of m rows, p of them positive, below N rows with P positives: place i of the step is positive with chance
    p / m and then has on average (p - 1)(i - 1) / (m - 1) positives of the step before it, so the step adds
    p / m * sum_i [P + 1 + c (i - 1)] / (N + i), c = (p - 1) / (m - 1), a difference of harmonic numbers.
    """
    holding = np.flatnonzero(_steps(ladder.held).any(axis=tuple(range(1, ladder.held.ndim))))
    p, before_p = _steps(ladder.held)[holding], _shifted(ladder.held)[holding]
    m, before = _steps(ladder.reach)[holding], _shifted(ladder.reach)[holding]
    harmonic = _harmonic(int(ladder.mass.max(initial=0)))
    sums = (harmonic[(before + m).astype(np.intp)] - harmonic[before.astype(np.intp)]).astype(np.float64)
    slope = (p - 1) / np.maximum(m - 1, 1)
    added = p / np.maximum(m, 1) * ((before_p + 1) * sums + slope * (m - (before + 1) * sums))
    return ratio(added.sum(axis=0), ladder.total)


def _steps(column: Floats) -> Floats:
    """What each step adds to a cumulative column."""
    return np.diff(column, axis=0, prepend=0.0)


def _shifted(column: Floats) -> Floats:
    """A cumulative column as it stood before each step."""
    return np.concatenate([np.zeros_like(column[:1]), column[:-1]])


def ratio(part: Floats | float, whole: Floats | float) -> Floats:
    """nan where `whole` is not above 0; a scalar of two scalars."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    out: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)[()]
    return out


_HARMONIC: dict[str, np.ndarray] = {}


def _harmonic(n: int) -> np.ndarray:
    """Harmonic numbers H(0..n) at least; extended precision, because neighbours are subtracted."""
    known = _HARMONIC.get("table")
    if known is None or len(known) <= n:
        size = max(n, 1 << 14)
        terms = 1 / np.arange(1, size + 1, dtype=np.longdouble)
        known = _HARMONIC["table"] = np.append(np.longdouble(0), np.cumsum(terms))
    return known


def _total(value: Floats, weight: Floats | None) -> Floats:
    out: Floats = value.sum() if weight is None else value @ weight
    return out
