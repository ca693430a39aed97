"""Trees taught by a teacher are nearer to the truth than those taught by few outcomes, and a hazard like any other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.special import expit, logit

from models.boosted import fit_boosted
from models.boosting import BoosterParams
from models.files import boosters_of, hazard_from_json
from models.hazard import STARTS, Fit, Hazard, Never, PersonPeriods, person_periods
from models.logistic import CLOCK, fit_logistic_hazard
from tests.models.made_features import days_or_never
from training.ceiling import divergence
from training.teacher import distilled, soft

PARAMS = BoosterParams(seeds=1, monotone=())
NAMES = [*(f"sign_{k}" for k in range(40)), CLOCK]


@dataclass(frozen=True)
class Made:
    """Many noisy signs of one hidden state; some months later the state shows plainly, and few have expanded."""

    signs: np.ndarray
    foreseen: np.ndarray
    taught: PersonPeriods
    linear: Fit
    true: np.ndarray  # (n,) of expanding in the first interval
    account: np.ndarray


@pytest.fixture(scope="module")
def made() -> Made:
    rng, n = np.random.default_rng(2), 6_000
    state = rng.normal(0, 1, n)
    signs = np.exp(state[:, None] + rng.normal(0, 2.5, (n, len(NAMES) - 1)))
    signs = np.column_stack([signs, rng.integers(7, 700, n)])
    rate = 0.0003 * np.exp(1.5 * state)
    day = rng.exponential(1 / rate).astype(int)
    seen = days_or_never(day, day < 360)
    taught = person_periods(seen, days_or_never(day, np.zeros(n, dtype=bool)), np.full(n, 360))
    linear = fit_logistic_hazard(signs, taught, [], names=NAMES, accounts=np.arange(n))
    foreseen = state[:, None] + rng.normal(0, 0.2, (n, 2))
    return Made(signs, foreseen, taught, linear, -np.expm1(-90 * rate), np.arange(n))


@pytest.fixture(scope="module")
def pupil(made: Made) -> Hazard:
    return _distilled(made, made.taught, np.arange(len(made.true)))


def test_few_outcomes_and_a_teacher_come_nearer_to_the_truth_than_few_outcomes_alone(made: Made, pupil: Hazard) -> None:
    alone = fit_boosted(made.signs, made.taught, PARAMS, 1, NAMES, []).hazard
    far, near = (divergence(made.true, expit(hazard.at(made.signs, 0))) for hazard in (alone, pupil))
    assert near < 0.8 * far


def test_what_it_says_adds_up_to_the_events_seen(made: Made, pupil: Hazard) -> None:
    told = sum(expit(pupil.at(made.signs[made.taught.row[rows]], k)).sum() for k, rows in _by_interval(made.taught))
    assert told == pytest.approx(made.taught.label.sum(), rel=0.01)


def test_it_is_kept_and_explained_without_the_teacher(made: Made, pupil: Hazard) -> None:
    few = made.signs[:200]
    named = {f"expansion.{number}": booster for number, booster in enumerate(boosters_of(pupil))}
    again: Hazard = hazard_from_json(pupil.to_json(), "expansion", named)
    assert np.array_equal(again.log_odds(few), pupil.log_odds(few))
    rest = pupil.raw(few) - pupil.contributions(few).sum(axis=1)
    assert np.ptp(rest) < 1e-6
    assert all(booster.num_feature() == len(NAMES) + 1 for booster in named.values()), "no surrogate is asked for"


def test_an_event_that_was_never_seen_stays_so(made: Made) -> None:
    none = replace(made.taught, label=np.zeros(len(made.taught.label)))
    assert isinstance(_distilled(made, none, np.arange(10)), Never)


def test_what_hidden_phases_foretell_brings_the_pupil_nearer_to_the_truth(made: Made, pupil: Hazard) -> None:
    """Every chance of theirs here is one half too high on the odds, so they help by whom they set apart."""
    hidden = np.repeat(logit(made.true)[:, None] + 0.4, len(STARTS), axis=1)
    near = _distilled(made, made.taught, np.arange(len(made.true)), hidden)
    without, with_them = (divergence(made.true, expit(hazard.at(made.signs, 0))) for hazard in (pupil, near))
    assert with_them < without
    told = sum(expit(near.at(made.signs[made.taught.row[rows]], k)).sum() for k, rows in _by_interval(made.taught))
    assert told == pytest.approx(made.taught.label.sum(), rel=0.01)


def _distilled(made: Made, taught: PersonPeriods, asked: np.ndarray, hidden: np.ndarray | None = None) -> Hazard:
    both = np.column_stack([made.signs, made.foreseen])
    told = soft(both, taught, asked, PARAMS, 1, NAMES, [], made.account, hidden)
    return distilled(made.signs, told, taught, made.linear, PARAMS, 1, NAMES, [])


def _by_interval(taught: PersonPeriods) -> list[tuple[int, np.ndarray]]:
    return [(int(k), np.flatnonzero(taught.interval == k)) for k in np.unique(taught.interval)]
