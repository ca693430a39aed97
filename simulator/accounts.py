"""Who signs up, when, and what the sign-up form says: hidden type and size, and noisy views of both."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtr

from simulator.calendar import Calendar
from simulator.market import MUSHROOM, Flags, Floats, Ints, Market

INDUSTRIES = {  # employees per employee of the median industry
    "software": 0.7,
    "retail": 1.2,
    "manufacturing": 1.8,
    "finance": 1.4,
    "education": 1.1,
    "health": 1.3,
    "media": 0.6,
    "consulting": 0.5,
}
OWNERS = ("Ada Okafor", "Ben Ruiz", "Chloe Marsh", "Dev Patel", "Elif Kaya", "Finn Larsen")
DAY = 86_400  # seconds
LAST_SIGN_UP = DAY - 1_800  # second of the day after which nobody signs up, so that day one fits into its day


@dataclass(frozen=True, eq=False)
class Accounts:
    """One entry an account, ordered by sign-up. `type`, `size` are hidden; `channel`, `industry`, `country`, `owner`
    index their lists. `number`: from 1; `signed_up`: whole seconds since the first midnight of the simulation;
    `employees` -1: not said; `yearly`: billed by the year from tier 2 on; `robot`: API calls a day, 0 without a robot.
    """

    number: Ints
    type: Ints
    size: Ints
    signed_up: Ints
    channel: Ints
    industry: Ints
    country: Ints
    owner: Ints
    employees: Ints
    internal: Flags
    yearly: Flags
    robot: Floats

    def __len__(self) -> int:
        return len(self.type)

    def part(self, first: int, after: int) -> Accounts:
        """The accounts [first, after) in order of sign-up."""
        return Accounts(**{entry.name: getattr(self, entry.name)[first:after] for entry in fields(self)})

    @property
    def first_day(self) -> Ints:
        """Day of the simulation on which the account signed up."""
        return self.signed_up // DAY

    @property
    def ids(self) -> pa.Array:
        return numbered("acc-", self.number, 6)


def draw_accounts(rng: np.random.Generator, market: Market, calendar: Calendar, count: int, days: int) -> Accounts:
    """`count` accounts that sign up within the first `days` days."""
    first_day = np.sort(rng.choice(days, size=count, p=_sign_up_curve(market, calendar, days)))
    kind = rng.choice(len(market.types), size=count, p=market.type_share)
    if calendar.mixed[:days].any():
        later = rng.choice(len(market.types), size=count, p=market.mix_share)
        kind = np.where(calendar.mixed[first_day], later, kind)
    internal = rng.random(count) < market.internal_share
    kind[internal] = MUSHROOM  # the vendor's own people use the product a great deal and never pay
    size = _pick(rng, market.size_share[kind])
    industry = rng.integers(len(INDUSTRIES), size=count)
    robot = market.robot_calls * np.exp(rng.normal(0.0, 1.0, count))
    return Accounts(
        number=np.arange(1, count + 1),
        type=kind,
        size=size,
        signed_up=np.sort(first_day * DAY + rng.integers(6 * 3_600, LAST_SIGN_UP, size=count)),
        channel=_pick(rng, market.channel_share[kind]),
        industry=industry,
        country=_pick(rng, market.country_share[kind]),
        owner=rng.integers(len(OWNERS), size=count),
        employees=_employees(rng, market, size, industry),
        internal=internal,
        yearly=rng.random(count) < market.annual,
        robot=np.where(rng.random(count) < market.robots, robot, 0.0),
    )


def firmographic_likelihood(market: Market, accounts: Accounts) -> Floats:
    """Likelihood of what the sign-up form says, up to a factor an account, (account, type, size)."""
    seen = market.channel_share[:, accounts.channel].T * market.country_share[:, accounts.country].T
    median = _median_employees(market, accounts.industry)
    told = np.maximum(accounts.employees, 1)[:, None]  # rounded to the nearest, and at least 1
    above = ndtr(np.log((told + 0.5) / median) / market.employees_noise)
    below = np.where(told > 1, ndtr(np.log((told - 0.5) / median) / market.employees_noise), 0.0)
    size = np.where(accounts.employees[:, None] > 0, above - below, 1.0)
    likelihood: Floats = seen[:, :, None] * size[:, None, :]
    return likelihood


def accounts_table(accounts: Accounts, market: Market, start: date, closed_at: Ints, plan: Ints) -> pa.Table:
    """The raw table. `closed_at`: seconds since `start`, -1 while open; `plan`: tier at the end of the simulation."""
    industries = list(INDUSTRIES)
    return pa.table(
        {
            "account_id": accounts.ids,
            "created_at": timestamps(accounts.signed_up, start),
            "closed_at": timestamps(closed_at, start),
            "plan": pa.array([market.tiers[k] for k in plan], pa.string()),
            "industry": pa.array([industries[i] for i in accounts.industry], pa.string()),
            "country": pa.array([market.countries[i] for i in accounts.country], pa.string()),
            "employees": pa.array(accounts.employees, pa.int64(), mask=accounts.employees < 0),
            "channel": pa.array([market.channels[i] for i in accounts.channel], pa.string()),
            "owner": pa.array([OWNERS[i] for i in accounts.owner], pa.string()),
            "is_internal": pa.array(accounts.internal),
        }
    )


def timestamps(seconds: Ints, start: date) -> pa.Array:
    """Seconds since the midnight of `start` as naive UTC timestamps; negative seconds become null."""
    moments = np.datetime64(start, "s") + seconds.astype("timedelta64[s]")
    return pa.array(moments.astype("datetime64[us]"), pa.timestamp("us"), mask=seconds < 0)


def numbered(prefix: str, numbers: Ints, width: int) -> pa.Array:
    """Ids such as `e-00000042`: `width` digits or more."""
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def _sign_up_curve(market: Market, calendar: Calendar, days: int) -> Floats:
    early = np.where(np.arange(days) < market.early_share * days, market.early_weight, 1.0)
    weights = np.maximum(calendar.activity[:days], 0.4) * early
    share: Floats = weights / weights.sum()
    return share


def _employees(rng: np.random.Generator, market: Market, size: Ints, industry: Ints) -> Ints:
    median = _median_employees(market, industry)[np.arange(len(size)), size]
    noisy = np.rint(median * np.exp(rng.normal(0.0, market.employees_noise, len(size))))
    told: Ints = np.maximum(1, noisy).astype(np.int64)
    told[rng.random(len(size)) < market.employees_missing] = -1
    return told


def _median_employees(market: Market, industry: Ints) -> Floats:
    """(account, size)."""
    factor = np.array(list(INDUSTRIES.values()))[industry]
    median: Floats = market.employees_per_capacity * market.user_capacity[None, :] * factor[:, None]
    return median


def _pick(rng: np.random.Generator, shares: Floats) -> Ints:
    """One index a row of `shares` (rows sum to 1)."""
    above = rng.random(len(shares))[:, None] > shares.cumsum(axis=1)
    picked: Ints = np.minimum(above.sum(axis=1), shares.shape[1] - 1)
    return picked
