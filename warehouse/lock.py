"""One writer a workspace: a second run stops within a second and names the holder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse.errors import Locked


@contextmanager
def exclusive(root: Path, job: str) -> Iterator[None]:
    """Holds the workspace `root` for `job`. The kernel frees the lock when the process dies, however it dies.

    Raises:
        Locked: another process holds it; the message names job, pid and host.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Locked(f"{root} is in use by {_holder(file.read())}. Wait for it to end, then try again.") from error
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"job": job, "pid": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        yield


def _holder(text: str) -> str:
    try:
        told = json.loads(text)
        return f"`expansion {told['job']}`, process {told['pid']} on {told['host']}"
    except (ValueError, KeyError, TypeError):  # it holds the lock and has not said yet who it is
        return "another run"
