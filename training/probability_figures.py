"""Figures of a stated probability, made of sums over rows: hundreds of samples cost one thin product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from training import metrics
from training.ranking import Floats

OF_PROBABILITY = ("brier_skill", "log_loss", "expected_over_actual", "calibration_intercept", "calibration_slope")
Line = tuple[float, float]  # intercept and slope


def probability_columns(label: Floats, probability: Floats, line: Line) -> Floats:
    """(9, n) what `probability_figures` needs the sums of: label, probability, squared error, log-loss; and slope (2)
    and bend (3) of the likelihood of the calibration line, at that of all rows."""
    x = metrics.log_odds(probability)
    fitted = expit(line[0] + line[1] * x)
    rest, bend = label - fitted, fitted * (1 - fitted)
    error, loss = (probability - label) ** 2, metrics.log_losses(label, probability)
    return np.stack([label, probability, error, loss, rest, rest * x, bend, bend * x, bend * x * x])


def probability_figures(sums: Sequence[Floats], mass: Floats, line: Line) -> dict[str, Floats]:
    """`OF_PROBABILITY` of a sample of the weight `mass`. Its calibration line is one step of Newton's method from
    `line`, that of all rows, which lies near enough."""
    positives, expected, squared, loss, rest, rest_x, bend, bend_x, bend_xx = sums
    error, rate = metrics.ratio(squared, mass), metrics.ratio(positives, mass)
    size = bend * bend_xx - bend_x**2
    return {
        "brier_skill": metrics.brier_skill_of(error, rate),
        "log_loss": metrics.ratio(loss, mass),
        "expected_over_actual": metrics.ratio(expected, positives),
        "calibration_intercept": line[0] + metrics.ratio(bend_xx * rest - bend_x * rest_x, size),
        "calibration_slope": line[1] + metrics.ratio(bend * rest_x - bend_x * rest, size),
    }
