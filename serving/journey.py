"""The quarterly journey: where accounts stood at the end of their first, second, third quarter, and what came next.

An account's quarters are calendar quarters, the first being the one it signed up in; those that are not over are not
counted. Stages are told as they were known then, by the thresholds of today's params or of the release.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from features.build import open_vendor
from features.catalogue import Definitions
from features.journey import CLOSED, LOOKED_AT, STAGES, evidence
from features.stage_by_quarter import stage_by_quarter
from serving.incentives import GROUPS, group_of
from serving.reading import Remembered, moved_or, whole
from serving.release import Release
from warehouse.errors import UsageError
from warehouse.store import Workspace

REMEMBERED = 8  # answers that a process keeps of the live release
_answers: Remembered[dict[str, Any]] = Remembered(REMEMBERED)
_stages: Remembered[pa.Table] = Remembered(1)  # which every answer counts
COUNTED = ", ".join(f"count(*) FILTER (stage = '{stage}') AS {stage}" for stage in STAGES)


def journey(workspace: Workspace, definitions: Definitions, as_of: date, by: str | None = None) -> dict[str, Any]:
    """Counts of accounts, internal ones left out.

    by: one of GROUPS, to which an account belongs as it does today; null: all accounts together.

    Returns:
        `by_quarter`: a row a group and number of the quarter, by group: `accounts` that had come to its end, and how
        many of them stood in each of STAGES; `group` is absent without `by`, null where an account does not tell it.
        `onward`: a row a stage but `closed`, with `accounts` (of all groups and quarters) that stood in it at the end
        of a quarter, of which the next is over too, and where they stood at the end of that one.

    Raises:
        UsageError: there is no warehouse yet, or `by` is none of GROUPS.
        DataError: a file of the warehouse is not what `ingest` wrote, or ingests replace it while it is read.
    """
    if by not in (None, *GROUPS):
        raise UsageError(f'--by "{by}" is none of {", ".join(GROUPS)}.')
    return whole(workspace, lambda: _counted(workspace, _every_stage(workspace, definitions, as_of), by))


def of_release(release: Release, workspace: Path, by: str | None) -> dict[str, Any]:
    """`journey` as of the night of a release, by what its bundle means.

    Raises:
        HistoryMoved: there is no warehouse to read it from, or it is not what `ingest` wrote.
    """
    space, definitions = Workspace(workspace), release.scorer.definitions
    stages = _stages.of(
        release, workspace, "", lambda: whole(space, lambda: _every_stage(space, definitions, release.as_of))
    )
    return _answers.of(release, workspace, by or "", lambda: whole(space, lambda: _counted(space, stages, by)))


def quarters_of(
    workspace: Workspace, definitions: Definitions, as_of: date, account_id: str
) -> list[dict[str, Any]] | None:
    """The quarters of one account, its first first: `number`, `quarter` (`2025-Q1`), `complete`, `stage`, `evidence` in
    words, null once it had closed. Null of one that had not signed up before as_of or is internal."""
    found = whole(workspace, lambda: stage_by_quarter(workspace, definitions, as_of, account_id))
    fragments, tiers = definitions.sql_fragments(), [tier.name for tier in definitions.tiers.ladder]
    rows = []
    for row in found.to_pylist():
        values = {name: row[name] for name in LOOKED_AT}
        why = None if row["stage"] == CLOSED else evidence(values, fragments, tiers)["text"]
        rows.append({name: row[name] for name in ("number", "quarter", "complete", "stage")} | {"evidence": why})
    return rows or None


def quarters_beside(release: Release, workspace: Path, account_id: str) -> list[dict[str, Any]] | None:
    """`quarters_of` an account as of the night of a release, by what its bundle means.

    Raises:
        HistoryMoved: there is no warehouse to read them from, or it is not what `ingest` wrote.
    """
    space, definitions = Workspace(workspace), release.scorer.definitions
    return moved_or(lambda: quarters_of(space, definitions, release.as_of, account_id))


def _every_stage(workspace: Workspace, definitions: Definitions, as_of: date) -> pa.Table:
    return stage_by_quarter(workspace, definitions, as_of).select(["account_id", "number", "complete", "stage"])


def _counted(workspace: Workspace, stages: pa.Table, by: str | None) -> dict[str, Any]:
    with open_vendor(workspace) as con:
        con.register("stages", stages)
        con.execute(f"""
            CREATE TEMP TABLE stood AS
            SELECT {group_of(by)} AS "group", account_id, number, stage,
                   lag(stage) OVER (PARTITION BY account_id ORDER BY number) AS before
            FROM stages JOIN accounts USING (account_id) WHERE complete""")
        by_quarter = f'SELECT "group", number, count(*) AS accounts, {COUNTED} FROM stood GROUP BY ALL'
        onward = (
            f"SELECT before AS stage, count(*) AS accounts, {COUNTED} FROM stood WHERE before <> '{CLOSED}' GROUP BY 1"
        )
        found = {
            "by_quarter": _rows(con, f'{by_quarter} ORDER BY "group" NULLS LAST, number'),
            "onward": sorted(_rows(con, onward), key=lambda row: STAGES.index(row["stage"])),
        }
    if by is None:
        for row in found["by_quarter"]:
            del row["group"]
    return found


def _rows(con: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    found: pa.Table = con.sql(query).to_arrow_table()
    return list(found.to_pylist())
