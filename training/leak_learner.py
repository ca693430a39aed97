"""The small fast learner that the leak audit asks with, and the ROC-AUC it is judged by, whose chance is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from models.boosting import THREADS, BoosterParams, fit_booster
from models.encoding import Encoding

# (all rows, their labels, which of them may be learned from) -> scores of the other rows. The labels of those are in
# its hands, so a recipe that looks at them is found out.
Recipe = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SMALL = BoosterParams(rounds=25, learning_rate=0.15, num_leaves=7, lambda_l2=1.0)


def small_booster(features: pa.Table, seed: int) -> tuple[np.ndarray, Recipe]:
    """The matrix of `features` (n, features), and a recipe that fits 25 small trees to rows of it."""
    encoding = Encoding.learn(features)
    names, categories = list(encoding.names), encoding.category_columns

    def scores(matrix: np.ndarray, label: np.ndarray, learn: np.ndarray) -> np.ndarray:
        leaf = min(20, max(5, int(learn.sum()) // 50))  # a sample of a small vendor must still be split
        params = SMALL.model_copy(update={"min_data_in_leaf": leaf})
        booster = fit_booster(matrix[learn], label[learn], "binary", params, seed, names=names, categories=categories)
        return np.asarray(booster.predict(matrix[~learn], num_threads=THREADS))

    return encoding.matrix(features), scores


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
