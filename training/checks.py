"""Outcomes defined elsewhere that we hold ourselves to, beside the product's own target: same features; boosters with
the settings of the hazards' and the amount's, fitted to that outcome.

`mean_spend_moves_up`: tiers at quantiles of the last 90 days' spend among training snapshots; an account moves up if
its mean booked revenue per 90 days over the horizon lies in a higher tier than its last 90 days did. Every account is
in, also those that cannot rise. The increment is that mean less the last 90 days' spend, if positive.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from models.boosting import BoosterParams, fit_booster
from models.encoding import Encoding
from models.increment import fit_amount
from models.side_by_side import threads
from training.dataset import Dataset
from warehouse.params import Section

PERIOD_DAYS = 90  # the feature booked_90d is the last period's spend


class Check(Section):
    name: str
    kind: Literal["mean_spend_moves_up"] = "mean_spend_moves_up"
    horizon: int = 180
    quantiles: tuple[float, ...] = (0.5, 0.8, 0.95)
    floors: tuple[float, ...] = ()  # money a period; given, they take the place of the quantiles


def outcome(check: Check, data: Dataset, floors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) label 0/1, NaN while the horizon runs; (n,) increment, NaN likewise."""
    last = np.asarray(data.features["booked_90d"].to_numpy(zero_copy_only=False), dtype=np.float64)
    later = data.money(f"booked_{check.horizon}") * PERIOD_DAYS / check.horizon
    up = np.searchsorted(floors, later, side="right") > np.searchsorted(floors, last, side="right")
    return np.where(np.isnan(later), np.nan, up.astype(float)), np.maximum(later - last, 0.0)


def tier_floors(check: Check, data: Dataset) -> np.ndarray:
    """Money a period: as given, else quantiles of the last period's spend over the training snapshots whose outcome is
    known."""
    if check.floors:
        return np.asarray(check.floors)
    told = ~np.isnan(data.money(f"booked_{check.horizon}"))
    last = np.asarray(data.features["booked_90d"].to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.asarray(np.quantile(last[told], check.quantiles))


def fit_check(
    check: Check,
    train: Dataset,
    label: np.ndarray,
    increment: np.ndarray,
    test: Dataset,
    params: BoosterParams,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) probability and (n,) expected increment of the test rows. An account gains without moving up too, above all
    one that stands on the top tier already, so money is P(gain) x E[gain | gain], not that of moving up, and no step
    of our ladder is its measure."""
    encoding = Encoding.learn(train.features)
    matrix, rows = encoding.matrix(train.features), encoding.matrix(test.features)
    told = np.flatnonzero(~np.isnan(label))
    names, categories = list(encoding.names), encoding.category_columns

    def chance(happened: np.ndarray) -> np.ndarray:
        booster = fit_booster(matrix[told], happened, "binary", params, seed, names=names, categories=categories)
        return np.asarray(booster.predict(rows, num_threads=threads()))

    gains = increment[told] > 0
    gained = {check.horizon: (told[gains], increment[told[gains]])}
    whose = train.account_numbers()
    amount = fit_amount(matrix, gained, params, seed, names, categories, whose, on_the_ladder=False)
    return chance(label[told]), chance(gains.astype(np.float64)) * amount.expected(rows, check.horizon)
