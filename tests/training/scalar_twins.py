"""The metrics again, one row at a time and by other formulations: what the vectorised ones must agree with."""

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
    n, gap = len(label), 0.0
    for b in range(bins):
        low, high = n * b / bins, n * (b + 1) / bins
        inside = 0.0
        for i in range(n):
            first = sum(s > score[i] for s in score)
            tied = sum(s == score[i] for s in score)
            overlap = max(0.0, min(high, first + tied) - max(low, first)) / tied
            inside += overlap * (score[i] - label[i])
        gap += abs(inside)
    return gap / n if n else math.nan


def expected_over_actual(label: Numbers, score: Numbers) -> float:
    return sum(score) / sum(label) if sum(label) else math.nan
