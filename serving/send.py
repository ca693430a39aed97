"""The leads that moved, sent to a webhook: of a CRM, a marketing tool, or what stands in front of one.

At least once: the next run begins where the last one that was taken whole ended, so a receiver keys by account and
takes the newest `as_of`. Every body is signed, goes by TLS or to this machine alone, and follows no redirect.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from serving import exports, leads
from serving.database import DATABASE, open_database
from serving.errors import NotDelivered, ReleaseRefused
from serving.manifest import check_file
from serving.plan import slots_of, week_of
from serving.release import Release
from serving.schemas import LeadQuery
from warehouse.errors import UsageError
from warehouse.store import write_json

SENT = "sent.json"  # by address what was taken last: release, as_of, at, accounts
SECRET = "EXPANSION_SEND_SECRET"  # of the environment
LEAST_SECRET = 16  # characters
SIGNATURE = "X-Expansion-Signature"
BATCH = 200  # accounts a body
TIMEOUT = 30.0  # seconds until an answer
WAITS = (1.0, 5.0, 25.0)  # seconds before a body is sent again
LATER = frozenset((408, 425, 429, 500, 502, 503, 504))  # answers after which it is
HERE = frozenset(("127.0.0.1", "::1", "localhost"))


class Post(Protocol):
    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer. Raises OSError or HTTPException where none came."""


class _Stay(HTTPRedirectHandler):
    """A redirect is an answer like another: what is sent was meant for the address given."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    straight = [ProxyHandler({})] if urlsplit(url).hostname in HERE else []
    request = Request(url, body, dict(headers), method="POST")
    try:
        with build_opener(_Stay(), *straight).open(request, timeout=TIMEOUT) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


@dataclass(frozen=True)
class Webhook:
    """Where leads are sent. `address`: the URL without its query, which may be secret.

    Raises:
        UsageError: an address without TLS beyond this machine or with a user in it, or a secret that is too short.
    """

    url: str
    secret: str
    clock: Callable[[], datetime]
    by: Post = post
    wait: Callable[[float], None] = time.sleep
    address: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", _address(self.url))
        if len(self.secret) < LEAST_SECRET:
            raise UsageError(f"{SECRET} must hold at least {LEAST_SECRET} characters: it signs what is sent.")

    def deliver(self, document: Mapping[str, Any], key: str) -> None:
        """Sends one body, signed `t=SECONDS,v1=HEX` by HMAC-SHA256 over `SECONDS.BODY`; again where that may help.

        Raises:
            NotDelivered: it was refused, or not taken however often.
        """
        body = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
        said = ""
        for pause in (0.0, *WAITS):
            self.wait(pause)
            at = int(self.clock().timestamp())
            mark = hmac.new(self.secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
            named = {"Content-Type": "application/json", "Idempotency-Key": key, SIGNATURE: f"t={at},v1={mark}"}
            try:
                status = self.by(self.url, body, named)
            except (OSError, HTTPException) as error:
                said = type(error).__name__  # its text may hold the query
                continue
            if 200 <= status < 300:
                return
            said = f"status {status}"
            if status not in LATER:
                break
        raise NotDelivered(f"{self.address} did not take {key} ({said}). The next `expansion send` sends it again.")


def send(
    release: Release, workspace: Path, source: Mapping[str, Any], to: Webhook, whole: bool = False
) -> dict[str, Any]:
    """Sends the leads whose band, tier or stage moved since what was last taken there, and who is no longer among them;
    all of them the first time, where `whole` is asked, or where the live release is of no later day than that.

    source: which release answers (serving/source.py).

    Returns:
        release, address, accounts sent, `gone` (how many; null: not known, the release sent last is not kept), since
        which day they moved (null: all are sent), and sent: false where this release was taken there already.

    Raises:
        NotDelivered: a body was not taken. Nothing is noted then, so the next run sends all of them again.
    """
    taken = _taken(workspace)
    last = None if whole else taken.get(to.address)
    about = {"release": release.name, "address": to.address}
    if last is not None and last["release"] == release.name:
        return {**about, "sent": False, "accounts": 0, "gone": 0, "since": last["as_of"]}
    if last is not None and date.fromisoformat(last["as_of"]) >= release.as_of:
        last = None
    since = None if last is None else date.fromisoformat(last["as_of"]) + timedelta(days=1)
    gone = [] if last is None else _gone(release, last["release"])
    slots = slots_of(workspace / "plans", week_of(release.as_of))
    page = leads.find(release, LeadQuery(limit=BATCH, changed_since=since))
    total, batches, cursor = page.total, max(1, -(-page.total // BATCH)), page.next_cursor
    exports.tell(workspace, to.clock(), exports.COMMAND_LINE, "send", release.name, total, to=to.address)
    for number in range(1, batches + 1):
        if number > 1:
            page = leads.find(release, LeadQuery(limit=BATCH, changed_since=since, cursor=cursor))
            cursor = page.next_cursor
        head = {**source, "since": since and since.isoformat(), "batch": number, "batches": batches}
        items = [{**item, "slot": slots.get(item["account_id"])} for item in page.items]
        to.deliver({**head, "items": items, "gone": gone if number == batches else []}, f"{release.name}/{number}")
    noted = {"release": release.name, "as_of": release.as_of.isoformat(), "at": to.clock().isoformat()}
    write_json({**taken, to.address: {**noted, "accounts": total}}, workspace / SENT)
    return {
        **about,
        "sent": True,
        "accounts": total,
        "gone": None if gone is None else len(gone),
        "since": since and since.isoformat(),
    }


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, user, _ = parts.hostname, parts.username or parts.password, parts.port
    except ValueError as error:
        raise UsageError("--to is not a URL: give it as https://host/path.") from error
    if not host or user or parts.fragment:
        raise UsageError("--to is not a URL as https://host/path, without a user or a fragment in it.")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in HERE):
        raise UsageError(f"--to {host}: leads leave this machine by https alone.")
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _taken(workspace: Path) -> dict[str, Any]:
    path = workspace / SENT
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except ValueError as error:
        raise UsageError(f"{path} is damaged. Remove it, and everything is sent once more.") from error


def _gone(release: Release, earlier: str) -> list[str] | None:
    """Accounts of an earlier release that this one does not hold, sorted; null where that one is no longer kept."""
    folder = release.folder.parent / earlier
    try:
        check_file(folder, DATABASE)
        with closing(open_database(folder / DATABASE)) as con:
            before = {row[0] for row in con.execute("SELECT account_id FROM scores")}
    except (OSError, ReleaseRefused):
        return None
    return sorted(before - {row[0] for row in release.database.execute("SELECT account_id FROM scores")})
