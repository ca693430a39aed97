"""Labels against a day-by-day walk through the calendar; and no label uses a day that had not passed."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.build import build_features
from tests.features.histories import DAY, DEFINITIONS, TICK, History, account, at, invoice, invoices, warehouse
from tests.features.oracle import known_revenue, rate_on, tier_of
from tests.training.label_oracle import outcome_of
from training.labels import LabelParams, make_labels

AS_OFS = (date(2023, 12, 1), date(2024, 2, 1), date(2024, 3, 1))
PARAMS = LabelParams(horizons=(30, 90), default_horizon=90, held_days=30)
SHORT = LabelParams(horizons=(1, 20), default_horizon=20, held_days=3)
BOOKS = {"account_id": pa.string(), "as_of": pa.date32(), "tier": pa.float64(), "run_rate": pa.float64()}


def books_of(history: History) -> list[dict[str, Any]]:
    """Tier and run-rate of every account at every date, as known then."""
    out = []
    for owner in history.accounts:
        for as_of in AS_OFS:
            known = known_revenue(history.revenue, owner["account_id"], as_of)
            rate = rate_on(as_of - DAY, known, DEFINITIONS.tiers.spread_days)
            tier = tier_of(rate, DEFINITIONS)
            out.append({"account_id": owner["account_id"], "as_of": as_of, "tier": tier, "run_rate": rate})
    return out


def labels_of(history: History, books: list[dict[str, Any]], params: LabelParams, until: date) -> pa.Table:
    said = {name: [row[name] for row in books] for name in BOOKS}
    said["run_rate"], said["tier"] = [float(rate) for rate in said["run_rate"]], [float(t) for t in said["tier"]]
    snapshots = pa.table({name: pa.array(values, BOOKS[name]) for name, values in said.items()})
    with warehouse(history) as con:
        return make_labels(con, snapshots, DEFINITIONS, params, until)


@st.composite
def billed(draw: st.DrawFn) -> History:
    """Two paying accounts around 2024-03-01, one of which may close."""
    closed = draw(st.sampled_from([None, "2024-02-01", "2024-02-29T23:59:59.999999", "2024-03-01", "2024-04-10"]))
    owners = [account("a1", "2020-01-01", closed_at=closed and at(closed)), account("a2", "2020-01-01")]
    return History(owners, (), draw(st.lists(invoices(st.sampled_from(["a1", "a2"])), max_size=10)))


UNTILS = st.sampled_from([date(2024, 3, 2), date(2024, 4, 1), date(2024, 5, 30), date(2024, 6, 29), date(2024, 6, 30)])


def differ(said: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(said, float):
        return not math.isclose(said, expected, rel_tol=1e-9, abs_tol=1e-5)
    return bool(said != expected)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(billed(), UNTILS, st.sampled_from([PARAMS, SHORT]))
def test_labels_equal_a_day_by_day_walk(history: History, until: date, params: LabelParams) -> None:
    books = books_of(history)
    said = labels_of(history, list(reversed(books)), params, until).to_pylist()
    owners = {owner["account_id"]: owner for owner in history.accounts}
    for row, book in zip(said, books, strict=True):
        pair = (book["account_id"], book["as_of"])
        assert (row.pop("account_id"), row.pop("as_of")) == pair
        expected = outcome_of(
            owners[pair[0]], list(history.revenue), pair[1], book["tier"], book["run_rate"], DEFINITIONS, params, until
        )
        assert set(row) == set(expected)
        wrong = {name: (row[name], expected[name]) for name in row if differ(row[name], expected[name])}
        assert not wrong, f"{pair}: (said, expected) {wrong}"


@settings(max_examples=15, deadline=None, derandomize=True)
@given(billed(), st.lists(invoices(st.sampled_from(["a1", "a2"])), min_size=1, max_size=5), UNTILS)
def test_what_is_booked_at_until_or_later_changes_no_label(history: History, late: list[Any], until: date) -> None:
    books = books_of(history)
    after = [row | {"booked_at": at(until) + k * DAY} for k, row in enumerate(late)]
    told = labels_of(history, books, PARAMS, until)
    assert labels_of(history.plus(History((), (), after)), books, PARAMS, until).equals(told)
    known = [row for row in history.revenue if row["booked_at"] < at(until)]
    assert labels_of(History(history.accounts, (), known), books, PARAMS, until).equals(told)


def test_what_is_booked_one_instant_before_until_does_count() -> None:
    until = date(2024, 6, 29)
    paid = invoice(at(until) - TICK, 600, period_start="2024-03-05", period_end="2024-06-05")
    [first, *_] = labels_of(History([account()], (), [paid]), [book(date(2024, 3, 1))], PARAMS, until).to_pylist()
    assert first["expansion_day"] == 4


def book(as_of: date, tier: int = 0, run_rate: float = 0.0) -> dict[str, Any]:
    return {"account_id": "a1", "as_of": as_of, "tier": tier, "run_rate": run_rate}


def test_a_move_on_the_last_day_of_the_horizon_is_told_only_once_it_has_been_held() -> None:
    as_of = date(2024, 3, 1)
    moves = at(as_of) + 89 * DAY
    history = History([account()], (), [invoice(moves, 600, period_end=moves + 400 * DAY)])

    def told(until: date) -> tuple[Any, ...]:
        [row] = labels_of(history, [book(as_of)], PARAMS, until).to_pylist()
        return row["expansion_day"], row["observed_days"], row["increment_90"] is None, row["booked_90"]

    complete = as_of + timedelta(days=90 + 30)
    assert told(complete) == (89, 90, False, 600)
    assert told(complete - DAY) == (None, 89, True, 600)
    assert told(as_of + 90 * DAY) == (None, 60, True, 600)
    assert told(as_of + 89 * DAY) == (None, 59, True, None)


def test_tier_and_run_rate_come_from_the_features_of_the_same_date() -> None:
    """What the feature table says is what the labels start from: no day is lost or counted twice between them."""
    as_of, until = date(2024, 3, 1), date(2024, 7, 1)
    paid = invoice("2024-01-01", 730, period_start="2024-01-01", period_end="2024-12-31")
    history = History([account()], (), [paid])
    with warehouse(history) as con:
        spine = pa.table({"account_id": ["a1"], "as_of": pa.array([as_of], pa.date32())})
        books = build_features(con, spine, DEFINITIONS).select(list(BOOKS))
        [row] = make_labels(con, books, DEFINITIONS, PARAMS, until).to_pylist()
    assert row["increment_90"] == pytest.approx(0, abs=1e-5)
    assert (row["expansion_day"], row["expansion_at_risk"]) == (None, True)


@pytest.mark.parametrize("held_days", [0, 1, 30])
def test_a_spell_counts_when_it_outlasts_the_days_it_must_be_held(held_days: int) -> None:
    def day_of_move(spell_days: int) -> Any:
        start = at("2024-03-11")
        paid = invoice(start, spell_days * 10, period_end=start + spell_days * DAY)
        params = LabelParams(horizons=(90,), default_horizon=90, held_days=held_days)
        history, until = History([account()], (), [paid]), date(2024, 9, 1)
        [row] = labels_of(history, [book(date(2024, 3, 1))], params, until).to_pylist()
        return row["expansion_day"]

    assert (day_of_move(max(held_days, 1)), day_of_move(held_days + 1)) == (10 if held_days == 0 else None, 10)
