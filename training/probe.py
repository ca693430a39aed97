"""One question of the leak audit and its answer, and how two feature tables are compared bit by bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

KEYS = ("account_id", "as_of")


@dataclass(frozen=True)
class Probe:
    """`value` is held against `bound`; both null where the data are too few to ask. `sentence`: finished, with what,
    where, value and, of a leak, the remedy."""

    name: str
    passed: bool
    value: float | None
    bound: float | None
    sentence: str


def not_asked(name: str, why: str) -> Probe:
    """The data cannot answer; `why` is a clause. No leak is claimed, and the gate's other rules stand."""
    return Probe(name, True, None, None, f"Not asked: {why}.")


def differing(one: pa.Table, other: pa.Table) -> dict[str, int]:
    """Column -> rows in which two tables of the same keys differ in a single bit (null is equal to null alone). Tables
    that disagree in their keys or columns differ in every row of these."""
    names = list(dict.fromkeys([*one.column_names, *other.column_names]))
    out = {}
    for name in names:
        if name not in one.column_names or name not in other.column_names or len(one) != len(other):
            out[name] = max(len(one), len(other))
            continue
        rows = int((_bits(one[name]) != _bits(other[name])).sum())
        if rows:
            out[name] = rows
    return out


def told(found: dict[str, int]) -> str:
    """The columns of `differing` for a sentence, the worst three first."""
    worst = sorted(found, key=lambda name: (-found[name], name))
    more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
    return ", ".join(f"{name} ({found[name]:,} rows)" for name in worst[:3]) + more


def _bits(column: pa.ChunkedArray) -> np.ndarray:
    """(n,) values that are equal if and only if the cells are: integers of the bits for numbers, else objects."""
    if pa.types.is_floating(column.type):
        values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64).copy()
        values[np.asarray(column.is_null())] = np.nan
        return values.view(np.int64)
    return np.array(column.to_pylist(), dtype=object)
