"""Rolling origins: at each, a model is trained on what was known then and judged on what came after.

One calendar through this file, data to 2026-01-01 (excluded), moves held 30 days, months on the first: the newest
snapshot whose 180-day labels are complete is 2025-06-01 (180 + 30 days later is 2025-12-28). It is the origin for 180
days: the model judged there saw only facts known before 2025-06-01, so the newest 180-day label it learned from ended,
held period and all, by that midnight.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Origin:
    """`as_of`: the date that both ends training and is scored. `horizons`: days, judged here."""

    as_of: date
    horizons: tuple[int, ...]


def origin_for(days: Iterable[date], horizon: int, held_days: int, until: date) -> date | None:
    """The newest day with complete labels: day + horizon + held_days <= until; null if there is none."""
    complete = [day for day in days if day + timedelta(days=horizon + held_days) <= until]
    return max(complete, default=None)


def origins(days: Iterable[date], horizons: Iterable[int], held_days: int, until: date) -> list[Origin]:
    """Every horizon at its newest complete origin, oldest origin first. A horizon without one is absent."""
    days = list(days)
    by_day: dict[date, list[int]] = {}
    for horizon in horizons:
        day = origin_for(days, horizon, held_days, until)
        if day is not None:
            by_day.setdefault(day, []).append(horizon)
    return [Origin(day, tuple(sorted(by_day[day]))) for day in sorted(by_day)]
