"""SQL for values the way vendors write them: moments in UTC that say no zone, epoch numbers, values inside JSON.

All of it is text or a zoned timestamp, so that the rules can tell a value that is broken from one that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from warehouse import casting
from warehouse.engine import name, quote
from warehouse.mixed import MIXED, carried, each

ZONED = "TIMESTAMP WITH TIME ZONE"
EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}  # microseconds in one of them
YEAR_1, YEAR_9999 = -62_135_596_800_000_000, 253_402_300_799_999_999  # in microseconds, what a calendar can show


def own_names(columns: Iterable[str]) -> dict[str, str]:
    """The columns by their names in lower case, as some warehouses export all names in capitals."""
    return {column.lower(): column for column in columns}


def told(raw: str, raw_type: str = "VARCHAR") -> str:
    """A value of any type as text; null where it is blank. A whole float is told as the integer it stands for, any
    other as it is: whoever takes it for an id asks `casting.unfit`."""
    if raw_type == MIXED:
        return each(raw, told)
    if raw_type in casting.FLOATS:
        other = f"CASE WHEN NOT isnan({raw}) THEN CAST({raw} AS VARCHAR) END"
        return f"coalesce({casting.text(raw, raw_type)}, {other})"
    return casting.text(f"CAST({raw} AS VARCHAR)", "VARCHAR")


def no_ids(column: str, parts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The breaches of `parts` (SQL and type), which `told` makes text of for the canonical `column`."""
    return [(unfit, f"wrong_type|{column}") for part in parts if (unfit := casting.unfit(*part)) is not None]


def utc(raw: str, raw_type: str, timezone: str | None) -> tuple[str, str]:
    """SQL and type of a moment that is in UTC by the vendor's contract where it carries no zone of its own.

    timezone: where the rules take naive timestamps to be. Text that is no timestamp is left as it is."""
    if raw_type == MIXED:
        return each(raw, lambda own, kind: carried(*utc(own, kind, timezone))), MIXED
    without_zone = raw_type == casting.DAY or raw_type in casting.NAIVE_TYPES
    if raw_type == ZONED or (timezone == "UTC" and without_zone):
        return raw, raw_type  # untouched, so that the statistics of a Parquet file still tell where a month is
    if without_zone:
        return f"(TRY_CAST({raw} AS TIMESTAMP) AT TIME ZONE 'UTC')", ZONED
    value = f"CAST({raw} AS VARCHAR)"
    return f"CASE WHEN {casting.is_naive(raw, raw_type)} THEN trim({value}) || 'Z' ELSE {value} END", "VARCHAR"


def epoch(raw: str, unit: str) -> str:
    """The moment of a number of seconds, milli- or microseconds since 1970 as zoned text; text that is no timestamp
    where `raw` is no such number; null where it is blank."""
    value = told(raw)
    micros = f"TRY_CAST(round(TRY_CAST({value} AS DOUBLE) * {EPOCHS[unit]}) AS BIGINT)"
    fits = f"regexp_full_match({value}, '{casting.NUMBER}') AND {micros} BETWEEN {YEAR_1} AND {YEAR_9999}"
    return f"CASE WHEN {fits} THEN CAST(make_timestamp({micros}) AS VARCHAR) || 'Z' ELSE '? ' || {value} END"


def document(raw: str, raw_type: str) -> str:
    """A column as JSON text: text as it is, nested Parquet types translated."""
    return f"CAST({raw} AS VARCHAR)" if raw_type in ("VARCHAR", "JSON", MIXED) else f"CAST(to_json({raw}) AS VARCHAR)"


def unreadable(json: str) -> str:
    """True for text that should be JSON and is not. Must be asked before anything is taken from it: DuckDB would stop
    with the text in its message."""
    return f"({told(json)} IS NOT NULL AND NOT coalesce(json_valid({json}), false))"


def inside(json: str, path: Sequence[str]) -> str:
    """The value at `path` as text; null where there is none, or no JSON."""
    return f"CASE WHEN json_valid({json}) THEN json_extract_string({json}, {_pointer(path)}) END"


def inside_or_first(json: str, path: Sequence[str]) -> str:
    """The same; the first one of a list."""
    first, whole = (f"json_extract_string({json}, {_pointer(at)})" for at in ((*path, "0"), path))
    is_list = f"json_type({json}, {_pointer(path)}) = 'ARRAY'"
    return f"CASE WHEN json_valid({json}) THEN CASE WHEN {is_list} THEN {first} ELSE {whole} END END"


def _pointer(path: Sequence[str]) -> str:
    # a pointer, not a JSON path: names with $, * or brackets mean themselves
    return quote("".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path))


def first_of(parts: Iterable[str]) -> str:
    """The first value that is not blank, as text."""
    return f"coalesce({', '.join([*map(told, parts), 'CAST(NULL AS VARCHAR)'])})"


def select(lines: str, columns: Mapping[str, str], breaches: Sequence[tuple[str, str]]) -> str:
    """A judged query over the relation `lines`, whose columns are known as `f`: canonical name to SQL, and what sets a
    row aside: condition and breach, the first that fits."""
    picked = "".join(f", {sql} AS {name(column)}" for column, sql in columns.items())
    whens = " ".join(f"WHEN {condition} THEN {quote(breach)}" for condition, breach in breaches)
    breach = f"CASE {whens} END" if whens else "CAST(NULL AS VARCHAR)"
    return f"SELECT f._file, f._line{picked}, {breach} AS _breach FROM ({lines}) AS f"
