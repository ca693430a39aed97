"""Words to numbers by the bundle's own list: nothing unknown, absent or reordered may change a known column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from features.catalogue import CATEGORIES, FEATURE_NAMES
from models.encoding import Encoding
from models.errors import BundleRefused
from tests.models.made_features import feature_rows


def _with(table: pa.Table, **columns: list[str | None]) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
    return table


def _column(encoding: Encoding, table: pa.Table, name: str) -> list[float]:
    return [float(value) for value in encoding.matrix(table)[:, encoding.names.index(name)]]


def test_a_level_unknown_or_rare_is_other_and_null_stays_missing() -> None:
    countries: list[str | None] = ["GB"] * 120 + ["DE"] * 79 + ["FJ"]  # one account in 200 is under the 1 % share
    encoding = Encoding.learn(_with(feature_rows(200), country=countries))
    assert encoding.levels["country"] == ("DE", "GB")
    seen = _column(encoding, _with(feature_rows(5), country=["DE", "GB", "FJ", "Atlantis", None]), "country")
    assert seen[:4] == [0.0, 1.0, 2.0, 2.0]
    assert np.isnan(seen[4])


def test_shares_are_counted_over_accounts_not_snapshots() -> None:
    rows = _with(feature_rows(200), country=["GB"] * 199 + ["FJ"])
    loud = pa.concat_tables([rows, *[rows.slice(199)] * 50])  # the one Fijian account has 51 snapshots
    assert Encoding.learn(loud).levels["country"] == ("GB",)


def test_order_comes_from_the_bundle_not_from_the_table() -> None:
    table = feature_rows(50)
    encoding = Encoding.learn(table)
    shuffled = table.select(list(np.random.default_rng(0).permutation(table.column_names)))
    assert np.array_equal(encoding.matrix(shuffled), encoding.matrix(table), equal_nan=True)
    backwards = Encoding(encoding.names[::-1], encoding.levels)
    assert np.array_equal(backwards.matrix(table), encoding.matrix(table)[:, ::-1], equal_nan=True)


def test_a_table_without_a_feature_of_the_bundle_is_refused_by_name() -> None:
    table = feature_rows(5)
    encoding = Encoding.learn(table)
    with pytest.raises(BundleRefused, match=r"lacks users_28d, headroom\."):
        encoding.matrix(table.drop_columns(["headroom", "users_28d"]))


def test_the_encoding_read_back_from_json_is_the_same() -> None:
    encoding = Encoding.learn(feature_rows(300))
    assert Encoding.from_json(encoding.to_json()) == encoding
    assert encoding.names == FEATURE_NAMES
    assert [encoding.names[i] for i in encoding.category_columns] == list(CATEGORIES)


def test_null_is_missing_in_every_numeric_column() -> None:
    table = feature_rows(80)
    matrix = Encoding.learn(table).matrix(table)
    for i, name in enumerate(FEATURE_NAMES):
        nulls = np.array([value is None for value in table[name].to_pylist()])
        assert np.array_equal(np.isnan(matrix[:, i]), nulls), name


def test_a_category_without_a_type_because_nobody_has_one_is_missing() -> None:
    table = feature_rows(20)
    encoding = Encoding.learn(table)
    untyped = table.set_column(table.column_names.index("industry"), "industry", pa.nulls(len(table)))
    assert np.isnan(encoding.matrix(untyped)[:, encoding.names.index("industry")]).all()
