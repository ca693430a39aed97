"""The recipe: one dataset in, one scorer out. Every origin and the final bundle are cooked by it, so what is judged is
what is served."""

from __future__ import annotations

from typing import Any

import numpy as np

from features import journey, revenue
from features.catalogue import Definitions, fingerprint
from models.boosting import BoosterParams
from models.encoding import Encoding
from models.hazard import Hazard, fit_hazard, incidence
from models.increment import Amount, fit_amount
from models.peers import Peers
from models.scorer import Scorer
from training.dataset import TARGETS, Dataset
from training.labels import LabelParams

BOOKS = frozenset(f.name for f in (*revenue.FEATURES, *journey.FEATURES)) - {"stage"}


def fit_scorer(
    data: Dataset, definitions: Definitions, labels: LabelParams, params: BoosterParams, seed: int, card: dict[str, Any]
) -> Scorer:
    """Hazards of both targets and of closure, and the amount, from the rows of `data`.

    `card` says what the run knows (grade, trained_as_of, data_fingerprint, ...); horizons, tiers, currency and
    fingerprint are added.
    """
    encoding = Encoding.learn(data.features)
    matrix = encoding.matrix(data.features)
    hazards = {target: _hazard(data, matrix, target, params, seed, encoding) for target in TARGETS}
    hazards["churn"] = fit_hazard(
        matrix,
        data.days("churn_day"),
        data.days("expansion_day"),
        data.days("observed_days"),
        params.model_copy(update={"rounds": max(20, params.rounds // 2)}),
        seed,
        list(encoding.names),
        encoding.category_columns,
    )
    said = {
        "method": "model",
        "horizons": list(labels.horizons),
        "default_horizon": labels.default_horizon,
        "tiers": [tier.model_dump() for tier in definitions.tiers.ladder],
        "currency": definitions.tiers.currency,
        "fingerprint": fingerprint(definitions),
        **card,
    }
    amount = _amount(data, matrix, labels, params, seed, encoding)
    return Scorer(said, definitions, encoding, Peers(), hazards, amount).beside(data.features)


def fit_books_only(
    data: Dataset, test: Dataset, labels: LabelParams, params: BoosterParams, seed: int
) -> dict[str, np.ndarray]:
    """The same learner blind to behaviour: money, tenure and firmographics alone.

    Returns:
        P(expansion by h) of the test rows, as `expansion_{h}`.
    """
    encoding = Encoding.learn(data.features)
    blind = np.array([name not in BOOKS for name in encoding.names])
    matrix, rows = encoding.matrix(data.features), encoding.matrix(test.features)
    matrix[:, blind], rows[:, blind] = np.nan, np.nan
    hazard = _hazard(data, matrix, "expansion", params, seed, encoding).by_interval(rows)
    expand, _ = incidence(hazard, np.zeros_like(hazard), labels.horizons)
    return {f"expansion_{h}": p for h, p in expand.items()}


def _hazard(
    data: Dataset, matrix: np.ndarray, target: str, params: BoosterParams, seed: int, encoding: Encoding
) -> Hazard:
    at_risk = data.flag(f"{target}_at_risk")
    return fit_hazard(
        matrix[at_risk],
        data.days(f"{target}_day")[at_risk],
        data.days("churn_day")[at_risk],
        data.days("observed_days")[at_risk],
        params,
        seed,
        list(encoding.names),
        encoding.category_columns,
    )


def _amount(
    data: Dataset, matrix: np.ndarray, labels: LabelParams, params: BoosterParams, seed: int, encoding: Encoding
) -> Amount:
    gains = {}
    for h in labels.horizons:
        money = data.money(f"increment_{h}")
        rows = np.flatnonzero((data.outcome("expansion", h) == 1) & ~np.isnan(money))
        if len(rows):
            gains[h] = (rows, money[rows])
    return fit_amount(matrix, gains, params, seed, list(encoding.names), encoding.category_columns)
