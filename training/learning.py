"""The learning curve: the recipe taught by ever fewer accounts, judged on the rows that the champion is judged on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from training import metrics
from training.bootstrap import Scored, bootstrap, interval
from training.dataset import Dataset
from training.fit import expanded_accounts
from training.measured import pair
from training.splits import place_of

PARTS = (8, 4, 2)  # one account in so many teaches; a smaller part lies within a larger one
LEAST_EXPANDED = 10  # accounts; a part with fewer teaches nothing worth drawing
REPLICATES = 300  # of each interval

Point = dict[str, Any]
Taught = tuple[np.ndarray, str]  # (n,) probabilities of the held-out rows, and the learner that says them


def learning_curve(
    known: Dataset, label: np.ndarray, champion: Taught, taught: Callable[[Dataset], Taught], seed: int
) -> list[Point]:
    """Points of accounts, positives (accounts that expanded among them), learner, pr_auc (null where no held-out row is
    positive) and log_loss with their intervals (`_ci`, held-out accounts resampled, the same ones at every point; null
    where undefined), fewest accounts first.

    Args:
        known: what taught the champion.
        label: (n,) 0/1 of the held-out rows, one an account. champion: what it says of them, the last point.
        taught: what the recipe taught by a part of `known` says of the same rows.
    """
    place = place_of(known.features["account_id"])
    parts = [known.take(place % part == 0) for part in PARTS]
    told = [(few, taught(few)) for few in parts if expanded_accounts(few) >= LEAST_EXPANDED]
    return [_point(data, label, said, seed) for data, said in [*told, (known, champion)]]


def _point(data: Dataset, label: np.ndarray, taught: Taught, seed: int) -> Point:
    said, learner = taught
    scored = Scored(label, np.zeros(len(label)), said, said, said)
    drawn = bootstrap({learner: scored}, np.arange(len(label)), REPLICATES, seed)[learner]
    pr_auc = float(metrics.pr_auc(label, said)) if label.any() else None
    log_loss = float(metrics.log_loss(label, said))
    return {
        "accounts": len(data.features["account_id"].unique()),
        "positives": expanded_accounts(data),
        "learner": learner,
        "pr_auc": pr_auc,
        "pr_auc_ci": None if pr_auc is None else pair(interval(drawn["pr_auc"], pr_auc)),
        "log_loss": log_loss,
        "log_loss_ci": pair(interval(drawn["log_loss"], log_loss)),
    }
