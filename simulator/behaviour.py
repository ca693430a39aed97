"""What the accounts show: day by day the users and events that follow from the hidden stage.

Users are drawn one by one (each is active or not), so that the count of active users of an account is binomial and its
events are negative-binomial or Poisson given (type, size, stage): the sums a forward filter needs are in the raw table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from simulator.accounts import DAY, Accounts, numbered, timestamps
from simulator.calendar import Calendar, near_expiry
from simulator.lives import Lives
from simulator.market import CHURNED, Flags, Floats, Ints, Market

EVERYDAY = {"document_edited": 0.44, "document_created": 0.22, "comment_added": 0.24, "export_run": 0.10}
SPECIALIST = {"report_built": 0.35, "dashboard_shared": 0.30, "automation_run": 0.20, "api_called": 0.15}
LAUNCHED = {**{name: 0.7 * share for name, share in SPECIALIST.items()}, "forecast_run": 0.3}  # after a launch
CONFIGURATION = {"setting_changed": 0.55, "role_assigned": 0.25, "integration_added": 0.20}
SINGLE = ("login", "user_invited", "user_removed", "limit_hit", "ticket_opened", "pricing_viewed")
EVENT_NAMES = (*EVERYDAY, *LAUNCHED, *CONFIGURATION, *SINGLE)
CODE = {name: code for code, name in enumerate(EVENT_NAMES)}
# Chance of a session starting in each UTC hour
HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 18, 16, 12, 14, 18, 18, 16, 12, 8, 6, 5, 4, 3, 2], dtype=np.float64)
SESSION = 5_400  # seconds within which a user's events of one day fall
JOINED_BY = 600  # seconds from sign-up within which the first users come
ADMIN, MEMBER, SERVICE = range(3)
ROLES = ("admin", "member", "service")


@dataclass(eq=False)
class Events:
    """Events of one day, one entry each. `second`: since the first midnight of the simulation."""

    user: Ints
    name: Ints
    second: Ints

    @staticmethod
    def joined(parts: list[Events]) -> Events:
        """All events of `parts`, by time; ties keep their order."""
        user, name, second = (
            np.concatenate([getattr(part, column) for part in parts]) for column in ("user", "name", "second")
        )
        order = np.argsort(second, kind="stable")
        return Events(user[order], name[order], second[order])


@dataclass(frozen=True, eq=False)
class Seen:
    """What a day showed of each account's behaviour, robots aside; arrays (n,), users counted at the day's start.

    `here`: acted at all (signed up on an earlier day, not closed); `near`: at the end of its trial.
    """

    here: Flags
    near: Flags
    users: Ints
    active: Ints
    actions: Ints
    specialist: Ints
    configured: Ints
    limits: Ints
    joined: Ints
    left: Ints
    looked: Flags
    came_along: Ints


class Users:
    """Everyone who ever joined, in the order of joining, as growing arrays; `left` is a second, -1 while there."""

    def __init__(self, accounts: int) -> None:
        self.count = 0
        self.per_account = np.zeros(accounts, dtype=np.int64)  # there now, without robots
        self._columns = {name: np.empty(1_024, dtype=np.int64) for name in ("account", "joined", "left", "role")}

    def __getattr__(self, name: str) -> Ints:
        columns = self.__dict__.get("_columns", {})
        if name not in columns:
            raise AttributeError(name)
        column: Ints = columns[name][: self.count]
        return column

    def add(self, account: Ints, joined: Ints, role: int) -> None:
        size = self.count + len(account)
        values: dict[str, Ints | int] = {"account": account, "joined": joined, "left": -1, "role": role}
        for name, column in self._columns.items():
            if size > len(column):
                room = max(size, 2 * len(column)) - len(column)
                self._columns[name] = np.concatenate([column, np.empty(room, dtype=np.int64)])
            self._columns[name][self.count : size] = values[name]
        self.count = size
        if role != SERVICE:
            self.per_account += np.bincount(account, minlength=len(self.per_account))

    def remove(self, users: Ints, second: Ints) -> None:
        self.left[users] = second
        self.per_account -= np.bincount(self.account[users], minlength=len(self.per_account))


class Behaviour:
    """Draws one day after the other; `users` grows as it goes. Days must be asked for in order, each once."""

    def __init__(
        self, rngs: dict[str, np.random.Generator], market: Market, calendar: Calendar, accounts: Accounts
    ) -> None:
        self.users = Users(len(accounts))
        self._rngs, self._rng = rngs, rngs["emissions"]
        self._market, self._calendar, self._accounts = market, calendar, accounts
        self._capacity = market.user_capacity[accounts.size]
        self._trial_days = market.trial_days[accounts.channel]
        self._first_user = np.full(len(accounts), -1, dtype=np.int64)

    def day(self, number: int, lives: Lives) -> tuple[Events, Seen]:
        """Day `number`, [number, number + 1) in days since the start. Users who join today act from tomorrow on;
        accounts that sign up today only show their founder's login and invitations."""
        market, accounts, users = self._market, self._accounts, self.users
        stage, first_day = np.maximum(lives.stage, 0), accounts.first_day
        here = lives.open & (first_day < number)
        lively = here & (stage != CHURNED)
        near = here & near_expiry(self._trial_days, number - first_day)
        pace = np.where(lively, self._calendar.activity[number], 0.0)
        burst = pace * np.where(near, market.expiry_burst[accounts.type], 1.0)
        start = users.per_account.copy()
        acts, active = self._act(stage, burst, number)
        joins, joined = self._join(lively, stage, pace, number)
        leaves, left = self._leave(lively, stage, number)
        signed, came_along = self._sign_up(number)
        looks, looked = self._look(stage, pace, number)
        counted = Events.joined([*acts, joins, leaves, signed, looks])
        group = _GROUPS[counted.name]
        actions, specialist, configured, limits = (
            self._per_account(counted.user[group == place]) for place in range(len(_COUNTED))
        )
        seen = Seen(
            *(here, near, start, active, actions, specialist, configured, limits),
            *(joined, left, looked, came_along),
        )
        shown = [counted, self._robots(lively, number)]
        if self._calendar.double[number]:
            twice = group == 0
            shown.append(Events(counted.user[twice], counted.name[twice], counted.second[twice]))
        return Events.joined(shown), seen

    def _per_account(self, user: Ints) -> Ints:
        return np.bincount(self.users.account[user], minlength=len(self._accounts))

    def _act(self, stage: Ints, factor: Floats, number: int) -> tuple[list[Events], Ints]:
        """Events of the users who are active today, and how many are, by account."""
        rng, market, users = self._rng, self._market, self.users
        chance = market.active[self._accounts.type, stage] * factor
        there = (users.left < 0) & (users.role != SERVICE)
        active = np.flatnonzero((rng.random(users.count) < chance[users.account]) & there)
        account = users.account[active]
        kind, now = self._accounts.type[account], stage[account]
        hour = np.searchsorted(HOURS.cumsum() / HOURS.sum(), rng.random(len(active)), side="right")
        session = number * DAY + hour * 3_600 + rng.integers(0, 3_600, size=len(active))
        everyday = _negative_binomial(rng, market.actions_shape, market.actions[now])
        mean = market.specialist[kind, now] * self._calendar.specialist[number]
        specialist = _negative_binomial(rng, market.specialist_shape, mean)
        functions = LAUNCHED if self._calendar.launched[number] else SPECIALIST
        _, first = np.unique(account, return_index=True)
        configured = np.zeros(len(active), dtype=np.int64)
        configured[first] = rng.poisson(market.configure[kind[first], now[first]])
        tickets = rng.poisson(market.ticket, size=len(active))
        events = [
            Events(active, np.full(len(active), CODE["login"]), session),
            self._spread(active, session, everyday, EVERYDAY, number),
            self._spread(active, session, specialist, functions, number),
            self._spread(active, session, configured, CONFIGURATION, number),
            self._spread(active, session, rng.poisson(market.limit[now]), {"limit_hit": 1.0}, number),
            self._spread(active, session, tickets, {"ticket_opened": 1.0}, number),
        ]
        return events, self._per_account(active)

    def _spread(self, user: Ints, session: Ints, count: Ints, names: dict[str, float], number: int) -> Events:
        """`count` events a user, each of one of `names`, within the user's session and this day."""
        rng = self._rng
        who = np.repeat(np.arange(len(user)), count)
        pick = np.searchsorted(np.cumsum(list(names.values()))[:-1], rng.random(len(who)), side="right")
        code = np.array([CODE[name] for name in names])[pick]
        second = session[who] + rng.integers(1, SESSION, size=len(who))
        return Events(user[who], code, np.minimum(second, number * DAY + DAY - 1))

    def _join(self, lively: Flags, stage: Ints, pace: Floats, number: int) -> tuple[Events, Ints]:
        """Users who follow the ones before them: more of them the more there are, until the account is full."""
        rng, market = self._rng, self._market
        users = self.users.per_account
        crowd = crowding(users, self._capacity)
        rate = market.join[self._accounts.type, stage] * crowd * pace
        joined = np.zeros(len(users), dtype=np.int64)
        joined[lively] = rng.poisson(rate[lively])
        account = np.repeat(np.arange(len(users)), joined)
        second = number * DAY + rng.integers(7 * 3_600, 20 * 3_600, size=len(account))
        self.users.add(account, second, MEMBER)
        invited = np.full(len(account), CODE["user_invited"])
        return Events(
            self._first_user[account], invited, second - rng.integers(60, JOINED_BY, size=len(account))
        ), joined

    def _leave(self, lively: Flags, stage: Ints, number: int) -> tuple[Events, Ints]:
        """Users other than the founder who leave today, of those there at its start."""
        rng, users = self._rng, self.users
        chance = np.where(lively, -np.expm1(-self._market.leave[stage] / 7.0), 0.0)
        leaves = rng.random(users.count) < chance[users.account]
        there = (users.role == MEMBER) & (users.left < 0) & (users.joined < number * DAY)
        who = np.flatnonzero(leaves & there)
        second = number * DAY + rng.integers(7 * 3_600, 20 * 3_600, size=len(who))
        left = self._per_account(who)
        users.remove(who, second)
        founder = self._first_user[users.account[who]]
        return Events(founder, np.full(len(who), CODE["user_removed"]), second), left

    def _sign_up(self, number: int) -> tuple[Events, Ints]:
        rng, market, accounts = self._rng, self._market, self._accounts
        new = np.flatnonzero(accounts.first_day == number)
        self._first_user[new] = self.users.count + np.arange(len(new))
        self.users.add(new, accounts.signed_up[new], ADMIN)
        came_along = np.zeros(len(accounts), dtype=np.int64)
        came_along[new] = rng.poisson(market.first_users * np.sqrt(self._capacity[new]))
        along = np.repeat(new, came_along[new])
        second = accounts.signed_up[along] + rng.integers(60, JOINED_BY, size=len(along))
        self.users.add(along, second, MEMBER)
        robots = new[accounts.robot[new] > 0]
        self.users.add(robots, accounts.signed_up[robots] + JOINED_BY, SERVICE)
        user = np.concatenate([self._first_user[new], self._first_user[along]])
        name = np.concatenate([np.full(len(new), CODE["login"]), np.full(len(along), CODE["user_invited"])])
        return Events(user, name, np.concatenate([accounts.signed_up[new] + 30, second])), came_along

    def _look(self, stage: Ints, pace: Floats, number: int) -> tuple[Events, Flags]:
        """Founders who look at the price list today."""
        rng = self._rng
        hazard = self._market.pricing[self._accounts.type, stage] / 7.0 * pace
        looked = rng.random(len(stage)) < -np.expm1(-hazard)
        who = np.flatnonzero(looked)
        second = number * DAY + rng.integers(7 * 3_600, 20 * 3_600, size=len(who))
        return Events(self._first_user[who], np.full(len(who), CODE["pricing_viewed"]), second), looked

    def _robots(self, lively: Flags, number: int) -> Events:
        """API calls of robots, round the clock, for as long as the account lives."""
        rng, users = self._rngs["robots"], self.users
        robot = np.flatnonzero(users.role == SERVICE)
        rate = self._accounts.robot[users.account[robot]] * lively[users.account[robot]]
        who = np.repeat(robot, rng.poisson(rate))
        return Events(who, np.full(len(who), CODE["api_called"]), number * DAY + rng.integers(0, DAY, size=len(who)))


