"""Stage `rollup`: brings the roll-up on disk (features/daily.py) up to date with the warehouse, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import duckdb

from features import daily
from features.catalogue import CATALOGUE, Definitions, life_of
from features.daily import ACCOUNTS, USERS, Day, Rolled, day_files
from features.rollup import DAY_COLUMNS, Vocabulary, days_query, register_names
from features.windows import fold_stages
from warehouse import asof, progress
from warehouse.command import Call, run
from warehouse.delivery import stamps
from warehouse.engine import connect, parquet, quote, run_stages
from warehouse.manifest import refuse_changed
from warehouse.store import (
    Workspace,
    copy_by_day,
    copy_to_parquet,
    link,
    open_warehouse,
    part_file,
    refuse_link,
    swap_folder,
)

RAW = "account_id, user_id, event_name, occurred_at, received_at, quantity"


@dataclass(frozen=True)
class Changed:
    """What an update did: days rolled up anew, carried over and gone, and the midnight of the fold."""

    rolled: int
    kept: int
    gone: int
    folded: date | None

    def line(self) -> str:
        return f"{self.rolled:,} days rolled up, {self.kept:,} kept, {self.gone:,} gone; folded at {self.folded}"


def update(workspace: Workspace, definitions: Definitions, say: Callable[[str], None] = lambda _: None) -> Rolled:
    """The roll-up on disk as the warehouse and `definitions` have it now. The caller holds the workspace lock.

    Only months whose digest changed are read, and of these only days whose rows changed are rolled up. A crash leaves
    the old roll-up or the new one.
    """
    rolled = daily.ready(workspace, definitions)
    return rolled if rolled is not None else bring_up(workspace, definitions, say)[0]


def bring_up(
    workspace: Workspace, definitions: Definitions, say: Callable[[str], None] = lambda _: None
) -> tuple[Rolled, Changed]:
    """The same, and what it took."""
    made = daily.made_with(definitions)
    before = daily.intact(workspace, made) or Rolled(made)
    refuse_link(workspace.rollup)
    building = workspace.root / ".rollup"
    shutil.rmtree(building, ignore_errors=True)
    (building / daily.DAYS).mkdir(parents=True)
    try:
        folders = (workspace.warehouse, building, workspace.rollup)
        with daily.naming_damage(workspace), connect(*folders, keep_order=False) as con:
            open_warehouse(con, workspace.warehouse)
            rolled, stale = _roll(con, workspace, definitions, before, building, say)
            rolled = _fold(con, workspace, definitions, before, rolled, stale, building, say)
        rolled = replace(rolled, files=stamps(daily.beside(building, rolled.days), before.files))
        rolled.write(building)
        swap_folder(building, workspace.rollup)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    gone = len(before.days.keys() - rolled.days.keys())
    return rolled, Changed(len(stale), len(rolled.days) - len(stale), gone, rolled.folded)


def _roll(
    con: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    definitions: Definitions,
    before: Rolled,
    building: Path,
    say: Callable[[str], None],
) -> tuple[Rolled, list[date]]:
    """Daily files of every month in `building`; and the days that had to be rolled up."""
    parts = daily.parts_of(workspace)
    changed = [part for part, digest in sorted(parts.items()) if before.parts.get(part) != digest]
    files = {part: workspace.warehouse / "events" / part_file(part) for part in parts}
    names = con.execute(f"SELECT DISTINCT event_name FROM {parquet(*(files[p] for p in changed))}") if changed else None
    vocabulary = before.vocabulary.plus(name for (name,) in (names.fetchall() if names else ()))
    if vocabulary.words != before.vocabulary.words and before.days:
        return _roll(con, workspace, definitions, Rolled(before.made_with, vocabulary.names), building, say)
    register_names(con, vocabulary, definitions)
    days = {day: one for day, one in before.days.items() if _part(day) in parts and _part(day) not in changed}
    stale: list[date] = []
    for part in changed:
        say(part_file(part).removesuffix(".parquet"))
        told = _told(con, files[part])
        anew = [day for day, one in told.items() if before.days.get(day) != one]
        _copy_days(con, files[part], anew, len(told), vocabulary, building)
        days |= told
        stale += anew
    for day in days.keys() - set(stale):
        for file in day_files(workspace.rollup, day):
            link(file, building / daily.DAYS / file.parent.name / file.name)
    return Rolled(before.made_with, vocabulary.names, parts, days), stale


def _part(day: date) -> int:
    return day.year * 100 + day.month


def _told(con: duckdb.DuckDBPyConnection, file: Path) -> dict[date, Day]:
    rows = con.execute(f"""
        SELECT CAST(occurred_at AS DATE), count(*), sum(CAST(hash({RAW}) AS HUGEINT)),
               max(CAST(greatest(occurred_at, received_at) AS DATE))
        FROM {parquet(file)} GROUP BY 1 ORDER BY 1""").fetchall()
    return {day: Day(f"{count}-{digest}", until) for day, count, digest, until in rows}


def _copy_days(
    con: duckdb.DuckDBPyConnection, file: Path, days: list[date], of: int, vocabulary: Vocabulary, building: Path
) -> None:
    if not days:
        return
    source = parquet(file)
    if len(days) < of:
        listed = ", ".join(quote(day.isoformat()) for day in days)
        source = f"(SELECT * FROM {source} WHERE CAST(occurred_at AS DATE) IN ({listed}))"
    copy_by_day(con, days_query(vocabulary.words, source), building / daily.DAYS)


def _fold(
    con: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    definitions: Definitions,
    before: Rolled,
    rolled: Rolled,
    stale: Iterable[date],
    building: Path,
    say: Callable[[str], None],
) -> Rolled:
    """`rolled` with a fold at the opening of the month in which its data end: the old one where it still holds, moved
    forward where a month went by, made anew where something known before it changed."""
    if not rolled.days:
        return rolled
    end = max(one.known_until for one in rolled.days.values()) + timedelta(days=1)
    at = end.replace(day=1)
    base, words = before.folded, rolled.vocabulary.words
    touched = set(stale) | (before.days.keys() - rolled.days.keys())
    if base is not None and (
        base > at
        or before.vocabulary.words != words
        or _accounts(con, base) != before.folded_of
        or any(
            _known(con, workspace.rollup, day, base, words) != _known(con, building, day, base, words)
            for day in touched
        )
    ):
        base = None
    if base == at:
        for name in (ACCOUNTS, USERS):
            link(workspace.rollup / name, building / name)
    else:
        say(f"fold at {at}")
        if base is not None:
            for name in (ACCOUNTS, USERS):
                link(workspace.rollup / name, building / f"old_{name}")
        _make_fold(con, definitions, rolled, base, at, building)
    return Rolled(rolled.made_with, rolled.names, rolled.parts, rolled.days, at, _accounts(con, at))


def _make_fold(
    con: duckdb.DuckDBPyConnection, definitions: Definitions, rolled: Rolled, base: date | None, at: date, folder: Path
) -> None:
    old = Rolled(rolled.made_with, rolled.names, rolled.parts, rolled.days, base)
    layout = daily.open_daily(con, folder, definitions, old, at, at, prefix="old_")
    con.execute(f"CREATE OR REPLACE TEMP TABLE spine AS SELECT account_id, DATE '{at}' AS as_of FROM accounts")
    run_stages(con, fold_stages(life_of(CATALOGUE, layout), layout, at), lambda _: None)
    copy_to_parquet(con, f"SELECT * EXCLUDE (as_of) FROM life WHERE as_of = DATE '{at}'", folder / ACCOUNTS)
    users = f"{asof.first_seen('user_days', at)} UNION ALL SELECT * FROM folded_users"
    merged = f"SELECT account_id, user_id, min(first_day) AS first_day FROM ({users}) GROUP BY account_id, user_id"
    copy_to_parquet(con, merged, folder / USERS)
    for name in (ACCOUNTS, USERS):
        (folder / f"old_{name}").unlink(missing_ok=True)


def _accounts(con: duckdb.DuckDBPyConnection, at: date) -> str:
    """Digest of what a fold at `at` takes from the accounts: who had signed up, and when."""
    query = (
        "SELECT count(*), sum(CAST(hash(account_id, created_at) AS HUGEINT)) FROM accounts "
        f"WHERE created_at < TIMESTAMP '{at}'"
    )
    return str(con.execute(query).fetchall()[0])


def _known(con: duckdb.DuckDBPyConnection, folder: Path, day: date, before: date, words: int) -> str:
    """Digest of the rows of `day` known before a midnight, names of events in so many words."""
    files = day_files(folder, day)
    if not files:
        return "(0, None)"
    columns = ", ".join((*DAY_COLUMNS, "known_day", *(f"mask_{k}" for k in range(words))))
    return str(con.execute(asof.known_digest(parquet(*files), columns, before)).fetchall()[0])


def rollup_stage(workspace: Workspace, definitions: Definitions) -> Rolled:
    """Stage `rollup`: warehouse -> rollup/. The first to read the warehouse, so it holds it against its manifest.

    Raises:
        DataError: a file of the warehouse is not what `ingest` wrote.
    """
    refuse_changed(workspace.warehouse)
    with progress.stage("rollup") as say:
        rolled = daily.ready(workspace, definitions)
        if rolled is None:
            rolled, changed = bring_up(workspace, definitions, say)
            say(changed.line())
        else:
            say(f"{len(rolled.days):,} days, up to date")
    return rolled


def main(argv: list[str] | None = None) -> int:
    def called(call: Call) -> None:
        rollup_stage(call.workspace, Definitions.from_params(call.document))

    return run(called, "Stage rollup: events to one row an account, user and day.", argv)


if __name__ == "__main__":
    raise SystemExit(main())
