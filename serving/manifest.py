"""The manifest of a release: every file with its SHA-256 and size, and a hash over itself.

Nothing else of a release is parsed before its manifest holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from serving.errors import ReleaseRefused

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, about: dict[str, Any]) -> None:
    """Writes the manifest of everything now in `folder`; `about` names the release."""
    files = {
        name: {"sha256": file_sha256(folder / name), "bytes": (folder / name).stat().st_size}
        for name in sorted(_regular_files(folder))
    }
    body = {"schema_version": SCHEMA_VERSION, **about, "files": files}
    (folder / MANIFEST).write_text(_canonical({**body, "content_sha256": _self_hash(body)}), encoding="utf-8")


def check_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of `folder`, once it holds: exactly its files, regular, of its sizes and hashes, and nothing else.

    Raises:
        ReleaseRefused: with the first file that is missing, extra, changed or no regular file.
    """
    found = _regular_files(folder)
    manifest = _read(folder)
    files = manifest["files"]
    for name in sorted((found - {MANIFEST}) ^ files.keys()):
        raise _refused(folder, f"{name} is {'missing' if name in files else 'not in its manifest'}")
    for name, expected in files.items():
        _check(folder, name, expected)
    return manifest


def check_file(folder: Path, name: str) -> dict[str, Any]:
    """The manifest of `folder`, once it and one file of it hold: for who reads that file alone.

    Raises:
        ReleaseRefused: either is missing, changed or no regular file.
    """
    manifest = _read(folder)
    if name not in manifest["files"]:
        raise _refused(folder, f"{name} is not in its manifest")
    _check(folder, name, manifest["files"][name])
    return manifest


def _read(folder: Path) -> dict[str, Any]:
    """The manifest, its own hash and version checked."""
    path = folder / MANIFEST
    if not _is_regular(path):
        raise _refused(folder, f"{MANIFEST} is missing, so it was never finished")
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        manifest = dict(json.loads(text))
        body = {key: value for key, value in manifest.items() if key != "content_sha256"}
        intact = text == _canonical(manifest) and manifest["content_sha256"] == _self_hash(body)
        version = manifest["schema_version"]
        manifest["files"].keys()
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise _refused(folder, f"{MANIFEST} is not readable") from error
    if not intact:
        raise _refused(folder, f"{MANIFEST} was changed")
    if version != SCHEMA_VERSION:
        raise _refused(folder, f"it has schema version {version}, this program reads {SCHEMA_VERSION}")
    return manifest


def _check(folder: Path, name: str, expected: dict[str, Any]) -> None:
    path = folder / name
    if not _is_regular(path):
        raise _refused(folder, f"{name} is missing, or a link")
    if path.stat().st_size != expected["bytes"] or file_sha256(path) != expected["sha256"]:
        raise _refused(folder, f"{name} was changed")


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _regular_files(folder: Path) -> set[str]:
    """Names of all files under `folder`, relative, with forward slashes; refuses links and anything that is no file."""
    if folder.is_symlink() or not folder.is_dir():
        raise _refused(folder, "it is not a folder")
    names: set[str] = set()
    for place, folders, files in os.walk(folder):
        for entry in (*folders, *files):
            path = Path(place, entry)
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) if entry in folders else stat.S_ISREG(mode)):
                raise _refused(folder, f"{path.relative_to(folder)} is a link or no regular file")
        names.update(Path(place, entry).relative_to(folder).as_posix() for entry in files)
    return names


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _self_hash(body: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()


def _refused(folder: Path, why: str) -> ReleaseRefused:
    return ReleaseRefused(
        f"release {folder.name} is refused: {why}. Run `expansion score` to publish again, or `expansion rollback`."
    )
