"""Rules of thumb: ties are fair, nulls are last, and the fallback is a share of tonight's accounts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.baselines import FALLBACK_RULE, RULES, rule_score
from tests.models.made_features import feature_rows


def _with(table: pa.Table, **columns: list[float | None]) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.float64()))
    return table


def test_the_score_is_the_share_of_accounts_that_rank_no_higher_and_ties_share_their_mean() -> None:
    table = _with(feature_rows(4), booked_90d=[5.0, 0.0, 5.0, 9.0])
    assert rule_score(table, "spend_90d").tolist() == [0.5, 0.125, 0.5, 0.875]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_scores_within_one_keeps_its_order_and_gives_equals_the_same(rule: str) -> None:
    table = feature_rows(300, seed=3)
    ranking, score = RULES[rule](table), rule_score(table, rule)
    assert np.isfinite(ranking).all()
    assert ((score >= 0) & (score <= 1)).all()
    assert score.mean() == pytest.approx(0.5)
    order = np.argsort(ranking, kind="stable")
    assert ((np.diff(ranking[order]) > 0) == (np.diff(score[order]) > 0)).all()


def test_never_invoiced_ranks_below_the_longest_silence() -> None:
    table = _with(feature_rows(3), days_since_last_invoice=[None, 3.0, 900.0])
    assert np.argsort(-RULES["recency"](table)).tolist() == [1, 2, 0]


def test_activity_ranks_days_first_and_a_login_storm_of_one_day_stays_one_day() -> None:
    table = _with(feature_rows(3), active_days_28d=[1.0, 2.0, 2.0], events_28d=[1e6, 2.0, 40.0])
    assert np.argsort(-RULES[FALLBACK_RULE](table)).tolist() == [2, 1, 0]


def test_no_account_gives_no_score() -> None:
    assert rule_score(feature_rows(5).slice(0, 0)).tolist() == []
