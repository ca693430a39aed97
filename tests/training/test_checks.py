"""Outcomes defined elsewhere, recomputed here from their definition in plain Python."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.boosting import BoosterParams
from tests.models.made_features import AS_OF, feature_rows
from training.checks import Check, fit_check, outcome, tier_floors
from training.dataset import Dataset

CHECK = Check(name="moved_up", floors=(1.0, 100.0, 1000.0))
FLOORS = np.array(CHECK.floors)


def _history(last: list[float], later: list[float | None], base: pa.Table | None = None) -> Dataset:
    """Accounts with `last` booked in the 90 days before, and `later` in the 180 days after (null: not over yet)."""
    table = feature_rows(len(last)) if base is None else base
    table = table.set_column(table.column_names.index("booked_90d"), "booked_90d", pa.array(last, pa.float64()))
    labels = {
        "account_id": table["account_id"],
        "as_of": pa.array([AS_OF] * len(last), pa.date32()),
        "booked_180": pa.array(later, pa.float64()),
    }
    return Dataset(table, pa.table(labels))


@pytest.mark.parametrize(
    ("last", "later", "up", "increment"),
    [
        (0.0, 2.0, 1.0, 1.0),  # mean per 90 days is 1, the first floor: floors are within the tier above
        (0.0, 1.9, 0.0, 0.95),
        (50.0, 198.0, 0.0, 49.0),
        (50.0, 200.0, 1.0, 50.0),
        (500.0, 0.0, 0.0, 0.0),  # a fall is no increment
        (5000.0, 90000.0, 0.0, 40000.0),  # the top cannot rise, and stays in
        (-20.0, 0.0, 0.0, 20.0),
    ],
)
def test_an_account_moves_up_when_its_mean_later_spend_lies_in_a_higher_tier(
    last: float, later: float, up: float, increment: float
) -> None:
    label, gained = outcome(CHECK, _history([last], [later]), FLOORS)
    assert label.tolist() == [up]
    assert gained == pytest.approx([increment])


def test_an_outcome_still_running_is_unknown_not_zero() -> None:
    label, gained = outcome(CHECK, _history([5.0, 5.0], [None, 500.0]), FLOORS)
    assert np.isnan(label[0])
    assert np.isnan(gained[0])
    assert label[1] == 1.0


def test_floors_are_quantiles_of_training_spend_whose_outcome_is_known() -> None:
    spend = [float(v) for v in range(1, 101)] + [1e6] * 50
    data = _history(spend, [0.0] * 100 + [None] * 50)
    floors = tier_floors(Check(name="moved_up"), data)
    assert floors == pytest.approx([50.5, 80.2, 95.05])
    assert tier_floors(CHECK, data).tolist() == [1.0, 100.0, 1000.0]


def test_the_learner_finds_who_moves_up_and_by_how_much() -> None:
    rng = np.random.default_rng(1)
    n = 8_000
    table = feature_rows(n, seed=2)
    users = np.asarray(table["users_28d"])
    grows = rng.random(n) < np.where(users > 4, 0.5, 0.02)
    later = np.where(grows, 2 * rng.lognormal(6, 0.5, n), 0.0)
    data = _history([0.0] * n, later.tolist(), table)
    half = np.arange(n) < n // 2
    train, test = data.take(half), data.take(~half)
    label, gained = outcome(CHECK, train, FLOORS)
    params = BoosterParams(rounds=60, learning_rate=0.15, feature_fraction=0.5, lambda_l2=10)
    probability, expected = fit_check(CHECK, train, label, gained, test, params, 1)
    many = users[~half] > 4
    assert probability[many].mean() == pytest.approx(0.5, abs=0.08)
    assert probability[~many].mean() == pytest.approx(0.02, abs=0.03)
    truth = outcome(CHECK, test, FLOORS)[1]
    assert expected.sum() == pytest.approx(truth.sum(), rel=0.1)


def test_money_also_comes_from_accounts_that_cannot_move_up() -> None:
    """On the top tier already, and growing on it: no move, yet most of the money."""
    rng = np.random.default_rng(3)
    n = 4_000
    table = feature_rows(n, seed=4)
    top = np.asarray(table["users_28d"]) > 4
    spend = np.where(top, 2_000.0, 0.0)
    later = np.where(top, 2 * (spend + rng.lognormal(6, 0.5, n)), np.where(rng.random(n) < 0.1, 20.0, 0.0))
    data = _history(spend.tolist(), later.tolist(), table)
    half = np.arange(n) < n // 2
    train, test = data.take(half), data.take(~half)
    label, gained = outcome(CHECK, train, FLOORS)
    params = BoosterParams(rounds=30, learning_rate=0.15, feature_fraction=0.5, lambda_l2=10)
    probability, expected = fit_check(CHECK, train, label, gained, test, params, 1)
    assert label[top[half]].sum() == 0
    assert probability[top[~half]].mean() < 0.02
    assert expected[top[~half]].min() > expected[~top[~half]].max()
