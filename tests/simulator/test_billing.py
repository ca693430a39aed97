from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from simulator.accounts import DAY
from simulator.billing import REVOKED, STEP, Billing, Change, Row
from simulator.market import Market

START = date(2024, 1, 1)
YEAR = 366 * DAY


def billed(changes: list[Change], churned: int = -1, **parameters: float) -> list[Row]:
    market = Market(**{"annual": 0.0, "credited": 0.0, "refunded": 0.0, **parameters})  # type: ignore[arg-type]
    return list(Billing(np.random.default_rng(1), market, START, YEAR).invoices(0, changes, churned))


def day(row: Row) -> tuple[int, int]:
    return row.start // DAY, row.end // DAY


def test_a_subscription_is_invoiced_month_after_month_on_the_same_day() -> None:
    rows = billed([Change(30 * DAY, 30.0, STEP)])  # 31 January
    assert [day(row) for row in rows[:3]] == [(30, 59), (59, 90), (90, 120)]  # 29 Feb, 31 Mar, 30 Apr
    assert {row.amount for row in rows} == {30.44}  # 30 x 365.25 / 12 / 30


def test_an_upgrade_pays_the_difference_for_the_rest_of_the_month() -> None:
    rows = billed([Change(0, 30.0, STEP), Change(21 * DAY, 60.0, STEP)])
    assert day(rows[1]) == (21, 31)
    assert rows[1].kind == "invoice"
    assert rows[1].amount == pytest.approx((60.88 - 30.44) * 10 / 31)
    assert rows[2].amount == 60.88


def test_a_step_taken_back_gives_the_rest_back_and_ends_a_first_subscription() -> None:
    rows = billed([Change(0, 30.0, STEP), Change(10 * DAY, 0.0, REVOKED)])
    assert [row.kind in ("credit", "refund") for row in rows] == [False, True]
    assert rows[1].amount == pytest.approx(-30.44 * 21 / 31)


def test_who_churns_pays_no_further_period_once_the_last_step_was_held() -> None:
    rows = billed([Change(0, 30.0, STEP)], churned=7 * DAY)
    assert [day(row) for row in rows] == [(0, 31), (31, 60)]  # the second month starts before day 35


def test_who_churns_may_get_the_unused_rest_back() -> None:
    rows = billed([Change(0, 30.0, STEP)], churned=70 * DAY, refunded=1.0)
    assert rows[-1].kind == "refund"
    assert day(rows[-1]) == (70, 91)
    assert rows[-1].amount == pytest.approx(-30.44 * 21 / 31)


def test_large_accounts_may_pay_by_the_year() -> None:
    rows = billed([Change(0, 200.0, STEP)], annual=1.0)
    assert [day(row) for row in rows] == [(0, 366)]
    assert rows[0].amount == pytest.approx(12 * 202.92)


def test_a_goodwill_credit_never_moves_an_account_below_its_tier() -> None:
    rows = billed([Change(0, 40.0, STEP)], credited=1.0)
    credits = [row for row in rows if row.kind == "credit"]
    assert credits
    for credit in credits:
        rate = 40.0 + credit.amount / ((credit.end - credit.start) / DAY) * 30
        assert rate > 20.0
