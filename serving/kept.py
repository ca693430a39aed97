"""Past releases that are still there, to compare their promises with what happened and to show an account's history."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path

from serving.errors import ReleaseRefused
from serving.held import unread
from serving.manifest import MANIFEST
from serving.release import current, previous, verify
from serving.sealing import BUILDING
from warehouse.store import file_stamp

REMEMBERED = 2_048  # releases of whom a process knows what they were compared with
NIGHTS, MONTHS = 14, 24  # told night by night; and by the first night of each month


def first_of_months(releases: Path, check: Callable[[Path], object] = verify) -> tuple[list[Path], dict[str, str]]:
    """The first intact night of each month, oldest first, and why each damaged one was refused, by name. Of several
    releases of one night the one that people saw counts.

    Neighbouring nights say nearly the same of the same accounts, so one speaks for its month.
    """
    return first_intact(groupby(_finished(releases), key=_month), check)


def told_until(live: Path, check: Callable[[Path], object]) -> tuple[list[Path], dict[str, str]]:
    """The releases of an account's history, oldest first, the live one last: the last NIGHTS nights and before them the
    first night of each of MONTHS months, as far as `check` finds them intact; and why others are refused. A later night
    that was published and then rolled back is left out."""
    until = _night(live)
    before = [folder for folder in _finished(live.parent) if _night(folder) < until]
    recent = frozenset([*dict.fromkeys(map(_night, before)), until][-NIGHTS:])
    months = frozenset([*dict.fromkeys(map(_month, before))][-MONTHS:])
    kept = [folder for folder in before if _night(folder) in recent or _month(folder) in months]
    apart = groupby([*kept, live], key=lambda folder: _night(folder) if _night(folder) in recent else _month(folder))
    return first_intact(apart, check)


def of_night(releases: Path, as_of: date, check: Callable[[Path], object] = verify) -> Path | None:
    """The intact release of a night, of several the one that people saw; null where none is kept."""
    folders = [folder for folder in _finished(releases) if _night(folder) == as_of.isoformat()]
    return next(iter(first_intact([(as_of.isoformat(), folders)], check)[0]), None)


def spare(releases: Path) -> list[Path]:
    """The finished releases that nothing reads any more, oldest first. Never among them: the live one, the one that
    `rollback` returns to, those of `told_until`, the first intact one of each of the last MONTHS months, and those of a
    later night than the live one. Empty where no release is live."""
    live, back = current(releases), previous(releases)
    if live is None:
        return []
    once = cache(verify)  # each release is hashed whole
    months = first_of_months(releases, once)[0][-MONTHS:]
    read = {live, back, *months, *told_until(live, once)[0]}
    return [folder for folder in _finished(releases) if folder not in read and _night(folder) <= _night(live)]


def remove(folder: Path) -> None:
    """Removes a release in one step, once nobody reads it: after a crash it is either whole, or left for release.sweep.

    Raises:
        Locked: a service still reads it.
    """
    gone = folder.with_name(f"{BUILDING}{folder.name}")
    with unread(folder):
        os.rename(folder, gone)
    shutil.rmtree(gone)


def first_intact(
    groups: Iterable[tuple[str, Iterable[Path]]], check: Callable[[Path], object]
) -> tuple[list[Path], dict[str, str]]:
    """Of each group the first folder that `check` does not refuse, and why those before it are refused, by name."""
    taken: list[Path] = []
    refused: dict[str, str] = {}
    for _, folders in groups:
        for folder in folders:
            try:
                check(folder)
            except ReleaseRefused as error:
                refused[folder.name] = str(error)
            else:
                taken.append(folder)
                break
    return taken, refused


def _finished(releases: Path) -> list[Path]:
    """By night, oldest first; of one night the one that people saw comes first: that is live, or that a later release
    was compared with, as the other was taken back by then; else the one that was finished last."""
    found = [path.parent for path in releases.glob(f"????-??-??-*/{MANIFEST}")]
    nights = Counter(map(_night, found))
    seen: set[str | None] = set()
    names = {folder: {folder.name} for folder in found}  # a release sealed anew has had others
    if max(nights.values(), default=0) > 1:
        for folder in found:
            compared, was = _named(folder / "run.json", file_stamp(folder / "run.json"))
            seen.add(compared)
            names[folder] |= was
    if (live := current(releases)) is not None:
        seen.add(live.name)

    def order(folder: Path) -> tuple[str, bool, float, str]:
        return _night(folder), not names[folder] & seen, -(folder / MANIFEST).stat().st_mtime, folder.name

    return sorted(found, key=order)


@lru_cache(maxsize=REMEMBERED)
def _named(run: Path, _stamp: tuple[int, int, int] | None) -> tuple[str | None, frozenset[str]]:
    """The earlier release that was live when that of `run` (its run.json) was made, null for the first, and the names
    it had before accounts were taken out of it; neither where it cannot be read."""
    try:
        said = dict(json.loads(run.read_text(encoding="utf-8")))
        return said.get("compared_with"), frozenset(said.get("was", ()))
    except (OSError, ValueError, TypeError):  # damaged: whoever takes it verifies it and says so
        return None, frozenset()


def _night(folder: Path) -> str:
    return folder.name[:10]


def _month(folder: Path) -> str:
    return folder.name[:7]
