"""What a feature carries of a model: of trees, of a ridge, and of both together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.average import Average
from models.hazard import Hazard, Never
from models.logistic import Design, Logistic, LogisticHazard
from models.shares import shares
from tests.models.made_features import LABELS, QUICK, dataset
from training.dataset import Dataset
from training.fit import Fitted, fit_all
from training.leak_labels import gain_share


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit_all(dataset(1_500), LABELS, QUICK, 0)


def _ridge_on(place: int, columns: int, weight: float = 1.0) -> LogisticHazard:
    """A ridge that looks at the column `place` alone."""
    many = tuple(range(columns))
    design = Design(many, (1.0,) * columns, (0.0,) * columns, (1.0,) * columns, (), ())
    return LogisticHazard(Logistic(design, weight * (np.arange(columns) == place), 0.0), (0.0,) * 4)


@pytest.mark.parametrize("learner", ["average", "hazard", "logistic"])
def test_the_shares_of_every_learner_sum_to_1(fitted: Fitted, learner: str) -> None:
    found = shares(fitted.hazards[learner]["expansion"], fitted.encoding.names)
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) >= 0


def test_a_feature_has_of_an_average_the_mean_of_what_it_has_of_trees_and_ridge(fitted: Fitted) -> None:
    trees, ridge, both = (
        shares(fitted.hazards[name]["expansion"], fitted.encoding.names) for name in ("hazard", "logistic", "average")
    )
    assert both == pytest.approx({name: (trees.get(name, 0) + ridge.get(name, 0)) / 2 for name in trees | ridge})


def test_a_leak_that_the_ridge_lives_on_is_seen_although_the_trees_do_not_look_at_it(fitted: Fitted) -> None:
    names, trees = fitted.encoding.names, fitted.hazards["hazard"]["expansion"]
    least = min(names, key=lambda name: shares(trees, names).get(name, 0.0))
    both = Average(((0.5, trees), (0.5, _ridge_on(names.index(least), len(names)))))
    found = shares(both, names)
    assert max(found, key=lambda name: found[name]) == least
    probe = gain_share([{"feature": name, "share": share} for name, share in found.items()], 0.49, {})
    assert not probe.passed
    assert least in probe.sentence


def test_a_member_that_looks_at_nothing_hides_nothing_of_what_the_other_looks_at() -> None:
    flat, leaning = _ridge_on(0, 3, weight=0.0), _ridge_on(1, 3)
    both = Average(((0.5, flat), (0.5, leaning)))
    assert shares(both, ("a", "b", "c")) == {"a": 0.0, "b": 1.0, "c": 0.0}


@pytest.mark.parametrize("hazard", [Never(), _ridge_on(0, 3, weight=0.0)])
def test_a_model_that_looks_at_nothing_has_no_shares(hazard: Hazard) -> None:
    assert shares(hazard, ("a", "b", "c")) == {}


def test_the_label_among_the_features_has_the_greatest_share_of_the_model_that_serves() -> None:
    honest = dataset(1_500)
    told = np.nan_to_num(honest.outcome("expansion", 180))
    place = honest.features.column_names.index("tickets_90d")
    leaking = Dataset(honest.features.set_column(place, "tickets_90d", pa.array(told)), honest.labels)
    for data, expected in ((honest, False), (leaking, True)):
        fitted = fit_all(data, LABELS, QUICK, 0)
        found = shares(fitted.hazards["average"]["expansion"], fitted.encoding.names)
        assert (max(found, key=lambda name: found[name]) == "tickets_90d") == expected
