"""Why a score moved since the release of an earlier day: what each family of features added, up to the whole change.

The quantity is the one that reasons explain, the log-odds of expanding in their interval. Under one bundle its change
is the sum of the families' changes. Under a new bundle the last one explains tonight's features too, so that what the
account did and what the new model sees otherwise stand apart; where it cannot read them, all is the new model's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from features.catalogue import CATALOGUE
from models.peers import Peers, age_band
from models.reasons import FAMILIES, Explanation, by_family, sentence, shown, voices

NEW_MODEL, REST = "new model", "rest"
MOST_TOLD = 5  # families told by name; what is left is one term, so that all terms add up
SMALLEST_SHARE = 0.05  # of the summed absolute changes; a family below it goes to the rest
DIGITS = 9  # of a change in log-odds; the terms add up to 1e-8
FIRST_RELEASE, NEW_ACCOUNT, RULE, NOT_KEPT = "first_release", "new_account", "rule", "not_kept"
NEW_MODEL_TEXT = "a new model weighs the same history differently"
NOT_ASKED_TEXT = "a new model; the last could not be loaded to tell apart what the account did"
NEW_FEATURES_TEXT = "a new model, which reads other features than the last: what the account did cannot be told apart"
FEATURES = {feature.name: feature for feature in CATALOGUE}


class Why(NamedTuple):
    """Of one account: the whole answer as JSON, or else the word why there is none; the text of its first term."""

    said: str | None
    absent: str | None
    first: str | None


@dataclass(frozen=True)
class Explained:
    """What the night knows of its scores beside them. `contributions` as `keep` gives them; `by_bundle`: the same
    accounts and features explained by the bundle in a folder; if that bundle cannot, what is told in its place."""

    contributions: pa.Table
    peers: Peers
    currency: str
    by_bundle: Callable[[Path], pa.Table | str]


@dataclass(frozen=True)
class Earlier:
    """The release compared with: `contributions` null if it kept none; `same_bundle`: as tonight's."""

    as_of: date
    bundle: Path
    same_bundle: bool
    method: str
    contributions: pa.Table | None


def keep(
    features: pa.Table, explanation: Explanation, probability: np.ndarray | None = None, horizon: int = 0
) -> pa.Table:
    """What a release keeps for the next one: account_id, log_odds, probability (at `horizon` days; NaN becomes null),
    horizon, and by family its sum, the feature it speaks through and that feature's value (null for a category)."""
    sums, speaker = by_family(explanation.contributions), voices(explanation.centred)
    n = len(sums)
    columns: dict[str, Any] = {
        "account_id": features["account_id"],
        "log_odds": explanation.log_odds,
        "probability": pa.array(np.full(n, np.nan) if probability is None else probability, from_pandas=True),
        "horizon": pa.array(np.full(n, horizon), pa.int32()),
    }
    names = np.array([feature.name for feature in CATALOGUE])
    for f, family in enumerate(FAMILIES):
        values = np.full(n, np.nan)
        for place in np.unique(speaker[:, f]):
            if not CATALOGUE[place].category:
                at = np.flatnonzero(speaker[:, f] == place)
                values[at] = features[CATALOGUE[place].name].to_numpy(zero_copy_only=False)[at]
        columns[family] = sums[:, f]
        columns[f"{family}_feature"] = pa.array(names[speaker[:, f]].tolist(), pa.string()).dictionary_encode()
        columns[f"{family}_value"] = pa.array(values, from_pandas=True)
    return pa.table(columns)


def columns_kept(names: list[str]) -> bool:
    """Whether a table of these columns was kept for the families of today."""
    return {"account_id", "log_odds", "probability", "horizon", *FAMILIES} <= set(names)


def explain_change(scores: pa.Table, tonight: Explained | None, earlier: Earlier | None) -> dict[str, Why]:
    """By account of `scores`, why its log-odds are not those of `earlier`."""
    accounts = scores["account_id"].to_pylist()
    if earlier is None:
        return dict.fromkeys(accounts, Why(None, FIRST_RELEASE, None))
    if tonight is None or earlier.method == "rule":
        return dict.fromkeys(accounts, Why(None, RULE, None))
    if earlier.contributions is None:
        return dict.fromkeys(accounts, Why(None, NOT_KEPT, None))
    changes = _Changes(tonight, earlier)
    bands = dict(zip(accounts, age_band(scores).tolist(), strict=True))
    return {account: changes.told(account, bands[account]) for account in accounts}


