"""API keys: 256 random bits each, kept only as SHA-256, with scopes and an end. Browser sessions are signed by them.

A key reads `exp_<id>_<secret>`; the id finds the entry, the secret is compared in constant time. A session token reads
`<id>.<expires>.<signature>`, signed with the stored hash, so revoking a key ends its sessions too.

Who made or revoked which key stands in `audit.jsonl` beside the key file; the line is written before the file is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from serving.errors import KeysRefused
from warehouse.journal import AUDIT, append, who
from warehouse.lock import waiting

SCOPES = ("read", "score", "admin")
KEY = re.compile(r"exp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
SESSION = re.compile(r"([0-9a-f]{12})\.(\d{1,12})\.([0-9a-f]{64})")
REREAD_SECONDS = 1.0  # a revoked key stops working within this time in every worker
NOBODY = "0" * 64
LONGEST = 36_500  # days
logger = logging.getLogger("expansion.keys")


@dataclass(frozen=True)
class Key:
    """One entry of the key file. Times are UTC, ISO 8601; `expires_at` null: no end; `revoked_at` null: live."""

    id: str
    name: str
    sha256: str
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None

    def state(self, now: datetime) -> Literal["valid", "ended", "revoked"]:
        if self.revoked_at is not None:
            return "revoked"
        ended = self.expires_at is not None and datetime.fromisoformat(self.expires_at) <= now
        return "ended" if ended else "valid"

    def live(self, now: datetime) -> bool:
        return self.state(now) == "valid"

    def told(self, now: datetime) -> dict[str, Any]:
        """What may be known of it: all but the hash."""
        return {name: value for name, value in asdict(self).items() if name != "sha256"} | {"state": self.state(now)}

    def grants(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


def create_key(
    path: Path, name: str, scopes: tuple[str, ...], now: datetime, days: float | None = None
) -> tuple[Key, str]:
    """Adds a key and returns it with its text, which nobody can read again. `days` null: it has no end.

    Raises:
        KeysRefused: an unknown scope, or an end that is not in (0, LONGEST] days.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise KeysRefused(f"scopes {unknown or '(none)'}: give one or more of {', '.join(SCOPES)}.")
    if days is not None and not 0 < days <= LONGEST:  # nan too
        raise KeysRefused(f"days {days}: give more than 0 and at most {LONGEST:,}, or none for a key without an end.")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    ends = None if days is None else (now + timedelta(days=days)).isoformat()
    key = Key(key_id, name, _digest(secret), tuple(scopes), now.isoformat(), ends)
    with _changing(path):
        keys = list_keys(path)
        _audit(path, now, "create_key", key)
        _write(path, [*keys, key])
    return key, f"exp_{key_id}_{secret}"


def revoke_key(path: Path, key_id: str, now: datetime) -> Key:
    """Ends a key at once; revoking it again changes nothing.

    Raises:
        KeysRefused: there is no such key.
    """
    with _changing(path):
        keys = list_keys(path)
        found = next((key for key in keys if key.id == key_id), None)
        if found is None:
            known = ", ".join(key.id for key in keys) or "none"
            raise KeysRefused(f'key "{key_id}" does not exist in {path}. Known: {known}.')
        if found.revoked_at is not None:
            return found
        ended = replace(found, revoked_at=now.isoformat())
        _audit(path, now, "revoke_key", ended)
        _write(path, [ended if key.id == key_id else key for key in keys])
    return ended


def list_keys(path: Path) -> list[Key]:
    """All keys of the file, oldest first; none where there is no file.

    Raises:
        KeysRefused: others may read the file, or it is not a key file.
    """
    if not path.exists():
        return []
    if path.stat().st_mode & 0o077:
        raise KeysRefused(f"{path} can be read by other users. Run: chmod 600 {path}")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["keys"]
        return [Key(**{**row, "scopes": tuple(row["scopes"])}) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise KeysRefused(f"{path} is not a key file. Restore it, or remove it and create new keys.") from error


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Waits for whoever is changing the file: an old list written back would make a revoked key live again."""
    with waiting(path.with_name(f".{path.name}.lock"), "Wait for it to end, then try again."):
        yield


def _audit(path: Path, now: datetime, action: str, key: Key) -> None:
    about = {"key": key.id, "name": key.name, "scopes": key.scopes, "expires_at": key.expires_at}
    append(path.with_name(AUDIT), now, action=action, by=who(), **about)


def _write(path: Path, keys: list[Key]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"keys": [asdict(key) for key in keys]}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyRing:
    """The live keys of one file, read again when it changes. `now` gives UTC; it is asked at each check."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._keys: dict[str, Key] = {}
        self._stamp: tuple[int, int] | None = None
        self._checked = -REREAD_SECONDS

    def find(self, text: str) -> Key | None:
        """The live key behind `text`, or None whatever is wrong with it."""
        self._reread()
        match = KEY.fullmatch(text)
        key = self._keys.get(match[1]) if match else None
        # An unknown id costs the same comparison as a known one.
        same = hmac.compare_digest(_digest(match[2] if match else ""), key.sha256 if key else NOBODY)
        return key if key is not None and same and key.live(self._now()) else None

    def open_session(self, key: Key, hours: float) -> str:
        """A token that stands for `key`, scope read, for so many hours."""
        expires = str(int((self._now() + timedelta(hours=hours)).timestamp()))
        return f"{key.id}.{expires}.{_sign(key, expires)}"

    def find_session(self, token: str) -> Key | None:
        """The live key that signed `token`, narrowed to scope read; None if the token is forged, ended or revoked."""
        self._reread()
        match = SESSION.fullmatch(token)
        key = self._keys.get(match[1]) if match else None
        if match is None or key is None or not hmac.compare_digest(_sign(key, match[2]), match[3]):
            return None
        ended = int(match[2]) <= self._now().timestamp()
        return None if ended or not key.live(self._now()) or not key.grants("read") else replace(key, scopes=("read",))

    def _reread(self) -> None:
        if time.monotonic() - self._checked < REREAD_SECONDS:
            return
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
        except FileNotFoundError:
            self._keys, self._stamp = {}, None
        else:
            if stamp != self._stamp:
                self._keys, self._stamp = self._listed(), stamp
        self._checked = time.monotonic()  # at last: whoever asks meanwhile in another thread reads, too

    def _listed(self) -> dict[str, Key]:
        try:
            return {key.id: key for key in list_keys(self._path)}
        except KeysRefused as error:
            logger.error("no key is accepted any more: %s", error)
            return {}


def _sign(key: Key, expires: str) -> str:
    return hmac.new(bytes.fromhex(key.sha256), f"session:{key.id}:{expires}".encode(), hashlib.sha256).hexdigest()
