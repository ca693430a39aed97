"""Features against a plain-Python recomputation, on random histories of ties, late arrivals and window edges."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from hypothesis import given, settings

from features.build import build_features
from features.catalogue import CATALOGUE, FEATURE_NAMES
from tests.features.histories import AS_OFS, DEFINITIONS, History, histories, spine_of, warehouse
from tests.features.oracle import portrait

RATES = tuple(feature.name for feature in CATALOGUE if feature.unit == "money per 30 days")


def agree(name: str, said: Any, expected: Any) -> bool:
    """Counts, days and sums of money exactly; rates to the millionth they are told to; ratios, changes to 1e-9."""
    if expected is None or said is None or isinstance(expected, str):
        return bool(said == expected)
    if name in RATES:
        return math.isclose(said, expected, rel_tol=1e-9, abs_tol=2e-6)
    if isinstance(expected, int | Decimal):
        return bool(said == float(expected))
    return math.isclose(said, expected, rel_tol=1e-9, abs_tol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(histories())
def test_every_feature_equals_its_recomputation_in_plain_python(history: History) -> None:
    spine = spine_of(history, AS_OFS)
    with warehouse(history) as con:
        table = build_features(con, spine, DEFINITIONS)
    said = {(row["account_id"], row["as_of"]): row for row in table.to_pylist()}
    pairs = sorted((row["account_id"], row["as_of"]) for row in spine.to_pylist())
    expected = {pair: portrait(history, *pair, DEFINITIONS) for pair in pairs}
    assert list(said) == [pair for pair in pairs if expected[pair] is not None]
    for pair, row in said.items():
        wanted = expected[pair] or {}
        assert set(wanted) == set(FEATURE_NAMES), "a new feature needs its recomputation in tests/features/oracle.py"
        wrong = {n: (row[n], wanted[n]) for n in FEATURE_NAMES if not agree(n, row[n], wanted[n])}
        assert not wrong, f"{pair}: (said, expected) {wrong}"


def test_columns_are_the_catalogue_in_its_order_as_numbers_or_words() -> None:
    history = History()
    with warehouse(history) as con:
        table = build_features(con, spine_of(history, AS_OFS), DEFINITIONS)
    assert tuple(table.column_names) == ("account_id", "as_of", *FEATURE_NAMES)
    types = {feature.name: "string" if feature.category else "double" for feature in CATALOGUE}
    assert {name: str(table.schema.field(name).type) for name in FEATURE_NAMES} == types
