"""The manifest of a bundle: every file with its SHA-256 and size. Nothing is parsed before it holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from models.errors import BundleRefused


def seal(folder: Path) -> str:
    """Writes the manifest over all files of `folder`; returns the bundle id, the SHA-256 of the manifest."""
    files = {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.name != "manifest.json"}
    raw = _manifest(files)
    (folder / "manifest.json").write_bytes(raw)
    return hashlib.sha256(raw).hexdigest()


def verify(folder: Path) -> str:
    """The bundle id, SHA-256 of manifest.json, after every file has been held against it.

    Raises:
        BundleRefused: the manifest is missing or unreadable, or a file is missing, extra, changed or a link.
    """
    manifest = folder / "manifest.json"
    if manifest.is_symlink() or not manifest.is_file():
        raise BundleRefused(f"{folder}: no manifest.json, so not a whole bundle. Fetch or train it again.")
    raw = manifest.read_bytes()
    try:
        expected = json.loads(raw)["files"]
        canonical = isinstance(expected, dict) and _manifest(expected) == raw  # one id for one content
    except (ValueError, KeyError, TypeError) as error:
        raise BundleRefused(f"{manifest}: not a manifest. Fetch or train the bundle again.") from error
    if not canonical:
        raise BundleRefused(f"{manifest}: not the manifest that was sealed. Fetch or train the bundle again.")
    found = {path.name for path in folder.iterdir() if path.name != "manifest.json"}
    if found != set(expected):
        raise BundleRefused(f"{folder}: files {sorted(found ^ set(expected))} are missing or extra. Fetch it again.")
    for name, digest in expected.items():
        path = folder / name
        if (
            path.is_symlink()
            or not path.is_file()
            or not name.endswith((".json", ".lgb.txt"))
            or _digest(path) != digest
        ):
            raise BundleRefused(f"{path}: not the file that was sealed (SHA-256 or size differs). Fetch it again.")
    return hashlib.sha256(raw).hexdigest()


def _manifest(files: dict[str, Any]) -> bytes:
    return json.dumps({"schema_version": 1, "files": files}, indent=1, sort_keys=True).encode()


def _digest(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
