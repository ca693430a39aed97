"""A booster with one column held: the same raw scores, and TreeSHAP of what is left equal to Shapley's definition."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from models.trees import hold, thresholds

HELD = 3


def grown(rounds: int, leaves: int, seed: int = 0) -> tuple[lgb.Booster, np.ndarray]:
    """A booster on three numeric columns (the first with nulls), one to be held, and one category; all interact."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(2_000, 5)).round(2)
    rows[:, HELD] = rng.choice([30.0, 90.0, 180.0], len(rows))
    rows[:, 4] = rng.integers(0, 6, len(rows))
    label = rows[:, 0] * (rows[:, HELD] > 60) + rows[:, 1] * rows[:, 2] + (rows[:, 4] % 2) * (rows[:, HELD] / 90)
    rows[rng.random(len(rows)) < 0.1, 0] = np.nan
    settings = {"num_leaves": leaves, "min_data_in_leaf": 20, "verbosity": -1, "seed": seed, "num_threads": 1}
    data = lgb.Dataset(rows, label, categorical_feature=[4])
    return lgb.train(settings, data, num_boost_round=rounds), rows


@pytest.mark.parametrize("value", [30.0, 90.0, 180.0, 1e6])
@pytest.mark.parametrize("leaves", [2, 3, 12])
def test_a_held_booster_scores_every_row_as_if_it_had_the_value(value: float, leaves: int) -> None:
    booster, rows = grown(40, leaves)
    as_if = rows.copy()
    as_if[:, HELD] = value
    held = hold(booster, HELD, value)
    assert np.array_equal(held.predict(rows, raw_score=True), booster.predict(as_if, raw_score=True))
    assert HELD in thresholds(booster)
    assert HELD not in thresholds(held)


def test_a_tree_that_splits_on_nothing_else_becomes_a_constant() -> None:
    rng = np.random.default_rng(1)
    rows = np.column_stack([np.zeros(500), np.zeros(500), np.zeros(500), rng.choice([30.0, 90.0], 500)])
    booster = lgb.train({"verbosity": -1, "num_threads": 1}, lgb.Dataset(rows, rows[:, HELD]), num_boost_round=5)
    held = hold(booster, HELD, 90.0)
    assert held.predict(rows[:3]) == pytest.approx([90.0] * 3, abs=40)
    assert np.ptp(held.predict(rows)) == 0
    assert not np.asarray(held.predict(rows, pred_contrib=True))[:, :-1].any()


def test_contributions_of_a_held_booster_are_shapley_values_by_their_definition() -> None:
    booster, rows = grown(3, 8)
    held = hold(booster, HELD, 90.0)
    told = np.asarray(held.predict(rows[:40], pred_contrib=True))
    trees = held.dump_model()["tree_info"]
    others = (0, 1, 2, 4)
    for row, contributions in zip(rows[:40], told, strict=True):
        for column in others:
            assert contributions[column] == pytest.approx(_shapley(trees, row, column, others), abs=1e-9)
        assert contributions[HELD] == 0


def _shapley(trees: list[Any], row: np.ndarray, column: int, columns: tuple[int, ...]) -> float:
    rest, n, total = [c for c in columns if c != column], len(columns), 0.0
    for size in range(n):
        weight = factorial(size) * factorial(n - size - 1) / factorial(n)
        for known in combinations(rest, size):
            with_it = sum(_expected(tree["tree_structure"], row, {*known, column}) for tree in trees)
            total += weight * (with_it - sum(_expected(tree["tree_structure"], row, set(known)) for tree in trees))
    return total


def _expected(node: dict[str, Any], row: np.ndarray, known: set[int]) -> float:
    """What the tree says of a row of which the `known` columns are known; at others both sides, by the rows behind."""
    if "leaf_value" in node:
        return float(node["leaf_value"])
    sides = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        return _expected(sides[0] if _left(node, row[node["split_feature"]]) else sides[1], row, known)
    counts = [side.get("internal_count", side.get("leaf_count")) for side in sides]
    return sum(_expected(side, row, known) * c for side, c in zip(sides, counts, strict=True)) / sum(counts)


def _left(node: dict[str, Any], value: float) -> bool:
    if node["decision_type"] == "==":
        return str(int(value)) in str(node["threshold"]).split("||")
    if np.isnan(value) and node["missing_type"] == "NaN":
        return bool(node["default_left"])
    return float(np.nan_to_num(value)) <= node["threshold"]
