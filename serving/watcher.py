"""Which release answers now: the newest that verified. A new one loads while the old one answers, then replaces it."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from serving.release import Release, current, open_release, previous
from warehouse.errors import ExpansionError

RETRY_SECONDS = 30.0  # how long a release that was refused is left alone, unless `current` moves
logger = logging.getLogger("expansion.release")


class ReleaseWatcher:
    """Holds the live release of the folder `releases`.

    `get` looks at the `current` link at most every `seconds`, never waits for a load, and never raises: whatever goes
    wrong, the release in memory keeps answering and `error` says why it is not a newer one. Without `load` none is
    opened before it is asked for: so in a process that answers nobody.
    """

    def __init__(
        self,
        releases: Path,
        seconds: float,
        open_folder: Callable[[Path], Release] = open_release,
        load: bool = True,
    ) -> None:
        self._releases = releases
        self._seconds = seconds
        self._open = open_folder
        self._loading = threading.Lock()
        self._release: Release | None = None
        self._refused: tuple[str, float] | None = None
        self._looked = time.monotonic()
        self._before: list[weakref.ref[Release]] = []
        self.error: str | None = None
        if not load:
            return
        self.refresh()
        if self._release is None and (before := previous(releases)) is not None:
            self._load(before, keep_error=True)

    def get(self) -> Release | None:
        """The release to answer from; None before the first one. Keep it for the whole answer."""
        now = time.monotonic()
        if now - self._looked >= self._seconds:
            self._looked = now
            folder = self._wanted(now)
            if folder is not None and self._loading.acquire(blocking=False):
                threading.Thread(target=self._load_locked, args=(folder,), daemon=True, name="release").start()
        return self._release

    def let_go(self) -> None:
        """Frees the releases before this one: what is open is not removed from the disk (serving/held.py)."""
        if any(before() is not None for before in self._before):
            gc.collect()  # answers leave theirs in cycles, which an idle process would keep
        self._before = [before for before in self._before if before() is not None]

    def refresh(self) -> None:
        """Looks and loads now, in this thread."""
        folder = self._wanted(time.monotonic() + RETRY_SECONDS)
        if folder is not None:
            with self._loading:
                self._load(folder)

    def _wanted(self, now: float) -> Path | None:
        """The folder to load, or None while there is nothing new to try."""
        folder = current(self._releases)
        if folder is None:
            self.error = f"{self._releases} has no current release. Run `expansion score`."
            return None
        if self._release is not None and folder.name == self._release.name:
            self.error = None
            return None
        waiting = self._refused is not None and self._refused[0] == folder.name and now < self._refused[1]
        return None if waiting else folder

    def _load_locked(self, folder: Path) -> None:
        try:
            self._load(folder)
        finally:
            self._loading.release()

    def _load(self, folder: Path, keep_error: bool = False) -> None:
        try:
            release = self._open(folder)
        except Exception as error:  # whatever a damaged release does, the one in memory goes on answering
            told = isinstance(error, ExpansionError)
            self.error = str(error) if told else f"release {folder.name} could not be loaded ({type(error).__name__})."
            self._refused = (folder.name, time.monotonic() + RETRY_SECONDS)
            logger.error("%s", self.error)
            return
        if self._release is not None:
            self._before.append(weakref.ref(self._release))
        self._release, self._refused = release, None
        self.error = self.error if keep_error else None
        logger.info("serving release %s", release.name)
