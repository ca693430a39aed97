"""Finds the files of a raw folder and reads them as text or as Parquet types, never by guessing.

A table called `events` is `events.csv`, `events.csv.gz`, `events.jsonl`, `events.parquet`, ..., or a folder `events/`
of such files; an adapter may also name files by a glob. Nothing outside the raw folder is read, whatever a link says.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import mmap
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import duckdb

from warehouse import mixed
from warehouse.adapters import united
from warehouse.engine import name, quote
from warehouse.errors import ContractBroken

ENDINGS = (".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json", ".json.gz")
LINES = tuple(end for end in ENDINGS if "json" in end)  # one JSON object a line
HEADER_BYTES = 1_000_000  # a longer first line is no header
_TRIMMED = "trim(csv_line, E'\\r\\n')"
LINES_HELD = f"1 + length({_TRIMMED}) - length(replace({_TRIMMED}, E'\\n', ''))"  # of a rejected line
TOLD_CHARACTERS = 10_000  # DuckDB keeps so much of a line it rejects
MAX_COLUMNS = 1_000
MAGIC = {b"PAR1": "Parquet", b"\x1f\x8b": "gzip"}  # how files begin that are taken for text by their name alone
MAX_LINE_BYTES = 16 * 1024 * 1024  # what one line may hold; DuckDB keeps several of that size in memory


@dataclass(frozen=True)
class RawFiles:
    """Files by label. `by_file`: the columns of each with the DuckDB types it gives them; `columns`: all of them, of
    type MIXED where files differ."""

    paths: dict[str, Path]
    columns: dict[str, str]
    by_file: dict[str, dict[str, str]]

    def besides(self, read: Iterable[str]) -> tuple[str, ...]:
        """The columns that are not among those read, in order of the alphabet."""
        return tuple(sorted(set(self.columns) - set(read)))


def stem_of(path: Path) -> str | None:
    """The table a file or folder stands for; None when it is no data at all."""
    if path.name.startswith((".", "_")):
        return None
    if path.is_dir():
        return path.name
    longest_first = sorted(ENDINGS, key=len, reverse=True)
    return next((path.name.removesuffix(end) for end in longest_first if path.name.endswith(end)), None)


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


def find(raw: Path, what: str) -> tuple[Path, ...]:
    """The files that `what` stands for, in ascending order; empty when there are none.

    what: the stem of a table, or a glob relative to the raw folder (`export/**/*.json.gz`).

    Raises:
        ContractBroken: no raw folder, an empty folder or file, two claims to the same table, or a file that is not a
            plain one inside the raw folder.
    """
    if any(sign in what for sign in "*?["):
        stems(raw)  # there must be a folder
        paths = sorted(p for p in raw.glob(what) if stem_of(p) is not None and not p.is_dir())
    else:
        claims = stems(raw).get(what, [])
        if len(claims) > 1:
            names = ", ".join(claim.name for claim in claims)
            raise ContractBroken([f'{raw}: table "{what}" is there {len(claims)} times ({names}). Keep one of them.'])
        folders = [raw / f"{what}{end}" for end in ENDINGS if (raw / f"{what}{end}").is_dir()]
        if folders and not claims:
            raise ContractBroken([f"{folders[0].name}: a folder with the name of a file. Call it {what}."])
        paths = claims
        if claims and claims[0].is_dir():
            paths = sorted(p for p in claims[0].rglob("*") if not p.is_dir() and stem_of(p) is not None)
            if not paths:
                raise ContractBroken([f"{raw / what}: the folder holds no file ending in {', '.join(ENDINGS)}."])
    for path in paths:
        _plain(raw, path)
    return tuple(paths)


def _plain(raw: Path, path: Path) -> None:
    """Refuses what is no readable, non-empty file of this folder: a pipe would hang, a link may lead anywhere."""
    file = label(raw, path)
    if not path.resolve().is_relative_to(raw.resolve()):
        raise ContractBroken([f"{file}: a link that leads out of the raw folder. Put the file itself there."])
    if not path.is_file():
        what = "a link to nothing" if path.is_symlink() and not path.exists() else "not a plain file"
        raise ContractBroken([f"{file}: {what}. Give a file ending in {', '.join(ENDINGS)}."])
    if path.stat().st_size == 0:
        raise ContractBroken([f"{file}: the file is empty (zero bytes). Export it again."])
    if not os.access(path, os.R_OK):
        raise ContractBroken([f"{file}: not readable (permission denied). Let the user of this run read it."])


def label(raw: Path, path: Path) -> str:
    """How messages and the accounting name a file: relative to the raw folder."""
    return path.relative_to(raw).as_posix()


def look(con: duckdb.DuckDBPyConnection, raw: Path, what: str) -> RawFiles | None:
    """The files that `what` stands for with their columns, read from headers, footers and JSON keys; None without any.

    Raises:
        ContractBroken: a file is empty, has no header, or is not readable.
    """
    paths = {label(raw, path): path for path in find(raw, what)}
    if not paths:
        return None
    parquet = [path for path in paths.values() if path.suffix == ".parquet"]
    by_file = _parquet_types(con, raw, parquet) if parquet else {}
    for file, path in paths.items():
        if path.suffix != ".parquet":
            names = _keys(con, raw, path) if _is_lines(path) else _header(raw, path)
            by_file[file] = dict.fromkeys(names, "VARCHAR")
    for file, columns in by_file.items():
        _bounded(file, columns)
    return RawFiles(paths, {column: mixed.common(kinds) for column, kinds in united.kinds(by_file).items()}, by_file)


def expect(con: duckdb.DuckDBPyConnection, raw: Path, what: str, setting: str) -> RawFiles:
    """The same where the files must be there; `setting`: the key of the params that names them.

    Raises:
        ContractBroken: as `look`, and when there is no such file.
    """
    there = look(con, raw, what)
    if there is None:
        raise ContractBroken([f"{raw}: {what} is missing ({setting})."])
    return there


def _is_lines(path: Path) -> bool:
    return path.name.endswith(LINES)


def relation(
    raw: Path, files: RawFiles, columns: list[str] | None = None, sql: bool = False
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """SQL over all the files with `columns` (default: all) plus `_file` and `_line`, and the tables of rejected lines.
    Parquet files that agree in their types are one scan, each CSV file is one.

    sql: SQL of the params comes over it, so a column that files type differently is text, or whatever SQL makes of
    different numbers, and not MIXED."""
    wanted = list(files.columns) if columns is None else columns
    apart = united.apart(files.by_file, sql)
    parts, rejects = [], []
    parquet = {file: path for file, path in files.paths.items() if path.suffix == ".parquet"}
    for group in united.alike(files.by_file, parquet, apart):
        there = {column.lower(): kind for file in group for column, kind in files.by_file[file].items()}
        read = [column for column in wanted if column.lower() in there]
        picked = "".join(f", {united.own(c, there[c.lower()], c in apart, sql)}" for c in read)
        parts.append(
            f"SELECT substr(filename, {len(str(raw)) + 2}) AS _file, file_row_number + 1 AS _line{picked} "
            f"FROM {_scan([parquet[file] for file in group])}"
        )
    for file, path in files.paths.items():
        if file in parquet:
            continue
        table = _rejects(file)
        rejects.append((file, table))
        read = [column for column in wanted if column in files.by_file[file]]
        picked = "".join(f", {united.own(column, 'VARCHAR', column in apart, sql)}" for column in read)
        if _is_lines(path):
            parts.append(f"SELECT {quote(file)} AS _file, _line{picked} FROM ({_objects(path, sorted(read))})")
            continue
        header, line = tuple(files.by_file[file]), "row_number() OVER () + 1 AS _line"
        if not _has_nul(path):
            parts.append(f"SELECT {quote(file)} AS _file, {line}{picked} FROM {_csv(path, header, table)}")
            continue
        nul = " OR ".join(f"contains(coalesce({name(column)}, ''), chr(0))" for column in header)
        rows = f"SELECT {line}, {nul} AS _nul, * FROM {_csv(path, header, table)}"
        parts.append(f"SELECT {quote(file)} AS _file, _line{picked} FROM ({rows}) WHERE NOT _nul")
        again = f"SELECT {line}, {nul} AS _nul FROM {_csv(path, header, table + '_again')}"
        unreadable = f"SELECT line, csv_line FROM main.{table} UNION ALL SELECT _line, '' FROM ({again}) WHERE _nul"
        rejects[-1] = (file, f"({unreadable})")
    return " UNION ALL BY NAME ".join(parts), tuple(rejects)


def unread_lines(con: duckdb.DuckDBPyConnection, raw: Path, path: Path) -> int:
    """How many lines of a CSV file are in no row: all that is not blank, less the header and the lines of the rows. For
    files in which a quote swallowed more than DuckDB tells of (it cuts a rejected line after 10,000 characters)."""
    header = _header(raw, path)
    lines = " + ".join(f"coalesce(length({name(c)}) - length(replace({name(c)}, chr(10), '')), 0)" for c in header)
    table = f"{_rejects(label(raw, path))}_counted"
    [(read,)] = con.execute(f"SELECT coalesce(sum(1 + {lines}), 0) FROM {_csv(path, header, table)}").fetchall()
    with _open(path) as stream:
        return sum(1 for line in stream if line.strip()) - 1 - int(read)


def _has_nul(path: Path) -> bool:
    """Whether a text file holds a NUL byte, which no text does. False for damaged gzip, of which DuckDB will tell."""
    if path.suffix == ".gz":
        try:
            with _open(path) as stream:
                return any(b"\0" in block for block in iter(lambda: stream.read(2**20), b""))
        except (OSError, EOFError, zlib.error):
            return False
    with path.open("rb") as plain, mmap.mmap(plain.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        return whole.find(b"\0") >= 0


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _rejects(file: str) -> str:
    return f"rejects_{hashlib.sha256(file.encode()).hexdigest()[:16]}"


def _lines(path: Path) -> str:
    """SQL for the lines of a text file: _line (1 for the first) and line; blank ones are left out."""
    read = (
        f"read_csv({quote(str(path))}, auto_detect = false, header = false, delim = chr(31), quote = '', escape = '', "
        f"columns = {{'line': 'VARCHAR'}}, strict_mode = false, max_line_size = {MAX_LINE_BYTES})"
    )
    return (
        "SELECT * FROM (SELECT CAST(row_number() OVER () AS BIGINT) AS _line, line, "
        f"json_valid(line) AND json_type(CASE WHEN json_valid(line) THEN line END) = 'OBJECT' AS good FROM {read}) "
        "WHERE trim(line) <> ''"
    )


def _objects(path: Path, columns: list[str]) -> str:
    """SQL for the JSON objects of a file: _line and `columns` as text; what is nested stays JSON."""
    if not columns:
        return f"SELECT _line FROM ({_lines(path)}) WHERE good"
    shape = json.dumps(dict.fromkeys(columns, "VARCHAR"), ensure_ascii=False)
    return f"SELECT _line, unnest(from_json(line, {quote(shape)})) FROM ({_lines(path)}) WHERE good"


def _keys(con: duckdb.DuckDBPyConnection, raw: Path, path: Path) -> tuple[str, ...]:
    """The top-level keys of the objects of a JSONL file; its unreadable lines go to the table of its rejects."""
    file = label(raw, path)
    try:
        [(shapes, bad)] = con.execute(
            "SELECT list(DISTINCT keys) FILTER (keys IS NOT NULL), list(_line ORDER BY _line) FILTER (keys IS NULL) "
            f"FROM (SELECT _line, CASE WHEN good THEN json_keys(line) END AS keys FROM ({_lines(path)}))"
        ).fetchall()
        con.execute(
            f"CREATE OR REPLACE TABLE main.{_rejects(file)} AS "
            "SELECT unnest(CAST(? AS BIGINT[])) AS line, '' AS csv_line",
            [bad or []],
        )
    except duckdb.Error as error:
        if _too_long(error):
            raise ContractBroken([f"{file}: {why(error)}"]) from error
        raise ContractBroken([f"{file}: not readable as one JSON object a line ({_first_line(error)})."]) from error
    keys = tuple(sorted({key for shape in shapes or [] for key in shape if key}))
    _bounded(file, keys)
    if twice := _repeated(keys):
        raise ContractBroken([f"{file}: keys {', '.join(twice)} differ in case alone. Keep one spelling."])
    return keys


def _scan(paths: list[Path]) -> str:
    listed = ", ".join(quote(str(path)) for path in paths)
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"


def _csv(path: Path, header: tuple[str, ...], rejects: str) -> str:
    columns = ", ".join(f"{quote(column)}: 'VARCHAR'" for column in header)
    return (
        f"read_csv({quote(str(path))}, auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', "
        f"columns = {{{columns}}}, store_rejects = true, rejects_table = {quote(rejects)}, "
        f"rejects_scan = {quote(rejects + '_scan')}, max_line_size = {MAX_LINE_BYTES})"
    )


def _parquet_types(con: duckdb.DuckDBPyConnection, raw: Path, paths: list[Path]) -> dict[str, dict[str, str]]:
    """Each file's columns and their types. Footers are read at once, and each schema is described once."""
    listed = ", ".join(quote(str(path)) for path in paths)
    try:
        found = con.execute(
            "SELECT list(file_name ORDER BY file_name) FROM (SELECT file_name, "
            "list((name, duckdb_type, logical_type, num_children) ORDER BY column_id) AS shape "
            f"FROM parquet_schema([{listed}]) GROUP BY file_name) GROUP BY shape ORDER BY 1"
        ).fetchall()
        types: dict[str, dict[str, str]] = {}
        for (alike,) in found:
            described = con.execute(f"DESCRIBE SELECT * FROM {_scan([Path(alike[0])])}").fetchall()
            types |= {file: {row[0]: row[1] for row in described} for file in alike}
    except duckdb.Error as error:
        named = {label(raw, path): path for path in paths}
        blamed = at_fault(con, named, error) or ", ".join(list(named)[:3])
        raise ContractBroken([f"{blamed}: not readable Parquet ({_first_line(error)})."]) from error
    return {label(raw, path): types[str(path)] for path in paths}


