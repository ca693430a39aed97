"""What each account pays, day by day, read off the raw rows of money and nothing else; and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

START = date(2024, 1, 1)
FLOORS = np.array([0, 20, 150, 600, 2500])
HELD = 30  # days a move must last before it counts


def revenue_rows(folder: Path) -> Iterator[tuple[str, float, int, int]]:
    """(account, amount, first day, day after) of every row of money; days since START."""
    columns = pq.read_table(folder / "revenue.parquet", columns=["account_id", "amount", "period_start", "period_end"])
    for account, amount, start, end in zip(*(column.to_pylist() for column in columns.columns), strict=True):
        yield account, float(amount), day_number(start), day_number(end)


def run_rates(folder: Path, days: int) -> dict[str, np.ndarray]:
    """Money per 30 days on each of the first `days` days, of every account that ever paid."""
    rates: dict[str, np.ndarray] = {}
    for account, amount, start, end in revenue_rows(folder):
        rates.setdefault(account, np.zeros(days))[start:end] += amount / (end - start) * 30
    return rates


def tiers(rates: np.ndarray) -> np.ndarray:
    """Tier of each run-rate; half a cent either way does not matter, since no price lies near a floor."""
    return np.searchsorted(FLOORS, rates + 0.005, side="right") - 1


def first_move(tier: np.ndarray, as_of: int, horizon: int, target: int) -> int | None:
    """Days from `as_of` to the first move to `target` or above within `horizon` that is still there 30 days later;
    None without one. `tier`: by day."""
    for day in range(as_of, as_of + horizon):
        if (tier[day : day + HELD + 1] >= target).all():
            return day - as_of
    return None


def day_number(moment: datetime) -> int:
    return (moment.date() - START).days
