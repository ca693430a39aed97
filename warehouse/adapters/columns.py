"""Raw folders under other names: the params say per canonical table which files it is in and which column is which.

No SQL: a canonical column is a source column, a dotted path into one that holds JSON, or a fixed value.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Literal

import duckdb
from pydantic import Field, ValidationInfo, field_validator

from warehouse import rules
from warehouse.adapters import Source, files, values
from warehouse.adapters.tables import require
from warehouse.engine import name, quote
from warehouse.errors import ContractBroken
from warehouse.money import to_major
from warehouse.params import Section
from warehouse.raw import TABLES, Column, RawTable, Type

Unit = Literal["epoch_s", "epoch_ms", "epoch_us", "minor"]
Scalar = str | int | float | bool
TYPO = 0.85  # likeness from which a missing optional column is taken for a misspelt one


class FixedValue(Section):
    """The same value in every row."""

    value: Scalar


class TableColumns(Section):
    """One canonical table.

    files: the name of a table in the raw folder, or a glob below it.
    columns: canonical name to source column, dotted path, or fixed value.
    unit: of numbers that are not ISO timestamps or major units; by canonical name.
    keep: source column or path to the values whose rows are meant; all other rows are `excluded:keep`.
    """

    files: str
    columns: dict[str, str | FixedValue]
    unit: dict[str, Unit] = Field(default_factory=dict)
    keep: dict[str, list[Scalar]] = Field(default_factory=dict)


class ColumnsParams(Section):
    """The tables that come under other names; those left out are given by another adapter or not at all."""

    accounts: TableColumns | None = None
    events: TableColumns | None = None
    revenue: TableColumns | None = None
    touches: TableColumns | None = None
    account_users: TableColumns | None = None

    @field_validator("*")
    @classmethod
    def _fits_the_contract(cls, given: TableColumns | None, info: ValidationInfo) -> TableColumns | None:
        if given is None:
            return None
        table = TABLES[str(info.field_name)]
        known = [column.name for column in table.columns]
        for column in given.columns:
            if column not in known:
                close = difflib.get_close_matches(column, known, n=1)
                hint = f', did you mean "{close[0]}"?' if close else "."
                raise ValueError(f'{table.name} has no column "{column}"{hint} Known: {", ".join(known)}')
        missing = [column for column in table.required if column not in given.columns]
        if missing:
            raise ValueError(f"{table.name} needs columns for {', '.join(missing)}")
        for column, unit in given.unit.items():
            wanted: Type = "money" if unit == "minor" else "timestamp"
            if column not in given.columns or table.column(column).type != wanted:
                raise ValueError(f'unit {unit} is for a mapped {wanted} column, which "{column}" is not')
        return given


def sources(con: duckdb.DuckDBPyConnection, raw: Path, params: ColumnsParams, reading: rules.Reading) -> list[Source]:
    """One source a table in the params.

    Raises:
        ContractBroken: files or source columns are missing, or a file cannot be read. Says so of every table at once.
    """
    found: list[Source] = []
    problems: list[str] = []
    counted: set[str] = set()
    for table in TABLES.values():
        given: TableColumns | None = getattr(params, table.name)
        if given is None:
            continue
        try:
            found.append(_source(con, raw, table, given, reading, counted))
        except ContractBroken as broken:
            if not raw.is_dir():
                raise
            problems += broken.problems
    if problems:
        raise ContractBroken(problems)
    return found


def _source(
    con: duckdb.DuckDBPyConnection,
    raw: Path,
    table: RawTable,
    given: TableColumns,
    reading: rules.Reading,
    counted: set[str],
) -> Source:
    """counted: files whose unreadable lines another table counts already; those of this one are added."""
    place = f"ingest.columns.{table.name}"
    there = files.expect(con, raw, given.files, f"{place}.files")
    named = {column: own for column, own in given.columns.items() if isinstance(own, str)}
    needed = [_root(own, there) for column, own in named.items() if table.column(column).required]
    needed += [_root(own, there) for own in given.keep]
    for file, columns in there.by_file.items():
        require(file, _declared(table, needed), columns)
    absent = {column for column, own in named.items() if _root(own, there) not in there.columns}
    for column in sorted(absent):
        _refuse_misspelt(place, named[column], there)
    roots = [_root(own, there) for column, own in named.items() if column not in absent]
    roots = list(dict.fromkeys([*roots, *(_root(own, there) for own in given.keep)]))
    lines, rejects = files.relation(raw, there, roots)
    picked = {column: _value(own, there) for column, own in given.columns.items() if column not in absent}
    types = {column: _type(own, there) for column, own in given.columns.items() if column not in absent}
    for column, unit in given.unit.items():
        if column in picked:
            picked[column] = _in_unit(picked[column], unit, picked.get("currency"), reading.currency)
            types[column] = "VARCHAR"
    mine = tuple((file, rejected) for file, rejected in rejects if file not in counted)
    counted.update(file for file, _ in rejects)
    return Source(
        table.name,
        values.select(lines, picked, _breaches(given, there, absent)),
        types,
        tuple(there.by_file),
        there.besides(roots),
        mine,
        judged=True,
        paths=there.paths,
        by_file=True,
    )


def _root(own: str, there: files.RawFiles) -> str:
    """The source column that `own` means: itself, else the longest part before a dot that is one, else the first."""
    parts = own.split(".")
    heads = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((head for head in heads if head in there.columns), heads[-1])


def _value(own: str | FixedValue, there: files.RawFiles) -> str:
    if isinstance(own, FixedValue):
        return quote(_written(own.value))
    root = _root(own, there)
    column = f"f.{name(root)}"
    if root == own:
        return column
    return values.inside(values.document(column, there.columns[root]), own.removeprefix(f"{root}.").split("."))


def _type(own: str | FixedValue, there: files.RawFiles) -> str:
    return there.columns[own] if isinstance(own, str) and own in there.columns else "VARCHAR"


def _written(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _in_unit(value: str, unit: Unit, currency: str | None, declared: str | None) -> str:
    if unit != "minor":
        return values.epoch(value, unit)
    # a column of whole numbers with gaps is often exported as 1299.0
    amount = f"regexp_replace({values.told(value)}, '\\.0+$', '')"
    told = [] if currency is None else [currency]
    code = values.first_of([*told, "CAST(NULL AS VARCHAR)" if declared is None else quote(declared)])
    return f"coalesce(CAST({to_major(amount, code)} AS VARCHAR), '? ' || {amount})"


def _breaches(given: TableColumns, there: files.RawFiles, absent: set[str]) -> list[tuple[str, str]]:
    out = []
    opened = {
        _root(own, there): column
        for column, own in reversed(given.columns.items())
        if isinstance(own, str) and column not in absent and _root(own, there) != own
    }
    for root, column in opened.items():
        json = values.document(f"f.{name(root)}", there.columns[root])
        out.append((values.unreadable(json), f"malformed|{column}"))
    for own, kept in given.keep.items():
        listed = ", ".join(quote(_written(value)) for value in kept) or "NULL"
        # 1 is kept where a file of floats writes 1.0, and 1.0 where it stands so in the params
        value = _value(own, there)
        asked = [f"{one} IN ({listed})" for one in (f"CAST({value} AS VARCHAR)", values.told(value, _type(own, there)))]
        out.append((f"NOT coalesce({' OR '.join(dict.fromkeys(asked))}, false)", "excluded:keep|"))
    return out


def _declared(table: RawTable, needed: list[str]) -> RawTable:
    columns = tuple(Column(own, "text", "declared in the params", required=True) for own in dict.fromkeys(needed))
    return RawTable(table.name, columns, (), table.happened, table.known, "under its own names")


def _refuse_misspelt(place: str, own: str, there: files.RawFiles) -> None:
    root = _root(own, there)
    lowered = values.own_names(there.columns)
    near = difflib.get_close_matches(root.lower(), lowered, n=1, cutoff=TYPO)
    if near:
        raise ContractBroken(
            [
                f'{", ".join(list(there.by_file)[:3])}: column "{root}" missing (rule missing_column; nearest found: '
                f'"{lowered[near[0]]}"). Correct or remove it in {place}.columns.'
            ]
        )
