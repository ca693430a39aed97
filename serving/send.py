"""Leads to a webhook: of a CRM, a marketing tool, or what stands in front of one.

What a receiver holds is noted here account by account, in short, so what is sent is what differs from it, whatever
happened since: a rollback, a night made anew, a plan drawn, a run that was cut off. At least once: nothing is noted
before all of it was taken. Every body is signed, goes by TLS or to this machine alone, and follows no redirect.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import pyarrow as pa

from serving import exports, leads
from serving.errors import NotDelivered
from serving.plan import slots_of, week_of
from serving.release import Release
from serving.schemas import LeadQuery
from warehouse.errors import DataError, UsageError
from warehouse.lock import waiting
from warehouse.store import read_table, write_table

SENT = "sent"  # folder of a workspace: by address, what it holds of each account
SECRET = "EXPANSION_SEND_SECRET"  # of the environment
LEAST_SECRET = 16  # characters
SIGNATURE = "X-Expansion-Signature"
BATCH = 200  # accounts a body
TIMEOUT = 30.0  # seconds until an answer
WAITS = (1.0, 5.0, 25.0)  # seconds before a body is sent again
LATER = frozenset((408, 425, 429))  # answers after which it is, and 500 or more
HERE = frozenset(("127.0.0.1", "::1", "localhost"))
# An account is sent again once a person would read one of these otherwise: chances to a hundredth, money to two digits.
WATCHED = ("band", "tier", "next_tier", "stage", "stalled", "confidence", "owner", "slot", "last_contact")


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
    """Where leads are sent. `name`: host and a hash of the URL, for a path or a query may be a secret of its own.

    Raises:
        UsageError: no URL; one without TLS beyond this machine, or with a user in it; a secret that is too short.
    """

    url: str
    secret: str
    clock: Callable[[], datetime]
    by: Post = post
    wait: Callable[[float], None] = time.sleep
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{_host(self.url)}-{hashlib.sha256(self.url.encode()).hexdigest()[:12]}")
        if len(self.secret) < LEAST_SECRET or not self.secret.isascii():
            raise UsageError(f"{SECRET} must hold at least {LEAST_SECRET} ASCII characters: it signs what is sent.")

    def deliver(self, document: Mapping[str, Any]) -> None:
        """Sends one body, signed `t=SECONDS,v1=HEX` by HMAC-SHA256 over `SECONDS.BODY`; again where that may help.

        Raises:
            NotDelivered: it was refused, or not taken however often.
        """
        body = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
        key = hashlib.sha256(body).hexdigest()[:32]
        said = ""
        for pause in (0.0, *WAITS):
            self.wait(pause)
            at = int(self.clock().timestamp())
            mark = hmac.new(self.secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
            named = {"Content-Type": "application/json", "Idempotency-Key": key, SIGNATURE: f"t={at},v1={mark}"}
            try:
                status = self.by(self.url, body, named)
            except (OSError, HTTPException) as error:
                said = type(error).__name__  # its text may hold the URL
                continue
            if 200 <= status < 300:
                return
            said = f"status {status}"
            if status not in LATER and status < 500:
                break
        raise NotDelivered(
            f"{self.name} did not take batch {document['batch']} of {document['batches']} ({said}). Nothing is noted: "
            "the next `expansion send` sends all of it again."
        )


def send(
    release: Release, workspace: Path, source: Mapping[str, Any], to: Webhook, whole: bool = False
) -> dict[str, Any]:
    """Sends the leads of which the receiver holds something else, and names those who are no longer among them.

    Args:
        source: which release answers (serving/source.py).
        whole: every lead, whatever the receiver holds.

    Returns:
        release, to (the name of the webhook), and counts: accounts (sent), gone (named) and scored. Nothing is sent
        where the receiver holds all of the release already.

    Raises:
        NotDelivered: a body was not taken. Nothing is noted then, so the next run sends all of it again.
        DataError: the note of what was sent, or the week's plan, cannot be read.
        Locked: another run sends to the same address.
    """
    note = workspace / SENT / f"{to.name}.parquet"
    with waiting(note.with_name(f".{to.name}.lock"), "Wait for it to end, then run it again."):
        slots = slots_of(workspace / "plans", week_of(release.as_of))
        held = _held(note)
        now = {item["account_id"]: _digest(item, release.scorer.bundle_id) for item in _items(release, slots)}
        moved = {account for account, digest in now.items() if whole or held.get(account) != digest}
        gone = sorted(held.keys() - now.keys())
        counts = {"accounts": len(moved), "gone": len(gone), "scored": len(now)}
        if moved or gone:
            exports.tell(workspace, to.clock(), exports.COMMAND_LINE, "send", release.name, len(moved), to=to.name)
            about = {**source, "sent_at": to.clock().isoformat(), "scored": len(now), "all": whole}
            batches = max(1, -(-len(moved) // BATCH))
            leaving = (item for item in _items(release, slots) if item["account_id"] in moved)
            for number in range(1, batches + 1):
                items = list(islice(leaving, BATCH))
                last = {"items": items, "gone": gone if number == batches else []}
                to.deliver({**about, "batch": number, "batches": batches, **last})
            write_table(pa.table({"account_id": list(now), "digest": list(now.values())}), note)
    return {"release": release.name, "to": to.name, **counts}


def _host(url: str) -> str:
    wrong = "--to is not a URL as https://host/path: ASCII, without spaces, a user or a fragment in it."
    try:
        parts = urlsplit(url)
        host, user, _ = parts.hostname, parts.username or parts.password, parts.port
    except ValueError as error:
        raise UsageError(wrong) from error
    if not host or user or parts.fragment or not re.fullmatch(r"[!-~]+", url):
        raise UsageError(wrong)
    if parts.scheme != "https" and not (parts.scheme == "http" and host in HERE):
        raise UsageError(f"--to {host}: leads leave this machine by https alone.")
    return re.sub(r"[^a-z0-9.-]", "_", host)


def _held(note: Path) -> dict[str, str]:
    """The digest of each account that the receiver holds; empty before the first time."""
    if not note.exists():
        return {}
    try:
        table = read_table(note, ["account_id", "digest"])
    except DataError as error:
        raise DataError(
            f"{error} Remove it, and everything is sent once more; who is gone is not told then."
        ) from error
    return dict(zip(table["account_id"].to_pylist(), table["digest"].to_pylist(), strict=True))


def _items(release: Release, slots: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """All leads as the API gives them, and the slot of each in the week's plan. Read twice rather than held: of a large
    vendor they are more than there is memory for."""
    for page in leads.pages(release, LeadQuery.model_validate({})):
        yield from ({**item, "slot": slots.get(item["account_id"])} for item in page)


def _digest(item: Mapping[str, Any], bundle_id: str) -> str:
    chance, money = item["probability"], item["expected_increment"]
    read = [
        bundle_id,
        *(item[name] for name in WATCHED),
        None if chance is None else round(chance, 2),
        None if money is None else f"{money:.1e}",
    ]
    return hashlib.sha256(json.dumps(read, default=str).encode()).hexdigest()[:16]
