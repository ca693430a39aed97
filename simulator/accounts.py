"""Who signs up, when, and what the sign-up form says: hidden type and size, and noisy views of both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from simulator.market import MUSHROOM, Floats, Ints, Market

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
COUNTRIES = {"US": 0.38, "GB": 0.16, "DE": 0.13, "FR": 0.09, "NL": 0.06, "SE": 0.05, "CA": 0.08, "AU": 0.05}
OWNERS = ("Ada Okafor", "Ben Ruiz", "Chloe Marsh", "Dev Patel", "Elif Kaya", "Finn Larsen")
DAY = 86_400  # seconds
LAST_SIGN_UP = DAY - 1_800  # second of the day after which nobody signs up, so that day one fits into its day


@dataclass(frozen=True, eq=False)
class Accounts:
    """One entry an account, ordered by sign-up. `type`, `size` are hidden; `channel`, `industry`, `country`, `owner`
    index their lists. `signed_up`: whole seconds since the first midnight of the simulation; `employees` -1: not said.
    """

    type: Ints
    size: Ints
    signed_up: Ints
    channel: Ints
    industry: Ints
    country: Ints
    owner: Ints
    employees: Ints
    internal: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.type)

    @property
    def first_day(self) -> Ints:
        """Day of the simulation on which the account signed up."""
        return self.signed_up // DAY

    @property
    def ids(self) -> list[str]:
        return [f"acc-{number:06d}" for number in range(1, len(self) + 1)]


def draw_accounts(rng: np.random.Generator, market: Market, count: int, start: date, days: int) -> Accounts:
    """`count` accounts that sign up within `days` days from `start`."""
    kind = rng.choice(len(market.type_share), size=count, p=market.type_share)
    size = rng.choice(len(market.size_share), size=count, p=market.size_share)
    internal = rng.random(count) < market.internal_share
    kind[internal] = MUSHROOM  # the vendor's own people use the product a great deal and never pay
    first_day = np.sort(rng.choice(days, size=count, p=_sign_up_curve(market, start, days)))
    industry = rng.integers(len(INDUSTRIES), size=count)
    return Accounts(
        type=kind,
        size=size,
        signed_up=np.sort(first_day * DAY + rng.integers(6 * 3_600, LAST_SIGN_UP, size=count)),
        channel=_pick(rng, market.channel_share[kind]),
        industry=industry,
        country=rng.choice(len(COUNTRIES), size=count, p=np.array(list(COUNTRIES.values()))),
        owner=rng.integers(len(OWNERS), size=count),
        employees=_employees(rng, market, size, industry),
        internal=internal,
    )


def accounts_table(accounts: Accounts, market: Market, start: date, closed_at: Ints, plan: Ints) -> pa.Table:
    """The raw table. `closed_at`: seconds since `start`, -1 while open; `plan`: tier at the end of the simulation."""
    industries, countries = list(INDUSTRIES), list(COUNTRIES)
    return pa.table(
        {
            "account_id": pa.array(accounts.ids, pa.string()),
            "created_at": timestamps(accounts.signed_up, start),
            "closed_at": timestamps(closed_at, start),
            "plan": pa.array([market.tiers[k] for k in plan], pa.string()),
            "industry": pa.array([industries[i] for i in accounts.industry], pa.string()),
            "country": pa.array([countries[i] for i in accounts.country], pa.string()),
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


def _sign_up_curve(market: Market, start: date, days: int) -> Floats:
    weights = np.empty(days)
    for number in range(days):
        activity, _ = market.calendar(start + timedelta(days=number))
        weights[number] = max(activity, 0.4) * (market.early_weight if number < market.early_share * days else 1.0)
    share: Floats = weights / weights.sum()
    return share


def _employees(rng: np.random.Generator, market: Market, size: Ints, industry: Ints) -> Ints:
    factor = np.array(list(INDUSTRIES.values()))[industry]
    median = market.employees_per_capacity * market.user_capacity[size] * factor
    noisy = np.rint(median * np.exp(rng.normal(0.0, market.employees_noise, len(size))))
    told: Ints = np.maximum(1, noisy).astype(np.int64)
    told[rng.random(len(size)) < market.employees_missing] = -1
    return told


def _pick(rng: np.random.Generator, shares: Floats) -> Ints:
    """One index a row of `shares` (rows sum to 1)."""
    above = rng.random(len(shares))[:, None] > shares.cumsum(axis=1)
    picked: Ints = np.minimum(above.sum(axis=1), shares.shape[1] - 1)
    return picked
