"""Whether data suffice, on one vendor whose every count can be done by hand.

100 accounts sign up on 5 January 2024. 40 of them begin to pay 60 per 30 days on 10 April, 35 more on 10 October; the
ladder has one paid tier, from 20. Facts are known to 1 January 2025 (excluded), moves are held 30 days, dates are the
first of each month from February on.

Within 90 days: a date is complete until 1 September. The 40 make it from February, March and April (10 April is day 69,
40, 9), and are paid from May on, hence no longer at risk; the 35 from August and September (day 70, 39).
Within 180 days: complete until 1 June. The 40 likewise; the 35 from May and June (day 162, 131).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from features.books import without_usage
from features.build import build_features
from features.catalogue import Definitions
from features.snapshots import SnapshotParams, take_snapshots
from tests.warehouse.typed_views import Row, did, paid, signed_up, warehouse_of
from training.dataset import Dataset
from training.errors import TooFewPositives
from training.floors import rounded_down, spend, suggest
from training.labels import MOVED, ON_TOP, REACHED, WAITING, LabelParams, make_labels
from training.readiness import Quarter, Readiness, Split, read_books, readiness
from training.recipe import TrainParams
from training.splits import origins
from training.train import _require_positives

LADDER = [{"name": "trial", "floor": 0}, {"name": "paid", "floor": 20}]
DEFINITIONS = Definitions.from_params({"tiers": {"ladder": LADDER, "high_value": "paid"}})
LABELS = LabelParams(horizons=(90, 180))
GRID = SnapshotParams()
EARLY, LATE = date(2024, 4, 10), date(2024, 10, 10)


def subscription(account_id: str, start: date, end: date) -> Row:
    """60 per 30 days, invoiced at once."""
    return paid(account_id, str(start), 2 * (end - start).days, str(end))


@pytest.fixture
def vendor(request: pytest.FixtureRequest) -> Iterator[duckdb.DuckDBPyConnection]:
    """Known to the midnight that a test gives as parameter, else to 1 January 2025."""
    end: date = getattr(request, "param", date(2025, 1, 1))
    names = [f"a{n:02}" for n in range(100)]
    starts = {name: EARLY if n < 40 else LATE for n, name in enumerate(names[:75])}
    revenue = [subscription(name, start, date(2025, 6, 1)) for name, start in starts.items() if start < end]
    events = [did(name, "2024-01-05 09:00") for name in names] + [did("a99", f"{end - timedelta(days=1)} 23:00")]
    with warehouse_of(accounts=[signed_up(name) for name in names], events=events, revenue=revenue) as con:
        yield con


def ready(con: duckdb.DuckDBPyConnection, grid: SnapshotParams = GRID, learn: int = 30, held: int = 30) -> Readiness:
    books = read_books(con, DEFINITIONS, grid)
    return readiness(con, books, DEFINITIONS, grid, LABELS, TrainParams(min_positives=learn), held)


def test_every_count_is_as_done_by_hand(vendor: duckdb.DuckDBPyConnection) -> None:
    found = ready(vendor)
    short = found.outlook("expansion", 90)
    assert (short.complete, short.positives, short.accounts) == (3 * 100 + 5 * 60, 3 * 40 + 2 * 35, 75)
    assert short.quarters == (
        Quarter("2024-Q1", 200, 80, 40),
        Quarter("2024-Q2", 220, 40, 40),
        Quarter("2024-Q3", 180, 70, 35),
        Quarter("2024-Q4", 0, 0, 0),
        Quarter("2025-Q1", 0, 0, 0),
    )
    long = found.outlook("expansion", 180)
    assert (long.complete, long.positives, long.accounts) == (3 * 100 + 2 * 60, 3 * 40 + 2 * 35, 75)
    assert found.snapshots == 12 * 100


def test_the_test_is_the_one_that_training_would_make(vendor: duckdb.DuckDBPyConnection) -> None:
    found = ready(vendor)
    days = sorted(set(read_books(vendor, DEFINITIONS, GRID).table["as_of"].to_pylist()))
    plan = {h: o.as_of for o in origins(days, (90, 180), 30, date(2025, 1, 1)) for h in o.horizons}
    assert plan == {90: date(2024, 9, 1), 180: date(2024, 6, 1)}
    # on 1 June the first 40 had paid for long enough: known from February, March and April, each 40 times
    assert found.outlook("expansion", 180).split == Split(plan[180], 120, 40, 60, 35)
    assert found.outlook("expansion", 90).split == Split(plan[90], 120, 40, 60, 35)
    # with one paid tier, the high-value one is the next one
    assert found.outlook("high_value", 180).split == Split(plan[180], 120, 40, 60, 35)


def test_enough_to_learn_from_and_to_be_judged_by_is_ready(vendor: duckdb.DuckDBPyConnection) -> None:
    found = ready(vendor)
    assert (found.verdict, found.fallback, found.headline) == ("ready", None, 180)
    assert found.reasons[0].startswith("35 positives held out at 180 days as of 2024-06-01, 30 needed")


def test_too_few_held_out_is_thin_and_the_rule_serves(vendor: duckdb.DuckDBPyConnection) -> None:
    assert ready(vendor, held=35).verdict == "ready"
    found = ready(vendor, held=50)
    assert found.verdict == "thin"
    assert "35 positives held out" in found.reasons[0]
    assert "50 needed (gate.min_positives): 15 short" in found.reasons[0]
    assert found.fallback is not None
    assert "activity of the last 28 days" in found.fallback


def test_too_few_known_before_the_test_is_thin(vendor: duckdb.DuckDBPyConnection) -> None:
    """75 accounts are enough to train, but by 1 June only 40 had shown anything."""
    found = ready(vendor, learn=41)
    assert found.verdict == "thin"
    assert "By 2024-06-01 40 accounts were known to have expanded" in found.reasons[0]


def test_too_few_in_all_is_not_yet_exactly_where_training_stops(vendor: duckdb.DuckDBPyConnection) -> None:
    books = read_books(vendor, DEFINITIONS, GRID)
    data = Dataset(books.table, make_labels(vendor, books.table, DEFINITIONS, LABELS, books.end))
    for needed, stops in ((75, False), (76, True)):
        said = ready(vendor, learn=needed)
        if stops:
            assert said.verdict == "not yet"
            assert "75 accounts expanded within 180 days" in said.reasons[0]
            assert "76 needed to learn (train.min_positives): 1 short" in said.reasons[0]
            with pytest.raises(TooFewPositives):
                _require_positives(data, LABELS, TrainParams(min_positives=needed))
        else:
            assert said.verdict != "not yet"
            _require_positives(data, LABELS, TrainParams(min_positives=needed))


@pytest.mark.parametrize("vendor", [date(2024, 5, 15)], indirect=True)
def test_too_short_a_history_is_not_yet_and_says_by_how_many_days(vendor: duckdb.DuckDBPyConnection) -> None:
    """The first date is 1 February: its 90-day outcomes are complete on 31 May, so 1 June is the first date that has
    something known before it, tested once 90 + 30 days more have passed: 29 September, 137 days after the end."""
    found = ready(vendor)
    assert (found.verdict, found.headline) == ("not yet", None)
    assert "from 2024-08-29: 106 more days of history" in found.reasons[0]  # 1 February + 180 + 30
    assert "First test possible (at 90 days) from 2024-09-29: 137 more days" in found.reasons[1]
    outlook = found.outlook("expansion", 180)
    assert (outlook.split, outlook.first_test, outlook.days_short) == (None, date(2024, 12, 28), 227)


@pytest.mark.parametrize("vendor", [date(2024, 9, 29)], indirect=True)
def test_on_that_day_the_test_is_there(vendor: duckdb.DuckDBPyConnection) -> None:
    found = ready(vendor)
    assert found.headline == 90
    assert found.outlook("expansion", 90).split == Split(date(2024, 6, 1), 120, 40, 60, 0)


@pytest.mark.parametrize("vendor", [date(2024, 9, 28)], indirect=True)
def test_a_day_earlier_it_is_not(vendor: duckdb.DuckDBPyConnection) -> None:
    outlook = ready(vendor).outlook("expansion", 90)
    assert (outlook.split, outlook.days_short) == (None, 1)


def test_revenue_that_stops_in_june_tells_what_data_to_june_would_and_no_false_no_since() -> None:
    """The 40 are invoiced month by month until the feed breaks on 10 June; usage goes on to the end of the year."""
    names = [f"a{n:02}" for n in range(100)]
    months = [date(2024, month, 10) for month in range(4, 8)]
    revenue = [subscription(name, *service) for name in names[:40] for service in pairwise(months)]

    def found(last: str) -> Readiness:
        events = [did(name, "2024-01-05 09:00") for name in names] + [did("a99", f"{last} 23:00")]
        with warehouse_of(accounts=[signed_up(name) for name in names], events=events, revenue=revenue) as con:
            return ready(con)

    june, december = found("2024-06-10"), found("2024-12-31")
    assert (june.outcomes_end, december.outcomes_end) == (date(2024, 6, 11), date(2024, 6, 11))
    for horizon in (90, 180):
        one, other = june.outlook("expansion", horizon), december.outlook("expansion", horizon)
        assert (one.complete, one.positives, one.accounts) == (other.complete, other.positives, other.accounts)
        assert (one.split, one.days_short) == (other.split, other.days_short)
    assert december.outlook("expansion", 90).complete == 100  # of 1 February alone


def test_invoices_that_lag_move_the_test_to_an_earlier_date(vendor: duckdb.DuckDBPyConnection) -> None:
    """Complete 90 + 30 + 31 days later: until 3 August, not 3 September."""
    books = read_books(vendor, DEFINITIONS, GRID)
    lagged = LABELS.model_copy(update={"invoice_lag_days": 31})
    found = readiness(vendor, books, DEFINITIONS, GRID, lagged, TrainParams(), 30)
    split = found.outlook("expansion", 90).split
    assert split is not None
    assert split.as_of == date(2024, 8, 1)


def test_every_snapshot_has_a_label_or_a_reason(vendor: duckdb.DuckDBPyConnection) -> None:
    found = ready(vendor)
    # at risk no more: the 40 at the nine dates from May on, the 35 at the three from November on
    assert found.outlook("expansion", 90).left_out == {ON_TOP: 465, REACHED: 0, MOVED: 0, WAITING: 1_200 - 465 - 600}
    for one in found.outlooks:
        assert one.complete + sum(one.left_out.values()) == found.snapshots


def test_a_grid_that_ends_too_early_never_gives_a_test(vendor: duckdb.DuckDBPyConnection) -> None:
    found = ready(vendor, SnapshotParams(until=date(2024, 4, 30)))
    assert found.verdict == "not yet"
    assert found.outlook("expansion", 90).first_test is None
    assert "No training date had both" in found.reasons[-1]


@pytest.mark.parametrize("vendor", [date(2024, 1, 8)], indirect=True)
def test_a_vendor_of_three_days_has_nothing_yet(vendor: duckdb.DuckDBPyConnection) -> None:
    found = ready(vendor)
    assert (found.verdict, found.snapshots) == ("not yet", 0)
    assert "nothing to learn from yet" in found.reasons[0]


def test_run_rates_do_not_need_usage_and_usage_comes_back(vendor: duckdb.DuckDBPyConnection) -> None:
    spine, _ = take_snapshots(vendor, GRID)
    whole = build_features(vendor, spine, DEFINITIONS).select(["account_id", "as_of", "tier", "run_rate"])
    assert read_books(vendor, DEFINITIONS, GRID).table.equals(whole)
    with without_usage(vendor):
        assert vendor.execute("SELECT count(*) FROM events").fetchall() == [(0,)]
    assert vendor.execute("SELECT count(*) FROM events").fetchall() == [(101,)]


@pytest.mark.parametrize(
    ("value", "floor"), [(23.97, 23.0), (1299.0, 1200.0), (0.3333, 0.33), (20.0, 20.0), (9.999, 9.9), (100.0, 100.0)]
)
def test_a_floor_is_rounded_so_that_the_account_at_the_point_stands_on_it(value: float, floor: float) -> None:
    assert rounded_down(value) == floor <= value


def test_floors_are_points_of_what_is_paid() -> None:
    assert suggest(np.arange(1.0, 101.0) * 10) == (500.0, 800.0, 950.0)
    assert suggest(np.full(50, 29.99)) == (29.0,)  # all alike: one tier, not three


def test_the_ladder_of_params_is_shown_beside_the_suggestion(vendor: duckdb.DuckDBPyConnection) -> None:
    """The 40 pay at the nine dates from May to January, the 35 at the three from November on: 60 each."""
    found = spend(read_books(vendor, DEFINITIONS, GRID).table, DEFINITIONS.tiers)
    assert found is not None
    assert (found.months, found.accounts, found.suggested) == (9 * 40 + 3 * 35, 75, (60.0,))
    assert found.standing == {"trial": 1_200 - 465, "paid": 465}
    assert sum(found.counts) == 465


def test_without_money_no_floor_is_suggested() -> None:
    unpaid = pa.table({"account_id": ["a1"], "run_rate": [0.0], "tier": [0.0]})
    assert spend(unpaid, DEFINITIONS.tiers) is None
