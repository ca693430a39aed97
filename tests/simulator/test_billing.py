"""Every bill adds up to the price of the day, and nobody ever gets back more than was paid."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from simulator.accounts import DAY, Accounts
from simulator.billing import Billing, Row, run_rate_on
from simulator.calendar import calendar_of
from simulator.lives import BACK, SEATS, STEP, STOP, Change, Lives
from simulator.market import MUSHROOM, Market

START = date(2024, 1, 1)
YEAR = 366
CALENDAR = calendar_of(Market(), START, 1_200)


def mushrooms(count: int, yearly: bool) -> Accounts:
    """Accounts of the growing type that sign up on day 1 and pay by the month or by the year."""
    same = np.zeros(count, dtype=np.int64)
    return Accounts(
        number=np.arange(1, count + 1),
        type=same + MUSHROOM,
        size=np.arange(count) % 6,
        signed_up=same + DAY,
        channel=same,
        industry=same,
        country=same,
        owner=same,
        employees=same + 5,
        internal=same > 0,
        yearly=np.full(count, yearly),
        robot=same * 1.0,
    )


def lived(accounts: Accounts, days: int, market: Market) -> Lives:
    names = ("stages", "steps", "amounts", "seats", "credits", "closings", "moments")
    lives = Lives({name: np.random.default_rng(i) for i, name in enumerate(names)}, market, CALENDAR, accounts)
    for number in range(days):
        if number % 7 == 0:
            lives.turn(number)
        lives.day(number)
    return lives


def billed(changes: list[Change], yearly: bool = False, last: int = 2 * YEAR) -> list[Row]:
    return list(Billing(np.random.default_rng(1), Market(), CALENDAR, last).invoices(0, changes, yearly))


def periods(rows: list[Row]) -> list[tuple[int, int]]:
    return [(row.start, row.end) for row in rows]


@pytest.mark.parametrize("yearly", [False, True])
def test_rows_add_up_to_the_price_of_every_day(yearly: bool) -> None:
    market = Market()
    lives = lived(mushrooms(240, yearly), 600, market)
    kinds: set[str] = set()
    for changes in lives.changes:
        served = np.zeros(1_200)
        for row in billed(changes, yearly, last=600):
            served[row.start : row.end] += row.amount / (row.end - row.start) * 30
            kinds.add(row.kind)
        wanted = [run_rate_on(changes, day) for day in range(600)]
        assert served[:600] == pytest.approx(wanted, abs=1e-9)
    assert kinds == {"subscription", "invoice", "credit", "refund"}


@pytest.mark.parametrize("yearly", [False, True])
def test_nobody_gets_back_more_than_was_paid(yearly: bool) -> None:
    lives = lived(mushrooms(240, yearly), 600, Market())
    for changes in lives.changes:
        rows = sorted(billed(changes, yearly, last=600), key=lambda row: row.booked)
        assert (np.cumsum([row.amount for row in rows]) > -1e-9).all()


def test_a_subscription_is_invoiced_to_the_end_of_the_month_and_then_month_by_month() -> None:
    rows = billed([Change(30 * DAY + 40_000, 30.0, STEP)])  # 31 January
    assert periods(rows)[:3] == [(30, 31), (31, 60), (60, 91)]  # 1 day, February, March
    assert [row.amount for row in rows[:3]] == pytest.approx([1.0, 29.0, 31.0])
    assert rows[0].booked == 30 * DAY + 40_000


def test_an_upgrade_pays_the_difference_for_the_rest_of_the_month() -> None:
    rows = billed([Change(0, 30.0, STEP), Change(21 * DAY, 60.0, SEATS)])
    assert (rows[1].start, rows[1].end, rows[1].kind) == (21, 31, "invoice")
    assert rows[1].amount == pytest.approx(10.0)
    assert rows[2].amount == pytest.approx(58.0)


def test_a_yearly_customer_pays_for_a_year_when_it_reaches_tier_two() -> None:
    rows = billed([Change(10 * DAY, 30.0, STEP), Change(100 * DAY, 300.0, STEP)], yearly=True)
    assert periods(rows)[:5] == [(10, 31), (31, 60), (60, 91), (91, 121), (100, 121)]
    assert periods(rows)[5] == (121, YEAR + 90)  # from 1 May to 1 April of the next year
    assert rows[5].amount == pytest.approx(10.0 * (YEAR + 90 - 121))


def test_a_step_taken_back_gives_the_rest_back_and_ends_a_first_subscription() -> None:
    rows = billed([Change(0, 30.0, STEP), Change(10 * DAY, 0.0, BACK)])
    assert len(rows) == 2
    assert rows[1].amount == pytest.approx(-21.0)
    assert rows[1].kind in ("credit", "refund")


def test_who_churns_by_the_month_pays_to_its_end_and_by_the_year_gets_the_rest_back() -> None:
    monthly = billed([Change(0, 30.0, STEP), Change(60 * DAY, 0.0, STOP)])
    assert periods(monthly) == [(0, 31), (31, 60)]
    yearly = billed([Change(0, 300.0, STEP), Change(63 * DAY, 0.0, STOP)], yearly=True)
    assert periods(yearly) == [(0, YEAR), (63, YEAR)]
    assert yearly[1].kind == "refund"
    assert yearly[1].amount == pytest.approx(-10.0 * (YEAR - 63))
