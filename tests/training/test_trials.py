"""Earlier origins teach a level, a learner and a total by outcomes known by then, and nothing where it had hurt."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit

from tests.models.made_features import LABELS, QUICK, dataset
from training.dataset import Dataset
from training.fit import LEARNERS, Fitted, fit_all
from training.trials import SPAN, TREES_FROM, Trial, Window, choose, matured

DAY = date(2025, 6, 1)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit_all(dataset(1_500), LABELS, QUICK, 0)


def window(seed: int, level: float = 0.0, best: str = "average", n: int = 6_000) -> Window:
    """Outcomes drawn from the log-odds of learner `best` moved by `level`; the other learners are noisier."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-3, 1.2, n)
    noisy = true + rng.normal(0, 1.5, n)
    said = {
        learner: {t: true if learner == best else noisy for t in ("expansion", "high_value")} for learner in LEARNERS
    }
    label = (rng.random(n) < expit(true + level)).astype(float)
    accounts = np.array([f"{seed}-{i}" for i in range(n)])
    labels = {"expansion": label, "high_value": label}
    return Window(Trial(DAY, said, np.full(n, 100.0)), labels, np.full(n, 130.0), accounts)


def test_a_level_that_is_off_again_and_again_is_brought_into_line(fitted: Fitted) -> None:
    choice = choose([window(1, -0.5), window(2, -0.5)], fitted, 500)
    calibrated = choice.calibration["expansion"](np.array([-3.0]))
    assert calibrated[0] == pytest.approx(-3.5, abs=0.15)


def test_a_level_that_jumped_and_came_back_is_left_alone(fitted: Fitted) -> None:
    assert choose([window(1, -0.8), window(2, 0.0)], fitted, 500).calibration == {}


def test_one_window_cannot_show_that_a_calibration_would_have_helped(fitted: Fitted) -> None:
    assert choose([window(1, -0.8)], fitted, 500).calibration == {}


def test_luck_calibrates_nothing_and_changes_no_learner(fitted: Fitted) -> None:
    """A hundred vendors whose level is right, with learners that err equally: by a margin of one standard error 16 were
    calibrated and 30 changed their learner."""
    choices = [choose([alike(2 * vendor), alike(2 * vendor + 1)], fitted, 500) for vendor in range(100)]
    assert sum(bool(choice.calibration) for choice in choices) <= 5
    assert sum(choice.learner != fitted.default for choice in choices) <= 12


def alike(seed: int) -> Window:
    """Learners that are off the truth by as much, each by its own noise."""
    one, rng = window(seed), np.random.default_rng(10_000 + seed)
    true = one.trial.log_odds["average"]["expansion"]
    for learner in LEARNERS:
        said = true + rng.normal(0, 0.3, len(true)) - 0.045
        one.trial.log_odds[learner] = {"expansion": said, "high_value": said}
    return one


@pytest.mark.parametrize("best", LEARNERS[1:])
def test_the_learner_that_did_better_before_serves(fitted: Fitted, best: str) -> None:
    choice = choose([window(1, best=best), window(2, best=best)], fitted, 500)
    assert choice.learner == best
    assert best in choice.why


def test_an_account_of_both_windows_is_one_witness(fitted: Fitted) -> None:
    """What speaks for a learner by 1.6 standard errors is no more when the same accounts say it twice; of two sets of
    accounts it is 1.6 times the root of two."""
    once, n = window(1), 6_000
    nobody = {target: np.zeros(n) for target in ("expansion", "high_value")}
    gain = 0.1 * (np.resize([1.0, -1.0], n) + 1.6 / np.sqrt(n))
    odds = once.trial.log_odds | {"logistic": {target: np.log(np.exp(np.log(2) - gain) - 1) for target in nobody}}
    odds |= {learner: nobody for learner in LEARNERS if learner != "logistic"}  # log-odds 0: a loss of log 2 each
    once = replace(once, trial=replace(once.trial, log_odds=odds), label=nobody)
    others = replace(once, account=np.char.add("other ", once.account))
    assert choose([once, others], fitted, 500).learner == "logistic"
    assert choose([once, once], fitted, 500).learner == "average"


def test_few_expansions_are_left_to_the_ridge_and_without_an_earlier_origin_the_default_serves(fitted: Fitted) -> None:
    few = choose([window(1, best="hazard")], fitted, TREES_FROM - 1)
    assert few.learner == "logistic"
    assert few.why == f"{TREES_FROM - 1} accounts expanded, fewer than {TREES_FROM}"
    assert choose([], fitted, TREES_FROM).learner == "average"


def test_a_default_that_was_not_there_before_serves_until_another_was_better_beside_it(fitted: Fitted) -> None:
    """Early origins may have had too short a history for a teacher: they say nothing against its pupil."""
    now = replace(fitted, hazards={"distilled": fitted.hazards["hazard"], **fitted.hazards})
    two = [window(1, best="logistic"), window(2, best="logistic")]
    for one in two:
        del one.trial.log_odds["distilled"]
    assert choose(two, now, 500).learner == "distilled"
    assert choose([window(1, best="logistic"), window(2, best="logistic")], now, 500).learner == "logistic"


def test_models_of_another_kind_teach_nothing(fitted: Fitted) -> None:
    ridges = [replace(one, trial=replace(one.trial, trees=False)) for one in (window(1, -0.5), window(2, -0.5))]
    choice = choose(ridges, fitted, 500)
    assert choice.calibration == {}
    assert choice.amount is fitted.amount
    assert choose(ridges, fitted, TREES_FROM - 1).calibration != {}


def test_the_total_of_the_money_follows_the_newest_window(fitted: Fitted) -> None:
    moved = choose([window(1), window(2)], fitted, 500).amount
    assert moved is not None
    assert 1.2 < moved.smear / fitted.amount.smear < 1.3, "they gained 130 where 100 was expected"


def test_only_trials_whose_outcomes_had_come_by_then_are_looked_at() -> None:
    data = dataset(1_500)
    n = len(data)
    trial = Trial(
        DAY, {learner: {"expansion": np.zeros(n), "high_value": np.zeros(n)} for learner in LEARNERS}, np.ones(n)
    )
    done = DAY + timedelta(days=SPAN + LABELS.held_days)
    assert matured([trial], data, done - timedelta(days=1), LABELS.held_days) == []
    [found] = matured([trial], data, done, LABELS.held_days)
    assert np.array_equal(found.label["expansion"], data.outcome("expansion", SPAN), equal_nan=True)
    nobody = Dataset(
        data.features,
        data.labels.set_column(
            data.labels.column_names.index("expansion_day"), "expansion_day", pa.nulls(n, pa.int64())
        ),
    )
    assert matured([trial], nobody, done, LABELS.held_days) == [], "without expansions it tells nothing of a level"
