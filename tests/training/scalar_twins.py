"""The figures again, one row at a time and by other formulations: what the stated ones must agree with."""

from __future__ import annotations

import math
from collections.abc import Sequence

Numbers = Sequence[float]


def _stands(score: Numbers, i: int) -> tuple[int, int]:
    """Rows strictly above row i, and rows tied with it, itself included."""
    return sum(s > score[i] for s in score), sum(s == score[i] for s in score)


def roc_auc(label: Numbers, score: Numbers) -> float:
    """Over all pairs of a positive and a negative."""
    won, pairs = 0.0, 0
    for i, one in enumerate(label):
        for j, other in enumerate(label):
            if one == 1 and other == 0:
                pairs += 1
                won += 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
    return won / pairs if pairs else math.nan


def pr_auc(label: Numbers, score: Numbers) -> float:
    """Expected precision at each positive, over each place it may take among its ties."""
    total = 0.0
    positives = [i for i, one in enumerate(label) if one == 1]
    for i in positives:
        above, tied = _stands(score, i)
        positives_above = sum(score[j] > score[i] for j in positives)
        others = sum(score[j] == score[i] for j in positives) - 1
        for place in range(1, tied + 1):
            before = others * (place - 1) / (tied - 1) if tied > 1 else 0.0
            total += (positives_above + before + 1) / (above + place) / tied
    return total / len(positives) if positives else math.nan


def share_in_top(amount: Numbers, score: Numbers, percent: float) -> float:
    """Each row counts by the chance that it is in the top."""
    capacity, held = len(score) * percent / 100, 0.0
    for i, one in enumerate(amount):
        above, tied = _stands(score, i)
        held += max(one, 0.0) * min(max((capacity - above) / tied, 0.0), 1.0)
    total = sum(max(one, 0.0) for one in amount)
    return held / total if total > 0 else math.nan


def brier_skill(label: Numbers, score: Numbers) -> float:
    if not label or len(set(label)) < 2:
        return math.nan
    rate = sum(label) / len(label)
    own = sum((s - y) ** 2 for s, y in zip(score, label, strict=True))
    return 1 - own / sum((rate - y) ** 2 for y in label)


def log_loss(label: Numbers, score: Numbers) -> float:
    if not label:
        return math.nan
    total = 0.0
    for y, s in zip(label, score, strict=True):
        s = min(max(s, 1e-15), 1 - 1e-15)
        total -= math.log(s) if y == 1 else math.log1p(-s)
    return total / len(label)


def ece(label: Numbers, score: Numbers, bins: int = 15) -> float:
    """Each row lies in each bin by the share of its run of ties that the bin covers."""
    n, gaps = len(label), [0.0] * bins
    for i in range(n):
        above, tied = _stands(score, i)
        for b in range(bins):
            overlap = max(0.0, min(n * (b + 1) / bins, above + tied) - max(n * b / bins, above)) / tied
            gaps[b] += overlap * (score[i] - label[i])
    return sum(map(abs, gaps)) / n if n else math.nan


def expected_over_actual(label: Numbers, score: Numbers) -> float:
    return sum(score) / sum(label) if sum(label) else math.nan


def held_by_first(amount: Numbers, score: Numbers, count: float) -> float:
    """Each row counts by the chance that it is among the first `count`."""
    held = 0.0
    for i, one in enumerate(amount):
        above, tied = _stands(score, i)
        held += max(one, 0.0) * min(max((count - above) / tied, 0.0), 1.0)
    return held


def gini(money: Numbers, score: Numbers) -> float:
    """Share of the money of the first k accounts, averaged over k, less what chance would give; over the same of who
    knows the money. The area of a polygon whose corners lie at whole accounts is the mean of its corners."""
    gain = [max(one, 0.0) for one in money]
    total, n = sum(gain), len(gain)
    if not total > 0 or max(gain) == min(gain):
        return math.nan

    def area(by: Numbers) -> float:
        corners = [held_by_first(gain, by, k) / total for k in range(n + 1)]
        return (sum(corners) - (corners[0] + corners[-1]) / 2) / n - 0.5

    return area(score) / area(gain)


