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
from tests.features.oracle import portrait

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


@pytest.mark.parametrize(
    ("signed_up", "known", "moves"),
    [
        (85, {}, True),
        (84, {}, False),
        (400, {"is_internal": True}, False),
        (400, {"closed_at": MIDNIGHT - DAY / 2}, False),
        (400, {"closed_at": MIDNIGHT + DAY}, True),
    ],
)
def test_the_panel_is_who_was_there_before_the_weeks_and_still_is(
    signed_up: int, known: dict[str, Any], moves: bool
) -> None:
    """Fifty accounts that stay away in the last week move the season if they are of the panel, else not."""
    more = [account(f"more{number}", MIDNIGHT - signed_up * DAY, **known) for number in range(50)]
    used = [event(MIDNIGHT - age * DAY, account_id=row["account_id"]) for row in more for age in range(8, 85)]
    assert percents(vendor()) == [100] * 12
    found = percents(vendor().plus(History(more, used)))
    assert (found[0] < 80, found[1:]) == (moves, [100] * 11)


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


@pytest.mark.parametrize(("rest", "told"), [(0, 100), (4, 50)])
def test_a_holiday_of_accounts_that_grow_is_told_whole(rest: int, told: int) -> None:
    """Week by week a sixtieth more come, beside those of a vendor's; beside its own July half of them are 55 %."""
    calm = vendor()
    more = [
        event(MIDNIGHT - age * DAY, account_id=OLD[user % 30], user_id=f"more{user}")
        for age in range(1, 85)
        for user in range(2 * ((84 - age) // 7))
    ]
    events = [
        row
        for row in calm.events + more
        if (days := (MIDNIGHT - row["occurred_at"]).days) > 7 * rest or (int(row["user_id"].lstrip("moreu")) + days) % 2
    ]
    found = percents(replace(calm, events=events))
    assert found[:rest] == pytest.approx([told] * rest, abs=2)
    assert found[rest:] == pytest.approx([100] * (12 - rest), abs=2)


def test_a_handful_of_users_make_no_season() -> None:
    few = [account(f"a{number}") for number in range(10)]
    used = [event(MIDNIGHT - age * DAY, account_id=one["account_id"]) for one in few for age in range(8, 85, 7)]
    assert percents(History(few, used)) == [83, *[100] * 11]  # (0 + 50) / (10 + 50): ten users stayed away for a week


def test_a_week_in_which_nobody_could_use_it_counts_a_quarter() -> None:
    outage = vendor()
    kept = [row for row in outage.events if row["occurred_at"] < MIDNIGHT - 7 * DAY]
    more = [
        event(MIDNIGHT - age * DAY, account_id=name, user_id=f"more{user}")
        for name in OLD
        for user in range(20)
        for age in range(8, 85)
    ]
    history = replace(outage, events=kept + more)
    assert percents(history) == [25, *[100] * 11]
    assert row_of(history, "young")["seat_use_7d"] == 0


def test_the_decline_of_one_of_the_panel_is_told_of_it_and_of_nobody_else() -> None:
    calm = vendor()
    large = [
        event(MIDNIGHT - age * DAY, account_id="old0", user_id=f"u{user}")
        for user in range(300)
        for age in range(1, 85)
        if age > 28 or user % 2
    ]
    seats = [stay(MIDNIGHT - 365 * DAY, account_id="old0", user_id=f"u{user}") for user in range(4, 300)]
    declined = calm.plus(History([], large, [], seats))
    assert percents(declined) == [100] * 12
    assert row_of(declined, "old0")["seat_use_28d"] == pytest.approx(0.5, abs=0.02)
    assert [row_of(declined, "young")[name] for name in SEATS] == [row_of(calm, "young")[name] for name in SEATS]


def test_accounts_that_close_make_no_season() -> None:
    calm = vendor()
    gone = {name: {"closed_at": MIDNIGHT - 28 * DAY} for name in OLD[:10]}
    accounts = [row | gone.get(row["account_id"], {}) for row in calm.accounts]
    events = [
        row
        for row in calm.events
        if row["account_id"] not in gone or row["occurred_at"] < gone[row["account_id"]]["closed_at"]
    ]
    assert percents(replace(calm, accounts=accounts, events=events)) == [100] * 12


@pytest.mark.parametrize("rest", [0, 2, 3])
def test_a_season_that_moves_features_is_recomputed_in_plain_python(rest: int) -> None:
    late = [event(MIDNIGHT - age * DAY, account_id="old3", user_id="u9", received_at=MIDNIGHT) for age in range(1, 40)]
    history = vendor(rest).plus(History([], late, [], [stay("2024-08-20", "2024-08-29", "young", user_id="u99")]))
    for as_of in (AS_OF, AS_OF + 5 * DAY):
        for name in ("old3", "young"):
            said, told = row_of(history, name, as_of=as_of), portrait(history, name, as_of, DEFINITIONS)
            assert told is not None
            for one in SEATS:
                assert said[one] == pytest.approx(float(told[one]), rel=1e-12), one  # type: ignore[arg-type]


def test_a_request_of_a_later_day_is_set_beside_the_weeks_that_are_known() -> None:
    history = vendor(rest=3)
    whole = Vendor(season=weeks_of(history))
    assert whole.later(0).season.equals(whole.season)
    later = {row["week"]: row["percent"] for row in whole.later(9).season.to_pylist()}
    assert (sorted(later), later[2], later[4], later[5]) == ([*range(2, 13)], 53, 53, 100)
    assert [row["week"] for row in whole.later(3).season.to_pylist()] == [*range(1, 13)]
    assert [row["week"] for row in whole.later(4).season.to_pylist()] == [*range(2, 13)]
    assert whole.later(-1).season.num_rows == 0
    young = history.only("young")
    told = [row_of(young, "young", whole.later(days))["seat_use_28d"] for days in (0, -1)]
    assert told[0] == row_of(history, "young")["seat_use_28d"] > told[1]
    next_week = AS_OF + 7 * DAY
    asked, blind = (row_of(young, "young", one, next_week)["seat_use_28d"] for one in (whole.later(7), Vendor()))
    assert asked == pytest.approx(blind * 27 / (7 + 20 * 0.53))  # 20 of its 27 days lie in the slack weeks
    with pytest.raises(ValueError, match=r"as of 2024-09-08, beside a vendor as of 2024-09-01: .* by Vendor\.later"):
        row_of(young, "young", whole, next_week)
