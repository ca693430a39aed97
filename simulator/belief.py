"""The forward filter: what the perfect observer believes of each account's hidden type, size and stage.

All that a stretch of days within one week shows of an account is summed up in a few numbers, because binomial,
negative-binomial, Poisson and exponential likelihoods multiply over days: the log-likelihood of the stretch is linear
in them. `see` adds up the numbers; `close` turns them into belief by one matrix product; `turn` moves the belief
over the turn of a week. The observer knows every parameter of the market and sees the raw tables, nothing else.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from simulator.accounts import Accounts, firmographic_likelihood
from simulator.behaviour import Seen, crowding
from simulator.calendar import Calendar
from simulator.lives import Day
from simulator.market import CHURNED, EXPLORE, Flags, Floats, Ints, Market
from simulator.step_size import Landing

IMPOSSIBLE = -700.0  # log-likelihood of what cannot happen; exp of it is still a number
_PLAIN = (
    *("active", "actions", "specialist", "on", "configured", "limits", "joined", "stay", "left"),
    *("unlooked", "kept", "up", "down", "idle", "renewed", "stopped"),
)


class Belief:
    """Belief about the accounts of a block; `weight` (n, type, size, stage) sums to 1 an account once it signed up."""

    def __init__(self, market: Market, calendar: Calendar, accounts: Accounts) -> None:
        self._market, self._calendar, self._accounts = market, calendar, accounts
        self.shape = (len(market.types), len(market.user_capacity), len(market.moves[0]))
        share = np.where(
            calendar.mixed[accounts.first_day, None] & (calendar.mixed.any()), market.mix_share, market.type_share
        )
        prior = share[:, :, None] * market.size_share[None] * firmographic_likelihood(market, accounts)
        self.weight = np.zeros((len(accounts), *self.shape))
        self.weight[..., EXPLORE] = prior / prior.sum(axis=(1, 2), keepdims=True)
        self._landing = Landing(market)
        self._moves, self._settled_moves = market.moves, market.settled_moves()
        self._hazard = market.step_hazard()
        self._reset()

    def turn(self, number: int, settled: Flags) -> None:
        """The week that opens with day `number`. `settled`: who was settling the day before, so cannot churn."""
        old = self._accounts.first_day < number
        for flags, moves in ((old & ~settled, self._moves), (old & settled, self._settled_moves)):
            self.weight[flags] = np.matmul(self.weight[flags], moves[None])

    def see(self, number: int, day: Day, seen: Seen) -> None:
        """Adds what day `number` showed. All days between two calls of `close` lie in one week."""
        market, calendar, add = self._market, self._calendar, self._add
        new = np.flatnonzero(self._accounts.first_day == number)
        if len(new):
            came = seen.came_along[new, None]
            mean = market.first_users * np.sqrt(market.user_capacity)[None]
            self._by_size[new] += came * np.log(mean) - mean
        here = seen.here
        pace = calendar.activity[number]
        for near in (False, True):
            flags = here & (seen.near == near)
            if flags.any():
                hits = self._classes.setdefault((float(pace), near), np.zeros((2, len(here))))
                hits[0, flags] += seen.active[flags]
                hits[1, flags] += (seen.users - seen.active)[flags]
        for name in ("active", "actions", "specialist", "configured", "limits", "joined", "left"):
            add(name, getattr(seen, name))
        add("on", seen.active > 0)
        add("stay", np.where(here, np.maximum(seen.users - 1, 0) - seen.left, 0))
        add("unlooked", here * pace * ~seen.looked)
        self._looks.setdefault(float(pace), np.zeros(len(here)))[:] += seen.looked
        busy = np.flatnonzero(here)
        crowd = crowding(seen.users[busy, None], market.user_capacity[None])
        self._crowd[busy] += pace * crowd
        joins = busy[seen.joined[busy] > 0]
        if len(joins):
            rates = crowding(seen.users[joins, None], market.user_capacity[None])
            self._by_size[joins] += seen.joined[joins, None] * _log(rates)
        self._money(day)

    def close(self, first: int) -> None:
        """Turns what was added since the last call into belief. `first`: the first day of that stretch."""
        columns, weights = [], []
        for name in _PLAIN:
            columns.append(self._sums[name])
            weights.append(self._by_type_and_stage(self._log_likelihood(name, first)))
        for (pace, near), (hits, misses) in self._classes.items():
            chance = self._market.active * pace
            chance = chance * self._market.expiry_burst[:, None] if near else chance
            columns += [hits, misses]
            weights += [self._by_type_and_stage(_log(chance)), self._by_type_and_stage(np.log1p(-chance))]
        for pace, looks in self._looks.items():
            columns.append(looks)
            weights.append(self._by_type_and_stage(_log(-np.expm1(-self._market.pricing / 7.0 * pace))))
        columns.append(self._exposure)
        weights.append(-self._hazard)
        sizes = np.eye(self.shape[1])
        for size in range(self.shape[1]):
            only = np.broadcast_to(sizes[size][None, :, None], self.shape)
            columns += [self._by_size[:, size], self._crowd[:, size]]
            weights += [only, -self._market.join[:, None, :] * only]
        total = np.stack(columns, axis=1) @ np.stack([np.reshape(weight, -1) for weight in weights])
        log = total.reshape(-1, *self.shape)
        for account, extra in self._steps:
            log[account] += extra
        log -= log.max(axis=(1, 2, 3), keepdims=True)
        self.weight *= np.exp(log)
        self.weight /= self.weight.sum(axis=(1, 2, 3), keepdims=True)
        self._reset()

    def _reset(self) -> None:
        count, sizes = len(self._accounts), self.shape[1]
        self._sums = {name: np.zeros(count) for name in _PLAIN}
        self._classes: dict[tuple[float, bool], Floats] = {}
        self._looks: dict[float, Floats] = {}
        self._by_size, self._crowd = np.zeros((count, sizes)), np.zeros((count, sizes))
        self._exposure = np.zeros(count)
        self._steps: list[tuple[int, Floats]] = []

    def _add(self, name: str, values: Ints | Floats | Flags) -> None:
        self._sums[name] += values

    def _money(self, day: Day) -> None:
        quiet = day.exposed.copy()
        quiet[day.steps] = 0.0
        self._exposure += quiet
        for account, before, landed in zip(day.steps.tolist(), day.before, day.landed, strict=True):
            struck = _log(-np.expm1(-self._hazard * day.exposed[account]))
            self._steps.append((account, struck + self._landing.log_likelihood(before, landed)[:, :, None]))
        kept = day.payers.copy()
        kept[day.up] = kept[day.down] = False
        for name, flags in (("kept", kept), ("renewed", day.renewed), ("stopped", day.stopped), ("idle", day.idle)):
            self._add(name, flags)
        for name, who in (("up", day.up), ("down", day.down)):
            self._sums[name][who] += 1
        self._sums["idle"][day.closed] = 0.0  # nobody asks for the belief about who has closed

    def _log_likelihood(self, name: str, first: int) -> Floats:
        """Of one unit of a statistic, by (type, stage) or (stage,)."""
        market = self._market
        churned = np.arange(self.shape[2]) == CHURNED
        actions, shape = market.actions, market.actions_shape
        specialist, tail = market.specialist * self._calendar.specialist[first], market.specialist_shape
        up, down = market.seats_up / 7.0, market.seats_down / 7.0
        one = {
            "active": lambda: (
                shape * np.log(shape / (actions + shape)) + tail * np.log(tail / (specialist + tail)) - market.limit
            ),
            "actions": lambda: _log(actions / (actions + shape)),
            "specialist": lambda: _log(specialist / (specialist + tail)),
            "on": lambda: -market.configure,
            "configured": lambda: _log(market.configure),
            "limits": lambda: _log(market.limit),
            "joined": lambda: _log(market.join),
            "stay": lambda: -market.leave / 7.0,
            "left": lambda: _log(-np.expm1(-market.leave / 7.0)),
            "unlooked": lambda: -market.pricing / 7.0,
            "kept": lambda: -up - down,
            "up": lambda: _log(-np.expm1(-up)),
            "down": lambda: -up + _log(-np.expm1(-down)),
            "idle": lambda: np.where(churned, -market.close / 7.0, 0.0),
            "renewed": lambda: np.where(churned, IMPOSSIBLE, 0.0),
            "stopped": lambda: np.where(churned, 0.0, IMPOSSIBLE),
        }
        return cast(Floats, one[name]())

    def _by_type_and_stage(self, values: Floats) -> Floats:
        """(type, stage) or (stage,) spread over (type, size, stage)."""
        return np.broadcast_to(values[..., None, :], self.shape)


def _log(values: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(values, 1e-300))
    return logs
