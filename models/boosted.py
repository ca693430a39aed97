"""Boosted hazards: trees over snapshot x interval, averaged over seeds in log-odds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightgbm as lgb
import numpy as np

from models.boosting import BoosterParams, fit_seeds, said_in_training
from models.hazard import EDGES, LOG_MONTHS, REASON_INTERVAL, STARTS, Fit, Never, PersonPeriods
from models.side_by_side import threads
from models.trees import hold

INTERVAL_FEATURE = "interval_start"


@dataclass(frozen=True)
class Boosted:
    """`boosters` differ in seed alone; `base`: log-odds of the event per 30 days in training."""

    boosters: tuple[lgb.Booster, ...]
    base: float

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        rows = _with(matrix, STARTS[0])
        return np.column_stack([self._in(k, rows) for k in range(len(STARTS))])

    def at(self, matrix: np.ndarray, interval: int) -> np.ndarray:
        return self._in(interval, _with(matrix, STARTS[interval]))

    def _in(self, interval: int, rows: np.ndarray) -> np.ndarray:
        """`at`, of rows with a last column for the start of the interval, which is overwritten."""
        if not len(rows):
            return np.zeros(0)
        rows[:, -1] = STARTS[interval]
        return np.asarray(_mean(self.boosters, rows, raw_score=True) + self.base + LOG_MONTHS[interval])

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        if not len(matrix):
            return np.zeros(0)
        rows = _with(matrix, EDGES[REASON_INTERVAL])
        return np.asarray(_mean(self._explained, rows, raw_score=True) + self.base + LOG_MONTHS[REASON_INTERVAL])

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, features) exact TreeSHAP of `raw`: a row sums to its log-odds less a constant."""
        if not len(matrix):
            return np.zeros_like(matrix)
        rows = _with(matrix, EDGES[REASON_INTERVAL])
        return _mean(self._explained, rows, pred_contrib=True)[:, : matrix.shape[1]]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "boosted", "base": self.base, "seeds": len(self.boosters)}

    @cached_property
    def _explained(self) -> tuple[lgb.Booster, ...]:
        """The boosters once the interval is known, so that it takes no share of what features contribute."""
        return tuple(hold(b, b.num_feature() - 1, float(EDGES[REASON_INTERVAL])) for b in self.boosters)


def fit_boosted(
    matrix: np.ndarray,
    taught: PersonPeriods,
    params: BoosterParams,
    seed: int,
    names: list[str],
    categories: list[int],
    *,
    objective: str = "binary",
    base: float | None = None,
) -> Fit:
    """Fits one cause-specific hazard on the snapshots of `matrix`. Of labels that are chances the objective is
    "cross_entropy". `base`: log-odds of the event per 30 days to start from; null: as the labels have it."""
    if taught.label.sum() == 0:
        return Fit(Never(), np.zeros(0))
    base = taught.base if base is None else base
    rows = np.column_stack([matrix[taught.row], STARTS[taught.interval]])
    boosters = fit_seeds(
        rows,
        taught.label,
        objective,
        params,
        seed,
        names=[*names, INTERVAL_FEATURE],
        categories=categories,
        offset=base + np.log(taught.months),
        weight=taught.weight,
    )
    said = np.sum([said_in_training(booster) for booster in boosters], axis=0) / len(boosters)
    return Fit(Boosted(tuple(boosters), base), said)


def _mean(boosters: tuple[lgb.Booster, ...], rows: np.ndarray, **asked: bool) -> np.ndarray:
    said = [np.asarray(booster.predict(rows, num_threads=threads(), **asked)) for booster in boosters]
    return np.asarray(np.sum(said, axis=0) / len(said))


def _with(matrix: np.ndarray, interval_start: float) -> np.ndarray:
    return np.column_stack([matrix, np.full(len(matrix), float(interval_start))])
