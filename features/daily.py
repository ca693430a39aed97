"""The roll-up on disk: one Parquet file a day, brought up to date from the months of the warehouse that changed.

    rollup/days/day=2024-03-05/*.parquet   rows of that day, whenever they became known (features/rollup.py, user_days)
    rollup/folded_accounts.parquet    all that was known before the midnight `folded`, summed up by account
    rollup/folded_users.parquet       and the first day of each user
    rollup/manifest.json              what it was made of; written last

A month of the warehouse whose digest is the one in the manifest is not read again; in one that changed, only the days
whose rows changed are rolled up again. So a night costs its own days, and a late row costs the day it happened on.

The fold keeps a night from growing with history: lifetime totals start from it, and only days that hold something known
since are read. It moves forward with the month. A correction of what was known before it drops it, and the next one is
made anew from all days.

All of it is derived, so a file that is not what was written makes the next update a whole one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb

from features.catalogue import CATALOGUE, Definitions, life_of
from features.rollup import Vocabulary, days_query, open_days, open_fold, register_names, roll_up_revenue
from features.windows import Layout
from warehouse import asof
from warehouse.delivery import Stamp, changed
from warehouse.engine import parquet
from warehouse.errors import ExpansionError
from warehouse.manifest import read_manifest, refuse_changed
from warehouse.store import Workspace, recover_folder

FORMAT = 2
FILE = "manifest.json"
DAYS = "days"
ACCOUNTS, USERS = "folded_accounts.parquet", "folded_users.parquet"


@dataclass(frozen=True)
class Day:
    """digest: of the raw rows of the day, in any order. known_until: the latest day on which one of them was known."""

    digest: str
    known_until: date


@dataclass(frozen=True)
class Rolled:
    """made_with: digest of all that decides what a daily row says. parts: digest of each month of events it was made
    of. folded: null where there is no fold; folded_of: digest of the accounts it was made with. files: stamps of the
    files beside the manifest, by path."""

    made_with: str
    names: tuple[str, ...] = ()
    parts: dict[int, str] = field(default_factory=dict)
    days: dict[date, Day] = field(default_factory=dict)
    folded: date | None = None
    folded_of: str = ""
    files: dict[str, Stamp] = field(default_factory=dict)

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.names)

    def write(self, folder: Path) -> None:
        said = asdict(self) | {"days": {day.isoformat(): asdict(one) for day, one in sorted(self.days.items())}}
        (folder / FILE).write_text(json.dumps(said, default=str, ensure_ascii=False), encoding="utf-8")


def made_with(definitions: Definitions) -> str:
    """Digest of what decides a daily row and a fold: the roll-up's SQL, meanings of event names, measures of a life."""
    life = [asdict(column) for column in life_of(CATALOGUE, Layout())]
    said = [FORMAT, days_query(1), definitions.features.kinds(), life]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read_rolled(workspace: Workspace) -> Rolled | None:
    """What the roll-up on disk was made of; null where there is none that can be read."""
    path = workspace.rollup / FILE
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        days = {date.fromisoformat(day): _day(one) for day, one in said.pop("days").items()}
        parts = {int(part): digest for part, digest in said.pop("parts").items()}
        folded = date.fromisoformat(said["folded"]) if said["folded"] else None
        files = {file: Stamp(**one) for file, one in said.pop("files").items()}
        typed = {"names": tuple(said["names"]), "days": days, "parts": parts, "folded": folded, "files": files}
        return Rolled(**said | typed)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # damaged: everything is in the warehouse, so the next update makes it whole


def _day(said: dict[str, str]) -> Day:
    return Day(said["digest"], date.fromisoformat(said["known_until"]))


