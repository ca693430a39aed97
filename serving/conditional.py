"""Conditional requests (RFC 9110): a JSON answer of /v1 carries a hash of its body, and who has that body gets 304.

The body names its release and says whether it is stale, so another night, or the hour at which scores become old, is
another tag; equal in all workers. The answer is made either way: what is saved is its way to the caller.
"""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = "/v1/"
KEPT = "private, no-cache"  # a caller may keep it, and asks each time whether it still holds


class Conditional:
    """Wraps `app`. Touched are whole 200 answers of JSON to GET; a stream (CSV) has no tag before it is out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(PATHS):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_json(message):
                held.append(message)
                return
            if held:
                start = held.pop()
                if not message.get("more_body", False):
                    start, message = _tagged(start, message, Headers(scope=scope).getlist("if-none-match"))
                await send(start)
            await send(message)

        await self._app(scope, receive, answer)


def _is_json(start: Message) -> bool:
    return start["status"] == 200 and Headers(raw=start["headers"]).get("content-type") == "application/json"


def _tagged(start: Message, body: Message, asked: list[str]) -> tuple[Message, Message]:
    """The answer with its tag; without its body if the caller holds it."""
    tag = f'"{hashlib.sha256(body["body"]).hexdigest()[:32]}"'
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["etag"] = tag
    headers.setdefault("cache-control", KEPT)
    if not _holds(asked, tag):
        return {**start, "headers": headers.raw}, body
    del headers["content-type"], headers["content-length"]
    return {**start, "status": 304, "headers": headers.raw}, {**body, "body": b""}


def _holds(asked: list[str], tag: str) -> bool:
    """Weak comparison, as the header is meant: a proxy that compresses makes a strong tag weak."""
    known = [each.strip().removeprefix("W/") for line in asked for each in line.split(",")]
    return tag in known or "*" in known
