"""The BentoML service: hosts, packages and supervises one FastAPI app. Every route is in `api.py`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.api import create_app
from serving.logs import log_to_stderr
from serving.settings import read_settings, switch_off_telemetry, warn_open_door

BENTO_DOCUMENTS = frozenset({"/docs.json", "/schema.json"})

switch_off_telemetry()
settings = read_settings()
if (worker := bentoml.server_context.worker_index) is not None:  # the process that starts the workers serves nothing
    log_to_stderr()
    if worker == 1:
        warn_open_door(settings)
surface = create_app(settings, now=lambda: datetime.now(UTC), load=worker is not None)


async def _look_for_releases() -> None:
    """Lets an idle service take up a new release too, so that the first request of the morning has it, and let go of
    the one before, so that it can be removed."""
    while True:
        await asyncio.sleep(max(settings.reload_seconds, 0.1))
        surface.desk.watcher.get()
        surface.desk.watcher.let_go()


class Front:
    """BentoML middleware that puts our guard before everything and our app before BentoML's own routes.

    BentoML matches its probes and documents before any mounted app and answers them in shapes of its own. Behind the
    guard only its two documents are left to it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._bento = app
        self._guarded = surface.guarded.around(self._route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._ticking = asyncio.create_task(_look_for_releases())
        await (self._bento if scope["type"] == "lifespan" else self._guarded)(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._bento if scope["path"] in BENTO_DOCUMENTS else surface.app)(scope, receive, send)


@bentoml.service(
    name="expansion",
    workers=settings.workers,
    http={"host": settings.host, "port": settings.port},
    metrics={"enabled": False},  # its labels are raw paths, so account ids
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": [".*"]},  # nobody is sent a span, and making one costs as much as an answer
    monitoring={"enabled": False},
    runner_probe={"enabled": False},
)
@bentoml.asgi_app(surface.app, path="/")
class ExpansionService:
    """Answers from the current release of EXPANSION_WORKSPACE."""

    def __is_ready__(self) -> bool:
        return surface.desk.watcher.get() is not None


cast("bentoml.Service[Any]", ExpansionService).add_asgi_middleware(Front)
