"""A workspace whose warehouse is a small history, written month by month as an ingest leaves it."""

from __future__ import annotations

from pathlib import Path

from tests.features.histories import History, warehouse
from warehouse.store import Workspace, copy_to_parquet, part_file

CLOCK = {"events": "occurred_at", "revenue": "booked_at"}


def land(history: History, workspace: Workspace) -> Workspace:
    """Writes the whole warehouse; files whose rows are the same get the same bytes again."""
    with warehouse(history) as con:
        for table in history.tables:
            folder = workspace.warehouse / table
            for old in folder.glob("*.parquet"):
                old.unlink()
            if table not in CLOCK:
                copy_to_parquet(con, f"SELECT * FROM {table} ORDER BY ALL", folder / part_file(0))
                continue
            month = f"year({CLOCK[table]}) * 100 + month({CLOCK[table]})"
            parts = [part for (part,) in con.execute(f"SELECT DISTINCT {month} FROM {table}").fetchall()]
            for part in parts:
                query = f"SELECT * FROM {table} WHERE {month} = {part} ORDER BY ALL"
                copy_to_parquet(con, query, folder / part_file(part))
            if not parts:
                copy_to_parquet(con, f"SELECT * FROM {table}", folder / part_file(0))
        copy_to_parquet(con, "SELECT 1 AS nothing WHERE false", workspace.warehouse / "touches" / part_file(0))
    return workspace


def known_by(history: History, day: object) -> History:
    """What had come in by that midnight, closures as they are."""
    return history.cut(day)  # type: ignore[arg-type]


def rollup_files(workspace: Workspace) -> dict[str, tuple[int, int]]:
    """Inode and size of every daily file, by its path in the roll-up."""
    folder = workspace.rollup
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_size)
        for path in sorted(Path(folder).rglob("*.parquet"))
    }
