"""Accounts put by hand into hidden states, and the lives they may lead from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.accounts import DAY, Accounts
from simulator.behaviour import Behaviour
from simulator.block import streams
from simulator.calendar import Calendar, calendar_of
from simulator.lives import Lives
from simulator.market import REVOKED, Market
from simulator.sales import Sales
from tests.simulator.run_rates import NEVER, START, first_moves, tiers

DAYS = 1_200  # of calendar


def calendar(market: Market) -> Calendar:
    return calendar_of(market, START, DAYS)


def accounts_like(
    kind: Sequence[int] | np.ndarray,
    size: Sequence[int] | np.ndarray,
    first_day: Sequence[int] | np.ndarray,
    channel: Sequence[int] | np.ndarray | int = 0,
    country: Sequence[int] | np.ndarray | int = 0,
    yearly: Sequence[bool] | np.ndarray | bool = False,
) -> Accounts:
    """Accounts that signed up at eight in the morning and said nothing of themselves."""
    count = len(kind)
    zeros = np.zeros(count, dtype=np.int64)
    return Accounts(
        number=np.arange(1, count + 1),
        type=np.asarray(kind, dtype=np.int64),
        size=np.asarray(size, dtype=np.int64),
        signed_up=np.asarray(first_day, dtype=np.int64) * DAY + 8 * 3_600,
        channel=zeros + channel,
        industry=zeros,
        country=zeros + country,
        owner=zeros,
        employees=zeros - 1,
        internal=zeros.astype(bool),
        yearly=zeros.astype(bool) | yearly,
        robot=zeros.astype(np.float64),
    )


@dataclass
class Future:
    """`rate`: money per 30 days, credits taken off, by day and account; `closed`: day of closing, -1 never."""

    rate: np.ndarray
    closed: np.ndarray


class Path:
    """Accounts living on, with sales calling them as they look at prices; without users, whom nothing here heeds."""

    def __init__(self, seed: int, market: Market, accounts: Accounts) -> None:
        rngs, self._market = streams(seed, 0), market
        self.lives = Lives(rngs, market, calendar(market), accounts)
        self.sales = Sales(rngs["sales"], market, accounts)
        self._behaviour = Behaviour(rngs, market, calendar(market), accounts)

    def turn(self, day: int) -> None:
        if day % 7 == 0:
            self.lives.turn(day)
            self.sales.turn(day, self.lives)

    def live(self, day: int) -> np.ndarray:
        """The day after its turn; returns run-rates at its end."""
        lives = self.lives
        lives.day(day)
        if self._market.sells:
            _, seen = self._behaviour.day(day, lives)
            lives.looked |= seen.looked & ~lives.settling(day)
        return lives.rate - lives.credited(day)

    def over(self, first: int, after: int) -> Future:
        """What comes on the days [first, after)."""
        rates = []
        for day in range(first, after):
            self.turn(day)
            rates.append(self.live(day))
        return Future(np.array(rates), np.where(self.lives.closed_at < 0, -1, self.lives.closed_at // DAY))


def taken_back(rng: np.random.Generator, market: Market, as_of: int, ago: int) -> int:
    """The day, -1 for never, of a step that has not been taken back before `as_of`."""
    while True:
        day = as_of - ago + int(rng.integers(REVOKED[0], REVOKED[1] + 1))
        if rng.random() >= market.revoked:
            return -1
        if day >= as_of:
            return day


class Nothing:
    """The belief of somebody who knows nothing."""

    def __init__(self, market: Market, count: int) -> None:
        self.weight = np.zeros((count, *market.moves.shape[:1], len(market.user_capacity), 5))


def outcomes(future: Future, before: np.ndarray, as_of: int, horizon: int) -> dict[str, np.ndarray]:
    """What became of each account within the horizon, by a plain step function of what it paid from `as_of` on."""
    tier, now = tiers(future.rate), tiers(before)
    moved = {name: first_moves(tier, horizon, target) for name, target in (("expansion", now + 1), ("high_value", 3))}
    gone = np.where(future.closed >= as_of, future.closed - as_of, NEVER)
    return {
        "expansion": moved["expansion"] < NEVER,
        "high_value": moved["high_value"] < NEVER,
        "churn": (gone < horizon) & (gone < moved["expansion"]),
        "increment": future.rate[:horizon].sum(axis=0) / 30 - before * horizon / 30,
    }
