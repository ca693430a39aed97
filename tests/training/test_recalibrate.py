"""A level that moved is noticed on matured landmarks only, and nothing is done where it would not have helped."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from models.boosting import BoosterParams
from models.hazard import NEVER
from tests.models.made_features import feature_rows
from training import recalibrate as room
from training.dataset import Dataset
from training.labels import LabelParams
from training.recalibrate import recalibrate

LABELS = LabelParams(horizons=(90, 180))
QUICK = BoosterParams(rounds=8, min_data_in_leaf=50)
FIRST, UNTIL = date(2023, 1, 1), date(2025, 1, 1)
LANDMARKS = [FIRST + timedelta(days=60 * k) for k in range(12)]


def _history(rates: list[float], accounts: int = 700) -> Dataset:
    """One snapshot an account and landmark; `rates` (a day) by landmark."""
    rng = np.random.default_rng(1)
    days, events, observed, blocks = [], [], [], []
    for number, (day, rate) in enumerate(zip(LANDMARKS, rates, strict=True)):
        seen = (UNTIL - day).days - LABELS.held_days
        came = rng.exponential(1 / rate, accounts).astype(np.int64)
        events.append(np.where(came < seen, came, NEVER))
        observed.append(np.full(accounts, seen))
        days += [day] * accounts
        blocks.append(feature_rows(accounts, seed=number).drop_columns(["account_id", "as_of"]))
    event = np.concatenate(events)
    keys = {
        "account_id": pa.array([f"a{i:06d}" for i in range(len(days))]),
        "as_of": pa.array(days, pa.date32()),
    }
    features = pa.concat_tables(blocks)
    labels = {
        **keys,
        "observed_days": np.concatenate(observed),
        "expansion_day": pa.array(event, mask=event == NEVER),
        "churn_day": pa.nulls(len(days), pa.int64()),
        "expansion_at_risk": [True] * len(days),
    }
    table = pa.table({**keys, **{name: features[name] for name in features.column_names}})
    return Dataset(table, pa.table(labels))


def test_a_level_that_doubled_is_brought_into_line() -> None:
    shift = recalibrate(_history([0.0008] * 6 + [0.0016] * 6), LABELS, QUICK, 1)
    assert shift == pytest.approx(np.log(2), abs=0.25)


def test_a_level_that_jumped_up_and_fell_back_is_left_alone() -> None:
    """The shift learned on the earlier landmark would have hurt the later one."""
    rates = [0.0008] * 12
    rates[7] = rates[8] = 0.0024
    shift = recalibrate(_history(rates), LABELS, QUICK, 1)
    assert shift == 0.0


def test_too_little_history_or_too_few_expansions_move_nothing() -> None:
    data = _history([0.0008] * 12)
    newest = np.asarray(data.features["as_of"].to_numpy() >= np.datetime64(LANDMARKS[9]))
    assert recalibrate(data.take(newest), LABELS, QUICK, 1) == 0.0
    assert recalibrate(_history([0.00002] * 12), LABELS, QUICK, 1) == 0.0


def test_the_judging_model_learns_nothing_from_the_landmarks_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    taught: list[tuple[np.ndarray, np.ndarray]] = []
    real = room.fit_hazard

    def spy(matrix: np.ndarray, event: np.ndarray, other: np.ndarray, observed: np.ndarray, *rest: object) -> object:
        taught.append((matrix, observed))
        return real(matrix, event, other, observed, *rest)

    monkeypatch.setattr(room, "fit_hazard", spy)
    recalibrate(_history([0.0012] * 12), LABELS, QUICK, 1)
    [(matrix, observed)] = taught
    told = [day for day in LANDMARKS if (UNTIL - day).days - LABELS.held_days >= 90]
    span = timedelta(days=90 + LABELS.held_days)
    first = max(day for day in told if day + span <= told[-1])
    older = [day for day in LANDMARKS if day <= first - span]
    assert len(matrix) == 700 * len(older)
    expected = np.repeat([(first - day).days - LABELS.held_days for day in older], 700)
    assert np.array_equal(observed, expected), "outcomes are cut at the first landmark"
