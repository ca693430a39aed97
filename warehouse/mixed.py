"""A column that its files type differently: each value keeps the type of its own file until the rules have judged it.

SQL would make one type of them first. user_id 7 as an integer in one file, as a float in the next and as text in the
third would be three users, and a moment without a zone beside one with a zone would count as UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from warehouse.engine import quote

MEMBERS = {  # what a value may be, by the tag it carries
    "written": "VARCHAR",
    "whole": "HUGEINT",
    "single": "FLOAT",
    "double": "DOUBLE",
    "naive": "TIMESTAMP",
    "nanos": "TIMESTAMP_NS",
    "zoned": "TIMESTAMP WITH TIME ZONE",
    "zoned_nanos": "TIMESTAMPTZ_NS",
    "on_day": "DATE",
    "flag": "BOOLEAN",
}
MIXED = f"UNION({', '.join(f'{tag} {kind}' for tag, kind in MEMBERS.items())})"
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")
NUMBERS = (*WHOLE, "FLOAT", "DOUBLE")
TAGS = {kind: tag for tag, kind in MEMBERS.items()} | dict.fromkeys(WHOLE, "whole")
TAGS |= {"TIMESTAMP_S": "naive", "TIMESTAMP_MS": "naive"}  # both go into a TIMESTAMP unchanged


def is_nested(kind: str) -> bool:
    return kind.startswith(("STRUCT", "MAP", "UNION")) or kind.endswith("]")


def common(kinds: Set[str]) -> str:
    """The type of a column whose files have `kinds`; integers of any width are one type, as none changes a value."""
    if len(kinds) == 1:
        return next(iter(kinds))
    return "BIGINT" if kinds <= set(WHOLE) else MIXED


def in_sql(kinds: Set[str]) -> str:
    """The type of such a column where SQL of the params reads it, for which it must be one: text, unless all are
    numbers (told as DOUBLE) or all are nested (told as the first); those SQL unites itself."""
    if len(kinds) > 1 and all(kind in NUMBERS or kind.startswith("DECIMAL") for kind in kinds):
        return "DOUBLE"
    return min(kinds) if len(kinds) == 1 or all(map(is_nested, kinds)) else "VARCHAR"


def carried(raw: str, raw_type: str) -> str:
    """SQL expression `raw` of DuckDB type `raw_type` as a value of MIXED; null stays null."""
    tag = TAGS.get(raw_type, "written")
    value = f"CAST({_written(raw, raw_type) if tag == 'written' else raw} AS {MEMBERS[tag]})"
    return f"CASE WHEN {raw} IS NOT NULL THEN CAST(union_value({tag} := {value}) AS {MIXED}) END"


def each(raw: str, said: Callable[[str, str], str]) -> str:
    """SQL that says of a MIXED value what `said` does of one of its own type; every answer has the same SQL type."""
    whens = " ".join(f"WHEN {quote(tag)} THEN {said(f'({raw}).{tag}', kind)}" for tag, kind in MEMBERS.items())
    return f"CASE union_tag({raw}) {whens} END"


def _written(raw: str, raw_type: str) -> str:
    return f"to_json({raw})" if is_nested(raw_type) else raw
