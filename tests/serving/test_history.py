"""What earlier nights said of an account, told from the releases that are still there."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from serving import release, schemas
from serving.kept import MONTHS, NIGHTS
from serving.manifest import MANIFEST, write_manifest
from tests.serving.published import HOSTILE, Service, make_scores, open_service, publish, ranked

LAST = date(2026, 3, 2)
ACCOUNT = "acct-00007"


def asked(service: Service, account: str = ACCOUNT, **query: Any) -> dict[str, Any]:
    answer = service.get(f"/v1/accounts/{account}/history", params=query)
    assert answer.status_code == 200, answer.text
    schemas.HistoryAnswer.model_validate(answer.json())
    return dict(answer.json())


def nights(said: dict[str, Any]) -> list[str]:
    return [night["as_of"] for night in said["nights"]]


def test_each_night_says_what_its_release_said_and_the_live_one_comes_last(workspace: Path) -> None:
    days = [LAST - timedelta(days=n) for n in (2, 1, 0)]
    folders = [publish(workspace, day, seed=number) for number, day in enumerate(days)]
    said = asked(open_service(workspace), horizon=90)
    assert nights(said) == [day.isoformat() for day in days]
    for number, (night, folder) in enumerate(zip(said["nights"], folders, strict=True)):
        scores = ranked(make_scores(as_of=days[number], seed=number))
        row = next(row for row in scores.to_pylist() if row["account_id"] == ACCOUNT)
        assert night["release"] == folder.name
        assert night["probability"] == row["probability_90"]
        assert night["expected_increment"] == row["increment_90"]
        assert {name: night[name] for name in ("rank", "band", "tier", "stage", "score")} == {
            name: row[name] for name in ("rank", "band", "tier", "stage", "score")
        }


def test_recent_nights_are_told_one_by_one_and_older_ones_by_the_first_of_their_month(workspace: Path) -> None:
    live = publish(workspace, LAST)
    for day in [LAST - timedelta(days=n) for n in range(1, 70)]:
        publish_beside(live, day)
    said = nights(asked(open_service(workspace)))
    recent = [(LAST - timedelta(days=n)).isoformat() for n in reversed(range(NIGHTS))]
    assert said == ["2025-12-23", "2026-01-01", "2026-02-01", *recent]


def test_no_more_than_two_years_of_months_are_told(workspace: Path) -> None:
    live = publish(workspace, LAST)
    firsts = [date(2023 + month // 12, 1 + month % 12, 1) for month in range(38)]
    for day in firsts:
        publish_beside(live, day)
    said = nights(asked(open_service(workspace)))
    assert said == [day.isoformat() for day in firsts[-MONTHS:]] + [LAST.isoformat()]


def test_a_night_that_was_taken_back_is_not_told(workspace: Path) -> None:
    publish(workspace, LAST - timedelta(days=1), seed=1)
    publish(workspace, LAST, seed=2)
    release.rollback(workspace / "releases")
    assert nights(asked(open_service(workspace))) == [(LAST - timedelta(days=1)).isoformat()]


def test_of_two_releases_of_tonight_the_live_one_speaks(workspace: Path) -> None:
    publish(workspace, LAST, seed=1)
    again = publish(workspace, LAST, seed=2)
    release.rollback(workspace / "releases")
    [night] = asked(open_service(workspace))["nights"]
    assert night["release"] != again.name
    assert night["release"] == release.current(workspace / "releases").name  # type: ignore[union-attr]


def test_a_damaged_release_is_named_and_another_of_its_month_speaks(workspace: Path) -> None:
    live = publish(workspace, LAST)
    damaged, second = (publish_beside(live, date(2025, 6, day)) for day in (1, 2))
    for n in range(1, NIGHTS):
        publish_beside(live, LAST - timedelta(days=n))
    (damaged / "scores.sqlite").write_bytes(b"bent")
    service = open_service(workspace)
    for _ in range(2):  # also when it is asked again, from what the process remembers
        said = asked(service)
        assert said["nights"][0]["release"] == second.name
        assert [lost["release"] for lost in said["not_read"]] == [damaged.name]
        assert "scores.sqlite was changed" in said["not_read"][0]["reason"]


def test_damage_after_it_was_read_once_is_seen(workspace: Path) -> None:
    live = publish(workspace, LAST)
    before = publish_beside(live, LAST - timedelta(days=1))
    service = open_service(workspace)
    assert len(asked(service)["nights"]) == 2
    (before / "scores.sqlite").write_bytes(b"bent")
    assert [lost["release"] for lost in asked(service)["not_read"]] == [before.name]


@pytest.mark.parametrize(("account", "status"), [("acct-99999", 404), (HOSTILE, 200)])
def test_only_accounts_of_the_live_release_have_one(service: Service, account: str, status: int) -> None:
    assert service.get(f"/v1/accounts/{quote(account, safe='')}/history").status_code == status


def test_a_horizon_that_is_not_told_is_refused(service: Service) -> None:
    answer = service.get(f"/v1/accounts/{ACCOUNT}/history", params={"horizon": 100})
    assert (answer.status_code, answer.json()["field"]) == (422, "horizon")


def test_the_page_draws_it_when_asked(workspace: Path) -> None:
    for n in (1, 0):
        publish(workspace, LAST - timedelta(days=n), seed=n)
    service = open_service(workspace)
    plain = service.get(f"/accounts/{ACCOUNT}").text
    drawn = service.get(f"/accounts/{ACCOUNT}", params={"history": 1}).text
    assert "history=1#history" in plain
    assert "<polyline" not in plain
    assert "<polyline" in drawn
    assert '<th scope="row">2026-03-01' in drawn


def publish_beside(live: Path, day: date) -> Path:
    """A finished release of another day with the scores of `live`: what a night long ago left behind."""
    folder = live.with_name(f"{day}{live.name[10:]}")
    shutil.copytree(live, folder)
    (folder / MANIFEST).unlink()
    _redate(folder / "scores.sqlite", day)
    write_manifest(folder, {"name": folder.name, "as_of": day.isoformat(), "bundle_id": "a" * 64})
    return folder


def _redate(database: Path, day: date) -> None:
    con = sqlite3.connect(database)
    con.execute("UPDATE scores SET as_of = ?", (day.isoformat(),))
    con.commit()
    con.close()
