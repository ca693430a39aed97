"""What all routes of one process share, and how a route gets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request

from serving.errors import ApiError
from serving.keys import KeyRing
from serving.limits import Limits
from serving.metrics import Metrics
from serving.release import Release
from serving.settings import Settings
from serving.source import source_of
from serving.watcher import ReleaseWatcher

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