def spearman(money: Numbers, score: Numbers) -> float:
    def ranks(values: Numbers) -> list[float]:
        return [sum(v < one for v in values) + (sum(v == one for v in values) + 1) / 2 for one in values]

    if not money or max(money) == min(money) or max(score) == min(score):
        return math.nan
    x, y = ranks(money), ranks(score)
    mean = (len(x) + 1) / 2
    cov = sum((a - mean) * (b - mean) for a, b in zip(x, y, strict=True))
    return cov / math.sqrt(sum((a - mean) ** 2 for a in x) * sum((b - mean) ** 2 for b in y))


def parts(score: Numbers, count: int) -> list[list[int]]:
    """Row numbers, lowest score first, dealt into `count` parts of which the first have one more where it does not go
    up evenly."""
    order = sorted(range(len(score)), key=lambda i: (score[i], i))
    out = []
    for part in range(count):
        size = len(order) // count + (part < len(order) % count)
        taken = sum(len(one) for one in out)
        out.append(order[taken : taken + size])
    return [part for part in out if part]


def decile_mape(money: Numbers, expected: Numbers) -> float:
    gap = seen = 0.0
    for part in parts(expected, 10):
        own = sum(money[i] for i in part)
        gap += abs(sum(expected[i] for i in part) - own)
        seen += abs(own)
    return gap / seen if seen > 0 else math.nan


def wilson(positives: int, n: int) -> tuple[float, float]:
    """The rates at which the score test of `positives` in `n` is just passed, by bisection."""

    def beyond(rate: float) -> float:
        return abs(positives / n - rate) - 1.959964 * math.sqrt(rate * (1 - rate) / n)

    bounds = []
    for out, into in ((0.0, positives / n), (1.0, positives / n)):
        for _ in range(200):
            middle = (out + into) / 2
            out, into = (middle, into) if beyond(middle) > 0 else (out, middle)
        bounds.append((out + into) / 2)
    return bounds[0], bounds[1]


def tie_range(wanted: Numbers, score: Numbers, count: int) -> tuple[float, float, float]:
    """Sorted once with the tied in the worst order, once in the best; between them the expectation."""
    rows = list(zip(score, wanted, strict=True))
    worst = sum(w for _, w in sorted(rows, key=lambda row: (-row[0], row[1]))[:count])
    best = sum(w for _, w in sorted(rows, key=lambda row: (-row[0], -row[1]))[:count])
    return worst, held_by_first(wanted, score, count), best


def net_benefit(label: Numbers, score: Numbers, threshold: float) -> float:
    if not label:
        return math.nan
    value = 0.0
    for y, s in zip(label, score, strict=True):
        if s >= threshold:
            value += 1.0 if y == 1 else -threshold / (1 - threshold)
    return value / len(label)


def profit_at(money: Numbers, score: Numbers, count: int, cost: float, margin: float, uplift: float) -> float:
    """A contact at a time, best score first; one among its ties earns their mean."""
    profit = 0.0
    for place in range(min(count, len(score))):
        border = sorted(score, reverse=True)[place]
        tied = [max(m, 0.0) for m, s in zip(money, score, strict=True) if s == border]
        profit += uplift * margin * sum(tied) / len(tied) - cost
    return profit


def calibration_gradient(label: Numbers, score: Numbers, intercept: float, slope: float) -> tuple[float, float]:
    """Of the log-likelihood of the line; both zero at the fit, which is the only such point."""
    first = second = 0.0
    for y, s in zip(label, score, strict=True):
        x = math.log(s / (1 - s))
        rest = y - 1 / (1 + math.exp(-(intercept + slope * x)))
        first, second = first + rest, second + rest * x
    return first, second
