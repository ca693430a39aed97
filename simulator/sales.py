"""Whom sales contacts: a policy that sees region and last week's visible interest, and a share of random slots.

A contact multiplies the hazard of a step for four weeks. The policy never sees what is hidden, so a contact tells
nothing that the raw tables do not tell already. Half of the random slots are contacted (`random`), half left alone
(`held_out`): the difference between the two is the true uplift, free of whom sales prefers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa

from simulator.accounts import DAY, OWNERS, Accounts, timestamps
from simulator.lives import Lives
from simulator.market import Flags, Ints, Market
from warehouse.raw import CONTACTED, HELD_OUT, RANDOM

WEEKS = 4  # that a contact works
KINDS = (CONTACTED, HELD_OUT, RANDOM)
CHANNELS = ("email", "phone")


def region(market: Market, accounts: Accounts) -> Ints:
    """1 in the countries that sales prefers, 0 elsewhere."""
    favoured = np.array([country in market.favoured for country in market.countries])
    return favoured[accounts.country].astype(np.int64)


@dataclass(eq=False)
class Sales:
    """Contacts week by week; `touches` grows as they happen: (account, second, kind, channel)."""

    rng: np.random.Generator
    market: Market
    accounts: Accounts
    touches: list[tuple[Ints, Ints, Ints, Ints]] = field(default_factory=list)

    def turn(self, number: int, lives: Lives) -> None:
        """Contacts of the week that opens with day `number`, made before anything else happens that day."""
        lives.assisted = np.maximum(lives.assisted - 1, 0)
        if self.market.sells:
            free = lives.open & ~lives.settling(number - 1) & ~self.accounts.internal
            free &= (lives.rate < self.market.floors[-1]) & (self.accounts.first_day < number - number % 7)
            self._contact(number, free, lives)
        lives.looked[:] = False

    def _contact(self, number: int, free: Flags, lives: Lives) -> None:
        market, count = self.market, len(self.accounts)
        slot, call, moment, way = self.rng.random((4, count))
        random = free & (slot < market.random_slots / 2)
        held_out = free & (slot >= market.random_slots / 2) & (slot < market.random_slots)
        chance = market.contact[region(market, self.accounts), lives.looked.astype(np.int64)]
        contacted = free & ~random & ~held_out & (call < chance)
        lives.assisted[contacted | random] = WEEKS
        for kind, flags in enumerate((contacted, held_out, random)):
            who = np.flatnonzero(flags)
            seconds = number * DAY + (25_200 * moment[who]).astype(np.int64)
            self.touches.append((who, seconds, np.full(len(who), kind), (way[who] < 0.4).astype(np.int64)))

    def table(self, start: date) -> pa.Table:
        """The raw table."""
        parts = [np.concatenate(column) for column in zip(*self.touches, strict=True)]
        who, seconds, kind, way = parts if parts else [np.empty(0, dtype=np.int64)] * 4
        return pa.table(
            {
                "account_id": self.accounts.ids.take(pa.array(who)),
                "occurred_at": timestamps(seconds, start),
                "channel": pa.array(CHANNELS, pa.string()).take(pa.array(way)),
                "owner": pa.array(OWNERS, pa.string()).take(pa.array(self.accounts.owner[who])),
                "kind": pa.array(KINDS, pa.string()).take(pa.array(kind)),
            }
        )


def contact_chance(market: Market) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Chance a week of any contact, by region and whether somebody looked at prices last week."""
    random = market.random_slots
    return random / 2 + (1.0 - random) * market.contact
