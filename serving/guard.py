"""The outer guard: one pure ASGI layer before all routing, BentoML's own routes included.

Order of the checks: host, path, method, key, rate, scope, then the body. Nothing is read from a caller without a key,
and every decision is made on `scope["path"]`, the same value that the router sees.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import traceback
import uuid
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import ApiError
from serving.keys import Key, KeyRing
from serving.limits import Limits
from serving.settings import LOOPBACK, Settings

COOKIE = "expansion_session"
METHODS = ("GET", "POST")
PROBES = frozenset({"/livez", "/readyz", "/healthz"})  # these answer HEAD too; the server leaves the body out
PUBLIC = PROBES | {"/session", "/session/end", "/favicon.ico"}
SMALLER = "Send fewer accounts, or raise EXPANSION_BODY_LIMIT_BYTES where one account has more history than that."
DISCARDED = 16 << 20  # bytes of a refused body that are read nevertheless
PAGES = frozenset({"/", "/plan", "/journey", "/measures", "/docs"})  # without a session they show the sign-in
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
HEADERS = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
INTERNAL = ApiError(500, "internal_error", "Something failed on our side. Quote the request id.")
ANYONE = Key("local", "authentication is off", "", ("admin",), "")
logger = logging.getLogger("expansion.http")
access = logging.getLogger("expansion.access")


class Interrupted(RuntimeError):
    """An answer broke off after its first bytes; carries the request id alone."""


class Guard:
    """Wraps `app`. `count` is told of every answer by route template; `request.state` carries request_id and caller
    (a Key, or None on a page that shows the sign-in)."""

    def __init__(
        self, app: ASGIApp, settings: Settings, keys: KeyRing, limits: Limits, count: Callable[..., None]
    ) -> None:
        self._app = app
        self._settings = settings
        self._keys = keys
        self._limits = limits
        self._count = count

    def around(self, app: ASGIApp) -> Guard:
        """The same guard before another app."""
        return Guard(app, self._settings, self._keys, self._limits, self._count)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status, finished = time.perf_counter(), 0, False
        given = _header(scope, b"x-request-id") or ""
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope["state"] = state = {**scope.get("state", {}), "request_id": request_id, "caller": None}

        async def answer(message: Message) -> None:
            nonlocal status, finished
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_headers(message.get("headers", ()), request_id)
            finished = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            self._admit(scope)
            await self._app(scope, await self._checked_body(scope, receive), answer)
        except ApiError as error:
            await _refuse(answer, error, request_id)
        except Exception as error:
            _log_failure(error, request_id)
            if not status:
                await _refuse(answer, INTERNAL, request_id)
            elif not finished:
                raise Interrupted(request_id) from None  # half an answer is out: the server cuts the connection
        finally:
            route = getattr(scope.get("route"), "path_format", "unmatched")
            method = scope["method"] if scope["method"] in METHODS else "other"
            seconds = time.perf_counter() - started
            self._count(method, route, status, seconds)
            key = "-" if state["caller"] is None else state["caller"].id
            access.info("%s %s %d %.0f ms key %s", method, route, status, 1000 * seconds, key)  # no path: it holds ids

    def _admit(self, scope: Scope) -> None:
        """Lets the request in, or raises ApiError; who asks is in its state then, also of one that is refused for what
        it asks."""
        path = scope["path"]
        allowed = self._settings.hosts
        if allowed is not None and _host(scope) not in allowed:
            raise ApiError(
                400, "bad_host", "This host name is not served here. Set EXPANSION_ALLOWED_HOSTS to allow it."
            )
        if not path.startswith("/") or any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
            raise ApiError(400, "bad_path", "The path holds a control character.")
        if scope["method"] not in METHODS and not (scope["method"] == "HEAD" and path in PROBES):
            raise ApiError(405, "method_not_allowed", f"Use {' or '.join(METHODS)}.")
        if (twice := _given_twice(scope)) is not None:
            raise ApiError(422, "invalid_request", "This parameter is given twice. Give it once.", twice)
        caller = scope["state"]["caller"] = self._caller(scope)
        if path in PUBLIC or path.startswith("/static/"):
            return
        if caller is None:
            if path in PAGES or path.startswith("/accounts/"):
                return
            raise ApiError(401, "unauthorized", "A valid API key is required.")
        self._limits.request(caller.id)
        needed = "score" if scope["method"] == "POST" else "read"
        if not caller.grants(needed):
            raise ApiError(403, "forbidden", f"This key lacks the scope {needed}.")

    def _caller(self, scope: Scope) -> Key | None:
        if not self._settings.auth:
            server = scope.get("server") or ("",)
            local = server[0] in LOOPBACK or self._settings.insecure
            return ANYONE if local else None
        bearer = [v[7:] for v in _headers(scope, b"authorization") if v[:7].lower() == "bearer "]
        given = bearer + _headers(scope, b"x-api-key")
        if given:
            found = self._keys.find(given[0].strip()) if len(given) == 1 else None
            if found is None and scope["path"] not in PROBES:  # who restarts services must not be told 429
                self._limits.wrong_key(address_of(scope))
            return found
        token = _cookie(scope)
        return self._keys.find_session(token) if token else None

    async def _checked_body(self, scope: Scope, receive: Receive) -> Receive:
        """A receive that replays the whole body, once it is known to be JSON, within the cap and in time."""
        if scope["method"] != "POST":
            return receive
        kind = (_header(scope, b"content-type") or "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, "unsupported_media_type", "Send Content-Type: application/json.")
        if (_header(scope, b"content-encoding") or "identity").lower() != "identity":
            raise ApiError(415, "unsupported_media_type", "Send the body without Content-Encoding.")
        limit = self._settings.body_limit_bytes
        too_large = ApiError(413, "body_too_large", f"The body may have at most {limit} bytes. {SMALLER}")
        length = _header(scope, b"content-length") or "0"
        declared_too_large = not length.isdigit() or int(length) > limit
        body = None
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                body = None if declared_too_large else await _read(receive, limit)
                if body is None:
                    await _discard(receive)
        except TimeoutError as error:
            if not declared_too_large:
                raise ApiError(408, "body_too_slow", "The body did not arrive in time.") from error
        if body is None:
            raise too_large
        _refuse_bad_json(body)
        return _replay(body, receive)


def _given_twice(scope: Scope) -> str | None:
    """A name that the query holds more than once; which of them is meant nobody could tell."""
    return _twice(name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


def _twice(names: Iterable[str]) -> str | None:
    """The first name that was there before, in one pass: callers without a key may send as many as they like."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


