"""Ridge logistic regression on log features: the hazard that few positives carry, and that a plain world favours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from models.hazard import LOG_MONTHS, REASON_INTERVAL, STARTS, Hazard, Never, PersonPeriods

PENALTY = 1_000.0  # of a squared weight; measured, docs/adr/0015
PLAIN_PENALTY = 10.0  # of the baselines, which are fitted on one horizon's labels
INTERVAL_SCALE = 3.0  # of the interval's own columns: their weights are penalised a ninth as much
SEEN = 0.001  # share of training rows in which a column must be null to earn a flag


@dataclass(frozen=True)
class Design:
    """How a matrix becomes columns of a linear sum: signed logs, standardised, 0 where null; one flag for each column
    that may be null; one flag for each level of each category.

    mean, scale: (numeric columns,). numeric, flagged: places in the matrix. levels: (place, code) of category flags.
    """

    numeric: tuple[int, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    flagged: tuple[int, ...]
    levels: tuple[tuple[int, int], ...]

    @classmethod
    def learn(cls, matrix: np.ndarray, categories: list[int]) -> Design:
        numeric = [i for i in range(matrix.shape[1]) if i not in categories]
        logged = np.ma.masked_invalid(signed_log(matrix[:, numeric]))
        scale = np.asarray(logged.std(axis=0).filled(0.0))
        null = np.isnan(matrix).mean(axis=0) if len(matrix) else np.zeros(matrix.shape[1])
        codes = [(i, int(c)) for i in categories for c in np.unique(matrix[:, i][~np.isnan(matrix[:, i])])]
        return cls(
            tuple(numeric),
            tuple(np.asarray(logged.mean(axis=0).filled(0.0)).tolist()),
            tuple(np.where(scale > 1e-9, scale, 1.0).tolist()),
            tuple(i for i in numeric if null[i] > SEEN),
            tuple(codes),
        )

    def columns(self, matrix: np.ndarray) -> np.ndarray:
        """(n, columns) float64."""
        standard = (signed_log(matrix[:, self.numeric]) - np.array(self.mean)) / np.array(self.scale)
        flags = np.isnan(matrix[:, self.flagged]).astype(np.float64)
        levels = [(matrix[:, place] == code).astype(np.float64) for place, code in self.levels]
        return np.column_stack([np.nan_to_num(standard), flags, *levels])

    def to_json(self) -> dict[str, Any]:
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Design:
        parts = {name: tuple(said[name]) for name in ("numeric", "mean", "scale", "flagged")}
        return cls(**parts, levels=tuple((place, code) for place, code in said["levels"]))

    @property
    def owner(self) -> np.ndarray:
        """(columns,) place in the matrix that each column speaks for."""
        return np.array([*self.numeric, *self.flagged, *(place for place, _ in self.levels)], dtype=int)


@dataclass(frozen=True)
class Logistic:
    """A linear sum over a design's columns, in log-odds."""

    design: Design
    weights: np.ndarray
    intercept: float

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) probability."""
        return np.asarray(expit(self.raw(matrix)))

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds."""
        return linear(self.design.columns(matrix), self.weights) + self.intercept

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, k) terms of the linear sum, all columns of a feature together: `raw` less the intercept."""
        terms = self.design.columns(matrix) * self.weights
        out = np.zeros(matrix.shape)
        for column, place in enumerate(self.design.owner):
            out[:, place] += terms[:, column]
        return out

    def shares(self, names: tuple[str, ...]) -> dict[str, float]:
        """Share of all absolute weights by feature, the columns being of one scale; sums to 1, or is empty without a
        weight. What `gain_shares` is to trees."""
        sums = np.bincount(self.design.owner, np.abs(self.weights), len(names))
        return {name: float(w / sums.sum()) for name, w in zip(names, sums, strict=True)} if sums.sum() > 0 else {}


@dataclass(frozen=True)
class LogisticHazard:
    """The same weights in every interval; `levels` (intervals,) is what each adds."""

    logistic: Logistic
    levels: tuple[float, ...]

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        return np.asarray((self.logistic.raw(matrix)[:, None] + np.array(self.levels)) + LOG_MONTHS)

    def at(self, matrix: np.ndarray, interval: int) -> np.ndarray:
        return np.asarray(self.logistic.raw(matrix) + self.levels[interval] + LOG_MONTHS[interval])

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        return self.at(matrix, REASON_INTERVAL)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        return self.logistic.contributions(matrix)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "logistic",
            "design": self.logistic.design.to_json(),
            "weights": self.logistic.weights.tolist(),
            "intercept": self.logistic.intercept,
            "interval_levels": list(self.levels),
        }

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> LogisticHazard:
        design = Design.from_json(said["design"])
        logistic = Logistic(design, np.array(said["weights"], dtype=np.float64), said["intercept"])
        return cls(logistic, tuple(said["interval_levels"]))


def fit_logistic_hazard(
    matrix: np.ndarray, taught: PersonPeriods, categories: list[int], penalty: float = PENALTY
) -> Hazard:
    """Fits one cause-specific hazard on the snapshots of `matrix`."""
    if taught.label.sum() == 0:
        return Never()
    design = Design.learn(matrix[np.unique(taught.row)], categories)
    used, place = np.unique(taught.row, return_inverse=True)
    columns = design.columns(matrix[used]).astype(np.float32)[place]
    later = [(taught.interval == k) * np.float32(INTERVAL_SCALE) for k in range(1, len(STARTS))]
    rows = np.column_stack([columns, *later]).astype(np.float32)
    intercept, weights = ridge(rows, taught.label, penalty, taught.weight, np.log(taught.months))
    edge = len(weights) - len(later)
    levels = (0.0, *(float(w) * INTERVAL_SCALE for w in weights[edge:]))
    return LogisticHazard(Logistic(design, weights[:edge], intercept), levels)


def fit_logistic(
    matrix: np.ndarray, label: np.ndarray, categories: list[int] | None = None, penalty: float = PLAIN_PENALTY
) -> Logistic:
    """matrix: (n, k), NaN is null. label: (n,) with both classes."""
    design = Design.learn(matrix, categories or [])
    intercept, weights = ridge(
        design.columns(matrix).astype(np.float32), label, penalty, np.ones(len(label)), np.zeros(len(label))
    )
    return Logistic(design, weights, intercept)


def ridge(
    rows: np.ndarray, label: np.ndarray, penalty: float, weight: np.ndarray, offset: np.ndarray
) -> tuple[float, np.ndarray]:
    """Intercept and (k,) weights that minimise the weighted log-loss + penalty / 2 * |weights|^2, the intercept free.
    Newton's method, each step halved until the loss falls."""
    shrink = np.full(rows.shape[1] + 1, penalty)
    shrink[0] = 0.0
    rate = float(np.average(label, weights=weight))
    found = np.zeros(rows.shape[1] + 1)
    found[0] = np.log(rate / (1 - rate)) - float(np.average(offset, weights=weight))
    line = found[0] + offset

    def loss(line: np.ndarray, weights: np.ndarray) -> float:
        return float(weight @ (np.logaddexp(0, line) - label * line) + shrink @ weights**2 / 2)

    best = loss(line, found)
    for _ in range(50):
        chance = expit(line)
        miss, curve = weight * (label - chance), (weight * np.maximum(chance * (1 - chance), 1e-7)).astype(rows.dtype)
        slope = np.append(miss.sum(), rows.T @ miss.astype(rows.dtype)) - shrink * found
        bent = rows * curve[:, None]
        bend = np.diag(shrink + 1e-6)
        bend[1:, 1:] += rows.T @ bent
        edge = bent.sum(axis=0, dtype=np.float64)
        bend[0, 1:] += edge
        bend[1:, 0] += edge
        bend[0, 0] += curve.sum(dtype=np.float64)
        step = np.linalg.solve(bend, slope)
        move = step[0] + rows @ step[1:].astype(rows.dtype)
        part = 1.0
        while part > 1e-4 and (reached := loss(line + part * move, found + part * step)) >= best:
            part /= 2
        if part <= 1e-4:
            break
        found, line = found + part * step, line + part * move
        gained, best = best - reached, reached
        if gained < 1e-4:
            break
    return float(found[0]), found[1:]


def linear(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,) weighted sums of the columns. No matrix product: its order of summing, hence the last bit of a score, would
    depend on how many rows there are."""
    out = np.zeros(len(columns))
    for column, weight in zip(columns.T, weights, strict=True):
        out += column * weight
    return out


def signed_log(matrix: np.ndarray) -> np.ndarray:
    """log(1 + |x|) with the sign of x; null stays null."""
    return np.asarray(np.sign(matrix) * np.log1p(np.abs(matrix)))
