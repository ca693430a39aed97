"""What the routes say about a release, and how they say no."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from serving import release, schemas
from serving.errors import ReleaseRefused
from tests.serving.published import FORMULA, HOSTILE, NOW, Service, make_scores, open_service, publish, ranked


def test_one_account_says_everything_about_itself(service: Service) -> None:
    answer = service.get("/v1/accounts/acct-00007").json()
    found = schemas.AccountAnswer.model_validate(answer)
    row = next(r for r in ranked(make_scores()).to_pylist() if r["account_id"] == "acct-00007")
    assert [h.days for h in found.horizons] == [90, 180, 270, 360]
    assert [h.probability for h in found.horizons] == [row[f"probability_{h}"] for h in (90, 180, 270, 360)]
    assert (found.rank, found.band, found.percentile) == (row["rank"], row["band"], row["percentile"])
    assert (found.amount_low, found.amount_high) == (row["amount_low"], row["amount_high"])
    assert found.release == release.current(service.workspace / "releases").name  # type: ignore[union-attr]
    assert not found.stale
    assert [reason.direction for reason in found.reasons] == ["up", "up", "down"]


@pytest.mark.parametrize("name", ["no-such", "%00", "..%2f..%2fetc", "a" * 8000])
def test_an_unknown_account_is_a_plain_404(service: Service, name: str) -> None:
    answer = service.get(f"/v1/accounts/{name}")
    assert answer.status_code in (400, 404)
    schemas.Problem.model_validate(answer.json())


def test_an_account_is_found_by_whatever_it_is_called(service: Service) -> None:
    for name in (HOSTILE, FORMULA):
        assert service.get(f"/v1/accounts/{quote(name, safe='')}").json()["account_id"] == name


def test_old_scores_say_so(workspace: Path) -> None:
    publish(workspace, NOW.date() - timedelta(days=2))
    service = open_service(workspace)
    assert service.get("/v1/leads").json()["stale"] is True
    assert "These scores are old" in service.get("/").text


@pytest.mark.parametrize(
    ("as_of", "data_end", "says"),
    [
        (0, 0, None),
        (0, 1, None),  # within the hours that a night may be late
        (0, 2, "but the facts end 2026-02-28"),
        (2, 3, "but the facts end 2026-02-27"),
        (2, 2, "the nightly run has not published a newer list"),
        (2, -1, "the nightly run has not published a newer list"),
        (2, None, "the nightly run has not published a newer list"),  # as earlier versions wrote it
        (0, None, None),
    ],
)
def test_scores_are_as_old_as_the_older_of_their_day_and_their_facts_and_the_page_says_which(
    workspace: Path, as_of: int, data_end: int | None, says: str | None
) -> None:
    """`as_of` and `data_end`: so many days before today."""
    today = NOW.date()
    end = None if data_end is None else (today - timedelta(days=data_end)).isoformat()
    publish(workspace, today - timedelta(days=as_of), **({} if end is None else {"data_end": end}))
    service, stale = open_service(workspace), says is not None
    assert service.get("/v1/leads").json()["stale"] is stale
    ready = service.get("/readyz").json()
    schemas.Readiness.model_validate(ready)
    assert (ready["stale"], ready["data_end"]) == (stale, end)
    page = service.get("/").text
    assert ("These scores are old" in page) is stale
    assert says is None or says in page
    midnight = NOW.replace(hour=0) - timedelta(days=max(as_of, data_end or 0))
    told = [line.split() for line in service.get("/metrics").text.splitlines()]
    assert [float(v) for name, *_, v in told if name == "expansion_release_known_until_seconds"] == [
        midnight.timestamp()
    ]


def test_the_model_route_carries_the_card(service: Service) -> None:
    found = schemas.ModelAnswer.model_validate(service.get("/v1/model").json())
    assert (found.card["grade"], found.accounts, sum(found.bands.values())) == ("good", 120, 120)


@pytest.mark.parametrize(
    "path",
    ["/v1/leads", "/v1/accounts/acct-00007", "/v1/accounts/acct-00007/history", "/v1/plan", "/v1/model", "/readyz"],
)
def test_every_answer_names_the_version_that_the_page_and_the_release_show(service: Service, path: str) -> None:
    said = service.get(path).json()
    assert said["version"] == "a" * 12 == said["bundle_id"][:12]
    assert f"-{said['version']}-" in said["release"]
    assert f"<code>{said['version']}</code>" in service.get("/").text


@pytest.mark.parametrize("route", ["", "/history", "/what-if"])
def test_a_parameter_that_nobody_reads_is_refused_for_one_account_too(service: Service, route: str) -> None:
    answer = service.get(f"/v1/accounts/acct-00007{route}", params={"horizn": 90})
    assert (answer.status_code, answer.json()["field"]) == (422, "horizn")


def test_every_error_has_one_shape(service: Service) -> None:
    bearer = {"authorization": f"Bearer {service.scorer}"}
    answers = [
        service.get("/nothing"),
        service.client.get("/v1/leads"),
        service.client.post("/livez", json={}),
        service.get("/v1/leads", params={"limit": 0}),
        service.client.post("/v1/score", json={}, headers=bearer),
        service.client.post("/v1/score", content=b"{", headers={**bearer, "content-type": "application/json"}),
        service.client.post(
            "/v1/score", content=b"[" * 200_000, headers={**bearer, "content-type": "application/json"}
        ),
    ]
    assert [a.status_code for a in answers] == [404, 401, 405, 422, 422, 400, 400]
    for answer in answers:
        problem = schemas.Problem.model_validate(answer.json())
        assert problem.request_id == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "path", ["/v1/leads/", "/v1/model/", "/v1/plan/", "/plan/", "/measures/", "/docs/", "/livez/", "/static"]
)
def test_a_slash_too_many_is_no_path(service: Service, path: str) -> None:
    answer = service.get(path)
    assert (answer.status_code, schemas.Problem.model_validate(answer.json()).code) == (404, "not_found")


@pytest.mark.parametrize(
    ("literal", "told"),
    [
        ("NaN", (400, "bad_json", None)),
        ("Infinity", (400, "bad_json", None)),
        ("-Infinity", (400, "bad_json", None)),
        ("1e400", (422, "invalid_request", "accounts.0.events.0.quantity")),
    ],
)
def test_numbers_that_are_none_are_refused(service: Service, literal: str, told: tuple[int, str, str | None]) -> None:
    account = '{"account_id": "a", "created_at": "2026-01-01"}'
    event = f'{{"event_name": "e", "occurred_at": "2026-01-02", "quantity": {literal}}}'
    body = f'{{"as_of": "2026-03-02", "accounts": [{{"account": {account}, "events": [{event}]}}]}}'
    headers = {"authorization": f"Bearer {service.scorer}", "content-type": "application/json"}
    answer = service.client.post("/v1/score", content=body.encode(), headers=headers)
    problem = schemas.Problem.model_validate(answer.json())
    assert (answer.status_code, problem.code, problem.field) == told
    assert literal not in answer.text.replace("Input", "")


def test_a_number_that_is_none_never_leaves(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.leads.account", lambda *_: {"score": float("nan")})
    answer = service.get("/v1/accounts/a")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


def test_a_request_may_hold_a_hundred_accounts_once_each(service: Service) -> None:
    def body(ids: list[str]) -> dict[str, Any]:
        return {
            "as_of": "2026-03-02",
            "accounts": [{"account": {"account_id": i, "created_at": "2026-01-01"}} for i in ids],
        }

    bearer = {"authorization": f"Bearer {service.scorer}"}
    for ids in ([], [f"a{i}" for i in range(101)], ["a", "a"]):
        assert service.client.post("/v1/score", json=body(ids), headers=bearer).status_code == 422
    mixed = body(["a"])
    mixed["accounts"][0]["events"] = [{"account_id": "b", "event_name": "e", "occurred_at": "2026-01-01"}]
    answer = service.client.post("/v1/score", json=mixed, headers=bearer)
    assert answer.json()["field"] == "accounts.0.events.0.account_id"
    mixed["accounts"][0]["events"] = [{"event_name": "e", "occurred_at": "2026-01-01", "colour": "red"}]
    assert service.client.post("/v1/score", json=mixed, headers=bearer).json()["field"].endswith("colour")


def test_a_new_release_is_picked_up_without_a_restart(service: Service) -> None:
    before = service.get("/v1/leads").json()
    folder = publish(service.workspace, seed=9)
    deadline = time.monotonic() + 10
    while (after := service.get("/v1/leads").json())["release"] == before["release"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert after["release"] == folder.name
    assert after["items"] != before["items"]


def test_a_damaged_new_release_leaves_the_old_one_answering_and_says_why(service: Service) -> None:
    before = service.get("/v1/leads").json()
    folder = publish(service.workspace, seed=9)
    (folder / "scores.sqlite").write_bytes(b"damaged")
    service.refresh()
    assert service.get("/v1/leads").json() == before
    said = service.get("/readyz")
    assert said.status_code == 200
    assert "scores.sqlite was changed" in said.json()["last_reload_error"]
    release.rollback(service.workspace / "releases")
    service.refresh()
    assert service.get("/readyz").json()["last_reload_error"] is None


def test_a_start_on_a_damaged_release_falls_back_to_the_previous_one(workspace: Path) -> None:
    old = publish(workspace, date(2026, 3, 1))
    new = publish(workspace)
    (new / "run.json").write_text("{}")
    service = open_service(workspace)
    said = service.get("/readyz").json()
    assert said["release"] == old.name
    assert new.name in said["last_reload_error"]


def test_before_the_first_release_the_service_lives_but_is_not_ready(workspace: Path) -> None:
    service = open_service(workspace)
    assert service.client.get("/livez").status_code == 200
    assert service.client.get("/readyz").status_code == 503
    answer = service.get("/v1/leads")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_release")
    assert "Nothing has been published yet" in service.get("/").text
    publish(workspace)
    service.refresh()
    assert service.get("/v1/leads").status_code == 200


def test_an_answer_never_mixes_two_releases(service: Service) -> None:
    held = service.surface.desk.watcher.get()
    assert held is not None
    first = held.database.execute("SELECT account_id FROM scores WHERE rank = 1").fetchone()[0]
    publish(service.workspace, seed=9)
    service.refresh()
    assert held.database.execute("SELECT account_id FROM scores WHERE rank = 1").fetchone()[0] == first


def test_ids_never_become_metric_series(service: Service) -> None:
    for number in range(20):
        service.get(f"/v1/accounts/acct-{number:05d}")
        service.get(f"/probe-{number}")
    text = service.get("/metrics").text
    assert 'route="/v1/accounts/{account_id}"' in text
    assert "acct-0" not in text
    assert "probe" not in text
    assert "expansion_release_accounts 120.0" in text


def test_a_score_that_is_no_number_is_refused_before_it_is_published() -> None:
    from serving.batch import refuse_non_finite

    table = make_scores()
    broken = table.set_column(
        table.column_names.index("score"), "score", [[*table["score"].to_pylist()[:-1], float("nan")]]
    )
    with pytest.raises(ReleaseRefused, match=r'"score": 1 of 120 rows are not a finite number'):
        refuse_non_finite(broken)


def test_a_list_that_changed_more_than_a_week_explains_says_so_on_every_page(service: Service) -> None:
    live = service.surface.desk.watcher.get()
    assert live is not None
    told = {"compared_with": "2026-02-23-aaaaaaaaaaaa-bbbbbbbbbbbb", "why": "only 23 of the top 60 were kept"}
    for verdict, shown in (("moved", False), ("alarm", True)):
        live.run["drift"] = told | {"verdict": verdict}
        for path in ("/", "/accounts/acct-00003"):
            assert ("Since 2026-02-23: only 23 of the top 60 were kept." in service.get(path).text) == shown


def test_hostile_names_are_text_on_every_page(service: Service) -> None:
    for path in ("/?q=script", "/?limit=200", "/accounts/none%3Cscript%3E"):
        text = service.get(path).text
        assert "<script>alert" not in text
        assert "<script>" not in text.replace('<script type="module" src="/static/page.js"></script>', "")


def test_the_api_page_lists_every_route_of_the_contract(service: Service) -> None:
    page = service.get("/docs").text
    for path in service.get("/openapi.json").json()["paths"]:
        assert f"{path}</code>" in page
