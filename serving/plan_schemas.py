"""The HTTP contract of the week's calls; the other routes' stands in serving/schemas.py."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from serving.schemas import Band, Closed, Source


class PlanQuery(Closed):
    """`capacity`: calls a week; null: that of the release."""

    capacity: int | None = Field(None, ge=1, le=1000)


class Call(Closed):
    """`kind` random: a lot had it called this week; probability and expected_increment at the default horizon."""

    rank: int
    account_id: str
    owner: str | None
    band: Band | None
    score: float
    probability: float | None
    expected_increment: float | None
    kind: Literal["contacted", "random"]


class PlanAnswer(Source):
    """The first `capacity` accounts to call in the week (its Monday) of the release, without those that this week's lot
    leaves alone (`left_alone`). `moves`, `expected_increment`: what is expected of them together, and `share`: their
    part of what is expected of all; null by a rule."""

    week: date
    capacity: int
    horizon: int
    currency: str
    moves: float | None
    expected_increment: float | None
    share: float | None
    left_alone: list[str]
    items: list[Call]
