"""Calibration of hazards: log-odds become a ln p - b ln(1 - p) + c (beta calibration, Kull et al. 2017), a, b >= 0.

It maps the hazard of each interval, never a probability by horizon: whatever a, b and c are, order is kept within an
interval, P(h) cannot fall as h grows, and P(expand) + P(churn) stays within 1. Few positives move the level alone
(a = b = 1); many also the slopes. Never isotonic: its ties cost a tenth of the PR-AUC.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit

BETA_FROM = 100  # positives from which slopes are fitted; below, the level alone
CERTAIN = 2.0  # standard errors of a gain on later rows, for which something is changed (docs/adr/0038)
LIMIT = 1.0  # most that a level alone may move, in log-odds


@dataclass(frozen=True)
class Calibration:
    """`a`, `b`, `c` as above; 1, 1, 0 changes nothing."""

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __call__(self, log_odds: np.ndarray) -> np.ndarray:
        """Log-odds to log-odds of the same shape; what never happens still never does."""
        if self == Calibration():
            return log_odds
        never = np.isneginf(log_odds)
        z = np.where(never, 0.0, log_odds)
        out = self.a * -np.logaddexp(0, -z) + self.b * np.logaddexp(0, z) + self.c
        return np.where(never, -np.inf, out)

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def fit_calibration(log_odds: np.ndarray, label: np.ndarray, slopes: bool | None = None) -> Calibration:
    """The shift that makes expected and actual agree, or beta where `slopes` are asked for (null: by number of
    positives).

    Args:
        log_odds: (n,) finite. label: (n,) 0/1. With a single class nothing is changed.
    """
    if label.min() == label.max():
        return Calibration()
    shift = total_shift(log_odds, label)
    if not (label.sum() >= BETA_FROM if slopes is None else slopes):
        return Calibration(c=shift)
    down, up = -np.logaddexp(0, -log_odds), np.logaddexp(0, log_odds)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        line = x[0] * down + x[1] * up + x[2]
        miss = expit(line) - label
        slope = np.array([miss @ down, miss @ up, miss.sum()])
        return float(np.mean(np.logaddexp(0, line) - label * line)), slope / len(label)

    bounds = [(0.0, None), (0.0, None), (None, None)]
    found = minimize(loss, np.array([1.0, 1.0, shift]), jac=True, bounds=bounds, method="L-BFGS-B")
    return Calibration(*(float(value) for value in found.x))


def total_shift(log_odds: np.ndarray, label: np.ndarray, weight: np.ndarray | None = None) -> float:
    """The shift that makes the sum of the probabilities equal the number of positives, within +-LIMIT."""
    weight = np.ones(len(label)) if weight is None else weight

    def over(shift: float) -> float:
        return float(weight @ (expit(log_odds + shift) - label))

    if over(-LIMIT) >= 0:
        return -LIMIT
    return float(brentq(over, -LIMIT, LIMIT, xtol=1e-12)) if over(LIMIT) > 0 else LIMIT


def losses(log_odds: np.ndarray, label: np.ndarray) -> np.ndarray:
    """(n,) log-loss of each row, in nats."""
    return np.asarray(np.logaddexp(0, log_odds) - label * log_odds)


def beyond_luck(gain: np.ndarray) -> bool:
    """Whether the mean of paired gains (n,) is above 0 by more than `CERTAIN` of its standard errors. By one of them
    luck passes every sixth time, and of several rivals one nearly always does."""
    return bool(gain.mean() > CERTAIN * gain.std() / np.sqrt(len(gain)))


def helps(calibration: Calibration, log_odds: np.ndarray, label: np.ndarray) -> bool:
    """Whether it lowers the log-loss on this (later) window beyond luck: a level learned from a few dozen events is
    mostly their luck."""
    return beyond_luck(losses(log_odds, label) - losses(calibration(log_odds), label))
