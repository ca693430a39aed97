"""Who was erased: keyed hashes in `erased.json` of the workspace, so that no later delivery brings them back.

The file holds neither an id nor anything that gives one back without the workspace's key. Without that key it would
match nobody and everybody would come back, so a file of another key, like a damaged one, stops the ingest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from warehouse.engine import quote
from warehouse.errors import UsageError
from warehouse.privacy import hash_of, hashed, key_name

FILE = "erased.json"
SCHEMA_VERSION = 1
COLUMNS = {"account": "account_id", "user": "user_id"}  # kind of an id, and the column it stands in


@dataclass(frozen=True)
class Tombstone:
    """`kind`: account or user. `hash`: the keyed hash of the id. `on`: the day (UTC) it was erased first."""

    kind: str
    hash: str
    on: date


@dataclass(frozen=True)
class Tombstones:
    """All that a workspace has, and the key they were made with."""

    key: str = ""
    stones: tuple[Tombstone, ...] = ()

    def find(self, kind: str, value: str) -> Tombstone | None:
        known = hash_of(value, self.key)
        return next((stone for stone in self.stones if (stone.kind, stone.hash) == (kind, known)), None)

    def among(self, kind: str, values: Iterable[str | None]) -> list[str]:
        """Those of the ids `values` that were erased."""
        hashes = {stone.hash for stone in self.stones if stone.kind == kind}
        return [one for one in values if one is not None and hash_of(one, self.key) in hashes] if hashes else []

    @property
    def named(self) -> list[str]:
        """What decides which rows are taken, in any order of erasing."""
        return sorted(f"{stone.kind} {stone.hash}" for stone in self.stones)

    def condition(self, columns: frozenset[str], relation: str) -> str | None:
        """SQL: whether a row of `relation`, which has `columns`, is of somebody erased; null where none can be."""
        asked = []
        for kind, column in COLUMNS.items():
            hashes = sorted(quote(stone.hash) for stone in self.stones if stone.kind == kind)
            if hashes and column in columns:
                asked.append(f"{hashed(f'{relation}.{column}', self.key)} IN ({', '.join(hashes)})")
        return " OR ".join(asked) or None


def read_tombstones(root: Path, key: str) -> Tombstones:
    """The tombstones of the workspace `root`; none where nobody was erased.

    Raises:
        UsageError: the file is damaged, or was written with another key.
    """
    path = root / FILE
    if not path.is_file():
        return Tombstones(key)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        stones = tuple(Tombstone(one["kind"], one["hash"], date.fromisoformat(one["on"])) for one in said["erased"])
        made_with = said["key"]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read ({error!r}), so it is unknown who was erased. Restore it from a backup."
        ) from error
    if made_with != key_name(key):
        raise UsageError(
            f"{path} was written with another .privacy-key, so those erased would come back. Restore that key from a "
            "backup; where it is lost, remove the file and the warehouse, ingest, and erase them again."
        )
    return Tombstones(key, stones)


def bury(root: Path, before: Tombstones, stone: Tombstone) -> Tombstones:
    """Adds a tombstone, on the disk before this returns: whatever comes after may be cut short."""
    after = Tombstones(before.key, (*before.stones, stone))
    document = {
        "schema_version": SCHEMA_VERSION,
        "key": key_name(before.key),
        "erased": [asdict(one) | {"on": one.on.isoformat()} for one in after.stones],
    }
    partial = root / f".{FILE}.partial"
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(document, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, root / FILE)
    return after
