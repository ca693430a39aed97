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
NEVER = 100_000  # days to what does not happen


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
    return (np.searchsorted(FLOORS, rates + 0.005, side="right") - 1).astype(np.int8)


def first_moves(tier: np.ndarray, horizon: int, target: np.ndarray | int) -> np.ndarray:
    """Days from as_of to the first move to `target` or above within `horizon` that is still there 30 days later, by
    account; NEVER without one. `tier` (days from as_of, accounts)."""
    first = np.full(tier.shape[1], NEVER)
    stay = np.zeros(tier.shape[1], dtype=np.int64)
    for day in reversed(range(min(horizon + HELD, len(tier)))):
        stay = np.where(tier[day] >= target, stay + 1, 0)
        if day < horizon:
            first[stay > HELD] = day
    return first


def day_number(moment: datetime) -> int:
    return (moment.date() - START).days
