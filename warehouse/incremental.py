"""Which months of a by-month table a delivery touches, so that the others are carried over as they are.

The result must be what a whole ingest of the folder would give, row for row. A month is touched by a new, replaced or
removed file with rows in it; by an account that came, went or changed its sign-up while rows of it lie there; by a row
whose key another touched month has; and, when files or accounts went or changed, by a quarantined conflict whose
winner may be gone.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from warehouse.delivery import Changes
from warehouse.engine import parquet
from warehouse.landing import Landing, Scope
from warehouse.manifest import Manifest
from warehouse.store import part_file

FUTURE = "future"
CONFLICT = "conflicting_duplicate"


def ripe(before: Manifest, table: str, latest: str) -> frozenset[str]:
    """Files with rows that lay in the future then and may be in the past now."""
    if latest <= before.latest:
        return frozenset()
    return frozenset(tally.file for tally in before.tallies if tally.table == table and tally.rule == FUTURE)


def moved_accounts(con: duckdb.DuckDBPyConnection, old: Path, new: Path) -> None:
    """Makes `ingest.moved`: account_id and `known` (whether it was accepted before) of every account that came, went or
    signed up at another time than was told before. old, new: Parquet files of the accepted accounts."""
    con.execute(f"""
        CREATE OR REPLACE TABLE ingest.moved AS
        SELECT account_id, o.created_at IS NOT NULL AS known
        FROM (SELECT account_id, created_at FROM {parquet(old)}) AS o
        FULL JOIN (SELECT account_id, created_at FROM {parquet(new)}) AS n USING (account_id)
        WHERE o.created_at IS DISTINCT FROM n.created_at""")


def touched(
    con: duckdb.DuckDBPyConnection,
    landing: Landing,
    before: Manifest,
    live: Path,
    changes: Changes,
    ripened: frozenset[str],
) -> Scope:
    """The rows to land anew. live: the warehouse that is built on; `ingest.moved` must be there."""
    table = landing.table.name
    fresh = changes.fresh | ripened
    fed: dict[str, set[int]] = {}
    for tally in before.tallies:
        if tally.table == table and tally.part:
            fed.setdefault(tally.file, set()).add(tally.part)
    dirty = {part for _, part in landing.counts(Scope(files=fresh)) if part} if fresh else set()
    dirty |= {part for file in fresh | changes.removed for part in fed.get(file, ())}
    dirty |= _of_moved_accounts(con, table, before, live)
    [(gone,)] = con.execute("SELECT count(*) FROM ingest.moved WHERE known").fetchall()
    if changes.replaced or changes.removed or ripened or gone:
        dirty |= {
            tally.part for tally in before.tallies if tally.table == table and tally.rule == CONFLICT and tally.part
        }
    while True:
        files = fresh | {file for file, parts in fed.items() if parts & dirty and file not in changes.removed}
        scope = Scope(frozenset(files), frozenset(dirty), frozenset(fresh))
        clean = {live / table / part_file(part): part for part in before.parts.get(table, {}) if part not in dirty}
        dated = Scope(scope.files, scope.parts, frozenset())
        more = {clean[path] for path in landing.known_elsewhere(dated, list(clean))}
        if not more:
            return scope
        dirty |= more


def _of_moved_accounts(con: duckdb.DuckDBPyConnection, table: str, before: Manifest, live: Path) -> set[int]:
    parts: set[int] = set()
    aside = live / "quarantine" / f"{table}.parquet"
    if aside.is_file():
        found = con.execute(
            f"SELECT DISTINCT part FROM {parquet(aside)} WHERE account_id IN (SELECT account_id FROM ingest.moved)"
        ).fetchall()
        parts |= {part for (part,) in found if part}
    [(gone,)] = con.execute("SELECT count(*) FROM ingest.moved WHERE known").fetchall()
    names = {live / table / part_file(part): part for part in before.parts.get(table, {})}
    if gone and names:
        found = con.execute(
            f"SELECT DISTINCT filename FROM {parquet(*names, filename=True)} "
            "WHERE account_id IN (SELECT account_id FROM ingest.moved WHERE known)"
        ).fetchall()
        parts |= {names[Path(path)] for (path,) in found}
    return parts
