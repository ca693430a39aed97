"""Accounts worked out by hand. As of 2025-03-01, facts known before 2025-09-01, moves held 30 days: 154 days observed,
so the 90-day label is complete and the 180-day one is not. The ladder is 20, 150, 600 (business, high value), 2500.

Unless said otherwise an account pays 60 per 30 days throughout: tier `starter`, next floor 150.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from features.build import build_features
from tests.features.histories import DEFINITIONS, History, Row, account, at, invoice, spine, warehouse
from training.labels import LabelParams, make_labels

AS_OF, UNTIL = date(2025, 3, 1), date(2025, 9, 1)
YEAR_END = "2026-01-01"


def pays(run_rate: int, start: str, end: str = YEAR_END, booked: str | None = None) -> Row:
    """A row of `run_rate` money per 30 days, served in [start, end), booked at its start unless said."""
    amount = Decimal(run_rate) * (at(end) - at(start)).days / 30
    return invoice(booked or start, amount, period_start=start, period_end=end)


def credit(booked: str, amount: int) -> Row:
    """A refund without a period, so spread over the 90 days from its booking."""
    return invoice(booked, amount, kind="refund")


@dataclass(frozen=True)
class Case:
    """One account. `moves`, `high`: day of the held move, None, or "off" for an account that is not at risk."""

    said: str
    moves: int | str | None
    increment: float
    more: tuple[Row, ...] = ()
    high: int | str | None = None
    base: tuple[Row, ...] = (pays(60, "2025-01-01"),)
    booked: float = 0.0
    closed_at: str | None = None
    churn: int | None = None


CASES = (
    Case("stays as it is", None, 0),
    Case("crosses on 10 April for 31 days", 40, 93, (pays(90, "2025-04-10", "2025-05-11"),), booked=93),
    Case("crosses on 10 April for 30 days", None, 90, (pays(90, "2025-04-10", "2025-05-10"),), booked=90),
    Case("crosses on the day itself", 0, 270, (pays(90, "2025-03-01"),), booked=90 * 306 / 30),
    Case("crossed the day before and it was known", None, 0, (pays(90, "2025-02-28"),)),
    Case(
        "crossed before, known only later", "off", 270,
        (pays(90, "2025-02-20", booked="2025-03-05"),), booked=90 * 315 / 30,
    ),
    Case(
        "crossed before, known later, not held", None, 27,
        (pays(90, "2025-02-20", "2025-03-10", booked="2025-03-05"),), booked=54,
    ),
    Case(
        "was above until the day itself, known later", None, 0,
        (pays(90, "2025-01-20", "2025-03-01", booked="2025-03-05"),), booked=120,
    ),
    Case("crosses on the last day that can be told", 153, 0, (pays(90, "2025-08-01"),)),
    Case("crosses a day too late to be told", None, 0, (pays(90, "2025-08-02"),)),
    Case("buys on the last day of the horizon", None, 1, (pays(30, "2025-05-29"),), booked=217),
    Case("buys on the day after it", None, 0, (pays(30, "2025-05-30"),)),
    Case("never pays", None, 0, base=()),
    Case("first purchase reaches the floor of 20", 10, 53.333333, (invoice("2025-03-11", 60),), base=(), booked=60),
    Case("first purchase is a hair below", None, 53.324444, (invoice("2025-03-11", "59.99"),), base=(), booked=59.99),
    Case("six purchases of 10 make 20", 10, 53.333333, (invoice("2025-03-11", 10),) * 6, base=(), booked=60),
    Case(
        "a credit takes the move back after ten days", None, 30,
        (pays(90, "2025-04-10"), pays(-90, "2025-04-20")), booked=30,
    ),
    Case(
        "falls back for one day, then rises again", 61, 147,
        (pays(90, "2025-04-10", "2025-04-30"), pays(90, "2025-05-01")), booked=60 + 90 * 245 / 30,
    ),
    Case(
        "renews without a gap", 40, 150,
        (pays(90, "2025-04-10", "2025-04-25"), pays(90, "2025-04-25")), booked=90 * 266 / 30,
    ),
    Case("leaps over two floors", 40, 1000, (pays(600, "2025-04-10"),), high=40, booked=600 * 266 / 30),
    Case(
        "climbs in two steps", 40, 660,
        (pays(90, "2025-04-10"), pays(510, "2025-04-30", "2025-08-28")), high=60, booked=90 * 266 / 30 + 2040,
    ),
    Case("is of high value already", None, 0, high="off", base=(pays(630, "2025-01-01"),)),
    Case("stands on the highest tier", "off", 0, high="off", base=(pays(3000, "2025-01-01"),)),
    Case("stops paying after a month", None, -118, base=(pays(60, "2025-01-01", "2025-04-01"),)),
    Case("closes a month later", None, 0, closed_at="2025-04-01T08:00", churn=31),
    Case("closes on the day", None, 0, closed_at="2025-03-01T08:00", churn=0),
    Case("closed the day before", None, 0, closed_at="2025-02-28T23:59:59"),
    Case("closes when nobody can know yet", None, 0, closed_at="2025-09-01"),
    Case(
        "pays 160, and the refund of January ends on 9 April", None, 51 * 100 / 30,
        base=(pays(160, "2025-01-01"), credit("2025-01-09", -300)),
    ),
    Case(
        "is refunded, and takes more on the day on which that ends", 39, 221,
        (pays(30, "2025-04-09"),), booked=30 * 267 / 30, base=(pays(130, "2025-01-01"), credit("2025-01-09", -300)),
    ),
    Case(
        "is refunded more than it pays, until 8 April", None, -38.0 * 100 / 30,
        base=(credit("2025-01-08", -300),),
    ),
    Case(
        "pays for the first time in the shadow of a refund", None, 80 - 38.0 * 100 / 30,
        (pays(30, "2025-03-11"),), booked=30 * 296 / 30, base=(credit("2025-01-08", -300),),
    ),
    Case(
        "pays a year in advance and closes five days later", None, 150,
        (pays(90, "2025-04-10"),), booked=90 * 266 / 30, closed_at="2025-04-15T08:00", churn=45,
    ),
    Case(
        "closes on the last day a move must be held", None, 150,
        (pays(90, "2025-04-10"),), booked=90 * 266 / 30, closed_at="2025-05-10T23:00", churn=70,
    ),
    Case(
        "closes the day after it", 40, 150,
        (pays(90, "2025-04-10"),), booked=90 * 266 / 30, closed_at="2025-05-11T01:00", churn=71,
    ),
    Case(
        "closes, and is sent a last bill", None, 266.666667,
        (invoice("2025-04-20", 600),), booked=600, closed_at="2025-04-01T08:00", churn=31,
    ),
    Case(
        "moved and closed before either was known", None, 300,
        (pays(100, "2025-02-20", booked="2025-03-05"),), booked=100 * 315 / 30, closed_at="2025-03-10", churn=9,
    ),
    Case(
        "pays in advance and closes when nobody can know yet", 40, 150,
        (pays(90, "2025-04-10"),), booked=90 * 266 / 30, closed_at="2025-09-01",
    ),
    Case("crossed, but booked when nobody can know yet", None, 0, (pays(90, "2025-04-10", booked="2025-09-01"),)),
)  # fmt: skip


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Any]]:
    """All accounts through one warehouse, so that none can disturb another."""
    accounts = [account(case.said, "2024-06-01", closed_at=case.closed_at and at(case.closed_at)) for case in CASES]
    revenue = [row | {"account_id": case.said} for case in CASES for row in (*case.base, *case.more)]
    with warehouse(History(accounts, (), revenue)) as con:
        books = build_features(con, spine(*((case.said, AS_OF) for case in CASES)), DEFINITIONS)
        snapshots: pa.Table = books.select(["account_id", "as_of", "tier", "run_rate"])
        table = make_labels(con, snapshots, DEFINITIONS, LabelParams(), UNTIL)
    return {row["account_id"]: row for row in table.to_pylist()}


@pytest.mark.parametrize("case", CASES, ids=[case.said for case in CASES])
def test_outcome_of_an_account_that(case: Case, outcomes: dict[str, dict[str, Any]]) -> None:
    row = outcomes[case.said]
    assert row["observed_days"] == 154
    for target, expected in (("expansion", case.moves), ("high_value", case.high)):
        at_risk, day = row[f"{target}_at_risk"], row[f"{target}_day"]
        assert (day if at_risk else "off") == expected, target
    assert row["increment_90"] == pytest.approx(case.increment, abs=1e-5)
    assert row["booked_90"] == pytest.approx(case.booked, abs=1e-3)
    assert row["churn_day"] == case.churn
    assert [row[f"increment_{h}"] for h in (180, 270, 360)] == [None, None, None]
