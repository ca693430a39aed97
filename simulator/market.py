"""Every number of the invented vendor, in one frozen place: one hidden Markov model per account.

The story of one account. It has a type and a size that nobody sees and that never change. Each week it is in one stage
that nobody sees either: it explores, falls dormant, embeds the product in its work, is ready for more, or has churned
for good. What people see (users joining and leaving, users active, events, invoices) is drawn from (type, size, stage)
and from things everybody knows (the calendar, the account's age, how many users it has, whether sales has called). The
hazards of expansion and of churn depend on (type, size, stage) and on what everybody knows, never on what was emitted.
That is what keeps the best possible forecast computable.
"""

# ruff: noqa: RUF009 (`number` and `table` return dataclass fields; no array is shared between markets)

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

STAGES = ("explore", "dormant", "embedded", "ready", "churned")
EXPLORE, DORMANT, EMBEDDED, READY, CHURNED = range(5)
MUSHROOM = 3
HORIZONS = (90, 180, 270, 360)  # days
SETTLING = 35  # days after a step in which an account neither steps again, nor changes its seats, nor churns
REVOKED = (4, 24)  # days after a step taken back on which it ends: uniform, both included

ASSUMED = "assumed"
SHAPE = "chosen for the shape: most never grow, a handful mushroom"
BASE = "tuned: 2 to 3 % of snapshots at risk expand in 180 days"
CEILING = "tuned: ceiling near ROC-AUC .945, PR-AUC .33 at 180 days; rules well below"
LADDER = "the ladder of params.yaml"


def number(value: Any, unit: str, source: str) -> Any:
    """A parameter: its value in `plain`, its unit, and where the value comes from."""
    return field(default=value, metadata={"unit": unit, "source": source})


def table(unit: str, source: str, *rows: Any) -> Any:
    """A parameter that is an array of floats."""
    return field(default_factory=lambda: np.array(rows, dtype=np.float64), metadata={"unit": unit, "source": source})


