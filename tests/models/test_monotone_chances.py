"""Whatever the hazards and however calibrated: P(h) never falls in h, both events together stay within 1, and the
high-value tier is never likelier than the next one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.calibration import Calibration
from models.hazard import EDGES, STARTS, chance, incidence
from models.scorer import Scorer
from tests.models.made_features import DEFINITIONS, LABELS, QUICK, feature_rows, history
from training.fit import LEARNERS, assemble, fit_all

HORIZONS = EDGES[1:]
_log_odds = arrays(
    np.float64,
    (6, len(STARTS)),
    elements=st.one_of(st.floats(-40, 40), st.just(-np.inf), st.just(40.0), st.just(-745.0)),
)
_slope = st.floats(0.0, 5.0)


@settings(max_examples=200, deadline=None)
@given(_log_odds, _log_odds, _slope, _slope, st.floats(-3, 3))
def test_chances_rise_with_the_horizon_and_share_one_whole(
    expand: np.ndarray, churn: np.ndarray, a: float, b: float, c: float
) -> None:
    by_expand, by_churn = incidence(chance(Calibration(a, b, c)(expand)), chance(churn), HORIZONS)
    for said in (by_expand, by_churn):
        table = np.column_stack([said[h] for h in HORIZONS])
        assert ((table >= 0) & (table <= 1)).all()
        assert (np.diff(table, axis=1) >= 0).all()
    for h in HORIZONS:
        assert (by_expand[h] + by_churn[h] <= 1 + 1e-12).all()


@pytest.fixture(scope="module")
def scorers() -> list[Scorer]:
    """One a learner, calibrated each in a way that pulls the two targets apart."""
    data = history()
    fitted = fit_all(data, LABELS, QUICK, 0, teacher=True)
    apart = {"expansion": Calibration(1.4, 0.6, -1.0), "high_value": Calibration(0.7, 1.2, 1.0)}
    return [assemble(fitted, DEFINITIONS, LABELS, {}, learner, apart) for learner in LEARNERS]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 1e6))
def test_every_row_of_every_learner_keeps_the_promises(scorers: list[Scorer], seed: int, scale: float) -> None:
    """Rows far outside of training too."""
    rows = feature_rows(40, seed=seed)
    for scorer in scorers:
        matrix = scorer.encoding.matrix(rows)
        matrix[::2] *= scale
        for one in (scorer, replace(scorer, calibration={})):
            said = one.predict(matrix)
            assert all(np.isfinite(values).all() for values in said.values())
            assert (said["expansion_180"] >= said["expansion_90"]).all()
            assert (said["high_value_180"] >= said["high_value_90"]).all()
            assert (said["churn_180"] >= said["churn_90"]).all()
            for h in LABELS.horizons:
                assert (said[f"expansion_{h}"] + said[f"churn_{h}"] <= 1 + 1e-12).all()
                assert (said[f"high_value_{h}"] <= said[f"expansion_{h}"]).all()
                assert (said[f"increment_{h}"] >= 0).all()
