"""Files of a workspace that only ever grow, a JSON line an act: who did what, and what left the house."""

from __future__ import annotations

import json
import os
import pwd
from datetime import datetime
from pathlib import Path
from typing import Any

from warehouse.lock import waiting

AUDIT = "audit.jsonl"  # moves of the champion and what was refused (training/promote.py), keys, erasures
EXPORTS = "exports.jsonl"  # serving/exports.py
MODE = 0o640


def append(path: Path, now: datetime, **facts: Any) -> None:
    """One line, on disk before the caller goes on. A line that a crash tore stays a line of its own.

    Raises:
        OSError: it cannot be written.
        Locked: others kept the file to themselves for too long.
    """
    line = json.dumps({"at": now.isoformat(), **facts}, ensure_ascii=False).encode() + b"\n"
    with waiting(path.with_name(f".{path.name}.lock"), "Wait, then try again."):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, MODE)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            torn = file.seek(0, os.SEEK_END) and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
            file.write(b"\n" + line if torn else line)
            os.fsync(file.fileno())


def who() -> str:
    """The user of this machine that runs this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that runs as a number
        return f"user {os.getuid()}"
