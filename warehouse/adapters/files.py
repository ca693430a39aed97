"""Finds the files of a raw folder and reads them as text or as Parquet types, never by guessing.

A table called `events` is `events.csv`, `events.csv.gz`, `events.parquet`, or a folder `events/` of such files.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import duckdb

from warehouse.engine import name, quote
from warehouse.errors import ContractBroken

ENDINGS = (".csv", ".csv.gz", ".parquet")
HEADER_CHARACTERS = 1_000_000  # a longer first line is no header


@dataclass(frozen=True)
class RawFiles:
    """The files of one table. `columns`: union of their columns with DuckDB types; `by_file`: the columns of each."""

    stem: str
    paths: tuple[Path, ...]
    columns: dict[str, str]
    by_file: dict[str, tuple[str, ...]]


def stem_of(path: Path) -> str | None:
    """The table a file or folder stands for; None when it is no data at all."""
    if path.name.startswith((".", "_")):
        return None
    if path.is_dir():
        return path.name
    return next((path.name.removesuffix(end) for end in ENDINGS[::-1] if path.name.endswith(end)), None)


def stems(raw: Path) -> dict[str, list[Path]]:
    """All tables of the raw folder, each with the files and folders that claim its name.

    Raises:
        ContractBroken: there is no such folder.
    """
    if not raw.is_dir():
        raise ContractBroken([f"{raw} is not a folder. Give the folder of the raw tables to --raw."])
    found: dict[str, list[Path]] = {}
    for path in sorted(raw.iterdir()):
        stem = stem_of(path)
        if stem is not None:
            found.setdefault(stem, []).append(path)
    return found


def find(raw: Path, stem: str) -> tuple[Path, ...]:
    """The files of table `stem` in ascending order; empty when there are none.

    Raises:
        ContractBroken: no raw folder, an empty folder or file, or two claims to the same table.
    """
    claims = stems(raw).get(stem, [])
    if len(claims) > 1:
        names = ", ".join(claim.name for claim in claims)
        raise ContractBroken([f'{raw}: table "{stem}" is there {len(claims)} times ({names}). Keep one of them.'])
    if not claims:
        return ()
    paths = claims
    if claims[0].is_dir():
        paths = sorted(p for p in claims[0].rglob("*") if p.is_file() and stem_of(p) is not None)
        if not paths:
            raise ContractBroken([f"{raw / stem}: the folder holds no file ending in {', '.join(ENDINGS)}."])
    for path in paths:
        if not path.is_file():
            raise ContractBroken([f"{path.name}: not a plain file. Give a file ending in {', '.join(ENDINGS)}."])
        if path.stat().st_size == 0:
            raise ContractBroken([f"{label(raw, path)}: the file is empty (zero bytes). Export it again."])
    return tuple(paths)


def label(raw: Path, path: Path) -> str:
    """How messages and the accounting name a file: relative to the raw folder."""
    return path.relative_to(raw).as_posix()


def look(con: duckdb.DuckDBPyConnection, raw: Path, stem: str) -> RawFiles | None:
    """The files of table `stem` with their columns, read from headers and footers only; None without any file.

    Raises:
        ContractBroken: a file is empty, has no header, or is not readable.
    """
    paths = find(raw, stem)
    if not paths:
        return None
    parquet = [path for path in paths if path.suffix == ".parquet"]
    columns = _parquet_columns(con, raw, parquet) if parquet else {}
    by_file = _parquet_names(con, raw, parquet) if parquet else {}
    for path in paths:
        if path.suffix != ".parquet":
            by_file[label(raw, path)] = header = _header(raw, path)
            columns = {**columns, **dict.fromkeys(header, "VARCHAR")}
    return RawFiles(stem, paths, columns, by_file)


def relation(raw: Path, files: RawFiles, columns: list[str] | None = None) -> tuple[str, tuple[tuple[str, str], ...]]:
    """SQL over all the files with `columns` (default: all) plus `_file` and `_line`, and the tables of rejected lines.
    Parquet files are one scan, each CSV file is one."""
    wanted = list(files.columns) if columns is None else columns
    parts, rejects = [], []
    parquet = [path for path in files.paths if path.suffix == ".parquet"]
    if parquet:
        there = {column for path in parquet for column in files.by_file[label(raw, path)]}
        picked = "".join(f", {name(column)}" for column in wanted if column in there)
        parts.append(
            f"SELECT substr(filename, {len(str(raw)) + 2}) AS _file, file_row_number + 1 AS _line{picked} "
            f"FROM {_scan(parquet)}"
        )
    for path in files.paths:
        if path.suffix == ".parquet":
            continue
        file = label(raw, path)
        table = f"rejects_{hashlib.sha256(file.encode()).hexdigest()[:16]}"
        rejects.append((file, table))
        picked = "".join(f", {name(column)}" for column in wanted if column in files.by_file[file])
        parts.append(
            f"SELECT {quote(file)} AS _file, row_number() OVER () + 1 AS _line{picked} "
            f"FROM {_csv(path, files.by_file[file], table)}"
        )
    return " UNION ALL BY NAME ".join(parts), tuple(rejects)


def _scan(paths: list[Path]) -> str:
    listed = ", ".join(quote(str(path)) for path in paths)
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"


def _csv(path: Path, header: tuple[str, ...], rejects: str) -> str:
    columns = ", ".join(f"{quote(column)}: 'VARCHAR'" for column in header)
    return (
        f"read_csv({quote(str(path))}, auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', "
        f"columns = {{{columns}}}, store_rejects = true, rejects_table = {quote(rejects)}, "
        f"rejects_scan = {quote(rejects + '_scan')})"
    )


def _parquet_columns(con: duckdb.DuckDBPyConnection, raw: Path, paths: list[Path]) -> dict[str, str]:
    try:
        rows = con.execute(f"DESCRIBE SELECT * FROM {_scan(paths)}").fetchall()
    except duckdb.Error as error:
        named = {label(raw, path): path for path in paths}
        blamed = at_fault(con, named, error) or ", ".join(list(named)[:3])
        raise ContractBroken([f"{blamed}: not readable Parquet ({_first_line(error)})."]) from error
    return {row[0]: row[1] for row in rows}


def _parquet_names(con: duckdb.DuckDBPyConnection, raw: Path, paths: list[Path]) -> dict[str, tuple[str, ...]]:
    listed = ", ".join(quote(str(path)) for path in paths)
    rows = con.execute(f"SELECT file_name, list(name) FROM parquet_schema([{listed}]) GROUP BY 1 ORDER BY 1").fetchall()
    return {label(raw, Path(file)): tuple(names) for file, names in rows}


def at_fault(con: duckdb.DuckDBPyConnection, paths: dict[str, Path], error: duckdb.Error) -> str | None:
    """Which of `paths` (by label) made reading them all fail with `error`: the one it speaks of, else the first Parquet
    file that fails by itself; None when each can be read."""
    spoken_of = [file for file, path in paths.items() if str(path) in str(error)]
    if spoken_of:
        return max(spoken_of, key=len)  # where a.csv.gz is spoken of, so is a.csv
    return next((file for file, path in paths.items() if path.suffix == ".parquet" and not _readable(con, path)), None)


def _readable(con: duckdb.DuckDBPyConnection, path: Path) -> bool:
    try:  # a count would be answered from the footer alone
        con.execute(f"SELECT max(hash(COLUMNS(*))) FROM {_scan([path])}").fetchall()
    except duckdb.Error:
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]


def _header(raw: Path, path: Path) -> tuple[str, ...]:
    file = label(raw, path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader([stream.readline(HEADER_CHARACTERS)]), [])
    except UnicodeDecodeError as error:
        raise ContractBroken(
            [f"{file}: the header is not UTF-8 ({error.reason}). Export the file as UTF-8."]
        ) from error
    except (OSError, EOFError, csv.Error, zlib.error) as error:
        raise ContractBroken([f"{file}: not readable ({_first_line(error)})."]) from error
    if not any(cell.strip() for cell in header):
        raise ContractBroken([f"{file}: the first line is blank; a CSV file starts with the names of its columns."])
    twice = sorted({cell for cell in header if [other.lower() for other in header].count(cell.lower()) > 1})
    if twice:
        raise ContractBroken([f"{file}: column {', '.join(twice)} is in the header more than once."])
    return tuple(header)
