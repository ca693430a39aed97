"""A release that is being read stays: whoever opens it shares a lock on its manifest, and its removal takes that alone.

The kernel frees the lock with the last reader's file, so nothing outlives a process.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from serving.manifest import MANIFEST
from warehouse.errors import Locked
from warehouse.lock import WAIT, taken


def hold(folder: Path) -> IO[bytes] | None:
    """Keeps the release in `folder` from being removed as long as the file lives; null where it was never finished, or
    is gone."""
    try:
        file = os.fdopen(os.open(folder / MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
        fcntl.flock(file, fcntl.LOCK_SH)
    except OSError:
        return None
    return file


@contextmanager
def unread(folder: Path) -> Iterator[None]:
    """Once nobody reads the release in `folder`.

    Raises:
        Locked: somebody still did after `WAIT` seconds.
    """
    try:
        file = (folder / MANIFEST).open("r+", encoding="utf-8")
    except FileNotFoundError:  # never finished, so nobody has opened it
        yield
        return
    with file:
        if not taken(file, WAIT):
            raise Locked(
                f"a service still reads releases/{folder.name}, so it was not removed. See that it takes up the live "
                "release, or restart it; then run the same command again."
            )
        yield