def parts_of(workspace: Workspace) -> dict[int, str]:
    """Digest of each month of events in the warehouse: what its manifest says, or of the file where there is none."""
    manifest = read_manifest(workspace.warehouse)
    if manifest is not None:
        return {part: one.digest for part, one in manifest.parts.get("events", {}).items()}
    files = [path for path in sorted((workspace.warehouse / "events").glob("*.parquet")) if path.stem != "all"]
    return {int(path.stem.replace("-", "")): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def ready(workspace: Workspace, definitions: Definitions) -> Rolled | None:
    """The roll-up on disk, if it is of the warehouse as it stands and of these definitions; else null."""
    recover_folder(workspace.rollup)
    rolled = intact(workspace, made_with(definitions))
    return rolled if rolled is not None and rolled.parts == parts_of(workspace) else None


def intact(workspace: Workspace, made: str) -> Rolled | None:
    """The roll-up on disk, if it was made with `made` and every file is what was written; else null. A file is read
    only if its size or time is another."""
    rolled = read_rolled(workspace)
    if rolled is None or rolled.made_with != made:
        return None
    try:
        return None if changed(beside(workspace.rollup, rolled.days), rolled.files) else rolled
    except FileNotFoundError:  # another run put its own there meanwhile
        return None


def beside(folder: Path, days: Iterable[date]) -> dict[str, Path]:
    """The files of a roll-up beside its manifest, by path."""
    files = [file for day in days for file in day_files(folder, day)]
    folds = [folder / name for name in (ACCOUNTS, USERS) if (folder / name).is_file()]
    return {os.path.relpath(file, folder): file for file in files + folds}


@contextmanager
def naming_damage(workspace: Workspace) -> Iterator[None]:
    """Says of an error of DuckDB's which file is damaged, if one is: rot may leave size and time as they were.

    Raises:
        DataError: a file of the warehouse is not what `ingest` wrote.
        ExpansionError: a file of the roll-up is not what was written.
    """
    try:
        yield
    except duckdb.Error as error:
        refuse_changed(workspace.warehouse, every=True)
        rolled = read_rolled(workspace)
        wrong = changed(beside(workspace.rollup, rolled.days), rolled.files, every=True) if rolled else []
        if not wrong:
            raise
        raise ExpansionError(
            f"{workspace.rollup / wrong[0]} is damaged: remove {workspace.rollup}, which is made anew from the "
            "warehouse, and run again."
        ) from error


def day_files(folder: Path, day: date) -> list[Path]:
    """The files of a day; none where it has no rows. (Not by glob: a night asks for every day of history.)"""
    place = os.path.join(folder, DAYS, f"day={day}")
    try:
        return [Path(place, file) for file in sorted(os.listdir(place)) if file.endswith(".parquet")]
    except FileNotFoundError:
        return []


def open_daily(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    definitions: Definitions,
    rolled: Rolled,
    first: date,
    last: date,
    prefix: str = "",
) -> Layout:
    """Makes the roll-up in `folder` visible to features.build: user_days, revenue_days and the fold, where all as_of
    lie in [first, last]. Of the days, those are opened that these as_of can tell apart from the fold.

    prefix: of the fold's file names.
    """
    folded = rolled.folded if rolled.folded and rolled.folded <= first else None
    layout = rolled.vocabulary.layout(definitions, folded)
    near = first - timedelta(days=asof.REACH)
    files = [
        file
        for day, one in sorted(rolled.days.items())
        if day < last and (folded is None or day >= near or one.known_until >= folded)
        for file in day_files(folder, day)
    ]
    if files:
        open_days(con, parquet(*files), layout)
    else:
        register_names(con, rolled.vocabulary, definitions)
        query = days_query(rolled.vocabulary.words, "(SELECT * FROM events WHERE 1 = 0)")
        con.execute(f"CREATE OR REPLACE TEMP TABLE no_days AS {query}")
        open_days(con, "no_days", layout)
    roll_up_revenue(con, definitions)
    open_fold(con, layout, *([parquet(folder / f"{prefix}{name}") for name in (ACCOUNTS, USERS)] if folded else []))
    return layout
