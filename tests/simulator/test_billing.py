"""Rows of money say what was paid: day by day they add up to the price, and nobody is given more than came in."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from simulator.accounts import DAY
from simulator.billing import Billing, Row, revenue_table
from simulator.lives import BACK, CREDIT, SEATS, STEP, STOP, Change
from simulator.market import MUSHROOM, Market
from tests.simulator.one_state import Path, accounts_like, calendar
from tests.simulator.run_rates import START

DAYS = 731  # two years
LAST = date(2025, 1, 1)
NOON = 12 * 3_600


def on(day: date, rate: float, cause: int, until: date = START) -> Change:
    return Change((day - START).days * DAY + NOON, rate, cause, (until - START).days)


def billed(*changes: Change, yearly: bool = False) -> list[tuple[date, date, float, str]]:
    """(from, to, money to the cent, kind) of every row until LAST."""
    market = Market()
    billing = Billing(np.random.default_rng(1), market, calendar(market), (LAST - START).days)
    rows = list(billing.invoices(0, list(changes), yearly))
    day = calendar(market).day
    return [(day(row.start), day(row.end), round(row.amount, 2), row.kind) for row in rows]


def test_the_first_month_is_paid_by_its_days_and_every_later_one_on_its_first() -> None:
    rows = billed(on(date(2024, 9, 21), 30.0, STEP))
    assert rows == [
        (date(2024, 9, 21), date(2024, 10, 1), 10.0, "subscription"),
        (date(2024, 10, 1), date(2024, 11, 1), 31.0, "subscription"),
        (date(2024, 11, 1), date(2024, 12, 1), 30.0, "subscription"),
        (date(2024, 12, 1), date(2025, 1, 1), 31.0, "subscription"),
    ]


def test_more_seats_cost_the_difference_for_the_rest_of_the_month_and_fewer_give_it_back() -> None:
    rows = billed(on(date(2024, 12, 1), 30.0, STEP), on(date(2024, 12, 12), 45.0, SEATS))
    assert rows[1:] == [(date(2024, 12, 12), date(2025, 1, 1), 10.0, "invoice")]
    rows = billed(on(date(2024, 12, 1), 45.0, STEP), on(date(2024, 12, 12), 30.0, SEATS))
    assert rows[1:] == [(date(2024, 12, 12), date(2025, 1, 1), -10.0, "credit")]


def test_a_contract_of_a_year_is_paid_at_once_from_the_second_tier_on() -> None:
    rows = billed(on(date(2024, 3, 12), 30.0, STEP), on(date(2024, 5, 21), 330.0, STEP), yearly=True)
    assert rows[2:] == [
        (date(2024, 5, 1), date(2024, 6, 1), 31.0, "subscription"),
        (date(2024, 5, 21), date(2024, 6, 1), 110.0, "invoice"),
        (date(2024, 6, 1), date(2025, 5, 1), 3_674.0, "subscription"),  # 334 days of 11.00
    ]


def test_a_step_taken_back_returns_the_rest_and_the_old_price_is_asked_again() -> None:
    rows = billed(
        on(date(2024, 10, 1), 30.0, STEP), on(date(2024, 12, 2), 180.0, STEP), on(date(2024, 12, 22), 30.0, BACK)
    )
    assert [row[:3] for row in rows[3:]] == [
        (date(2024, 12, 2), date(2025, 1, 1), 150.0),
        (date(2024, 12, 22), date(2025, 1, 1), -50.0),
    ]
    assert rows[-1][3] in ("credit", "refund")


def test_who_pays_by_the_month_and_churns_stops_with_the_month() -> None:
    stopped = replace_second(on(date(2024, 11, 1), 0.0, STOP), 1_800)
    rows = billed(on(date(2024, 10, 1), 30.0, STEP), stopped)
    assert rows == [(date(2024, 10, 1), date(2024, 11, 1), 31.0, "subscription")]


def test_who_pays_by_the_year_and_churns_is_given_back_the_rest_of_it() -> None:
    rows = billed(on(date(2024, 3, 1), 300.0, STEP), on(date(2024, 12, 23), 0.0, STOP), yearly=True)
    assert rows == [
        (date(2024, 3, 1), date(2025, 3, 1), 3_650.0, "subscription"),
        (date(2024, 12, 23), date(2025, 3, 1), -680.0, "refund"),
    ]


def test_a_goodwill_credit_is_given_for_its_days_and_changes_no_price() -> None:
    rows = billed(on(date(2024, 12, 1), 40.0, STEP), on(date(2024, 12, 5), 5.0, CREDIT, until=date(2024, 12, 11)))
    assert rows[1:] == [(date(2024, 12, 5), date(2024, 12, 11), -1.0, "credit")]


def replace_second(change: Change, second: int) -> Change:
    return change._replace(second=change.second // DAY * DAY + second)


@pytest.fixture(scope="module", params=[False, True], ids=["by the month", "by the year"])
def growers(request: pytest.FixtureRequest) -> tuple[list[list[Change]], list[list[Row]]]:
    """Changes and rows of 300 mushrooms over two years, among whom much is taken back, credited and ended."""
    market = Market()
    moves = market.moves.copy()
    moves[MUSHROOM, :4, 4] += 0.02
    moves[MUSHROOM, range(4), range(4)] -= 0.02
    market = replace(market, moves=moves, step=market.step * 3, revoked=0.3, credit=0.3)
    path = Path(4, market, accounts_like([MUSHROOM] * 300, [3] * 300, np.arange(300), yearly=request.param))
    path.over(0, DAYS)
    billing = Billing(np.random.default_rng(1), market, calendar(market), DAYS)
    changes = path.lives.changes
    causes = {change.cause for each in changes for change in each}
    assert causes == {STEP, SEATS, BACK, STOP, CREDIT} or request.param
    return changes, [list(billing.invoices(0, each, request.param)) for each in changes]


def _run_rate_on(changes: list[Change], day: int) -> float:
    """The price at the end of a day less what is credited on it, money per 30 days."""
    priced = [change for change in changes if change.second < (day + 1) * DAY]
    rate = next((change.rate for change in reversed(priced) if change.cause != CREDIT), 0.0)
    return rate - sum(change.rate for change in priced if change.cause == CREDIT and change.until > day)


def test_on_every_day_the_rows_add_up_to_the_price(growers: tuple[list[list[Change]], list[list[Row]]]) -> None:
    for changes, rows in zip(*growers, strict=True):
        served = np.zeros(DAYS + 400)
        for row in rows:
            served[row.start : row.end] += row.amount / (row.end - row.start)
        price = np.array([_run_rate_on(changes, day) for day in range(DAYS)]) / 30
        assert np.abs(served[:DAYS] - price).max() < 1e-9


def test_in_the_raw_table_each_row_is_within_a_cent_of_that(
    growers: tuple[list[list[Change]], list[list[Row]]],
) -> None:
    for rows in growers[1]:
        due = [row.amount for row in sorted(rows, key=lambda row: row.booked) if round(row.amount * 100, 4) != 0]
        ids = accounts_like([0], [0], [0]).ids
        said = [float(amount) for amount in revenue_table(rows, ids, 0, START)["amount"].to_pylist()]
        booked = [amount for amount, cents in zip(due, said, strict=True) if not 0 <= cents - amount + 1e-6 < 0.01]
        assert not booked


def test_nobody_is_ever_given_more_than_was_paid(growers: tuple[list[list[Change]], list[list[Row]]]) -> None:
    for rows in growers[1]:
        table = revenue_table(rows, accounts_like([0], [0], [0]).ids, 0, START)
        assert min(np.cumsum([0, *table["amount"].to_pylist()])) >= 0


def test_no_day_is_sold_twice_and_nothing_is_charged_or_given_back_for_a_day_not_sold(
    growers: tuple[list[list[Change]], list[list[Row]]],
) -> None:
    for rows in growers[1]:
        served = np.zeros(DAYS + 400)  # a day
        for row in rows:
            stretch = served[row.start : row.end]
            sold = row.kind != "subscription"
            assert row.start < row.end
            assert ((stretch > 1e-9) == sold).all()
            stretch += row.amount / (row.end - row.start)
            assert (stretch > -1e-9).all()
            assert row.start * DAY <= row.booked < (row.start + 1) * DAY or not sold
