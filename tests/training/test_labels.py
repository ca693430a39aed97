"""Labels against a day-by-day walk through the calendar; and no label uses a day that had not passed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.build import build_features
from features.snapshots import Population
from tests import builders as raw
from tests.features.histories import DAY, DEFINITIONS, TICK, History, account, at, event, invoice, invoices, warehouse
from tests.features.oracle import known_revenue, rate_on, tier_of
from tests.training.label_oracle import outcome_of
from training.dataset import Dataset
from training.labels import (
    MOVED,
    ON_TOP,
    REACHED,
    RHYTHM,
    WAITING,
    LabelParams,
    labelled,
    labels_stage,
    make_labels,
    outcomes_end,
)
from warehouse.accounting import ingested_on
from warehouse.engine import connect
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace, open_warehouse, read_table, write_table

AS_OFS = (date(2023, 12, 1), date(2024, 2, 1), date(2024, 3, 1))
PARAMS = LabelParams(horizons=(30, 90), default_horizon=90, held_days=30)
SHORT = LabelParams(horizons=(1, 20), default_horizon=20, held_days=3)
LAGGED = LabelParams(horizons=(1, 20), default_horizon=20, held_days=3, invoice_lag_days=9)
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
    with warehouse(history) as con:
        return make_labels(con, books_table(books), DEFINITIONS, params, until)


def books_table(books: list[dict[str, Any]]) -> pa.Table:
    said = {name: [row[name] for row in books] for name in BOOKS}
    said["run_rate"], said["tier"] = [float(rate) for rate in said["run_rate"]], [float(t) for t in said["tier"]]
    return pa.table({name: pa.array(values, BOOKS[name]) for name, values in said.items()})


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
@given(billed(), UNTILS, st.sampled_from([PARAMS, SHORT, LAGGED]))
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


def test_a_move_that_is_invoiced_six_weeks_later_is_unknown_until_then_and_never_a_no() -> None:
    """It moves on 20 May (day 80); the invoice for it is of 1 July. Held or not can be told from 29 June on."""
    as_of = date(2024, 3, 1)
    late = invoice("2024-07-01", 600, period_start="2024-05-20", period_end="2024-07-20")

    def told(until: date, lag: int) -> tuple[Any, bool, bool, bool]:
        params = PARAMS.model_copy(update={"invoice_lag_days": lag})
        [row] = labels_of(History([account()], (), [late]), [book(as_of)], params, until).to_pylist()
        known = row["increment_90"] is not None, row["booked_90"] is not None
        return row["expansion_day"], row["observed_days"] >= 90, *known

    assert told(date(2024, 6, 29), lag=0) == (None, True, True, True), "the false no that a lag of 0 would teach"
    assert told(date(2024, 6, 29), lag=42) == (None, False, False, False)
    assert told(date(2024, 7, 11), lag=42) == (None, False, False, True)  # booked: 90 + 42 days, nothing is held in it
    assert told(date(2024, 8, 9), lag=42) == (80, False, False, True)
    assert told(date(2024, 8, 10), lag=42) == (80, True, True, True)  # 90 + 30 + 42 days


@st.composite
def billed_in_arrears(draw: st.DrawFn) -> list[Any]:
    """Invoices whose service begins in the weeks after 1 March, each booked up to 30 days after it began."""
    rows = []
    for _ in range(draw(st.integers(1, 8))):
        start = at(date(2024, 3, 1)) + draw(st.integers(-3, 24)) * DAY
        booked, end = (start + draw(st.sampled_from(days)) * DAY for days in ([0, 29, 30], [1, 3, 4, 30]))
        rows.append(invoice(booked, draw(st.sampled_from([60, 600, 9000])), period_start=start, period_end=end))
    return rows


@settings(max_examples=60, deadline=None, derandomize=True)
@given(billed_in_arrears())
def test_where_no_invoice_is_later_than_the_lag_a_complete_label_never_changes_again(rows: list[Any]) -> None:
    as_of = date(2024, 3, 1)
    params = LabelParams(horizons=(20,), default_horizon=20, held_days=3, invoice_lag_days=30)
    complete, history = as_of + timedelta(days=20 + params.maturing_days), History([account()], (), rows)
    then, ever = (labels_of(history, [book(as_of)], params, day) for day in (complete, date(2026, 1, 1)))
    for name in ("expansion_at_risk", "high_value_at_risk", "increment_20", "booked_20"):
        assert then[name].equals(ever[name]), name
    for target in ("expansion", "high_value"):
        said, true = (Dataset(table, table).outcome(target, 20) for table in (then, ever))
        assert np.array_equal(said, true, equal_nan=True), target


def monthly(months: int, more: Sequence[Any] = ()) -> History:
    """60 a month, invoiced on the first of each month of 2024; usage of every week goes on to 1 September."""
    firsts = [date(2024, month, 1) for month in range(1, months + 2)]
    paid = [invoice(at(first), 60, period_end=at(end)) for first, end in pairwise(firsts)]
    return History([account()], [event(at(date(2024, 1, 1)) + k * 7 * DAY) for k in range(35)], [*paid, *more])


def test_a_move_of_who_is_billed_to_the_last_second_of_each_month_is_held_over_the_months() -> None:
    """60 a month, and 600 from April on."""
    firsts = [date(2024, month, 1) for month in range(1, 10)]

    def told(gap: timedelta) -> Any:
        paid = [
            invoice(at(first), 60 if first.month < 4 else 600, period_end=at(end) - gap)
            for first, end in pairwise(firsts)
        ]
        [row] = labels_of(
            History([account()], (), paid), [book(date(2024, 3, 1), 1, 60.0)], PARAMS, firsts[-1]
        ).to_pylist()
        return row["expansion_day"], row["increment_90"]

    assert told(timedelta(seconds=1)) == told(timedelta(0))
    assert told(timedelta(seconds=1))[0] == 31


def test_billing_data_that_stop_in_may_make_no_false_no_of_the_summer() -> None:
    """On 20 May the account takes ten times as much, but the feed of invoices broke on 2 May: nobody knows."""
    as_of, grown = date(2024, 3, 1), invoice("2024-05-20", 1200, period_end="2024-07-20")

    def told(history: History) -> tuple[date, Any, float]:
        with warehouse(history) as con:
            end, books = outcomes_end(con), pa.table({k: [v] for k, v in book(as_of, 1, 60.0).items()})
            table = make_labels(con, books, DEFINITIONS, PARAMS, end)
        return end, table["increment_90"][0].as_py() is not None, Dataset(table, table).outcome("expansion", 90)[0]

    end, money, label = told(monthly(months=5))
    assert (end, money) == (date(2024, 5, 2), False)
    assert np.isnan(label)
    assert told(monthly(months=8, more=[grown])) == (date(2024, 8, 27), True, 1.0)  # once they are delivered
    assert told(monthly(months=8)) == (date(2024, 8, 27), True, 0.0)  # and had it not grown, the no is a true one


def test_a_day_that_had_not_passed_when_the_data_were_read_is_not_told(tmp_path: Path) -> None:
    """Read at five past midnight of 29 June, with an event of that very day: outcomes end with the 28th, so 90 days of
    1 March are observed (and 30 more are held), not 91."""
    last = "2024-06-29T00:02:00Z"
    grown = raw.invoice("a1", "2024-05-30T00:00:00Z", 1200, period_end="2024-07-20")
    folder = raw.write_raw(tmp_path / "raw", [raw.account()], [raw.event("a1", last)], [grown])

    def told(now: datetime) -> tuple[date, Any, bool]:
        workspace = Workspace(tmp_path / f"workspace {now:%d %H}")
        ingest(folder, workspace, IngestParams(), now)
        write_table(books_table([book(date(2024, 3, 1))]), workspace.artifacts / "features.parquet")
        labels_stage(workspace, DEFINITIONS, PARAMS)
        [row] = read_table(workspace.artifacts / "labels.parquet").to_pylist()
        with connect(workspace.warehouse) as con:
            open_warehouse(con, workspace.warehouse)
            end = outcomes_end(con, ingested_on(workspace.warehouse))
        return end, row["observed_days"], row["increment_90"] is not None

    assert told(datetime(2024, 6, 29, 0, 5)) == (date(2024, 6, 29), 90, True)
    assert told(datetime(2024, 6, 29, 23, 59)) == (date(2024, 6, 29), 90, True)
    assert told(datetime(2024, 6, 30, 0, 5)) == (date(2024, 6, 30), 91, True)


def test_books_that_do_not_say_when_they_were_read_are_told_to_the_data_end(tmp_path: Path) -> None:
    assert ingested_on(tmp_path) is None
    (tmp_path / "accounting.json").write_text("{}")
    assert ingested_on(tmp_path) is None


@pytest.mark.parametrize(
    ("said", "days", "end"),
    [
        ("silent as long as ever before", [0, 31], 63),
        ("a day longer", [0, 31], 64),
        ("never paid", [], 40),
        ("paid once, so that nobody knows how often to expect it", [5], 400),
        ("daily of late, silent for long at first", [0, 40, *range(41, 41 + RHYTHM)], 41 + RHYTHM + 2),
        ("daily for not so long", [0, 40, *range(41, 40 + RHYTHM)], 40 + RHYTHM + 30),
    ],
)
def test_revenue_has_stopped_when_it_is_silent_for_longer_than_lately(said: str, days: list[int], end: int) -> None:
    """The data end `end` days after 1 January, by an event of the day before."""
    first = at(date(2024, 1, 1))
    paid = [invoice(first + day * DAY, 10) for day in days]
    with warehouse(History([account()], [event(first + (end - 1) * DAY)], paid)) as con:
        told = (outcomes_end(con) - first.date()).days
    stopped = said in ("a day longer", "daily of late, silent for long at first")
    assert told == (days[-1] + 1 if stopped else end)


def test_the_population_of_a_target_is_counted_in_and_out_by_reason() -> None:
    """As of 1 March, 90 days, known to 29 June: told; on the highest tier; of high value; moved the day before, which
    an invoice of 5 March tells; and, of June, still waiting."""
    top, high = len(DEFINITIONS.tiers.ladder) - 1, DEFINITIONS.tiers.high_value_index
    books = [book(date(2024, 3, 1)), book(date(2024, 3, 1), top), book(date(2024, 3, 1), high)]
    books += [book(date(2024, 6, 1)), book(date(2024, 6, 1), high), book(date(2024, 3, 1))]
    names = [f"a{number}" for number in range(len(books))]
    rows = [row | {"account_id": name} for name, row in zip(names, books, strict=True)]
    late = invoice("2024-03-05", 9000, names[-1], period_start="2024-02-29", period_end="2024-08-29")
    history = History([account(name) for name in names], (), [late])
    table, tiers = labels_of(history, rows, PARAMS, date(2024, 6, 29)), DEFINITIONS.tiers
    tier = pa.chunked_array([pa.array([row["tier"] for row in rows], pa.float64())])

    def told_of(target: str) -> Population:
        return labelled(table, tier, tiers, target, 90)

    assert told_of("expansion") == Population(2, {ON_TOP: 1, REACHED: 0, MOVED: 1, WAITING: 2})
    assert told_of("high_value") == Population(1, {ON_TOP: 1, REACHED: 2, MOVED: 1, WAITING: 1})
    for target in ("expansion", "high_value"):
        told = Dataset(table, table).outcome(target, 90)
        assert told_of(target).taken == np.count_nonzero(~np.isnan(told))
