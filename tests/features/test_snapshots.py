"""Who is scored at which date, and why others are not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pytest

from features.snapshots import Population, SnapshotParams, data_end, everyone, last_as_of, take_snapshots
from tests.features.histories import History, Row, account, event, invoice, warehouse
from warehouse.errors import DataError

SEEN_UNTIL = event("2024-03-31T23:59:59", account_id="seen")  # so the data ends at 2024-04-01


def taken(
    accounts: Sequence[Row], params: SnapshotParams | None = None, events: Sequence[Row] = (SEEN_UNTIL,)
) -> tuple[list[tuple[str, str]], Population]:
    with warehouse(History(accounts, events)) as con:
        spine, population = take_snapshots(con, params or SnapshotParams())
    return [(row["account_id"], row["as_of"].isoformat()) for row in spine.to_pylist()], population


def dates(accounts: Sequence[Row], params: SnapshotParams | None = None) -> list[str]:
    return [day for _, day in taken(accounts, params)[0]]


def test_an_account_is_taken_on_every_first_of_the_month_from_a_week_of_age() -> None:
    assert dates([account(created_at="2024-01-10T18:00")]) == ["2024-02-01", "2024-03-01", "2024-04-01"]
    assert dates([account(created_at="2024-01-25T18:00")]) == ["2024-02-01", "2024-03-01", "2024-04-01"]
    assert dates([account(created_at="2024-01-26T00:00")]) == ["2024-03-01", "2024-04-01"]


def test_a_sign_up_on_the_first_of_a_month_opens_the_grid_but_is_not_in_it() -> None:
    rows, population = taken([account(created_at="2024-02-01")])
    assert rows == [("a1", "2024-03-01"), ("a1", "2024-04-01")]
    assert population == Population(2, {})


def test_the_grid_can_be_coarser_start_later_and_stop_where_tracking_stopped() -> None:
    old = [account(created_at="2023-10-05")]
    assert dates(old, SnapshotParams(every_months=3)) == ["2023-11-01", "2024-02-01"]
    assert dates(old, SnapshotParams(first=date(2024, 2, 2))) == ["2024-03-01", "2024-04-01"]
    assert dates(old, SnapshotParams(until=date(2024, 1, 1))) == ["2023-11-01", "2023-12-01", "2024-01-01"]
    assert dates(old, SnapshotParams(until=date(2023, 12, 31))) == ["2023-11-01", "2023-12-01"]


def test_whoever_is_out_is_counted_by_reason() -> None:
    rows, population = taken(
        [
            account("in", "2024-01-10"),
            account("ours", "2024-01-10", is_internal=True),
            account("gone", "2024-01-10", closed_at="2024-02-29T10:00"),
            account("young", "2024-02-25"),
        ]
    )
    assert rows == [
        *(("gone", "2024-02-01"), ("in", "2024-02-01"), ("in", "2024-03-01"), ("in", "2024-04-01")),
        ("young", "2024-04-01"),
    ]
    assert population.out == {"closed": 2, "internal": 3, "younger than 7 days": 1}
    assert population.line() == "5 snapshots in; out: 2 closed, 3 internal, 1 younger than 7 days"


@pytest.mark.parametrize(("told", "counted"), [(9, 3), (8, 0)])
def test_who_is_not_said_to_be_a_customer_where_most_are_is_scored_and_neither_taught_nor_judged(
    told: int, counted: int
) -> None:
    """Of ten accounts nine say that they are customers; of nine, eight do: nothing can be read into silence then."""
    known = [account(f"known-{number}", "2024-01-10") for number in range(told)]
    quiet = account("quiet", "2024-01-10", is_internal=None)
    rows, population = taken([*known, quiet])
    assert population.out.get("internal or not is unknown", 0) == counted
    assert ("quiet" in {name for name, _ in rows}) == (not counted)
    with warehouse(History([*known, quiet])) as con:
        assert "quiet" in everyone(con, date(2024, 3, 1))["account_id"].to_pylist()


def test_an_account_that_closes_on_the_day_is_still_taken_that_day() -> None:
    assert dates([account(created_at="2024-01-10", closed_at="2024-03-01T00:00")]) == ["2024-02-01", "2024-03-01"]
    assert dates([account(created_at="2024-01-10", closed_at="2024-02-29T23:59:59")]) == ["2024-02-01"]


def test_every_night_everyone_open_is_scored_whatever_their_age() -> None:
    accounts = [
        account("z-day-old", "2024-02-29T23:00"),
        account("not-yet", "2024-03-01T00:00"),
        account("old", "2020-01-01", closed_at="2024-03-01T00:00"),
        account("gone", "2020-01-01", closed_at="2024-02-29T23:59:59"),
        account("ours", "2020-01-01", is_internal=True),
    ]
    with warehouse(History(accounts)) as con:
        table = everyone(con, date(2024, 3, 1))
    assert table.to_pylist() == [
        {"account_id": name, "as_of": date(2024, 3, 1)} for name in ("old", "z-day-old")
    ]  # sorted
    assert str(table.schema.field("as_of").type) == "date32[day]"


@pytest.mark.parametrize(
    ("history", "end"),
    [
        (History([account(created_at="2024-01-31T23:59:59")]), date(2024, 2, 1)),
        (History([account()], [event("2024-01-05", received_at="2024-02-02T00:00")]), date(2024, 2, 3)),
        (History([account()], [event("2024-02-09", received_at="2024-02-02")]), date(2024, 2, 10)),
        (History([account()], [], [invoice("2024-02-28", 5, period_end="2025-02-28")]), date(2024, 2, 29)),
    ],
    ids=["a sign-up", "an event heard of late", "an event stamped ahead", "an invoice, not the year it pays for"],
)
def test_the_data_end_at_the_midnight_after_the_last_fact_was_known(history: History, end: date) -> None:
    with warehouse(history) as con:
        assert data_end(con) == last_as_of(con, SnapshotParams()) == end
        assert last_as_of(con, SnapshotParams(until=date(2023, 6, 1))) == date(2023, 6, 1)
        assert last_as_of(con, SnapshotParams(until=date(2030, 1, 1))) == end


def test_a_warehouse_without_accounts_says_so() -> None:
    with warehouse(History(accounts=())) as con:
        with pytest.raises(DataError, match="no account"):
            data_end(con)
        with pytest.raises(DataError, match="no account"):
            take_snapshots(con, SnapshotParams())
