"""Ridge logistic regression on log features: the hazard that few positives carry, and that a plain world favours.

How far a weight may go is learned from the same rows: a family of features that tells much is held back less than one
that tells little, and so is a column within it (automatic relevance: MacKay 1992). Measured in docs/adr/0028.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, logit

from features.catalogue import CATALOGUE
from models.errors import BundleRefused
from models.hazard import LOG_MONTHS, REASON_INTERVAL, STARTS, Fit, Never, PersonPeriods

PENALTY = 1_000.0  # of a squared weight, before any is known to be relevant; measured, docs/adr/0015
PLAIN_PENALTY = 10.0  # of the baselines, which are fitted on one horizon's labels
INTERVAL_SCALE = 3.0  # of the interval's own columns: their weights are penalised a ninth as much
SEEN = 0.001  # share of training rows in which a column must be null to earn a flag
SMALL = 0.25  # quantile of a column's magnitudes, zeros aside, that is its unit where it is less than 1
CLOCK = "tenure_days"  # the feature whose weight may differ from interval to interval
PACED = (3, 20)  # so many intervals with so many events each, or it does not: a line through fewer runs away
SPREAD = 0.05  # least scale of a column: one that is nearly always 0 would else be unbounded where it is not
FAMILY = {feature.name: feature.family for feature in CATALOGUE}
ECHOES = 2.0  # rows of one account that count as one: its rows are so alike that even that is generous
FIRST = 5  # of so many rows one tells where to start from
SPARE = 4_000  # rows that are few enough to start with
ROUNDS = 4  # of learning how relevant families and columns are
WITHIN = 100.0  # a penalty stays within so many times less and more than it was


@dataclass(frozen=True)
class Design:
    """How a matrix becomes columns of a linear sum: signed logs of multiples of a unit, standardised, 0 where null; one
    flag for each column that may be null; one flag for each level of each category.

    unit, mean, scale: (numeric columns,). numeric, flagged: places in the matrix. levels: (place, code) of category
    flags.
    """

    numeric: tuple[int, ...]
    unit: tuple[float, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    flagged: tuple[int, ...]
    levels: tuple[tuple[int, int], ...]

    @classmethod
    def learn(cls, matrix: np.ndarray, categories: list[int]) -> tuple[Design, np.ndarray]:
        """The design that a matrix speaks for, and the columns it becomes by it."""
        numeric = [i for i in range(matrix.shape[1]) if i not in categories]
        unit = np.array([_unit(matrix[:, i]) for i in numeric])
        logged = signed_log(matrix[:, numeric], unit)
        null = np.isnan(logged)
        many = np.maximum((~null).sum(axis=0), 1)
        mean = np.where(null, 0.0, logged).sum(axis=0) / many
        off = np.where(null, 0.0, logged - mean)
        scale = np.sqrt(np.einsum("ij,ij->j", off, off) / many)
        often = null.sum(axis=0) > SEEN * len(matrix)
        codes = [(i, int(c)) for i in categories for c in np.unique(matrix[:, i][~np.isnan(matrix[:, i])])]
        design = cls(
            tuple(numeric),
            tuple(unit.tolist()),
            tuple(mean.tolist()),
            tuple(np.where(scale > 1e-9, np.maximum(scale, SPREAD), 1.0).tolist()),
            tuple(i for i, flagged in zip(numeric, often, strict=True) if flagged),
            tuple(codes),
        )
        return design, design._beside(off, matrix)

    def columns(self, matrix: np.ndarray) -> np.ndarray:
        """(n, columns) float64."""
        off = signed_log(matrix[:, list(self.numeric)], np.array(self.unit)) - np.array(self.mean)
        return self._beside(np.where(np.isnan(off), 0.0, off), matrix)

    def _beside(self, off: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """The columns: how far the logs are off the mean, in multiples of the scale, and the flags beside them."""
        numeric, flagged = len(self.numeric), len(self.numeric) + len(self.flagged)
        out = np.empty((len(matrix), len(self.owner)))
        np.divide(off, np.array(self.scale), out=out[:, :numeric])
        out[:, numeric:flagged] = np.isnan(matrix[:, list(self.flagged)])
        for column, (place, code) in enumerate(self.levels, start=flagged):
            out[:, column] = matrix[:, place] == code
        return out

    def to_json(self) -> dict[str, Any]:
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Design:
        parts = {name: tuple(said[name]) for name in ("numeric", "unit", "mean", "scale", "flagged")}
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
    """The same weights in every interval; `levels` (intervals,) is what each adds. `pace`: what an interval later adds
    to the weight of the column `clock`, counted from `REASON_INTERVAL`; null: no column has one."""

    logistic: Logistic
    levels: tuple[float, ...]
    clock: int | None = None
    pace: float = 0.0

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        return self.of(self.logistic.design.columns(matrix))

    def of(self, columns: np.ndarray) -> np.ndarray:
        """`log_odds` of the design's columns."""
        raw = linear(columns, self.logistic.weights) + self.logistic.intercept
        return np.column_stack([self._in(k, raw, columns) for k in range(len(STARTS))])

    def at(self, matrix: np.ndarray, interval: int) -> np.ndarray:
        columns = self.logistic.design.columns(matrix)
        return self._in(interval, linear(columns, self.logistic.weights) + self.logistic.intercept, columns)

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
            "clock": self.clock,
            "pace": self.pace,
        }

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> LogisticHazard:
        """Raises BundleRefused: written by a version with another format of the ridge."""
        if (found := said["design"].keys()) != (wanted := {field.name for field in fields(Design)}):
            raise BundleRefused(
                f"model.json: a logistic design is told by {', '.join(sorted(found))}; this version tells it by "
                f"{', '.join(sorted(wanted))}. Train it again."
            )
        design = Design.from_json(said["design"])
        logistic = Logistic(design, np.array(said["weights"], dtype=np.float64), said["intercept"])
        return cls(logistic, tuple(said["interval_levels"]), said["clock"], said["pace"])

    def _in(self, interval: int, raw: np.ndarray, columns: np.ndarray) -> np.ndarray:
        said = raw + self.levels[interval] + LOG_MONTHS[interval]
        if self.clock is not None:
            said = said + (interval - REASON_INTERVAL) * self.pace * columns[:, self.clock]
        return np.asarray(said)