def at_fault(con: duckdb.DuckDBPyConnection, paths: dict[str, Path], error: duckdb.Error) -> str | None:
    """Which of `paths` (by label) made reading them all fail with `error`: the one it speaks of, else the first Parquet
    file that fails by itself; None when each can be read."""
    said = str(error).partition("\nLINE ")[0]  # what follows quotes the query, which names files that are in order
    spoken_of = [file for file, path in paths.items() if str(path) in said]
    if spoken_of:
        return max(spoken_of, key=len)  # where a.csv.gz is spoken of, so is a.csv
    return next((file for file, path in paths.items() if path.suffix == ".parquet" and not _readable(con, path)), None)


def _readable(con: duckdb.DuckDBPyConnection, path: Path) -> bool:
    try:  # a count would be answered from the footer alone
        con.execute(f"SELECT max(hash(COLUMNS(*))) FROM {_scan([path])}").fetchall()
    except duckdb.Error:
        return False
    return True


def why(error: duckdb.Error) -> str:
    """What DuckDB says of a file, and the remedy where one is known."""
    if "state machine" in str(error):
        return "lines end in LF and in CRLF, or a quote is out of place. Export the file with one line ending."
    if _too_long(error):
        return f"a line is longer than {MAX_LINE_BYTES // 2**20} MiB. Leave free text out of the export."
    return f"cannot be read ({_first_line(error)})."


