"""The average of hazards: the mean in log-odds, explained by its members, and the same after a way through text."""

from __future__ import annotations

import json

import lightgbm as lgb
import numpy as np
import pytest

from models.average import Average, average
from models.errors import BundleRefused
from models.files import boosters_of, hazard_from_json
from models.hazard import LOG_MONTHS, Fit, Hazard, Never, chance
from tests.models.made_features import LABELS, QUICK, dataset, feature_rows
from training.fit import Fitted, fit_all, taught_by


@pytest.fixture(scope="module")
def told() -> tuple[Fitted, np.ndarray]:
    fitted = fit_all(dataset(1_500), LABELS, QUICK, 0)
    return fitted, fitted.encoding.matrix(feature_rows(60, seed=8))


def _learner(told: tuple[Fitted, np.ndarray], name: str) -> Hazard:
    return told[0].hazards[name]["expansion"]


def test_its_log_odds_lie_midway_between_its_members(told: tuple[Fitted, np.ndarray]) -> None:
    rows = told[1]
    trees, line, both = (_learner(told, name) for name in ("hazard", "logistic", "average"))
    assert isinstance(both, Average)
    middle = (trees.log_odds(rows) + line.log_odds(rows)) / 2
    assert both.log_odds(rows) == pytest.approx(middle + both.level, abs=1e-12)
    assert not np.allclose(trees.log_odds(rows), line.log_odds(rows))


def test_what_explains_it_is_what_explains_its_members(told: tuple[Fitted, np.ndarray]) -> None:
    rows, both = told[1], _learner(told, "average")
    left = both.raw(rows) - both.contributions(rows).sum(axis=1)
    assert np.ptp(left) < 1e-6
    members = [_learner(told, name).contributions(rows) for name in ("hazard", "logistic")]
    assert both.contributions(rows) == pytest.approx(sum(members) / 2, abs=1e-9)


def test_its_level_makes_those_who_taught_it_add_up_to_the_events_they_saw(told: tuple[Fitted, np.ndarray]) -> None:
    fitted, taught = told[0], taught_by(dataset(1_500), "expansion").thinned(0)
    log_odds = _learner(told, "average").log_odds(fitted.matrix)[taught.row, taught.interval]
    part = log_odds - LOG_MONTHS[taught.interval] + np.log(taught.months)
    assert taught.weight @ chance(part) == pytest.approx(taught.label.sum(), rel=1e-6)


def test_an_event_that_a_member_never_saw_is_never(told: tuple[Fitted, np.ndarray]) -> None:
    taught = taught_by(dataset(1_500), "expansion")
    nothing = average(taught, Fit(_learner(told, "logistic"), np.zeros(len(taught.row))), Fit(Never(), np.zeros(0)))
    assert isinstance(nothing, Never)
    assert np.isneginf(nothing.log_odds(told[1])).all()


@pytest.mark.parametrize("name", ["average", "hazard", "logistic"])
def test_text_and_json_bring_back_the_very_same_hazard(told: tuple[Fitted, np.ndarray], name: str) -> None:
    rows, hazard = told[1], _learner(told, name)
    texts = {f"expansion.{i}": booster.model_to_string() for i, booster in enumerate(boosters_of(hazard))}
    files = {file: lgb.Booster(model_str=text) for file, text in texts.items()}
    again = hazard_from_json(json.loads(json.dumps(hazard.to_json())), "expansion", files)
    assert np.array_equal(again.log_odds(rows), hazard.log_odds(rows))
    assert np.array_equal(again.contributions(rows), hazard.contributions(rows))
    assert len(texts) == (0 if name == "logistic" else QUICK.seeds)


def test_a_missing_booster_and_a_kind_from_the_future_are_refused(told: tuple[Fitted, np.ndarray]) -> None:
    said = _learner(told, "average").to_json()
    assert isinstance(_learner(told, "average"), Average)
    with pytest.raises(BundleRefused, match=r"lacks the boosters expansion\.0, expansion\.1"):
        hazard_from_json(said, "expansion", {})
    with pytest.raises(BundleRefused, match='expansion is of the kind "forest"'):
        hazard_from_json({"kind": "forest"}, "expansion", {})


@pytest.mark.parametrize("name", ["average", "hazard", "logistic"])
def test_one_interval_asked_alone_is_its_column(told: tuple[Fitted, np.ndarray], name: str) -> None:
    rows, hazard = told[1], _learner(told, name)
    for interval in range(len(LOG_MONTHS)):
        assert np.array_equal(hazard.at(rows, interval), hazard.log_odds(rows)[:, interval])


def test_what_all_learners_say_at_once_is_what_each_says(told: tuple[Fitted, np.ndarray]) -> None:
    said = told[0].log_odds(told[1])
    for learner, by_target in told[0].hazards.items():
        for target, hazard in by_target.items():
            assert np.array_equal(said[learner][target], hazard.log_odds(told[1])), (learner, target)
