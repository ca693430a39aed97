"""Drift from night to night: how tonight's features and scores differ from those of about a week ago.

A release keeps how its features and scores were distributed, as counts in bins; the next ones count theirs in the same
bins. Two figures judge it. The Population Stability Index of a column, sum over bins of (a - e) ln(a / e) with e the
share of accounts then and a tonight (Siddiqi, Credit Risk Scorecards, 2006): up to .1 stable, above .25 alarm. And how
many of the first `capacity` accounts are still among them: in a week 70 to 90 %; a jump means a fault of the data.

Drift is told and stops nothing. An alarm publishes all the same: what is live must stay fresh, and people decide, who
read of it on every page.
Features alone never make an alarm: where every account is young, tenure and whatever adds up over a life always drift,
and where invoices fall on the first of the month, so do the days since the last one. What drifted when the earlier
release was compared itself is taken to be of that kind. Nor is there an alarm between two bundles: another model ranks
otherwise by right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import chdtri

DISTRIBUTIONS = "distributions.json"
SCHEMA_VERSION = 1  # of it; another one is not compared with
STABLE, ALARM = 0.1, 0.25  # PSI: above the first a column has moved, above the second it is another one
TOP_KEPT = (0.7, 0.9)  # share of the top that a week leaves in place
WEEK = 7  # days
TOP_JUDGED = (4, 10)  # days in which a top may keep no more than, and must keep no less than, a week would leave
LUCK = 1e-4  # chance of a PSI as large where nothing changed, below which it is not luck; there are some 150 features
ERRORS = (1, 2)  # standard errors by which it must lie out of these bounds; the upper one, a hint, is often touched
MOST_VALUES = 20  # of a category counted one by one; the rarer ones are pooled
NARROW = 1e-9  # of a value: what lies as near to it is equal; engines differ in the last digits
MOST_TOLD = 5  # features told by name
EMPTY = 0.5  # accounts that an empty bin counts for, so that its logarithm is finite
ACCOUNT = ("account_id", "as_of")
WORDS = ("stable", "moved", "alarm")


@dataclass(frozen=True)
class Watched:
    """What a night gives to be watched. `rows` makes the feature rows, of all accounts or of a sample, in any order;
    `score`: the column of scores that is compared."""

    rows: Callable[[], pa.Table]
    score: str


class Before(NamedTuple):
    """An earlier release: its name, its distributions.json, its accounts in order of rank, and the features that had
    moved when it was compared itself, none if it was not."""

    release: str
    document: dict[str, Any]
    ranked: list[str]
    drifted: frozenset[str] = frozenset()


class _Change(NamedTuple):
    """Of one column: its PSI, what of it chance gives in the mean, and its place in WORDS."""

    name: str
    psi: float
    chance: float
    word: int


def score_column(card: dict[str, Any]) -> str:
    """The score that is watched: of a model its probability at the default horizon, of a rule what it ranks by."""
    return f"probability_{card['default_horizon']}" if card["method"] == "model" else "score"


def profile(features: pa.Table, scores: pa.Table, score: str, run: dict[str, Any]) -> dict[str, Any]:
    """distributions.json: bins and counts of every feature and of the column `score` of `scores`, and no account.

    `run` has method and bundle_id. A column is either

        edges (n), counts (n + 2): of values up to each edge, above the last, and null or not finite;
        values (n), counts (n + 2): of each of the most frequent values, of all others together, and null.
    """
    names = [name for name in features.column_names if name not in ACCOUNT]
    return {
        "schema_version": SCHEMA_VERSION,
        **{name: run[name] for name in ("method", "bundle_id")},
        "accounts": scores.num_rows,
        "score": {"name": score, **_profiled(scores[score])},
        "features": {name: _profiled(features[name]) for name in names},
    }


def in_order(names: Iterable[str], as_of: str, bundle_id: str) -> list[str]:
    """Of releases by `names`, those of a day before `as_of`, the best to compare with first: nearest to a week before,
    but those of the same bundle within two weeks before all others, so that a model just promoted is its own measure
    from its second night on."""

    def distance(name: str) -> tuple[bool, int, str]:
        days = (date.fromisoformat(as_of) - date.fromisoformat(name[:10])).days
        return not (name[11:23] == bundle_id[:12] and days <= 2 * WEEK), abs(days - WEEK), name

    return sorted((name for name in names if name[:10] < as_of), key=distance)


def comparable(earlier: dict[str, Any], tonight: dict[str, Any]) -> bool:
    """Whether the night of document `tonight` can be compared with that of document `earlier`."""
    return all(earlier.get(name) == tonight[name] for name in ("schema_version", "method"))


def compare(
    before: Before, tonight: dict[str, Any], features: pa.Table, scores: pa.Table, capacity: int
) -> dict[str, Any]:
    """What moved since `before`. `tonight` is the profile of `features` and `scores`, the latter in order of rank.

    A PSI is above a threshold if what is left of it without the mean that chance gives is, and if chance would give as
    much less often than LUCK; few accounts need a large one. The top is judged where it holds at most half of the
    accounts that both releases have, as more of them stay by themselves: below the bound up to ten days apart, above
    it from four. `score_psi` is null if another score was watched then, the top's `share` if no account is in both.
    """
    document = before.document
    days = (scores["as_of"][0].as_py() - date.fromisoformat(before.release[:10])).days
    score = None
    if document["score"]["name"] == tonight["score"]["name"]:
        score = _change("score", document["score"], scores[tonight["score"]["name"]])
    now = tonight["features"]
    common = [name for name, bins in document["features"].items() if name in now and now[name].keys() == bins.keys()]
    changes = [_change(name, document["features"][name], features[name]) for name in common]
    changes.sort(key=lambda change: (change.chance - change.psi, change.name))
    ranked = scores["account_id"].to_pylist()
    both = len(set(ranked) & set(before.ranked))
    n = min(capacity, both)
    kept = len(set(ranked[:n]) & set(before.ranked[:n]))
    top = _top(n, kept, days) if 2 * n <= both else 0
    same_bundle = document["bundle_id"] == tonight["bundle_id"]
    anew = [change for change in changes if change.word == 2 and change.name not in before.drifted]
    word, why = _verdict(score, anew, top, f"{kept} of the top {n}", same_bundle)
    return {
        "compared_with": before.release,
        "days": days,
        "same_bundle": same_bundle,
        "score_psi": None if score is None else round(score.psi, 4),
        "score_psi_by_chance": None if score is None else round(score.chance, 4),
        "features": [{"name": c.name, "psi": round(c.psi, 4), "word": WORDS[c.word]} for c in changes[:MOST_TOLD]],
        "drifted": [change.name for change in changes if change.word],
        "moved": sum(change.word >= 1 for change in changes),
        "alarms": sum(change.word == 2 for change in changes),
        "top": {"n": n, "kept": kept, "share": round(kept / n, 4) if n else None},
        "verdict": WORDS[word],
        "why": why,
    }


def psi(before: Sequence[int], tonight: Sequence[int]) -> tuple[float, float, int]:
    """PSI of two counts of the same bins; 1/n + 1/m, n and m their sums; and the degrees of freedom, the bins that
    either fills less one. Where nothing changed, PSI is about (1/n + 1/m) times chi-squared of these degrees."""
    was, now = np.array(before, float), np.array(tonight, float)
    some = was + now > 0
    e, a = (np.maximum(counts[some], EMPTY) / counts.sum() for counts in (was, now))
    return float(np.sum((a - e) * np.log(a / e))), float(1 / was.sum() + 1 / now.sum()), int(some.sum()) - 1


def _change(name: str, bins: dict[str, Any], column: pa.ChunkedArray) -> _Change:
    found, unit, freedom = psi(bins["counts"], _counted(column, bins))
    chance = unit * freedom
    beyond_luck = freedom > 0 and found > unit * float(chdtri(freedom, LUCK))
    word = sum(found - chance > threshold for threshold in (STABLE, ALARM)) if beyond_luck else 0
    return _Change(name, found, chance, word)


def _top(n: int, kept: int, days: int) -> int:
    """-1 if fewer of the top `n` were kept than `days` explain, 1 if more, else 0."""
    low, high = (bound * n for bound in TOP_KEPT)
    slack = [errors * (n * bound * (1 - bound)) ** 0.5 for errors, bound in zip(ERRORS, TOP_KEPT, strict=True)]
    if days <= TOP_JUDGED[1] and kept < low - slack[0]:
        return -1
    return int(days >= TOP_JUDGED[0] and kept > high + slack[1])


def _verdict(score: _Change | None, anew: list[_Change], top: int, kept: str, same_bundle: bool) -> tuple[int, str]:
    """The place in WORDS, and why in one sentence. `anew`: features above ALARM that had not moved before."""
    said = []
    if score is not None and score.word:
        said.append(f"score PSI {score.psi:.2f} is above {(STABLE, ALARM)[score.word - 1]}")
    if top < 0:
        said.append(f"only {kept} were kept, of which a week leaves {TOP_KEPT[0]:.0%} to {TOP_KEPT[1]:.0%}")
    far = top < 0 or (score is not None and score.word == 2)
    if said and not same_bundle:
        said.append("another bundle scores since then, which alone can do that")
    if top > 0:
        said.append(f"{kept} were kept, of which a week leaves {TOP_KEPT[1]:.0%} at most: does the feed still come?")
    if anew:
        said.append(f"features above {ALARM}, not known to drift: {len(anew)}, first {anew[0].name} {anew[0].psi:.2f}")
    if not said:
        return 0, "nothing moved but what chance, the days between and earlier nights explain"
    if far and same_bundle:
        return 2, "; ".join([*said, "look at `expansion check` and quarantine/ before calling"])
    return 1, "; ".join(said)


def _profiled(column: pa.ChunkedArray) -> dict[str, Any]:
    bins = {"values": _frequent(column)} if _is_category(column) else {"edges": _edges(_finite(column))}
    return {**bins, "counts": _counted(column, bins)}


def _counted(column: pa.ChunkedArray, bins: dict[str, Any]) -> list[int]:
    """Accounts in each of `bins`, the last count being of those without a value."""
    if "values" in bins:
        known = pc.cast(column.drop_null(), pa.string())
        found = pc.index_in(known, pa.array(bins["values"], pa.string()))
        places, inner = pc.fill_null(found, len(bins["values"])).to_numpy(), len(bins["values"]) + 1
    else:
        places, inner = np.searchsorted(bins["edges"], _finite(column), side="left"), len(bins["edges"]) + 1
    counts = np.bincount(places, minlength=inner)
    return [*counts.tolist(), len(column) - int(counts.sum())]


def _edges(values: np.ndarray) -> list[float]:
    """Deciles, ascending and each once. A value that is several of them is cut off from below too, so that it has a bin
    of its own: 0 where most are 0, or 1 of a yes or no that is mostly yes."""
    if len(values) == 0:
        return []
    deciles = np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf")
    narrow = NARROW * np.maximum(1, np.abs(deciles))
    often = [float(a - gap) for (a, b), gap in zip(pairwise(deciles), narrow[:-1], strict=True) if a == b]
    return sorted({*(deciles + narrow).tolist(), *often})


def _frequent(column: pa.ChunkedArray) -> list[str]:
    counted = pc.value_counts(pc.cast(column.drop_null(), pa.string())).to_pylist()
    counted.sort(key=lambda item: (-item["counts"], item["values"]))
    return [item["values"] for item in counted[:MOST_VALUES]]


def _is_category(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_dictionary(column.type))


def _finite(column: pa.ChunkedArray) -> np.ndarray:
    """(k,) of the column's values, without null and NaN."""
    values: np.ndarray = column.to_numpy().astype(float)
    finite: np.ndarray = values[np.isfinite(values)]
    return finite
