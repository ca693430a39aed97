"""Folders for what a run needs only while it works, and the end of those whose process was killed.

A folder is locked as long as its process lives. The kernel frees a lock however a process dies, also across containers
that share a temporary folder and whose process ids mean nothing to each other; a reused id misleads nobody.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OURS = re.compile(r"expansion-[a-z]+-\d+-\w+")  # purpose, process id (for people), what tells two of one process apart


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """An empty folder `expansion-<purpose>-<pid>-*` in the system's temporary folder, gone with the block. Those that
    killed processes of this user left behind are removed first.

    purpose: lower-case letters.
    """
    sweep()
    folder, lock = _locked(purpose)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # while it is locked; what cannot be removed is swept later
        os.close(lock)


def sweep() -> None:
    """Removes the scratch folders of this user that no process holds."""
    with os.scandir(tempfile.gettempdir()) as there:
        found = [Path(entry.path) for entry in there if OURS.fullmatch(entry.name)]
    for folder in found:
        with suppress(OSError):  # held, another user's, no folder, or gone by now
            if folder.lstat().st_uid == os.getuid():
                _remove_unheld(folder)


def _remove_unheld(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _locked(purpose: str) -> tuple[Path, int]:
    """A new folder and the descriptor that holds its lock. It gets a name that `sweep` knows only once it is locked."""
    new = Path(tempfile.mkdtemp(prefix=".expansion-"))
    folder = new.with_name(f"expansion-{purpose}-{os.getpid()}-{new.name.removeprefix('.expansion-')}")
    lock = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):  # where folders cannot be locked (NFS) nothing is swept
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    new.rename(folder)
    return folder, lock