_COUNTED = (tuple(EVERYDAY), tuple(LAUNCHED), tuple(CONFIGURATION), ("limit_hit",))
_GROUPS = np.array([next((i for i, names in enumerate(_COUNTED) if name in names), -1) for name in EVENT_NAMES])


def crowding(users: Ints, capacity: Floats) -> Floats:
    """Root of (users x capacity) times the share of room left: what the joining of users grows with."""
    room = np.maximum(0.0, 1.0 - users / capacity)
    crowd: Floats = np.sqrt(users * capacity) * room
    return crowd


def events_table(
    rng: np.random.Generator, events: Events, users: Users, ids: pa.Array, block: int, first_id: int, start: date
) -> pa.Table:
    """The raw table of one day. `ids`: account ids; `first_id`: number of the block's first event. One event in eight
    is known a little after it happened (phones without a net), yet on the same day: what the observer of the truth sees
    before a midnight is what a reader of the raw tables knows by then."""
    count = len(events.user)
    delay = np.where(rng.random(count) < 0.125, rng.integers(1, 900, size=count), 0)
    delay = np.minimum(delay, DAY - 1 - events.second % DAY)
    calls = (events.name == CODE["api_called"]) & (users.role[events.user] != SERVICE)
    quantity = np.where(calls, rng.geometric(0.05, size=count), 1)
    return pa.table(
        {
            "event_id": numbered(f"e-{block:04d}-", first_id + np.arange(count), 8),
            "account_id": ids.take(pa.array(users.account[events.user])),
            "user_id": numbered(f"u-{block:04d}-", events.user + 1, 6),
            "event_name": pa.array(EVENT_NAMES, pa.string()).take(pa.array(events.name)),
            "occurred_at": timestamps(events.second, start),
            "received_at": timestamps(events.second + delay, start),
            "quantity": pa.array(quantity.astype(np.float64)),
        }
    )


def account_users_table(users: Users, ids: pa.Array, block: int, closed_at: Ints, start: date) -> pa.Table:
    """The raw table of who is in which account. All leave when the account closes (`closed_at`, -1 while open)."""
    left = np.where(users.left >= 0, users.left, closed_at[users.account])
    return pa.table(
        {
            "account_id": ids.take(pa.array(users.account)),
            "user_id": numbered(f"u-{block:04d}-", np.arange(1, users.count + 1), 6),
            "valid_from": timestamps(users.joined, start),
            "valid_to": timestamps(left, start),
            "role": pa.array(ROLES, pa.string()).take(pa.array(users.role)),
        }
    )


def _negative_binomial(rng: np.random.Generator, shape: float, mean: Floats) -> Ints:
    return rng.poisson(rng.gamma(shape, mean / shape))
