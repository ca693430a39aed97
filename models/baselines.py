"""Rules of thumb as scorers: what a model must beat, and what serves when there is too little to learn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

Ranking = Callable[[pa.Table], np.ndarray]


def _column(table: pa.Table, name: str, missing: float) -> np.ndarray:
    values = np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.where(np.isnan(values), missing, values)


def recent_activity(table: pa.Table) -> np.ndarray:
    """Active days in the last 28, ties by events: a login storm of one robot is one day."""
    days, events = _column(table, "active_days_28d", 0.0), _column(table, "events_28d", 0.0)
    return days + events / (1.0 + events)


RULES: dict[str, Ranking] = {
    "spend_90d": lambda table: _column(table, "booked_90d", 0.0),
    "spend_lifetime": lambda table: _column(table, "booked_life", 0.0),
    "recency": lambda table: -_column(table, "days_since_last_invoice", 1e6),
    "activity_28d": recent_activity,
}
"""Feature table to (n,) score, higher first. `recency` ranks by days since the last invoice."""

FALLBACK_RULE = "activity_28d"


def rule_score(table: pa.Table, rule: str = FALLBACK_RULE) -> np.ndarray:
    """(n,) in [0, 1]: the share of tonight's accounts that rank no higher by the rule (ties share their mean)."""
    values = RULES[rule](table)
    order = np.sort(values)
    low, high = np.searchsorted(order, values, "left"), np.searchsorted(order, values, "right")
    return np.asarray((low + high) / (2 * len(values))) if len(values) else values
