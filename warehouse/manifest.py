"""What the live warehouse was built from, in one JSON file beside its tables: enough to land only what is new.

It is written last and swapped in with the tables, so it always speaks of the files beside it. Whatever it cannot vouch
for (another format, other params, a lost key, a missing file) makes the next ingest a whole one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from warehouse.accounting import Sum, Tally
from warehouse.delivery import Stamp
from warehouse.landing import Part
from warehouse.raw import FX_RATES, TABLES
from warehouse.store import part_file

FORMAT = 2  # also counted up when the same files are read otherwise, so that all months are read alike
FILE = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """made_with: digest of all that decides how a row is read. latest: the latest moment (ISO) a clock might show.
    files: stamps by table and label. parts: by table and part. tallies: of every file, part and rule. sums: of
    money."""

    made_with: str
    latest: str
    files: dict[str, dict[str, Stamp]] = field(default_factory=dict)
    parts: dict[str, dict[int, Part]] = field(default_factory=dict)
    tallies: list[Tally] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        document = asdict(self) | {
            "format": FORMAT,
            "tallies": [list(asdict(tally).values()) for tally in self.tallies],
        }
        text = json.dumps({"sha256": _digest(document), "manifest": document}, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def made_with(params: dict[str, Any], key_name: str) -> str:
    """Digest of what decides how a row is read: params without the limits, the contract of the tables, the hash key."""
    contract = repr(list(TABLES.values())) + repr(FX_RATES)
    text = json.dumps([params, contract, key_name, FORMAT], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(document: dict[str, Any]) -> str:
    plain = json.loads(json.dumps(document))  # keys are text once they have been read again
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_manifest(warehouse: Path) -> Manifest | None:
    """The manifest of a warehouse whose files are all there; null when there is none to build on."""
    path = warehouse / FILE
    if not path.is_file():
        return None
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        document = read["manifest"]
        if read["sha256"] != _digest(document):
            return None
        if document.pop("format") != FORMAT:
            return None
        manifest = Manifest(
            document["made_with"],
            document["latest"],
            {t: {file: Stamp(**one) for file, one in files.items()} for t, files in document["files"].items()},
            {t: {int(part): Part(**one) for part, one in parts.items()} for t, parts in document["parts"].items()},
            [Tally(*values) for values in document["tallies"]],
            [Sum(**one) for one in document["sums"]],
        )
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, AssertionError):
        return None  # damaged: everything is in the raw files, so a whole ingest mends it
    there = all((warehouse / t / part_file(p)).is_file() for t, parts in manifest.parts.items() for p in parts)
    return manifest if there else None
