"""What the months after a snapshot brought: read off later snapshots, never off the future, foreseen out of fold."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from models.encoding import Encoding
from models.side_by_side import InTurn
from tests.models.made_features import MONTHS, dataset, history
from training.dataset import Dataset
from training.surrogates import LATER, SURROGATES, foresee, later


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
    found = foresee(InTurn(), data, encoding, encoding.matrix(data.features), np.arange(len(data)), seed=1)
    assert found is not None
    return found


def test_rows_that_nobody_asks_about_cost_nothing_and_change_nothing() -> None:
    data = history()
    encoding, asked = Encoding.learn(data.features), np.arange(3, len(data), 7)
    found = foresee(InTurn(), data, encoding, encoding.matrix(data.features), asked, seed=1)
    assert found is not None
    assert np.array_equal(found[asked], foreseen(data)[asked])
    assert np.isnan(np.delete(found, asked, axis=0)).all()


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
    assert foresee(InTurn(), data, encoding, encoding.matrix(data.features), np.arange(len(data)), seed=1) is None
