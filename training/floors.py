"""Which tier floors the money itself suggests: points of the run-rates that paying accounts have month by month.

The floors of the paid tiers stand at the 50, 80 and 95 % points of all positive run-rates (money per 30 days) at the
snapshots, rounded down to two significant digits so that whoever stands on the point stands on the tier: 23.97 gives
23. Points that round to one floor give one tier.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

import numpy as np
import pyarrow as pa

from features.revenue import Tiers

QUANTILES = (0.5, 0.8, 0.95)
BARS = 24  # of the distribution
LEAST = 0.005  # share of the account-months that the first bar may hide: cents left over from credits


@dataclass(frozen=True)
class Spend:
    """Run-rates (money per 30 days) of account-months, one a snapshot.

    months: snapshots with a positive run-rate; accounts: that have one. suggested: floors, ascending. ladder: floors
    in params by tier; standing: account-months of all snapshots on each. edges, counts: the distribution of the
    positive ones, on bars of equal width on a log scale; the first bar holds what is less, too.
    """

    months: int
    accounts: int
    suggested: tuple[float, ...]
    ladder: dict[str, float]
    standing: dict[str, int]
    edges: tuple[float, ...]
    counts: tuple[int, ...]


def spend(books: pa.Table, tiers: Tiers) -> Spend | None:
    """books: account_id, run_rate and tier of every snapshot. Null where none has a positive run-rate."""
    rate = np.asarray(books["run_rate"].to_numpy(zero_copy_only=False), dtype=np.float64)
    paid = rate[rate > 0]
    if not len(paid):
        return None
    low, high = float(np.quantile(paid, LEAST, method="inverted_cdf")), float(paid.max())
    edges = np.geomspace(low, high, BARS + 1) if high > low else np.array([low / 1.1, low * 1.1])
    standing = np.bincount(np.asarray(books["tier"].to_numpy(zero_copy_only=False)).astype(int))
    names = [tier.name for tier in tiers.ladder]
    return Spend(
        len(paid),
        len(set(books["account_id"].filter(pa.array(rate > 0)).to_pylist())),
        suggest(paid),
        {tier.name: tier.floor for tier in tiers.ladder},
        {name: int(standing[i]) if i < len(standing) else 0 for i, name in enumerate(names)},
        tuple(round(float(edge), 6) for edge in edges),
        tuple(np.histogram(np.clip(paid, edges[0], edges[-1]), edges)[0].tolist()),
    )


def suggest(paid: np.ndarray) -> tuple[float, ...]:
    """Floors of the positive run-rates `paid`, strictly ascending."""
    points = np.quantile(paid, QUANTILES, method="inverted_cdf")  # a run-rate that occurs, not one between two
    return tuple(sorted({rounded_down(float(point)) for point in points}))


def rounded_down(value: float) -> float:
    """A positive number to two significant digits, never up."""
    exact = Decimal(repr(value))
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - 1), ROUND_DOWN))
