"""Takes an account or a user out of what a workspace keeps: row by row out of any table, and out of the warehouse.

The warehouse is swapped in whole, as an ingest does it. It is then what was there without those rows, and no more can
be told without the raw files: a row that had lost against an erased one (`conflicting_duplicate`) comes back with the
next ingest, which is a whole one, because who was erased decides which rows are taken.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from warehouse import rules
from warehouse.build import ASIDE
from warehouse.engine import connect, name, parquet, quote
from warehouse.errors import DataError
from warehouse.landing import Part
from warehouse.manifest import ACCOUNTING, Manifest, end_of, fingerprint_of, read_manifest, refuse_changed, written
from warehouse.privacy import hash_of
from warehouse.raw import TABLES, RawTable
from warehouse.store import (
    Workspace,
    copy_to_parquet,
    drop_rows,
    link,
    part_file,
    recover_folder,
    rows_with,
    swap_folder,
    write_json,
)
from warehouse.tombstones import COLUMNS

KEPT_IN = ("artifacts", "mlartifacts", "plans", "extracted")  # tables of no other owner; raw files may lie beside them
BUILDING = ".erasing"
KILLED = (BUILDING, ".ingest", ".rollup", ".warehouse.old", ".quarantine.old", ".rollup.old")  # left by killed runs


@dataclass(frozen=True)
class Subject:
    """Who is to go. `kind`: account or user; `hash`: as a tombstone keeps it, and as the warehouse keeps a user."""

    kind: str
    id: str
    key: str

    @property
    def hash(self) -> str:
        return hash_of(self.id, self.key)

    @property
    def column(self) -> str:
        return COLUMNS[self.kind]

    @property
    def values(self) -> frozenset[str]:
        """What stands in the column: users are hashes, but in what a database adapter extracted."""
        return frozenset((self.id,) if self.kind == "account" else (self.id, self.hash))

    @property
    def condition(self) -> str:
        """SQL: whether a row is theirs; false for none."""
        listed = ", ".join(sorted(map(quote, self.values)))
        return f"coalesce({name(self.column)} IN ({listed}), false)"


def files_with(folder: Path, subject: Subject) -> dict[Path, int]:
    """The tables (Parquet, CSV, JSON) below `folder` with rows of `subject`, and how many."""
    found = {}
    for place, _, files in os.walk(folder):
        for path in (Path(place, file) for file in sorted(files) if not file.endswith(".partial")):
            if rows := _count(path, subject):
                found[path] = rows
    return dict(sorted(found.items()))


def drop(path: Path, subject: Subject) -> None:
    """Rewrites a table without the rows of `subject`, whole or not at all."""
    if path.suffix == ".parquet":
        drop_rows(path, subject.column, subject.values)
    elif path.suffix == ".csv":
        _write_csv(path, [line for line, theirs in _csv(path, subject) if not theirs])
    else:
        write_json(_without(_json(path), subject), path)


def remove_leftovers(root: Path) -> None:
    """Removes what killed runs left in the workspace; all of it is made anew when needed. Unfinished files go from
    these folders alone: beside them, keys are made without the workspace lock."""
    for live in (root / "warehouse", root / "quarantine", root / "rollup"):
        recover_folder(live)
    for left in KILLED:
        shutil.rmtree(root / left, ignore_errors=True)
    for partial in (path for kept in KEPT_IN for path in (root / kept).rglob(".*.partial")):
        partial.unlink()


def free_warehouse(workspace: Workspace, subject: Subject) -> None:
    """Swaps in a warehouse and a quarantine without `subject`. The caller holds the workspace lock.

    Raises:
        DataError: a file is not what `ingest` wrote, or a version wrote it that noted nothing to hold it against.
    """
    manifest = intact(workspace)
    building = workspace.root / BUILDING
    shutil.rmtree(building, ignore_errors=True)
    (building / "warehouse").mkdir(parents=True)
    try:
        with connect(workspace.warehouse, workspace.quarantine, building) as con:
            _free_aside(con, workspace.quarantine, building / "quarantine", subject)
            _free_aside(con, workspace.warehouse / "quarantine", building / "warehouse" / "quarantine", subject)
            _free_tables(con, workspace.warehouse, building / "warehouse", manifest, subject)
        swap_folder(building / "warehouse", workspace.warehouse)
        if (building / "quarantine").is_dir():
            swap_folder(building / "quarantine", workspace.quarantine)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def intact(workspace: Workspace) -> Manifest:
    """The manifest of the live warehouse, once its files are known to be those that ingest wrote.

    Raises:
        DataError: they are not, or there is no manifest.
    """
    refuse_changed(workspace.warehouse)
    manifest = read_manifest(workspace.warehouse)
    if manifest is None:
        raise DataError(
            f"{workspace.warehouse} has no manifest of this version: run `expansion ingest --whole --raw DIR "
            f"--workspace {workspace.root}` first."
        )
    return manifest


def _free_tables(con: duckdb.DuckDBPyConnection, live: Path, folder: Path, before: Manifest, subject: Subject) -> None:
    parts: dict[str, dict[int, Part]] = {}
    gone: dict[str, int] = {}
    for table in TABLES.values():
        known = before.parts.get(table.name, {})
        parts[table.name] = dict(_free_parts(con, table, live, folder, known, subject))
        if not known:
            link(live / table.name / part_file(0), folder / table.name / part_file(0))
        elif not parts[table.name]:
            copy_to_parquet(con, rules.no_rows(table), folder / table.name / part_file(0))
        rows = (sum(one.rows for one in which.values()) for which in (known, parts[table.name]))
        if fewer := next(rows) - next(rows):
            gone[table.name] = fewer
    books = json.loads((live / ACCOUNTING).read_text(encoding="utf-8"))
    end = end_of(parts)
    books |= {"fingerprint": fingerprint_of(parts), "data_end": end.isoformat() if end else None}
    earlier = books.get("erased", {})  # the rest of the books says what was read, and stays
    books["erased"] = {t: n for t in TABLES if (n := earlier.get(t, 0) + gone.get(t, 0))}
    write_json(books, folder / ACCOUNTING)
    replace(before, parts=parts, written=written(folder, before)).write(folder)


def _free_parts(
    con: duckdb.DuckDBPyConnection,
    table: RawTable,
    live: Path,
    folder: Path,
    known: dict[int, Part],
    subject: Subject,
) -> Iterator[tuple[int, Part]]:
    """The parts of `table` that still have rows, written to `folder` or linked there."""
    everything = ", ".join(name(column.name) for column in table.columns)
    for part, one in known.items():
        path, new = (where / table.name / part_file(part) for where in (live, folder))
        if not rows_with(path, subject.column, subject.values):
            link(path, new)
            yield part, one
        elif rows := copy_to_parquet(con, f"SELECT * FROM {parquet(path)} WHERE NOT {subject.condition}", new):
            digest = f"SELECT CAST(sum(hash({everything})) AS VARCHAR), max({table.known}) FROM {parquet(new)}"
            [(said, latest)] = con.execute(digest).fetchall()
            yield part, Part(rows, said, latest.isoformat(" "))
        else:
            new.unlink()


def _free_aside(con: duckdb.DuckDBPyConnection, aside: Path, folder: Path, subject: Subject) -> None:
    """Rows that were set aside keep their place and rule, which the books count; neither account nor shape."""
    if not aside.is_dir():
        return
    folder.mkdir(parents=True)
    for path in sorted(path for path in aside.iterdir() if path.is_file()):
        if path.suffix == ".parquet" and rows_with(path, subject.column, subject.values):
            blank = ", ".join(
                f"CASE WHEN NOT {subject.condition} THEN {column} END AS {column}" for column in ("account_id", "shape")
            )
            order = ", ".join(map(name, ASIDE))
            query = f"SELECT * REPLACE ({blank}) FROM {parquet(path)}"
            copy_to_parquet(con, f"SELECT * FROM ({query}) ORDER BY {order}", folder / path.name)
        else:
            link(path, folder / path.name)


def _count(path: Path, subject: Subject) -> int:
    if path.suffix == ".parquet":
        return rows_with(path, subject.column, subject.values)
    if path.suffix == ".csv":
        return sum(theirs for _, theirs in _csv(path, subject))
    return sum(_theirs(_json(path), subject)) if path.suffix == ".json" else 0


def _csv(path: Path, subject: Subject) -> Iterator[tuple[list[str], bool]]:
    """The lines of a file, each with whether it is theirs; the first names the columns."""
    with path.open(encoding="utf-8", newline="") as stream:
        place = -1
        for number, line in enumerate(csv.reader(stream)):
            if number == 0:
                place = line.index(subject.column) if subject.column in line else -1
            yield line, number > 0 and 0 <= place < len(line) and line[place] in subject.values


def _write_csv(path: Path, lines: Iterable[list[str]]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(lines)
    os.replace(partial, path)


def _json(path: Path) -> Any:
    """Null where a file cannot be read: whoever reads it for its content says so."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _theirs(said: Any, subject: Subject) -> Iterator[bool]:
    """True for each object of a list, at any depth, that is theirs."""
    for inner in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        if isinstance(said, list) and _is_theirs(inner, subject):
            yield True
        else:
            yield from _theirs(inner, subject)


def _without(said: Any, subject: Subject) -> Any:
    if isinstance(said, dict):
        return {key: _without(value, subject) for key, value in said.items()}
    if isinstance(said, list):
        return [_without(one, subject) for one in said if not _is_theirs(one, subject)]
    return said


def _is_theirs(said: Any, subject: Subject) -> bool:
    return isinstance(said, dict) and said.get(subject.column) in subject.values
