"""The season of a vendor recomputed from raw rows in plain Python; part of tests/features/oracle.py."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from datetime import datetime
from fractions import Fraction

from tests.features.histories import History


def season_of(history: History, midnight: datetime) -> defaultdict[int, Fraction]:
    """What a day counts, by its age: its week beside the panel's line, in whole percents from 25 to 100."""
    used: defaultdict[str, Counter[int]] = defaultdict(Counter)
    old = {
        row["account_id"]
        for row in history.accounts
        if not row["is_internal"] and (midnight.date() - row["created_at"].date()).days > 84
        if row.get("closed_at") is None or row["closed_at"] >= midnight
    }
    pairs = {
        (row["account_id"], row["user_id"], (midnight.date() - row["occurred_at"].date()).days)
        for row in history.events
        if row["account_id"] in old and row["user_id"] is not None
        if row["occurred_at"] < midnight and row["received_at"] < midnight
    }
    for account_id, _, age in pairs:
        if age <= 84:
            used[account_id][(age - 1) // 7] += 1
    whole = sum(weeks.total() for weeks in used.values())
    panel = [weeks for weeks in used.values() if 10 * weeks.total() <= whole]
    weeks = [50 + sum(one[week] for one in panel) for week in range(12)]
    logs = [math.floor(10_000 * math.log(one) + 0.5) for one in weeks]
    lines = {growth: [log + growth * (week + 1) for week, log in enumerate(logs)] for growth in range(0, 201, 25)}
    _, growth, level = min(
        (sum(min(abs(one - level), 800) for one in grown), growth, level)
        for growth, grown in lines.items()
        for level in grown
    )
    counts: defaultdict[int, Fraction] = defaultdict(lambda: Fraction(1))
    for age in range(1, 85):
        percent = math.floor(100 * math.exp((lines[growth][(age - 1) // 7] - level) / 10_000) + 0.5)
        counts[age] = Fraction(max(25, min(percent, 100)), 100)
    return counts
