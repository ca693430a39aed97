"""Values as payment providers write them: unix seconds, integer minor units, references that may be whole objects.

`copy` makes one table of a raw table, each column as text, so that `Copied.value` finds a field wherever an export put
it: in a nested object of the API (`period.start`) or in a flat column of a warehouse sync (`period_start`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from warehouse.adapters import files, values
from warehouse.engine import name, quote
from warehouse.errors import ContractBroken
from warehouse.mixed import is_nested


@dataclass(frozen=True)
class Copied:
    """A raw table copied to `ingest.<table>`, each column as text (nested ones as JSON); `value` finds its fields."""

    table: str
    files: tuple[str, ...]
    extra: tuple[str, ...]
    rejects: tuple[tuple[str, str], ...]
    paths: dict[str, Path]
    columns: frozenset[str]

    def value(self, *places: str) -> str:
        """SQL of the field as text, null where there is none. places: where it may be, the best first."""
        parts = [place.split(".", 1) for place in places]
        there = [inside(name(head), rest) for head, *rest in parts if head in self.columns]
        return f"coalesce({', '.join(there)}, NULL)" if there else "CAST(NULL AS VARCHAR)"


def copy(
    con: duckdb.DuckDBPyConnection, raw: Path, what: str, table: str, wanted: list[str], needed: list[list[str]]
) -> Copied | None:
    """Copies the `wanted` columns (in lower case; the file's may be in any) of table `what` to `ingest.stripe_<table>`,
    so that each unreadable line is counted once. needed: columns each file must have, as alternatives. None: no file.

    Raises:
        ContractBroken: a needed column is missing, or a file cannot be read.
    """
    there = files.look(con, raw, what)
    if there is None:
        return None
    for file, columns in there.by_file.items():
        for names in needed:
            if not set(names) & {column.lower() for column in columns}:
                raise ContractBroken(
                    [
                        f'{file}: required column "{names[0]}" missing (rule missing_column). '
                        f"Expected: {' or '.join(names)}. Found: {', '.join(columns)}."
                    ]
                )
    kept = {column: column.lower() for column in there.columns if column.lower() in wanted}
    relation, rejects = files.relation(raw, there, list(kept))
    texts = "".join(f", {_as_text(name(own), there.columns[own])} AS {name(lower)}" for own, lower in kept.items())
    try:
        con.execute(f"CREATE TABLE ingest.stripe_{table} AS SELECT _file, _line{texts} FROM ({relation})")
    except duckdb.Error as error:
        blamed = files.at_fault(con, there.paths, error)
        if blamed is None:
            raise
        raise ContractBroken([f"{blamed}: {files.why(error)}"]) from error
    extra = there.besides(kept)
    return Copied(f"stripe_{table}", tuple(there.by_file), extra, rejects, there.paths, frozenset(kept.values()))


def _as_text(column: str, type_: str) -> str:
    return f"nullif(trim({values.document(column, type_) if is_nested(type_) else values.told(column, type_)}), '')"


def inside(column: str, path: list[str]) -> str:
    """What stands at `path` (at most one, dots inside) of the JSON text `column`; null where that is no JSON."""
    if not path:
        return column
    return f"CASE WHEN json_valid({column}) THEN json_extract_string({column}, {quote('$.' + path[0])}) END"


def reference(value: str) -> str:
    """A reference is an id, or the whole object where the export expanded it."""
    return f"CASE WHEN {value} LIKE '{{%' THEN {inside(f'({value})', ['id'])} ELSE {value} END"


def moment(value: str) -> str:
    """Unix seconds as a zoned timestamp; any other text is left for the rules to judge."""
    seconds = f"to_timestamp(CAST(split_part({value}, '.', 1) AS BIGINT)) AT TIME ZONE 'UTC'"
    whole = rf"regexp_full_match({value}, '\d{{1,11}}(\.0+)?')"
    return f"CASE WHEN {whole} THEN strftime({seconds}, '%Y-%m-%dT%H:%M:%SZ') ELSE {value} END"


def integer(value: str) -> str:
    """A count of minor units; null where there is none or it is not whole."""
    whole = rf"regexp_full_match({value}, '[+-]?\d{{1,18}}(\.0+)?')"
    return f"CASE WHEN {whole} THEN CAST(split_part({value}, '.', 1) AS DECIMAL(18, 0)) END"


def total(items: str, only: str = "true") -> str:
    """The sum of `amount` over a JSON list, of those items `x` for which `only` holds; null for anything unreadable."""
    one = integer("(x ->> '$.amount')")
    picked = f"list_filter(CAST(json_extract({items}, '$[*]') AS JSON[]), lambda x: {only})"
    amounts = f"list_transform({picked}, lambda x: {one})"
    added = f"CASE WHEN list_count({amounts}) = len({amounts}) THEN coalesce(list_sum({amounts}), 0) END"
    listed = f"json_valid({items}) AND json_type({items}) IN ('ARRAY', 'NULL')"
    return f"CASE WHEN {items} IS NULL THEN 0 WHEN {listed} THEN {added} END"
