"""What POST /v1/score takes: accounts with their raw histories, as the tables of the raw contract hold them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, create_model

from features.build import HISTORY
from serving.schemas import Closed, Day, Text
from warehouse.raw import TABLES, RawTable


def _row_model(table: RawTable) -> type[BaseModel]:
    """The JSON row of a raw table: its columns under its rules, account_id left out where the account gives it."""
    kinds: dict[str, Any] = {"text": Text, "timestamp": Text, "number": FiniteFloat, "money": FiniteFloat}
    kinds |= {"integer": Annotated[int, Field(ge=-(2**53), le=2**53)], "flag": bool}
    fields: dict[str, Any] = {}
    for column in table.columns:
        needed = column.required and not (column.name == "account_id" and table.name != "accounts")
        kind = kinds[column.type]
        fields[column.name] = (kind, Field(description=column.meaning)) if needed else (
            kind | None, Field(None, description=column.meaning)
        )  # fmt: skip
    return create_model(f"{table.name.title().replace('_', '')}Row", __base__=Closed, **fields)


AccountRow, EventRow, RevenueRow, StayRow = (_row_model(TABLES[name]) for name in ("accounts", *HISTORY))
TouchRow = _row_model(TABLES["touches"])
NOT_USED = "Held to the raw contract and not used: no score looks at touches."


class RawAccount(Closed):
    """One account with its whole history, as the raw tables hold it. A vendor who has the table account_users sends its
    rows too: without them nothing is known of seats, and the score is not the nightly one."""

    account: AccountRow  # type: ignore[valid-type]
    events: list[EventRow] = Field(default_factory=list)  # type: ignore[valid-type]
    revenue: list[RevenueRow] = Field(default_factory=list)  # type: ignore[valid-type]
    account_users: list[StayRow] = Field(default_factory=list)  # type: ignore[valid-type]
    touches: list[TouchRow] = Field(default_factory=list, description=NOT_USED)  # type: ignore[valid-type]


class ScoreRequest(Closed):
    """Rows known at or after `as_of` are ignored, as they are at night."""

    as_of: Day | None = Field(None, description="Absent: the as_of of the live release.")
    accounts: list[RawAccount] = Field(min_length=1, max_length=100)
