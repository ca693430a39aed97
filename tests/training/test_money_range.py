"""The range told of the money is held against what was gained, account by account."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.training.judged import candidate_rows
from training.money_range import money_range
from warehouse.store import write_table


def told(low: np.ndarray, high: np.ndarray) -> pa.Table:
    """Held-out rows of which all expanded and gained 100."""
    n = len(low)
    rows = candidate_rows("champion", np.ones(n), np.full(n, 100.0), np.full(n, 0.5), probability=True)
    for name, values in (("amount_low", low), ("amount_high", high)):
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values))
    return rows


def test_the_share_of_gains_within_the_range_is_counted(tmp_path: Path) -> None:
    low, high = np.full(1_000, 50.0), np.full(1_000, 200.0)
    low[:100], high[100:300] = 101.0, 99.0  # too high, too low
    write_table(told(low, high), tmp_path / "heldout.parquet")
    [row] = money_range(tmp_path / "heldout.parquet", 300, 1)
    assert (row["horizon"], row["expanded"], row["inside"], row["share"]) == (180, 1_000, 700, 0.7)
    around = 1.96 * np.sqrt(0.7 * 0.3 / 1_000)
    assert row["share_ci"] == pytest.approx([0.7 - around, 0.7 + around], abs=0.008)


def test_who_did_not_expand_or_was_told_no_range_is_not_counted(tmp_path: Path) -> None:
    n = 10
    rows = told(np.full(n, 50.0), np.full(n, 200.0))
    label, low = np.repeat([1, 0], 5), [None, *[50.0] * 9]
    for name, values in (("label", pa.array(label, pa.int8())), ("amount_low", pa.array(low, pa.float64()))):
        rows = rows.set_column(rows.column_names.index(name), name, values)
    write_table(rows, tmp_path / "heldout.parquet")
    [row] = money_range(tmp_path / "heldout.parquet", 50, 1)
    assert (row["expanded"], row["inside"], row["share_ci"]) == (4, 4, [1.0, 1.0])
    write_table(rows.slice(0, 0), tmp_path / "heldout.parquet")
    assert money_range(tmp_path / "heldout.parquet", 50, 1) == []
