"""Too many wrong keys from one address, too many requests of one key: refused for a while, and nobody else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serving import limits
from serving.errors import ApiError
from serving.limits import Limits
from serving.schemas import Problem
from tests.serving.published import Client, Service, open_service, publish


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limited(workspace: Path, clock: Clock) -> Service:
    publish(workspace)
    return open_service(workspace, monotonic=clock)


def wrong(service: Service, path: str = "/v1/model") -> Any:
    return service.get(path, key="exp_wrong")


def told(answer: Any) -> tuple[int, str, str | None]:
    return answer.status_code, Problem.model_validate(answer.json()).code, answer.headers.get("retry-after")


def test_the_eleventh_wrong_key_within_a_minute_is_told_to_wait(limited: Service, clock: Clock) -> None:
    for _ in range(10):
        assert told(wrong(limited)) == (401, "unauthorized", None)
        clock.seconds += 2
    assert told(wrong(limited)) == (429, "too_many_failures", "40")
    clock.seconds += 39.5
    assert told(wrong(limited)) == (429, "too_many_failures", "1")
    clock.seconds += 0.5
    assert told(wrong(limited)) == (401, "unauthorized", None)  # the first is a minute old, the others are not
    assert told(wrong(limited)) == (429, "too_many_failures", "2")


def test_a_valid_key_works_beside_wrong_ones_and_other_addresses_are_not_blamed(limited: Service) -> None:
    while wrong(limited).status_code == 401:
        pass
    assert limited.get("/v1/model").status_code == 200
    assert limited.client.post("/session", json={"key": limited.reader}).status_code == 200
    assert limited.client.get("/v1/model").status_code == 200  # by its session
    assert wrong(limited).status_code == 429
    elsewhere = Client(limited.surface.guarded, address="192.0.2.7")
    assert elsewhere.get("/v1/model", headers={"x-api-key": "exp_wrong"}).status_code == 401
    assert Client(limited.surface.guarded).get("/v1/model").status_code == 401  # no key at all is no wrong one


def test_sign_ins_and_every_page_count_as_tries(limited: Service) -> None:
    for _ in range(5):
        assert limited.client.post("/session", json={"key": "exp_wrong"}).status_code == 401
        assert "Sign in" in wrong(limited, "/").text
    assert told(limited.client.post("/session", json={"key": "exp_wrong"})) == (429, "too_many_failures", "60")
    for path in ("/", "/static/page.css", "/nothing", "/session"):
        assert told(wrong(limited, path))[0] == 429


def test_a_probe_with_a_wrong_key_is_answered_as_without_one(limited: Service) -> None:
    for _ in range(20):
        assert wrong(limited, "/readyz").json() == {"ready": True}
    assert wrong(limited).status_code == 401


def test_an_old_session_is_no_wrong_key(limited: Service) -> None:
    for _ in range(20):
        cookie = {"cookie": "expansion_session=forged"}
        assert limited.client.get("/v1/model", headers=cookie).status_code == 401


def test_no_more_addresses_are_remembered_than_fit(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADDRESSES", 3)
    kept = Limits(0, clock)
    for _ in range(10):
        kept.wrong_key("first")
    for address in ("second", "third"):
        kept.wrong_key(address)
    with pytest.raises(ApiError, match="wrong keys"):
        kept.wrong_key("first")  # and so it is the latest again
    kept.wrong_key("fourth")
    with pytest.raises(ApiError, match="wrong keys"):
        kept.wrong_key("first")
    for address in ("fifth", "sixth", "seventh"):
        kept.wrong_key(address)
    kept.wrong_key("first")
    assert len(kept._wrong) == 3


def test_a_key_that_asks_too_often_waits_and_the_others_do_not(workspace: Path, clock: Clock) -> None:
    publish(workspace)
    service = open_service(workspace, monotonic=clock, requests_per_minute=3)
    service.client.post("/session", json={"key": service.reader})
    for path in ("/v1/model", "/", "/nothing"):
        assert service.get(path).status_code in (200, 404)
    assert told(service.get("/v1/model")) == (429, "too_many_requests", "20")
    assert service.client.get("/v1/model").status_code == 429  # a session of the same key
    for path in ("/livez", "/readyz", "/healthz", "/static/page.css"):
        assert service.get(path).status_code == 200
    assert service.get("/v1/model", key=service.scorer).status_code == 403
    clock.seconds += 20
    assert service.get("/v1/model").status_code == 200
    assert service.get("/v1/model").status_code == 429
    clock.seconds += 3_600  # a night's rest saves no more than a minute's worth
    assert [service.get("/v1/model").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_without_a_limit_a_key_asks_as_often_as_it_likes(workspace: Path, clock: Clock) -> None:
    publish(workspace)
    service = open_service(workspace, monotonic=clock, requests_per_minute=0)
    assert {service.get("/v1/model").status_code for _ in range(20)} == {200}


def test_refusals_are_counted_by_route_template_alone(workspace: Path, clock: Clock) -> None:
    publish(workspace)
    service = open_service(workspace, monotonic=clock, requests_per_minute=1)
    asked = [service.get(f"/v1/accounts/acct-0000{number}").status_code for number in range(5)]
    assert asked == [200, 429, 429, 429, 429]
    clock.seconds += 60
    text = service.get("/metrics").text
    assert 'expansion_http_requests_total{method="GET",route="unmatched",status="429"} 4.0' in text
    assert "acct-0" not in text
