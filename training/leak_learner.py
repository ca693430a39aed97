"""The small fast learner that the leak audit asks with, and the ROC-AUC it is judged by, whose chance is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from models.boosting import BoosterParams, fit_booster, gain_shares
from models.encoding import Encoding
from models.side_by_side import threads
from training.metrics import log_losses

# (all rows, their labels, which of them may be learned from) -> scores of the other rows. The labels of those are in
# its hands, so a recipe that looks at them is found out.
Recipe = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SMALL = BoosterParams(rounds=25, learning_rate=0.15, num_leaves=7, lambda_l2=1.0)
ASKED = 3  # features of most gain, of which it is asked what is known without them
BEYOND_LUCK = 2.0  # standard errors
MOST_ROWS = 20_000  # snapshots that this takes


def small_booster(features: pa.Table, seed: int) -> tuple[np.ndarray, Recipe]:
    """The matrix of `features` (n, features), and a recipe that fits 25 small trees to rows of it."""
    encoding = Encoding.learn(features)

    def scores(matrix: np.ndarray, label: np.ndarray, learn: np.ndarray) -> np.ndarray:
        booster = _fitted(encoding, matrix[learn], label[learn], SMALL, seed)
        return np.asarray(booster.predict(matrix[~learn], num_threads=threads()))

    return encoding.matrix(features), scores


@dataclass(frozen=True)
class Lost:
    """`share` of what is known of the outcome that is lost without a feature; `least`: the share that is lost beyond
    luck, two standard errors below it, accounts being what is drawn."""

    share: float
    least: float


def lost_without(features: pa.Table, label: np.ndarray, seed: int) -> dict[str, Lost]:
    """What is known of accounts that taught nothing, told as log-loss below the base rate's, and the share of it that
    is lost without a feature, of the `ASKED` features of most gain. The learner sees every column, so that none can
    hide behind the others; mean over either half of the accounts teaching. Empty where nothing is known beyond luck.

    Args:
        features: account_id and features, (n,). label: (n,) 0/1.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(label))[:MOST_ROWS])
    features, label = features.take(pa.array(rows)), label[rows]
    encoding = Encoding.learn(features)
    matrix, half = encoding.matrix(features), halves(features["account_id"].to_pylist(), seed)
    every = SMALL.model_copy(update={"feature_fraction": 1.0})
    booster = _fitted(encoding, matrix, label, every, seed)
    gain = gain_shares([booster])
    names = sorted(gain, key=lambda name: -gain[name])[:ASKED]
    known, lost = np.zeros(len(label)), {name: np.zeros(len(label)) for name in names}
    for learn in (half, ~half):

        def loss(seen: np.ndarray, learn: np.ndarray = learn) -> np.ndarray:
            taught = _fitted(encoding, seen[learn], label[learn], every, seed)
            return log_losses(label[~learn], np.asarray(taught.predict(seen[~learn], num_threads=threads())))

        whole = loss(matrix)
        known[~learn] = log_losses(label[~learn], np.full(int((~learn).sum()), label[learn].mean())) - whole
        for name in names:
            blind = matrix.copy()
            blind[:, encoding.names.index(name)] = np.nan
            lost[name][~learn] = loss(blind) - whole
    account = np.unique(np.array(features["account_id"].to_pylist()), return_inverse=True)[1]
    if known.sum() <= BEYOND_LUCK * _error(known, account):
        return {}
    out = {}
    for name, value in lost.items():
        share = float(value.sum() / known.sum())
        out[name] = Lost(share, share - BEYOND_LUCK * _error(value - share * known, account) / float(known.sum()))
    return out


def _error(value: np.ndarray, account: np.ndarray) -> float:
    """Standard error of the sum of `value` (n,), accounts being what is drawn."""
    return float(np.sqrt((np.bincount(account, value) ** 2).sum()))


def _fitted(encoding: Encoding, matrix: np.ndarray, label: np.ndarray, params: BoosterParams, seed: int) -> lgb.Booster:
    leaf = min(20, max(5, len(label) // 50))  # a sample of a small vendor must still be split
    params = params.model_copy(update={"min_data_in_leaf": leaf})
    names, categories = list(encoding.names), encoding.category_columns
    return fit_booster(matrix, label, "binary", params, seed, names=names, categories=categories)


@dataclass(frozen=True)
class Ranked:
    """ROC-AUC, and the standard deviation it has where labels are dealt at random; both nan without both classes."""

    auc: float
    chance: float


def ranked(label: np.ndarray, score: np.ndarray, stratum: np.ndarray | None = None) -> Ranked:
    """ROC-AUC over pairs of one stratum, ties half: sum of Mann-Whitney U over sum of P x N. Its variance under
    labels exchanged within strata is sum of P N (P + N + 1) / 12 over (sum of P N)^2 (van Elteren 1960), less with
    ties.

    Args:
        label: (n,) 0/1. score: (n,) finite. stratum: (n,) of anything; None: all rows are one.
    """
    groups = np.zeros(len(label), dtype=int) if stratum is None else np.unique(stratum, return_inverse=True)[1]
    wins = pairs = variance = 0.0
    for group in range(int(groups.max()) + 1 if len(groups) else 0):
        own = groups == group
        positive = label[own] == 1
        p, n = int(positive.sum()), int((~positive).sum())
        if p and n:
            wins += float(rankdata(score[own])[positive].sum()) - p * (p + 1) / 2
            pairs += p * n
            variance += p * n * (p + n + 1) / 12
    return Ranked(wins / pairs, variance**0.5 / pairs) if pairs else Ranked(float("nan"), float("nan"))


def halves(accounts: list[str], seed: int) -> np.ndarray:
    """(n,) bool: the half of the accounts that may be learned from; every row of an account is on one side."""
    names, number = np.unique(np.array(accounts, dtype=object).astype(str), return_inverse=True)
    return np.asarray((np.random.default_rng(seed).permutation(len(names)) % 2 == 0)[number])


def one_an_account(accounts: list[str], most: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers, sorted: a random row of each of at most `most` random accounts."""
    order = rng.permutation(len(accounts))
    first = np.unique(np.array(accounts, dtype=object)[order].astype(str), return_index=True)[1]
    return np.sort(order[rng.permutation(first)[:most]])
