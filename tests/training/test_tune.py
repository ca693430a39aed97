"""The search: the same for the same seed, never worse than what is shipped, blind to the accounts that are judged."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.boosting import BoosterParams
from tests.models.made_features import AS_OF, dataset
from training import tune
from training.dataset import Dataset
from training.tune import SearchParams, refuse_outside, search, searched
from warehouse.errors import ParamsError

SHIPPED = BoosterParams(rounds=60, num_leaves=4, min_data_in_leaf=20, lambda_l2=1.0)
PARAMS = SearchParams(trials=3, seconds=600.0)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset(900)


def test_the_accounts_that_may_be_looked_at_are_told_by_their_id_alone() -> None:
    ids = pa.chunked_array([[f"a{i}" for i in range(4_000)]])
    looked = searched(ids, 0.5)
    assert looked.mean() == pytest.approx(0.5, abs=0.03)
    order = np.random.default_rng(0).permutation(4_000)
    assert np.array_equal(searched(ids.take(pa.array(order)), 0.5), looked[order])


def test_the_same_seed_finds_the_same_and_the_shipped_settings_are_tried_first(data: Dataset) -> None:
    one, two = (search({AS_OF: data}, data, PARAMS, SHIPPED, 3) for _ in range(2))
    assert one == two
    assert [trial["number"] for trial in one.trials] == [0, 1, 2]
    assert all(one.trials[0]["params"][name] == getattr(SHIPPED, name) for name in one.trials[0]["params"])
    best = min(one.trials, key=lambda trial: trial["value"])
    assert one.params == SHIPPED.model_copy(update=best["params"])


def test_a_trial_given_up_halfway_has_no_value_and_is_never_the_best(data: Dataset) -> None:
    found = search({AS_OF: data}, data, PARAMS.model_copy(update={"trials": 12}), SHIPPED, 3)
    assert [trial["number"] for trial in found.trials] == list(range(12))
    values = [trial["value"] for trial in found.trials]
    assert None not in values[: tune.FIRST]
    assert None in values[tune.FIRST :]
    best = min((trial for trial in found.trials if trial["value"] is not None), key=lambda trial: trial["value"])
    assert found.params == SHIPPED.model_copy(update=best["params"])


def test_settings_that_a_search_could_not_try_are_named_with_their_range() -> None:
    refuse_outside(SHIPPED)
    with pytest.raises(ParamsError, match=r"train\.booster\.lambda_l2 is 0; a search tries 1 to 200"):
        refuse_outside(SHIPPED.model_copy(update={"lambda_l2": 0.0}))


def test_outcomes_of_the_accounts_that_are_judged_change_nothing(data: Dataset) -> None:
    hidden = ~searched(data.features["account_id"], PARAMS.accounts)
    at = data.labels.column_names.index("expansion_day")
    days = np.where(hidden, 1, data.days("expansion_day"))
    never = ~hidden & (data.days("expansion_day") > 10_000)
    wild = Dataset(data.features, data.labels.set_column(at, "expansion_day", pa.array(days, mask=never)))
    assert search({AS_OF: wild}, wild, PARAMS, SHIPPED, 3) == search({AS_OF: data}, data, PARAMS, SHIPPED, 3)


def test_no_fold_asks_an_account_that_taught_it(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[set[str]] = []
    real = Dataset.take

    def spy(self: Dataset, mask: np.ndarray) -> Dataset:
        out = real(self, mask)
        taken.append(set(out.features["account_id"].to_pylist()))
        return out

    monkeypatch.setattr(Dataset, "take", spy)
    folds = tune._folds(data, data, 0.5, 1)
    asked = list(zip(taken[::2], taken[1::2], strict=True))
    assert len(folds) == len(asked) == tune.HALVES
    for taught, held in asked:
        assert taught
        assert held
        assert not taught & held


def test_nothing_to_ask_about_keeps_what_is_shipped(data: Dataset) -> None:
    at = data.labels.column_names.index("expansion_day")
    calm = Dataset(data.features, data.labels.set_column(at, "expansion_day", pa.nulls(len(data), pa.int64())))
    found = search({AS_OF: calm}, calm, PARAMS, SHIPPED, 3)
    assert (found.params, found.trials, found.ended_by) == (SHIPPED, [], None)


def test_what_ended_a_search_is_told(data: Dataset) -> None:
    by_trials, by_time = (PARAMS.model_copy(update=few) for few in ({"trials": 1}, {"seconds": 0.05}))
    assert search({AS_OF: data}, data, by_trials, SHIPPED, 3).ended_by == "trials"
    stopped = search({AS_OF: data}, data, by_time, SHIPPED, 3)
    assert stopped.ended_by == "seconds"
    assert len(stopped.trials) < PARAMS.trials
