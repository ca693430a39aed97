"""What `expansion erase` does: find an account or a user in a workspace, and take it out of all that lies there.

The tombstone comes first, so that no delivery brings back what is half gone. Then each place by its owner: releases
are sealed anew, the warehouse is swapped in whole, the roll-up is made anew from it, other tables are rewritten one by
one. A run that is killed leaves every file whole; the same command again finds what is left and goes on.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from features import daily, rollup_stage
from features.catalogue import Definitions
from serving.release import sweep
from serving.resealing import refuse_damaged_live, releases_with, remove_old, reseal
from serving.unreached import unreached
from warehouse import progress
from warehouse.erasure import KEPT_IN, free_warehouse, intact, refuse_links, remove_leftovers
from warehouse.errors import ExpansionError, UsageError
from warehouse.journal import AUDIT, append, who
from warehouse.manifest import refuse_fewer
from warehouse.privacy import KEY_FILE, workspace_key
from warehouse.raw import TABLES
from warehouse.store import Workspace, read_table
from warehouse.subject import Subject, drop, files_with
from warehouse.tombstones import Tombstone, bury, read_tombstones

UNREAD = "cannot be read and may hold it, so it goes"


def erase(
    workspace: Workspace, kind: str, value: str, document: dict[str, Any], now: datetime, apply: bool
) -> dict[str, Any]:
    """Tells where the account or user (`kind`) with the id `value` is found and, with `apply`, takes it out.

    document: the params of the workspace. The caller holds the workspace lock.

    Returns:
        kind, erased_on (null: not yet), applied, places (place, rows; null: a release that cannot be read), rows, and
        `left`: what no erasure reaches, a sentence each. Never the id.

    Raises:
        UsageError: nobody of that id is there, and nobody of that id was erased; or a folder that is swapped in is a
            link; or tombstones are lost.
        DataError, ReleaseRefused: the warehouse, the live release or a table is damaged; nothing was taken out.
        Locked: a service still reads a release that holds it; all else was taken out.
    """
    root = workspace.root
    if any("\ud800" <= letter <= "\udfff" for letter in value):  # as bytes of a shell come that are no text
        raise UsageError(f"the id of the {kind} is not UTF-8, so no {kind} has it.")
    refuse_links(root)
    if not (root / KEY_FILE).is_file():
        raise UsageError(
            f"{root} holds no {KEY_FILE}: nothing was ever ingested there. Give the --workspace of a vendor."
        )
    stones = read_tombstones(root, workspace_key(root))
    refuse_fewer(workspace.warehouse, len(stones.stones))  # or one more would hide that others are lost
    stone, subject = stones.find(kind, value), Subject(kind, value, stones.key)
    if apply:
        remove_leftovers(root)
        sweep(workspace.releases)
    found = places(workspace, subject)
    total = sum(rows or 0 for rows in found.values())
    if stone is None and not any(found.values()):
        unread = f" These cannot be read: {', '.join(found)}." if found else ""
        raise UsageError(f'{kind} "{value}" is nowhere in {root}, and was not erased from it. Ids are exact.{unread}')
    if apply and found:
        if workspace.warehouse.is_dir():
            intact(workspace)
        refuse_damaged_live(workspace.releases)
        for place in found:
            if place.endswith(".parquet"):
                read_table(root / place)  # whole, as it will be rewritten
        definitions = Definitions.from_params(document)
        if stone is None:
            stone = Tombstone(kind, subject.hash, now.date())
            stones = bury(root, stones, stone)
        append(root / AUDIT, now, action="erase", by=who(), kind=kind, hash=subject.hash, rows=total)
        _take_out(workspace, subject, definitions, len(stones.stones), list(found))
        if still := places(workspace, subject):
            raise ExpansionError(f"{', '.join(still)}: rows are still there. Is another program writing? Run it again.")
    return {
        "kind": kind,
        "erased_on": stone.on.isoformat() if stone else None,
        "applied": apply,
        "places": [{"place": place, "rows": rows} for place, rows in found.items()],
        "rows": total,
        "left": list(unreached(workspace, subject, () if apply else found)),
    }


def lines(said: dict[str, Any]) -> list[str]:
    """The same for a terminal."""
    out = [
        f"{one['place']}: {UNREAD if one['rows'] is None else format(one['rows'], ',') + ' rows'}"
        for one in said["places"]
    ]
    if not said["places"]:
        out.append(f"this {said['kind']} was erased on {said['erased_on']} and nothing of it is left here")
    elif said["applied"]:
        out.append(f"{said['rows']:,} rows erased; no later delivery brings this {said['kind']} back")
    else:
        begun = f"; begun on {said['erased_on']}" if said["erased_on"] else ""
        out.append(f"{said['rows']:,} rows would be erased: add --apply{begun}")
    return [*out, "not removed:", *(f"- {why}" for why in said["left"])]


def places(workspace: Workspace, subject: Subject) -> dict[str, int | None]:
    """Rows of `subject` by place, as a path below the workspace; null where a release cannot be read.

    Raises:
        DataError: another table cannot be read.
    """
    root = workspace.root
    whole = [*(workspace.warehouse / table for table in TABLES), workspace.warehouse / "quarantine"]
    found: dict[Path, int | None] = {
        folder: sum(files_with(folder, subject).values()) for folder in (*whole, workspace.quarantine)
    }
    found[workspace.rollup] = sum(files_with(workspace.rollup, subject).values())
    found |= releases_with(workspace.releases, subject)
    for kept in KEPT_IN:
        found |= files_with(root / kept, subject)
    return {path.relative_to(root).as_posix(): rows for path, rows in found.items() if rows != 0}


def _take_out(
    workspace: Workspace, subject: Subject, definitions: Definitions, tombstones: int, found: list[str]
) -> None:
    """found: the places as `places` names them."""

    def below(*folders: str) -> list[str]:
        return [place for place in found if place.split("/")[0] in folders]

    with progress.stage("erase") as say:
        old = [workspace.root / place for place in below("releases")]
        for folder in old:
            say(f"releases/{folder.name}")
            reseal(folder, subject)
        if below("warehouse", "quarantine"):
            say("warehouse")
            free_warehouse(workspace, subject, tombstones)
        if below("rollup"):
            say("rollup")
            _renew_rollup(workspace, definitions)
        for place in below(*KEPT_IN):
            say(place)
            drop(workspace.root / place, subject)
        remove_old(old)
        say("done")


def _renew_rollup(workspace: Workspace, definitions: Definitions) -> None:
    """From the warehouse as it is now; one of other definitions is left to the next night, which has them."""
    rolled = daily.read_rolled(workspace)
    if rolled is not None and rolled.made_with == daily.made_with(definitions):
        rollup_stage.update(workspace, definitions)
    else:
        shutil.rmtree(workspace.rollup)
