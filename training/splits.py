"""Rolling origins: at each, a model is trained on what was known then and judged on what came after.

One calendar through this file, data to 2026-01-01 (excluded), moves held 30 days, months on the first: the newest
snapshot whose 180-day labels are complete is 2025-06-01 (180 + 30 days later is 2025-12-28). It is the origin for 180
days: the model judged there saw only facts known before 2025-06-01, so the newest 180-day label it learned from ended,
held period and all, by that midnight. The origins before it are 2025-03-01, 2024-12-01 and 2024-09-01.
"""

from __future__ import annotations

import zlib
from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

PLACES = 10_000


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
    days: Iterable[date], horizons: Iterable[int], maturing_days: int, until: date, most: int = 1
) -> list[Origin]:
    """Every horizon at its newest complete origin and, a quarter apart, at up to `most` - 1 before it; oldest origin
    first. A horizon without one is absent. Horizons a quarter apart meet at the same origins, so that a model fitted
    there is judged at several."""
    days = sorted(days)
    by_day: dict[date, set[int]] = {}
    for horizon in horizons:
        day = origin_for(days, horizon, maturing_days, until)
        for _ in range(most):
            if day is None:
                break
            by_day.setdefault(day, set()).add(horizon)
            day = max((d for d in days if d <= quarter_before(day)), default=None)
    return [Origin(day, tuple(sorted(by_day[day]))) for day in sorted(by_day)]


def quarter_before(day: date) -> date:
    """Three months earlier; of a day that month does not have, its last."""
    year, month = (day.year, day.month - 3) if day.month > 3 else (day.year - 1, day.month + 9)
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def place_of(accounts: pa.ChunkedArray) -> np.ndarray:
    """(n,) whole numbers in [0, PLACES) that depend on the id of the account alone: parts of a vendor that hold all
    snapshots of an account or none."""
    codes = accounts.combine_chunks().dictionary_encode()
    places = np.array([zlib.crc32(name.encode()) % PLACES for name in codes.dictionary.to_pylist()], dtype=np.int64)
    return np.asarray(places[codes.indices.to_numpy(zero_copy_only=False)])
