"""Run-rate, the ladder and the stages of the journey, case by case."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from features.build import build_features
from features.catalogue import Definitions, fingerprint
from features.journey import STAGES, evidence
from features.revenue import Tiers
from tests.features.histories import DAY, DEFINITIONS, History, Row, account, at, event, invoice, spine, warehouse
from warehouse.errors import ContractBroken, ParamsError

AS_OF = date(2024, 3, 1)
MIDNIGHT = at(AS_OF)


def features_at(history: History, *days: date) -> list[dict[str, Any]]:
    with warehouse(history) as con:
        rows = build_features(con, spine(*(("a1", day) for day in days)), DEFINITIONS).to_pylist()
    return list(rows)


def test_a_monthly_invoice_of_60_is_a_run_rate_of_62_07_while_it_is_served() -> None:
    paid = invoice("2024-02-01", 60, period_start="2024-02-01", period_end="2024-03-01")
    days = [date(2024, 2, 1), date(2024, 2, 2), date(2024, 2, 29), AS_OF, date(2024, 3, 2), date(2024, 3, 29)]
    rows = features_at(History([account()], [], [paid]), *days)
    served = pytest.approx(60 * 30 / 29, abs=1e-6)
    assert [row["run_rate"] for row in rows] == [0, served, served, served, 0, 0]
    assert rows[-1]["run_rate_28d_ago"] == served  # 2024-02-29, the last day served


def test_a_one_off_purchase_is_spread_over_90_days() -> None:
    history = History([account()], [], [invoice("2024-03-01T15:00", 90)])
    rows = features_at(history, *(AS_OF + k * DAY for k in (1, 90, 91)))
    assert [row["run_rate"] for row in rows] == [30, 30, 0]


def test_a_period_within_one_day_is_served_on_that_day_alone() -> None:
    paid = invoice("2024-02-29T09:00", 10, period_start="2024-02-29T09:00", period_end="2024-02-29T10:00")
    rows = features_at(History([account()], [], [paid]), date(2024, 2, 29), AS_OF, date(2024, 3, 2))
    assert [row["run_rate"] for row in rows] == [0, 300, 0]


@pytest.mark.parametrize("end", ["23:59:00", "23:59:59", "23:59:59.999999"])
def test_an_end_in_the_last_minute_of_a_day_is_the_midnight_after_it(end: str) -> None:
    days = [AS_OF + k * DAY for k in (0, 1, 2)]
    told = [
        features_at(History([account()], [], [invoice("2024-02-01", 60, period_end=moment)]), *days)
        for moment in ("2024-03-01", f"2024-02-29T{end}")
    ]
    assert told[0] == told[1]


def test_a_sale_in_the_last_minute_of_a_day_is_served_to_the_day_it_ends_on() -> None:
    """Monthly from 31 January, 23:59:30: 29 February is served by the second invoice alone."""
    months = [("2024-01-31", "2024-02-29"), ("2024-02-29", "2024-03-31")]
    paid = [invoice(f"{first}T23:59:30", 29, period_end=f"{end}T23:59:30") for first, end in months]
    before, after = features_at(History([account()], [], paid), date(2024, 2, 29), AS_OF)
    assert (before["run_rate"], after["run_rate"]) == (30, pytest.approx(29 * 30 / 31, abs=1e-6))


def test_an_end_a_second_earlier_is_the_day_it_ends_on() -> None:
    paid = invoice("2024-02-01", 28, period_end="2024-02-29T23:58:59")
    rows = features_at(History([account()], [], [paid]), date(2024, 2, 29), AS_OF)
    assert [row["run_rate"] for row in rows] == [30, 0]


def test_service_paid_in_advance_shows_only_once_it_is_served() -> None:
    paid = invoice("2024-01-20", 29, period_start="2024-02-01", period_end="2024-03-01")
    rows = features_at(History([account()], [], [paid]), date(2024, 2, 1), date(2024, 2, 2))
    assert [row["run_rate"] for row in rows] == [0, 30]


def test_service_before_it_was_booked_shows_only_once_booked() -> None:
    late = invoice("2024-02-20", 60, period_start="2024-01-01", period_end="2024-03-31")
    rows = features_at(History([account()], [], [late]), date(2024, 2, 20), date(2024, 2, 21))
    assert [row["run_rate"] for row in rows] == [0, 20]


def test_revenue_in_another_currency_than_the_ladder_is_refused_and_one_that_is_not_told_is_taken() -> None:
    def told(*currencies: str | None) -> Any:
        paid = [invoice("2024-02-01", 9000, currency=one, period_end="2024-04-01") for one in currencies]
        return features_at(History([account()], [], paid), AS_OF)[0]["tier"]

    assert told(None) == told("USD") == 4
    with pytest.raises(ContractBroken, match=r'"currency": 2 rows are in JPY, but tiers.currency is USD') as refused:
        told("JPY", "USD", "JPY", None)
    assert refused.value.exit_code == 3
    assert "Set tiers.currency: JPY" in str(refused.value)


@pytest.mark.parametrize(
    ("amounts", "tier", "headroom"),
    [
        ([], 0, 20),
        (["59.99"], 0, pytest.approx(20 - 59.99 / 3, abs=1e-6)),
        (["60"], 1, 130),
        (["10"] * 6, 1, 130),  # six thirds of a rate make exactly 20
        (["0.01"] * 6000, 1, 130),
        (["449.99", "0.01"], 2, 450),
        (["1800"], 3, 1900),
        (["7500"], 4, None),
        (["7500", "-0.01"], 3, pytest.approx(0.01 / 3, abs=1e-6)),
        (["-60"], 0, 40),
    ],
)
def test_the_tier_is_the_highest_floor_that_the_run_rate_reaches(amounts: list[str], tier: int, headroom: Any) -> None:
    [row] = features_at(History([account()], [], [invoice("2024-02-20", amount) for amount in amounts]), AS_OF)
    assert (row["tier"], row["headroom"]) == (tier, headroom)
    assert DEFINITIONS.tiers.index(row["run_rate"]) == tier


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ({"ladder": [{"name": "trial", "floor": 0}]}, "at least two tiers"),
        ({"ladder": [{"name": "trial", "floor": 5}, {"name": "business", "floor": 9}]}, "first with floor 0"),
        ({"ladder": [{"name": "a", "floor": 0}, {"name": "b", "floor": 9}, {"name": "c", "floor": 9}]}, "ascending"),
        ({"high_value": "trial"}, "not a paid tier"),
        ({"high_value": "gold"}, "not a paid tier"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_refused(tiers: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        Definitions.from_params({"tiers": tiers})


def test_the_ladder_counts_floors_reached_for_arrays_too() -> None:
    assert Tiers().index(np.array([-5, 0, 19.99, 20, 2500, 1e9])).tolist() == [0, 0, 0, 1, 4, 4]


def uses(name: str, count: int, age_days: int = 1, users: int = 1) -> list[Row]:
    moment = MIDNIGHT - age_days * DAY
    return [event(moment, name, user_id=f"u{i % users}") for i in range(count)]


def pays(run_rate: float, booked: timedelta = 10 * DAY) -> list[Row]:
    return [invoice(MIDNIGHT - booked, run_rate * 3)]


SPECIALIST_OF_U5 = event(MIDNIGHT - DAY, "api_called", user_id="u5")
JOURNEY: list[tuple[str, str, dict[str, Any]]] = [
    ("signed up 60 days ago and never seen", "trial", {"age": 60}),
    ("signed up 61 days ago and never seen", "dormant", {"age": 61}),
    ("looks around", "trial", {"events": uses("page_seen", 40)}),
    ("two specialist uses", "trial", {"events": uses("api_called", 2)}),
    ("three specialist uses", "commitment", {"events": uses("api_called", 3)}),
    ("two specialist uses, one step", "commitment", {"events": uses("api_called", 2) + uses("setting_changed", 1)}),
    ("committed long ago, seen 60 days ago", "commitment", {"events": uses("api_called", 3, age_days=60)}),
    ("committed long ago, seen 61 days ago", "dormant", {"events": uses("api_called", 3, age_days=61)}),
    ("five users who only look", "trial", {"events": uses("page_seen", 5, users=5)}),
    ("five users, one specialist use", "uptake", {"events": [*uses("page_seen", 4, users=4), SPECIALIST_OF_U5]}),
    ("five users, one step", "uptake", {"events": uses("page_seen", 5, users=5) + uses("setting_changed", 1)}),
    ("four users, one step", "trial", {"events": uses("page_seen", 4, users=4) + uses("setting_changed", 1)}),
    ("five users a month ago", "trial", {"events": uses("page_seen", 5, 29, 5) + uses("setting_changed", 1, 29)}),
    ("five users who pay", "uptake", {"events": uses("page_seen", 5, users=5), "revenue": pays(20)}),
    ("pays just below the first floor", "trial", {"revenue": pays(19.99)}),
    ("pays the first floor", "commitment", {"revenue": pays(20)}),
    ("silent for long but still served", "commitment", {"revenue": pays(20, booked=89 * DAY)}),
    ("silent and no longer served", "dormant", {"revenue": pays(20, booked=91 * DAY)}),
    ("pays the second floor", "expansion", {"revenue": pays(150)}),
    ("pays the second floor but closed", "closed", {"revenue": pays(150), "closed_at": MIDNIGHT - DAY}),
    ("closes today", "expansion", {"revenue": pays(150), "closed_at": MIDNIGHT}),
]


@pytest.mark.parametrize(("stage", "case"), [told[1:] for told in JOURNEY], ids=[said for said, _, _ in JOURNEY])
def test_stage_of_an_account_that(stage: str, case: dict[str, Any]) -> None:
    owner = account(created_at=MIDNIGHT - case.get("age", 400) * DAY, closed_at=case.get("closed_at"))
    [row] = features_at(History([owner], case.get("events", ()), case.get("revenue", ())), AS_OF)
    assert row["stage"] == stage
    tiers = [tier.name for tier in DEFINITIONS.tiers.ladder]
    assert evidence(row | {"closed": stage == "closed"}, DEFINITIONS.sql_fragments(), tiers)["stage"] == stage


def test_the_table_above_meets_every_stage() -> None:
    assert {stage for _, stage, _ in JOURNEY} == set(STAGES)


def test_the_fingerprint_changes_with_the_ladder_and_with_the_meaning_of_an_event() -> None:
    changed: list[dict[str, Any]] = [
        {},
        {"tiers": {"spread_days": 30}},
        {"features": {"specialist": ["api_called"]}},
        {"features": {"configuration": ["api_called"]}},
        {"features": {"uptake_users": 6}},
    ]
    assert len({fingerprint(Definitions.from_params(document)) for document in changed}) == len(changed)
