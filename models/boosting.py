"""LightGBM as we use it: numpy in, fixed threads, deterministic, native text out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
from pydantic import Field
from scipy.special import logit

from warehouse.params import Section

# Of the trees alone: a ridge averaged with them may give one of these a small weight below zero.
MONOTONE = ("users_28d", "breadth_28d", "specialist_28d", "limit_hits_28d")
FIXED: dict[str, Any] = {
    "min_data_per_group": 100,
    "cat_smooth": 10,
    "max_bin": 127,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,  # the other core has work of its own (side_by_side); sums of two threads end in other digits
    "verbosity": -1,
}


class BoosterParams(Section):
    """Small, strongly regularised trees: the setting that generalises forward in time on few positives."""

    rounds: int = Field(default=150, ge=1)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    num_leaves: int = Field(default=11, ge=2)
    min_data_in_leaf: int = Field(default=60, ge=1)
    lambda_l2: float = Field(default=50.0, ge=0)
    feature_fraction: float = Field(default=0.15, gt=0, le=1)
    bagging_fraction: float = Field(default=0.8, gt=0, le=1)
    seeds: int = Field(default=3, ge=1, le=10)  # hazards of expansion: boosters of different seeds, averaged
    monotone: tuple[str, ...] = MONOTONE  # features that may only speak for expansion the more there is of them


def fit_boosters(
    matrix: np.ndarray,
    targets: np.ndarray,
    settings: Mapping[str, Any],
    rounds: int,
    seed: int,
    *,
    names: list[str],
    categories: list[int],
) -> list[lgb.Booster]:
    """A regression for each column of `targets` (n, k), all on one binning of the rows."""
    chosen = FIXED | {"objective": "regression", "seed": seed} | dict(settings)
    data = lgb.Dataset(matrix, feature_name=names, categorical_feature=categories, params=chosen, free_raw_data=False)
    return [lgb.train(chosen, data.set_label(column), num_boost_round=rounds) for column in targets.T]


def fit_booster(
    matrix: np.ndarray,
    label: np.ndarray,
    objective: str,
    params: BoosterParams,
    seed: int,
    *,
    names: list[str],
    categories: list[int],
    weight: np.ndarray | None = None,
    monotone: tuple[str, ...] = (),
    settings: Mapping[str, Any] | None = None,
) -> lgb.Booster:
    """A booster on float64 rows. In the features named in `monotone`, as far as they are there, it never falls.
    `settings`: LightGBM's own."""
    data = lgb.Dataset(matrix, label, weight=weight, feature_name=names, categorical_feature=categories)
    chosen = _chosen(objective, params, seed, names, monotone) | dict(settings or {})
    return lgb.train(chosen, data, num_boost_round=params.rounds)


def fit_seeds(
    matrix: np.ndarray,
    label: np.ndarray,
    objective: str,
    params: BoosterParams,
    seed: int,
    *,
    names: list[str],
    categories: list[int],
    offset: np.ndarray,
    weight: np.ndarray,
) -> list[lgb.Booster]:
    """`params.seeds` boosters that differ in seed alone, from `seed` on, all on one binning of the rows, which they
    hold until `said_in_training`. `offset` (raw-score scale) is not part of the saved models: the caller adds it back.
    In the features named in `params.monotone`, as far as they are there, they never fall."""
    data = lgb.Dataset(
        matrix,
        label,
        weight=weight,
        init_score=offset,
        feature_name=names,
        categorical_feature=categories,
        free_raw_data=params.seeds == 1,
    )
    return [
        lgb.train(
            _chosen(objective, params, seed + number, names, params.monotone),
            data,
            num_boost_round=params.rounds,
            keep_training_booster=True,
        )
        for number in range(params.seeds)
    ]


def said_in_training(booster: lgb.Booster) -> np.ndarray:
    """(m,) log-odds, offset included, of the rows that taught a booster of chances, which it then lets go: LightGBM has
    them from fitting, so nobody need ask again."""
    held: list[np.ndarray] = []

    def look(chances: np.ndarray, _: lgb.Dataset) -> tuple[str, float, bool]:
        held.append(np.array(chances))
        return "said", 0.0, True

    booster.eval_train(look)
    booster.model_from_string(booster.model_to_string()).free_dataset()  # as lgb.train does where none is kept
    return np.asarray(logit(held[0]))


def _chosen(
    objective: str, params: BoosterParams, seed: int, names: list[str], monotone: tuple[str, ...]
) -> dict[str, Any]:
    rising = [int(name in monotone) for name in names]
    constraints = {"monotone_constraints": rising, "monotone_constraints_method": "intermediate"}
    return FIXED | {
        "objective": objective,
        "learning_rate": params.learning_rate,
        "num_leaves": params.num_leaves,
        "min_data_in_leaf": params.min_data_in_leaf,
        "lambda_l2": params.lambda_l2,
        "feature_fraction": params.feature_fraction,
        "bagging_fraction": params.bagging_fraction,
        "bagging_freq": 1,
        "seed": seed,
        **(constraints if any(rising) else {}),
    }


def gain_shares(boosters: Iterable[lgb.Booster]) -> dict[str, float]:
    """Share of total split gain by feature name over all boosters; sums to 1, or is empty without a split."""
    gain: dict[str, float] = {}
    for booster in boosters:
        for name, value in zip(booster.feature_name(), booster.feature_importance("gain"), strict=True):
            gain[name] = gain.get(name, 0.0) + float(value)
    total = sum(gain.values())
    return {name: value / total for name, value in gain.items()} if total else {}
