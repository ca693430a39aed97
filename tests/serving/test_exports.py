"""No file leaves the house without a line that says who took what, and the line names nobody in it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from serving.plan import plan_week
from tests.pipeline.terminal import Terminal
from tests.serving.asked import live, published
from tests.serving.published import NOW, Service


def lines(workspace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workspace / "exports.jsonl").read_text().splitlines()]


def test_a_download_of_leads_is_logged_with_key_filters_and_rows(service: Service) -> None:
    answer = service.get("/v1/leads?format=csv&owner=ana&q=acct-000&sort=probability")
    [line] = lines(service.workspace)
    assert line == {
        "at": NOW.isoformat(),
        "by": service.reader[4:16],
        "export": "leads",
        "release": service.get("/readyz").json()["release"],
        "filters": ["owner", "q"],
        "rows": answer.text.count("\r\n") - 1,
    }
    log = service.workspace / "exports.jsonl"
    assert log.stat().st_mode & 0o777 == 0o640
    assert "acct-000" not in log.read_text()


def test_what_is_read_page_by_page_or_refused_is_no_export(service: Service) -> None:
    assert service.get("/v1/leads").status_code == 200
    assert service.get("/v1/leads?format=csv&horizon=7").status_code == 422
    assert service.get("/v1/leads?format=csv&tier=nosuch").status_code == 422
    assert not (service.workspace / "exports.jsonl").exists()


def test_what_cannot_be_logged_is_not_given_out(service: Service) -> None:
    (service.workspace / "exports.jsonl").mkdir()
    answer = service.get("/v1/leads?format=csv")
    assert (answer.status_code, answer.json()["code"]) == (503, "export_not_logged")
    assert "acct-" not in answer.text


def test_the_file_of_a_weeks_slots_is_logged_once_and_not_written_unlogged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vendor = published(tmp_path / "workspace")
    terminal = Terminal(monkeypatch, capsys)
    (vendor.root / "exports.jsonl").mkdir()
    assert terminal("plan", "--workspace", vendor.root, "--capacity", 10, "--lots", 0.2)[0] == 5
    assert not list((vendor.root / "plans").iterdir())
    (vendor.root / "exports.jsonl").rmdir()
    for _ in range(2):
        assert terminal("plan", "--workspace", vendor.root, "--capacity", 10, "--lots", 0.2)[0] == 0
    [line] = lines(vendor.root)
    assert (line["by"], line["export"], line["rows"]) == ("command line", "touches", 4)
    assert plan_week(live(vendor), vendor.root, 10, 0.2)["slots_an_arm"] == 2
    assert date.fromisoformat(line["at"][:10])
