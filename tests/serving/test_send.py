"""What a webhook is sent: what moved, once it was taken; signed; nowhere else."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from serving import leads, release
from serving.errors import NotDelivered
from serving.plan import SLOTS, slots_of, week_of
from serving.schemas import Lead, LeadQuery
from serving.send import BATCH, SENT, SIGNATURE, WATCHED, Webhook, send
from serving.source import source_of
from tests.serving.published import AS_OF, NOW, publish
from tests.serving.test_exports import lines
from warehouse.erasure import KEPT_IN
from warehouse.errors import DataError, UsageError
from warehouse.store import write_json
from warehouse.subject import Subject, drop, files_with

SIGNED_WITH = "a secret of the vendor"
URL = "https://crm.example/hook?token=hidden"
Sent = list[tuple[dict[str, Any], Mapping[str, str]]]


class Crm:
    """Takes bodies as docs/crm.md tells, or answers as it was told to. `holds`: what it knows, by account."""

    def __init__(self, *answers: int | OSError) -> None:
        self.answers = list(answers)
        self.sent: Sent = []
        self.waited: list[float] = []
        self.holds: dict[str, dict[str, Any]] = {}

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        assert url == URL
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, OSError):
            raise answer
        if answer < 300:
            document = json.loads(body)
            self.sent.append((document, headers))
            self.holds |= {item["account_id"]: item for item in document["items"]}
            for account in document["gone"]:
                self.holds.pop(account, None)
        return answer

    def take(self, workspace: Path, **asked: Any) -> dict[str, Any]:
        live = release.open_current(workspace / "releases")
        webhook = Webhook(URL, SIGNED_WITH, lambda: NOW, self, self.waited.append)
        return send(live, workspace, source_of(live, NOW, 30), webhook, **asked)

    def agrees(self, workspace: Path) -> bool:
        """Whether it holds what a person would read in the live release, of these accounts and no others."""
        live = release.open_current(workspace / "releases")
        slots = slots_of(workspace / "plans", week_of(live.as_of))
        rows = leads.find(live, LeadQuery(limit=200)).items
        told = {row["account_id"]: {**row, "slot": slots.get(row["account_id"])} for row in rows}
        return {account: seen(item) for account, item in self.holds.items()} == {
            account: seen(item) for account, item in told.items()
        }


def seen(item: Mapping[str, Any]) -> list[Any]:
    chance = item["probability"]
    return [*(item[name] for name in WATCHED), None if chance is None else round(chance, 2)]


def ids(sent: Sent) -> list[str]:
    return [item["account_id"] for document, _ in sent for item in document["items"]]


def test_the_first_time_every_account_is_sent_as_the_api_tells_it(workspace: Path) -> None:
    publish(workspace)
    crm = Crm()
    said = crm.take(workspace)
    assert (said["accounts"], said["scored"], said["gone"]) == (120, 120, 0)
    [(document, _)] = crm.sent
    assert len(set(ids(crm.sent))) == 120
    assert {name: document[name] for name in ("as_of", "batch", "batches", "scored", "all", "sent_at")} == {
        "as_of": AS_OF.isoformat(), "batch": 1, "batches": 1, "scored": 120, "all": False, "sent_at": NOW.isoformat(),
    }  # fmt: skip
    for item in document["items"]:
        Lead.model_validate({name: value for name, value in item.items() if name != "slot"})
    [line] = lines(workspace)
    assert (line["export"], line["to"], line["rows"]) == ("send", said["to"], 120)
    assert said["to"].startswith("crm.example-")
    assert "hook" not in (workspace / "exports.jsonl").read_text() + said["to"]


def test_many_accounts_go_in_bodies_of_at_most_so_many_with_keys_of_their_own(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(workspace)
    monkeypatch.setattr("serving.send.BATCH", 50)
    crm = Crm()
    crm.take(workspace)
    crm.take(workspace, whole=True)
    assert [(document["batch"], len(document["items"])) for document, _ in crm.sent] == [(1, 50), (2, 50), (3, 20)] * 2
    assert len({headers["Idempotency-Key"] for _, headers in crm.sent}) == 6
    assert len(set(ids(crm.sent))) == 120
    assert BATCH > 50


def test_whatever_happened_since_a_receiver_holds_the_live_release_once_it_was_sent(workspace: Path) -> None:
    """Nights, some of them taken back or made anew or not sent, who left, plans drawn, and full sends."""
    crm, lot = Crm(), random.Random(5)
    first, day = publish(workspace), AS_OF
    for step in range(24):
        act = lot.choice(("night", "anew", "back", "plan", "leave", "whole"))
        if act in ("night", "leave"):
            day += timedelta(days=lot.choice((1, 6)))
            publish(workspace, day, seed=step, n=119 if act == "leave" else 120)
        elif act == "anew":
            publish(workspace, day, seed=step, force=True)
        elif act == "back":
            release.activate(workspace / "releases", first.name)
        elif act == "plan":
            rows = [
                {"account_id": f"acct-{lot.randrange(117):05d}", "kind": kind} for kind in (*SLOTS, "contacted") * 4
            ]
            (workspace / "plans").mkdir(exist_ok=True)
            write_json({"rows": rows}, workspace / "plans" / f"{week_of(day)}.json")
        if act == "whole":
            assert crm.take(workspace, whole=True)["accounts"] in (119, 120)
        elif lot.random() < 0.6:
            crm.take(workspace)
        else:
            continue
        assert crm.agrees(workspace), (step, act)
        sent = len(crm.sent)
        assert crm.take(workspace)["accounts"] == 0
        assert len(crm.sent) == sent
    assert any(document["gone"] for document, _ in crm.sent)
    assert {item["slot"] for document, _ in crm.sent for item in document["items"]} == {None, "random", "held_out"}


def test_the_note_of_what_was_sent_is_a_place_that_an_erasure_looks_into(workspace: Path) -> None:
    publish(workspace)
    crm, subject = Crm(), Subject("account", "acct-00007", "key")
    crm.take(workspace)
    [note] = (workspace / SENT).glob("*.parquet")
    assert files_with(workspace / SENT, subject) == {note: 1}
    assert SENT in KEPT_IN
    drop(note, subject)
    assert crm.take(workspace)["accounts"] == 1


def test_two_addresses_on_one_host_are_told_apart(workspace: Path) -> None:
    publish(workspace)
    live, crm = release.open_current(workspace / "releases"), Crm()
    crm.take(workspace)
    other = Webhook("https://crm.example/hook?token=other", SIGNED_WITH, lambda: NOW, lambda *_: 204, crm.waited.append)
    assert send(live, workspace, source_of(live, NOW, 30), other)["accounts"] == 120


def test_a_note_that_cannot_be_read_is_named_with_its_remedy(workspace: Path) -> None:
    publish(workspace)
    crm = Crm()
    crm.take(workspace)
    [note] = (workspace / SENT).glob("*.parquet")
    note.write_bytes(b"torn")
    with pytest.raises(DataError, match="Remove it, and everything is sent once more"):
        crm.take(workspace)
    note.unlink()
    assert crm.take(workspace)["accounts"] == 120


def test_what_was_not_taken_is_tried_again_then_refused_and_noted_nowhere(workspace: Path) -> None:
    publish(workspace)
    slow = Crm(503, ConnectionRefusedError("with the address"), 200)
    assert slow.take(workspace)["accounts"] == 120
    assert slow.waited == [0.0, 1.0, 5.0]
    for note in (workspace / SENT).glob("*.parquet"):
        note.unlink()
    for answers, reason in (((400,), "status 400"), ((302,), "status 302"), ((521,) * 4, "status 521")):
        refusing = Crm(*answers)
        with pytest.raises(NotDelivered, match=reason) as refused:
            refusing.take(workspace)
        assert (refusing.answers, refused.value.exit_code) == ([], 5)
        assert "hook" not in str(refused.value)
        assert not list((workspace / SENT).glob("*.parquet"))


def test_every_field_of_the_map_is_sent(workspace: Path) -> None:
    publish(workspace)
    crm = Crm()
    crm.take(workspace)
    document = crm.sent[0][0]
    page = (Path(__file__).parents[2] / "docs" / "crm.md").read_text(encoding="utf-8")
    mapped = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.+?) \|", page.split("## The map")[1], re.M)))
    assert len(mapped) > 15
    assert set(mapped) <= {*document, *document["items"][0]}


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example/hook",
        "https://user:word@crm.example/",
        "crm.example",
        "ftp://crm.example",
        "https://[x",
        "https://crm.example/h\u00fck",
        "https://crm.example/a b",
        "https://crm.example/a\n",
    ],
)
def test_leads_leave_this_machine_by_tls_alone(url: str) -> None:
    with pytest.raises(UsageError, match="--to") as refused:
        Webhook(url, SIGNED_WITH, lambda: NOW)
    assert "word" not in str(refused.value)


@pytest.mark.parametrize("secret", ["", "short", "no \udcff of ours at all"])
def test_nothing_is_sent_unsigned(secret: str) -> None:
    with pytest.raises(UsageError, match="at least 16 ASCII characters"):
        Webhook(URL, secret, lambda: NOW)


@pytest.fixture
def receiver() -> Iterator[tuple[str, Sent]]:
    """A real one on this machine, which checks the signature as docs/crm.md tells and sends elsewhere what is asked
    of /moved."""
    taken: Sent = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            at, mark = (part.split("=", 1)[1] for part in self.headers[SIGNATURE].split(","))
            own = hmac.new(SIGNED_WITH.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
            good = hmac.compare_digest(own, mark)
            if good and self.path != "/moved":
                taken.append((json.loads(body), dict(self.headers)))
            self.send_response(307 if self.path == "/moved" else 204 if good else 403)
            if self.path == "/moved":
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Tests are quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    server.server_close()


def test_a_real_receiver_verifies_the_signature_and_a_redirect_leads_nowhere(
    workspace: Path, receiver: tuple[str, Sent]
) -> None:
    publish(workspace)
    address, taken = receiver
    live = release.open_current(workspace / "releases")
    source, clock = source_of(live, NOW, 30), lambda: datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert send(live, workspace, source, Webhook(f"{address}/hook", SIGNED_WITH, clock))["accounts"] == 120
    assert len(ids(taken)) == 120
    with pytest.raises(NotDelivered, match="status 307"):
        send(live, workspace, source, Webhook(f"{address}/moved", SIGNED_WITH, clock))
    with pytest.raises(NotDelivered, match="status 403"):
        send(live, workspace, source, Webhook(f"{address}/hook?again", "b" * 16, clock), whole=True)
    assert len(taken) == 1
