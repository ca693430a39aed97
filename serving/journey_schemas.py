"""The HTTP contract of the quarterly journey; the other routes' stands in serving/schemas.py."""

from __future__ import annotations

from typing import Literal

from serving.schemas import Closed, Source, Stage


class JourneyQuery(Closed):
    """`by` absent: all accounts together. cohort: by the quarter of sign-up."""

    by: Literal["owner", "channel", "country", "industry", "cohort"] | None = None


class Standing(Closed):
    """`accounts`, and how many of them stood in each stage."""

    accounts: int
    trial: int
    commitment: int
    uptake: int
    expansion: int
    dormant: int
    closed: int


class QuarterNumber(Standing):
    """Accounts at the end of their `number`-th calendar quarter, of one group (`group` null: the account does not tell,
    or all accounts together)."""

    group: str | None = None
    number: int


class Onward(Standing):
    """Accounts that stood in `stage` at the end of a quarter, and where they stood at the end of the next."""

    stage: Stage


class JourneyAnswer(Source):
    by: str | None
    by_quarter: list[QuarterNumber]
    onward: list[Onward]


class QuarterOfOne(Closed):
    """`stage` at the end of the quarter, or as of as_of while it is not `complete`; `evidence` is null once the account
    had closed."""

    number: int
    quarter: str
    complete: bool
    stage: Stage
    evidence: str | None


class AccountJourney(Source):
    account_id: str
    quarters: list[QuarterOfOne]
