"""One adapter a shape of raw data; each gives, per canonical table, one SQL relation with the canonical columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """Rows meant for one canonical table, not yet typed or checked.

    `query` yields the canonical columns of `columns` (name to DuckDB type; text or typed) and `_file`, `_line`.
    `judged`: the query also yields `_breach` (`rule|column`, null when clean) and `_row` (JSON text).
    `files`: every file that counts, also those without rows. `extra`: columns nobody asked for.
    `rejects`: per CSV file, the table into which DuckDB puts its unreadable lines once the query has run.
    `paths`: the files that the query reads by their labels, so that an error can name the one at fault.
    """

    table: str
    query: str
    columns: dict[str, str]
    files: tuple[str, ...]
    extra: tuple[str, ...] = ()
    rejects: tuple[tuple[str, str], ...] = ()
    judged: bool = False
    paths: dict[str, Path] = field(default_factory=dict)
