"""Raw folders that already have the canonical tables: `accounts`, `events`, `revenue` and the optional ones."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path

import duckdb

from warehouse.adapters import Source, files
from warehouse.errors import ContractBroken
from warehouse.mixed import is_nested
from warehouse.raw import TABLES, RawTable


def sources(con: duckdb.DuckDBPyConnection, raw: Path, given: tuple[str, ...] = ()) -> list[Source]:
    """One source a table that the folder has; tables already `given` by another adapter are not looked for.

    Raises:
        ContractBroken: a required table or column is missing, or a file cannot be read. Says so of every table at once.
    """
    found, problems = [], []
    for table in [one for one in TABLES.values() if one.name not in given]:
        try:
            source = read(con, raw, table)
        except ContractBroken as broken:
            if not raw.is_dir():
                raise
            problems += broken.problems
            continue
        if source is not None:
            found.append(source)
    if problems:
        raise ContractBroken(problems)
    return found


def read(con: duckdb.DuckDBPyConnection, raw: Path, table: RawTable) -> Source | None:
    """The source of one canonical table; null when the folder lacks it and may."""
    there = files.look(con, raw, table.name)
    if there is None:
        if table.optional:
            return None
        forms = ", ".join(f"{table.name}{end}" for end in files.ENDINGS)
        raise ContractBroken(
            [
                f'{raw}: table "{table.name}" is missing. Expected {forms} or a folder {table.name}/ of them. Where '
                f"there is nothing of it yet, give the header alone and take {table.name} out of ingest.never_empty."
            ]
        )
    for file, columns in there.by_file.items():
        require(file, table, columns)
    known = [column.name for column in table.columns if column.name in there.columns]
    nested = [c for c in known if any(is_nested(own.get(c, "")) for own in there.by_file.values())]
    if nested:
        raise ContractBroken(
            [
                f'{", ".join(list(there.by_file)[:3])}: column "{nested[0]}" is nested (rule nested_column). '
                "Export a plain value, or name the path to it in the adapter `columns`."
            ]
        )
    query, rejects = files.relation(raw, there, known)
    return Source(
        table.name,
        query,
        {column: there.columns[column] for column in known},
        tuple(there.by_file),
        there.besides(known),
        rejects,
        paths=there.paths,
        by_file=True,
    )


def require(place: str, table: RawTable, columns: Collection[str]) -> None:
    """Refuses a file or query that lacks a required column of `table`.

    Raises:
        ContractBroken: names the missing columns, what was expected, what was found, and the nearest spelling.
    """
    missing = [column for column in table.required if column not in columns]
    if not missing:
        return
    lowered = {column.lower(): column for column in columns}
    parts = []
    for column in missing:
        near = difflib.get_close_matches(column, lowered, n=1)
        parts.append(f'"{column}"' + (f' (nearest found: "{lowered[near[0]]}")' if near else ""))
    raise ContractBroken(
        [
            f"{place}: required column{'s' if len(missing) > 1 else ''} {', '.join(parts)} missing "
            f"(rule missing_column). Expected: {', '.join(table.required)}. Found: {', '.join(columns)}."
            f"{_split_otherwise(columns)}"
        ]
    )


def _split_otherwise(columns: Collection[str]) -> str:
    """What to do where the header came out as one column because another sign than a comma splits it."""
    header = "".join(columns) if len(columns) == 1 else ""
    sign = next((sign for sign in (";", "\t", "|") if sign in header), None)
    return f" The header seems to be split by {sign!r}: export the file with commas." if sign else ""
