"""Feature table to the numeric matrix the models read, by the bundle's own ordered list and vocabularies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import CATEGORIES, FEATURE_NAMES
from models.errors import BundleRefused

RARE_SHARE = 0.01  # levels under this share of training accounts are one level, `other`


@dataclass(frozen=True)
class Encoding:
    """Ordered feature names, and for each category its levels: a level's code is its place, null is missing, and a
    level unknown at training or rare there takes the last code."""

    names: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]

    @classmethod
    def learn(cls, table: pa.Table) -> Encoding:
        """Vocabularies of the training rows; shares are counted over accounts, not snapshots."""
        levels = {}
        for name in CATEGORIES:
            pairs = table.select(["account_id", name]).group_by(["account_id", name]).aggregate([])
            values, counts = np.unique(
                np.array([v for v in pairs[name].to_pylist() if v is not None], dtype=str), return_counts=True
            )
            total = max(1, int(counts.sum()))
            levels[name] = tuple(str(v) for v, c in zip(values, counts, strict=True) if c / total >= RARE_SHARE)
        return cls(FEATURE_NAMES, levels)

    def matrix(self, table: pa.Table) -> np.ndarray:
        """(n, features) float64; NaN is null.

        Raises:
            BundleRefused: the table lacks a feature the bundle was trained with.
        """
        there = set(table.column_names)  # Arrow makes the list anew each time it is asked for it
        missing = [name for name in self.names if name not in there]
        if missing:
            raise BundleRefused(
                f"feature table lacks {', '.join(missing)}. Score with the version that made the bundle."
            )
        out = np.empty((table.num_rows, len(self.names)))
        for i, name in enumerate(self.names):
            column = table[name]
            if name in self.levels:
                column = column.cast(pa.string())  # a table made elsewhere may have it untyped where all is null
                known = pc.index_in(column, value_set=pa.array(self.levels[name], pa.string()))
                codes = pc.if_else(pc.is_null(column), None, pc.fill_null(known, len(self.levels[name])))
                out[:, i] = codes.cast(pa.float64()).to_numpy(zero_copy_only=False)
            else:
                out[:, i] = column.to_numpy(zero_copy_only=False)
        return out

    @property
    def category_columns(self) -> list[int]:
        return [i for i, name in enumerate(self.names) if name in self.levels]

    def to_json(self) -> dict[str, Any]:
        return {"names": list(self.names), "levels": {k: list(v) for k, v in self.levels.items()}}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Encoding:
        return cls(tuple(said["names"]), {k: tuple(v) for k, v in said["levels"].items()})
