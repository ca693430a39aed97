"""Rules of thumb as scorers: what a model must beat, and what serves when there is too little to learn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from models.bg_nbd import Purchases

Ranking = Callable[[pa.Table], np.ndarray]
FIFTHS = 5  # RFM gives one to five points each for recency, frequency and money


def _column(table: pa.Table, name: str, missing: float) -> np.ndarray:
    values = np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.asarray(np.where(np.isnan(values), missing, values))


def recent_activity(table: pa.Table) -> np.ndarray:
    """Active days in the last 28, ties by events: a login storm of one robot is one day."""
    days, events = _column(table, "active_days_28d", 0.0), _column(table, "events_28d", 0.0)
    return np.asarray(days + events / (1.0 + events))


def pql_points(table: pa.Table) -> np.ndarray:
    """Product-qualified lead, 0 to 6: a point each for used this week, three users, a new user, a specialist function
    and a limit hit within 28 days, and three configuration steps since sign-up."""
    points = (
        _column(table, "days_since_last_event", np.inf) <= 7,
        _column(table, "users_28d", 0.0) >= 3,
        _column(table, "new_users_28d", 0.0) > 0,
        _column(table, "specialist_28d", 0.0) > 0,
        _column(table, "limit_hits_28d", 0.0) > 0,
        _column(table, "configuration_life", 0.0) >= 3,
    )
    return np.asarray(sum(point.astype(np.float64) for point in points))


def rfm(table: pa.Table) -> np.ndarray:
    """Fifths of recency, frequency and money of purchases, summed: 3 to 15; who never bought is in the lowest."""
    columns: tuple[np.ndarray, ...] = (
        -_column(table, "days_since_last_invoice", np.inf),
        _column(table, "invoices_life", 0.0),
        _column(table, "booked_life", 0.0),
    )
    return np.asarray(np.sum([np.floor(share_below(values) * FIFTHS) + 1 for values in columns], axis=0))


def purchases(table: pa.Table) -> Purchases:
    """What BG/NBD asks of an account: repeat invoices, days from the first to the last, days since the first."""
    first, last = (_column(table, f"days_since_{which}_invoice", np.nan) for which in ("first", "last"))
    repeats = np.where(np.isnan(first), np.nan, np.maximum(_column(table, "invoices_life", 0.0) - 1, 0.0))
    return Purchases(repeats, first - last, first)


def mean_spend(table: pa.Table) -> np.ndarray:
    """(n,) money an invoice; 0 of one who never bought."""
    money, invoices = (_column(table, f"{what}_life", 0.0) for what in ("booked", "invoices"))
    return np.asarray(np.maximum(money, 0.0) / np.maximum(invoices, 1.0))


RULES: dict[str, Ranking] = {
    "spend_90d": lambda table: _column(table, "booked_90d", 0.0),
    "spend_lifetime": lambda table: _column(table, "booked_life", 0.0),
    "spend_rate": lambda table: _column(table, "booked_life", 0.0) / (_column(table, "tenure_days", 0.0) + 30),
    "recency": lambda table: -_column(table, "days_since_last_invoice", 1e6),
    "activity_28d": recent_activity,
    "pql": pql_points,
    "rfm": rfm,
}
"""Feature table to (n,) score, higher first. `recency` ranks by days since the last invoice."""

FALLBACK_RULE = "activity_28d"


def rule_score(table: pa.Table, rule: str = FALLBACK_RULE) -> np.ndarray:
    """(n,) in [0, 1]: the share of tonight's accounts that rank no higher by the rule (ties share their mean)."""
    values = RULES[rule](table)
    order = np.sort(values)
    low, high = np.searchsorted(order, values, "left"), np.searchsorted(order, values, "right")
    return np.asarray((low + high) / (2 * len(values))) if len(values) else values


def share_below(values: np.ndarray) -> np.ndarray:
    """(n,) in [0, 1): the share of values strictly below each."""
    return np.asarray(np.searchsorted(np.sort(values), values, "left") / max(1, len(values)))
