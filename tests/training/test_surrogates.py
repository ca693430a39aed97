"""What the months after a snapshot brought: read off later snapshots, never off the future, foreseen out of fold."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from models.encoding import Encoding
from tests.models.made_features import dataset, feature_rows
from training.dataset import Dataset
from training.surrogates import LATER, SURROGATES, foresee, later

MONTHS = tuple(date(2024 + m // 12, m % 12 + 1, 1) for m in range(14))


def history(accounts: int = 300, months: tuple[date, ...] = MONTHS) -> Dataset:
    """Accounts seen on the first of every month until they close, each month with other figures; how busy an account is
    never changes."""
    rng = np.random.default_rng(5)
    last = rng.integers(3, len(months) + 1, accounts)
    pairs = [(i, m) for i in range(accounts) for m in range(len(months)) if m < last[i]]
    rows = feature_rows(len(pairs), seed=3)
    busy = rng.lognormal(2, 1, accounts)
    own = {
        "account_id": pa.array([f"a{i:05d}" for i, _ in pairs]),
        "as_of": pa.array([months[m] for _, m in pairs], pa.date32()),
    }
    for name in ("users_28d", "user_days_28d", "run_rate"):
        own[name] = pa.array([float(busy[i] * rng.lognormal(0, 0.3)) for i, _ in pairs])
    for name, column in own.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    labels = dataset(len(pairs)).labels
    for name in ("account_id", "as_of"):
        labels = labels.set_column(labels.column_names.index(name), name, own[name])
    return Dataset(rows, labels)


@pytest.mark.parametrize("days", LATER)
def test_what_became_of_a_snapshot_is_what_its_account_did_some_months_later(days: int) -> None:
    data = history()
    ids, dates = data.features["account_id"].to_pylist(), data.features["as_of"].to_pylist()
    place = {pair: i for i, pair in enumerate(zip(ids, dates, strict=True))}
    columns = {name: data.features[name].to_pylist() for name in SURROGATES}
    value, told = later(data, days)
    closed = 0
    for i, (account, day) in enumerate(zip(ids, dates, strict=True)):
        then = min(MONTHS, key=lambda one: (abs((one - day).days - days), one))
        assert told[i] == (abs((then - day).days - days) <= 16)
        if not told[i]:
            continue
        j = place.get((account, then))
        closed += j is None
        for column, name in enumerate(SURROGATES):
            number = 0.0 if j is None else columns[name][j] or 0.0
            assert value[i, column] == pytest.approx(math.copysign(math.log1p(abs(number)), number))
    assert closed > 100, "accounts that closed in between count as using and paying nothing"


def test_a_snapshot_whose_later_day_has_not_come_is_not_told() -> None:
    _, told = later(history(), 30)
    assert not told[np.array(history().features["as_of"].to_pylist()) == MONTHS[-1]].any()


def foreseen(data: Dataset) -> np.ndarray:
    encoding = Encoding.learn(data.features)
    found = foresee(data, encoding, encoding.matrix(data.features), seed=1)
    assert found is not None
    return found


def test_busy_accounts_are_foreseen_to_be_busy() -> None:
    data = history()
    value, told = later(data, LATER[0])
    users = SURROGATES.index("users_28d")
    open_still = told & (value[:, users] > 0)
    assert np.corrcoef(foreseen(data)[open_still, users], value[open_still, users])[0, 1] > 0.5


def test_what_an_account_came_to_does_not_tell_in_what_is_foreseen_of_it() -> None:
    """Foreseen by the other half of the accounts: a teacher would else know the answers of those it was taught by."""
    data = history()
    whose = np.array(data.features["account_id"].to_pylist()) == "a00007"
    first = whose & (np.array(data.features["as_of"].to_pylist()) == MONTHS[0])
    before = foreseen(data)[first]
    users = data.features["users_28d"].to_numpy().copy()
    users[whose & ~first] *= 1000
    wild = data.features.set_column(data.features.column_names.index("users_28d"), "users_28d", pa.array(users))
    assert np.array_equal(foreseen(Dataset(wild, data.labels))[first], before)


def test_a_history_of_one_date_foresees_nothing() -> None:
    data = dataset(1_500)
    encoding = Encoding.learn(data.features)
    assert foresee(data, encoding, encoding.matrix(data.features), seed=1) is None
