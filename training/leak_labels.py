"""Probes of what is learned from and judged by: labels, folds, keys, single features and the order of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata

from features.catalogue import CATEGORIES
from models.encoding import Encoding
from training.bootstrap import Scored
from training.dataset import Dataset
from training.errors import PlanBroken
from training.leak_learner import Recipe, halves, lost_without, one_an_account, ranked
from training.plan_check import check_plan
from training.probe import KEYS, Probe, not_asked

FEWEST = 30  # positives below which one feature may tell them all by chance
SAME = 0.95  # rank correlation from which on a feature says what a label says
Figures = Callable[[np.ndarray, np.ndarray, np.ndarray], Mapping[str, float]]


def shuffled_labels(
    matrix: np.ndarray, label: np.ndarray, rows: pa.Table, recipe: Recipe, repeats: int, seed: int
) -> Probe:
    """Shuffled labels: training and test labels are permuted within each as_of, so nothing can be learned.

    Args:
        matrix: (n, features). label: (n,) 0/1. rows: (n,) account_id and as_of, one row an account.
    """
    day, accounts = rows["as_of"].to_numpy(), rows["account_id"].to_pylist()
    rng, found = np.random.default_rng(seed), []
    for repeat in range(repeats):
        dealt = _dealt(label, day, rng)
        learn = halves(accounts, seed + repeat)
        if 0 < dealt[learn].sum() < learn.sum():
            found.append(ranked(dealt[~learn], recipe(matrix, dealt, learn), day[~learn]))
    found = [one for one in found if not np.isnan(one.auc)]
    if 2 * len(found) < repeats or int(label.sum()) < FEWEST:
        return not_asked("shuffled_labels", f"{int(label.sum())} positives to shuffle, {FEWEST} are needed")
    mean = float(np.mean([one.auc for one in found]))
    bound = 3 * float(np.sum([one.chance**2 for one in found])) ** 0.5 / len(found)
    sentence = (
        f"With shuffled labels mean ROC-AUC over {len(found)} repeats is {mean:.4f}; .5 within {bound:.4f} (3 standard "
        "errors) is allowed. Beyond it the recipe sees the labels it is judged by."
    )
    return Probe("shuffled_labels", abs(mean - 0.5) <= bound, round(abs(mean - 0.5), 6), round(bound, 6), sentence)


def single_feature(features: pa.Table, label: np.ndarray, bound: float, accepted: Mapping[str, str]) -> Probe:
    """One feature: none may separate the positives on its own, unless a note says why that is honest."""
    if int(label.sum()) < FEWEST:
        return not_asked("single_feature", f"{int(label.sum())} positives are complete, {FEWEST} are needed")
    encoding = Encoding.learn(features)
    matrix, half = encoding.matrix(features), halves(features["account_id"].to_pylist(), 0)
    alone = {name: _alone(matrix[:, i], label, half, name in encoding.levels) for i, name in enumerate(encoding.names)}
    return noted(
        "single_feature", alone, bound, accepted, lambda name: f"{name} alone has ROC-AUC {alone[name]:.3f}; above"
    )


def gain_share(gain: Iterable[Mapping[str, object]], bound: float, accepted: Mapping[str, str]) -> Probe:
    """One feature: none may hold too large a share of the model, `gain` in train.json (`models.shares`)."""
    shares = {str(one["feature"]): float(str(one["share"])) for one in gain}
    if not shares:
        return not_asked("gain_share", "the model has no split")
    return noted(
        "gain_share", shares, bound, accepted, lambda name: f"{name} has {shares[name]:.3f} of all gain; above"
    )


def irreplaceable_feature(
    features: pa.Table, label: np.ndarray, bound: float, accepted: Mapping[str, str], seed: int
) -> Probe:
    """One feature: leaving it out may not cost too much skill beyond chance. Honest features repeat each other; nothing
    repeats a copy of the label."""
    accounts = len(set(features["account_id"].filter(pa.array(label == 1)).to_pylist()))
    if accounts < 2 * FEWEST:
        return not_asked("irreplaceable_feature", f"{accounts} accounts expand, {2 * FEWEST} are needed")
    lost = lost_without(features, label, seed)
    if not lost:
        return not_asked("irreplaceable_feature", "nothing is known of the outcome beyond luck")

    def said(name: str) -> str:
        told = lost[name]
        return (
            f"Without {name} {max(told.share, 0.0):.3f} of what is known of the outcome is lost, "
            f"{max(told.least, 0.0):.3f} of it beyond luck; above"
        )

    least = {name: one.least for name, one in lost.items()}
    return noted("irreplaceable_feature", least, bound, accepted, said)


def label_component(data: Dataset, label: np.ndarray, accepted: Mapping[str, str], seed: int) -> Probe:
    """No feature may say of the accounts that expand how much they gain or pay afterwards, nor when they move or
    close: what a label is made of. One snapshot an account is asked: those of a few accounts rank alike by themselves.

    Args:
        data: snapshots. label: (n,) 1 where the account expanded.
    """
    mine = data.take(label == 1)
    one = one_an_account(mine.features["account_id"].to_pylist(), len(mine), np.random.default_rng(seed))
    mine = mine.take(np.isin(np.arange(len(mine)), one))
    if len(mine) < FEWEST:
        return not_asked("label_component", f"{len(mine)} accounts expand, {FEWEST} are needed")
    numbers = [name for name in mine.features.column_names if name not in (*KEYS, *CATEGORIES)]
    worst = {name: (0.0, "none") for name in numbers}
    for component in _components(mine.labels):
        value = mine.money(component)
        told = ~np.isnan(value)
        if told.sum() < FEWEST or len(np.unique(value[told])) < FEWEST // 2:
            continue
        for name in numbers:
            worst[name] = max(worst[name], (_correlation(_numbers(mine.features[name])[told], value[told]), component))

    def said(name: str) -> str:
        found, component = worst[name]
        return (
            f"Among the accounts that expand, {name} has rank correlation {found:.3f} with {component}, which lies in "
            "their future: remove a part of the label; of a feature that is none, above"
        )

    return noted("label_component", {name: found for name, (found, _) in worst.items()}, SAME, accepted, said)


def account_overlap(folds: Iterable[tuple[Iterable[str], Iterable[str]]]) -> Probe:
    """Folds: no account is both learned from and judged by in one selection fold."""
    both: set[str] = set()
    number = 0
    for learned, judged in folds:
        number += 1
        both |= set(learned) & set(judged)
    if not number:
        return not_asked("account_overlap", "nothing was selected by folds")
    sentence = f"{len(both):,} accounts stand on both sides of one of {number} selection folds; 0 may."
    return Probe("account_overlap", not both, float(len(both)), 0.0, sentence)


def held_out_labels(heldout: pa.Table, labels: pa.Table, maturing_days: int, spans: Mapping[str, int]) -> Probe:
    """Held-out rows: the rows that taught at each origin, derived again from the keys; none may be held out there.

    Args:
        heldout: account_id, as_of, origin, target, horizon of the champion's rows.
        labels: account_id, as_of of every snapshot that may teach.
        spans: maturing days by target; one that is absent has `maturing_days`.
    """
    if not len(heldout):
        return not_asked("held_out_labels", "nothing was held out")
    days = heldout["as_of"].to_numpy().astype("datetime64[D]").astype(int)
    origin = heldout["origin"].to_numpy().astype("datetime64[D]").astype(int)
    maturing = np.array([spans.get(target, maturing_days) for target in heldout["target"].to_pylist()])
    taught = days + heldout["horizon"].to_numpy().astype(int) + maturing <= origin
    both = heldout.filter(pa.array(taught)).join(labels.select(list(KEYS)), keys=list(KEYS), join_type="left semi")
    late = int((origin > days).sum())
    example = f", such as one of {both['as_of'][0]}" if len(both) else ""  # the report names no account
    sentence = (
        f"{len(both):,} of {len(heldout):,} held-out rows taught the model that is judged on them{example}, and "
        f"{late:,} stand before the end of its training; 0 may."
    )
    return Probe("held_out_labels", not len(both) and not late, float(max(len(both), late)), 0.0, sentence)


def reversed_join(guards: Mapping[str, Callable[[], object]]) -> Probe:
    """Reversed join: each guard gets a join that runs against time and must stop the run with `PlanBroken`."""
    if not guards:
        return not_asked("reversed_join", "all snapshots are of one date")
    let_through = []
    for name, guard in guards.items():
        try:
            guard()
        except PlanBroken:
            continue
        let_through.append(name)
    said = f"Let through by {', '.join(let_through)}." if let_through else f"Stopped by {', '.join(guards)}."
    sentence = f"A join that runs against time. {said} Every guard must stop it."
    return Probe("reversed_join", not let_through, float(len(let_through)), 0.0, sentence)


def guards(data: Dataset, span_days: int) -> dict[str, Callable[[], object]]:
    """The product's guards, each before a join of the newest features or labels to the oldest date; none where that is
    the newest."""
    days = sorted(data.features["as_of"].unique().to_pylist())
    first, last = days[0], days[-1]
    if first == last:
        return {}
    newest = data.features.filter(pc.equal(data.features["as_of"], pa.scalar(last, pa.date32())))
    oldest = data.labels.filter(pc.equal(data.labels["as_of"], pa.scalar(first, pa.date32())))
    return {
        "check_plan": lambda: check_plan(newest["as_of"], np.ones(len(newest)), span_days, first),
        "Dataset": lambda: Dataset(newest, oldest),
    }


def tie_order(label: np.ndarray, increment: np.ndarray, score: np.ndarray, figures: Figures) -> Probe:
    """Accounts of one score stand in some order, and the outcome may have decided it: every figure must be the same
    with the positives first and with them last. Scores are cut to ten values so that there are ties."""
    if not len(label):
        return not_asked("tie_order", "nothing was held out")
    tied = np.floor(10 * rankdata(score) / (len(score) + 1))
    first = np.argsort(-label, kind="stable")
    one, other = (figures(label[way], increment[way], tied[way]) for way in (first, first[::-1]))
    gaps = {name: abs(one[name] - other[name]) for name in one if not np.isnan(one[name])}
    if not gaps:
        return not_asked("tie_order", "no figure is defined on the held-out rows")
    name = max(gaps, key=lambda key: gaps[key])
    sentence = (
        f"Of all figures {name} moves most, by {gaps[name]:.2g}, when accounts of one score come in another order; "
        "1e-9 may. More means that ties are broken by the order of accounts."
    )
    return Probe("tie_order", gaps[name] <= 1e-9, float(gaps[name]), 1e-9, sentence)


def product_figures(label: np.ndarray, increment: np.ndarray, score: np.ndarray) -> Mapping[str, float]:
    """The figures that evaluation writes."""
    return Scored(label, increment, score, score).figures()


def _dealt(label: np.ndarray, day: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    out = label.copy()
    for one in np.unique(day):
        own = np.flatnonzero(day == one)
        out[own] = label[rng.permutation(own)]
    return out


def _alone(column: np.ndarray, label: np.ndarray, half: np.ndarray, category: bool) -> float:
    """ROC-AUC of one feature, as the model sees it, in its better direction; null lies below every number. Of a
    category, by the rate of each level among the other half of the accounts."""
    score = np.where(np.isnan(column), -np.inf, column)
    if not category:
        auc = ranked(label, score).auc
        return max(auc, 1 - auc)
    level = np.unique(score, return_inverse=True)[1]
    rate = np.zeros(len(label))
    for learn in (half, ~half):
        count = np.bincount(level[learn], minlength=level.max() + 1)
        positive = np.bincount(level[learn], label[learn], minlength=level.max() + 1)
        rate[~learn] = ((positive + label.mean()) / (count + 1))[level[~learn]]
    return ranked(label, rate).auc


def noted(
    name: str, values: Mapping[str, float], bound: float, accepted: Mapping[str, str], said: Callable[[str], str]
) -> Probe:
    """The largest value that no note accepts, against the bound; the notes that were needed are quoted."""
    over = [feature for feature in values if values[feature] > bound]
    notes = [f'{feature} is accepted: "{accepted[feature]}".' for feature in over if feature in accepted]
    left = {feature: value for feature, value in values.items() if feature not in accepted} or {"none": 0.0}
    top = max(left, key=lambda feature: left[feature])
    if top == "none":
        return Probe(name, True, 0.0, bound, " ".join(notes))
    sentence = f"{said(top)} {bound} a note in leaks.accepted_features must say why that is honest."
    return Probe(name, left[top] <= bound, round(left[top], 6), bound, " ".join([sentence, *notes]))


def _components(labels: pa.Table) -> list[str]:
    whole = ("expansion_day", "high_value_day", "churn_day")
    return [name for name in labels.column_names if name in whole or name.startswith(("increment_", "booked_"))]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """(n,) float64; null lies below every number."""
    values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.where(np.isnan(values), -np.inf, values)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Absolute Spearman correlation; 0 where either is constant."""
    ranks = rankdata(one), rankdata(other)
    if min(np.ptp(ranks[0]), np.ptp(ranks[1])) == 0:
        return 0.0
    return abs(float(np.corrcoef(*ranks)[0, 1]))
