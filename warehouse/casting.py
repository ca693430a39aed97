"""SQL that turns a raw value into its declared type or into null, never into a guess.

Numbers are finite decimals in plain notation (`12`, `-0.5`, `1e3`; not `1_000`, `1,000`, `inf`, `0x10`). Timestamps are
ISO 8601; one that carries `Z` or an offset is converted to UTC, one that carries none is in the declared zone, and a
bare date is that day in any zone. An id that comes as a float is the integer it stands for, or none.
"""

from __future__ import annotations

from warehouse.engine import quote
from warehouse.mixed import MIXED, each
from warehouse.raw import SQL_TYPES, Column

_DATE = r"\d{4}-\d{2}-\d{2}"
_MOMENT = rf"{_DATE}[ T]\d{{2}}:\d{{2}}(:\d{{2}}(\.\d{{1,9}})?)?"
_OFFSET = r"[+-]((0\d|1[0-3])(:?[0-5]\d)?|14(:?00)?)"  # no clock on earth is further from UTC
BARE = rf"\s*{_DATE}\s*"
NAIVE = rf"\s*{_MOMENT}\s*"
ZONED = rf"\s*{_MOMENT}( ?(Z|UTC)|{_OFFSET})\s*"
NUMBER = r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*"
INTEGER = r"\s*[+-]?\d+(\.0+)?\s*"
FLAGS = {"true": ("true", "t", "1", "yes", "y"), "false": ("false", "f", "0", "no", "n")}
BLANKS = "' ' || chr(9) || chr(10) || chr(13) || chr(160)"  # by number: DuckDB strings know no \u escape
DAY = "DATE"
NAIVE_TYPES = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
NUMBER_TYPES = ("DOUBLE", "FLOAT", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
FLOATS = {"DOUBLE": 2**53, "FLOAT": 2**24}  # up to where no two integers share a value
ZONED_TYPE = "TIMESTAMP WITH TIME ZONE"


def text(raw: str, raw_type: str) -> str:
    """The value as text; blank is null, and so is a float that is no id (`unfit`) or NaN, which is how data frames
    write that there is none."""
    if raw_type == MIXED:
        return each(raw, text)
    if raw_type in FLOATS:
        return f"CASE WHEN {_exact(raw, raw_type)} THEN CAST(TRY_CAST({raw} AS BIGINT) AS VARCHAR) END"
    if raw_type != "VARCHAR":
        return f"CAST({raw} AS VARCHAR)"
    # nearly every value starts with a plain letter or digit: the cheap comparison spares it the trim
    return f"CASE WHEN ({raw} >= '!' AND {raw} < chr(160)) OR trim({raw}, {BLANKS}) <> '' THEN {raw} END"


def unfit(raw: str, raw_type: str) -> str | None:
    """True for a float in a column of text that is not whole, or so large that it may stand for other ids too; null
    where the type holds no floats."""
    if raw_type == MIXED:
        return each(raw, lambda own, kind: unfit(own, kind) or "false")
    if raw_type not in FLOATS:
        return None
    return f"({raw} IS NOT NULL AND NOT isnan({raw}) AND NOT ({_exact(raw, raw_type)}))"


def _exact(raw: str, raw_type: str) -> str:
    return f"abs({raw}) <= {FLOATS[raw_type]} AND {raw} = trunc({raw})"


def given(raw: str, raw_type: str) -> str:
    """True where there is a value at all, readable or not."""
    if raw_type == MIXED:
        return each(raw, given)
    return f"({text(raw, raw_type)}) IS NOT NULL" if raw_type == "VARCHAR" else f"{raw} IS NOT NULL"


def cast(column: Column, raw: str, raw_type: str, timezone: str | None) -> str:
    """The value of SQL expression `raw` (of DuckDB type `raw_type`) in the type of `column`; null when it is none."""
    if raw_type == MIXED:
        return each(raw, lambda own, kind: cast(column, own, kind, timezone))
    if column.type == "text":
        return text(raw, raw_type)
    if column.type == "timestamp":
        return _timestamp(raw, raw_type, timezone)
    if column.type in ("number", "money", "rate"):
        return _number(raw, raw_type, SQL_TYPES[column.type])
    if column.type == "integer":
        value = f"CAST({raw} AS VARCHAR)"
        return f"CASE WHEN regexp_full_match({value}, '{INTEGER}') THEN TRY_CAST(trim({value}) AS BIGINT) END"
    if raw_type == "BOOLEAN":
        return raw
    value = f"lower(trim(CAST({raw} AS VARCHAR)))"
    words = {word: f"({', '.join(quote(item) for item in items)})" for word, items in FLAGS.items()}
    return f"CASE WHEN {value} IN {words['true']} THEN true WHEN {value} IN {words['false']} THEN false END"


def is_naive(raw: str, raw_type: str) -> str:
    """True for a timestamp that carries no zone; a bare date needs none."""
    if raw_type == MIXED:
        return each(raw, is_naive)
    if raw_type in NAIVE_TYPES:
        return "true"
    if raw_type in (ZONED_TYPE, DAY):
        return "false"
    return f"regexp_full_match(CAST({raw} AS VARCHAR), '{NAIVE}')"


def _timestamp(raw: str, raw_type: str, timezone: str | None) -> str:
    if raw_type == ZONED_TYPE:
        return _finite(f"({raw} AT TIME ZONE 'UTC')")
    if raw_type == DAY:
        return _finite(f"TRY_CAST({raw} AS TIMESTAMP)")
    if raw_type in NAIVE_TYPES:
        return _finite(_from_zone(f"TRY_CAST({raw} AS TIMESTAMP)", timezone))
    value = f"CAST({raw} AS VARCHAR)"
    moment = f"TRY_CAST(trim({value}) AS TIMESTAMP)"
    return (
        f"CASE WHEN regexp_full_match({value}, '{NAIVE}') THEN {_from_zone(moment, timezone)} "
        f"WHEN regexp_full_match({value}, '{ZONED}') THEN TRY_CAST(trim({value}) AS TIMESTAMPTZ) AT TIME ZONE 'UTC' "
        f"WHEN regexp_full_match({value}, '{BARE}') THEN {moment} END"
    )


def _from_zone(naive: str, timezone: str | None) -> str:
    if timezone is None:
        return "CAST(NULL AS TIMESTAMP)"
    if timezone == "UTC":
        return naive
    return f"(({naive}) AT TIME ZONE {quote(timezone)}) AT TIME ZONE 'UTC'"


def _finite(moment: str) -> str:
    return f"CASE WHEN isfinite({moment}) THEN {moment} END"


def _number(raw: str, raw_type: str, sql_type: str) -> str:
    if raw_type in NUMBER_TYPES or raw_type.startswith("DECIMAL"):
        return f"TRY_CAST({raw} AS {sql_type})"  # infinity, NaN and overflow become null
    value = f"CAST({raw} AS VARCHAR)"
    return f"CASE WHEN regexp_full_match({value}, '{NUMBER}') THEN TRY_CAST(trim({value}) AS {sql_type}) END"
