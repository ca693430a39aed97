"""Wherever a score is read, it says of which day and model it is, and whether it is stale."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import expansion
from serving import schemas
from serving.terminal import source_line
from tests.serving.published import AS_OF, NOW, Service, open_service, publish

SOURCE = ("release", "version", "as_of", "stale", "data_status")
MOVED = ["changed_on", "previous_band", "previous_tier", "previous_stage", "previous_rank"]


def rows(service: Service, **query: str) -> list[dict[str, str]]:
    text = service.get("/v1/leads", params={"format": "csv", **query}).text
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def verb(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a verb prints of the release, three days after its day."""
    publish(workspace)
    monkeypatch.setattr(expansion, "_now", lambda: NOW + timedelta(days=3))

    def call(run: Callable[..., None], *args: Any, **more: Any) -> str:
        run(*args, workspace=workspace, **more)
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("days_old", [0, 2])
def test_every_row_of_the_file_says_what_the_api_says_of_its_release(workspace: Path, days_old: int) -> None:
    publish(workspace, NOW.date() - timedelta(days=days_old))
    service = open_service(workspace)
    said = service.get("/v1/leads").json()
    assert said["stale"] is (days_old > 1)
    assert {tuple(row[name] for name in SOURCE) for row in rows(service)} == {tuple(str(said[name]) for name in SOURCE)}


def test_a_file_of_what_changed_says_since_when_and_from_what(workspace: Path) -> None:
    publish(workspace, AS_OF - timedelta(days=1), seed=2)
    publish(workspace)
    service = open_service(workspace)
    changed = service.get("/v1/leads", params={"changed_since": str(AS_OF), "limit": 200}).json()["items"]
    assert 0 < len(changed) < 120
    for row, item in zip(rows(service, changed_since=str(AS_OF)), changed, strict=True):
        assert [row[name] for name in MOVED] == ["" if item[name] is None else str(item[name]) for name in MOVED]
    assert not set(MOVED) & set(rows(service)[0]), "the plain file stays as it is"


def test_leads_and_explain_say_in_json_what_the_api_says(verb: Callable[..., str], workspace: Path) -> None:
    service = open_service(workspace, NOW + timedelta(days=3))
    api = service.get("/v1/leads?limit=2").json()
    leads = json.loads(verb(expansion.leads, limit=2, as_json=True))
    assert leads == [item | {name: api[name] for name in schemas.Source.model_fields} for item in api["items"]]
    told = json.loads(verb(expansion.explain, "acct-00007", as_json=True))
    assert told == service.get("/v1/accounts/acct-00007").json()
    assert told["stale"] is True


def test_leads_and_explain_open_with_day_bundle_and_age(verb: Callable[..., str]) -> None:
    line = f"as of {AS_OF}, bundle {'a' * 12}, STALE: knows nothing after {AS_OF}, 3 days ago"
    assert verb(expansion.leads, limit=1).splitlines()[0] == line
    assert verb(expansion.explain, "acct-00007").splitlines()[0] == line


def test_what_the_service_does_not_call_stale_the_terminal_does_not(
    verb: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPANSION_STALE_AFTER_HOURS", "100")
    assert verb(expansion.leads, limit=1).splitlines()[0] == f"as of {AS_OF}, bundle {'a' * 12}"


def test_a_feed_that_stopped_is_told_by_the_day_it_stopped() -> None:
    source = {"as_of": "2026-03-02", "version": "abc", "stale": True, "data_status": "ok"}
    said = source_line(source, date(2026, 3, 1), date(2026, 3, 2))
    assert said.endswith("STALE: knows nothing after 2026-03-01, 1 day ago")
    partial = source | {"stale": False, "data_status": "partial"}
    assert source_line(partial, date(2026, 3, 2), date(2026, 3, 2)).endswith("bundle abc, PARTIAL: events are missing")
