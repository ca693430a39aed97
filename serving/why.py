"""Why a score moved since the release of an earlier day: what each family of features added, up to the whole change.

The quantity is the one that reasons explain, the log-odds of expanding in their interval. Under one bundle its change
is the sum of the families' changes. Under a new bundle the last one explains tonight's features too, so that what the
account did and what the new model sees otherwise stand apart; where it cannot read them, all is the new model's.

A family is told by the feature that moved it most, not by the one that weighs most.
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

from features.catalogue import CATALOGUE, CATEGORIES
from models.reasons import FAMILIES, MEMBER, Explanation, by_family, change

NEW_MODEL, REST = "new model", "rest"
MOST_TOLD = 5  # families told by name; what is left is one term, so that all terms add up
SMALLEST_SHARE = 0.05  # of the summed absolute changes; a family below it goes to the rest
SMALLEST = 0.01  # in log-odds, some hundredth of the odds; a family below it goes to the rest
DIGITS = 9  # of a change in log-odds; the terms add up to 1e-8
FIRST_RELEASE, NEW_ACCOUNT, RULE, NOT_KEPT, TOP = "first_release", "new_account", "rule", "not_kept", "top_tier"
NEW_MODEL_TEXT = "a new model weighs the same history differently"
NOT_ASKED_TEXT = "a new model; the last could not be loaded to tell apart what the account did"
NEW_FEATURES_TEXT = "a new model, which reads other features than the last: what the account did cannot be told apart"
NUMBERS = [place for place, feature in enumerate(CATALOGUE) if not feature.category]
COLUMN = {feature: place for place, feature in enumerate(NUMBERS)}  # of a numeric feature in `values`
OUTLOOK = ("probability", "increment")  # at the default horizon
FEATURE_COLUMNS = ("contributions", "values", *(f"value_{name}" for name in CATEGORIES))


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
    features: pa.Table, explanation: Explanation, outlook: dict[str, np.ndarray] | None = None, horizon: int = 0
) -> pa.Table:
    """What a release keeps for the next one: account_id, log_odds, probability and increment (at `horizon` days; NaN
    becomes null), horizon, by family its sum, and, in catalogue order and to seven digits, the contribution of each
    feature and the value of each numeric one; those of categories as words."""
    n = len(explanation.log_odds)
    outlook = outlook or {name: np.full(n, np.nan) for name in OUTLOOK}
    columns: dict[str, Any] = {
        "account_id": features["account_id"],
        "log_odds": explanation.log_odds,
        **{name: pa.array(outlook[name], from_pandas=True) for name in OUTLOOK},
        "horizon": pa.array(np.full(n, horizon), pa.int32()),
        **dict(zip(FAMILIES, by_family(explanation.contributions).T, strict=True)),
        "contributions": _rows(explanation.contributions),
        "values": _rows(np.column_stack([_numbers(features, i) for i in NUMBERS])),
        **{f"value_{name}": features[name].combine_chunks().dictionary_encode() for name in CATEGORIES},
    }
    return pa.table(columns)


def _numbers(features: pa.Table, place: int) -> np.ndarray:
    return np.asarray(features[CATALOGUE[place].name].to_numpy(zero_copy_only=False), dtype=np.float64)


def _rows(matrix: np.ndarray) -> pa.Array:
    """A list of float32 a row."""
    n, width = matrix.shape
    offsets = pa.array(np.arange(0, (n + 1) * width, width), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.astype(np.float32).ravel()))


def columns_kept(names: list[str]) -> bool:
    """Whether a table of these columns was kept for the families and features of today."""
    return {"account_id", "log_odds", *OUTLOOK, "horizon", *FAMILIES, *FEATURE_COLUMNS} <= set(names)


def explain_change(scores: pa.Table, tonight: Explained | None, earlier: Earlier | None) -> dict[str, Why]:
    """By account of `scores`, why its log-odds are not those of `earlier`; not of those at the top of the ladder, who
    have nothing left to expand to."""
    accounts = scores["account_id"].to_pylist()
    if earlier is None:
        return dict.fromkeys(accounts, Why(None, FIRST_RELEASE, None))
    if tonight is None or earlier.method == "rule":
        return dict.fromkeys(accounts, Why(None, RULE, None))
    if earlier.contributions is None:
        return dict.fromkeys(accounts, Why(None, NOT_KEPT, None))
    changes, next_tier = _Changes(tonight, earlier), scores["next_tier"].to_pylist()
    return {
        account: Why(None, TOP, None) if above is None else changes.told(account)
        for account, above in zip(accounts, next_tier, strict=True)
    }


class _Changes:
    """The terms of every account that both releases hold, worked out at once."""

    def __init__(self, tonight: Explained, earlier: Earlier) -> None:
        assert earlier.contributions is not None
        self._currency, self._since = tonight.currency, earlier.as_of
        under_last = tonight.contributions if earlier.same_bundle else tonight.by_bundle(earlier.bundle)
        self._model_text = under_last if isinstance(under_last, str) else NEW_MODEL_TEXT
        now, before = _Kept(tonight.contributions), _Kept(earlier.contributions)
        common = [account for account in now.place if account in before.place]
        self._row = {account: i for i, account in enumerate(common)}
        here, there = (np.array([one.place[account] for account in common], dtype=np.int64) for one in (now, before))
        self._log_odds = now.log_odds[here] - before.log_odds[there]
        families = np.zeros((len(common), len(FAMILIES)))
        self._moved = np.zeros((len(common), len(CATALOGUE)), np.float32)
        if not isinstance(under_last, str):
            same = now if earlier.same_bundle else _Kept(under_last)
            place = np.array([same.place[account] for account in common], dtype=np.int64)
            families = same.sums[place] - before.sums[there]
            self._moved = same.contributions[place] - before.contributions[there]
        model = self._log_odds - families.sum(axis=1)
        if earlier.same_bundle:
            model[:] = 0.0  # but for rounding: one bundle has one constant
        self._terms = np.column_stack([families, model])
        unlike = 0.0 if now.horizon == before.horizon else np.nan  # chances at two horizons are not held together
        self._outlook = {name: now.outlook[name][here] - before.outlook[name][there] + unlike for name in OUTLOOK}
        self._horizon, self._now, self._before, self._here, self._there = now.horizon, now, before, here, there

    def told(self, account: str) -> Why:
        i = self._row.get(account)
        if i is None:
            return Why(None, NEW_ACCOUNT, None)
        told = self._list(i)
        said = {
            "since": self._since.isoformat(),
            "log_odds": round(float(self._log_odds[i]), DIGITS),
            "horizon": self._horizon,
            "probability": _rounded(self._outlook["probability"][i]),
            "expected_increment": _rounded(self._outlook["increment"][i]),
            "changes": told,
        }
        return Why(json.dumps(said, ensure_ascii=False, allow_nan=False), None, told[0]["text"] if told else None)

    def _list(self, i: int) -> list[dict[str, Any]]:
        """Terms from the largest; those too small to be named are one term at the end."""
        terms = self._terms[i]
        size = np.abs(terms)
        total = float(size.sum())
        if total < 10.0**-DIGITS:
            return []
        least = np.full(len(terms), max(SMALLEST_SHARE * total, SMALLEST))
        least[-1] = SMALLEST_SHARE * total  # that the model is another one is told, however little it changes
        order = [int(t) for t in np.argsort(-size, kind="stable")[:MOST_TOLD] if size[t] >= least[t]]
        told = [
            {
                "family": NEW_MODEL if t == len(FAMILIES) else FAMILIES[t],
                "change": round(float(terms[t]), DIGITS),
                "text": self._model_text if t == len(FAMILIES) else self._text(i, t),
            }
            for t in order
        ]
        rest = float(np.delete(terms, order).sum())
        if round(rest, DIGITS):
            told.append({"family": REST, "change": round(rest, DIGITS), "text": "smaller changes together"})
        return told

    def _text(self, i: int, family: int) -> str:
        """Names the feature whose contribution moved most in the family's direction, with its value now and then. A
        feature whose own value changed goes before one that only weighs differently."""
        members = np.flatnonzero(MEMBER[:, family])
        push = np.sign(self._terms[i, family]) * self._moved[i, members]
        here, there = int(self._here[i]), int(self._there[i])
        values = [(self._now.value(here, int(f)), self._before.value(there, int(f))) for f in members]
        other = np.array([now != then for now, then in values]) & (push > 0)
        first = int(np.argmax(np.where(other, push, -np.inf) if other.any() else push))
        return change(CATALOGUE[members[first]], *values[first], self._since, self._currency)


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DIGITS)


class _Kept:
    """What one release kept, by the place of the account in it."""

    def __init__(self, table: pa.Table) -> None:
        self.place = {account: i for i, account in enumerate(table["account_id"].to_pylist())}
        self.log_odds = np.asarray(table["log_odds"])
        self.sums = np.column_stack([np.asarray(table[family]) for family in FAMILIES])
        self.outlook = {
            name: np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64) for name in OUTLOOK
        }
        self.horizon = int(table["horizon"][0].as_py()) if table.num_rows else 0
        self.contributions = _matrix(table["contributions"], len(CATALOGUE))
        self._values = numbers_kept(table)
        self._words = {name: table[f"value_{name}"].to_pylist() for name in CATEGORIES}

    def value(self, row: int, feature: int) -> float | str | None:
        """Of a place in the catalogue."""
        if (words := self._words.get(CATALOGUE[feature].name)) is not None:
            return words[row]  # type: ignore[no-any-return]
        value = float(self._values[row, COLUMN[feature]])
        return None if np.isnan(value) else value


def numbers_kept(table: pa.Table) -> np.ndarray:
    """(n, len(NUMBERS)) float32 of what `keep` kept, columns as in NUMBERS; NaN is null."""
    return _matrix(table["values"], len(NUMBERS))


def _matrix(lists: pa.ChunkedArray, width: int) -> np.ndarray:
    return np.asarray(lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)).reshape(-1, width)
