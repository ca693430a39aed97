"""The name and the seal of a release folder: what its name is made of, its manifest, and its way into place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from serving.errors import ReleaseRefused
from serving.failpoint import failpoint
from serving.manifest import check_manifest, file_sha256, write_manifest

TOLD = ("capacity", "band_floors", "grade", "headline", "rest_days", "stalled_days")  # in run.json, beside the scores
BUILDING = ".building-"
SCORES, PEERS, SEASON = "scores.parquet", "peers.parquet", "season.parquet"


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of `folder`, after every file in it was hashed and its name compared.

    Raises:
        ReleaseRefused: anything is missing, extra, changed, renamed or a link.
    """
    manifest = check_manifest(folder)
    if not folder.name.startswith(BUILDING) and manifest["name"] != folder.name:
        raise ReleaseRefused(f"release {folder.name} is refused: its manifest names {manifest['name']}.")
    return manifest


def is_intact(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        verify(folder)
    except ReleaseRefused:
        return False
    return True


def name_of(work: Path, run: dict[str, Any]) -> str:
    """The name of the release in `work`, whose scores, peers and season are written: as_of, bundle, content."""
    return f"{run['as_of']}-{run['bundle_id'][:12]}-{_content(work, run)[:12]}"


def _content(work: Path, run: dict[str, Any]) -> str:
    """SHA-256 of the scores, the vendor and what people are told beside them: equal scores under another capacity or
    grade are another release."""
    told = {name: run.get(name) for name in TOLD}
    digests = "".join(file_sha256(work / file) for file in sorted((SCORES, PEERS, SEASON)) if (work / file).is_file())
    return hashlib.sha256((digests + json.dumps(told, sort_keys=True)).encode()).hexdigest()


def seal(work: Path, name: str, run: dict[str, Any]) -> None:
    """Writes the manifest of all that lies in `work`, last; then it is synced and verified."""
    write_manifest(work, {"name": name, "as_of": run["as_of"], "bundle_id": run["bundle_id"]})
    failpoint("manifest_written")
    for path in (*work.rglob("*"), work):
        sync(path)
    failpoint("synced")
    verify(work)
    failpoint("verified")


def move_in(work: Path, folder: Path) -> None:
    """Gives the sealed folder `work` its place, in one step."""
    aside = Path(tempfile.mkdtemp(prefix=BUILDING, dir=folder.parent))
    try:
        if folder.exists():  # damaged, or it would have been kept
            os.rename(folder, aside / "damaged")
        os.chmod(work, 0o750)
        os.rename(work, folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(aside)
    failpoint("renamed")


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
