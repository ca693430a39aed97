"""What everybody knows of a day: seasons, months, and the changes that the vendor itself has made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from simulator.market import Flags, Floats, Ints, Market


@dataclass(frozen=True, eq=False)
class Calendar:
    """One entry a day, from the first midnight of the simulation to as far as any forecast looks.

    `activity`, `steps`, `specialist`: factors for everyone alike; `launched`: a new specialist function is there;
    `double`: the tracker counts twice; `mixed`: other accounts sign up; `month_start`; `month_end`: number of the day
    that opens the next month.
    """

    start: date
    activity: Floats
    steps: Floats
    specialist: Floats
    launched: Flags
    double: Flags
    mixed: Flags
    month_start: Flags
    month_end: Ints

    def month_starts(self, days: int) -> list[int]:
        """Days (0, days] that open a month."""
        return [day for day in range(1, days + 1) if self.month_start[day]]

    def day(self, number: int) -> date:
        return self.start + timedelta(days=number)


def calendar_of(market: Market, start: date, days: int) -> Calendar:
    """The first `days` days from `start`."""
    dates = [start + timedelta(days=number) for number in range(days)]
    factors = np.array([_season(market, day) for day in dates])
    month = np.array([(day.year - start.year) * 12 + day.month - start.month for day in dates])
    opens = np.array([day.day == 1 for day in dates])
    ends = np.array([(_next_month(day) - start).days for day in dates], dtype=np.int64)
    launched = _from(month, market.launch_month)
    return Calendar(
        start=start,
        activity=factors[:, 0],
        steps=factors[:, 1] * np.where(_from(month, market.price_month), market.price_steps, 1.0),
        specialist=np.where(launched, market.launch_specialist, 1.0),
        launched=launched,
        double=_from(month, market.double_month),
        mixed=_from(month, market.mix_month),
        month_start=opens,
        month_end=ends,
    )


def near_expiry(trial_days: Floats, age: Ints) -> Flags:
    """Whether accounts of `age` (whole days since the sign-up day) stand at the end of their trial."""
    left = trial_days - age
    near: Flags = (left <= 2) & (left >= -1)
    return near


def _season(market: Market, day: date) -> tuple[float, float]:
    activity, steps = 1.0, 1.0
    if day.month == 8:
        activity, steps = market.august
    elif (day.month, day.day) >= (12, 24) or (day.month, day.day) == (1, 1):
        activity, steps = market.year_end
    elif day.month % 3 == 0 and day.day > 16:
        activity, steps = market.quarter_end
    return activity * (market.weekend if day.weekday() >= 5 else 1.0), steps


def _from(month: Ints, first: int) -> Flags:
    flags: Flags = (month >= first) if first >= 0 else np.zeros(len(month), dtype=bool)
    return flags


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
