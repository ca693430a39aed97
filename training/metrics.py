"""How good a ranking or a probability was: pure functions of what happened and what was said.

One signature: `metric(label, score, weight)`, or `metric(money, score, weight)` where money is judged. All are float64
of shape (n,); label is 0 or 1; score ranks, highest first, and is a probability where the metric needs one; weight is a
whole number, how often the row stands in the sample, None for once each. Rows of equal score are in random order and
the figure is the exact expectation over those orders. A figure that the rows do not define (no rows, one class only, no
money) is nan, never 0. Each function has a scalar twin in the tests that shares no formula with it.
"""

from __future__ import annotations

import numpy as np

from training.ranking import Floats, Ladder, Ranking

BINS = 15  # equal-mass bins of `ece`
EDGE = 1e-15  # a probability of exactly 0 or 1 costs -log(EDGE), not infinity


def roc_auc(label: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Chance that a random positive outranks a random negative; a tie is half. nan without both classes."""
    return roc_auc_of(Ladder.of(Ranking.of(score), label, weight))


def pr_auc(label: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Average precision: the precision at each positive, averaged. nan without positives."""
    return pr_auc_of(Ladder.of(Ranking.of(score), label, weight))


def lift(label: Floats, score: Floats, weight: Floats | None = None, *, percent: float) -> float:
    """Rate of positives in the top `percent` % over the rate in all rows. nan without positives."""
    return recall(label, score, weight, percent=percent) * 100 / percent


def recall(label: Floats, score: Floats, weight: Floats | None = None, *, percent: float) -> float:
    """Share of the positives that the top `percent` % holds. nan without positives."""
    return share_of(Ladder.of(Ranking.of(score), label, weight), percent)


def revenue_captured(money: Floats, score: Floats, weight: Floats | None = None, *, percent: float) -> float:
    """Share of all money gained (`money` where positive; a loss counts as none) that the top `percent` % holds.
    nan where nobody gained."""
    return share_of(Ladder.of(Ranking.of(score), np.maximum(money, 0.0), weight), percent)


def brier(label: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Mean squared error of the probability. nan without rows."""
    return _mean((score - label) ** 2, weight)


def brier_skill(label: Floats, score: Floats, weight: Floats | None = None) -> float:
    """1 - brier / brier of saying the rate of these very rows to each; 0 = no better. nan without both classes."""
    rate = _mean(label, weight)
    spread = rate * (1 - rate)
    return 1 - brier(label, score, weight) / spread if spread > 0 else float("nan")


def log_loss(label: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Mean of -log of the probability given to what happened, in nats. nan without rows."""
    return _mean(log_losses(label, score), weight)


def log_losses(label: Floats, score: Floats) -> Floats:
    """The log-loss of each row, shape (n,)."""
    said = np.clip(score, EDGE, 1 - EDGE)
    out: Floats = -np.where(label > 0, np.log(said), np.log1p(-said))
    return out


def ece(label: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Mean absolute gap between the probability said and the rate seen over `BINS` bins of equal mass along the score;
    a run of equal scores that straddles an edge is divided in proportion. nan without rows."""
    if not len(label):
        return float("nan")
    ranking = Ranking.of(score)
    seen, said = Ladder.of(ranking, label, weight), Ladder.of(ranking, score, weight)
    if not seen.reach[-1] > 0:
        return float("nan")
    edges = seen.reach[-1] * np.arange(BINS + 1) / BINS
    reach = np.append(0.0, seen.reach)
    gap = np.interp(edges, reach, np.append(0.0, said.held)) - np.interp(edges, reach, np.append(0.0, seen.held))
    return float(np.abs(np.diff(gap)).sum() / seen.reach[-1])


def expected_over_actual(label: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Sum of the probabilities over the number of positives; 1 = the total is right. nan without positives."""
    actual = _total(label, weight)
    return _total(score, weight) / actual if actual > 0 else float("nan")


def calibration_line(label: Floats, score: Floats, weight: Floats | None = None) -> tuple[float, float]:
    """Intercept and slope of the label's log-odds on the probability's: (0, 1) is right, a slope below 1 overconfident.
    Newton's method on the likelihood. nan, nan without both classes, without two distinct scores, or when the classes
    part so cleanly that no finite line fits."""
    bad = float("nan"), float("nan")
    said = np.clip(score, EDGE, 1 - EDGE)
    x = np.column_stack([np.ones(len(said)), np.log(said) - np.log1p(-said)])
    w = np.ones(len(said)) if weight is None else weight
    if not len(label) or not 0 < _total(label, weight) < w.sum() or np.ptp(x[:, 1]) == 0:
        return bad
    line = np.array([0.0, 1.0])
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-np.clip(x @ line, -500, 500)))
        curvature = (x * (w * fitted * (1 - fitted))[:, None]).T @ x
        if np.linalg.cond(curvature) > 1e14:
            return bad
        step = np.linalg.solve(curvature, x.T @ (w * (label - fitted)))
        line = line + step
        if np.abs(step).max() < 1e-10:
            return float(line[0]), float(line[1])
    return bad


def share_of(ladder: Ladder, percent: float) -> float:
    """`recall` or `revenue_captured` of a ladder already climbed."""
    total = ladder.held[-1] if len(ladder.held) else 0.0
    return float(ladder.top(percent) / total) if total > 0 else float("nan")


def roc_auc_of(ladder: Ladder) -> float:
    """`roc_auc` of a ladder of labels already climbed."""
    positives = ladder.held[-1] if len(ladder.held) else 0.0
    negatives = ladder.reach[-1] - positives if len(ladder.held) else 0.0
    if not (positives > 0 and negatives > 0):
        return float("nan")
    step, here, _ = _positive_steps(ladder)
    missed = ladder.reach - ladder.held  # negatives ranked at or above the step
    above = np.where(step > 0, missed[step - 1], 0.0)
    outranked = negatives - (missed[step] + above) / 2
    return float(here @ outranked / (positives * negatives))


def pr_auc_of(ladder: Ladder) -> float:
    """`pr_auc` of a ladder of labels already climbed; needs whole-number weights.

    A step of m rows, p of them positive, below N rows with P positives: place i of the step is positive with chance
    p / m and then has on average (p - 1)(i - 1) / (m - 1) positives of the step before it, so the step adds
    p / m * sum_i [P + 1 + c (i - 1)] / (N + i), c = (p - 1) / (m - 1), a difference of harmonic numbers.
    """
    positives = ladder.held[-1] if len(ladder.held) else 0.0
    if not positives > 0:
        return float("nan")
    step, p, before_p = _positive_steps(ladder)
    before = np.where(step > 0, ladder.reach[step - 1], 0.0)
    m = ladder.reach[step] - before
    harmonic = _harmonic(int(ladder.reach[-1]))
    sums = (harmonic[ladder.reach[step].astype(np.intp)] - harmonic[before.astype(np.intp)]).astype(np.float64)
    slope = (p - 1) / np.maximum(m - 1, 1)
    return float((p / m) @ ((before_p + 1) * sums + slope * (m - (before + 1) * sums)) / positives)


def _positive_steps(ladder: Ladder) -> tuple[np.ndarray, Floats, Floats]:
    """Steps that hold positives: their numbers, the positives in them and the positives above them, all (steps,)."""
    held = np.append(0.0, ladder.held)
    gained = held[1:] - held[:-1]
    step = np.flatnonzero(gained)
    return step, gained[step], held[step]


_HARMONIC: dict[str, np.ndarray] = {}


def _harmonic(n: int) -> np.ndarray:
    """Harmonic numbers H(0..n) at least; extended precision, because neighbours are subtracted."""
    known = _HARMONIC.get("table")
    if known is None or len(known) <= n:
        size = max(n, 1 << 14)
        terms = 1 / np.arange(1, size + 1, dtype=np.longdouble)
        known = _HARMONIC["table"] = np.append(np.longdouble(0), np.cumsum(terms))
    return known


def _total(value: Floats, weight: Floats | None) -> float:
    return float(value.sum() if weight is None else value @ weight)


def _mean(value: Floats, weight: Floats | None) -> float:
    mass = len(value) if weight is None else weight.sum()
    return _total(value, weight) / mass if mass > 0 else float("nan")
