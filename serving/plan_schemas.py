"""The HTTP contract of the week's calls; the other routes' stands in serving/schemas.py."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from serving.batch import MOST_CALLS
from serving.schemas import Band, Closed, ContactKind, Source


class PlanQuery(Closed):
    """`capacity`: calls a week; null: that of the release."""

    capacity: int | None = Field(None, ge=1, le=MOST_CALLS)


class Call(Closed):
    """`kind` random: a lot had it called this week; probability and expected_increment at the default horizon;
    `reason`: the first that speaks for it, null if none does; `last_contact` as in a lead."""

    rank: int
    account_id: str
    owner: str | None
    band: Band | None
    score: float
    probability: float | None
    expected_increment: float | None
    reason: str | None
    kind: ContactKind
    last_contact: date | None
    last_contact_kind: ContactKind | None


class Expected(Closed):
    """Of some accounts together within the horizon: how many move up (`moves`) and how many do not (`misses`), the
    money, and its share of what is expected of all accounts; null by a rule."""

    moves: float | None
    misses: float | None
    expected_increment: float | None
    share: float | None


class Capacity(Expected):
    """What is expected of the first so many `calls`."""

    calls: int


class PlanAnswer(Expected, Source):
    """The first `capacity` accounts to call in the week (its Monday) of the release, without those that this week's lot
    leaves alone (`left_alone`) or that rest, and what is expected of them. `resting`: how many are passed
    over, contacted within `rest_days` before as_of and not in the plan drawn for the week. `capacities`: the same for
    other numbers of calls, ascending, none beyond the accounts that can be called."""

    week: date
    capacity: int
    horizon: int
    currency: str
    capacities: list[Capacity]
    left_alone: list[str]
    rest_days: int
    resting: int
    items: list[Call]
