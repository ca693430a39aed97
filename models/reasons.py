"""Why a score is what it is: contributions summed by family, in the words of the catalogue.

One declared quantity is explained: the log-odds of expanding in interval REASON_INTERVAL of `models.hazard`, before
calibration, which moves level and spread of all accounts alike and changes no order.
Contributions are exact TreeSHAP (and, of a linear part, its terms) against peers, accounts in use of the same age, so
they sum to the account's log-odds less the mean log-odds of its peers.

Correlated features share credit arbitrarily (Kumar et al. 2020), so families are ranked, and each speaks through the
feature that contributed most to it. "Associated with", never "because".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from features.catalogue import CATALOGUE
from features.feature import Feature
from models.peers import Peers, age_band

MOST_UP, MOST_DOWN = 3, 2
DIGITS, MOST_DIGITS = 2, 7  # significant ones of a number that is told; more only to tell two apart
SMALLEST_SHARE = 0.05  # of the summed absolute contributions of the families; less is noise to a reader
FAMILIES: tuple[str, ...] = tuple(sorted({feature.family for feature in CATALOGUE}))
MEMBER = np.array([[feature.family == family for family in FAMILIES] for feature in CATALOGUE])


class Part(Protocol):
    """A model whose log-odds are a constant plus its contributions."""

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds."""

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """(n, features) log-odds; `raw` less their sum is the same for every row."""


@dataclass(frozen=True)
class Blend:
    """Parts averaged in log-odds, each with its weight: itself a part."""

    parts: tuple[tuple[float, Part], ...]

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        return np.asarray(sum(weight * part.raw(matrix) for weight, part in self.parts))

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        return np.asarray(sum(weight * part.contributions(matrix) for weight, part in self.parts))


@dataclass(frozen=True)
class Explanation:
    """Of n rows: `log_odds` (n,) of the explained hazard before calibration; `contributions` (n, features)
    that sum to those less one constant of the bundle; `centred`, the same less the mean of each row's peers."""

    log_odds: np.ndarray
    contributions: np.ndarray
    centred: np.ndarray


def by_family(contributions: np.ndarray) -> np.ndarray:
    """(n, families) sums, columns as in FAMILIES."""
    # not a matrix product: its order of summing, hence its last bit, would depend on how many rows there are
    return np.column_stack([contributions[:, members].sum(axis=1) for members in MEMBER.T])


def voices(contributions: np.ndarray) -> np.ndarray:
    """(n, families) place in the catalogue of the feature that represents each family: the one with the largest
    contribution in the direction of the family's sum."""
    sign = np.where(by_family(contributions) < 0, -1.0, 1.0)
    out = np.empty(sign.shape, dtype=np.int64)
    for f in range(len(FAMILIES)):
        members = np.flatnonzero(MEMBER[:, f])
        out[:, f] = members[np.argmax(sign[:, f, None] * contributions[:, members], axis=1)]
    return out


def summary(contributions: np.ndarray) -> dict[str, Any]:
    """What reasons are made of over many accounts: mean absolute contribution in log-odds of each family and of each
    feature, largest first. Of a family, `share` is its part of the families' total."""
    families = np.abs(by_family(contributions)).mean(axis=0) if len(contributions) else np.zeros(len(FAMILIES))
    features = np.abs(contributions).mean(axis=0) if len(contributions) else np.zeros(len(CATALOGUE))
    total = max(float(families.sum()), 1e-12)
    return {
        "quantity": "log-odds of expanding in the explained interval, less the mean of peers in use of the same age",
        "rows": len(contributions),
        "families": [
            {"family": FAMILIES[f], "mean_abs": float(families[f]), "share": float(families[f] / total)}
            for f in np.argsort(-families, kind="stable")
        ],
        "features": [
            {"feature": CATALOGUE[i].name, "family": CATALOGUE[i].family, "mean_abs": float(features[i])}
            for i in np.argsort(-features, kind="stable")
        ],
    }


def tell(contributions: np.ndarray, table: pa.Table, peers: Peers, currency: str) -> list[str]:
    """One JSON list a row: up to 3 largest families for and up to 2 against, none below SMALLEST_SHARE.

    Args:
        contributions: (n, features) in log-odds less those of peers, columns in catalogue order.
        table: the feature rows they explain.
    """
    sums, speaker = by_family(contributions), voices(contributions)
    share = np.abs(sums) / np.maximum(np.abs(sums).sum(axis=1, keepdims=True), 1e-12)
    sides = [
        (side, _largest(sign * sums, share, most)) for side, sign, most in (("up", 1, MOST_UP), ("down", -1, MOST_DOWN))
    ]
    told: list[list[str]] = [[] for _ in range(len(sums))]
    phrases = Phrases(table, peers, currency)
    for side, (rows, families) in sides:
        spoken = phrases.of(rows, speaker[rows, families])
        shares = np.round(share[rows, families], 4).tolist()
        for row, (head, tail), part in zip(rows.tolist(), spoken, shares, strict=True):
            told[row].append(f'{head}, "direction": "{side}", {tail}, "share": {part}}}')
    return [f"[{', '.join(pieces)}]" for pieces in told]


