"""The hidden lives of a block of accounts, day by day: stages, steps up the ladder, seats, bills that stop, closings.

One account through this file: it signs up on day 12, explores, embeds the product in week 9, and steps to 25.00 per 30
days on day 80. It settles until day 115: no further step, no other number of seats, no churn; and as the step is not
taken back, it is held. In week 31 it churns unseen; its bill stops with the month, and some weeks later it closes.

Within a day things happen in this order: the stage turns (first day of a week), bills stop (churned payers: at the turn
of the month; those billed by the year: at once), closings, steps taken back, steps, seats, credits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simulator.accounts import DAY, Accounts
from simulator.calendar import Calendar, near_expiry
from simulator.market import CHURNED, EMBEDDED, EXPLORE, REVOKED, SETTLING, Flags, Floats, Ints, Market
from simulator.step_size import Landing

STEP, SEATS, BACK, STOP, CREDIT = range(1, 6)
NOT_YET = -1  # stage of an account that has not signed up


class Change(NamedTuple):
    """A new price. `second`: since the first midnight of the simulation; `rate`: money per 30 days from that day on.
    A CREDIT changes no price: `rate` is what is credited per 30 days until the day `until` (excluded)."""

    second: int
    rate: float
    cause: int
    until: int = 0


@dataclass(frozen=True, eq=False)
class Day:
    """What a day showed of each account's money, as anybody could tell it from the raw tables: masks (n,) unless said.

    `exposed`: factor on the hazard of a step (0: could not step); `steps`: who stepped, from `before` to `landed`;
    `payers`: could change seats, and did: `up`, `down`; `renewed`, `stopped`: bills that went on or stopped; `idle`:
    could close, and did: `closed`.
    """

    exposed: Floats
    steps: Ints
    before: Floats
    landed: Floats
    payers: Flags
    up: Ints
    down: Ints
    renewed: Flags
    stopped: Flags
    idle: Flags
    closed: Ints


class Lives:
    """State of all accounts of a block at the midnight before the next day; arrays (n,).

    `stage`; `rate`: money per 30 days; `before`: the same before the last step; `stepped_on`: day of the last step or
    a long time ago; `back_on`: day on which it is taken back, -1 never; `closed_at`: second, -1 while open;
    `billed`: has shown whether it is billed by the year; `assisted`: weeks left in which a contact works; `looked`:
    somebody looked at the price list this week.
    """

    def __init__(
        self, rngs: dict[str, np.random.Generator], market: Market, calendar: Calendar, accounts: Accounts
    ) -> None:
        count = len(accounts)
        self.stage = np.full(count, NOT_YET, dtype=np.int64)
        self.rate, self.before = np.zeros(count), np.zeros(count)
        self.stepped_on = np.full(count, -10 * SETTLING, dtype=np.int64)
        self.back_on = np.full(count, -1, dtype=np.int64)
        self.closed_at = np.full(count, -1, dtype=np.int64)
        self.billed = np.zeros(count, dtype=bool)
        self.assisted = np.zeros(count, dtype=np.int64)
        self.looked = np.zeros(count, dtype=bool)
        self.changes: list[list[Change]] = [[] for _ in range(count)]
        self._credits = np.zeros((count, market.credit_days + 1))  # money per 30 days off, by day modulo its width
        self._rngs, self._market, self._calendar, self._accounts = rngs, market, calendar, accounts
        self._landing = Landing(market)
        self._reached = market.moves.cumsum(axis=2)
        self._reached_settled = market.settled_moves().cumsum(axis=2)
        self._hazard = market.step_hazard()
        self._trial_days = market.trial_days[accounts.channel]

    @property
    def open(self) -> Flags:
        """Signed up and not closed."""
        flags: Flags = (self.stage != NOT_YET) & (self.closed_at < 0)
        return flags

    def settling(self, number: int) -> Flags:
        flags: Flags = number < self.stepped_on + SETTLING
        return flags

    def credited(self, number: int) -> Floats:
        """Money per 30 days by which credits lower the run-rate of day `number`, from today to a week ahead."""
        return self._credits[:, number % self._credits.shape[1]]

    def turn(self, number: int) -> None:
        """The hidden stages of the week that opens with day `number`. Who was settling the day before cannot churn."""
        accounts, old = self._accounts, self.open
        draw = self._rngs["stages"].random(len(accounts))
        kind, now = accounts.type, np.maximum(self.stage, 0)
        settled = self.settling(number - 1)[:, None]
        reached = np.where(settled, self._reached_settled[kind, now], self._reached[kind, now])
        moved = np.minimum((draw[:, None] > reached).sum(axis=1), CHURNED)
        self.stage[old] = moved[old]
        self.stage[old & accounts.internal] = EMBEDDED

    def day(self, number: int) -> Day:
        """Everything about money on day `number`, [number, number + 1) in days since the start."""
        first_day = self._accounts.first_day
        self.stage[first_day == number] = EXPLORE
        renewed, stopped = self._bills(number)
        idle = self.open & (self.rate == 0.0) & (first_day < number)
        closed = self._close(number, idle)
        self._take_back(number)
        free = self.open & (first_day < number) & ~self.settling(number) & ~self._accounts.internal
        exposed, steps = self._steps(number, free)
        before = self.rate[steps]
        landed = self._landing.draw(
            self._rngs["amounts"], before, self._accounts.type[steps], self._accounts.size[steps]
        )
        payers = free & (self.rate > 0.0)
        payers[steps] = False
        up, down = self._seats(number, payers)
        self._settle(number, steps, landed)
        self._credit(number, payers)
        return Day(exposed, steps, before, landed, payers, up, down, renewed, stopped, idle, closed)

    def _bills(self, number: int) -> tuple[Flags, Flags]:
        """Whose bill would stop today had they churned, and whose does."""
        due = self.rate > 0.0
        contract = self._contract
        due &= np.where(contract, number % 7 == 0, self._calendar.month_start[number])
        due &= ~self.settling(number)
        stopped = due & (self.stage == CHURNED)
        self._change(np.flatnonzero(stopped), 0.0, number, STOP)
        return due & ~stopped, stopped

    @property
    def _contract(self) -> Flags:
        flags: Flags = self._accounts.yearly & (self.rate >= self._market.floors[2])
        return flags

    def _close(self, number: int, idle: Flags) -> Ints:
        rng = self._rngs["closings"]
        chance = -np.expm1(-self._market.close / 7.0)
        closed = np.flatnonzero(idle & (self.stage == CHURNED) & (rng.random(len(idle)) < chance))
        self.closed_at[closed] = number * DAY + rng.integers(7 * 3_600, 19 * 3_600, size=len(closed))
        return closed

    def _take_back(self, number: int) -> None:
        back = np.flatnonzero(self.back_on == number)
        self._change(back, self.before[back], number, BACK)

    def _steps(self, number: int, free: Flags) -> tuple[Floats, Ints]:
        market, accounts = self._market, self._accounts
        near = near_expiry(self._trial_days, number - accounts.first_day)
        factor = self._calendar.steps[number] * np.where(near, market.expiry_steps, 1.0)
        factor = factor * np.where(self.assisted > 0, market.assist, 1.0)
        exposed = np.where(free & (self.rate < market.floors[-1]), factor, 0.0)
        hazard = self._hazard[accounts.type, accounts.size, np.maximum(self.stage, 0)] * exposed
        draw = self._rngs["steps"].random(len(accounts))
        return exposed, np.flatnonzero(draw < -np.expm1(-hazard))

    def _settle(self, number: int, steps: Ints, landed: Floats) -> None:
        rng, market = self._rngs["steps"], self._market
        self.before[steps] = self.rate[steps]
        self._change(steps, landed, number, STEP)
        self.stepped_on[steps] = number
        self.assisted[steps] = 0
        self.looked[steps] = False
        self.billed |= self.rate >= market.floors[2]
        taken = rng.random(len(steps)) < market.revoked
        after = rng.integers(REVOKED[0], REVOKED[1] + 1, size=len(steps))
        self.back_on[steps] = np.where(taken, number + after, -1)

    def _seats(self, number: int, payers: Flags) -> tuple[Ints, Ints]:
        """Some more seats: closer to the end of the tier, never over it; some fewer: closer to its landing."""
        market, rng = self._market, self._rngs["seats"]
        stage = np.maximum(self.stage, 0)
        draws = rng.random((2, len(payers)))
        more = payers & (draws[0] < -np.expm1(-market.seats_up[stage] / 7.0))
        fewer = payers & ~more & (draws[1] < -np.expm1(-market.seats_down[stage] / 7.0))
        up, down = np.flatnonzero(more), np.flatnonzero(fewer)
        tier = np.searchsorted(market.floors, self.rate, side="right") - 1
        for who, changed in (
            (up, seats_added(market, self.rate, tier)),
            (down, seats_dropped(market, self.rate, tier)),
        ):
            self._change(who, changed[who], number, SEATS)
        return up, down

    def _credit(self, number: int, payers: Flags) -> None:
        """A goodwill credit runs for some days within the month; no credit alone moves an account to another tier."""
        market, rng = self._market, self._rngs["credits"]
        width = self._credits.shape[1]
        self._credits[:, (number - 1) % width] = 0.0
        given = payers & ~self._contract & (rng.random(len(payers)) < credit_chance(market))
        until = min(number + market.credit_days, int(self._calendar.month_end[number]))
        for account in np.flatnonzero(given).tolist():
            floor = market.floors[market.floors <= self.rate[account]].max()
            off = market.credit_share * (self.rate[account] - floor)
            self.changes[account].append(Change(number * DAY + 19 * 3_600, off, CREDIT, until))
            self._credits[account, np.arange(number, until) % width] += off

    def _change(self, who: Ints, rate: Floats | float, number: int, cause: int) -> None:
        early = cause == STOP  # with the renewals that do go out, before working hours
        moments = number * DAY + self._rngs["moments"].integers(
            *((0, 3_600) if early else (25_200, 68_400)), size=len(who)
        )
        rates = np.broadcast_to(np.asarray(rate, dtype=np.float64), who.shape)
        for account, moment, new in zip(who.tolist(), moments.tolist(), rates.tolist(), strict=True):
            self.changes[account].append(Change(moment, new, cause))
        self.rate[who] = rates


def seats_added(market: Market, rate: Floats, tier: Ints) -> Floats:
    """Run-rates after some more seats; affine in `rate` within a tier."""
    top = tier == len(market.floors) - 1
    limit = market.seat_limit * market.floors[np.minimum(tier + 1, len(market.floors) - 1)]
    grown: Floats = np.where(top, rate * (1.0 + market.top_growth), rate + market.seat_share * (limit - rate))
    return grown


def seats_dropped(market: Market, rate: Floats, tier: Ints) -> Floats:
    """Run-rates after some fewer seats; affine in `rate` within a tier."""
    shrunk: Floats = rate + market.seat_share * (market.landing * market.floors[tier] - rate)
    return shrunk


def credit_chance(market: Market) -> float:
    """Chance a day of a goodwill credit, for a monthly payer who is not settling."""
    return float(-np.expm1(-market.credit * 12 / 365.25))
