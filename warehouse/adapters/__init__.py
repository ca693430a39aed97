"""One adapter a shape of raw data; each gives, per canonical table, one SQL relation with the canonical columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """Rows meant for one canonical table, not yet typed or checked.

    `query` yields the canonical columns of `columns` (name to DuckDB type; text or typed) and `_file`, `_line`.
    `judged`: the query also yields `_breach` (`rule|column`, null when clean).
    `files`: every file that counts, also those without rows. `extra`: columns nobody asked for.
    `rejects`: per CSV file, the table into which DuckDB puts its unreadable lines once the query has run.
    `paths`: the files that the query reads by their labels; a change of one of them makes the rows be read anew.
    `by_file`: every row depends on its own file alone, and `_file` is that file's label.
    """

    table: str
    query: str
    columns: dict[str, str]
    files: tuple[str, ...]
    extra: tuple[str, ...] = ()
    rejects: tuple[tuple[str, str], ...] = ()
    judged: bool = False
    paths: dict[str, Path] = field(default_factory=dict)
    by_file: bool = False
