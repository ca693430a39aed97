"""Every number of the invented vendor, in one frozen place: one hidden Markov model per account.

The story of one account. It has a type and a size that nobody sees and that never change. Each week it is in one stage
that nobody sees either: it explores, falls dormant, embeds the product in its work, is ready for more, or has churned
for good. What people see (users joining, users active, events, invoices) is drawn from (type, size, stage) and from
things everybody knows (the calendar, the account's age, how many users it has). The hazards of expansion and of churn
depend on (type, size, stage) and the calendar alone, never on what was emitted. That is what keeps the best possible
forecast computable.
"""

# ruff: noqa: RUF009 (`_table` returns a dataclass field; no array is shared between markets)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warehouse.errors import UsageError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Stages = NDArray[np.int8]

TYPES = ("dud", "hobby", "steady", "mushroom")
STAGES = ("explore", "dormant", "embedded", "ready", "churned")
EXPLORE, DORMANT, EMBEDDED, READY, CHURNED = range(5)
MUSHROOM = 3


def _table(*rows: Any) -> Any:
    """A dataclass field holding `rows` as an array of floats."""
    return field(default_factory=lambda: np.array(rows, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Market:
    """Parameters of one world. Axes: type z (4), size s (6), stage g (5), tier k (5), in the order of the names above.

    Chances "a week" are turned into chances a day by `daily`; chances "a day" hold for an ordinary working day and are
    scaled by the calendar.
    """

    # Who signs up
    type_share: Floats = _table(0.62, 0.23, 0.10, 0.05)  # share of accounts
    size_share: Floats = _table(0.50, 0.25, 0.13, 0.065, 0.04, 0.015)  # share of accounts
    user_capacity: Floats = _table(2, 6, 18, 54, 162, 486)  # users an account of this size could ever have
    internal_share: float = 0.01  # share of accounts that are the vendor's own
    early_share: float = 0.625  # share of the period that counts as early, for sign-ups
    early_weight: float = 2.2  # sign-ups a week in the early part, per sign-up a week in the rest

    # Firmographics: noisy views of the size; the channel: a noisy view of the type
    employees_per_capacity: float = 2.5  # employees per user of capacity, median
    employees_noise: float = 0.9  # standard deviation of log employees
    employees_missing: float = 0.25  # share of accounts that did not say
    channels: tuple[str, ...] = ("organic", "search", "referral", "partner", "event", "outbound")
    channel_share: Floats = _table(  # (type, channel)
        (0.34, 0.38, 0.08, 0.05, 0.08, 0.07),
        (0.36, 0.30, 0.14, 0.06, 0.08, 0.06),
        (0.28, 0.22, 0.18, 0.14, 0.08, 0.10),
        (0.28, 0.18, 0.24, 0.14, 0.07, 0.09),
    )
    trial_days: Floats = _table(14, 14, 14, 30, 30, 30)  # days, by channel

    # Stages: weekly transition chances (type, from, to)
    moves: Floats = _table(
        (
            (0.690, 0.215, 0.010, 0.000, 0.085),
            (0.022, 0.935, 0.003, 0.000, 0.040),
            (0.050, 0.200, 0.705, 0.005, 0.040),
            (0.050, 0.100, 0.400, 0.410, 0.040),
            (0.000, 0.000, 0.000, 0.000, 1.000),
        ),
        (
            (0.870, 0.080, 0.028, 0.000, 0.022),
            (0.045, 0.930, 0.010, 0.000, 0.015),
            (0.030, 0.055, 0.900, 0.005, 0.010),
            (0.000, 0.030, 0.270, 0.692, 0.008),
            (0.000, 0.000, 0.000, 0.000, 1.000),
        ),
        (
            (0.883, 0.035, 0.070, 0.002, 0.010),
            (0.080, 0.880, 0.030, 0.000, 0.010),
            (0.010, 0.020, 0.949, 0.016, 0.005),
            (0.000, 0.010, 0.160, 0.826, 0.004),
            (0.000, 0.000, 0.000, 0.000, 1.000),
        ),
        (
            (0.882, 0.020, 0.090, 0.003, 0.005),
            (0.100, 0.840, 0.055, 0.000, 0.005),
            (0.010, 0.015, 0.928, 0.045, 0.002),
            (0.000, 0.005, 0.095, 0.898, 0.002),
            (0.000, 0.000, 0.000, 0.000, 1.000),
        ),
    )

    # Money: a step up the ladder, chance a week (type, stage), times a factor by size
    expand: Floats = _table(
        (0.00004, 0.00000, 0.0003, 0.004, 0.0),
        (0.00025, 0.00003, 0.0012, 0.018, 0.0),
        (0.00060, 0.00006, 0.0045, 0.060, 0.0),
        (0.00070, 0.00006, 0.0075, 0.090, 0.0),
    )
    expand_size: Floats = _table(0.80, 0.90, 1.00, 1.15, 1.30, 1.50)
    tiers: tuple[str, ...] = ("trial", "starter", "team", "business", "enterprise")
    floors: Floats = _table(0, 20, 150, 600, 2500)  # run-rate, money per 30 days; the ladder of params.yaml
    landing: float = 1.05  # least run-rate after a step, per floor of the tier stepped into
    ceiling: float = 0.90  # most run-rate reached by small steps, per floor of the tier above
    gain: Floats = _table(0.45, 0.70, 0.75, 0.35)  # median of what comes on top of the landing, per floor, by type
    gain_size: Floats = _table(0.70, 0.80, 1.00, 1.25, 1.60, 2.00)  # factor on that, by size
    gain_noise: float = 0.8  # standard deviation of its logarithm
    seat_step: Floats = _table(0.01, 0.0, 0.03, 0.06, 0.0)  # chance a week that seats are added, by stage
    seat_share: float = 0.15  # share of the room left in the tier that such a step takes
    top_growth: float = 0.05  # relative growth of such a step in the top tier
    revoked: float = 0.06  # share of steps taken back before 30 days
    annual: float = 0.15  # share of accounts that move to a yearly invoice when they reach tier 2
    credited: float = 0.02  # share of invoices with a goodwill credit
    refunded: float = 0.15  # share of churned payers who get the unused rest of the period back
    closed: float = 0.35  # share of churned accounts that close for good; the others only fall silent
    closing_days: int = 45  # days from churn to closing, at most; 0: they close that very midnight

    # Emissions, per user and working day unless said otherwise
    first_users: float = 0.45  # users who come along at sign-up, per root of the capacity
    join: Floats = _table(  # users joining an account a day, per root of (users x capacity) and room left
        (0.0020, 0.0001, 0.0025, 0.0035, 0.0),
        (0.0022, 0.0001, 0.0030, 0.0050, 0.0),
        (0.0025, 0.0001, 0.0040, 0.0080, 0.0),
        (0.0030, 0.0001, 0.0050, 0.0120, 0.0),
    )
    active: Floats = _table(  # chance that a user is active
        (0.055, 0.002, 0.130, 0.190, 0.0),
        (0.075, 0.003, 0.150, 0.200, 0.0),
        (0.085, 0.003, 0.165, 0.215, 0.0),
        (0.090, 0.003, 0.175, 0.230, 0.0),
    )
    actions: Floats = _table(1.1, 0.6, 1.4, 1.7, 0.0)  # everyday events of an active user, by stage
    actions_shape: float = 0.6  # negative-binomial shape
    specialist: Floats = _table(  # specialist events of an active user
        (0.05, 0.02, 0.20, 0.30, 0.0),
        (0.07, 0.02, 0.30, 0.42, 0.0),
        (0.10, 0.02, 0.45, 0.65, 0.0),
        (0.12, 0.02, 0.60, 0.95, 0.0),
    )
    specialist_shape: float = 0.3
    configure: Floats = _table(  # configuration events of an account that is active
        (0.04, 0.01, 0.10, 0.16, 0.0),
        (0.05, 0.01, 0.12, 0.20, 0.0),
        (0.07, 0.01, 0.22, 0.34, 0.0),
        (0.08, 0.01, 0.30, 0.50, 0.0),
    )
    limit: Floats = _table(0.010, 0.002, 0.020, 0.070, 0.0)  # limits hit by an active user
    ticket: float = 0.02  # tickets opened by an active user, whatever the stage: noise

    # What everybody knows: factors on activity and on the chance of a step up
    weekend: float = 0.22  # activity on Saturday and Sunday
    august: tuple[float, float] = (0.72, 0.65)  # (activity, steps)
    year_end: tuple[float, float] = (0.45, 0.50)  # from 24 December to 1 January
    quarter_end: tuple[float, float] = (1.05, 1.40)  # last 14 days of a calendar quarter
    trial_expiry: tuple[float, float] = (1.30, 3.00)  # from two days before the trial ends to one day after

    def calendar(self, day: date) -> tuple[float, float]:
        """(factor on activity, factor on the chance of a step up) of one UTC day, for everyone alike."""
        activity, steps = 1.0, 1.0
        if day.month == 8:
            activity, steps = self.august
        elif (day.month, day.day) >= (12, 24) or (day.month, day.day) == (1, 1):
            activity, steps = self.year_end
        elif day.month % 3 == 0 and day.day > 16:
            activity, steps = self.quarter_end
        return activity * (self.weekend if day.weekday() >= 5 else 1.0), steps

    def near_expiry(self, age: Ints, channel: Ints) -> NDArray[np.bool_]:
        """Which accounts of `age` (whole days since the sign-up day) stand at the end of their trial."""
        left = self.trial_days[channel] - age
        near: NDArray[np.bool_] = (left <= 2) & (left >= -1)
        return near

    def step_chance(self) -> Floats:
        """Chance a day of a step up the ladder, (type, size, stage), before the calendar."""
        return daily(self.expand[:, None, :] * self.expand_size[None, :, None])


def daily(weekly: Floats) -> Floats:
    """The chance a day that makes up `weekly` over seven days."""
    return 1.0 - (1.0 - weekly) ** (1.0 / 7.0)


def _null(market: Market) -> Market:
    """The same lives, but steps, amounts and churn strike blindly, and churned accounts close at once: whoever is
    still at risk has the same chance as everyone else."""
    churn = 0.004
    moves = market.moves.copy()
    moves[:, :CHURNED, CHURNED] = 0.0
    moves[:, :CHURNED] *= (1.0 - churn) / moves[:, :CHURNED].sum(axis=2, keepdims=True)
    moves[:, :CHURNED, CHURNED] = churn
    blind = np.full_like(market.expand, 0.0012)
    blind[:, CHURNED] = 0.0
    return replace(
        market,
        moves=moves,
        expand=blind,
        expand_size=np.ones_like(market.expand_size),
        gain=np.full_like(market.gain, 0.6),
        gain_size=np.ones_like(market.gain_size),
        seat_step=np.array([0.02, 0.02, 0.02, 0.02, 0.0]),
        closed=1.0,
        closing_days=0,
        august=(market.august[0], 1.0),
        year_end=(market.year_end[0], 1.0),
        quarter_end=(market.quarter_end[0], 1.0),
        trial_expiry=(market.trial_expiry[0], 1.0),
    )


WORLDS: dict[str, Callable[[Market], Market]] = {
    "plain": lambda market: market,
    "null": _null,
    "tiny": lambda market: market,
}
MOST_ACCOUNTS = {"tiny": 2000}  # worlds that are never larger than this


def market_of(world: str) -> Market:
    """The parameters of a world by name.

    Raises:
        UsageError: nobody knows that world.
    """
    if world not in WORLDS:
        raise UsageError(f'Unknown world "{world}". Known: {", ".join(WORLDS)}.')
    return WORLDS[world](Market())