def _largest(signed: np.ndarray, share: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and families of the `most` largest positive sums a row that have the share to be told, largest first."""
    order = np.argsort(-signed, axis=1, kind="stable")[:, :most]
    picked = np.take_along_axis((signed > 0) & (share >= SMALLEST_SHARE), order, axis=1)
    rows, places = np.nonzero(picked)
    return rows, order[rows, places]


class Phrases:
    """The reasons of a table as JSON, each pair of feature and value worded once an age band."""

    def __init__(self, table: pa.Table, peers: Peers, currency: str) -> None:
        self._table, self._peers, self._currency = table, peers, currency
        self._bands = age_band(table)

    def of(self, rows: np.ndarray, features: np.ndarray) -> Sequence[tuple[str, str]]:
        """For each row and place in the catalogue, the JSON before and after the direction."""
        out: list[tuple[str, str]] = [("", "")] * len(rows)
        for place in np.unique(features):
            feature, at = CATALOGUE[place], np.flatnonzero(features == place)
            values = self._table[feature.name].take(pa.array(rows[at])).to_pylist()
            known: dict[tuple[Any, int], tuple[str, str]] = {}
            for i, value, band in zip(at.tolist(), values, self._bands[rows[at]].tolist(), strict=True):
                if (value, band) not in known:
                    known[value, band] = self._worded(feature, value, band)
                out[i] = known[value, band]
        return out

    def _worded(self, feature: Feature, value: float | str | None, band: int) -> tuple[str, str]:
        peer = None if feature.category else self._peers.medians[feature.name][band]
        head = {
            "text": sentence(feature, value, peer, self._currency),
            "feature": feature.name,
            "family": feature.family,
        }
        tail = {"value": value, "peer": peer}
        written = (json.dumps(part, ensure_ascii=False, allow_nan=False) for part in (head, tail))
        return next(written)[:-1], next(written)[1:-1]


def sentence(feature: Feature, value: float | str | None, peer: float | None, currency: str) -> str:
    """`more active users in the last 28 days: 14 users (its peers: 2)`."""
    if value is None:
        return _null(feature)
    if isinstance(value, str):
        return f"{feature.noun}: {value}"
    if peer is None:
        return f"{feature.reads(value, None)}: {said(value, feature, currency)}"
    own, theirs = pair(value, peer, feature, currency)
    return f"{feature.reads(value, peer)}: {own} (its peers: {theirs})"


def change(feature: Feature, value: float | str | None, old: float | str | None, since: date, currency: str) -> str:
    """`active users in the last 28 days: 14 users (was 9 on 2026-01-01)`."""
    if value == old:
        now = _null(feature) if value is None else f"{feature.noun}: {said(value, feature, currency)}"
        return f"{now} (as on {since})"
    if isinstance(value, float) and isinstance(old, float):
        now, was = pair(value, old, feature, currency)
    else:
        now = _null(feature) if value is None else said(value, feature, currency)
        was = _null(feature) if old is None else said(old, feature, currency, bare=True)
    return f"{feature.noun}: {now} (was {was} on {since})"


def _null(feature: Feature) -> str:
    return feature.none or f"{feature.noun} not known"


def pair(value: float, other: float, feature: Feature, currency: str) -> tuple[str, str]:
    """Both as a person reads them, the other without its unit; with digits enough to tell them apart."""
    for digits in range(DIGITS, MOST_DIGITS + 1):
        own, theirs = said(value, feature, currency, digits=digits), said(other, feature, currency, True, digits)
        if value == other or said(value, feature, currency, True, digits) != theirs:
            break
    return own, theirs


def said(value: float | str, feature: Feature, currency: str, bare: bool = False, digits: int = DIGITS) -> str:
    """A value as a person reads it, small ones to so many significant digits. `bare`: the number alone, where the unit
    has just been said."""
    if isinstance(value, str):
        return value
    unit = feature.unit
    if unit == "log ratio":
        return f"x {_number(float(np.exp(value)), digits)}"
    if unit == "share":
        return f"{_number(100 * value, digits)} %"
    number = _number(value, digits)
    if bare:
        return number
    if unit.startswith("money"):
        return f"{number} {currency}{unit.removeprefix('money')}"
    return f"{number} {unit.removesuffix('s') if number == '1' else unit}"


def _number(value: float, digits: int) -> str:
    if value == round(value):
        return f"{value + 0.0:,.0f}"  # no minus before a zero
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
