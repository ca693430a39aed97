"""LightGBM as we use it: numpy in, fixed threads, deterministic, native text out."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
from pydantic import Field

from warehouse.params import Section

THREADS = 2


class BoosterParams(Section):
    """Small, regularised trees: the setting that generalises forward in time on few positives."""

    rounds: int = Field(default=150, ge=1)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    num_leaves: int = Field(default=11, ge=2)
    min_data_in_leaf: int = Field(default=60, ge=1)
    lambda_l2: float = Field(default=10.0, ge=0)
    feature_fraction: float = Field(default=0.5, gt=0, le=1)
    bagging_fraction: float = Field(default=0.8, gt=0, le=1)


def fit_booster(
    matrix: np.ndarray,
    label: np.ndarray,
    objective: str,
    params: BoosterParams,
    seed: int,
    *,
    names: list[str],
    categories: list[int],
    offset: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> lgb.Booster:
    """A booster on float64 rows. `offset` (raw-score scale) is not part of the saved model: the caller adds it back."""
    settings: dict[str, Any] = {
        "objective": objective,
        "learning_rate": params.learning_rate,
        "num_leaves": params.num_leaves,
        "min_data_in_leaf": params.min_data_in_leaf,
        "lambda_l2": params.lambda_l2,
        "feature_fraction": params.feature_fraction,
        "bagging_fraction": params.bagging_fraction,
        "bagging_freq": 1,
        "min_data_per_group": 100,
        "cat_smooth": 10,
        "max_bin": 127,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": THREADS,
        "verbosity": -1,
    }
    data = lgb.Dataset(
        matrix, label, weight=weight, init_score=offset, feature_name=names, categorical_feature=categories
    )
    return lgb.train(settings, data, num_boost_round=params.rounds)


def gain_shares(booster: lgb.Booster) -> dict[str, float]:
    """Share of total split gain by feature name; sums to 1, or is empty for a model without a split."""
    gain = booster.feature_importance("gain")
    total = float(gain.sum())
    return {name: float(g) / total for name, g in zip(booster.feature_name(), gain, strict=True)} if total else {}
