"""Missing is not zero: what the vendor could not yet see is null, what it could see and did not happen is 0."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from features.build import build_features
from features.catalogue import CATALOGUE, Definitions
from tests.features.histories import DAY, DEFINITIONS, History, account, at, event, invoice, spine, warehouse

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


@pytest.mark.parametrize("feature", [f for f in CATALOGUE if f.since], ids=lambda feature: feature.name)
def test_a_window_that_lies_back_is_told_from_the_day_the_account_is_older_than_it(feature: Any) -> None:
    def told(age_days: int) -> Any:
        return features_of(History([account(created_at=MIDNIGHT - age_days * DAY)]))[feature.name]

    assert (told(feature.since), told(feature.since + 1)) == (None, 0)


def test_an_old_account_that_did_nothing_has_zeros_not_nulls() -> None:
    row = features_of(History([account()]))
    nulls = {name for name, value in row.items() if value is None}
    assert nulls == {feature.name for feature in CATALOGUE if feature.empty == "NULL" or feature.category} - {
        *("users_trend", "events_trend", "headroom", "run_rate_change_90d", "booked_change_90d", "stage")
    }
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


def test_a_user_in_two_accounts_is_new_in_each() -> None:
    shared = [event(MIDNIGHT - 200 * DAY, account_id="a2"), event(MIDNIGHT - 5 * DAY, account_id="a1")]
    row = features_of(History([account("a1"), account("a2")], shared))
    assert (row["users_life"], row["new_users_28d"], row["days_since_last_new_user"]) == (1, 1, 5)


def test_a_refund_is_money_but_no_invoice() -> None:
    row = features_of(History([account()], [], [invoice("2024-02-20", -50)]))
    assert (row["booked_28d"], row["credits_90d"], row["invoices_life"], row["largest_invoice"]) == (-50, 50, 0, 0)
    assert (row["days_since_last_invoice"], row["invoice_gap"], row["overdue"]) == (None, None, None)


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
