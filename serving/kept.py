"""Releases of the past that are still there, for whoever holds them against what came of it."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from serving.errors import ReleaseRefused
from serving.manifest import MANIFEST
from serving.release import verify


def first_of_months(releases: Path) -> tuple[list[Path], dict[str, str]]:
    """Of each month the release of its first night that is intact, oldest first; of several of one night the one that
    was finished last. And why each that was passed over for damage is refused, by name.

    Nights next to each other say nearly the same of the same accounts, so a month is told by one.
    """
    finished = [path.parent for path in releases.glob(f"????-??-??-*/{MANIFEST}")]
    order = sorted(finished, key=lambda folder: (folder.name[:10], -(folder / MANIFEST).stat().st_mtime, folder.name))
    taken: list[Path] = []
    refused: dict[str, str] = {}
    for _, nights in groupby(order, key=lambda folder: folder.name[:7]):
        for folder in nights:
            try:
                verify(folder)
            except ReleaseRefused as error:
                refused[folder.name] = str(error)
            else:
                taken.append(folder)
                break
    return taken, refused
