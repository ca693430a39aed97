"""Calibration as one number: a shift of the log-odds of every hazard, adopted only if it helps on a later window."""

from __future__ import annotations

import numpy as np


def total_shift(probability: np.ndarray, label: np.ndarray, limit: float = 1.0) -> float:
    """The log-odds shift that makes the sum of the probabilities equal the number of positives, within +-limit.

    Args:
        probability: (n,) in (0, 1). label: (n,) 0/1.

    Returns:
        0.0 if the label has a single class.
    """
    if label.min() == label.max():
        return 0.0
    logit = _logit(probability)
    low, high = -limit, limit
    for _ in range(60):
        middle = (low + high) / 2
        if shifted(logit, middle).sum() < label.sum():
            low = middle
        else:
            high = middle
    return float((low + high) / 2)


def shifted(logit: np.ndarray, shift: float) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-(logit + shift))))


def helps(shift: float, probability: np.ndarray, label: np.ndarray) -> bool:
    """Whether `shift` lowers the log-loss on this (later) window."""
    return _log_loss(shifted(_logit(probability), shift), label) < _log_loss(probability, label)


def _logit(probability: np.ndarray) -> np.ndarray:
    clipped = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _log_loss(probability: np.ndarray, label: np.ndarray) -> float:
    clipped = np.clip(probability, 1e-9, 1 - 1e-9)
    return float(-np.mean(label * np.log(clipped) + (1 - label) * np.log(1 - clipped)))
