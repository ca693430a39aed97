"""LightGBM's text format, read as numbers: which thresholds a booster splits at, and one column held at a value.

`hold` answers: what is the booster once a column is known? Every split on it is decided, and what remains is a booster
of the other columns alone. Its TreeSHAP adds up without a share for the column that was held, which is what reasons
need: an interval is asked about, it is no fact about an account.
"""

from __future__ import annotations

from collections.abc import Iterator

import lightgbm as lgb
import numpy as np

PER_NODE = ("split_feature", "split_gain", "threshold", "decision_type", "internal_value", "internal_weight")
PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
CATEGORICAL = 1  # bit of decision_type
Lines = dict[str, str]


def to_text(booster: lgb.Booster) -> str:
    """The booster in LightGBM's text format, without the settings it was trained with: they play no part in predicting,
    and LightGBM reads a damaged one past the end of its buffer."""
    head, *rest = booster.model_to_string().split("\nparameters:", 1)
    return head + "".join(part.split("end of parameters\n", 1)[1] for part in rest)


def thresholds(booster: lgb.Booster) -> dict[int, np.ndarray]:
    """By column, the distinct values at which its numeric splits fall, ascending."""
    found: dict[int, set[float]] = {}
    for tree in _trees(booster.model_to_string()):
        split = zip(
            *(tree.get(name, "").split() for name in ("split_feature", "threshold", "decision_type")), strict=True
        )
        for column, threshold, kind in split:
            if not int(kind) & CATEGORICAL:
                found.setdefault(int(column), set()).add(float(threshold))
    return {column: np.array(sorted(values)) for column, values in found.items()}


def hold(booster: lgb.Booster, column: int, value: float) -> lgb.Booster:
    """The booster with numeric `column` held at `value`, neither NaN nor 0: for any row the raw score that the row had
    with that value there. Rows behind a split are counted anew over what remains."""
    text = booster.model_to_string()
    head, rest = text.split("\nTree=0\n", 1)
    head = "\n".join(line for line in head.split("\n") if not line.startswith("tree_sizes="))
    blocks = []
    for number, tree in enumerate(_trees(text)):
        said = "\n".join(f"{name}={value}" for name, value in _held(tree, column, value).items())
        blocks.append(f"Tree={number}\n{said}\n\n")
    tail = rest[rest.index("end of trees") :]
    return lgb.Booster(model_str=f"{head}\n\n{chr(10).join(blocks)}\n{tail}")


def _trees(text: str) -> Iterator[Lines]:
    """The `name=value` lines of each tree."""
    body = text[: text.index("end of trees")]
    for block in body.split("\nTree=")[1:]:
        yield dict(line.split("=", 1) for line in block.split("\n")[1:] if "=" in line)


def _held(tree: Lines, column: int, value: float) -> Lines:
    cells = {name: line.split() for name, line in tree.items()}
    if int(tree["num_leaves"]) == 1 or str(column) not in cells["split_feature"]:
        return tree
    nodes: list[int] = []
    leaves: list[int] = []
    children: list[list[int]] = []
    counts: list[int] = []

    def decided(child: int) -> int:
        while child >= 0 and int(cells["split_feature"][child]) == column:
            side = "left_child" if value <= float(cells["threshold"][child]) else "right_child"
            child = int(cells[side][child])
        return child

    def keep(child: int) -> tuple[int, int]:
        """Numbers what hangs below `child` anew; returns its new number and the rows behind it."""
        child = decided(child)
        if child < 0:
            leaves.append(~child)
            return ~(len(leaves) - 1), int(cells["leaf_count"][~child])
        place = len(nodes)
        nodes.append(child)
        children.append([])
        counts.append(0)
        for side in ("left_child", "right_child"):
            number, rows = keep(int(cells[side][child]))
            children[place].append(number)
            counts[place] += rows
        return place, counts[place]

    keep(0)
    out = dict(tree) | {"num_leaves": str(len(leaves))}
    out |= {name: " ".join(cells[name][node] for node in nodes) for name in PER_NODE}
    out |= {name: " ".join(cells[name][leaf] for leaf in leaves) for name in PER_LEAF}
    out |= {side: " ".join(str(pair[i]) for pair in children) for i, side in enumerate(("left_child", "right_child"))}
    return out | {"internal_count": " ".join(map(str, counts))}
