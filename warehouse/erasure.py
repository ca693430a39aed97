"""Takes an account or a user out of the warehouse, and clears away what killed runs left.

The warehouse is swapped in whole, as an ingest does it. It is then what was there without those rows, and no more can
be told without the raw files: a row that had lost against an erased one (`conflicting_duplicate`) comes back with the
next ingest, which is a whole one, because who was erased decides which rows are taken.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb

from warehouse import rules
from warehouse.build import ASIDE
from warehouse.engine import connect, name, parquet
from warehouse.errors import DataError
from warehouse.landing import Part
from warehouse.manifest import ACCOUNTING, Manifest, end_of, fingerprint_of, read_manifest, refuse_changed, written
from warehouse.raw import TABLES, RawTable
from warehouse.store import (
    Workspace,
    copy_to_parquet,
    link,
    part_file,
    recover_folder,
    refuse_link,
    rows_with,
    swap_folder,
    write_json,
)
from warehouse.subject import Subject

KEPT_IN = (
    "artifacts",
    "mlartifacts",
    "plans",
    "sent",
    "extracted",
)  # tables of no other owner; raw files may lie beside them
SWAPPED = ("warehouse", "quarantine", "rollup")
BUILDING = ".erasing"
KILLED = (BUILDING, ".ingest", ".rollup", ".warehouse.old", ".quarantine.old", ".rollup.old")  # left by killed runs


def remove_leftovers(root: Path) -> None:
    """Removes what killed runs left in the workspace; all of it is made anew when needed. Unfinished files go from
    these folders alone: beside them, keys are made without the workspace lock."""
    for live in (root / one for one in SWAPPED):
        recover_folder(live)
    for left in KILLED:
        shutil.rmtree(root / left, ignore_errors=True)
    for partial in (path for kept in KEPT_IN for path in (root / kept).rglob(".*.partial")):
        if partial.is_file():
            partial.unlink()


def refuse_links(root: Path) -> None:
    """Raises UsageError where a folder that is swapped in whole is a link or holds one: its target would stay."""
    for live in (root / one for one in SWAPPED):
        for path in (live, *live.rglob("*")):
            refuse_link(path)


def free_warehouse(workspace: Workspace, subject: Subject, tombstones: int) -> None:
    """Swaps in a warehouse and a quarantine without `subject`; it knows of so many tombstones. The caller holds the
    workspace lock.

    Raises:
        DataError: a file is not what `ingest` wrote, or a version wrote it that noted nothing to hold it against.
    """
    before = intact(workspace)
    manifest = replace(before, tombstones=max(before.tombstones, tombstones))
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
