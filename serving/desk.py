"""What all routes of one process share, and how a route gets it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request

from serving import exports
from serving.errors import ApiError
from serving.keys import Key, KeyRing
from serving.limits import Limits
from serving.metrics import Metrics
from serving.release import Release
from serving.settings import Settings
from serving.source import source_of
from serving.watcher import ReleaseWatcher
from warehouse.errors import Locked
from warehouse.journal import EXPORTS

WEB = Path(__file__).parent / "web"


@dataclass(frozen=True)
class Desk:
    """What the routes share in one process."""

    settings: Settings
    now: Callable[[], datetime]
    watcher: ReleaseWatcher
    keys: KeyRing
    limits: Limits
    metrics: Metrics

    def source(self, release: Release) -> dict[str, Any]:
        """Which release answers, as every answer says it."""
        return source_of(release, self.now(), self.settings.stale_after_hours)

    def tell_export(self, caller: Key, export: str, release: Release, rows: int, filters: Iterable[str]) -> None:
        """Notes a file that is about to be given out.

        Raises:
            ApiError: 503, it cannot be noted, so it must not be given out.
        """
        try:
            exports.tell(self.settings.workspace, self.now(), caller.id, export, release.name, rows, filters)
        except (OSError, Locked) as error:
            message = f"No file is given out that {EXPORTS} cannot tell of, and it cannot be written. Tell operations."
            raise ApiError(503, "export_not_logged", message) from error


async def live_release(request: Request) -> Release:
    """The release this request answers from, held until its answer is out."""
    release = request.app.state.desk.watcher.get()
    if release is None:
        raise ApiError(503, "no_release", "Nothing has been published yet. Run `expansion score`.")
    return release  # type: ignore[no-any-return]


async def the_desk(request: Request) -> Desk:
    return request.app.state.desk  # type: ignore[no-any-return]


Live = Annotated[Release, Depends(live_release)]
AtDesk = Annotated[Desk, Depends(the_desk)]
