"""Minor units become major ones exactly, by the currency's own exponent."""

from __future__ import annotations

from decimal import Decimal

import duckdb
import pytest

from warehouse.money import MINOR_DIGITS, to_major


def major(minor: str, currency: str, type_: str = "VARCHAR") -> Decimal | None:
    """What the SQL makes of one value, `currency` an SQL expression."""
    with duckdb.connect() as con:
        query = f"SELECT {to_major('minor', currency)} FROM (SELECT CAST({minor} AS {type_}) AS minor)"
        [(value,)] = con.execute(query).fetchall()
        [(described,)] = [row[1:2] for row in con.execute(f"DESCRIBE {query}").fetchall()]
    assert described == "DECIMAL(18,4)"
    return value


@pytest.mark.parametrize(
    ("minor", "currency", "expected"),
    [
        ("'1299'", "'USD'", "12.99"),
        ("'1299'", "'eur'", "12.99"),
        ("'1299'", "'JPY'", "1299"),
        ("'1299'", "'kwd'", "1.299"),
        ("'1299'", "NULL::VARCHAR", "12.99"),
        ("'-1'", "'USD'", "-0.01"),
        ("'+7'", "'USD'", "0.07"),
        ("'0'", "'BHD'", "0"),
    ],
)
def test_the_currency_says_how_many_digits_are_minor(minor: str, currency: str, expected: str) -> None:
    assert major(minor, currency) == Decimal(expected)


@pytest.mark.parametrize("type_", ["VARCHAR", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL(38, 0)"])
def test_any_whole_type_is_exact(type_: str) -> None:
    assert major("123456789", "'USD'", type_) == Decimal("1234567.89")


def test_amounts_that_a_float_would_round_stay_exact() -> None:
    assert major("'999999999999999'", "'USD'") == Decimal("9999999999999.99")
    assert major("'9007199254740993'", "'USD'") == Decimal("90071992547409.93")


@pytest.mark.parametrize("minor", ["'12.5'", "'1e3'", "'x'", "''", "'1,000'", "NULL", "'12345678901234567890123'"])
def test_what_is_no_whole_number_is_null(minor: str) -> None:
    assert major(minor, "'USD'") is None


@pytest.mark.parametrize("currency", ["'JPY'", "'USD'", "'KWD'"])
def test_an_amount_too_large_for_the_warehouse_is_null_and_stops_nothing(currency: str) -> None:
    assert major("'999999999999999999'", currency) is None


def test_the_sum_of_many_cents_is_the_sum_of_the_integers() -> None:
    with duckdb.connect() as con:
        query = f"SELECT sum({to_major('n', chr(39) + 'USD' + chr(39))}), sum(n) FROM range(1, 100001) AS r(n)"
        [(total, cents)] = con.execute(query).fetchall()
    assert (total * 100, cents) == (5_000_050_000, 5_000_050_000)


def test_the_table_of_digits_is_iso_4217() -> None:
    none = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
    three = "BHD IQD JOD KWD LYD OMR TND"
    assert dict.fromkeys(none.split(), 0) | dict.fromkeys(three.split(), 3) == MINOR_DIGITS
