"""What `expansion erase` does: find an account or a user in a workspace, and take it out of all that lies there.

The tombstone comes first, so that no delivery brings back what is half gone. Then each place by its owner: releases
are sealed anew, the warehouse is swapped in whole, the roll-up is made anew from it, other tables are rewritten one by
one. A run that is killed leaves every file whole; the same command again finds what is left and goes on.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from features import daily, rollup_stage
from features.catalogue import Definitions
from serving.release import current, sweep
from serving.resealing import refuse_damaged_live, releases_with, remove_old, reseal
from warehouse import progress
from warehouse.erasure import KEPT_IN, Subject, drop, files_with, free_warehouse, intact, remove_leftovers
from warehouse.errors import ExpansionError, UsageError
from warehouse.privacy import KEY_FILE, workspace_key
from warehouse.raw import TABLES
from warehouse.store import Workspace
from warehouse.tombstones import Tombstone, bury, read_tombstones

TEXT = frozenset({".json", ".jsonl", ".yaml", ".yml", ".md", ".csv", ".txt", ".log", ".db"})
OWN = ("warehouse", "quarantine", "rollup", "releases", *KEPT_IN)
GRACE = 5.0  # seconds in which a service takes up the new live release before the old one goes; it looks every second


def erase(
    workspace: Workspace, kind: str, value: str, document: dict[str, Any], today: date, apply: bool
) -> dict[str, Any]:
    """Tells where the account or user (`kind`) with the id `value` is found and, with `apply`, takes it out.

    document: the params of the workspace. The caller holds the workspace lock.

    Returns:
        kind, erased_on (null: not yet), applied, places (place, rows), rows, and `left`: what no erasure reaches, a
        sentence each. Never the id.

    Raises:
        UsageError: nobody of that id is there, and nobody of that id was erased.
        DataError, ReleaseRefused: the warehouse or the live release is damaged; nothing was taken out.
    """
    root = workspace.root
    if not (root / KEY_FILE).is_file():
        raise UsageError(
            f"{root} holds no {KEY_FILE}: nothing was ever ingested there. Give the --workspace of a vendor."
        )
    stones = read_tombstones(root, workspace_key(root))
    stone, subject = stones.find(kind, value), Subject(kind, value, stones.key)
    if apply:
        remove_leftovers(root)
        sweep(workspace.releases)
    found = places(workspace, subject)
    if stone is None and not found:
        raise UsageError(f'{kind} "{value}" is nowhere in {root}, and was not erased from it. Ids are exact.')
    if apply and found:
        if workspace.warehouse.is_dir():
            intact(workspace)
        refuse_damaged_live(workspace.releases)
        definitions = Definitions.from_params(document)
        if stone is None:
            stone = Tombstone(kind, subject.hash, today)
            bury(root, stones, stone)
        _take_out(workspace, subject, definitions)
        if still := places(workspace, subject):
            raise ExpansionError(f"{', '.join(still)}: rows are still there. Is another program writing? Run it again.")
    return {
        "kind": kind,
        "erased_on": stone.on.isoformat() if stone else None,
        "applied": apply,
        "places": [{"place": place, "rows": rows} for place, rows in found.items()],
        "rows": sum(found.values()),
        "left": list(_left(workspace, subject)),
    }


def lines(said: dict[str, Any]) -> list[str]:
    """The same for a terminal."""
    out = [f"{one['place']}: {one['rows']:,} rows" for one in said["places"]]
    if not said["places"]:
        out.append(f"this {said['kind']} was erased on {said['erased_on']} and nothing of it is left here")
    elif said["applied"]:
        out.append(f"{said['rows']:,} rows erased; no later delivery brings this {said['kind']} back")
    else:
        begun = f"; begun on {said['erased_on']}" if said["erased_on"] else ""
        out.append(f"{said['rows']:,} rows would be erased: add --apply{begun}")
    return [*out, "not removed:", *(f"- {why}" for why in said["left"])]


def places(workspace: Workspace, subject: Subject) -> dict[str, int]:
    """Rows of `subject` by place, as a path below the workspace."""
    root = workspace.root
    whole = [*(workspace.warehouse / table for table in TABLES), workspace.warehouse / "quarantine"]
    found = {folder: sum(files_with(folder, subject).values()) for folder in (*whole, workspace.quarantine)}
    found[workspace.rollup] = sum(files_with(workspace.rollup, subject).values())
    found |= releases_with(workspace.releases, subject)
    for kept in KEPT_IN:
        found |= files_with(root / kept, subject)
    return {path.relative_to(root).as_posix(): rows for path, rows in found.items() if rows}


def _take_out(workspace: Workspace, subject: Subject, definitions: Definitions) -> None:
    with progress.stage("erase") as say:
        live, old = current(workspace.releases), list(releases_with(workspace.releases, subject))
        for folder in old:
            say(f"releases/{folder.name}")
            reseal(folder, subject)
        if any(place.startswith(("warehouse/", "quarantine")) for place in places(workspace, subject)):
            say("warehouse")
            free_warehouse(workspace, subject)
        if files_with(workspace.rollup, subject):
            say("rollup")
            _renew_rollup(workspace, definitions)
        for kept in KEPT_IN:
            for path in files_with(workspace.root / kept, subject):
                say(f"{kept}/{path.name}")
                drop(path, subject)
        if live in old:
            time.sleep(GRACE)
        remove_old(old)
        say("done")


def _renew_rollup(workspace: Workspace, definitions: Definitions) -> None:
    """From the warehouse as it is now; one of other definitions is left to the next night, which has them."""
    rolled = daily.read_rolled(workspace)
    if rolled is not None and rolled.made_with == daily.made_with(definitions):
        rollup_stage.update(workspace, definitions)
    else:
        shutil.rmtree(workspace.rollup)


def _left(workspace: Workspace, subject: Subject) -> Iterator[str]:
    """What is not taken out, and what ends it."""
    root, kind = workspace.root, subject.kind
    if trained := _trained(root):
        yield (
            f"trained models, which hold no row of anybody: of those trained as of {', '.join(trained)}, any that knew "
            f"the {kind} learned from it; `expansion train` makes one that did not"
        )
    if kind == "user":
        yield (
            "scores, features and labels already made tell of accounts, and counted the user's events: the next night "
            "and the next training make them without"
        )
    yield (
        "sums and figures of many accounts: evaluation.json, the model card, counts of run.json and of the books, and "
        "those of what was promised"
    )
    yield (
        "raw files, which are the vendor's: which of them still hold it cannot be known without reading them; an "
        "ingest leaves it out (rule erased), and the next one reads everything once"
    )
    yield (
        "backups of the workspace: let them expire; after one was restored put back the newest erased.json and "
        ".privacy-key and erase again, which ends what it brought back"
    )
    yield "DVC, where it ran the stages: `dvc repro --force`, then `dvc gc --workspace`; its cache has the old rows"
    yield "copies made elsewhere: downloads, exports, `features --out`, logs of the command line"
    strange = sorted(path.name for path in root.iterdir() if path.is_dir() and path.name not in OWN)
    if strange := [name for name in strange if not name.startswith(".")]:
        yield f"folders of the workspace that are not the product's, and were not read: {', '.join(strange)}"
    if mentions := list(_mentions(root, subject)):
        yield f"files that name it in their text, to look at by hand: {', '.join(mentions)}"


def _trained(root: Path) -> list[str]:
    """The days that the workspace's models were trained as of."""
    found = set()
    for kept in ("artifacts", "mlartifacts", "releases"):
        for path in (root / kept).glob("**/card.json"):
            card = json.loads(path.read_text(encoding="utf-8"))
            found |= {card["trained_as_of"]} if card.get("method") == "model" else set()
    return sorted(map(str, found))


def _mentions(root: Path, subject: Subject) -> Iterator[str]:
    """Text files with the id as a word of its own. Not asked of a number, which stands in any file."""
    if subject.id.isdigit():
        return
    word = re.compile(rb"(?<![\w-])" + re.escape(subject.id.encode()) + rb"(?![\w-])")
    inside = (path for kept in KEPT_IN for path in (root / kept).rglob("*"))
    taken = {place for kept in KEPT_IN for place in files_with(root / kept, subject)}
    for path in sorted({*root.iterdir(), *inside} - taken):
        if path.suffix in TEXT and path.is_file() and word.search(path.read_bytes()):
            yield path.relative_to(root).as_posix()
