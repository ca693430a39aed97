"""Money: expected increment = P(expand) x E[increment | expand].

What a move to the next tier brings depends above all on which tier that is, and early in a vendor's history hardly
anyone has moved to the upper ones. So trees learn no money but multiples of a unit that is known of every account: the
step that lies before it. How multiples rise (or fall) with the horizon is one rate for all accounts, so that the money
of every horizon adds up. Trees learn in logs. The mean of a back-transformed log is too low, so it is multiplied by
total actual over total expected (Duan 1983, as a ratio), told out of fold by account: in sample the trees have seen the
amounts and the factor would come out too small. Measured in docs/adr/0027. What is left is told apart by tier, as far
as its accounts are many: the few on the upper tiers move between steps of another height (docs/adr/0045).

Tweedie is the challenger: one model of the gain itself, whoever it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np

from models.boosting import BoosterParams, fit_booster
from models.hazard import thin
from models.side_by_side import threads

STEP = ("run_rate", "headroom", "tier")  # features that the unit is made of, and the one it is put right by
TOLD = ("smear", "low", "high", "growth", "step", "by_tier")  # of an amount in JSON
LEAST_ROWS = 30  # fewer, and every account is given the mean multiple of its unit
WINSOR = 0.995  # multiples above this quantile of their horizon in training are set to it; evaluation's never are
QUARTER = 90  # days, of the growth
GROWTH_TRUST = 30  # accounts a quarter off the mean horizon that draw the growth half-way to 0
BAND = (0.1, 0.9)  # quantiles of the multiplicative error told as the range of the amount
FOLDS = 3  # by account, for the smearing
TIER_TRUST = 10  # accounts of a tier whose own ratio is half believed, in logs; docs/adr/0045
HALF_TRUST = 200  # accounts of a later window whose total is half believed: a few large ones make it; docs/adr/0016
TWEEDIE_POWER = 1.5


@dataclass(frozen=True)
class Amount:
    """E[increment | expand]. `booster`: log1p of multiples of the unit; without one all have the same. `smear`: total
    actual over total back-transformed. `low`, `high`: 10 % and 90 % quantiles of actual over expected, told out of fold
    by account over all horizons. `growth`: of the multiple with the horizon, in logs per 90 days. `step`: places of the
    columns of `STEP`; empty: the unit is one of money a month. `by_tier`: factor of each tier, the trial first; a tier
    beyond the last one told, or a null, has 1."""

    booster: lgb.Booster | None
    smear: float
    low: float
    high: float
    growth: float = 0.0
    step: tuple[int, ...] = ()
    by_tier: tuple[float, ...] = ()

    def expected(self, matrix: np.ndarray, horizon: int) -> np.ndarray:
        """(n,) money in [as_of, as_of + horizon) if the account expands within it; never negative."""
        return self.by_horizon(matrix, (horizon,))[horizon]

    def by_horizon(self, matrix: np.ndarray, horizons: tuple[int, ...]) -> dict[int, np.ndarray]:
        """The same for several horizons at the price of one: the trees know of none."""
        multiple = _multiple(self.booster, matrix) if self.booster is not None else np.ones(len(matrix))
        level = self.smear * _factor(self.by_tier, _tier(matrix, self.step)) * multiple
        return {h: np.asarray(level * _unit(matrix, self.step, np.float64(h), self.growth)) for h in horizons}

    def to_json(self) -> dict[str, Any]:
        """Everything but the booster, which goes to a file of its own."""
        return {name: getattr(self, name) for name in TOLD}

    def brought_into_line(self, expected: np.ndarray, gained: np.ndarray) -> Amount:
        """The same, its total held against accounts of a later window that expanded: what was `expected` and what they
        `gained` (both (n,) money). It moves by actual over expected, the less the fewer they are; the range moves with
        it and keeps its width, which other horizons than the window's were also measured by."""
        gained = np.maximum(gained, 0.0)
        if len(gained) == 0 or not (expected.sum() > 0 and gained.sum() > 0):
            return self
        trust = len(gained) / (len(gained) + HALF_TRUST)
        return replace(self, smear=self.smear * float(np.clip((gained.sum() / expected.sum()) ** trust, 0.5, 2.0)))


