"""Who gets in: host, method, key, scope and body, decided before any route."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest

from serving.api import create_app
from serving.errors import KeysRefused
from serving.guard import DISCARDED
from serving.keys import create_key
from serving.schemas import Problem
from serving.settings import Settings
from tests.serving.published import NOW, Client, Service, open_service, publish

HIDDEN = [
    "/v1/leads",
    "/v1/accounts/acct-00001",
    "/v1/model",
    "/metrics",
    "/openapi.json",
    "/docs.json",
    "/schema.json",
]
NO_JSON = [b"", b" ", b"{", b"[" * 200_000, b'{"a":' * 50_000, b"NaN", b'{"as_of": -Infinity}', b"1" * 5_000]
NO_JSON += [b"\xef\xbb\xbf{}", b"\xff", '{"a": 1}'.encode("utf-16"), b'{"a": 1} {"a": 1}']
BODY = {"as_of": "2026-03-02", "accounts": [{"account": {"account_id": "a", "created_at": "2026-01-01"}}]}


@pytest.mark.parametrize("path", [*HIDDEN, "/nothing", "/v1/accounts/none"])
def test_without_a_key_every_path_says_the_same(service: Service, path: str) -> None:
    answer = service.client.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    said = answer.json()
    assert (said["code"], said["message"]) == ("unauthorized", "A valid API key is required.")
    assert "2026" not in answer.text


def test_whoever_follows_a_link_of_the_pages_without_a_session_is_asked_to_sign_in(service: Service) -> None:
    links = re.findall(r'<a href="(/[a-z]*)">', service.get("/").text.split("</nav>")[0])
    assert {"/", "/plan", "/journey", "/measures", "/docs"} <= set(links)
    for link in links:
        answer = service.client.get(link)
        assert (answer.status_code, "sign-in" in answer.text) == (200, True), link


def test_the_probes_say_no_more_than_alive_and_ready(service: Service) -> None:
    assert service.client.get("/livez").json() == {"alive": True}
    assert service.client.get("/readyz").json() == {"ready": True}
    assert service.get("/readyz").json()["release"].startswith("2026-03-02")


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer exp_wrong")],
        [("authorization", "Basic abc")],
        [("x-api-key", "")],
        [("cookie", "expansion_session=forged")],
        [("cookie", "%%%;;=;")],
    ],
)
def test_wrong_credentials_are_refused_like_none(service: Service, headers: list[tuple[str, str]]) -> None:
    assert service.client.get("/v1/model", headers=headers).status_code == 401


def test_two_keys_at_once_are_refused(service: Service) -> None:
    headers = {"authorization": f"Bearer {service.reader}", "x-api-key": service.reader}
    assert service.client.get("/v1/model", headers=headers).status_code == 401


def test_either_header_carries_the_key(service: Service) -> None:
    assert service.client.get("/v1/model", headers={"x-api-key": service.reader}).status_code == 200
    assert service.client.get("/v1/model", headers={"authorization": f"bearer {service.reader}"}).status_code == 200
    assert service.client.get(f"/v1/model?key={service.reader}").status_code == 401


def test_a_key_does_only_what_its_scopes_say(service: Service) -> None:
    bearer = {"authorization": f"Bearer {service.reader}"}
    refused = service.client.post("/v1/score", json=BODY, headers=bearer)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert service.get("/v1/leads", key=service.scorer).status_code == 403


def test_a_session_reads_and_does_nothing_else(service: Service) -> None:
    assert service.client.post("/session", json={"key": service.reader}).json() == {"signed_in": True}
    assert service.client.get("/v1/leads").status_code == 200
    assert service.client.post("/v1/score", json=BODY).status_code == 403
    service.client.post("/session/end", json={})
    assert service.client.get("/v1/leads").status_code == 401


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(service: Service) -> None:
    cookie = service.client.post("/session", json={"key": service.reader}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert service.reader not in cookie
    assert service.client.post("/session", json={"key": "exp_wrong"}).status_code == 401


def test_a_key_that_cannot_read_opens_no_session(service: Service) -> None:
    assert service.client.post("/session", json={"key": service.scorer}).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "127.0.0.1@evil.example"])
def test_a_foreign_host_name_is_refused_on_loopback(service: Service, host: str) -> None:
    answer = service.get("/v1/model", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_host")


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1", "[::1]:3000", "LOCALHOST"])
def test_loopback_names_are_served(service: Service, host: str) -> None:
    assert service.get("/v1/model", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "BREW"])
def test_other_methods_are_refused(service: Service, method: str) -> None:
    answer = service.client.request(method, "/v1/leads")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_a_probe_answers_head_as_get_without_the_body(service: Service, path: str) -> None:
    for headers in ({}, {"authorization": f"Bearer {service.reader}"}):
        got, head = (service.client.request(method, path, headers=headers) for method in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize("path", ["/", "/v1/leads", "/metrics", "/static/page.css", "/nothing"])
def test_elsewhere_head_is_refused(service: Service, path: str) -> None:
    answer = service.client.request("HEAD", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/vnd.bentoml+pickle", ""]
)
def test_only_json_bodies_are_read(service: Service, kind: str) -> None:
    headers = {"authorization": f"Bearer {service.scorer}", "content-type": kind}
    answer = service.client.post("/v1/score", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/v1/score", "/session", "/session/end", "/nothing"])
@pytest.mark.parametrize("body", NO_JSON)
def test_a_body_that_is_no_json_is_told_so_wherever_it_is_sent(service: Service, path: str, body: bytes) -> None:
    headers = {"authorization": f"Bearer {service.scorer}", "content-type": "application/json"}
    answer = service.client.post(path, content=body, headers=headers)
    problem = Problem.model_validate(answer.json())
    assert (answer.status_code, problem.code, problem.field) == (400, "bad_json", None)


@pytest.mark.parametrize("nested", [300, 600, 900, 950, 1000, 3000])
def test_however_deep_a_body_is_its_refusal_is_one_of_ours(service: Service, nested: int) -> None:
    headers = {"authorization": f"Bearer {service.scorer}", "content-type": "application/json"}
    answer = service.client.post("/v1/score", content=b"[" * nested + b"]" * nested, headers=headers)
    assert (answer.status_code, answer.json()["code"]) in ((400, "bad_json"), (422, "invalid_request"))


def test_a_key_twice_in_one_object_is_refused_by_name_at_any_depth(service: Service) -> None:
    account = '{"account_id": "a", "created_at": "2026-01-01"}'
    headers = {"authorization": f"Bearer {service.scorer}", "content-type": "application/json"}
    for body, field in (
        ('{"as_of": "2026-03-02", "as_of": "2026-03-01", "accounts": []}', "as_of"),
        (f'{{"accounts": [{{"account": {account}, "events": [{{"user_id": "u", "user_id": "u"}}]}}]}}', "user_id"),
    ):
        answer = service.client.post("/v1/score", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "bad_json", field)
    many = [f'"{number:x}": 1' for number in range(90_000)]
    started = time.monotonic()
    answer = service.client.post("/v1/score", content=f"{{{', '.join([*many, many[-1]])}}}", headers=headers)
    assert (answer.json()["field"], time.monotonic() - started < 5) == (f"{89_999:x}", True)
    open_twice = f'{{"key": "exp_wrong", "key": "{service.reader}"}}'
    assert service.client.post("/session", content=open_twice, headers=headers).status_code == 400


def test_a_compressed_body_is_refused(service: Service) -> None:
    headers = {"authorization": f"Bearer {service.scorer}", "content-encoding": "gzip"}
    assert service.client.post("/v1/score", json={}, headers=headers).status_code == 415


def test_a_body_over_the_cap_is_refused_with_and_without_its_length(service: Service) -> None:
    headers = {"authorization": f"Bearer {service.scorer}", "content-type": "application/json"}
    limit = service.surface.desk.settings.body_limit_bytes
    large = service.client.post("/v1/score", content=b" " * (limit + 1), headers=headers)
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    read = 0

    async def chunks() -> Any:
        nonlocal read
        for _ in range(400):
            read += 65536
            yield b" " * 65536

    chunked = service.client.post("/v1/score", content=chunks(), headers=headers)
    assert chunked.status_code == 413
    assert read <= limit + DISCARDED + 2 * 65536  # cut off in the end


def test_a_slow_body_is_cut(workspace: Path) -> None:
    publish(workspace)
    service = open_service(workspace, body_seconds=0.05)

    async def drip() -> Any:
        yield b"{"
        await asyncio.sleep(1)
        yield b"}"

    headers = {"authorization": f"Bearer {service.scorer}", "content-type": "application/json"}
    assert service.client.post("/v1/score", content=drip(), headers=headers).status_code == 408


@pytest.mark.parametrize("path", ["/", "/v1/model", "/livez", "/static/page.css", "/nothing"])
def test_every_answer_carries_the_security_headers(service: Service, path: str) -> None:
    headers = service.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self'; frame-ancestors 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert len(headers["x-request-id"]) >= 8


def test_a_callers_request_id_is_kept_if_it_is_harmless(service: Service) -> None:
    assert service.get("/livez", headers={"x-request-id": "job-2026.1"}).headers["x-request-id"] == "job-2026.1"
    assert service.get("/livez", headers={"x-request-id": "<b>" * 9}).headers["x-request-id"] != "<b>" * 9


def test_beyond_loopback_keys_come_first(workspace: Path) -> None:
    def start(**settings: Any) -> None:
        create_app(Settings(workspace=workspace, **settings), now=lambda: NOW)

    with pytest.raises(KeysRefused, match="needs a key first"):
        start(host="0.0.0.0")
    with pytest.raises(KeysRefused, match="loopback only"):
        start(host="0.0.0.0", auth=False)
    create_key(workspace / "keys.json", "crm", ("read",), NOW)
    start(host="0.0.0.0")
    start(host="0.0.0.0", auth=False, insecure=True)


def test_auth_switched_off_serves_loopback_and_nobody_else(workspace: Path) -> None:
    publish(workspace)
    service = open_service(workspace, auth=False, allowed_hosts="box.example")
    assert service.client.get("/v1/model").status_code == 200
    outside = Client(service.surface.guarded, base_url="http://box.example")
    assert outside.get("/v1/model").status_code == 401


def test_what_fails_inside_is_not_told(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("zz-PII-7f3a")

    service.surface.app.get("/broken")(broken)
    answer = service.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "zz-PII-7f3a" not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text
