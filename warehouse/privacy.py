"""What never enters in the clear: user ids become keyed hashes at the door, and a refused value leaves only its shape.

Only the columns of the contract are read at all, so names, e-mails and free text stay outside. The key belongs to the
workspace (`.privacy-key`, mode 0600): the same user is the same hash night after night here, and another one elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from warehouse.engine import quote
from warehouse.errors import UsageError

KEY_FILE = ".privacy-key"
HASHED = ("user_id",)  # of every table that has it
SHAPE_LENGTH = 40


def workspace_key(root: Path) -> str:
    """The key of the workspace `root`, 64 hex digits; made on first use.

    Raises:
        UsageError: the file is readable by others, or holds something else.
    """
    path = root / KEY_FILE
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise UsageError(f"{path} can be read by others. Run `chmod 600 {path}`.") from None
    else:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
    key = path.read_text(encoding="ascii", errors="replace").strip()
    if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
        raise UsageError(
            f"{path} does not hold 64 hex digits. Restore it from a backup; without it users get new hashes."
        )
    return key


def key_name(key: str) -> str:
    """What may be written down of a key, to tell that it is still the same one."""
    return hashlib.sha256(f"name of {key}".encode()).hexdigest()[:16]


def hashed(value: str, key: str) -> str:
    """SQL for the keyed hash (32 hex digits) of an id; null stays null. Cut to half its length, so that nobody can
    continue the hash of a longer id from it."""
    return f"left(sha256({quote(key)} || {value}), 32)"


def hash_of(value: str, key: str) -> str:
    """The same of one id."""
    return hashlib.sha256(f"{key}{value}".encode()).hexdigest()[:32]


def shape(value: str) -> str:
    """SQL for how a value looks, without what it says: letters become a, digits 9, and it ends after 40 characters."""
    cut = f"left(CAST({value} AS VARCHAR), {SHAPE_LENGTH})"
    return f"regexp_replace(regexp_replace({cut}, '[\\p{{L}}\\p{{M}}]', 'a', 'g'), '\\p{{N}}', '9', 'g')"
