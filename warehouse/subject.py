"""Whom an erasure is about, and the tables in which rows of it are found and dropped: Parquet, CSV, JSON.

A link is neither followed nor replaced: what it leads to lies elsewhere, and is told by name.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse.engine import name, quote
from warehouse.errors import DataError
from warehouse.privacy import hash_of
from warehouse.store import drop_rows, rows_with
from warehouse.tombstones import COLUMNS

DELIMITERS = ",;\t|"
BOM = "\ufeff"


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
    """The tables (Parquet, CSV, JSON) below `folder` with rows of `subject`, and how many.

    Raises:
        DataError: one cannot be read, so it is unknown whether it has any.
    """
    found = {}
    for path in files(folder):
        if rows := _count(path, subject):
            found[path] = rows
    return dict(sorted(found.items()))


def files(folder: Path) -> Iterator[Path]:
    """All files below `folder` but links."""
    for place, _, names in os.walk(folder, onerror=_unreadable):
        yield from (path for path in (Path(place, file) for file in sorted(names)) if not path.is_symlink())


def links(folder: Path) -> list[Path]:
    """All links below `folder`, to files and to folders."""
    found = (Path(place, one) for place, folders, names in os.walk(folder) for one in (*folders, *names))
    return sorted(path for path in found if path.is_symlink())


def drop(path: Path, subject: Subject) -> None:
    """Rewrites a table without the rows of `subject`, whole or not at all."""
    if path.suffix == ".parquet":
        drop_rows(path, subject.column, subject.values)
        return
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix == ".csv":
            bom, delimiter = _form(path, subject)
            stream.write(bom)
            lines = csv.writer(stream, delimiter=delimiter or DELIMITERS[0])
            lines.writerows(line for line, theirs in _csv(path, subject) if not theirs)
        else:  # NaN, which is not JSON, stays as it was
            stream.write(json.dumps(_without(_json(path), subject), indent=1, ensure_ascii=False) + "\n")
    os.replace(partial, path)


def _count(path: Path, subject: Subject) -> int:
    if path.suffix == ".parquet":
        return rows_with(path, subject.column, subject.values)
    if path.suffix == ".csv":
        return sum(theirs for _, theirs in _csv(path, subject))
    return sum(_theirs(_json(path), subject)) if path.suffix == ".json" else 0


def _form(path: Path, subject: Subject) -> tuple[str, str | None]:
    """The byte order mark of a CSV file, if it has one, and what separates its cells; null where none names the column
    of `subject`."""
    with path.open(encoding="utf-8", newline="") as stream:
        first = stream.readline()
    bom = BOM if first.startswith(BOM) else ""
    heads = {one: next(csv.reader([first.removeprefix(BOM)], delimiter=one), []) for one in DELIMITERS}
    return bom, next((one for one, head in heads.items() if subject.column in head), None)


def _csv(path: Path, subject: Subject) -> Iterator[tuple[list[str], bool]]:
    """The lines of a file that has the column of `subject`, each with whether it is theirs; the first names the
    columns."""
    try:
        _, delimiter = _form(path, subject)
        if delimiter is None:
            return
        with path.open(encoding="utf-8-sig", newline="") as stream:
            place = -1
            for number, line in enumerate(csv.reader(stream, delimiter=delimiter)):
                place = line.index(subject.column) if number == 0 else place
                yield line, number > 0 and place < len(line) and line[place] in subject.values
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise _refused(path, error) from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
        raise _refused(path, error) from error


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
    return isinstance(said, dict) and str(said.get(subject.column, "")) in subject.values


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a folder that is not there has no files
        raise _refused(Path(error.filename), error) from error


def _refused(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read ({type(error).__name__}), so it is unknown whom it holds: mend it or remove it, "
        "then run it again."
    )