class _Changes:
    """The terms of every account that both releases hold, worked out at once."""

    def __init__(self, tonight: Explained, earlier: Earlier) -> None:
        assert earlier.contributions is not None
        self._tonight, self._since = tonight, earlier.as_of
        under_last = tonight.contributions if earlier.same_bundle else tonight.by_bundle(earlier.bundle)
        self._model_text = under_last if isinstance(under_last, str) else NEW_MODEL_TEXT
        now = _Kept(tonight.contributions)
        self._now, self._before = now, _Kept(earlier.contributions)
        common = [account for account in now.place if account in self._before.place]
        self._row = {account: i for i, account in enumerate(common)}
        here = np.array([now.place[account] for account in common], dtype=np.int64)
        there = np.array([self._before.place[account] for account in common], dtype=np.int64)
        self._log_odds = now.log_odds[here] - self._before.log_odds[there]
        families = np.zeros((len(common), len(FAMILIES)))
        if not isinstance(under_last, str):
            same = _Kept(under_last)
            place = np.array([same.place[account] for account in common], dtype=np.int64)
            families = same.sums[place] - self._before.sums[there]
            self._now = same  # the last bundle's voices, so that a feature is held against itself
        model = self._log_odds - families.sum(axis=1)
        if earlier.same_bundle:
            model[:] = 0.0  # but for rounding: one bundle has one constant
        self._terms = np.column_stack([families, model])
        self._probability = _probability_change(now, here, self._before, there)
        self._horizon = now.horizon

    def told(self, account: str, band: int) -> Why:
        i = self._row.get(account)
        if i is None:
            return Why(None, NEW_ACCOUNT, None)
        told = self._list(account, self._terms[i], band)
        said = {
            "since": self._since.isoformat(),
            "log_odds": round(float(self._log_odds[i]), DIGITS),
            "horizon": self._horizon,
            "probability": None if np.isnan(self._probability[i]) else round(float(self._probability[i]), DIGITS),
            "changes": told,
        }
        return Why(json.dumps(said, ensure_ascii=False, allow_nan=False), None, told[0]["text"] if told else None)

    def _list(self, account: str, terms: np.ndarray, band: int) -> list[dict[str, Any]]:
        """Terms from the largest; those too small to be told by name are one term at the end."""
        size = np.abs(terms)
        total = float(size.sum())
        if total < 10.0**-DIGITS:
            return []
        order = [int(t) for t in np.argsort(-size, kind="stable")[:MOST_TOLD] if size[t] >= SMALLEST_SHARE * total]
        told = [
            {
                "family": NEW_MODEL if t == len(FAMILIES) else FAMILIES[t],
                "change": round(float(terms[t]), DIGITS),
                "text": self._model_text if t == len(FAMILIES) else self._text(account, FAMILIES[t], band),
            }
            for t in order
        ]
        rest = float(np.delete(terms, order).sum())
        if round(rest, DIGITS):
            told.append({"family": REST, "change": round(rest, DIGITS), "text": "smaller changes together"})
        return told

    def _text(self, account: str, family: str, band: int) -> str:
        """The feature that the family speaks through tonight, beside its value then if it spoke through it then too."""
        name, value = self._now.voice(account, family)
        before, old = self._before.voice(account, family)
        feature, currency = FEATURES[name], self._tonight.currency
        if before == name and value is not None and old is not None and value != old:
            phrase = feature.high if value > old else feature.low
            was = shown(old, feature.unit, currency, bare=True)
            return f"{phrase}: {shown(value, feature.unit, currency)} (was {was} on {self._since})"
        if feature.category:
            return feature.high
        return sentence(feature, value, self._tonight.peers.medians[name][band], currency)


class _Kept:
    """Contributions of one release by account."""

    def __init__(self, table: pa.Table) -> None:
        self.place = {account: i for i, account in enumerate(table["account_id"].to_pylist())}
        self.log_odds = np.asarray(table["log_odds"])
        self.sums = np.column_stack([np.asarray(table[family]) for family in FAMILIES])
        self.probability = np.asarray(table["probability"].to_numpy(zero_copy_only=False), dtype=np.float64)
        self.horizon = int(table["horizon"][0].as_py()) if table.num_rows else 0
        self._features = {family: table[f"{family}_feature"].to_pylist() for family in FAMILIES}
        self._values = {family: table[f"{family}_value"].to_pylist() for family in FAMILIES}

    def voice(self, account: str, family: str) -> tuple[str, float | None]:
        i = self.place[account]
        return self._features[family][i], self._values[family][i]


def _probability_change(now: _Kept, here: np.ndarray, before: _Kept, there: np.ndarray) -> np.ndarray:
    """NaN where either has no probability, or they speak of different horizons."""
    if now.horizon != before.horizon:
        return np.full(len(here), np.nan)
    return np.asarray(now.probability[here] - before.probability[there])
