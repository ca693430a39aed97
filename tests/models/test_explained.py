"""What reasons promise: they add up, name the right feature, hold still, and find a cause that was planted."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from features.catalogue import CATALOGUE, FEATURE_NAMES
from models import peers
from models.boosted import fit_boosted
from models.calibration import Calibration
from models.encoding import Encoding
from models.hazard import REASON_INTERVAL, chance, person_periods
from models.logistic import fit_logistic
from models.peers import AGE_BANDS, age_band
from models.reasons import FAMILIES, MEMBER, Blend, by_family, summary
from models.scorer import Scorer
from tests.models.made_features import (
    DEFINITIONS,
    LABELS,
    QUICK,
    caused,
    dataset,
    days_or_never,
    feature_rows,
    fitted,
)
from training.dataset import Dataset
from training.fit import Fitted, assemble, fit_all
from training.recipe import TrainParams


def test_an_average_of_boosters_and_a_logistic_adds_up_as_each_part_does(scorer: Scorer, tonight: pa.Table) -> None:
    data = dataset(800)
    training = np.nan_to_num(scorer.encoding.matrix(data.features))
    label = np.nan_to_num(data.outcome("expansion", 180))
    one, other, linear = fitted(5).hazards["expansion"], scorer.hazards["expansion"], fit_logistic(training, label)
    blend, matrix = Blend(((0.3, one), (0.3, other), (0.4, linear))), scorer.encoding.matrix(tonight)
    assert np.ptp(blend.raw(matrix) - blend.contributions(matrix).sum(axis=1)) < 1e-6
    said, linear_said = chance(other.log_odds(matrix)[:, REASON_INTERVAL]), linear.predict(matrix)
    by_hand = 0.3 * one.raw(matrix) + 0.3 * np.log(said / (1 - said)) + 0.4 * np.log(linear_said / (1 - linear_said))
    assert np.abs(blend.raw(matrix) - by_hand).max() < 1e-9


def test_peers_of_an_age_contribute_nothing_on_average(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "PEER_ROWS", 10_000)  # all of them, so that the mean is over just these rows
    training = dataset(900).features
    scorer = fitted(n=900)
    explanation, bands = scorer.beside(training).explain(training), age_band(training)
    assert explanation is not None
    for band in range(len(AGE_BANDS)):
        assert np.abs(explanation.centred[bands == band].mean(axis=0)).max() < 1e-9


def test_those_that_sleep_are_no_peers_but_where_hardly_anybody_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "PEER_ROWS", 10_000)
    training = dataset(900).features
    bands = age_band(training)
    events = np.where(np.arange(len(training)) % 3 == 0, 5.0, 0.0)  # two thirds sleep
    quiet = int(np.argmin(np.bincount(bands)))
    events[np.flatnonzero(bands == quiet)[: -peers.LEAST + 1]] = 0.0  # of this band one too few is in use
    place = training.column_names.index("events_28d")
    training = training.set_column(place, "events_28d", pa.array(events, training.schema.field(place).type))
    scorer = fitted(n=900).beside(training)
    explanation = scorer.explain(training)
    assert explanation is not None
    for band in range(len(AGE_BANDS)):
        own = bands == band
        compared = own if band == quiet else own & (events > 0)
        assert np.abs(explanation.centred[compared].mean(axis=0)).max() < 1e-9
        used = training["users_28d"].to_numpy()[compared].astype(float)
        assert scorer.peers.medians["users_28d"][band] == np.median(used)
    assert np.abs(explanation.centred[events == 0].mean(axis=0)).max() > 1e-3, "else the events say nothing here"


def test_an_age_that_nobody_had_at_training_is_compared_with_everybody(scorer: Scorer) -> None:
    training = dataset(900).features
    old = training.filter(np.asarray(training["tenure_days"]) >= 90)
    learned = scorer.beside(old).peers
    assert learned.log_odds[0] == learned.log_odds[1]
    assert learned.log_odds[0] != learned.log_odds[2]
    assert learned.medians["users_28d"][0] == np.median(old["users_28d"])


def test_changing_one_feature_moves_its_own_reason_most(scorer: Scorer, tonight: pa.Table) -> None:
    """A name on the wrong value is the classic fault of explainers that know columns by place."""
    told = scorer.explain(tonight)
    assert told is not None
    used = [name for name in ("users_28d", "users_90d", "events_28d", "headroom") if name in FEATURE_NAMES]
    for name in used:
        place, at = FEATURE_NAMES.index(name), tonight.column_names.index(name)
        moved = scorer.explain(tonight.set_column(at, name, pa.array(np.full(len(tonight), 40.0))))
        assert moved is not None
        shift = np.abs(moved.centred - told.centred).mean(axis=0)
        if shift.any():
            assert int(np.argmax(shift)) == place, name
    at = tonight.column_names.index("users_28d")
    raised = scorer.score(tonight.set_column(at, "users_28d", pa.array(np.full(len(tonight), 40.0))))
    reasons = [json.loads(line) for line in raised["reasons"].to_pylist()]
    named = [r for told_now in reasons for r in told_now if r["feature"] == "users_28d"]
    assert named
    assert all("40 users" in r["text"] and r["value"] == 40.0 for r in named)


def test_unchanged_inputs_give_unchanged_reasons_alone_or_among_others(scorer: Scorer, tonight: pa.Table) -> None:
    once = scorer.score(tonight)["reasons"]
    assert scorer.score(tonight)["reasons"].equals(once)
    assert scorer.score(tonight.slice(7, 1))["reasons"][0] == once[7]


def test_the_cause_that_was_planted_is_the_first_reason_for_four_in_five_of_those_it_lifts() -> None:
    """In `dataset` active users alone drive expansion; whoever is above the 80 % point of them is lifted."""
    assert first_of_the_lifted(fitted(n=3_000)) >= 0.8


def first_of_the_lifted(scorer: Scorer) -> float:
    """Of the accounts in the top fifth of active users: the share whose first reason is that they have many."""
    told = scorer.score(rows := feature_rows(1_000, seed=21))
    lifted = np.asarray(rows["users_28d"]) > np.quantile(np.asarray(rows["users_28d"]), 0.8)
    reasons = [json.loads(line) for line in told["reasons"].filter(pa.array(lifted)).to_pylist()]
    return float(np.mean([bool(r) and (r[0]["family"], r[0]["direction"]) == ("users", "up") for r in reasons]))


def taught(data: Dataset, seed: int = 0) -> Fitted:
    """As the product fits it: with a teacher, so that the distilled learner serves."""
    fit = fit_all(data, LABELS, QUICK, seed, teacher=TrainParams().teacher)
    assert fit.default == "distilled"
    return fit


def test_the_learner_that_ships_names_the_planted_cause_and_adds_up(tonight: pa.Table) -> None:
    """The pupil knows the outcomes by hearsay: from a teacher who looks at what users and money will become."""
    data = caused("users_28d", accounts=200)
    scorer = assemble(taught(data), DEFINITIONS, LABELS, {}).beside(data.features)
    assert first_of_the_lifted(scorer) >= 0.8
    hazard, matrix = scorer.hazards["expansion"], scorer.encoding.matrix(tonight)
    assert np.ptp(hazard.raw(matrix) - hazard.contributions(matrix).sum(axis=1)) < 1e-6


def test_five_refits_with_other_seeds_tell_mostly_the_same_three_families() -> None:
    """Three families drive these outcomes; what remains is noise that a refit may hear otherwise."""
    names, rng = list(FEATURE_NAMES), np.random.default_rng(4)
    matrix = np.nan_to_num(Encoding.learn(table := feature_rows(2_500, seed=22)).matrix(table))
    ranks = [
        matrix[:, names.index(n)].argsort().argsort() / len(matrix) for n in ("users_28d", "employees", "booked_90d")
    ]
    day = rng.exponential(250 * np.exp(-3 * (np.sum(ranks, axis=0) - 1.5))).astype(int)
    observed = np.full(len(day), 400)
    said = []
    for seed in range(5):
        rows = person_periods(day, days_or_never(day, day < 0), observed)
        hazard = fit_boosted(matrix, rows, QUICK, seed, names, []).hazard
        said.append(hazard.contributions(matrix[:300]))
    assert shared_families(said) >= 0.6


@pytest.mark.slow
def test_five_refits_of_the_learner_that_ships_tell_mostly_the_same_three_families() -> None:
    """The teacher's forecasts, its lots and the pupil's trees are all drawn anew with the seed."""
    data = caused("users_28d", "employees", "booked_90d", accounts=200)
    fits = [taught(data, seed) for seed in range(5)]
    assert (
        shared_families([fit.hazards["distilled"]["expansion"].contributions(fit.matrix[:300]) for fit in fits]) >= 0.6
    )


def shared_families(contributions: list[np.ndarray]) -> float:
    """Mean overlap (Jaccard) of the three families that tell most of an account, over pairs of refits."""
    top = [np.argsort(-np.abs(by_family(one - one.mean(axis=0))), axis=1)[:, :3] for one in contributions]
    pairs = [(set(a), set(b)) for x, y in combinations(top, 2) for a, b in zip(x, y, strict=True)]
    return float(np.mean([len(a & b) / len(a | b) for a, b in pairs]))


def test_the_summary_is_the_mean_size_of_each_familys_sum_largest_first(scorer: Scorer, tonight: pa.Table) -> None:
    explanation = scorer.explain(tonight)
    assert explanation is not None
    said = summary(explanation.centred)
    by_name = {row["family"]: row["mean_abs"] for row in said["families"]}
    members = [i for i, feature in enumerate(CATALOGUE) if feature.family == "users"]
    expected = np.mean([abs(sum(explanation.centred[r, i] for i in members)) for r in range(len(tonight))])
    assert by_name["users"] == pytest.approx(expected)
    assert list(by_name.values()) == sorted(by_name.values(), reverse=True)
    assert sum(row["share"] for row in said["families"]) == pytest.approx(1)
    assert set(by_name) == set(FAMILIES)
    assert (MEMBER.sum(axis=1) == 1).all()
    assert summary(explanation.centred[:0])["rows"] == 0


def test_calibration_is_no_reason(scorer: Scorer, tonight: pa.Table) -> None:
    moved = replace(scorer, calibration={"expansion": Calibration(0.8, 1.1, 0.4)})
    plain, calibrated = scorer.explain(tonight), moved.explain(tonight)
    assert plain is not None
    assert calibrated is not None
    assert np.array_equal(plain.centred, calibrated.centred)
    assert np.array_equal(plain.log_odds, calibrated.log_odds)
