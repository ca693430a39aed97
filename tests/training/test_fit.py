"""The recipe: who teaches which hazard, what the card says, and a learner that is blind where it must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from features.catalogue import fingerprint
from tests.models.made_features import DEFINITIONS, LABELS, QUICK, dataset, fit_scorer, fitted
from training.dataset import Dataset
from training.errors import PlanBroken
from training.fit import BOOKS, fit_all, fit_books_only


def _relabelled(data: Dataset, name: str, values: object) -> Dataset:
    at = data.labels.column_names.index(name)
    return replace(data, labels=data.labels.set_column(at, name, pa.array(values)))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset(1_500)


def test_the_scorer_ranks_those_who_expand_first_and_its_level_is_right() -> None:
    later = dataset(3_000, seed=7)
    said = fitted().predict(fitted().encoding.matrix(later.features))["expansion_180"]
    at_risk = later.flag("expansion_at_risk")
    came = (later.days("expansion_day") < 180)[at_risk]
    said = said[at_risk]
    assert said[came].mean() > 1.2 * said[~came].mean()
    assert said.sum() == pytest.approx(came.sum(), rel=0.1)


def test_accounts_not_at_risk_teach_nothing_about_expansion(data: Dataset) -> None:
    """What happened to accounts at the top may be anything: the hazard of expansion stays the same."""
    matrix = fitted().encoding.matrix(data.features)
    days = data.labels["expansion_day"].to_pylist()
    at_risk = data.flag("expansion_at_risk")
    wild = [day if taught else 3 for day, taught in zip(days, at_risk, strict=True)]
    assert not at_risk.all()
    other = fit_scorer(_relabelled(data, "expansion_day", wild), DEFINITIONS, LABELS, QUICK, 0, {})
    plain = fit_scorer(data, DEFINITIONS, LABELS, QUICK, 0, {})
    one, two = (scorer.hazards["expansion"].log_odds(matrix) for scorer in (plain, other))
    assert np.array_equal(one, two)


def test_amounts_are_learned_from_those_who_expanded_alone(data: Dataset) -> None:
    gains = data.labels["increment_180"].to_pylist()
    came = data.outcome("expansion", 180) == 1
    wild = [gain if grown else 1e7 for gain, grown in zip(gains, came, strict=True)]
    matrix = fitted().encoding.matrix(data.features)
    one = fit_scorer(data, DEFINITIONS, LABELS, QUICK, 0, {}).amount.expected(matrix, 180)
    two = fit_scorer(_relabelled(data, "increment_180", wild), DEFINITIONS, LABELS, QUICK, 0, {}).amount
    assert np.array_equal(one, two.expected(matrix, 180))
    assert one.sum() > 0


def test_the_card_says_how_the_bundle_is_to_be_read(data: Dataset) -> None:
    card = fit_scorer(data, DEFINITIONS, LABELS, QUICK, 0, {"grade": "fair"}).card
    assert card["method"] == "model"
    assert card["horizons"] == [90, 180]
    assert card["default_horizon"] == 180
    assert card["fingerprint"] == fingerprint(DEFINITIONS)
    assert card["tiers"][0] == {"name": "trial", "floor": 0.0}
    assert card["grade"] == "fair"


def test_the_books_only_learner_sees_no_behaviour(data: Dataset) -> None:
    fitted = fit_all(data, LABELS, QUICK, 1, trees=False)
    rows = fitted.encoding.matrix(dataset(200, seed=3).features)
    others = rows.copy()
    others[:, [i for i, name in enumerate(fitted.encoding.names) if name not in BOOKS]] = 999.0
    said, blind = (fit_books_only(data, fitted, some, LABELS, QUICK, 1) for some in (rows, others))
    assert set(said) == {"expansion_90", "expansion_180"}
    assert np.array_equal(said["expansion_180"], blind["expansion_180"])
    assert len(set(said["expansion_180"].tolist())) > 1, "and yet it tells accounts apart"
    assert {"run_rate", "tier", "booked_90d", "tenure_days", "industry"} <= BOOKS
    assert not BOOKS & {"users_28d", "events_28d", "stage", "active_days_28d"}


def test_features_and_outcomes_in_another_order_are_refused(data: Dataset) -> None:
    backwards = data.labels.take(list(range(len(data)))[::-1])
    with pytest.raises(PlanBroken, match="disagree in account_id"):
        Dataset(data.features, backwards)


def test_an_outcome_is_known_only_where_observed_through_the_horizon_and_at_risk(data: Dataset) -> None:
    few = data.take(np.arange(len(data)) < 4)
    for name, values in {
        "observed_days": [400, 179, 180, 400],
        "expansion_day": pa.array([10, 10, 180, None], pa.int64()),
        "expansion_at_risk": [True, True, True, False],
    }.items():
        few = _relabelled(few, name, values)
    outcome = few.outcome("expansion", 180)
    assert outcome[0] == 1.0
    assert np.isnan(outcome[1]), "an early success beside failures not over yet would bias the rate upwards"
    assert outcome[2] == 0.0, "the horizon is half-open: day 180 is outside [0, 180)"
    assert np.isnan(outcome[3])
