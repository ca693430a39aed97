"""Parquet of a workspace in and out, JSON written whole, and the only place that knows the folders of a workspace."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse.engine import parquet, quote
from warehouse.errors import DataError, UsageError
from warehouse.raw import TABLES

COMPRESSION = "COMPRESSION zstd, COMPRESSION_LEVEL 1"  # a third of the time of the default level, a twentieth larger


@dataclass(frozen=True)
class Workspace:
    """The folders of one vendor. `root` may not exist yet."""

    root: Path

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse"

    @property
    def rollup(self) -> Path:
        return self.root / "rollup"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def releases(self) -> Path:
        return self.root / "releases"


def write_table(table: pa.Table, path: Path) -> None:
    """Writes `path` whole or not at all: a temporary name beside it, then one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(table, partial, compression="zstd", write_page_checksum=True)
    os.replace(partial, path)


def write_json(said: Mapping[str, Any], path: Path) -> None:
    """Writes `path` whole or not at all; no NaN, which is not JSON."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(said, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file as an Arrow table, page checksums verified where the file has them.

    Raises:
        DataError: the file is missing or is not readable Parquet.
    """
    try:
        return pq.read_table(path, columns=columns, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Run the stage that writes it first.") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not readable Parquet ({error}).") from error


def rows_with(path: Path, column: str, values: Collection[str]) -> int:
    """How many rows of a Parquet file have one of `values` in `column`; 0 where it has no such column.

    Raises:
        DataError: the file is not readable Parquet.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if column not in file.schema_arrow.names:
                return 0
            return int(pc.sum(_among(file.read(columns=[column])[column], values)).as_py() or 0)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path} is not readable Parquet ({error}).") from error


def drop_rows(path: Path, column: str, values: Collection[str]) -> None:
    """Rewrites a Parquet file without the rows that have one of `values` in `column`, the others in their order."""
    table = read_table(path)
    write_table(table.filter(pc.invert(_among(table[column], values))), path)


def _among(column: pa.ChunkedArray, values: Collection[str]) -> pa.ChunkedArray:
    """Whether each is one of `values`, as text; a null is none."""
    return pc.is_in(column.cast(pa.string()), pa.array(sorted(values), pa.string()))


def copy_to_parquet(con: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Streams the rows of `query` to `path`; returns their number. The caller owns atomicity (a folder swap)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # fetchall, not fetchone: DuckDB 2 refuses the next statement while a result is unfinished
    [(rows,)] = con.execute(f"COPY ({query}) TO {quote(str(path))} (FORMAT parquet, {COMPRESSION})").fetchall()
    return int(rows)


def copy_by_day(con: duckdb.DuckDBPyConnection, query: str, folder: Path) -> None:
    """Streams the rows of `query` to files of their `day`: `day=2024-03-05/*.parquet` under `folder`, which exists."""
    options = f"FORMAT parquet, {COMPRESSION}, PARTITION_BY (day), WRITE_PARTITION_COLUMNS true, APPEND true"
    con.execute(f"COPY ({query}) TO {quote(str(folder))} ({options})").fetchall()


def part_file(part: int) -> str:
    """The file of a part in the folder of its table: `2024-03.parquet` for 202403, `all.parquet` for 0."""
    return f"{part // 100:04}-{part % 100:02}.parquet" if part else "all.parquet"


def open_warehouse(con: duckdb.DuckDBPyConnection, warehouse: Path, only: pa.ChunkedArray | None = None) -> None:
    """Makes the typed tables of `warehouse` visible in `con` as views `accounts`, `events`, `revenue`, ...

    only: ids of the accounts whose rows are visible; null: all.

    Raises:
        UsageError: there is no warehouse there yet.
    """
    chosen = ""
    if only is not None:
        con.register("asked", pa.table({"account_id": only}))
        chosen = " WHERE account_id IN (SELECT account_id FROM asked)"
    for table in TABLES:
        files = table_files(warehouse, table)
        con.execute(f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM {parquet(*files)}{chosen}")


def table_files(warehouse: Path, table: str) -> list[Path]:
    """The files of a table, in order of their months.

    Raises:
        UsageError: there is no warehouse there yet.
    """
    files = sorted((warehouse / table).glob("*.parquet"))
    if not files:
        raise UsageError(f"{warehouse / table} holds no table. Run `expansion ingest --raw DIR --workspace DIR` first.")
    return files


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """Inode, size and time of a file that is never written again: with another stamp it is another file. Null where
    there is none."""
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns


def link(path: Path, into: Path) -> None:
    """The same immutable file under a second name; where the file system knows no links a copy, of the same time."""
    into.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, into)
    except OSError:
        shutil.copy2(path, into)


def swap_folder(new: Path, live: Path) -> None:
    """Puts the finished folder `new` in the place of `live`. A crash between the two renames leaves `live` under the
    name `.<live>.old`, which `recover_folder` puts back."""
    old = live.with_name(f".{live.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if live.exists():
        os.replace(live, old)
    os.replace(new, live)
    shutil.rmtree(old, ignore_errors=True)


def refuse_link(live: Path) -> None:
    """Raises UsageError where `live`, which is swapped in whole, is a link: the swap would leave behind what it leads
    to."""
    if live.is_symlink():
        raise UsageError(
            f"{live} is a link: put the folder itself in its place, or move the workspace as a whole to where it leads."
        )


def recover_folder(live: Path) -> None:
    """Undoes a `swap_folder` that died half-way: without `live`, the old folder comes back."""
    old = live.with_name(f".{live.name}.old")
    if old.exists() and not live.exists():
        os.replace(old, live)
