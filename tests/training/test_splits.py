"""Origins by brute force, a planted leak of one day, and what an outcome is while its horizon runs."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from training.dataset import Dataset
from training.errors import PlanBroken
from training.plan_check import check_plan
from training.splits import Origin, origin_for, origins

DAY = timedelta(days=1)
_days = st.dates(date(2023, 12, 1), date(2025, 3, 1))


def last_day_needed(day: date, horizon: int, held_days: int) -> date:
    """A move on the last day of the horizon must be held on each of the next held_days days."""
    last = day
    for _ in range(horizon - 1 + held_days):
        last += DAY
    return last


@given(st.lists(_days, max_size=12), st.lists(st.integers(1, 400), unique=True, max_size=4), st.integers(0, 40), _days)
def test_every_horizon_is_judged_at_the_newest_date_whose_days_have_all_passed(
    days: list[date], horizons: list[int], held_days: int, until: date
) -> None:
    plan = origins(days, horizons, held_days, until)
    judged = {}
    for horizon in horizons:
        passed = [day for day in days if last_day_needed(day, horizon, held_days) < until]
        assert origin_for(iter(days), horizon, held_days, until) == (max(passed) if passed else None)
        if passed:
            judged[horizon] = max(passed)
    assert {h: origin.as_of for origin in plan for h in origin.horizons} == judged
    assert [origin.as_of for origin in plan] == sorted(set(judged.values()))
    assert all(list(origin.horizons) == sorted(set(origin.horizons)) for origin in plan)


@given(st.sets(_days, max_size=25), st.integers(1, 200), st.integers(1, 5), _days)
@example({date(2023, 12, 2), date(2025, 1, 1)}, 1, 2, date(2025, 2, 1))  # a year without a date
def test_earlier_origins_open_quarters_and_none_between_is_passed_over(
    days: set[date], horizon: int, most: int, until: date
) -> None:
    plan = [origin.as_of for origin in origins(days, [horizon], 30, until, most)]
    firsts = [date(year, month, 1) for year in (2023, 2024, 2025) for month in (3, 6, 9, 12)]
    firsts = [first for first in firsts if days and min(days) <= first <= max(days)]
    opening = {max(day for day in days if day <= first) for first in firsts}
    before = sorted(day for day in opening if plan and day <= plan[-1] - 60 * DAY)
    assert plan[:-1] == before[max(0, len(before) - (most - 1)) :]


@pytest.mark.parametrize("months_later", [1, 2, 3, 4, 5, 6])
def test_a_model_trained_some_months_later_is_judged_at_dates_of_the_one_before(months_later: int) -> None:
    months = [date(year, month, 1) for year in (2024, 2025, 2026) for month in range(1, 13)]
    horizons = (90, 180, 270, 360)
    now, later = (
        origins([day for day in months if day < until], horizons, 30, until, 4, lead=180)
        for until in (date(2026, 1, 1), date(2026, 1 + months_later, 1))
    )
    first, second = ({origin.as_of for origin in plan if 180 in origin.horizons} for plan in (now, later))
    assert max(second) == months[months.index(date(2025, 6, 1)) + months_later]
    assert len(first & second) >= 2
    assert len(later) <= 8, "each date costs a fit of everything"


def test_horizons_a_quarter_apart_are_judged_at_the_same_four_dates_and_more() -> None:
    months = [date(year, month, 1) for year in (2024, 2025) for month in range(1, 13)]
    plan = origins(months, (90, 180, 270, 360), 30, date(2026, 1, 1), 4)
    assert len(plan) == 7
    for horizon in (90, 180, 270, 360):
        assert sum(horizon in origin.horizons for origin in plan) == 4
    assert plan[-2] == Origin(date(2025, 6, 1), (90, 180))


def test_the_calendar_of_the_module_holds() -> None:
    months = [date(2025, month, 1) for month in range(1, 13)]
    assert origins(months, (180, 90), 30, date(2026, 1, 1)) == [
        Origin(date(2025, 6, 1), (180,)),
        Origin(date(2025, 9, 1), (90,)),
    ]
    assert origin_for(months, 180, 30, date(2025, 12, 28)) == date(2025, 6, 1)
    assert origin_for(months, 180, 30, date(2025, 12, 27)) == date(2025, 5, 1)


def test_a_label_that_ends_one_day_after_the_first_test_score_is_a_leak() -> None:
    test_as_of = date(2025, 6, 1)
    newest = test_as_of - timedelta(days=210)
    for leak in (0, 1):
        as_of = pa.chunked_array([pa.array([date(2024, 1, 1), newest + leak * DAY, date(2025, 5, 1)])])
        label = np.array([0.0, 1.0, np.nan])  # the newest row carries no label, so it teaches nothing
        if leak:
            with pytest.raises(PlanBroken, match="2024-11-04 ends 2025-06-02, after the first test score"):
                check_plan(as_of, label, 210, test_as_of)
        else:
            check_plan(as_of, label, 210, test_as_of)


def test_a_plan_without_a_single_label_is_no_leak() -> None:
    check_plan(pa.chunked_array([pa.array([date(2030, 1, 1)])]), np.array([np.nan]), 210, date(2025, 6, 1))


def dataset(rows: list[dict[str, Any]]) -> Dataset:
    keys = {"account_id": [f"a{i}" for i in range(len(rows))], "as_of": [date(2025, 3, 1)] * len(rows)}
    columns = {name: [row[name] for row in rows] for name in ("expansion_day", "observed_days", "expansion_at_risk")}
    return Dataset(pa.table(keys), pa.table(keys | columns))


@pytest.mark.parametrize(
    ("day", "observed", "at_risk", "expected"),
    [
        pytest.param(89, 90, True, 1.0, id="came on the last day of the horizon"),
        pytest.param(90, 200, True, 0.0, id="came the day after the horizon"),
        pytest.param(None, 90, True, 0.0, id="never came and the horizon has passed"),
        pytest.param(10, 89, True, np.nan, id="came, but the horizon still runs"),
        pytest.param(None, 89, True, np.nan, id="has not come and the horizon still runs"),
        pytest.param(10, 200, False, np.nan, id="was not at risk"),
    ],
)
def test_outcome_within_90_days_when_a_move(day: int | None, observed: int, at_risk: bool, expected: float) -> None:
    rows: list[dict[str, Any]] = [
        {"expansion_day": day, "observed_days": observed, "expansion_at_risk": at_risk},
        {"expansion_day": 0, "observed_days": 500, "expansion_at_risk": True},
    ]
    assert np.array_equal(dataset(rows).outcome("expansion", 90), [expected, 1.0], equal_nan=True)


def test_features_and_labels_of_different_rows_are_never_joined() -> None:
    features = pa.table({"account_id": ["a1", "a2"], "as_of": [date(2025, 3, 1)] * 2})
    with pytest.raises(PlanBroken, match="disagree in account_id"):
        Dataset(features, features.take([1, 0]))
    later = features.set_column(1, "as_of", pa.array([date(2025, 3, 1), date(2025, 4, 1)]))
    with pytest.raises(PlanBroken, match="disagree in as_of"):
        Dataset(features, later)
    assert len(Dataset(later, later).on(date(2025, 4, 1))) == 1
