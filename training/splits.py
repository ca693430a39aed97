"""Rolling origins: at each, a model is trained on what was known then and judged on what came after.

One calendar through this file, data to 2026-01-01 (excluded), moves held 30 days, months on the first: the newest
snapshot whose 180-day labels are complete is 2025-06-01 (180 + 30 days later is 2025-12-28). It is the origin for 180
days: the model judged there saw only facts known before 2025-06-01, so the newest 180-day label it learned from ended,
held period and all, by that midnight. The origins before it open quarters: 2025-03-01, 2024-12-01 and 2024-09-01. They
stay where they are when a month of data comes in: trained again on data to 2026-02-01, the newest is 2025-07-01, and
March, December and September are judged anew, so that the two models can be held side by side there (docs/adr/0039).
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

PLACES = 10_000
OPENING = (3, 6, 9, 12)  # months that open a quarter
APART = 60  # days; nearer than that, two dates see nearly the same outcomes


@dataclass(frozen=True)
class Origin:
    """`as_of`: the date that both ends training and is scored. `horizons`: days, judged here."""

    as_of: date
    horizons: tuple[int, ...]


def origin_for(days: Iterable[date], horizon: int, maturing_days: int, until: date) -> date | None:
    """The newest day with complete labels: day + horizon + maturing_days <= until; null if there is none."""
    complete = [day for day in days if day + timedelta(days=horizon + maturing_days) <= until]
    return max(complete, default=None)


def origins(
    days: Iterable[date],
    horizons: Iterable[int],
    maturing_days: int,
    until: date,
    most: int = 1,
    lead: int | None = None,
) -> list[Origin]:
    """Up to `most` dates for each horizon, the newest that are complete for it; oldest origin first. A horizon without
    one is absent. Dates are the newest complete of the `lead` horizon (null: of every one), and those that open a
    quarter, but not within `APART` days before a newest. Horizons meet there, so that a model fitted for one is judged
    at several; one that finds fewer than `most` is judged at its own newest, too."""
    days, horizons = sorted(days), sorted(horizons)
    newest = {h: day for h in horizons if (day := origin_for(days, h, maturing_days, until)) is not None}
    leads = {newest[lead]} if lead in newest else set(newest.values())
    opening = {day for day in _opening(days) if not any(timedelta(0) < led - day < timedelta(APART) for led in leads)}
    by_day: dict[date, set[int]] = {}
    for horizon, last in newest.items():
        places = sorted(day for day in leads | opening if day <= last)[-most:]
        for day in {*places, last} if len(places) < most else places:
            by_day.setdefault(day, set()).add(horizon)
    return [Origin(day, tuple(sorted(by_day[day]))) for day in sorted(by_day)]


def _opening(days: list[date]) -> set[date]:
    """The newest of the ascending `days` by each first of March, June, September and December that had come."""
    years = range(days[0].year, days[-1].year + 1) if days else ()
    firsts = (date(year, month, 1) for year in years for month in OPENING)
    return {days[place - 1] for first in firsts if first <= days[-1] and (place := bisect_right(days, first))}


def place_of(accounts: pa.ChunkedArray) -> np.ndarray:
    """(n,) whole numbers in [0, PLACES) that depend on the id of the account alone: parts of a vendor that hold all
    snapshots of an account or none."""
    codes = accounts.combine_chunks().dictionary_encode()
    places = np.array([zlib.crc32(name.encode()) % PLACES for name in codes.dictionary.to_pylist()], dtype=np.int64)
    return np.asarray(places[codes.indices.to_numpy(zero_copy_only=False)])
