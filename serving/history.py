"""What the releases that are still there said of one account, night by night.

Nothing is stored for it: each release keeps its scores, sealed by its manifest, and the one file that is read is hashed
before it is opened, once in the life of a process. See docs/adr/0050.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from serving import kept
from serving.database import DATABASE, open_database
from serving.errors import ReleaseRefused
from serving.leads import horizon_of
from serving.manifest import MANIFEST, check_file
from serving.release import Release
from warehouse.store import file_stamp

TRIES = 9
ASIDE = ("as_of", "method", "rank", "percentile", "band", "tier", "next_tier", "stage", "run_rate", "score")
REMEMBERED = 512  # releases of whom a process knows that their scores are intact, or why not


def history(release: Release, account_id: str, horizon: int | None = None) -> dict[str, Any] | None:
    """What was said of an account, oldest night first, the live one last; None if the live release does not hold it.

    Which nights: serving.kept.told_until. An account that a night did not score (not signed up, closed) has no entry of
    it. probability and expected_increment are null where that night's release did not tell the horizon.

    Raises:
        ApiError: 422 for a horizon that the live release lacks.
    """
    for _ in range(TRIES):
        try:
            return _history(release, account_id, horizon)
        except (OSError, sqlite3.OperationalError):  # an earlier release was removed while it was read: its successor
            continue  # is there by now
    return _history(release, account_id, horizon)


def _history(release: Release, account_id: str, horizon: int | None) -> dict[str, Any] | None:
    days = horizon_of(release, horizon)
    if release.database.execute("SELECT 1 FROM scores WHERE account_id = ?", (account_id,)).fetchone() is None:
        return None
    folders, refused = kept.told_until(release.folder, _bundle_of)
    nights = [night for folder in folders if (night := _night(folder, account_id, days)) is not None]
    return {
        "account_id": account_id,
        "horizon": days,
        "currency": release.card["currency"],
        "nights": nights,
        "not_read": [{"release": name, "reason": why} for name, why in refused.items()],
    }


def _night(folder: Path, account_id: str, days: int) -> dict[str, Any] | None:
    with closing(open_database(folder / DATABASE)) as con:
        row = con.execute("SELECT * FROM scores WHERE account_id = ?", (account_id,)).fetchone()
    if row is None:
        return None
    known = dict(row)
    money = {"probability": known.get(f"probability_{days}"), "expected_increment": known.get(f"increment_{days}")}
    about = {"release": folder.name, "bundle_id": _bundle_of(folder)}
    return {**{name: known[name] for name in ASIDE}, **about, **money}


def _bundle_of(folder: Path) -> str:
    """The bundle that made the scores of a release, once they are known to be intact.

    Raises:
        ReleaseRefused: they are not.
    """
    bundle, refused = _checked(folder, tuple(file_stamp(folder / name) for name in (MANIFEST, DATABASE)))
    if refused is not None:
        raise ReleaseRefused(refused)
    return bundle


@lru_cache(maxsize=REMEMBERED)
def _checked(folder: Path, _stamps: tuple[tuple[int, int, int] | None, ...]) -> tuple[str, str | None]:
    """The bundle of a release, and why its scores are refused; null if they are intact."""
    try:
        return str(check_file(folder, DATABASE)["bundle_id"]), None
    except ReleaseRefused as error:
        return "", str(error)
