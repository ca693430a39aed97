"""Who may write: one run a workspace, which a second one does not wait for; and files changed so quickly that one does.

The kernel frees a lock when its process dies, however it dies, so nothing here outlives a killed run.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from warehouse.errors import Locked

PAUSE = 0.05  # s between two tries
AT_ONCE = 0.5  # s; longer than anybody looks who only asks whether a run is alive (`holder`)
WAIT = 30.0  # s; far longer than any file is changed for


@contextmanager
def exclusive(root: Path, job: str) -> Iterator[None]:
    """Holds the workspace `root` for `job`.

    Raises:
        Locked: another process holds it; the message names job, pid and host.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("a+", encoding="utf-8") as file:
        if not taken(file, AT_ONCE):
            raise Locked(f"{root} is in use by {_in_words(_named(file))}. Wait for it to end, then try again.")
        _sign(file, job)
        yield


def holder(root: Path) -> dict[str, Any] | None:
    """The run that holds the workspace now: job, pid, host (empty if it has not said yet); null: none does."""
    if not (root / ".lock").is_file():
        return None
    with (root / ".lock").open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _named(file)
    return None


@contextmanager
def waiting(lock: Path, remedy: str) -> Iterator[None]:
    """Holds the file `lock`, once whoever holds it has let go.

    Raises:
        Locked: it was still held after `WAIT` seconds; the message names the holder and ends with `remedy`.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+", encoding="utf-8") as file:
        if not taken(file, WAIT):
            raise Locked(f"{lock} was held for {WAIT:g} s by {_in_words(_named(file))}. {remedy}")
        _sign(file, None)
        yield


def taken(file: IO[str], seconds: float) -> bool:
    """Whether the lock could be had within so many seconds."""
    for _ in range(max(1, round(seconds / PAUSE))):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE)
        else:
            return True
    return False


def _sign(file: IO[str], job: str | None) -> None:
    """Says in the file who holds it."""
    file.seek(0)
    file.truncate()
    file.write(json.dumps({"job": job, "pid": os.getpid(), "host": socket.gethostname()}))
    file.flush()


def _named(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        return dict(json.loads(file.read()))
    except ValueError:  # it holds the lock and has not said yet who it is
        return {}


def _in_words(told: dict[str, Any]) -> str:
    if not told:
        return "another run"
    job = f"`expansion {told['job']}`, " if told["job"] else ""
    return f"{job}process {told['pid']} on {told['host']}"
