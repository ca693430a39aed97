"""Missing is not zero: what the vendor could not yet see is null, what it could see and did not happen is 0."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from features.build import build_features
from features.catalogue import CATALOGUE, Definitions
from tests.features.histories import (
    DAY,
    DEFINITIONS,
    TICK,
    History,
    account,
    at,
    event,
    invoice,
    spine,
    stay,
    warehouse,
)

AS_OF = date(2024, 3, 1)
MIDNIGHT = at(AS_OF)


def features_of(history: History, definitions: Definitions = DEFINITIONS) -> dict[str, Any]:
    with warehouse(history) as con:
        [row] = build_features(con, spine(("a1", AS_OF)), definitions).to_pylist()
    return dict(row)


def test_an_account_signed_up_yesterday_has_no_past_windows_yet() -> None:
    row = features_of(History([account(created_at="2024-02-29T23:59:59")], [event("2024-02-29T23:59:59.5")]))
    assert {name for name, value in row.items() if value is None} >= {f.name for f in CATALOGUE if f.since}
    assert (row["tenure_days"], row["events_28d"], row["events_prev_28d"], row["events_trend"]) == (1, 1, None, None)
    assert (row["run_rate"], row["run_rate_28d_ago"], row["run_rate_change_90d"]) == (0, None, None)


@pytest.mark.parametrize("since", sorted({f.since for f in CATALOGUE if f.since}))
def test_a_window_that_lies_back_is_told_from_the_day_the_account_is_older_than_it(since: int) -> None:
    accounts = [account(f"a{age}", MIDNIGHT - age * DAY) for age in (since, since + 1)]
    with warehouse(History(accounts)) as con:
        rows = spine(*((row["account_id"], AS_OF) for row in accounts))
        young, old = sorted(build_features(con, rows, DEFINITIONS).to_pylist(), key=lambda row: row["tenure_days"])
    names = [feature.name for feature in CATALOGUE if feature.since == since]
    assert {young[name] for name in names} == {None}
    assert {old[name] for name in names} == {0}


def test_an_old_account_that_did_nothing_has_zeros_not_nulls() -> None:
    row = features_of(History([account()]))
    nulls = {name for name, value in row.items() if value is None}
    could_be = {feature.name for feature in CATALOGUE if feature.none}
    assert nulls <= could_be
    assert not nulls & {feature.name for feature in CATALOGUE if feature.since or feature.unit == "log ratio"}
    assert {"days_since_last_event", "top_user_share_28d", "days_since_last_invoice", "peers_paying"} <= nulls
    counts = {name: value for name, value in row.items() if name not in nulls and isinstance(value, float)}
    assert {name for name, value in counts.items() if value} == {"tenure_days", "headroom"}


def test_only_features_that_say_so_are_ever_null() -> None:
    young = features_of(History([account(created_at=MIDNIGHT - DAY)]))
    old = features_of(History([account()]))
    for feature in CATALOGUE:
        if feature.null_means == "never null":
            assert young[feature.name] is not None, feature.name
            assert old[feature.name] is not None, feature.name


def test_use_without_named_users_counts_as_use_but_not_as_users() -> None:
    row = features_of(History([account()], [event("2024-02-28", user_id=None), event("2024-02-27", user_id=None)]))
    assert (row["events_28d"], row["active_days_28d"], row["users_28d"], row["users_life"]) == (2, 2, 0, 0)
    assert (row["top_user_share_28d"], row["events_per_user_28d"], row["days_since_last_new_user"]) == (None,) * 3


def test_seats_are_null_until_the_first_user_is_told_and_zero_once_all_have_left() -> None:
    used = [event("2024-02-28")]
    untold = features_of(History([account()], used))
    left = features_of(History([account()], used, [], [stay("2024-01-01", "2024-02-01")]))
    assert (untold["seats"], untold["seats_28d_ago"], untold["seat_use_28d"], untold["seat_use_life"]) == (None,) * 4
    assert (left["seats"], left["seats_28d_ago"], left["seats_90d_ago"]) == (0, 0, 0)
    assert (left["seat_use_7d"], left["seat_use_life"]) == (None, 1 / 31)


def test_a_user_with_two_stays_has_one_seat_for_as_long_as_either_lasts() -> None:
    born = account(created_at="2024-01-20")
    roles = [stay("2024-02-01", role="member"), stay("2024-02-10", role="billing")]
    promoted = [stay("2024-02-01T09:00:00", "2024-02-01T10:00:00"), stay("2024-02-01T10:00:00", role="admin")]
    twice = [stay("2024-02-01", "2024-02-20"), stay("2024-02-05", "2024-02-10"), stay("2024-02-25")]
    for stays, seats, days in ((roles, 1, 29), (promoted, 1, 29), (twice, 1, 19 + 5), (twice[:2], 0, 19)):
        row = features_of(History([born], [event("2024-02-10")], [], stays))
        assert (row["seats"], row["seat_use_life"]) == (seats, 1 / days)


def test_a_user_told_as_there_and_later_as_gone_has_one_seat_until_that_day() -> None:
    told = [stay("2024-02-01T09:00:00"), stay("2024-02-01T09:00:00", "2024-02-20"), stay("2024-02-01", user_id="u2")]
    row = features_of(History([account(created_at="2024-01-20")], [event("2024-02-10")], [], told))
    assert (row["seats"], row["seats_28d_ago"], row["seat_use_life"]) == (1, 2, 1 / (19 + 29))
    assert features_of(History([account()], [], [], [*told[:2], stay("2024-03-01", user_id="u3")]))["seats"] == 0


def test_a_user_in_two_accounts_is_new_in_each() -> None:
    shared = [event(MIDNIGHT - 200 * DAY, account_id="a2"), event(MIDNIGHT - 5 * DAY, account_id="a1")]
    row = features_of(History([account("a1"), account("a2")], shared))
    assert (row["users_life"], row["new_users_28d"], row["days_since_last_new_user"]) == (1, 1, 5)


def test_a_refund_is_money_but_no_invoice() -> None:
    row = features_of(History([account()], [], [invoice("2024-02-20", -50)]))
    assert (row["booked_28d"], row["credits_90d"], row["invoices_life"], row["largest_invoice"]) == (-50, 50, 0, 0)
    assert (row["days_since_last_invoice"], row["invoice_gap"], row["overdue"]) == (None, None, None)


def test_windows_of_booked_revenue_meet_without_a_gap_or_an_overlap() -> None:
    ages = (1, 28, 29, 90, 91, 180, 181, 270, 271, 360, 361)
    row = features_of(History([account()], [], [invoice(MIDNIGHT - age * DAY, 2**k) for k, age in enumerate(ages)]))
    spans = {"28d": 2, "90d": 4, "90_180d": 6, "180_270d": 8, "270_360d": 10, "life": 11}
    first = {"90_180d": 4, "180_270d": 6, "270_360d": 8}
    for name, end in spans.items():
        assert row[f"booked_{name}"] == sum(2**k for k in range(first.get(name, 0), end)), name


def test_every_event_name_of_a_kind_counts_to_the_instant_its_window_opens() -> None:
    opens = MIDNIGHT - 28 * DAY
    moments = ((opens, "limit_hit"), (opens, "seat_refused"), (opens - TICK, "limit_hit"))
    row = features_of(History([account()], [event(moment, name) for moment, name in moments]))
    assert (row["limit_hits_28d"], row["limit_hits_90d"]) == (2, 3)


def test_daily_cents_are_invoices_a_day_apart() -> None:
    row = features_of(History([account()], [], [invoice(MIDNIGHT - age * DAY, "0.5") for age in (3, 4, 5)]))
    assert (row["largest_invoice"], row["invoices_90d"], row["invoice_gap"], row["overdue"]) == (0.5, 3, 1, 3)


def test_two_invoices_on_one_day_have_no_gap_to_be_overdue_by() -> None:
    row = features_of(History([account()], [], [invoice("2024-02-20", 5), invoice("2024-02-20", 5)]))
    assert (row["invoice_gap"], row["overdue"]) == (0, None)


def test_a_vendor_that_names_no_events_still_gets_every_column() -> None:
    row = features_of(History([account()], [event("2024-02-28", "api_called")]), Definitions.from_params({}))
    assert (row["events_life"], row["specialist_life"], row["specialist_breadth_life"]) == (1, 0, 0)


def test_an_event_name_with_a_quote_in_it_keeps_its_meaning() -> None:
    definitions = Definitions.from_params({"features": {"specialist": ["boss's report"]}})
    row = features_of(History([account()], [event("2024-02-28", "boss's report")]), definitions)
    assert row["specialist_life"] == 1
