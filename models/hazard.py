"""Time to expansion in discrete time: cause-specific hazards of expanding and of closing, by interval after as_of.

P(expand by H) = sum over intervals k up to H of S(k-1) h_expand(k), with S(k) = S(k-1) (1 - h_expand(k) - h_churn(k))
(Suresh et al. 2022, Bender et al. 2020). So P(h) cannot fall as h grows, P(expand) + P(churn) cannot pass 1, and a
snapshot teaches every interval it was observed in, however short that is.

The length of an interval, or the part of it that was observed, enters every model as a fixed log offset of its
log-odds: an interval longer than any seen in training is a rate extrapolated, not a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import expit

EDGES = (0, 90, 180, 270, 360)  # days after as_of; interval k is [EDGES[k], EDGES[k + 1])
REASON_INTERVAL = 1  # reasons are told for the hazard of [90, 180) days: the end of the default horizon
LEAST_EXPOSURE = 20  # days of an interval still open that must have been observed for it to teach
CONTROLS = 30  # rows without the event kept for each with it
MOST_CONTROLS = 60_000  # and no more than so many, however frequent the event
NEVER = np.iinfo(np.int64).max
STARTS = np.asarray(EDGES[:-1], dtype=np.float64)
LOG_MONTHS = np.log(np.diff(EDGES) / 30)  # offset of a whole interval


class Hazard(Protocol):
    """The one interface of models of time to an event, however they are fitted."""

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        """(n, intervals) of the event in each interval, given that none came before it; -inf: never."""

    def at(self, matrix: np.ndarray, interval: int) -> np.ndarray:
        """(n,) column `interval` of `log_odds`, without the work of the others."""

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds of interval `REASON_INTERVAL`; 0 where no event was ever seen."""

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, features): `raw` less their sum is the same for every row."""

    def to_json(self) -> dict[str, Any]:
        """Everything but boosters, which go to files of their own."""


@dataclass(frozen=True)
class Never:
    """The hazard of an event that was not seen once."""

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        return np.full((len(matrix), len(STARTS)), -np.inf)

    def at(self, matrix: np.ndarray, interval: int) -> np.ndarray:
        return np.full(len(matrix), -np.inf)

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        return np.zeros(len(matrix))

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        return np.zeros_like(matrix)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "never"}


@dataclass(frozen=True)
class Fit:
    """A hazard and what it says, (m,) log-odds, of the m rows that taught it, each for the months observed of its
    interval; empty of `Never`."""

    hazard: Hazard
    said: np.ndarray


@dataclass(frozen=True)
class PersonPeriods:
    """Snapshot x interval rows that teach one hazard, each (m,): `row` (index of the snapshot), `interval`, `label`
    (0 or 1; a teacher's is a chance), `months` observed of the interval, `weight` (how many such rows it stands
    for)."""

    row: np.ndarray
    interval: np.ndarray
    label: np.ndarray
    months: np.ndarray
    weight: np.ndarray

    @property
    def base(self) -> float:
        """Log-odds of the event per 30 days."""
        rate = self.label.sum() / (self.weight @ self.months)
        return float(np.log(rate / max(1e-9, 1 - rate)))

    def thinned(self, seed: int) -> PersonPeriods:
        """All rows with the event, and a random `CONTROLS` without it for each, weighted to stand for all of them: the
        level stays what it was, unlike with a resampled or reweighted class, and fitting takes a third of the time."""
        keep, weight = thin(self.label > 0, seed)
        if len(keep) == len(self.label):
            return self
        return PersonPeriods(self.row[keep], self.interval[keep], self.label[keep], self.months[keep], weight)


def thin(event: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of all rows with the event and of a random share of those without, `CONTROLS` for each event and at most
    `MOST_CONTROLS`, ascending; and how many rows each stands for. All rows, once each, where there are no more."""
    without = np.flatnonzero(~event)
    wanted = min(CONTROLS * int(event.sum()), MOST_CONTROLS)
    if not 0 < wanted < len(without):
        return np.arange(len(event)), np.ones(len(event))
    drawn = np.random.default_rng(seed).choice(without, wanted, replace=False)
    keep = np.sort(np.concatenate([np.flatnonzero(event), drawn]))
    return keep, np.where(event[keep], 1.0, len(without) / wanted)


def person_periods(event_day: np.ndarray, other_day: np.ndarray, observed_days: np.ndarray) -> PersonPeriods:
    """Rows of one hazard.

    Args:
        event_day, other_day: (n,) int64 days to the event and to the competing one, NEVER if none was seen.
        observed_days: (n,) int64 days from as_of in which an event can be told.

    Returns:
        An interval is in if neither event came before its start. One that is still open ends where the snapshot was
        last observed, for rows with the event and without it alike: never an early positive beside an immature
        negative. Less than `LEAST_EXPOSURE` days of it teach nothing.
    """
    rows, intervals, labels, months = [], [], [], []
    for k in range(len(EDGES) - 1):
        start, end = EDGES[k], np.minimum(EDGES[k + 1], observed_days)
        at_risk = np.flatnonzero((end - start >= LEAST_EXPOSURE) & (event_day >= start) & (other_day >= start))
        rows.append(at_risk)
        intervals.append(np.full(len(at_risk), k))
        # of two events in one interval the earlier counts; on one day both do, and `incidence` scales a sum past 1
        labels.append((event_day[at_risk] < end[at_risk]) & (event_day[at_risk] <= other_day[at_risk]))
        months.append((end[at_risk] - start) / 30)
    label = np.concatenate(labels).astype(np.float64)
    return PersonPeriods(
        np.concatenate(rows), np.concatenate(intervals), label, np.concatenate(months), np.ones(len(label))
    )


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
    # the last bound for all: one a horizon would let rounding take back a hair of what was said before
    by_churn = np.minimum(np.cumsum(alive * churn, axis=1), 1 - by_expand[:, -1:])
    place = {h: EDGES.index(h) - 1 for h in horizons}
    return {h: by_expand[:, k] for h, k in place.items()}, {h: by_churn[:, k] for h, k in place.items()}


def said_of(hazard: Hazard, matrix: np.ndarray, taught: PersonPeriods) -> np.ndarray:
    """(m,) what `hazard`, whoever taught it, says of the rows of `taught`; see `Fit`."""
    said = np.zeros(len(taught.row))
    for interval in np.unique(taught.interval):
        rows = np.flatnonzero(taught.interval == interval)
        said[rows] = hazard.at(matrix[taught.row[rows]], int(interval)) - LOG_MONTHS[interval]
    return np.asarray(said + np.log(taught.months))


def chance(log_odds: np.ndarray) -> np.ndarray:
    """The hazards of log-odds; 0 where they are -inf."""
    return np.asarray(expit(log_odds))
