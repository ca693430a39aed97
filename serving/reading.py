"""Reading the warehouse while a service runs: whole, though `ingest` may replace it meanwhile, and once a release."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import duckdb

from serving.errors import HistoryMoved
from serving.release import Release
from warehouse.errors import DataError, UsageError
from warehouse.manifest import FILE as MANIFEST
from warehouse.store import Workspace, file_stamp

ATTEMPTS = 3
Answer = TypeVar("Answer")


def whole(workspace: Workspace, read: Callable[[], Answer]) -> Answer:
    """What `read` returns of one and the same warehouse.

    Raises:
        DataError: ingests replaced the warehouse each time it was read; and whatever `read` raises of one that stayed.
    """
    manifest = workspace.warehouse / MANIFEST
    for _ in range(ATTEMPTS):
        before = file_stamp(manifest)
        try:
            answer = read()
        except (duckdb.IOException, DataError, UsageError):
            if file_stamp(manifest) == before:
                raise
            continue  # a file went with the old warehouse
        if file_stamp(manifest) == before:
            return answer
    raise DataError(f"{workspace.warehouse} was replaced while it was read. Ask again once `expansion ingest` is done.")


class Remembered(Generic[Answer]):
    """The newest `most` answers about the release asked last, each made once in the life of a process."""

    def __init__(self, most: int) -> None:
        self.answers: dict[tuple[Path, str, str], Answer] = {}
        self._most = most
        self._one_at_a_time = threading.Lock()  # all of history is read, so whoever asks meanwhile waits for that

    def of(self, release: Release, workspace: Path, asked: str, make: Callable[[], Answer]) -> Answer:
        """The answer to `asked`, by `make` if it was not asked before.

        Raises:
            HistoryMoved: there is no warehouse to read it from, or it is not what `ingest` wrote.
        """
        with self._one_at_a_time:
            for stale in [key for key in self.answers if key[:2] != (workspace, release.name)]:
                del self.answers[stale]
            key = (workspace, release.name, asked)
            if key not in self.answers:
                self.answers[key] = moved_or(make)
                for old in list(self.answers)[: -self._most]:
                    del self.answers[old]
            return self.answers[key]


def moved_or(make: Callable[[], Answer]) -> Answer:
    """What `make` reads from the warehouse beside a live release.

    Raises:
        HistoryMoved: there is none, or it is not what `ingest` wrote.
    """
    try:
        return make()
    except (UsageError, DataError, duckdb.Error) as error:  # the last: a file went while it was read
        raise HistoryMoved(f"this is read from the warehouse: {error}") from error