def fit_logistic_hazard(
    matrix: np.ndarray,
    taught: PersonPeriods,
    categories: list[int],
    penalty: float = PENALTY,
    names: list[str] | None = None,
    accounts: np.ndarray | None = None,
) -> Fit:
    """Fits one cause-specific hazard on the snapshots of `matrix`.

    Args:
        names: of the matrix's columns. With them the weight of `CLOCK` has a pace, and how relevant a family and a
            column are is learned; without them every weight has the same `penalty`.
        accounts: (n,) number of each snapshot's account; null: every one is another's.
    """
    if taught.label.sum() == 0:
        return Fit(Never(), np.zeros(0))
    used, place = np.unique(taught.row, return_inverse=True)
    design, exact = Design.learn(matrix[used], categories)
    columns = exact.astype(np.float32)[place]
    later = [(taught.interval == k) * np.float32(INTERVAL_SCALE) for k in range(1, len(STARTS))]
    clock = design.numeric.index(names.index(CLOCK)) if names is not None and CLOCK in names else None
    least, events = PACED
    if (np.bincount(taught.interval[taught.label > 0]) >= events).sum() < least:
        clock = None
    if clock is not None:
        since = (taught.interval - REASON_INTERVAL).astype(np.float32)
        later.append(columns[:, clock] * since * np.float32(INTERVAL_SCALE))
    rows, edge = np.column_stack([columns, *later]), columns.shape[1]
    data = (rows, taught.label, taught.weight, np.log(taught.months))
    held = np.full(rows.shape[1], penalty)
    found, bend = _newton(*data, held)
    if names is not None:
        owners = [names[owner] for owner in design.owner]
        groups = [_numbered([FAMILY.get(name, "other") for name in owners]), _numbered(owners)]
        echoes = ECHOES * _rows_per_account(taught, accounts)
        held = _relevant(found, bend, held, groups, echoes)
        found, _ = _newton(*data, held, (found, bend))
    weights = found[1:] * np.append(np.ones(edge), np.full(len(later), INTERVAL_SCALE))
    levels = (0.0, *(float(level) for level in weights[edge : edge + len(STARTS) - 1]))
    pace = float(weights[-1]) if clock is not None else 0.0
    hazard = LogisticHazard(Logistic(design, weights[:edge], float(found[0])), levels, clock, pace)
    return Fit(hazard, hazard.of(exact)[place, taught.interval] - LOG_MONTHS[taught.interval] + np.log(taught.months))


