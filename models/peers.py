"""Whom an account is compared with: training snapshots of the same age band that were used in the last 28 days; their
medians and what they contribute. Those that sleep, often two thirds, would make every account in use stand out by that
alone, and all of them by the same two reasons.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from features.catalogue import CATALOGUE

AGE_BANDS = (0, 30, 90, 180, 365)  # days since sign-up at which a band of peers begins
LEAST = 20  # of a band in use; where fewer are, all of the band are peers
PEER_ROWS = 500  # snapshots a band whose contributions make its mean; TreeSHAP of them all would rival training


@dataclass(frozen=True)
class Peers:
    """By age band. `medians`: of each numeric feature; null where all were null. `contributions`: mean contribution of
    each feature in log-odds, a list a feature in catalogue order. `log_odds`: mean log-odds. A band that nobody was in
    at training has the medians and means of the peers of all others."""

    medians: dict[str, list[float | None]] = field(default_factory=dict)
    contributions: list[list[float]] = field(default_factory=list)
    log_odds: list[float] = field(default_factory=list)

    def centre(self, contributions: np.ndarray, bands: np.ndarray) -> np.ndarray:
        """(n, features) contributions less the mean of each row's peers. A row sums to its log-odds less theirs."""
        return np.asarray(contributions - np.asarray(self.contributions).T[bands])

    def to_json(self) -> dict[str, Any]:
        return {"medians": self.medians, "contributions": self.contributions, "log_odds": self.log_odds}


def peers_of(table: pa.Table) -> np.ndarray:
    """(n,) bool: the training snapshots that are peers."""
    band = age_band(table)
    used = np.asarray(table["events_28d"].to_numpy(zero_copy_only=False), dtype=np.float64) > 0
    awake = np.bincount(band[used], minlength=len(AGE_BANDS)) >= LEAST
    return np.asarray(used | ~awake[band])


def medians(table: pa.Table) -> dict[str, list[float | None]]:
    """By numeric feature, the median of each age band, of all rows for a band without any."""
    band = age_band(table)
    out: dict[str, list[float | None]] = {}
    for feature in CATALOGUE:
        if feature.category:
            continue
        values = np.asarray(table[feature.name].to_numpy(zero_copy_only=False), dtype=np.float64)
        out[feature.name] = [_median(values[_rows_of(b, band)]) for b in range(len(AGE_BANDS))]
    return out


def sample(bands: np.ndarray) -> np.ndarray:
    """Row numbers of at most PEER_ROWS of each band, evenly spaced over the table."""
    found = [np.flatnonzero(bands == b) for b in range(len(AGE_BANDS))]
    return np.concatenate(
        [rows[np.linspace(0, len(rows) - 1, min(PEER_ROWS, len(rows))).astype(int)] for rows in found]
    )


def band_means(values: np.ndarray, bands: np.ndarray) -> list[Any]:
    """Mean of `values` over the rows of each band, of all rows for a band without any."""
    return [values[_rows_of(b, bands)].mean(axis=0) for b in range(len(AGE_BANDS))]


def _rows_of(band: int, bands: np.ndarray) -> np.ndarray | slice:
    return rows if (rows := bands == band).any() else slice(None)


def age_band(table: pa.Table) -> np.ndarray:
    """(n,) index of the age band of each row."""
    tenure = np.asarray(table["tenure_days"].to_numpy(zero_copy_only=False))
    return np.asarray(np.searchsorted(AGE_BANDS, tenure, side="right") - 1)


def _median(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else None
