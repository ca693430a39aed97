"""Accounts put by hand into hidden states, and the lives they may lead from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from simulator.accounts import DAY, Accounts
from simulator.behaviour import Behaviour
from simulator.block import streams
from simulator.calendar import Calendar, calendar_of
from simulator.lives import Lives
from simulator.market import Market
from simulator.sales import Sales

START = date(2024, 1, 1)
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