def fit_logistic(
    matrix: np.ndarray, label: np.ndarray, categories: list[int] | None = None, penalty: float = PLAIN_PENALTY
) -> Logistic:
    """matrix: (n, k), NaN is null. label: (n,) with both classes."""
    design, columns = Design.learn(matrix, categories or [])
    intercept, weights = ridge(columns.astype(np.float32), label, penalty, np.ones(len(label)), np.zeros(len(label)))
    return Logistic(design, weights, intercept)


def ridge(
    rows: np.ndarray, label: np.ndarray, penalty: float, weight: np.ndarray, offset: np.ndarray
) -> tuple[float, np.ndarray]:
    """Intercept and (k,) weights of the least weighted log-loss + penalty / 2 * |weights|^2, the intercept free."""
    found, _ = _newton(rows, label, weight, offset, np.full(rows.shape[1], penalty))
    return float(found[0]), found[1:]


def _newton(
    rows: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
    offset: np.ndarray,
    penalty: np.ndarray,
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(1 + k,) the intercept and the weights that minimise the weighted log-loss + sum(penalty * weights^2) / 2, the
    intercept free; and how that loss bends, (1 + k, 1 + k), without the penalty, there or a small step before. Newton's
    method from `start`, such a pair; each step is halved until the loss falls, and the bend is made anew where the one
    before is slow."""
    shrink = np.append(0.0, penalty)
    if start is not None:
        found, bend = start
    elif len(rows) > SPARE * FIRST:
        found, bend = _newton(rows[::FIRST], label[::FIRST], weight[::FIRST] * FIRST, offset[::FIRST], penalty)
    else:
        rate = float((weight @ label + 0.5) / (weight.sum() + 1))
        found = np.append(logit(rate) - np.average(offset, weights=weight), np.zeros(rows.shape[1]))
        bend = _bend(rows, weight * rate * (1 - rate))
    line = found[0] + rows @ found[1:].astype(rows.dtype) + offset

    def loss(line: np.ndarray, weights: np.ndarray) -> float:
        return float(weight @ (np.logaddexp(0, line) - label * line) + shrink @ weights**2 / 2)

    best, promised = loss(line, found), np.inf
    if not np.isfinite(best):
        raise FloatingPointError(f"ridge: the loss of its start is {best}; a value of its columns is not finite.")
    factor = _factor(bend, shrink)
    for _ in range(100):
        chance = expit(line)
        miss = weight * (label - chance)
        slope = np.append(miss.sum(), rows.T @ miss.astype(rows.dtype)) - shrink * found
        before, step = promised, cho_solve(factor, slope, check_finite=False)
        if (promised := float(slope @ step)) > before / 10:
            bend = _bend(rows, weight * np.maximum(chance * (1 - chance), 1e-7))
            factor = _factor(bend, shrink)
            step = cho_solve(factor, slope, check_finite=False)
            promised = float(slope @ step)
        if promised < 1e-4:
            break
        move = step[0] + rows @ step[1:].astype(rows.dtype)
        part = 1.0
        while part > 1e-4 and not (reached := loss(line + part * move, found + part * step)) < best:
            part /= 2
        if part <= 1e-4:  # the loss is as low as its rounding lets it be seen
            break
        found, line, best = found + part * step, line + part * move, reached
    return found, bend


def _factor(bend: np.ndarray, shrink: np.ndarray) -> tuple[np.ndarray, bool]:
    upper, lower = cho_factor(bend + np.diag(shrink + 1e-6), overwrite_a=True, check_finite=False)
    return np.asarray(upper), bool(lower)


def _bend(rows: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """(1 + k, 1 + k) sums of the products of the rows, each with a 1 before it, weighted by `curve`."""
    root = np.sqrt(curve).astype(rows.dtype)
    bent = rows * root[:, None]
    bend = np.empty((rows.shape[1] + 1, rows.shape[1] + 1))
    bend[1:, 1:] = bent.T @ bent  # a product with itself: BLAS makes half of it
    bend[0, 1:] = bend[1:, 0] = root @ bent
    bend[0, 0] = curve.sum()
    return bend


def _relevant(
    found: np.ndarray, bend: np.ndarray, penalty: np.ndarray, groups: list[np.ndarray], echoes: float
) -> np.ndarray:
    """(k,) penalties estimated from the data (automatic relevance determination, MacKay 1992), from a fit under
    `penalty`: that of a group of columns is the number of weights that the data determine over the sum of their
    squares, of several groupings the geometric mean. It takes the loss's bend at `found`; nothing is fitted again.
    `echoes`: rows that count as one. `groups`: each (columns,), of the first columns; the penalty of the others
    stays."""
    many, prior = len(groups[0]), penalty / echoes
    bend = bend / echoes
    pull = (bend + np.diag(np.append(0.0, prior))) @ found
    logs = np.zeros(many)
    for group in groups:
        held = prior.copy()
        for _ in range(ROUNDS):
            spread = np.linalg.inv(bend + np.diag(np.append(0.0, held) + 1e-8))
            weights = (spread @ pull)[1 : many + 1]
            determined = np.clip(1 - held[:many] * np.diag(spread)[1 : many + 1], 1e-3, 1.0)
            of = np.bincount(group, determined) / np.maximum(np.bincount(group, weights**2), 1e-12)
            held[:many] = np.clip(of[group], prior[:many] / WITHIN, prior[:many] * WITHIN)
        logs += np.log(held[:many]) / len(groups)
    return np.append(np.exp(logs) * echoes, penalty[many:])


def _numbered(names: list[str]) -> np.ndarray:
    return np.unique(names, return_inverse=True)[1]


def _rows_per_account(taught: PersonPeriods, accounts: np.ndarray | None) -> float:
    """With the event, of accounts that have one."""
    rows = taught.row[taught.label > 0]
    whose = rows if accounts is None else accounts[rows]
    return len(rows) / len(np.unique(whose))


def linear(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,) weighted sums of the columns. No matrix product: its order of summing, hence the last bit of a score, would
    depend on how many rows there are."""
    out = np.zeros(len(columns))
    for column, weight in zip(columns.T, weights, strict=True):
        out += column * weight
    return out


def signed_log(matrix: np.ndarray, unit: np.ndarray | float = 1.0) -> np.ndarray:
    """log(1 + |x| / unit) with the sign of x; null stays null."""
    return np.asarray(np.copysign(np.log1p(np.abs(matrix) / unit), matrix))


def _unit(column: np.ndarray) -> float:
    """1, or less for a column of small magnitudes: of shares and rates the log would else be a straight line."""
    magnitudes = np.abs(column[~np.isnan(column) & (column != 0)])
    return min(1.0, float(np.quantile(magnitudes, SMALL))) if len(magnitudes) else 1.0
