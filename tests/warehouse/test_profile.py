"""The profile of a warehouse, each figure against a number worked out by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from tests.warehouse.typed_views import Row, did, paid, signed_up, warehouse_of
from warehouse.profile import Lateness, Profile, concentration_of, profile
from warehouse.volume import Days, OddDay, judge_days

MONDAY = date(2024, 1, 1)


def profiled(**rows: list[Row]) -> Profile:
    with warehouse_of(**rows) as con:
        return profile(con)


def test_rows_clocks_and_who_has_what() -> None:
    found = profiled(
        accounts=[signed_up("a1", industry="retail"), signed_up("a2"), signed_up("own", is_internal=True)],
        events=[
            did("a1", "2024-02-01 09:00", "login", received_at="2024-02-09 00:00"),
            did("a1", "2024-02-02 09:00", "report_built", user_id="u1"),
            did("a2", "2024-02-03 09:00"),
            did("a2", "2024-02-05 09:00"),
        ],
        revenue=[paid("a1", "2024-03-01", 100)],
    )
    assert (found.accounts, found.internal, found.with_events, found.with_revenue) == (3, 1, 2, 1)
    events = found.table("events")
    assert (events.rows, events.accounts) == (4, 2)
    assert events.clocks == {
        "occurred_at": (datetime(2024, 2, 1, 9), datetime(2024, 2, 5, 9)),
        "received_at": (datetime(2024, 2, 2, 9), datetime(2024, 2, 9)),
    }
    assert events.filled["user_id"] == 0.25
    assert found.table("accounts").filled["industry"] == 0.3333
    assert found.table("touches").clocks == {}
    named = [(e.name, e.events, e.accounts, e.first.day, e.last.day) for e in found.event_names]
    assert named == [("login", 3, 2, 1, 5), ("report_built", 1, 1, 2, 2)]


def test_an_empty_warehouse_has_a_profile_too() -> None:
    found = profiled(accounts=[signed_up("a1")])
    assert (found.lateness, found.days, found.concentration, found.specialists) == (None, None, None, ())


def lateness(*hours: float) -> Lateness:
    """Of one event an entry, received so many hours after it happened."""
    at = datetime(2024, 3, 1)
    events = [did("a1", str(at), received_at=str(at + timedelta(hours=late))) for late in hours]
    found = profiled(accounts=[signed_up("a1")], events=events).lateness
    assert found is not None
    return found


def test_lateness_of_a_hundred_events() -> None:
    late = lateness(*[0.0] * 90, *[2.0] * 5, *[36.0] * 3, *[192.0] * 2)
    assert (late.events, late.late, late.early, late.one_clock) == (100, 0.05, 0.0, False)
    # the 95 % point lies a twentieth of the way from the 95th event (2 hours) to the 96th (36 hours): 3.7 hours
    assert (late.p50, late.p95, late.p99, late.longest) == (0.0, 0.1542, 8.0, 8.0)
    assert {said: count for said, count in late.parts.items() if count} == {
        "at once": 90,
        "within a day": 5,
        "1 to 2 days": 3,
        "7 to 30 days": 2,
    }


def test_events_without_a_second_clock_are_not_called_punctual() -> None:
    assert lateness(0, 0, 0).one_clock
    assert not lateness(0, 0, 1).one_clock


def test_a_device_that_runs_fast_is_seen() -> None:
    late = lateness(-1, -1, 0, 0)
    assert (late.early, late.late, late.parts["before it happened"]) == (0.5, 0.0, 2)


def test_one_whale_and_nine_minnows() -> None:
    accounts = [signed_up(f"a{n}") for n in range(12)] + [signed_up("own", is_internal=True)]
    revenue = [paid("a0", "2024-02-01", 500), paid("a0", "2024-03-01", 410)]
    revenue += [paid(f"a{n}", "2024-02-01", 10) for n in range(1, 10)]
    revenue += [paid("a10", "2024-02-01", 50), paid("a10", "2024-02-02", -50), paid("own", "2024-02-01", 9_000)]
    held = profiled(accounts=accounts, revenue=revenue).concentration
    assert held is not None
    assert (held.paying, held.total) == (10, 1_000.0)  # neither the refunded one nor our own account
    assert held.top == {1: 0.91, 5: 0.91, 10: 0.91, 20: 0.92, 50: 0.95}
    assert held.curve[:3] == ((0.0, 0.0), (0.1, 0.91), (0.2, 0.92))
    assert held.curve[-1] == (1.0, 1.0)


def test_the_curve_of_many_accounts_stays_short() -> None:
    held = concentration_of([float(n) for n in range(5_000, 0, -1)])
    assert len(held.curve) == 101
    shares = [y for _, y in held.curve]
    assert shares == sorted(shares)
    assert held.top[10] == pytest.approx(0.19, abs=1e-4)  # of a straight line: 1 - 0.9 ** 2


def weeks(count: int, weekday: int, weekend: int) -> dict[date, int]:
    days = [MONDAY + timedelta(days=n) for n in range(7 * count)]
    return {day: weekday if day.weekday() < 5 else weekend for day in days}


def judged(counts: dict[date, int]) -> Days:
    there = {day: count for day, count in sorted(counts.items()) if count}
    return judge_days(list(there), list(there.values()))


def test_a_lost_wednesday_is_missed_and_a_closed_weekend_is_not() -> None:
    lost = date(2024, 2, 7)
    days = judged(weeks(10, weekday=30, weekend=0) | {lost: 0})
    assert days.missing == (lost,)
    assert days.quiet == 18  # nine whole weekends; the tenth comes after the last event
    assert days.odd == ()
    assert (days.first, days.last) == (MONDAY, date(2024, 3, 8))


def test_a_day_on_which_only_wrong_clocks_left_events_is_missed_too() -> None:
    lost = date(2024, 2, 7)
    days = judged(weeks(10, weekday=1_000, weekend=400) | {lost: 9})
    assert (days.missing, days.odd, days.quiet) == ((lost,), (), 0)
    assert judged(weeks(10, weekday=1_000, weekend=400) | {lost: 60}).missing == ()


def test_an_outage_of_six_weeks_is_missed_to_its_last_day() -> None:
    gone = [date(2024, 4, 1) + timedelta(days=n) for n in range(42)]
    days = judged(weeks(30, weekday=30, weekend=10) | dict.fromkeys(gone, 0))
    assert days.missing == tuple(gone)


def test_few_events_may_stay_away_by_chance() -> None:
    assert judged(weeks(10, weekday=2, weekend=1) | {date(2024, 2, 7): 0}).missing == ()


def test_a_day_counted_three_times_is_odd_and_growth_is_not() -> None:
    counts = {day: 100 + 2 * (day - MONDAY).days for day in weeks(20, 1, 1)}
    assert judged(counts).odd == ()
    twice = date(2024, 3, 13)
    usual = counts[twice]
    # of the same weekday one to four weeks later there are 14, 28, 42 and 56 events more: in the middle 35
    assert judged(counts | {twice: 3 * usual}).odd == (OddDay(twice, 3 * usual, usual + 35.0),)


def test_a_launch_or_the_first_weeks_of_a_vendor_are_no_odd_days() -> None:
    quiet_start = {day: 10 if (day - MONDAY).days < 60 else 200 for day in weeks(20, 1, 1)}
    assert (judged(quiet_start).odd, judged(quiet_start).missing) == ((), ())
    empty_start = {day: count for day, count in quiet_start.items() if day != date(2024, 1, 4)}
    assert judged(empty_start).missing == ()


def test_the_last_day_is_judged_by_those_before() -> None:
    counts = weeks(10, weekday=300, weekend=100)
    last = max(counts)
    assert judged(counts | {last: 20}).odd == (OddDay(last, 20, 100.0),)


def test_a_few_events_dated_years_before_all_others_do_not_stretch_the_range() -> None:
    counts = weeks(10, weekday=300, weekend=100)
    days = judged(counts | {date(2015, 6, 1): 3})
    assert (days.first, days.outside, days.missing) == (MONDAY, 3, ())
    assert sum(days.counts) == sum(counts.values())


def vendor() -> tuple[list[Row], list[Row], list[Row]]:
    """100 accounts of 1 January. 20 call the API on day 30, of whom 10 pay on day 60; 8 of the other 80 do. Ten more
    things are told apart: `tour` is done by 20 on day 1, `export` by all, `rare` by 19."""
    accounts = [signed_up(f"a{n:02}", "2024-01-01") for n in range(100)]
    events = [did(f"a{n:02}", "2024-01-01 09:00", "export") for n in range(100)]
    events += [did(f"a{n:02}", "2024-01-31 08:00", "api_called") for n in range(20)]
    events += [did(f"a{n:02}", "2024-01-02 08:00", "tour") for n in range(20)]
    events += [did(f"a{n:02}", "2024-01-31 08:00", "rare") for n in range(19)]
    revenue = [paid(f"a{n:02}", "2024-03-01", 100) for n in (*range(10), *range(20, 28))]
    return accounts, events, revenue


def test_what_few_take_up_late_and_pay_after_is_suggested_with_its_evidence() -> None:
    accounts, events, revenue = vendor()
    found = profiled(accounts=accounts, events=events, revenue=revenue).specialists
    assert [one.name for one in found] == ["api_called"]
    one = found[0]
    assert (one.accounts, one.share, one.days) == (20, 0.2, 30.0)
    assert (one.later, one.others, one.ratio) == (0.5, 0.1, 5.0)


def test_who_paid_before_it_took_something_up_is_no_evidence_for_it() -> None:
    accounts, events, _ = vendor()
    revenue = [paid(f"a{n:02}", "2024-01-15", 100) for n in range(10)]
    assert profiled(accounts=accounts, events=events, revenue=revenue).specialists == ()


def test_staying_long_enough_to_try_everything_is_no_evidence_either() -> None:
    """Accounts that stay to day 30 pay alike, whether they take something up then; the others have closed before."""
    accounts = [signed_up(f"a{n:02}", "2024-01-01") for n in range(40)]
    accounts += [signed_up(f"b{n:02}", "2024-01-01", closed_at="2024-01-10 00:00") for n in range(60)]
    events = [did(str(row["account_id"]), "2024-01-01 09:00", "export") for row in accounts]
    events += [did(f"a{n:02}", "2024-01-31 08:00", "api_called") for n in range(20)]
    revenue = [paid(f"a{n:02}", "2024-03-01", 100) for n in (*range(10), *range(20, 30))]
    assert profiled(accounts=accounts, events=events, revenue=revenue).specialists == ()
