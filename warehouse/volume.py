"""How many events came on each day: days on which tracking must have failed, and days far from the usual.

Usual is the median of the same weekday in the four weeks before, and that of the four weeks after: a day is told apart
from both, so weekends, growth and a launch are no news. A day without events is `missing` where at least `EXPECTED`
were usual; a shop that is closed on Saturdays has quiet Saturdays, not missing ones. A day with less than `STRAY` of
the usual is missing too: what is there was stamped by clocks that run wrong. The first week has no before, and is not
judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np
import numpy.typing as npt

WEEKS = 4  # looked at before and after a day
EXPECTED = 5.0  # events; with fewer expected, none at all may be chance
STRAY = 0.05  # share of the usual events, of at least `ODD_FROM` / `STRAY`, that need not have happened that day
RUN = 7  # days without any event: an outage, however many of its neighbours are empty too
ODD_FROM = 20.0  # usual events from which a day can be called odd
ODD_RATIO, ODD_SIGMAS = 2.0, 6.0  # an odd day is off by this factor, and by this many roots of the usual count
STRAGGLERS = 0.001  # share of events at either end of time that may be misdated
APART = 60  # days without events that part them from the others


@dataclass(frozen=True)
class OddDay:
    """`usual`: events expected of that day."""

    day: date
    events: int
    usual: float


@dataclass(frozen=True)
class Days:
    """Events by the day they happened, UTC, from `first` to the last of `counts`, one number a day.

    missing: days without events, or next to none, on which some were to be expected. quiet: number of the other days
    without events.
    odd: days with far more or fewer events than usual. outside: events before or after this range (misdated ones).
    """

    first: date
    counts: tuple[int, ...]
    missing: tuple[date, ...]
    quiet: int
    odd: tuple[OddDay, ...]
    outside: int

    @property
    def last(self) -> date:
        return self.first + timedelta(days=len(self.counts) - 1)


def days_of(con: duckdb.DuckDBPyConnection, until: date | None = None) -> Days | None:
    """The days of the view `events` up to the last with events or, where that is later, up to the day before `until`:
    where tracking stopped and other facts went on, the days since are days too. Null without events."""
    rows = con.execute(
        "SELECT CAST(occurred_at AS DATE) AS day, count(*) FROM events GROUP BY day ORDER BY day"
    ).fetchall()
    if not rows:
        return None
    return judge_days([day for day, _ in rows], [count for _, count in rows], until)


def judge_days(days: list[date], counts: list[int], until: date | None = None) -> Days:
    """`days` ascending, at least one, with their number of events. `until`: see `days_of`."""
    begin, end = _bulk(days, counts)
    first = days[begin]
    after = max(days[end] + timedelta(days=1), until or date.min)
    series = np.zeros((after - first).days, dtype=np.int64)
    for day, count in zip(days[begin : end + 1], counts[begin : end + 1], strict=True):
        series[(day - first).days] = count
    low, high = usual_counts(series)
    stray = (series < STRAY * low) & (low >= ODD_FROM / STRAY)
    lost = (series == 0) & (low >= EXPECTED) | stray | _outages(series)
    usual = np.where(series < low, low, high)
    off = (series > ODD_RATIO * high) | (series < low / ODD_RATIO)
    odd = ~lost & (series > 0) & (usual >= ODD_FROM) & off & (np.abs(series - usual) > ODD_SIGMAS * np.sqrt(usual))
    return Days(
        first,
        tuple(series.tolist()),
        tuple(first + timedelta(days=int(i)) for i in np.flatnonzero(lost)),
        int(((series == 0) & ~lost).sum()),
        tuple(
            OddDay(first + timedelta(days=int(i)), int(series[i]), round(float(usual[i]), 1))
            for i in np.flatnonzero(odd)
        ),
        sum(counts) - int(series.sum()),
    )


def _bulk(days: list[date], counts: list[int]) -> tuple[int, int]:
    """First and last place of the days that are left when a few events far before or after all others are not."""
    reached, edge = np.cumsum(counts), STRAGGLERS * sum(counts)
    low, high = 0, len(days) - 1
    for i in np.flatnonzero(np.diff([day.toordinal() for day in days]) > APART):
        if reached[i] <= edge:
            low = int(i) + 1
        elif reached[-1] - reached[i] <= edge:
            return low, int(i)
    return low, high


def usual_counts(series: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(n,) the lower and the higher of the medians of the same weekday before and after each day; before alone where
    nothing comes after, NaN where nothing came before."""
    before = _weekday_median(series)
    after = _weekday_median(series[::-1])[::-1]
    return np.where(np.isnan(before), np.nan, np.fmin(before, after)), np.where(
        np.isnan(before), np.nan, np.fmax(before, after)
    )


def _weekday_median(series: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n,) median of the same weekday in the `WEEKS` before each day; NaN where the series has none of them."""
    past = np.full((WEEKS, len(series)), np.nan)
    for week in range(1, WEEKS + 1):
        past[week - 1, 7 * week :] = series[: -7 * week]
    told = ~np.isnan(past).all(axis=0)
    median = np.full(len(series), np.nan)
    median[told] = np.nanmedian(past[:, told], axis=0)
    return median


def _outages(series: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(n,) true on the days of a run of at least `RUN` empty ones between four weeks of activity on either side, or
    after them where the series ends with it."""
    out = np.zeros(len(series), dtype=bool)
    empty = np.concatenate([[False], series == 0, [False]])
    edges = np.flatnonzero(empty[1:] != empty[:-1])
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        before, after = series[max(0, start - 7 * WEEKS) : start], series[end : end + 7 * WEEKS]
        if end - start >= RUN and len(before):
            out[start:end] = min(np.median(part) for part in (before, after) if len(part)) >= EXPECTED
    return out
