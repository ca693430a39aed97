"""What a webhook is sent: what moved, once it was taken; signed; nowhere else."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from serving import release
from serving.errors import NotDelivered
from serving.schemas import Lead
from serving.send import BATCH, SENT, SIGNATURE, Webhook, send
from serving.source import source_of
from tests.serving.published import AS_OF, NOW, publish
from tests.serving.test_exports import lines
from warehouse.errors import UsageError

SIGNED_WITH = "a secret of the vendor"
URL = "https://crm.example/hook?token=hidden"
Sent = list[tuple[dict[str, Any], Mapping[str, str]]]


class Crm:
    """Takes bodies, or answers as it was told to."""

    def __init__(self, *answers: int | OSError) -> None:
        self.answers = list(answers)
        self.sent: Sent = []
        self.waited: list[float] = []

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        assert url == URL
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, OSError):
            raise answer
        if answer < 300:
            self.sent.append((json.loads(body), headers))
        return answer

    def webhook(self) -> Webhook:
        return Webhook(URL, SIGNED_WITH, lambda: NOW, self, self.waited.append)

    def take(self, workspace: Path, **asked: Any) -> dict[str, Any]:
        live = release.open_current(workspace / "releases")
        return send(live, workspace, source_of(live, NOW, 30), self.webhook(), **asked)


def ids(sent: Sent) -> list[str]:
    return [item["account_id"] for document, _ in sent for item in document["items"]]


def test_the_first_time_every_account_is_sent_as_the_api_tells_it(workspace: Path) -> None:
    publish(workspace)
    crm = Crm()
    said = crm.take(workspace)
    assert (said["accounts"], said["since"], said["gone"]) == (120, None, 0)
    [(document, headers)] = crm.sent
    assert len(set(ids(crm.sent))) == 120
    assert {name: document[name] for name in ("as_of", "batch", "batches", "since")} == {
        "as_of": AS_OF.isoformat(), "batch": 1, "batches": 1, "since": None,
    }  # fmt: skip
    for item in document["items"]:
        Lead.model_validate({name: value for name, value in item.items() if name != "slot"})
    assert headers["Idempotency-Key"] == f"{said['release']}/1"
    [line] = lines(workspace)
    assert (line["export"], line["to"], line["rows"]) == ("send", "https://crm.example/hook", 120)
    assert "hidden" not in (workspace / "exports.jsonl").read_text() + (workspace / SENT).read_text()


def test_many_accounts_go_in_bodies_of_at_most_so_many(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(workspace)
    monkeypatch.setattr("serving.send.BATCH", 50)
    crm = Crm()
    crm.take(workspace)
    assert [(document["batch"], len(document["items"])) for document, _ in crm.sent] == [(1, 50), (2, 50), (3, 20)]
    assert len(set(ids(crm.sent))) == 120
    assert BATCH > 50


def test_later_nights_send_what_moved_and_who_is_gone_and_a_night_that_was_taken_is_not_sent_again(
    workspace: Path,
) -> None:
    publish(workspace)
    crm = Crm()
    crm.take(workspace)
    crm.sent.clear()
    assert crm.take(workspace)["sent"] is False
    folder = publish(workspace, AS_OF + timedelta(days=1), seed=2)
    said = crm.take(workspace)
    moved = {row["account_id"] for row in release.open_release(folder).database.execute(
        "SELECT account_id FROM scores WHERE changed_on > ?", (AS_OF.isoformat(),))}  # fmt: skip
    assert 0 < len(moved) < 120
    assert set(ids(crm.sent)) == moved
    assert said["since"] == (AS_OF + timedelta(days=1)).isoformat()
    assert crm.take(workspace, whole=True)["accounts"] == 120


def test_who_left_is_named_and_not_known_where_the_release_sent_last_is_gone(workspace: Path) -> None:
    first = publish(workspace)
    crm = Crm()
    crm.take(workspace)
    publish(workspace, AS_OF + timedelta(days=1), seed=2, n=119)
    before = (workspace / SENT).read_text()
    assert crm.take(workspace)["gone"] == 1
    assert crm.sent[-1][0]["gone"] == ["acct-00117"]
    (workspace / SENT).write_text(before)
    shutil.rmtree(first)
    assert crm.take(workspace)["gone"] is None
    assert crm.sent[-1][0]["gone"] is None


def test_a_night_that_was_published_anew_or_taken_back_is_made_good_by_sending_all(workspace: Path) -> None:
    first, crm = publish(workspace), Crm()
    publish(workspace, AS_OF + timedelta(days=1), seed=2)
    crm.take(workspace)
    publish(workspace, AS_OF + timedelta(days=1), seed=3)
    assert crm.take(workspace)["accounts"] == 120
    release.activate(workspace / "releases", first.name)
    assert (crm.take(workspace)["accounts"], crm.sent[-1][0]["release"]) == (120, first.name)


def test_what_was_not_taken_is_tried_again_then_refused_and_noted_nowhere(workspace: Path) -> None:
    publish(workspace)
    slow = Crm(503, ConnectionRefusedError("with the address"), 200)
    assert slow.take(workspace)["sent"]
    assert slow.waited == [0.0, 1.0, 5.0]
    (workspace / SENT).unlink()
    for answers, reason in (((400,), "status 400"), ((302,), "status 302"), ((500,) * 4, "status 500")):
        refusing = Crm(*answers)
        with pytest.raises(NotDelivered, match=reason) as refused:
            refusing.take(workspace)
        assert (refusing.answers, refused.value.exit_code) == ([], 5)
        assert "hidden" not in str(refused.value)
        assert not (workspace / SENT).exists()


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
    ["http://crm.example/hook", "https://user:word@crm.example/", "crm.example", "ftp://crm.example", "https://[x"],
)
def test_leads_leave_this_machine_by_tls_alone(url: str) -> None:
    with pytest.raises(UsageError, match="--to") as refused:
        Webhook(url, SIGNED_WITH, lambda: NOW)
    assert "word" not in str(refused.value)


def test_nothing_is_sent_unsigned() -> None:
    with pytest.raises(UsageError, match="at least 16 characters"):
        Webhook(URL, "short", lambda: NOW)


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
