"""Challengers: one classifier a horizon, with weights for snapshots that the data end cuts off, or of whole ones alone.

A snapshot tells of horizon h if its event came within what was observed of it, or if it was observed for h days. The
first is told of more often the sooner the event came, so a row counts 1 / G(t), G(t) the share of snapshots observed
for more than t days, t the day its outcome was known (inverse-censoring weights, Vock et al. 2016).

The weights hold only if whoever is cut off resembles somebody who is not. In a short history nobody as old as the
oldest accounts was ever watched to the end, so of them early successes alone are known: on `plain` it states 2.5 times
the truth where the hazards state 1.2. That is why it challenges and does not serve. Told of snapshots observed for h
days alone (`matured`), a classifier needs no such thing; it learns from older dates only, and from fewer rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from models.boosting import BoosterParams, fit_booster
from models.hazard import thin
from models.side_by_side import threads

Weigh = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]  # as `censored`
LEAST_OBSERVED = 0.05  # G below it is set to it, so that no row counts for more than twenty


@dataclass(frozen=True)
class Direct:
    """One booster a horizon, shortest first; horizons without an event have none."""

    boosters: dict[int, lgb.Booster]

    def by_horizon(self, matrix: np.ndarray, horizons: tuple[int, ...]) -> dict[int, np.ndarray]:
        """P(target in [as_of, as_of + h)), each (n,); separate classifiers cross, so each is the largest so far."""
        out, most = {}, np.zeros(len(matrix))
        for h in sorted(horizons):
            if h in self.boosters and len(matrix):
                most = np.maximum(most, np.asarray(self.boosters[h].predict(matrix, num_threads=threads())))
            out[h] = most
        return out


def fit_direct(
    matrix: np.ndarray,
    event_day: np.ndarray,
    observed_days: np.ndarray,
    horizons: tuple[int, ...],
    params: BoosterParams,
    seed: int,
    names: list[str],
    categories: list[int],
    weigh: Weigh | None = None,
) -> Direct:
    """event_day: (n,) int64, NEVER if none was observed; closing before it is a negative outcome like any other.
    `weigh`: `censored` (null) or `matured`."""
    boosters = {}
    for h in horizons:
        label, weight = (weigh or censored)(event_day, observed_days, h)
        told = np.flatnonzero(weight > 0)
        if not 0 < label[told].sum() < len(told):
            continue
        kept, stands_for = thin(label[told] > 0, seed)
        told = told[kept]
        boosters[h] = fit_booster(
            matrix[told], label[told], "binary", params, seed,
            names=names, categories=categories, weight=weight[told] * stands_for, monotone=params.monotone,
        )  # fmt: skip
    return Direct(boosters)


def censored(event_day: np.ndarray, observed_days: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) label 0/1 and (n,) weight; weight 0 where the outcome is not known."""
    came = (event_day < horizon) & (event_day < observed_days)
    known = np.where(came, event_day, horizon - 1)  # the last day that has to be observed
    order = np.sort(observed_days)
    longer = 1 - np.searchsorted(order, known, side="right") / max(1, len(order))
    weight = 1 / np.maximum(longer, LEAST_OBSERVED)
    return came.astype(np.float64), np.where(came | (observed_days >= horizon), weight, 0.0)


def matured(event_day: np.ndarray, observed_days: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """As `censored`, of snapshots observed for the whole horizon alone, each counted once."""
    return (event_day < horizon).astype(np.float64), (observed_days >= horizon).astype(np.float64)
