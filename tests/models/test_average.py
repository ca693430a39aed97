"""The average of hazards: the mean in log-odds, explained by its members, and the same after a way through text."""

from __future__ import annotations

import json
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import pytest

from models.average import Average, average, young
from models.errors import BundleRefused
from models.files import boosters_of, hazard_from_json
from models.hazard import LOG_MONTHS, REASON_INTERVAL, Fit, Hazard, Never, PersonPeriods, chance
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


@dataclass(frozen=True)
class Stated:
    """Says what its first column says, of a month."""

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        return matrix[:, :1] + LOG_MONTHS

    def at(self, matrix: np.ndarray, interval: int) -> np.ndarray:
        return self.log_odds(matrix)[:, interval]

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        return self.at(matrix, REASON_INTERVAL)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        return np.column_stack([self.raw(matrix), np.zeros(len(matrix))])

    def to_json(self) -> dict[str, str]:
        return {"kind": "stated"}


@dataclass(frozen=True)
class Lacking:
    """Chances of which a mean of log-odds says too little of the young and, in the first interval, the same of all."""

    taught: PersonPeriods
    age: np.ndarray
    said: np.ndarray
    true: np.ndarray


@pytest.fixture(scope="module")
def lacking() -> Lacking:
    rng, n = np.random.default_rng(5), 60_000
    interval, age = rng.integers(0, 4, n), rng.integers(7, 600, n).astype(float)
    said = rng.normal(-4, 1.2, n) + LOG_MONTHS[interval]
    first = interval == 0
    true = said + 0.2 * young(age) + first * 0.3 * (said - LOG_MONTHS[0] + 4) - first * 0.4
    label = (rng.random(n) < chance(true)).astype(float)
    rows = PersonPeriods(np.arange(n), interval, label, np.full(n, 3.0), np.ones(n))
    return Lacking(rows, age, said, true)


def test_it_learns_what_its_mean_lacks_of_the_young_and_of_the_first_interval(lacking: Lacking) -> None:
    found = average(lacking.taught, Fit(Stated(), lacking.said), age=lacking.age, clock=1)
    assert isinstance(found, Average)
    assert found.youth == pytest.approx(0.2, abs=0.05)
    assert found.first[1] == pytest.approx(1.3, abs=0.07)
    matrix = np.column_stack([lacking.said - LOG_MONTHS[lacking.taught.interval], lacking.age])
    moved = found.log_odds(matrix)[np.arange(len(matrix)), lacking.taught.interval]
    assert np.abs(moved - lacking.true).mean() < np.abs(lacking.said - lacking.true).mean() / 3
    assert chance(moved).sum() == pytest.approx(lacking.taught.label.sum(), rel=1e-6)
    for interval in range(len(LOG_MONTHS)):
        assert np.array_equal(found.at(matrix, interval), found.log_odds(matrix)[:, interval])


def test_what_is_added_to_the_young_is_explained_by_their_age_and_kept_as_text(lacking: Lacking) -> None:
    found = average(lacking.taught, Fit(Stated(), lacking.said), age=lacking.age, clock=1)
    matrix = np.column_stack([np.zeros(3), [10.0, 500.0, np.nan]])
    assert found.raw(matrix) - found.contributions(matrix).sum(axis=1) == pytest.approx(np.full(3, found.level))
    assert found.contributions(matrix)[:, 1] == pytest.approx([found.youth * np.log(40), 0.0, 0.0])
    assert np.array_equal(found.raw(matrix), found.at(matrix, REASON_INTERVAL))
    told = json.loads(json.dumps(found.to_json()))
    assert Average(found.parts, told["level"], told["youth"], told["clock"], tuple(told["first"])) == found
