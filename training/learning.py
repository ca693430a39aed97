"""The learning curve: the recipe taught by ever fewer accounts, judged on the rows that the champion is judged on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training import metrics
from training.dataset import Dataset
from training.fit import expanded_accounts
from training.splits import place_of

PARTS = (8, 4, 2)  # one account in so many teaches; a smaller part lies within a larger one
LEAST_EXPANDED = 10  # accounts; a part with fewer teaches nothing worth drawing

Point = dict[str, float | int | None]


def learning_curve(
    known: Dataset, label: np.ndarray, champion: np.ndarray, taught: Callable[[Dataset], np.ndarray]
) -> list[Point]:
    """Points of accounts, positives (accounts that expanded among them), pr_auc (null where no held-out row is
    positive) and log_loss, fewest accounts first.

    Args:
        known: what taught the champion.
        label: (n,) 0/1 of the held-out rows. champion: (n,) its probabilities, the last point.
        taught: the probabilities of the same rows by the recipe taught by a part of `known`.
    """
    place = place_of(known.features["account_id"])
    parts = [known.take(place % part == 0) for part in PARTS]
    curve = [_point(few, label, taught(few)) for few in parts if expanded_accounts(few) >= LEAST_EXPANDED]
    return [*curve, _point(known, label, champion)]


def _point(data: Dataset, label: np.ndarray, said: np.ndarray) -> Point:
    return {
        "accounts": len(data.features["account_id"].unique()),
        "positives": expanded_accounts(data),
        "pr_auc": float(metrics.pr_auc(label, said)) if label.any() else None,
        "log_loss": float(metrics.log_loss(label, said)),
    }