def fit_amount(
    matrix: np.ndarray,
    gains: dict[int, tuple[np.ndarray, np.ndarray]],
    params: BoosterParams,
    seed: int,
    names: list[str],
    categories: list[int],
    accounts: np.ndarray | None = None,
    on_the_ladder: bool = True,
) -> Amount:
    """Fits on snapshots that expanded.

    Args:
        gains: by horizon, the rows that expanded within it and their realised increments (signed money); a negative
            increment of an account that expanded counts as zero gain.
        accounts: (n,) number of each row's account; null: every row is another's.
        on_the_ladder: whether the gains are those of moves to the next tier; else the unit is one of money a month.
    """
    step = tuple(names.index(name) for name in STEP) if on_the_ladder and set(STEP) <= set(names) else ()
    rows = np.concatenate([row for row, _ in gains.values()]) if gains else np.empty(0, dtype=int)
    if not len(rows):
        return Amount(None, 1.0, 1.0, 1.0, step=step)  # nobody expanded yet: one unit
    horizon = np.concatenate([np.full(len(row), float(h)) for h, (row, _) in gains.items()])
    gain = np.maximum(np.concatenate([gain for _, gain in gains.values()]), 0.0)
    multiple = gain / _unit(matrix[rows], step, horizon)
    if len(rows) < LEAST_ROWS:
        return Amount(None, float(multiple.mean()) or 1.0, 1.0, 1.0, step=step)
    whose = np.arange(len(rows)) if accounts is None else np.unique(accounts[rows], return_inverse=True)[1]
    growth = _growth(_capped(multiple, horizon), horizon, whose)
    multiple = multiple / _grown(growth, horizon)
    capped = _capped(multiple, horizon)
    small = params.model_copy(
        update={"num_leaves": 7, "min_data_in_leaf": max(20, len(rows) // 50), "lambda_l2": min(params.lambda_l2, 10.0)}
    )

    def fit(part: np.ndarray) -> lgb.Booster:
        data, target = matrix[rows[part]], np.log1p(capped[part])
        return fit_booster(data, target, "regression", small, seed, names=names, categories=categories)

    fold = np.random.default_rng([seed, FOLDS]).integers(0, FOLDS, whose.max() + 1)[whose]
    apart = np.ones(len(rows))  # what trees say of rows they did not learn from
    for number in range(FOLDS):
        held, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        if len(held) and len(rest):
            apart[held] = _multiple(fit(rest), matrix[rows[held]])
    tier = _tier(matrix[rows], step)
    by_tier = _by_tier(capped, apart, tier, whose)
    apart *= _factor(by_tier, tier)
    smear = float(capped.sum() / max(apart.sum(), 1e-9))
    low, high = (float(q) for q in np.quantile(multiple / np.maximum(smear * apart, 1e-9), BAND))
    return Amount(fit(np.arange(len(rows))), smear, low, high, growth, step, by_tier)


def _by_tier(capped: np.ndarray, apart: np.ndarray, tier: np.ndarray, whose: np.ndarray) -> tuple[float, ...]:
    """Actual over expected of each tier's rows, beside that of all, drawn to 1 the more the fewer its accounts."""
    factors = []
    for step in range(tier.max(initial=-1) + 1):
        there = tier == step
        count = len(np.unique(whose[there]))
        came, said = capped[there].sum() * apart.sum(), apart[there].sum() * capped.sum()
        told = came > 0 and said > 0
        factors.append(float((came / said) ** (count / (count + TIER_TRUST))) if told else 1.0)
    return tuple(factors)


def _tier(matrix: np.ndarray, step: tuple[int, ...]) -> np.ndarray:
    """(n,) place on the ladder, the trial 0; -1 where it is null or amounts are not on the ladder."""
    return np.nan_to_num(matrix[:, step[2]], nan=-1.0).astype(int) if step else np.full(len(matrix), -1)


def _factor(by_tier: tuple[float, ...], tier: np.ndarray) -> np.ndarray:
    known = (tier >= 0) & (tier < len(by_tier))
    return np.array([*by_tier, 1.0])[np.where(known, tier, -1)]


def _capped(multiple: np.ndarray, horizon: np.ndarray) -> np.ndarray:
    horizons, place = np.unique(horizon, return_inverse=True)
    most = np.array([np.quantile(multiple[horizon == h], WINSOR) for h in horizons])
    return np.asarray(np.minimum(multiple, most[place]))


def _growth(multiple: np.ndarray, horizon: np.ndarray, whose: np.ndarray) -> float:
    """Slope of the log of the mean multiple over horizons in quarters, each with the weight of its accounts."""
    told = [h for h in np.unique(horizon) if multiple[horizon == h].any()]
    if len(told) < 2:
        return 0.0
    weight = np.array([len(np.unique(whose[horizon == h])) for h in told], dtype=np.float64)
    level = np.log([multiple[horizon == h].mean() for h in told])
    off = np.array(told) / QUARTER
    off -= weight @ off / weight.sum()
    return float(weight * off @ level / (weight @ off**2 + GROWTH_TRUST))


def fit_tweedie(
    matrix: np.ndarray, gain: np.ndarray, params: BoosterParams, seed: int, names: list[str], categories: list[int]
) -> lgb.Booster:
    """The challenger: E[gain] of every account at risk at once, one horizon. gain: (n,) money, losses as zero."""
    capped = np.minimum(gain, np.quantile(gain[gain > 0], WINSOR)) if (gain > 0).any() else gain
    kept, stands_for = thin(gain > 0, seed)
    return fit_booster(
        matrix[kept],
        capped[kept],
        "tweedie",
        params,
        seed,
        names=names,
        categories=categories,
        weight=stands_for,
        settings={"tweedie_variance_power": TWEEDIE_POWER},
    )


def _unit(
    matrix: np.ndarray, step: tuple[int, ...], horizon: np.ndarray | np.float64, growth: float = 0.0
) -> np.ndarray:
    """(n,) money: over the horizon, headroom and half of the run-rate, which is midway between what a move to the next
    tier brings at least and that tier's floor. On the highest tier the run-rate stands for the headroom."""
    a_month = np.ones(len(matrix))
    if step:
        rate, headroom = np.nan_to_num(matrix[:, step[0]]), matrix[:, step[1]]
        told = np.where(np.isnan(headroom), rate, headroom) + rate / 2
        a_month = np.where(told > 0, told, 1.0)  # neither is null where features are ours; a null is no division by 0
    return np.asarray(a_month * horizon / 30 * _grown(growth, horizon))


def _grown(growth: float, horizon: np.ndarray | np.float64) -> np.ndarray:
    return np.asarray(np.exp(growth * horizon / QUARTER))


def _multiple(booster: lgb.Booster, matrix: np.ndarray) -> np.ndarray:
    """(n,) of the unit, before smearing."""
    if not len(matrix):
        return np.zeros(0)
    return np.asarray(np.expm1(np.maximum(booster.predict(matrix, num_threads=threads()), 0.0)))