def _too_long(error: duckdb.Error) -> bool:
    return "aximum line size" in str(error) or "max_line_size" in str(error)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]


def _header(raw: Path, path: Path) -> tuple[str, ...]:
    """The names of the first line. Only that line is decoded: bytes further down are a matter of their own lines."""
    file = label(raw, path)
    try:
        with _open(path) as stream:
            first = re.split(rb"[\r\n]", stream.readline(HEADER_BYTES + 1), maxsplit=1)[0]
        if found := next((what for magic, what in MAGIC.items() if first.startswith(magic)), None):
            raise ContractBroken([f"{file}: the file holds {found}, not CSV. Give it the ending of what it is."])
        if len(first) > HEADER_BYTES:
            raise ContractBroken([f"{file}: the first line is longer than {HEADER_BYTES:,} bytes, so no header."])
        if b"\0" in first:
            raise ContractBroken([f"{file}: the header is not UTF-8 (it holds NUL bytes). Export the file as UTF-8."])
        header = next(csv.reader([first.decode("utf-8-sig")]), [])
    except UnicodeDecodeError as error:
        raise ContractBroken(
            [f"{file}: the header is not UTF-8 ({error.reason}). Export the file as UTF-8."]
        ) from error
    except (OSError, EOFError, csv.Error, zlib.error) as error:
        raise ContractBroken([f"{file}: not readable ({_first_line(error)}). Export it again."]) from error
    if not any(cell.strip() for cell in header):
        raise ContractBroken([f"{file}: the first line is blank; a CSV file starts with the names of its columns."])
    _bounded(file, header)
    # a column without a name is common (the index of a data frame, a comma at the end) and nobody asks for it
    header = [cell or f"unnamed column {place}" for place, cell in enumerate(header, start=1)]
    if twice := _repeated(header):
        raise ContractBroken([f"{file}: column {', '.join(twice)} is in the header more than once."])
    return tuple(header)


def _bounded(file: str, columns: Iterable[str]) -> None:
    if (count := len(tuple(columns))) > MAX_COLUMNS:
        raise ContractBroken(
            [f"{file}: {count:,} columns; {MAX_COLUMNS:,} are the limit. Export only what the contract names."]
        )


def _repeated(columns: Iterable[str]) -> list[str]:
    """The names that are there more than once, whatever their case."""
    often = Counter(column.lower() for column in columns)
    return sorted({column for column in columns if often[column.lower()] > 1})