@dataclass(frozen=True, eq=False)
class Market:
    """Parameters of one world. Axes: type z, size s (6), stage g (5), tier k (5), in the order of the names.

    Hazards "a week" act day by day: with hazard x a day, the chance that it strikes that day is 1 - exp(-x).
    """

    # Who signs up
    types: tuple[str, ...] = number(("dud", "hobby", "steady", "mushroom"), "names", SHAPE)
    type_share: Floats = table("share of accounts, by type", SHAPE, 0.62, 0.23, 0.10, 0.05)
    size_share: Floats = table(
        "share of accounts, by type and size", SHAPE, *[(0.50, 0.25, 0.13, 0.065, 0.04, 0.015)] * 4
    )
    user_capacity: Floats = table("users an account could ever have, by size", SHAPE, 2, 6, 18, 54, 162, 486)
    internal_share: float = number(0.01, "share of accounts that are the vendor's own", ASSUMED)
    early_share: float = number(0.625, "share of the period that counts as early, for sign-ups", ASSUMED)
    early_weight: float = number(2.2, "sign-ups a week in the early part, per sign-up a week later", ASSUMED)

    # Firmographics: noisy views of the size; the channel and the country: of the type
    employees_per_capacity: float = number(2.5, "employees per user of capacity, median", ASSUMED)
    employees_noise: float = number(0.9, "standard deviation of log employees", ASSUMED)
    employees_missing: float = number(0.25, "share of accounts that did not say", ASSUMED)
    channels: tuple[str, ...] = number(
        ("organic", "search", "referral", "partner", "event", "outbound"), "names", ASSUMED
    )
    channel_share: Floats = table(
        "share of accounts, by type and channel",
        ASSUMED,
        (0.34, 0.38, 0.08, 0.05, 0.08, 0.07),
        (0.36, 0.30, 0.14, 0.06, 0.08, 0.06),
        (0.28, 0.22, 0.18, 0.14, 0.08, 0.10),
        (0.28, 0.18, 0.24, 0.14, 0.07, 0.09),
    )
    trial_days: Floats = table("days of trial, by channel", ASSUMED, 14, 14, 14, 30, 30, 30)
    countries: tuple[str, ...] = number(("US", "GB", "DE", "FR", "NL", "SE", "CA", "AU"), "names", ASSUMED)
    country_share: Floats = table(
        "share of accounts, by type and country", ASSUMED, *[(0.38, 0.16, 0.13, 0.09, 0.06, 0.05, 0.08, 0.05)] * 4
    )

    # Stages
    moves: Floats = table(
        "chance a week, by type, stage now and stage next",
        SHAPE,
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
            (0.822, 0.020, 0.150, 0.003, 0.005),
            (0.100, 0.840, 0.055, 0.000, 0.005),
            (0.010, 0.015, 0.928, 0.045, 0.002),
            (0.000, 0.005, 0.095, 0.898, 0.002),
            (0.000, 0.000, 0.000, 0.000, 1.000),
        ),
    )
    close: float = number(0.02, "hazard a week of closing, once churned and paid up", ASSUMED)

    # Money: steps up the ladder
    step: Floats = table(
        "hazard a week of a step up, by type and stage",
        BASE,
        (0.00001, 0.00000, 0.0001, 0.0012, 0.0),
        (0.00010, 0.00000, 0.0005, 0.007, 0.0),
        (0.00050, 0.00003, 0.0036, 0.050, 0.0),
        (0.00100, 0.00003, 0.0080, 0.090, 0.0),
    )
    step_size: Floats = table("factor on the hazard of a step, by size", SHAPE, 0.70, 0.85, 1.00, 1.20, 1.45, 1.80)
    tiers: tuple[str, ...] = number(("trial", "starter", "team", "business", "enterprise"), "names", LADDER)
    floors: Floats = table("run-rate, money per 30 days, by tier", LADDER, 0, 20, 150, 600, 2500)
    high_value: int = number(3, "index of the tier that counts as high value", LADDER)
    landing: float = number(1.05, "least run-rate after a step, per floor of the tier stepped into", ASSUMED)
    ceiling: float = number(0.90, "most run-rate reached below the next floor, per that floor", ASSUMED)
    gain: Floats = table(
        "median of the gain: run-rate on top of the landing, per floor, by type", SHAPE, 0.45, 0.70, 0.75, 0.35
    )
    gain_size: Floats = table("factor on the gain, by size", SHAPE, 0.70, 0.80, 1.00, 1.25, 1.60, 2.00)
    gain_noise: float = number(0.8, "standard deviation of the log gain", ASSUMED)
    revoked: float = number(0.06, "share of steps taken back 4 to 24 days later", ASSUMED)

    # Money: seats, bills, credits
    seats_up: Floats = table(
        "hazard a week that a payer adds seats, by stage", ASSUMED, 0.010, 0.000, 0.030, 0.060, 0.0
    )
    seats_down: Floats = table(
        "hazard a week that a payer drops seats, by stage", ASSUMED, 0.006, 0.030, 0.004, 0.0, 0.0
    )
    seat_share: float = number(0.15, "share of the room left in the tier that a change of seats takes", ASSUMED)
    seat_limit: float = number(0.95, "run-rate that added seats approach, per floor of the tier above", ASSUMED)
    top_growth: float = number(0.05, "relative growth by added seats in the top tier", ASSUMED)
    annual: float = number(0.15, "share of accounts billed by the year from tier 2 on", ASSUMED)
    credit: float = number(0.02, "hazard a month of a goodwill credit to a monthly payer", ASSUMED)
    credit_share: float = number(0.25, "share of the run-rate over the floor that is credited", ASSUMED)
    credit_days: int = number(7, "days that a credit runs, at most to the end of the month", ASSUMED)

    # Users
    first_users: float = number(0.45, "users who come along at sign-up, per root of the capacity", SHAPE)
    join: Floats = table(
        "users joining a day, per root of (users x capacity) and share of room left, by type and stage",
        SHAPE,
        (0.0020, 0.0001, 0.0025, 0.0035, 0.0),
        (0.0022, 0.0001, 0.0030, 0.0050, 0.0),
        (0.0025, 0.0001, 0.0040, 0.0080, 0.0),
        (0.0030, 0.0001, 0.0050, 0.0120, 0.0),
    )
    leave: Floats = table("hazard a week that a user leaves, by stage", ASSUMED, 0.008, 0.012, 0.003, 0.002, 0.0)
    active: Floats = table(
        "chance that a user is active on a working day, by type and stage",
        CEILING,
        (0.045, 0.002, 0.11, 0.16, 0.0),
        (0.070, 0.003, 0.14, 0.19, 0.0),
        (0.100, 0.003, 0.18, 0.23, 0.0),
        (0.130, 0.003, 0.21, 0.27, 0.0),
    )

    # Events of an active user, a day
    actions: Floats = table("everyday events of an active user a day, by stage", CEILING, 1.6, 0.8, 2.0, 2.5, 0.0)
    actions_shape: float = number(0.6, "negative-binomial shape of everyday events", ASSUMED)
    specialist: Floats = table(
        "specialist events of an active user a day, by type and stage",
        CEILING,
        (0.05, 0.02, 0.20, 0.30, 0.0),
        (0.07, 0.02, 0.30, 0.42, 0.0),
        (0.10, 0.02, 0.45, 0.65, 0.0),
        (0.12, 0.02, 0.60, 0.95, 0.0),
    )
    specialist_shape: float = number(0.3, "negative-binomial shape of specialist events", ASSUMED)
    configure: Floats = table(
        "configuration events of an active account a day, by type and stage",
        CEILING,
        (0.04, 0.01, 0.10, 0.16, 0.0),
        (0.05, 0.01, 0.12, 0.20, 0.0),
        (0.07, 0.01, 0.22, 0.34, 0.0),
        (0.08, 0.01, 0.30, 0.50, 0.0),
    )
    limit: Floats = table("limits hit by an active user a day, by stage", CEILING, 0.010, 0.002, 0.020, 0.070, 0.0)
    ticket: float = number(0.02, "tickets opened by an active user a day, whatever the stage: noise", ASSUMED)
    pricing: Floats = table(
        "hazard a week that somebody looks at the price list, by type and stage",
        ASSUMED,
        (0.020, 0.002, 0.03, 0.08, 0.0),
        (0.025, 0.002, 0.03, 0.09, 0.0),
        (0.030, 0.002, 0.04, 0.12, 0.0),
        (0.030, 0.002, 0.04, 0.14, 0.0),
    )
    robots: float = number(0.0, "share of accounts with a robot on an API key, whatever their type", ASSUMED)
    robot_calls: float = number(3.0, "API calls of a robot a day, median over accounts", ASSUMED)

    # What everybody knows: factors on activity and on the hazard of a step
    weekend: float = number(0.22, "factor on activity, Saturday and Sunday", ASSUMED)
    august: tuple[float, float] = number((0.72, 0.65), "factors on activity and on steps, August", ASSUMED)
    year_end: tuple[float, float] = number(
        (0.45, 0.50), "factors on activity and on steps, 24 December to 1 January", ASSUMED
    )
    quarter_end: tuple[float, float] = number(
        (1.05, 1.40), "factors on activity and on steps, last 14 days of a calendar quarter", ASSUMED
    )
    expiry_steps: float = number(3.0, "factor on steps from two days before a trial ends to one day after", ASSUMED)
    expiry_burst: Floats = table("factor on activity in the same days, by type", ASSUMED, 1.3, 1.3, 1.3, 1.3)

    # Sales
    favoured: tuple[str, ...] = number((), "countries that sales prefers", ASSUMED)
    contact: Floats = table(
        "chance a week of a contact, by region (other, favoured) and last week (no look at prices, a look)",
        ASSUMED,
        (0.0, 0.0),
        (0.0, 0.0),
    )
    random_slots: float = number(0.0, "chance a week of a random slot: half are contacted, half held out", ASSUMED)
    assist: float = number(1.0, "factor on the hazard of a step in the four weeks from a contact", ASSUMED)

    # Drift, in months from the start of the simulation; -1: never
    price_month: int = number(-1, "month of a price change; -1: never", ASSUMED)
    price_steps: float = number(1.0, "factor on steps from the price change on", ASSUMED)
    launch_month: int = number(-1, "month in which a new specialist function is launched; -1: never", ASSUMED)
    launch_specialist: float = number(1.0, "factor on specialist events from the launch on", ASSUMED)
    double_month: int = number(-1, "month from which the tracker counts every everyday event twice; -1: never", ASSUMED)
    mix_month: int = number(-1, "month from which other accounts sign up; -1: never", ASSUMED)
    mix_share: Floats = table("share of accounts from that month on, by type", ASSUMED, 0.62, 0.23, 0.10, 0.05)

    @property
    def sells(self) -> bool:
        """Whether sales contacts anybody."""
        return bool(self.contact.any()) or self.random_slots > 0

    def step_hazard(self) -> Floats:
        """Hazard a day of a step up the ladder, (type, size, stage), before the calendar."""
        hazard: Floats = self.step[:, None, :] * self.step_size[None, :, None] / 7.0
        return hazard

    def settled_moves(self) -> Floats:
        """`moves` of an account that is settling: who would churn stays where it is."""
        moves = self.moves.copy()
        stages = np.arange(CHURNED)
        moves[:, stages, stages] += moves[:, stages, CHURNED]
        moves[:, stages, CHURNED] = 0.0
        return moves
