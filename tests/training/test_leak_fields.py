"""Whether sign-up fields were filled in after the deal: what the probe compares, and what it takes for luck."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from tests.training.leaky_vendor import telling_nothing_but
from training import leak_fields


def signed_up(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Days of sign-up over two years before 2025, and whether each account expanded: the older, the more often."""
    days = np.datetime64("2023-01-01") + rng.integers(0, 730, n)
    old = days < np.datetime64("2024-01-01")
    return days, (rng.random(n) < np.where(old, 0.5, 0.1)).astype(float)


def told_at_sign_up(signed: np.ndarray, employees: list[int | None]) -> pa.Table:
    """A snapshot an account at the opening of 2025, of which nothing is told but age and size."""
    age = (np.datetime64("2025-01-01") - signed).astype(float).tolist()
    rows = telling_nothing_but(len(signed), {"tenure_days": age, "employees": employees})
    days = pa.array([date(2025, 1, 1)] * len(signed), pa.date32())
    return rows.set_column(rows.column_names.index("as_of"), "as_of", days)


@pytest.mark.parametrize("seed", range(20))
def test_a_field_collected_only_since_a_day_is_no_leak_however_often_older_accounts_expand(seed: int) -> None:
    signed, label = signed_up(np.random.default_rng(seed), 1_500)
    known = signed >= np.datetime64("2024-02-10")
    at_any_age = leak_fields.compared(known, label == 1, np.zeros(len(label)))
    assert (at_any_age.auc > 0.65, at_any_age.errors > 4) == (True, True), "it takes the same quarter of sign-up"
    table = told_at_sign_up(signed, [120 if one else None for one in known])
    probe = leak_fields.filled_in_later(table, label, 0.65, {})
    assert (probe.passed, probe.value is None) == (True, False)


def test_a_difference_in_what_is_known_that_may_be_luck_is_no_leak() -> None:
    """Known for 20 of 40 accounts that expand and 6 of 40 others."""
    label = np.repeat([1.0, 0.0], 40)
    signed = np.full(80, np.datetime64("2024-03-01"))
    known: list[int | None] = [5] * 20 + [None] * 20 + [5] * 6 + [None] * 34
    probe = leak_fields.filled_in_later(told_at_sign_up(signed, known), label, 0.65, {})
    assert probe.passed
    assert "ROC-AUC 0.675, 3.3 standard errors" in probe.sentence


def test_what_is_known_of_accounts_that_expand_somewhat_more_often_may_be_honest() -> None:
    """Beyond luck, but .6 is what a vendor may have who knows the larger accounts better."""
    label = np.repeat([1.0, 0.0], 1_000)
    signed = np.full(2_000, np.datetime64("2024-03-01"))
    known: list[int | None] = [5] * 800 + [None] * 200 + [5] * 600 + [None] * 400
    probe = leak_fields.filled_in_later(told_at_sign_up(signed, known), label, 0.65, {})
    assert (probe.passed, probe.value) == (True, 0.6)
    assert not leak_fields.filled_in_later(told_at_sign_up(signed, known), label, 0.59, {}).passed


def test_snapshots_of_one_account_count_once_for_what_is_known_of_it() -> None:
    """Six accounts that expand, all known, among 60 others that are not: 60 snapshots say no more than six accounts."""
    label = np.repeat([1.0, 0.0], 60)
    names = [f"a{i % 6}" for i in range(60)] + [f"b{i}" for i in range(60)]
    table = told_at_sign_up(np.full(120, np.datetime64("2024-03-01")), [5] * 60 + [None] * 60)
    table = table.set_column(table.column_names.index("account_id"), "account_id", pa.array(names))
    probe = leak_fields.filled_in_later(table, label, 0.65, {})
    assert (probe.passed, probe.value) == (True, None)
    assert "6 accounts that expand, or others" in probe.sentence


def test_the_shares_that_are_compared_are_mantel_and_haenszels() -> None:
    """Two strata by hand: differences 2/3 and 1/2 with weights 3 x 2 / 5 and 2 x 2 / 4; variances 1.2 x 2 x 3 / 20 and
    1 x 3 x 1 / 12."""
    expands = np.array([1, 1, 1, 0, 0, 1, 1, 0, 0], dtype=bool)
    known = np.array([1, 1, 0, 0, 0, 1, 1, 1, 0], dtype=bool)
    found = leak_fields.compared(known, expands, np.array([0] * 5 + [1] * 4))
    assert found.expanding - found.others == pytest.approx((1.2 * 2 / 3 + 0.5) / 2.2)
    assert found.errors == pytest.approx((1.2 * 2 / 3 + 0.5) / (0.36 + 0.25) ** 0.5)
