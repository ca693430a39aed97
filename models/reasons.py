"""Why a score is what it is: contributions summed by family, told in the words of the catalogue.

Correlated features share credit arbitrarily (Kumar et al. 2020), so families are ranked, and each speaks through the
feature that contributed most to it. "Associated with", never "because".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from features.catalogue import CATALOGUE
from features.feature import Feature

AGE_BANDS = (0, 30, 90, 180, 365)  # days since sign-up at which a band of peers begins
MOST_UP, MOST_DOWN = 3, 2
SMALLEST_SHARE = 0.05  # of the summed absolute contributions; a smaller reason against is noise to a reader


@dataclass(frozen=True)
class Peers:
    """Median of each numeric feature among training snapshots of the same age band; null where all were null."""

    medians: dict[str, list[float | None]]

    @classmethod
    def learn(cls, table: pa.Table) -> Peers:
        band = age_band(table)
        medians: dict[str, list[float | None]] = {}
        for feature in CATALOGUE:
            if feature.category:
                continue
            values = np.asarray(table[feature.name].to_numpy(zero_copy_only=False), dtype=np.float64)
            medians[feature.name] = [_median(values[band == b]) for b in range(len(AGE_BANDS))]
        return cls(medians)


def age_band(table: pa.Table) -> np.ndarray:
    """(n,) index of the age band of each row."""
    tenure = np.asarray(table["tenure_days"].to_numpy(zero_copy_only=False))
    return np.asarray(np.searchsorted(AGE_BANDS, tenure, side="right") - 1)


def tell(contributions: np.ndarray, table: pa.Table, peers: Peers, currency: str) -> list[str]:
    """One JSON list a row: the 3 largest reasons for (fewer where fewer families speak for it) and up to 2 against.

    Args:
        contributions: (n, features) in log-odds, columns in catalogue order.
        table: the feature rows they explain.
    """
    families = sorted({feature.family for feature in CATALOGUE})
    member = np.array([[feature.family == family for family in families] for feature in CATALOGUE], dtype=float)
    sums = contributions @ member
    total = np.maximum(np.abs(sums).sum(axis=1), 1e-12)
    columns = [table[feature.name].to_pylist() for feature in CATALOGUE]
    bands = age_band(table)
    out = []
    for i in range(len(contributions)):
        told: list[dict[str, Any]] = []
        for sign, most in ((1, MOST_UP), (-1, MOST_DOWN)):
            ranked = [f for f in np.argsort(-sign * sums[i], kind="stable") if sign * sums[i, f] > 0][:most]
            for f in ranked:
                share = abs(sums[i, f]) / total[i]
                if sign < 0 and share < SMALLEST_SHARE:
                    continue
                best = int(np.argmax(np.where(member[:, f] > 0, sign * contributions[i], -np.inf)))
                feature = CATALOGUE[best]
                peer = None if feature.category else peers.medians[feature.name][bands[i]]
                told.append(
                    {
                        "text": sentence(feature, columns[best][i], peer, currency),
                        "feature": feature.name,
                        "family": feature.family,
                        "direction": "up" if sign > 0 else "down",
                        "value": columns[best][i],
                        "peer": peer,
                        "share": round(float(share), 4),
                    }
                )
        out.append(json.dumps(told, ensure_ascii=False, allow_nan=False))
    return out


def sentence(feature: Feature, value: float | str | None, peer: float | None, currency: str) -> str:
    """`many active users in the last 28 days: 14 users (typical for its age: 2)`."""
    if value is None:
        return feature.none or f"{feature.name} not known"
    if isinstance(value, str):
        return f"{feature.high}: {value}"
    phrase = feature.high if peer is None or value > peer or (value == peer and value > 0) else feature.low
    beside = "" if peer is None else f" (typical for its age: {_shown(peer, feature.unit, currency, bare=True)})"
    return f"{phrase}: {_shown(value, feature.unit, currency)}{beside}"


def _shown(value: float, unit: str, currency: str, bare: bool = False) -> str:
    """`bare`: the number alone, where the unit has just been said."""
    if unit == "log ratio":
        return f"x {np.exp(value):.1f}"
    if unit == "share":
        return f"{100 * value:.0f} %"
    number = f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:,.1f}"
    if bare:
        return number
    if unit.startswith("money"):
        return f"{number} {currency}{unit.removeprefix('money')}"
    return f"{number} {unit.removesuffix('s') if number == '1' else unit}"


def _median(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else None
