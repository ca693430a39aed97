"""What was taken out as a file: a line in `exports.jsonl` before its first byte is out, or there is no file.

at, by (id of the key, or "command line"), export, release, filters (their names: a value may be an id), rows, and `to`
of what was sent
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from serving.schemas import LeadQuery
from warehouse.journal import EXPORTS, append

COMMAND_LINE = "command line"
NO_FILTERS = frozenset(("sort", "horizon", "limit", "cursor", "format"))  # of a query: they leave nobody out


def filters_of(query: LeadQuery) -> set[str]:
    """Names of the filters asked for."""
    return set(query.model_dump(exclude_none=True)) - NO_FILTERS


def tell(
    workspace: Path,
    now: datetime,
    by: str,
    export: str,
    release: str,
    rows: int,
    filters: Iterable[str] = (),
    to: str | None = None,
) -> None:
    """Adds the line.

    Raises:
        OSError, Locked: it cannot be written.
    """
    facts = {"by": by, "export": export, "release": release, "filters": sorted(filters), "rows": rows}
    append(workspace / EXPORTS, now, **facts, **({} if to is None else {"to": to}))
