"""Who holds an answer already is told so in a line; whoever may not have it is told nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.serving.published import AS_OF, NOW, Service, open_service, publish

TOLD = [
    "/v1/leads?limit=3",
    "/v1/accounts/acct-00007",
    "/v1/accounts/acct-00007/history",
    "/v1/accounts/acct-00007/what-if",
    "/v1/plan?capacity=5",
    "/v1/model",
    "/v1/incentives",
]


@pytest.fixture(autouse=True)
def _no_warehouse_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.incentives.of_release", lambda *_: [])
    monkeypatch.setattr("serving.api.what_if", lambda *_: {"account_id": "acct-00007", "what_if_absent": "rule"})


def again(service: Service, path: str, known: str) -> Any:
    return service.get(path, headers={"if-none-match": known})


@pytest.mark.parametrize("path", TOLD)
def test_what_the_caller_holds_is_not_sent_again(service: Service, path: str) -> None:
    first = service.get(path)
    tag = first.headers["etag"]
    assert (first.status_code, tag[0], tag[-1], len(tag)) == (200, '"', '"', 34)
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        same = again(service, path, known)
        assert (same.status_code, same.content) == (304, b"")
        assert (same.headers["etag"], same.headers["cache-control"]) == (tag, "private, no-cache")
        assert "x-request-id" in same.headers
        assert not {"content-type", "content-length"} & set(same.headers)
    for other in ('"other"', tag.strip('"'), f'"{tag}"'):
        assert again(service, path, other).content == first.content
    template = "/v1/accounts/{account_id}" if "accounts" in path else path.split("?")[0]
    assert f'route="{template}' in service.get("/metrics").text
    assert 'status="304"' in service.get("/metrics").text


def test_another_release_and_scores_that_became_old_are_another_answer(workspace: Path) -> None:
    publish(workspace)
    morning = open_service(workspace)
    tag = morning.get("/v1/plan").headers["etag"]
    assert again(open_service(workspace), "/v1/plan", tag).status_code == 304
    assert again(open_service(workspace, NOW + timedelta(days=2)), "/v1/plan", tag).json()["stale"] is True
    publish(workspace, AS_OF, seed=5)
    morning.refresh()
    assert again(morning, "/v1/plan", tag).status_code == 200


@pytest.mark.parametrize("known", ["*", "the tag"])
def test_whoever_may_not_have_an_answer_is_not_told_that_it_is_the_same(service: Service, known: str) -> None:
    tag = service.get("/v1/model").headers["etag"]
    headers = {"if-none-match": tag if known == "the tag" else known}
    assert service.client.get("/v1/model", headers=headers).status_code == 401
    assert service.get("/v1/model", key="exp_wrong", headers=headers).status_code == 401
    assert service.get("/v1/model", key=service.scorer, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/leads?format=csv", 200),
        ("/v1/leads?limit=0", 422),
        ("/v1/accounts/none", 404),
        ("/", 200),
        ("/livez", 200),
        ("/metrics", 200),
    ],
)
def test_streams_errors_pages_and_probes_carry_no_tag(service: Service, path: str, status: int) -> None:
    answer = again(service, path, "*")
    assert (answer.status_code, "etag" in answer.headers) == (status, False)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content


def test_a_score_is_never_unchanged(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.api.score_accounts", lambda *_: [])
    body = {"as_of": "2026-03-02", "accounts": [{"account": {"account_id": "a", "created_at": "2026-01-01"}}]}
    headers = {"authorization": f"Bearer {service.scorer}", "if-none-match": "*"}
    answer = service.client.post("/v1/score", json=body, headers=headers)
    assert (answer.status_code, "etag" in answer.headers) == (200, False)
