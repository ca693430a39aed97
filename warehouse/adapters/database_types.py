"""What a database hands over, as Arrow: exact decimals, moments in UTC, ids as text; and its errors, as ours."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from warehouse.casting import FLOATS
from warehouse.errors import ContractBroken, ExpansionError, ParamsError
from warehouse.raw import RawTable

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

DIGITS = 38
PLACES = 10  # of a number without declared places, such as a sum: more are rounded to even
EXACT = Context(prec=2 * DIGITS, rounding=ROUND_HALF_EVEN)
UNDECLARED = pa.decimal128(DIGITS, PLACES)
MOMENT = pa.timestamp("us", tz="UTC")
NAIVE = pa.timestamp("us")

# PostgreSQL's numbers of its types; a type not listed comes as text.
POSTGRESQL = {
    **{16: pa.bool_(), 20: pa.int64(), 21: pa.int64(), 23: pa.int64(), 700: pa.float64(), 701: pa.float64()},
    **{1082: pa.date32(), 1114: NAIVE, 1184: MOMENT},
}
NUMERIC = 1700


def kinds(
    table: RawTable, names: list[str], described: Sequence[Any] | None, first: Sequence[Any]
) -> dict[str, pa.DataType]:
    """The Arrow type of each column. described: of PostgreSQL its description of the columns; first: the first rows.

    A column that the contract calls text, such as an id, is text. PostgreSQL declares the type of every other column;
    elsewhere the values of the first rows tell it, and what is neither decimal, moment, date nor flag is text."""
    contract = {column.name: column.type for column in table.columns}
    found = {}
    for place, column in enumerate(names):
        if contract.get(column) == "text":
            found[column] = pa.string()
        elif described is not None:
            found[column] = _declared(described[place])
        else:
            found[column] = _seen([row[place] for row in first if row[place] is not None])
    return found


def _declared(column: Any) -> pa.DataType:
    code, precision, places = column[1], column[4], column[5]
    if code != NUMERIC:
        return POSTGRESQL.get(code, pa.string())
    known = precision is not None and places is not None and 0 <= places <= precision <= DIGITS
    return pa.decimal128(DIGITS, places) if known else UNDECLARED


def _seen(values: list[Any]) -> pa.DataType:
    for type_, kind in ((bool, pa.bool_()), (Decimal, UNDECLARED), (datetime, NAIVE), (date, pa.date32())):
        if values and all(isinstance(value, type_) for value in values):
            zoned = type_ is datetime and all(value.tzinfo is not None for value in values)
            return MOMENT if zoned else kind
    return pa.string()


def arrow(table: str, kinds: dict[str, pa.DataType], rows: Sequence[Any]) -> pa.Table:
    """`rows` as columns of the types `kinds`; null stays null.

    Raises:
        ContractBroken: a decimal that is not finite or has more than 38 digits, or a value of another type than before.
    """
    columns = list(zip(*rows, strict=True))
    return pa.table(
        [_array(table, n, k, v) for (n, k), v in zip(kinds.items(), columns, strict=True)], names=list(kinds)
    )


UNFIT = (ArithmeticError, ValueError, TypeError, AttributeError, pa.ArrowException)


def _array(table: str, column: str, kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    try:
        return _typed(kind, values)
    except UNFIT:
        bad = sum(not _fits(kind, value) for value in values)
    raise ContractBroken(
        [
            f'ingest.database.{table}: column "{column}": {bad:,} of {len(values):,} rows hold no {kind} '
            "(rule wrong_type). Cast them or leave them out in the query."
        ]
    )


def _fits(kind: pa.DataType, value: Any) -> bool:
    try:
        _typed(kind, [value])
    except UNFIT:
        return False
    return True


def _typed(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    if pa.types.is_string(kind):
        values = [None if value is None else _text(value) for value in values]
    elif pa.types.is_decimal(kind):
        step = Decimal(1).scaleb(-kind.scale)
        values = [None if value is None else Decimal(value).quantize(step, context=EXACT) for value in values]
    return pa.array(values, kind)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) <= FLOATS["DOUBLE"] else repr(value)
    return str(value)


# What a driver's message means that names a host, hence is never shown.
_REASONS = {
    "password authentication failed": "it refused the login",
    "no password supplied": "it refused the login",
    "could not translate host name": "its host is unknown",
    "failed to resolve host": "its host is unknown",
    "does not exist": "it has no such database, user or socket",
    "no such file": "it has no such database, user or socket",
    "unable to open database file": "the file cannot be opened",
    "connection refused": "nothing listens there",
    "timeout": "it did not answer in time",
    "too many": "it has no connection left",
    "ssl": "it wants another SSL mode",
    "locked": "another program holds it",
}
_OURS = ("0A", "21", "22", "25", "26", "34", "3D", "3F", "42")  # SQLSTATE classes that the query is to blame for


def explained(error: DBAPIError, table: str | None) -> Exception:
    """What a driver raised, as ours: no URL, no host, no value of the data. table: whose query ran; null: none yet."""
    message = (str(error.orig).splitlines() or [""])[0].strip()
    state = getattr(error.orig, "sqlstate", None) or ""
    if state == "57014":
        return ExpansionError(
            f"ingest.database.{table}: the database stopped the query, which took too long. Raise "
            "ingest.database.timeout_s or read less at a time."
        )
    lost = error.connection_invalidated or (state and state[:2] not in _OURS) or "locked" in message
    if table is None or lost:
        reason = next((said for words, said in _REASONS.items() if words in str(error.orig).lower()), "")
        kind = reason or f"{type(error.orig).__name__}{f' {state}' if state else ''}"
        return ExpansionError(f"ingest.database: the database cannot be used: {kind}.")
    if state[:2] == "22" or type(error.orig).__name__ == "DataError":  # those quote the value they cannot read
        message = re.sub(r"""'.*'|".*"|(?<=: ).*""", "...", message)
    return ParamsError(f"ingest.database.{table}: {message}.")
