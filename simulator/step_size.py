"""Where a step up the ladder lands: over the next floor by a log-normal share of it, given type and size.

A run-rate that would come to lie just under or just over a floor is put a little below it, so that no rounding of an
invoice ever moves an account between tiers. From tier `starter` (floor 20, next 150), `landing` 1.05 and `ceiling` 0.9:
a step lands in [157.50, 540] or exactly on 540 (tier team), in [630, 2250] (business), or from 2625 up (enterprise).
"""

from __future__ import annotations

from typing import cast

import numpy as np
from scipy.special import ndtr

from simulator.market import Floats, Ints, Market


class Landing:
    """Draws landings of `market`, and knows their distribution.

    `share` (from tier k, into tier j, type, size): chance of each tier; `money`: run-rate in that tier times its
    chance, money per 30 days.
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        self._centre = np.log(market.gain[:, None] * market.gain_size[None, :])  # of the log share on top
        tiers, shape = len(market.floors), self._centre.shape
        self.share = np.zeros((tiers, tiers, *shape))
        self.money = np.zeros((tiers, tiers, *shape))
        for tier in range(tiers - 1):
            for into in range(tier + 1, tiers):
                self._fill(tier, into)

    def draw(self, rng: np.random.Generator, rate: Floats, kind: Ints, size: Ints) -> Floats:
        """New run-rates after a step from `rate`."""
        market = self._market
        into = np.searchsorted(market.floors, rate, side="right")
        over = np.exp(self._centre[kind, size] + rng.normal(0.0, market.gain_noise, len(rate)))
        landed = market.floors[into] * (market.landing + over)
        for floor in market.floors[2:]:
            edge = (landed > market.ceiling * floor) & (landed < market.landing * floor) & (market.floors[into] < floor)
            landed[edge] = market.ceiling * floor
        return landed

    def log_likelihood(self, before: float, landed: float) -> Floats:
        """Log-likelihood of one landing by (type, size), up to a constant."""
        market = self._market
        tier = int(np.searchsorted(market.floors, before, side="right")) - 1
        for edge in range(tier + 2, len(market.floors)):
            if landed == market.ceiling * market.floors[edge]:
                floor = market.floors[edge]
                below, above = (self._below(tier, line * floor) for line in (market.ceiling, market.landing))
                return cast(Floats, np.log(np.maximum(above - below, 1e-300)))
        over = landed / market.floors[tier + 1] - market.landing
        return cast(Floats, -0.5 * ((np.log(over) - self._centre) / market.gain_noise) ** 2)

    def _fill(self, tier: int, into: int) -> None:
        market = self._market
        first, floors = market.floors[tier + 1], market.floors
        from_ = 0.0 if into == tier + 1 else market.landing * floors[into]
        last = into == len(floors) - 1
        under = np.inf if last else market.ceiling * floors[into + 1]
        to = np.inf if last else market.landing * floors[into + 1]
        least, most, edge = self._below(tier, from_), self._below(tier, under), self._below(tier, to)
        over = self._mean_below(tier, under) - self._mean_below(tier, from_)
        self.share[tier, into] = edge - least
        self.money[tier, into] = first * (market.landing * (most - least) + over)
        if not last:
            self.money[tier, into] += under * (edge - most)

    def _over(self, tier: int, rate: float) -> float:
        """The share on top of the landing that a run-rate means after a step from `tier`."""
        return float(max(rate / self._market.floors[tier + 1] - self._market.landing, 0.0))

    def _below(self, tier: int, rate: float) -> Floats:
        """Chance that the landing lies below `rate` before it is kept off the floors, (type, size)."""
        return cast(Floats, ndtr(self._score(self._over(tier, rate))))

    def _mean_below(self, tier: int, rate: float) -> Floats:
        """E[share on top; landing below rate] of a log-normal, (type, size)."""
        noise = self._market.gain_noise
        mean = np.exp(self._centre + noise**2 / 2)
        return cast(Floats, mean * ndtr(self._score(self._over(tier, rate)) - noise))

    def _score(self, over: float) -> Floats:
        with np.errstate(divide="ignore"):
            return cast(Floats, (np.log(over) - self._centre) / self._market.gain_noise)
