"""Money: THE definition of run-rate and tier, for features, labels, API and reports alike.

Run-rate at as_of is the revenue per 30 days served on the day that ended at as_of, from rows known by then: each row is
spread evenly over its service period; a one-off purchase over `tiers.spread_days`. An invoice of 60 for
[2024-02-01, 2024-03-01) gives 60 * 30 / 29 = 62.07 as of 2024-02-02 to 2024-03-01 and 0 from 2024-03-02. Told to a
millionth, so that six purchases of 10 spread over 90 days make 20 and stand on a floor of 20, not a hair below it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pydantic import Field, field_validator, model_validator

from features.feature import Feature
from warehouse.params import Section


class Tier(Section):
    """A step of the ladder: accounts with a run-rate of at least `floor` (money per 30 days) stand on it."""

    name: str = Field(min_length=1)
    floor: float = Field(ge=0, allow_inf_nan=False)


class Tiers(Section):
    """The ladder, lowest first. Tier 0 is the unpaid trial: its floor is 0."""

    currency: str = "USD"
    spread_days: int = Field(default=90, ge=1, le=3660)
    ladder: tuple[Tier, ...] = (
        Tier(name="trial", floor=0),
        Tier(name="starter", floor=20),
        Tier(name="team", floor=150),
        Tier(name="business", floor=600),
        Tier(name="enterprise", floor=2500),
    )
    high_value: str = "business"

    @field_validator("ladder")
    @classmethod
    def _ascending(cls, ladder: tuple[Tier, ...]) -> tuple[Tier, ...]:
        floors = [tier.floor for tier in ladder]
        if len(ladder) < 2 or floors[0] != 0 or any(a >= b for a, b in pairwise(floors)):
            raise ValueError("needs at least two tiers, the first with floor 0, floors strictly ascending")
        if len({tier.name for tier in ladder}) < len(ladder):
            raise ValueError("two tiers have one name, so nobody could tell them apart")
        return ladder

    @model_validator(mode="after")
    def _known(self) -> Tiers:
        if self.high_value not in [tier.name for tier in self.ladder[1:]]:
            raise ValueError(f'high_value "{self.high_value}" is not a paid tier of the ladder')
        return self

    @property
    def high_value_index(self) -> int:
        return next(i for i, tier in enumerate(self.ladder) if tier.name == self.high_value)

    def sql(self) -> dict[str, str]:
        """The ladder as SQL over `run_rate`: index of the tier, floor of the next one (null at the top)."""
        paid = list(enumerate(self.ladder))[1:]
        tier = " + ".join(f"CASE WHEN run_rate >= {tier.floor!r} THEN 1 ELSE 0 END" for _, tier in paid)
        cases = " ".join(f"WHEN run_rate < {tier.floor!r} THEN {tier.floor!r}" for _, tier in paid)
        return {"tier": tier, "next_floor": f"CASE {cases} END"}

    def index(self, run_rate: Any) -> Any:
        """Tier index of a run-rate (array or number): 0 is the trial."""
        import numpy as np

        return np.searchsorted([tier.floor for tier in self.ladder[1:]], run_rate, side="right")


def _booked(name: str, low: int, high: int, said: str) -> Feature:
    return Feature(
        name, f"booked_{low}_{high}" if low else f"booked_{high}", "money",
        f"{low} to {high} days ago" if low else f"last {high} days", "billing",
        f"more revenue {said}", f"less revenue {said}", noun=f"revenue {said}",
        none=f"signed up within the last {low} days" if low else "", since=low,
    )  # fmt: skip


def _run_rate(name: str, ago: int) -> Feature:
    """Served on the day `ago` + 1 days before as_of."""
    said = f"{ago} days ago" if ago else "now"
    return Feature(
        name, f"served_{ago}", "money per 30 days", f"the day {ago} days before" if ago else "the day before as_of",
        "billing", f"a higher run-rate {said}", f"a lower run-rate {said}", noun=f"run-rate {said}",
        none=f"signed up within the last {ago} days" if ago else "", since=ago,
    )  # fmt: skip


FEATURES: tuple[Feature, ...] = (
    _run_rate("run_rate", 0),
    _run_rate("run_rate_28d_ago", 28),
    _run_rate("run_rate_90d_ago", 90),
    _run_rate("run_rate_180d_ago", 180),
    _booked("booked_28d", 0, 28, "booked in the last 28 days"),
    _booked("booked_90d", 0, 90, "booked in the last 90 days"),
    _booked("booked_90_180d", 90, 180, "booked 90 to 180 days ago"),
    _booked("booked_180_270d", 180, 270, "booked 180 to 270 days ago"),
    _booked("booked_270_360d", 270, 360, "booked 270 to 360 days ago"),
    Feature(
        "booked_life", "booked_life", "money", "since sign-up", "billing",
        "more revenue since sign-up", "less revenue since sign-up", noun="revenue since sign-up",
    ),
    Feature(
        "invoices_90d", "invoices_90", "invoices", "last 90 days",
        "billing", "more invoices in the last 90 days", "fewer invoices in the last 90 days",
        noun="invoices in the last 90 days",
    ),
    Feature(
        "invoices_life", "invoices_life", "invoices", "since sign-up", "billing",
        "more invoices since sign-up", "fewer invoices since sign-up", noun="invoices since sign-up",
    ),
    Feature(
        "credits_90d", "credits_90", "money", "last 90 days",
        "billing", "larger credits in the last 90 days", "smaller credits in the last 90 days",
        noun="credits in the last 90 days",
    ),
    Feature(
        "largest_invoice", "coalesce(largest_life, 0)", "money", "since sign-up", "billing",
        "a larger invoice in the past", "smaller invoices so far", noun="its largest invoice",
    ),
    Feature(
        "days_since_last_invoice", "date_diff('day', last_invoice_life, as_of)", "days", "since sign-up", "recency",
        "longer since the last invoice", "invoiced more recently",
        noun="time since the last invoice", none="never invoiced so far",
    ),
    Feature(
        "days_since_first_invoice", "date_diff('day', first_invoice_life, as_of)", "days", "since sign-up",
        "recency", "paying for longer", "paying for a shorter time",
        noun="time since the first invoice", none="never invoiced so far",
    ),
    Feature(
        "tier", "{tier}", "step of the ladder", "the day before as_of", "billing",
        "higher on the ladder", "lower on the ladder", noun="its step of the ladder",
    ),
    Feature(
        "headroom", "{next_floor} - run_rate", "money per 30 days", "the day before as_of", "billing",
        "further below the next tier", "closer to the next tier",
        noun="run-rate missing to the next tier", none="on the highest tier",
    ),
    Feature(
        "run_rate_change_28d", "run_rate - run_rate_28d_ago", "money per 30 days", "last 28 days", "trend",
        "the run-rate has just grown", "the run-rate has just shrunk", none="too young to show growth in revenue",
        pivot=0, noun="change of the run-rate in 28 days",
    ),
    Feature(
        "run_rate_change_90d", "run_rate - run_rate_90d_ago", "money per 30 days", "last 90 days", "trend",
        "the run-rate has grown", "the run-rate has shrunk", none="too young to show growth in revenue",
        pivot=0, noun="change of the run-rate in 90 days",
    ),
    Feature(
        "booked_rate_life", "booked_life / (tenure_days + 30)", "money a day", "since sign-up", "billing",
        "a higher revenue a day of its life", "a lower revenue a day of its life", noun="revenue a day of its life",
    ),
    Feature(
        "booked_change_90d", "booked_90d - booked_90_180d", "money", "last 90 days against the 90 before",
        "trend", "more revenue booked than the quarter before", "less revenue booked than the quarter before",
        none="too young to show growth in revenue", pivot=0, noun="revenue booked less that of the quarter before",
    ),
    Feature(
        "booked_change_180d", "booked_90_180d - booked_180_270d", "money", "90 to 180 days ago against the 90 before",
        "trend", "revenue grew the quarter before last", "revenue fell the quarter before last",
        none="too young to show growth in revenue", pivot=0, noun="change of revenue the quarter before last",
    ),
    Feature(
        "invoice_gap", "(days_since_first_invoice - days_since_last_invoice) / nullif(invoices_life - 1, 0)",
        "days", "since sign-up", "recency", "longer gaps between invoices", "shorter gaps between invoices",
        noun="gap between invoices",
        none="fewer than two invoices so far",
    ),
    Feature(
        "overdue", "days_since_last_invoice / nullif(invoice_gap, 0)", "gaps", "since sign-up", "recency",
        "silent for longer than its usual gap", "invoiced more recently than its usual gap", pivot=1,
        noun="time since the last invoice, in its usual gaps",
        none="fewer than two invoices so far",
    ),
)  # fmt: skip
