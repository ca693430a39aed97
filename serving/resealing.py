"""An account taken out of the releases that were published: each is sealed anew under the name of its new content.

A release is never changed where it lies. Its successor is built aside, sealed, verified and moved in like any other;
then the links that named the old one name it, each by one rename, and at last the old folder goes. So what is live is
whole at every moment, and a service sees a new name and takes it up. Rows of others, their ranks too, stay as they
were, and what `run.json` counts is still the night as it was.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from serving.database import DATABASE, rows_of, take_out
from serving.kept import remove
from serving.manifest import MANIFEST
from serving.release import current, repoint
from serving.sealing import BUILDING, is_intact, move_in, name_of, seal, verify
from warehouse.errors import DataError, Locked
from warehouse.store import link
from warehouse.subject import Subject, drop, files_with, links

RUN = "run.json"


def releases_with(releases: Path, subject: Subject) -> dict[Path, int | None]:
    """The releases with rows of `subject`, damaged ones too, and how many rows; oldest first. Null: they cannot be
    read, or lie elsewhere, so it may be there."""
    found: dict[Path, int | None] = {}
    for folder in sorted(releases.glob("????-??-??-*")) if subject.kind == "account" else ():  # none knows of users
        if folder.is_symlink():
            continue
        try:
            rows = sum(files_with(folder, subject).values()) + rows_of(folder / DATABASE, subject.id)
        except DataError:
            found[folder] = None
        else:
            if rows or links(folder):
                found[folder] = rows or None
    return found


def refuse_damaged_live(releases: Path) -> None:
    """Raises ReleaseRefused where the live release is damaged: no seal is put on what nobody can vouch for."""
    if (live := current(releases)) is not None:
        verify(live)


def reseal(folder: Path, subject: Subject) -> Path | None:
    """The release that holds what `folder` does without `subject`; links that named `folder` name it now. Null where
    `folder` is damaged, which is never read again and has no successor."""
    if not is_intact(folder):
        return None
    releases = folder.parent
    run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    run |= {"was": [*run.get("was", ()), folder.name], "erased": run.get("erased", 0) + 1}
    work = Path(tempfile.mkdtemp(prefix=BUILDING, dir=releases))
    try:
        _copy_without(folder, work, run, subject)
        name = name_of(work, run)
        if not is_intact(releases / name):
            seal(work, name, run)
            told = (folder / MANIFEST).stat()
            os.utime(work / MANIFEST, ns=(told.st_atime_ns, told.st_mtime_ns))  # of one night the later one counts
            move_in(work, releases / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    repoint(releases, folder.name, name)
    return releases / name


def remove_old(folders: list[Path]) -> None:
    """Removes all that nobody reads any more.

    Raises:
        Locked: a service still reads one; the others are gone.
    """
    read: list[Locked] = []
    for folder in folders:
        try:
            remove(folder)
        except Locked as error:
            read.append(error)
    if read:
        raise read[0]


def _copy_without(folder: Path, work: Path, run: dict[str, Any], subject: Subject) -> None:
    """What does not change is linked; a file that does is another one."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        if name.as_posix() not in (MANIFEST, RUN, DATABASE):
            link(path, work / name)
    for path in files_with(work, subject):
        drop(path, subject)
    shutil.copyfile(folder / DATABASE, work / DATABASE)
    take_out(work / DATABASE, subject.id)
    text = json.dumps(run, indent=1, sort_keys=True, allow_nan=False)
    (work / RUN).write_text(text + "\n", encoding="utf-8")
