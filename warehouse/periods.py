"""Dates, windows and horizons. Days are UTC calendar days; nothing here reads a clock.

One account through this file: it signs up on 2024-01-10. Scored as of 2024-03-01 its 28-day window is
[2024-02-02, 2024-03-01), the 180-day horizon [2024-03-01, 2024-08-28), and it is in its first quarter (days 0-90).
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from pydantic import Field, model_validator

from warehouse.errors import UsageError
from warehouse.params import Section

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
HORIZONS = (90, 180, 270, 360)  # days: one to four quarters
TARGET = "expansion"  # the product's own target, which the grade and the headline speak of
TARGETS = (TARGET, "high_value")  # moves that are labelled, learned and told


class LabelParams(Section):
    """Section `labels`, in days: how far ahead is looked, how long a move to a tier must be held to count, and how late
    revenue may be booked or delivered after the day it is of."""

    horizons: tuple[int, ...] = HORIZONS
    default_horizon: int = 180
    held_days: int = Field(default=30, ge=0, le=365)
    invoice_lag_days: int = Field(default=0, ge=0, le=365)

    @model_validator(mode="after")
    def _default_is_one(self) -> LabelParams:
        if not self.horizons or self.horizons[0] < 1 or list(self.horizons) != sorted(set(self.horizons)):
            raise ValueError("horizons must be days of at least 1, ascending")
        if self.default_horizon not in self.horizons:
            raise ValueError("default_horizon must be one of horizons")
        return self

    @property
    def maturing_days(self) -> int:
        """From the end of a horizon until its label is complete: a move on the last day is held, then invoiced."""
        return self.held_days + self.invoice_lag_days


def parse_day(text: str) -> date:
    """`YYYY-MM-DD` as a date.

    Raises:
        UsageError: the text is not such a date.
    """
    try:
        if DAY.fullmatch(text) is None:  # fromisoformat also reads 20250601 and 2025-W23-7
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f'"{text}" is not a date. Give it as YYYY-MM-DD, for example 2025-06-01.') from error


def midnight_after(moment: datetime) -> date:
    """The day whose opening midnight is the first one strictly after `moment` (UTC, naive)."""
    return moment.date() + timedelta(days=1)


def month_starts(first: date, last: date) -> list[date]:
    """All first days of a month in [first, last], ascending."""
    out = []
    year, month = first.year, first.month
    if first.day > 1:
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    while (day := date(year, month, 1)) <= last:
        out.append(day)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return out
