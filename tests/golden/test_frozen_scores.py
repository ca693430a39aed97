"""Models saved by an older version answer as they did then. To rewrite: `python -m tests.golden.freeze`."""

from __future__ import annotations

import numpy as np
import pytest

from tests.golden.freeze import FROZEN, answers, rows, thawed


def test_frozen_models_answer_as_on_the_day_they_were_frozen() -> None:
    expand, churn, ridge, amount, said = thawed()
    now = answers(expand, churn, ridge, amount)
    assert set(now) == set(said)
    for name, values in said.items():
        assert now[name] == pytest.approx(values, rel=1e-12, abs=1e-12), name


def test_one_frozen_probability_by_hand() -> None:
    """The text file is read here without LightGBM: leaf values summed by walking the trees of the first row."""
    expand, churn, _, _, said = thawed()
    row = rows()[4]
    alive, by_expand = 1.0, 0.0
    for k, (start, days) in enumerate([(0, 90), (90, 90)]):
        chances = []
        for name, hazard, shift in (("expansion", expand, 0.2), ("churn", churn, 0.0)):
            raw = sum(_walk(tree, [*row, float(start)]) for tree in _trees(name))
            chances.append(1 / (1 + np.exp(-(raw + hazard.base + np.log(days / 30) + shift))))
        by_expand += alive * chances[0]
        alive *= 1 - sum(chances)
        assert k < 2
    assert by_expand == pytest.approx(said["expansion_180"][4], rel=1e-9)


def _trees(name: str) -> list[dict[str, list[str]]]:
    blocks = (FROZEN / f"{name}.lgb.txt").read_text().split("\n\n\n")
    text = [part for block in blocks for part in block.split("Tree=")[1:]]
    return [dict(_pair(line) for line in part.splitlines() if "=" in line) for part in text]


def _pair(line: str) -> tuple[str, list[str]]:
    key, values = line.split("=", 1)
    return key, values.split()


def _walk(tree: dict[str, list[str]], row: list[float]) -> float:
    """One tree: bit 0 of decision_type is a category, bit 1 sends a missing value left, bits 2-3 are its kind."""
    if int(tree["num_leaves"][0]) == 1:
        return float(tree["leaf_value"][0])
    node = 0
    while node >= 0:
        value, kind = row[int(tree["split_feature"][node])], int(tree["decision_type"][node])
        threshold = float(tree["threshold"][node])
        if kind & 1:
            left = not np.isnan(value) and _in_set(tree, int(threshold), int(value))
        elif np.isnan(value) and (kind >> 2) & 3 == 2:
            left = bool(kind & 2)
        else:
            left = (0.0 if np.isnan(value) else value) <= threshold
        node = int(tree["left_child" if left else "right_child"][node])
    return float(tree["leaf_value"][~node])


def _in_set(tree: dict[str, list[str]], index: int, level: int) -> bool:
    words = tree["cat_threshold"][int(tree["cat_boundaries"][index]) : int(tree["cat_boundaries"][index + 1])]
    return level // 32 < len(words) and bool(int(words[level // 32]) >> (level % 32) & 1)