async def _read(receive: Receive, limit: int) -> bytes | None:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


async def _discard(receive: Receive) -> None:
    """Reads what is left of a body that is refused, up to DISCARDED bytes: a client that is still sending would see its
    connection reset in the place of the answer."""
    size, more = 0, True
    while more and size < DISCARDED:
        message = await receive()
        size += len(message.get("body", b""))
        more = message["type"] != "http.disconnect" and message.get("more_body", False)


def _refuse_bad_json(body: bytes) -> None:
    """Raises ApiError 400 for what JSON (RFC 8259) does not allow, and for a key twice in an object: of two values
    nobody could tell which is meant, and Python's parser takes the last."""
    try:
        json.loads(body.decode(), object_pairs_hook=_each_key_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "bad_json", "The body is not valid JSON.") from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (twice := _twice(name for name, _ in pairs)) is not None:
        raise ApiError(400, "bad_json", "This key stands twice in one object. Give it once.", twice)
    return dict(pairs)


def _no_number(literal: str) -> None:
    raise ValueError(f"{literal} is no JSON")


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def _refuse(send: Send, error: ApiError, request_id: str) -> None:
    body = json.dumps(error.body(request_id)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status == 405:
        headers.append((b"allow", ", ".join(METHODS).encode()))
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    if error.status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _with_headers(headers: Any, request_id: str) -> list[tuple[bytes, bytes]]:
    own = [(name, value) for name, value in headers]
    named = {name.lower() for name, _ in own}
    added = [(name, value) for name, value in HEADERS if name not in named]
    return [*own, *added, (b"x-request-id", request_id.encode())]


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _header(scope: Scope, name: bytes) -> str | None:
    values = _headers(scope, name)
    return values[0] if values else None


def address_of(scope: Scope) -> str:
    """Of the client, as the server tells it; empty where it comes through a socket file."""
    return str((scope.get("client") or ("",))[0])


def _host(scope: Scope) -> str:
    """The one Host header in lower case, without its port; empty if there is none or more than one."""
    values = _headers(scope, b"host")
    host = values[0].strip().lower() if len(values) == 1 else ""
    return re.sub(r":\d+$", "", host)


def _cookie(scope: Scope) -> str | None:
    try:
        jar = SimpleCookie("; ".join(_headers(scope, b"cookie")))
    except CookieError:
        return None
    return jar[COOKIE].value if COOKIE in jar else None


def _log_failure(error: Exception, request_id: str) -> None:
    """The place of the failure without its message: messages may quote what the caller sent."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-6:]))
    logger.error("request %s failed: %s at %s", request_id, type(error).__name__, where)
