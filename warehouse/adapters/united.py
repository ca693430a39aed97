"""How the columns of several files become one relation: their common type, and which Parquet files are one scan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from warehouse import mixed
from warehouse.adapters import values
from warehouse.engine import name

ByFile = Mapping[str, Mapping[str, str]]  # the types of the columns of each file, by its label


def kinds(by_file: ByFile) -> dict[str, set[str]]:
    """The types that files give each column. DuckDB does not see the case of Parquet columns: the first spelling
    stands for all."""
    found: dict[str, set[str]] = {}
    spelt: dict[str, str] = {}
    for file, columns in by_file.items():
        for column, kind in columns.items():
            own = spelt.setdefault(column.lower(), column) if file.endswith(".parquet") else column
            found.setdefault(own, set()).add(kind)
    return found


def apart(by_file: ByFile, sql: bool) -> set[str]:
    """The columns in which the values of each file keep their own type; `sql`: in which they become text."""
    found = {column for column, types in kinds(by_file).items() if mixed.common(types) == mixed.MIXED}
    one = in_sql(by_file) if sql else {}
    return {column for column in found if one.get(column, "VARCHAR") == "VARCHAR"}


def in_sql(by_file: ByFile) -> dict[str, str]:
    """The types of the columns where SQL of the params reads them."""
    return {column: mixed.in_sql(types) for column, types in kinds(by_file).items()}


def alike(by_file: ByFile, parquet: Iterable[str], apart: Set[str]) -> list[list[str]]:
    """The Parquet files in groups that agree in the types of the columns `apart`."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    lowered = {column.lower() for column in apart}
    for file in parquet:
        own = sorted((c.lower(), kind) for c, kind in by_file[file].items() if c.lower() in lowered)
        groups.setdefault(tuple(own), []).append(file)
    return list(groups.values())


def own(column: str, kind: str, apart: bool, sql: bool) -> str:
    """SQL for a column as its file types it: as it stands, or, where other files differ, as MIXED or as text."""
    if not apart:
        return name(column)
    value = values.told(name(column), kind) if sql else mixed.carried(name(column), kind)
    return f"{value} AS {name(column)}"
