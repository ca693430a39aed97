"""What lies in a folder, file by file, and whether it is whole: stamps, checksums, and what changed since."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.errors import ContractBroken

SUMS = "SHA256SUMS"  # as `sha256sum` writes it: what the sender says the files hash to


@dataclass(frozen=True)
class Stamp:
    """What tells one version of a file from another. modified: nanoseconds since 1970."""

    size: int
    modified: int
    sha256: str


@dataclass(frozen=True)
class Changes:
    """How the files of a table differ from those it was built from; `replaced` are those with other content."""

    added: frozenset[str]
    replaced: frozenset[str]
    removed: frozenset[str]

    @property
    def fresh(self) -> frozenset[str]:
        return self.added | self.replaced

    def __bool__(self) -> bool:
        return bool(self.fresh or self.removed)


def stamp(paths: Mapping[str, Path], before: Mapping[str, Stamp], said: Mapping[str, str]) -> dict[str, Stamp]:
    """The stamps of `paths` (by label). A file that has size and time of its stamp in `before` is not read again.

    said: SHA-256 by label, as the sender lists them.

    Raises:
        ContractBroken: a file is not what the sender says, or a page of a Parquet file is damaged.
    """
    found = stamps(paths, before)
    problems = [
        f"{file}: the file is not what {SUMS} says (rule checksum). It was damaged on the way; deliver it again."
        for file, one in found.items()
        if said.get(file, one.sha256) != one.sha256
    ]
    if problems:
        raise ContractBroken(problems)
    fresh = compare(before, found).fresh
    with ThreadPoolExecutor(2) as pool:
        problems = [problem for problem in pool.map(lambda file: _damage(file, paths[file]), sorted(fresh)) if problem]
    if problems:
        raise ContractBroken(problems)
    return found


def stamps(paths: Mapping[str, Path], before: Mapping[str, Stamp]) -> dict[str, Stamp]:
    """The stamps of `paths` (by label). A file that has size and time of its stamp in `before` is not read again."""
    clocks = {file: (found.st_size, found.st_mtime_ns) for file, found in ((f, os.stat(p)) for f, p in paths.items())}
    out = {file: before[file] for file, clock in clocks.items() if file in before and _clock(before[file]) == clock}
    anew = [file for file in paths if file not in out]
    with ThreadPoolExecutor(2) as pool:
        return out | {
            file: Stamp(*clocks[file], digest)
            for file, digest in zip(anew, pool.map(_sha256, (paths[file] for file in anew)), strict=True)
        }


def changed(paths: Mapping[str, Path], noted: Mapping[str, Stamp], every: bool = False) -> list[str]:
    """The files (labels, sorted) that are gone, were never noted, or have other content than their stamp in `noted`.
    A file is read only if size or time is not that of its stamp; `every`: whatever they are."""
    both = {file: path for file, path in paths.items() if file in noted}
    now = stamps(both, {} if every else noted)
    return sorted(paths.keys() ^ noted.keys() | {file for file in both if now[file].sha256 != noted[file].sha256})


def compare(before: Mapping[str, Stamp], now: Mapping[str, Stamp]) -> Changes:
    both = before.keys() & now.keys()
    return Changes(
        frozenset(now.keys() - before.keys()),
        frozenset(file for file in both if before[file].sha256 != now[file].sha256),
        frozenset(before.keys() - now.keys()),
    )


def refuse_moving(paths: Mapping[str, Path], stamps: Mapping[str, Stamp]) -> None:
    """Refuses a delivery that changed while it was read: half of it may be of another night.

    Raises:
        ContractBroken: names the files.
    """
    moving = [
        f"{file}: the file changed while it was read (rule moving_file). Deliver under another name and rename it."
        for file, path in paths.items()
        if not path.exists() or (path.stat().st_size, path.stat().st_mtime_ns) != _clock(stamps[file])
    ]
    if moving:
        raise ContractBroken(moving)


def read_sums(raw: Path) -> dict[str, str]:
    """File label to SHA-256 as `SHA256SUMS` of the folder says; empty without one.

    Raises:
        ContractBroken: a line is not `<64 hex digits>  <file>`, or a file that is listed is not there.
    """
    path = raw / SUMS
    if not path.is_file():
        return {}
    said = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        digest, _, file = line.partition(" ")
        if len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef") or not file.strip(" *"):
            raise ContractBroken(
                [f"{SUMS}: line {number} is not a SHA-256 and a file name. Write it with `sha256sum`."]
            )
        said[file.lstrip(" *").removeprefix("./")] = digest.lower()
    missing = [file for file in said if not (raw / file).is_file()]
    if missing:
        raise ContractBroken(
            [f"{', '.join(missing[:5])}: listed in {SUMS} but not there. Deliver it, or mend the list."]
        )
    return said


def _clock(one: Stamp) -> tuple[int, int]:
    return one.size, one.modified


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damage(file: str, path: Path) -> str | None:
    """What is wrong with the pages of a Parquet file whose writer gave them checksums; DuckDB does not look at
    those."""
    if path.suffix != ".parquet":
        return None
    try:
        if not _has_checksums(path):
            return None
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            for _ in parquet.iter_batches():
                pass
    except (pa.ArrowException, OSError, IndexError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else "damaged"
        return f"{file}: not readable Parquet ({reason}). It was damaged on the way; deliver it again."
    return None


def _has_checksums(path: Path) -> bool:
    """Whether the first page header has a CRC: in Thrift's compact form field 4 follows three varints of type i32."""
    with pq.ParquetFile(path) as parquet:
        groups = parquet.metadata.num_row_groups
        if groups == 0 or parquet.metadata.num_columns == 0:
            return False
        column = parquet.metadata.row_group(0).column(0)
        start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
    with path.open("rb") as stream:
        stream.seek(start)
        header = stream.read(40)
    place = 0
    for _ in range(3):
        if header[place] != 0x15:
            return False
        place += 1
        while header[place] & 0x80:
            place += 1
        place += 1
    return header[place] == 0x15
