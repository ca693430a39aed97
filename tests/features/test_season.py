"""Season: what all accounts do in a week is no news of one of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from features.build import build_features
from features.rollup import roll_up
from features.season import season_at
from features.vendor import Vendor
from tests.features.histories import DAY, DEFINITIONS, History, account, at, event, spine, stay, warehouse

AS_OF = date(2024, 9, 1)
MIDNIGHT = at(AS_OF)
SEATS = ("seat_use_7d", "seat_use_28d", "seat_use_90d", "seat_use_life")
OLD = tuple(f"old{number}" for number in range(30))


def vendor(rest: int = 0) -> History:
    """30 accounts of a year, each with 4 users who come every day, and `young`, of 20 days, with 12 users of whom 6 do.
    In the last `rest` weeks every second of those who come stays away."""
    accounts = [*(account(name, MIDNIGHT - 365 * DAY) for name in OLD), account("young", MIDNIGHT - 20 * DAY)]
    lives = [(name, user, 91) for name in OLD for user in range(4)] + [("young", user, 20) for user in range(1, 7)]
    events = [
        event(MIDNIGHT - age * DAY, account_id=name, user_id=f"u{user}")
        for name, user, days in lives
        for age in range(1, days + 1)
        if age > 7 * rest or (user + age) % 2
    ]
    stays = [stay(MIDNIGHT - 365 * DAY, account_id=name, user_id=f"u{user}") for name in OLD for user in range(4)]
    stays += [stay(MIDNIGHT - 20 * DAY, account_id="young", user_id=f"u{user}") for user in range(12)]
    return History(accounts, events, [], stays)


def row_of(history: History, account_id: str, whole: Vendor | None = None, as_of: date = AS_OF) -> dict[str, Any]:
    with warehouse(history) as con:
        [row] = build_features(con, spine((account_id, as_of)), DEFINITIONS, vendor=whole).to_pylist()
    return dict(row)


def weeks_of(history: History, as_of: date = AS_OF) -> pa.Table:
    with warehouse(history) as con:
        roll_up(con, DEFINITIONS)
        return season_at(con, as_of)


def percents(history: History, as_of: date = AS_OF) -> list[int]:
    return [int(percent) for percent in weeks_of(history, as_of)["percent"].to_pylist()]


def test_a_holiday_of_all_accounts_is_not_told_of_one_as_a_decline() -> None:
    usual, holiday = (row_of(vendor(rest), "young") for rest in (0, 3))
    assert holiday["user_days_28d"] == usual["user_days_28d"] / 2 == 60
    assert [holiday[name] for name in SEATS] == pytest.approx([usual[name] for name in SEATS], rel=0.07)


def test_a_decline_of_one_account_is_told_of_it() -> None:
    calm, all_rest = vendor(), vendor(rest=3)
    own = [row for row in all_rest.events if row["account_id"] == "young"]
    others = [row for row in calm.events if row["account_id"] != "young"]
    usual, alone = row_of(calm, "young"), row_of(replace(calm, events=others + own), "young")
    assert [alone[name] for name in SEATS] == [usual[name] / 2 for name in SEATS]


def test_who_signs_up_within_the_weeks_makes_no_season() -> None:
    born = [account(f"new{number}", MIDNIGHT - 30 * DAY) for number in range(50)]
    used = [event(MIDNIGHT - age * DAY, account_id=row["account_id"]) for row in born for age in range(1, 30)]
    assert percents(vendor().plus(History(born, used))) == percents(vendor()) == [100] * 12


def test_internal_accounts_make_no_season() -> None:
    ours = [account(f"ours{number}", MIDNIGHT - 400 * DAY, is_internal=True) for number in range(50)]
    used = [event(MIDNIGHT - age * DAY, account_id=row["account_id"]) for row in ours for age in range(1, 8)]
    assert percents(vendor().plus(History(ours, used))) == [100] * 12


def test_what_was_not_known_by_as_of_makes_no_season() -> None:
    late = [
        event(MIDNIGHT - 3 * DAY, account_id=name, user_id=f"late{user}", received_at=MIDNIGHT)
        for name in OLD
        for user in range(20)
    ]
    holiday = vendor(rest=1)
    assert percents(holiday.plus(History([], late))) == percents(holiday) == [53, *[100] * 11]
    assert percents(holiday.plus(History([], late)), AS_OF + DAY)[0] == 100


def test_growth_makes_no_season() -> None:
    grown = [
        event(MIDNIGHT - age * DAY, account_id=name, user_id=f"more{user}")
        for name in OLD
        for user in range(4)
        for age in range(1, 15)
    ]
    assert percents(vendor().plus(History([], grown))) == [100] * 12


def test_a_handful_of_users_make_no_season() -> None:
    one = History([account()], [event(MIDNIGHT - age * DAY) for age in range(8, 85)])
    assert percents(one) == [88, *[100] * 11]  # (0 + 50) / (7 + 50): its only user stayed away for a week


def test_a_request_of_a_later_day_is_set_beside_the_weeks_that_are_known() -> None:
    history = vendor(rest=3)
    whole = Vendor(season=weeks_of(history))
    assert whole.later(0).season.equals(whole.season)
    later = {row["week"]: row["percent"] for row in whole.later(9).season.to_pylist()}
    assert (sorted(later), later[2], later[4], later[5]) == ([*range(2, 13)], 53, 53, 100)
    assert whole.later(-1).season.num_rows == 0
    told = [row_of(history.only("young"), "young", whole.later(days))["seat_use_28d"] for days in (0, -1)]
    assert told[0] == row_of(history, "young")["seat_use_28d"] > told[1]
