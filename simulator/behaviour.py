"""What the accounts do: hidden stages week by week, and day by day the users and events that follow from them.

Users are drawn one by one (each is active or not), so that the count of active users of an account is binomial and its
events are negative-binomial or Poisson given (type, size, stage): the sums a forward filter needs are in the raw table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from simulator.accounts import DAY, Accounts, timestamps
from simulator.market import CHURNED, EMBEDDED, EXPLORE, Floats, Ints, Market, Stages

EVERYDAY = {"document_edited": 0.44, "document_created": 0.22, "comment_added": 0.24, "export_run": 0.10}
SPECIALIST = {"report_built": 0.35, "dashboard_shared": 0.30, "automation_run": 0.20, "api_called": 0.15}
CONFIGURATION = {"setting_changed": 0.55, "role_assigned": 0.25, "integration_added": 0.20}
SINGLE = ("login", "user_invited", "limit_hit", "ticket_opened")
EVENT_NAMES = (*EVERYDAY, *SPECIALIST, *CONFIGURATION, *SINGLE)
CODE = {name: code for code, name in enumerate(EVENT_NAMES)}
NOT_YET = -1  # stage of an account that has not signed up
# Chance of a session starting in each UTC hour
HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 18, 16, 12, 14, 18, 18, 16, 12, 8, 6, 5, 4, 3, 2], dtype=np.float64)
SESSION = 5_400  # seconds within which a user's events of one day fall
JOINED_BY = 600  # seconds from sign-up within which the first users come


def walk_stages(rng: np.random.Generator, market: Market, accounts: Accounts, days: int) -> Stages:
    """The hidden stage of every account in every week of the simulation, (account, week); NOT_YET before sign-up.

    An account starts to explore in the week it signs up and may move at the turn of each week after that.
    """
    weeks = -(-days // 7)
    stages = np.full((len(accounts), weeks), NOT_YET, dtype=np.int8)
    reached = market.moves.cumsum(axis=2)
    first_week = accounts.first_day // 7
    for week in range(weeks):
        stages[first_week == week, week] = EXPLORE
        old = np.flatnonzero(first_week < week)
        draw = rng.random(len(accounts))[old]
        moved = (draw[:, None] > reached[accounts.type[old], stages[old, week - 1]]).sum(axis=1)
        stages[old, week] = np.minimum(moved, CHURNED)
    stages[accounts.internal] = np.where(stages[accounts.internal] == NOT_YET, NOT_YET, EMBEDDED)
    return stages


@dataclass(eq=False)
class Events:
    """Events of one day or month, one entry each. `second`: since the first midnight of the simulation."""

    user: Ints
    name: Ints
    second: Ints

    @staticmethod
    def joined(parts: list[Events]) -> Events:
        """All events of `parts`, by time; ties keep their order."""
        user, name, second = (
            np.concatenate([getattr(part, column) for part in parts]) if parts else np.empty(0, dtype=np.int64)
            for column in ("user", "name", "second")
        )
        order = np.argsort(second, kind="stable")
        return Events(user[order], name[order], second[order])


class Users:
    """Everyone who ever joined, in the order of joining: the account and the second of joining, as growing arrays."""

    def __init__(self, accounts: int) -> None:
        self.count = 0
        self.per_account = np.zeros(accounts, dtype=np.int64)
        self._account = np.empty(1_024, dtype=np.int64)
        self._joined = np.empty(1_024, dtype=np.int64)

    @property
    def account(self) -> Ints:
        return self._account[: self.count]

    @property
    def joined(self) -> Ints:
        return self._joined[: self.count]

    def add(self, account: Ints, joined: Ints) -> None:
        size = self.count + len(account)
        if size > len(self._account):
            room = max(size, 2 * len(self._account)) - self.count
            self._account = np.concatenate([self.account, np.empty(room, dtype=np.int64)])
            self._joined = np.concatenate([self.joined, np.empty(room, dtype=np.int64)])
        self._account[self.count : size] = account
        self._joined[self.count : size] = joined
        self.count = size
        self.per_account += np.bincount(account, minlength=len(self.per_account))


class Behaviour:
    """Draws one day after the other; `users` grows as it goes. Days must be asked for in order, each once."""

    def __init__(
        self, rng: np.random.Generator, market: Market, accounts: Accounts, stages: Stages, start: date
    ) -> None:
        self.users = Users(len(accounts))
        self._rng, self._market, self._accounts = rng, market, accounts
        self._stages, self._start = stages, start
        self._capacity = market.user_capacity[accounts.size]
        self._first_user = np.full(len(accounts), -1, dtype=np.int64)

    def day(self, number: int) -> Events:
        """All events of day `number`, [number, number + 1) in days since the start. Users who join today act from
        tomorrow on; accounts that sign up today only show their founder's login and invitations."""
        market, accounts = self._market, self._accounts
        activity, _ = market.calendar(self._start + timedelta(days=number))
        stage = self._stages[:, number // 7].astype(np.int64)
        here = np.flatnonzero((stage != NOT_YET) & (stage != CHURNED) & (accounts.first_day < number))
        near = market.near_expiry(number - accounts.first_day[here], accounts.channel[here])
        factor = np.zeros(len(accounts))
        factor[here] = activity * np.where(near, market.trial_expiry[0], 1.0)
        parts = self._act(stage, factor, number)
        parts.append(self._join(here, stage, factor, number))
        parts.append(self._sign_up(number))
        return Events.joined(parts)

    def _act(self, stage: Ints, factor: Floats, number: int) -> list[Events]:
        rng, market, users = self._rng, self._market, self.users
        chance = market.active[self._accounts.type, stage] * factor
        active = np.flatnonzero(rng.random(users.count) < chance[users.account])
        account = users.account[active]
        kind, now = self._accounts.type[account], stage[account]
        hour = np.searchsorted(HOURS.cumsum() / HOURS.sum(), rng.random(len(active)), side="right")
        session = number * DAY + hour * 3_600 + rng.integers(0, 3_600, size=len(active))
        everyday = _negative_binomial(rng, market.actions_shape, market.actions[now])
        specialist = _negative_binomial(rng, market.specialist_shape, market.specialist[kind, now])
        _, first = np.unique(account, return_index=True)
        configured = np.zeros(len(active), dtype=np.int64)
        configured[first] = rng.poisson(market.configure[kind[first], now[first]])
        logins = np.ones(len(active), dtype=np.int64)
        return [
            Events(active, np.full(len(active), CODE["login"]), session),
            self._spread(active, session, everyday, EVERYDAY, number),
            self._spread(active, session, specialist, SPECIALIST, number),
            self._spread(active, session, configured, CONFIGURATION, number),
            self._spread(active, session, rng.poisson(market.limit[now]), {"limit_hit": 1.0}, number),
            self._spread(active, session, rng.poisson(market.ticket * logins), {"ticket_opened": 1.0}, number),
        ]

    def _spread(self, user: Ints, session: Ints, count: Ints, names: dict[str, float], number: int) -> Events:
        """`count` events a user, each of one of `names`, within the user's session and this day."""
        rng = self._rng
        who = np.repeat(np.arange(len(user)), count)
        pick = np.searchsorted(np.cumsum(list(names.values()))[:-1], rng.random(len(who)), side="right")
        code = np.array([CODE[name] for name in names])[pick]
        second = session[who] + rng.integers(1, SESSION, size=len(who))
        return Events(user[who], code, np.minimum(second, number * DAY + DAY - 1))

    def _join(self, here: Ints, stage: Ints, factor: Floats, number: int) -> Events:
        """Users who follow the ones before them: more of them the more there are, until the account is full."""
        rng, market = self._rng, self._market
        users, capacity = self.users.per_account[here], self._capacity[here]
        room = np.maximum(0.0, 1.0 - users / capacity)
        rate = market.join[self._accounts.type[here], stage[here]] * np.sqrt(users * capacity) * room * factor[here]
        account = np.repeat(here, rng.poisson(rate))
        second = number * DAY + rng.integers(7 * 3_600, 20 * 3_600, size=len(account))
        self.users.add(account, second)
        invited = np.full(len(account), CODE["user_invited"])
        return Events(self._first_user[account], invited, second - rng.integers(60, JOINED_BY, size=len(account)))

    def _sign_up(self, number: int) -> Events:
        rng, market, accounts = self._rng, self._market, self._accounts
        new = np.flatnonzero(accounts.first_day == number)
        self._first_user[new] = self.users.count + np.arange(len(new))
        self.users.add(new, accounts.signed_up[new])
        along = np.repeat(new, rng.poisson(market.first_users * np.sqrt(self._capacity[new])))
        second = accounts.signed_up[along] + rng.integers(60, JOINED_BY, size=len(along))
        self.users.add(along, second)
        user = np.concatenate([self._first_user[new], self._first_user[along]])
        name = np.concatenate([np.full(len(new), CODE["login"]), np.full(len(along), CODE["user_invited"])])
        return Events(user, name, np.concatenate([accounts.signed_up[new] + 30, second]))


def events_table(
    rng: np.random.Generator, events: Events, users: Users, ids: pa.Array, first_id: int, start: date
) -> pa.Table:
    """The raw table of one month. `ids`: account ids; `first_id`: number of the first event. One event in eight is
    known a little after it happened (phones without a net)."""
    count = len(events.user)
    delay = np.where(rng.random(count) < 0.125, rng.integers(1, 900, size=count), 0)
    calls = events.name == CODE["api_called"]
    quantity = np.where(calls, rng.geometric(0.05, size=count), 1)
    return pa.table(
        {
            "event_id": numbered("e", first_id + np.arange(count)),
            "account_id": ids.take(pa.array(users.account[events.user])),
            "user_id": numbered("u", events.user + 1),
            "event_name": pa.array(EVENT_NAMES, pa.string()).take(pa.array(events.name)),
            "occurred_at": timestamps(events.second, start),
            "received_at": timestamps(events.second + delay, start),
            "quantity": pa.array(quantity.astype(np.float64)),
        }
    )


def account_users_table(users: Users, ids: pa.Array, closed_at: Ints, start: date) -> pa.Table:
    """The raw table of who is in which account. Users leave when the account closes (`closed_at`, -1 while open)."""
    first = np.zeros(users.count, dtype=bool)
    first[np.unique(users.account, return_index=True)[1]] = True
    return pa.table(
        {
            "account_id": ids.take(pa.array(users.account)),
            "user_id": numbered("u", np.arange(1, users.count + 1)),
            "valid_from": timestamps(users.joined, start),
            "valid_to": timestamps(closed_at[users.account], start),
            "role": pa.array(np.where(first, "admin", "member").tolist(), pa.string()),
        }
    )


def numbered(prefix: str, numbers: Ints) -> pa.Array:
    """Ids such as `e-00000042`."""
    return pa.array([f"{prefix}-{number:08d}" for number in numbers.tolist()], pa.string())


def _negative_binomial(rng: np.random.Generator, shape: float, mean: Floats) -> Ints:
    return rng.poisson(rng.gamma(shape, mean / shape))
