"""What the live warehouse was built from, in one JSON file beside its tables: enough to land only what is new.

It is written last and swapped in with the tables, so it always speaks of the files beside it. Whatever it cannot vouch
for (another format, other params, a lost key, a missing file) makes the next ingest a whole one. A file beside it that
is not what was written is refused before anything is read from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from warehouse.accounting import Sum, Tally
from warehouse.delivery import Stamp, changed, stamps
from warehouse.errors import DataError, UsageError
from warehouse.landing import Part
from warehouse.periods import midnight_after
from warehouse.raw import DELIVERED, TABLES
from warehouse.store import part_file

FORMAT = 2  # also counted up when the same files are read otherwise, so that all months are read alike
FILE = "manifest.json"
ACCOUNTING = "accounting.json"
CLOCKS = ("accounts", "events", "revenue")  # tables whose last known row is the end of the data


@dataclass(frozen=True)
class Manifest:
    """made_with: digest of all that decides how a row is read. latest: the latest moment (ISO) a clock might show.
    files: stamps of the raw files, by table and label. parts: by table and part. tallies: of every file, part and rule.
    sums: of money. written: stamps of the files beside it, by path; empty where the version that made it noted none.
    tombstones: how many there were."""

    made_with: str
    latest: str
    files: dict[str, dict[str, Stamp]] = field(default_factory=dict)
    parts: dict[str, dict[int, Part]] = field(default_factory=dict)
    tallies: list[Tally] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)
    written: dict[str, Stamp] = field(default_factory=dict)
    tombstones: int = 0

    def write(self, folder: Path) -> None:
        document = asdict(self) | {
            "format": FORMAT,
            "tallies": [list(asdict(tally).values()) for tally in self.tallies],
        }
        text = json.dumps({"sha256": _digest(document), "manifest": document}, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def made_with(params: dict[str, Any], key_name: str, erased: Sequence[str] = ()) -> str:
    """Digest of what decides how a row is read: params without the limits, the contract of the tables, the hash key,
    and who was erased."""
    contract = repr(list(DELIVERED.values()))
    decided = [params, contract, key_name, FORMAT, *([list(erased)] if erased else [])]
    text = json.dumps(decided, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint_of(parts: Mapping[str, Mapping[int, Part]]) -> str:
    """SHA-256 of the accepted data: of all parts, by table."""
    rows = [f"{t} {part} {one.rows} {one.digest}" for t in TABLES for part, one in sorted(parts[t].items())]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def end_of(parts: Mapping[str, Mapping[int, Part]]) -> date | None:
    """The midnight (UTC) after the last known fact; null without any."""
    known = [datetime.fromisoformat(one.known) for table in CLOCKS for one in parts.get(table, {}).values()]
    return midnight_after(max(known)) if known else None


def _digest(document: dict[str, Any]) -> str:
    plain = json.loads(json.dumps(document))  # keys are text once they have been read again
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_manifest(warehouse: Path) -> Manifest | None:
    """The manifest of a warehouse whose files are all there; null when there is none to build on."""
    manifest = _read(warehouse / FILE)
    if manifest is None:
        return None
    there = all((warehouse / t / part_file(p)).is_file() for t, parts in manifest.parts.items() for p in parts)
    return manifest if there else None


def refuse_fewer(warehouse: Path, tombstones: int) -> None:
    """Raises UsageError where the warehouse knows of more tombstones than there are: those erased would come back."""
    known = _read(warehouse / FILE)
    if known is not None and tombstones < known.tombstones:
        raise UsageError(
            f"{warehouse.parent / 'erased.json'} names {tombstones} who were erased, and {warehouse} knows of "
            f"{known.tombstones}: the others would come back. Restore the newest erased.json from a backup; where it "
            f"is lost, remove {warehouse} too, ingest, and erase them again."
        )


def written(warehouse: Path, before: Manifest | None) -> dict[str, Stamp]:
    """The stamps of a finished warehouse. before: of the one it was built on; what was carried over is not read."""
    return stamps(_beside(warehouse), before.written if before else {})


def refuse_changed(warehouse: Path, every: bool = False) -> int | None:
    """Holds the files of a warehouse against its manifest. As long as sizes and times are those that were noted, none
    is read; one that was copied is, and found equal. The caller need not hold the workspace lock.

    every: read them all.

    Returns:
        how many files are what was written; null where nothing was noted.

    Raises:
        DataError: a file is not what `ingest` wrote, is gone, or did not come from it.
    """
    manifest = _read(warehouse / FILE)
    if manifest is None and (warehouse / FILE).is_file():
        wrong = [FILE]
    elif manifest is None or not manifest.written:
        return None
    else:
        try:
            wrong = changed(_beside(warehouse), manifest.written, every)
        except FileNotFoundError as error:
            wrong = [Path(error.filename).relative_to(warehouse).as_posix()]
    if wrong and _read(warehouse / FILE) != manifest:  # another run put its warehouse there meanwhile
        return refuse_changed(warehouse, every)
    if wrong:
        more = f" (and {len(wrong) - 1} more files)" if len(wrong) > 1 else ""
        raise DataError(
            f"{warehouse / wrong[0]}{more} is not what `expansion ingest` wrote: `expansion ingest --whole --raw DIR "
            f"--workspace {warehouse.parent}` makes it anew from the raw files, or put it back from a backup."
        )
    return len(manifest.written) if manifest else None


def _beside(warehouse: Path) -> dict[str, Path]:
    """What is read of a warehouse beside its manifest."""
    found = [*warehouse.glob("*/*.parquet"), *warehouse.glob(ACCOUNTING)]
    return {path.relative_to(warehouse).as_posix(): path for path in found}


def _read(path: Path) -> Manifest | None:
    """The manifest at `path`; null when there is none that can be read."""
    if not path.is_file():
        return None
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        document = read["manifest"]
        if read["sha256"] != _digest(document):
            return None
        if document.pop("format") != FORMAT:
            return None
        return Manifest(
            document["made_with"],
            document["latest"],
            {t: {file: Stamp(**one) for file, one in files.items()} for t, files in document["files"].items()},
            {t: {int(part): Part(**one) for part, one in parts.items()} for t, parts in document["parts"].items()},
            [Tally(*values) for values in document["tallies"]],
            [Sum(**one) for one in document["sums"]],
            {file: Stamp(**one) for file, one in document.get("written", {}).items()},
            document.get("tombstones", 0),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, AssertionError):
        return None  # damaged: everything is in the raw files, so a whole ingest mends it
