"""Time to expansion in discrete time: cause-specific hazards of expanding and of closing, by interval after as_of.

P(expand by H) = sum over intervals k up to H of S(k-1) h_expand(k), with S(k) = S(k-1) (1 - h_expand(k) - h_churn(k))
(Suresh et al. 2022, Bender et al. 2020). So P(h) cannot fall as h grows, P(expand) + P(churn) cannot pass 1, and a
snapshot teaches every interval it was observed through, however short that is.

Each hazard is one binary booster over snapshot x interval; the interval's length enters as a fixed log offset, so an
interval longer than any seen in training is a rate extrapolated, not a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import lightgbm as lgb
import numpy as np

from models.boosting import THREADS, BoosterParams, fit_booster
from models.trees import hold

EDGES = (0, 30, 60, 90, 135, 180, 270, 360)  # days after as_of; interval k is [EDGES[k], EDGES[k + 1])
REASON_INTERVAL = 3  # reasons are told for the hazard of [90, 135) days: the middle of the default horizon
INTERVAL_FEATURE = "interval_start"
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Hazard:
    """Hazard of one event by interval. `base`: log-odds of the event per 30 days in training."""

    booster: lgb.Booster | None
    base: float

    def by_interval(self, matrix: np.ndarray, shift: float = 0.0) -> np.ndarray:
        """(n, intervals) probability of the event in each interval, given that none came before it."""
        out = np.zeros((len(matrix), len(EDGES) - 1))
        if self.booster is None or not len(matrix):
            return out
        rows = np.column_stack([matrix, np.zeros(len(matrix))])
        for k in range(len(EDGES) - 1):
            rows[:, -1] = EDGES[k]
            raw = np.asarray(self.booster.predict(rows, raw_score=True, num_threads=THREADS))
            out[:, k] = 1.0 / (1.0 + np.exp(-(raw + offset(self.base, k) + shift)))
        return out

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds of the hazard of interval `REASON_INTERVAL`; 0 where no event was ever seen."""
        if self._explained is None or not len(matrix):
            return np.zeros(len(matrix))
        raw = self._explained.predict(_with(matrix, EDGES[REASON_INTERVAL]), raw_score=True, num_threads=THREADS)
        return np.asarray(raw) + offset(self.base, REASON_INTERVAL)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, features) exact TreeSHAP of `raw`: a row sums to its log-odds less a constant."""
        if self._explained is None or not len(matrix):
            return np.zeros_like(matrix)
        rows = _with(matrix, EDGES[REASON_INTERVAL])
        shap = self._explained.predict(rows, pred_contrib=True, num_threads=THREADS)
        return np.asarray(shap)[:, : matrix.shape[1]]

    @cached_property
    def _explained(self) -> lgb.Booster | None:
        """The booster once the interval is known, so that the interval takes no share of what features contribute."""
        if self.booster is None:
            return None
        return hold(self.booster, self.booster.num_feature() - 1, float(EDGES[REASON_INTERVAL]))


def _with(matrix: np.ndarray, interval_start: float) -> np.ndarray:
    return np.column_stack([matrix, np.full(len(matrix), float(interval_start))])


def offset(base: float, interval: int) -> float:
    return base + float(np.log((EDGES[interval + 1] - EDGES[interval]) / 30))


def person_periods(
    event_day: np.ndarray, other_day: np.ndarray, observed_days: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Snapshot x interval rows that teach one hazard.

    Args:
        event_day, other_day: (n,) int64 days to the event and to the competing one, NEVER if none was seen.
        observed_days: (n,) int64 days from as_of in which an event can be told.

    Returns:
        row (index of the snapshot), interval, label (0/1). An interval is in only if the snapshot was observed through
        its end and neither event came before its start: never an early positive beside an immature negative.
    """
    rows, intervals, labels = [], [], []
    for k in range(len(EDGES) - 1):
        start, end = EDGES[k], EDGES[k + 1]
        at_risk = np.flatnonzero((observed_days >= end) & (event_day >= start) & (other_day >= start))
        rows.append(at_risk)
        intervals.append(np.full(len(at_risk), k))
        # of two events in one interval the earlier counts; on one day both do, and `incidence` scales a sum past 1
        labels.append((event_day[at_risk] < end) & (event_day[at_risk] <= other_day[at_risk]))
    return np.concatenate(rows), np.concatenate(intervals), np.concatenate(labels).astype(np.float64)


def fit_hazard(
    matrix: np.ndarray,
    event_day: np.ndarray,
    other_day: np.ndarray,
    observed_days: np.ndarray,
    params: BoosterParams,
    seed: int,
    names: list[str],
    categories: list[int],
) -> Hazard:
    """Fits one cause-specific hazard; without a single event it is zero everywhere."""
    row, interval, label = person_periods(event_day, other_day, observed_days)
    if label.sum() == 0:
        return Hazard(None, 0.0)
    exposure = np.diff(EDGES)[interval] / 30
    rate = label.sum() / exposure.sum()
    base = float(np.log(rate / max(1e-9, 1 - rate)))
    starts = np.asarray(EDGES[:-1], dtype=np.float64)[interval]
    booster = fit_booster(
        np.column_stack([matrix[row], starts]),
        label,
        "binary",
        params,
        seed,
        names=[*names, INTERVAL_FEATURE],
        categories=categories,
        offset=base + np.log(exposure),
    )
    return Hazard(booster, base)


def incidence(
    expand: np.ndarray, churn: np.ndarray, horizons: tuple[int, ...]
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Cumulative incidence of both events by horizon.

    Args:
        expand, churn: (n, intervals) hazards. Where their sum passes 1 both are scaled to sum to 1.
        horizons: days, each one of EDGES.

    Returns:
        P(expand in [as_of, as_of + h)) and P(churn in ...) by h, each (n,), never falling in h, their sum at most 1.
    """
    total = np.maximum(1.0, expand + churn)
    expand, churn = expand / total, churn / total
    still = np.maximum(0.0, 1 - expand - churn)  # rounding may leave it a hair below 0, and P(h) would fall
    alive = np.cumprod(np.column_stack([np.ones(len(expand)), still]), axis=1)[:, :-1]
    by_expand = np.minimum(np.cumsum(alive * expand, axis=1), 1.0)
    by_churn = np.minimum(np.cumsum(alive * churn, axis=1), 1 - by_expand)
    place = {h: EDGES.index(h) - 1 for h in horizons}
    return {h: by_expand[:, k] for h, k in place.items()}, {h: by_churn[:, k] for h, k in place.items()}
