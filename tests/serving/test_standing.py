"""Where an account stands on the journey: since when, by what, and whether it has stalled."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from features import stage_since as looking_back
from features.build import features_at, open_vendor
from features.catalogue import Definitions
from features.rollup_stage import update
from features.snapshots import everyone
from features.stage_since import looked_at, stage_since
from serving import release, schemas, standing
from serving.batch import ScoreParams, score
from serving.manifest import MANIFEST, write_manifest
from serving.terminal import stage_lines
from tests.serving.nightly import AS_OF as NIGHT
from tests.serving.nightly import NOW, histories, rule_bundle, warehouse_of
from tests.serving.published import Service, make_bundle, make_scores, open_service, ranked
from warehouse.store import Workspace

TODAY = date(2026, 3, 2)
YESTERDAY = TODAY - timedelta(days=1)
ACCOUNT, OTHER = "acct-00000", "acct-00001"  # in uptake and in trial, by the values made up for them
RULE_LOOKS_AT = ("users_28d", "specialist_life", "configuration_life")
DEFINITIONS = Definitions.from_params({})


def published(
    workspace: Path, day: date = TODAY, since: dict[str, date] | None = None, stages: dict[str, str] | None = None
) -> Path:
    """A release of made-up scores. since: what looking back would say; null: nobody can. stages: other than made up."""
    table = make_scores(as_of=day)
    told = stages or {}
    stage = [told.get(*pair) for pair in zip(table["account_id"].to_pylist(), table["stage"].to_pylist(), strict=True)]
    table = ranked(table.set_column(table.column_names.index("stage"), "stage", pa.array(stage)))
    run = {
        "as_of": day.isoformat(), "bundle_id": "a" * 64, "method": "model", "accounts": table.num_rows,
        "band_floors": ScoreParams().bands, "bands": {}, "capacity": 60, "stalled_days": 120,
    }  # fmt: skip

    def replay(asked: pa.Table) -> dict[str, date]:
        assert since is not None
        return {account: since.get(account, day) for account in asked["account_id"].to_pylist()}

    bundle = make_bundle(workspace / "artifacts" / "candidate")
    return release.write(workspace / "releases", table, bundle, run, replay=None if since is None else replay)


def asked(service: Service, account: str = ACCOUNT) -> dict[str, Any]:
    answer = service.get(f"/v1/accounts/{account}")
    assert answer.status_code == 200, answer.text
    schemas.AccountAnswer.model_validate(answer.json())
    return dict(answer.json())


def since_of(workspace: Path, account: str = ACCOUNT) -> Any:
    return asked(open_service(workspace), account)["stage_since"]


def as_before(folder: Path) -> None:
    """The release as a version wrote it that told neither since when nor by what."""
    con = sqlite3.connect(folder / "scores.sqlite", isolation_level=None)
    for name in ("stage_since", *RULE_LOOKS_AT, "days_since_last_event", "days_since_last_invoice"):
        con.execute(f"ALTER TABLE scores DROP COLUMN {name}")
    con.close()
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({name: run[name] for name in run if name != "stalled_days"}))
    (folder / MANIFEST).unlink()
    write_manifest(folder, {"name": folder.name, "as_of": run["as_of"], "bundle_id": run["bundle_id"]})


def test_the_same_stage_the_next_night_carries_its_day_of_entry(workspace: Path) -> None:
    published(workspace, YESTERDAY, {ACCOUNT: date(2025, 8, 1)})
    published(workspace, TODAY, {ACCOUNT: date(2020, 1, 1)})  # nobody looks back at what a release knows
    assert since_of(workspace) == "2025-08-01"


def test_another_stage_begins_on_the_night_that_shows_it_and_so_does_the_way_back(workspace: Path) -> None:
    long_ago = {ACCOUNT: date(2025, 8, 1)}
    published(workspace, YESTERDAY - timedelta(days=1), long_ago)
    published(workspace, YESTERDAY, long_ago, {ACCOUNT: "commitment"})
    assert since_of(workspace) == YESTERDAY.isoformat()
    published(workspace, TODAY, long_ago)
    assert since_of(workspace) == TODAY.isoformat()


def test_an_account_that_no_release_knows_is_looked_back_at_alone() -> None:
    before = {
        "known": {"stage": "trial", "stage_since": "2025-01-01"},
        "undated": {"stage": "trial", "stage_since": None},
    }
    scores = pa.table({"account_id": ["known", "undated", "new"], "stage": ["trial"] * 3})
    seen = []

    def replay(rows: pa.Table) -> dict[str, date]:
        seen.extend(rows.to_pylist())
        return {row["account_id"]: date(2025, 6, 1) for row in rows.to_pylist()}

    told = standing.stage_since(scores, before, TODAY, replay)
    assert told == {"known": "2025-01-01", "undated": "2025-06-01", "new": "2025-06-01"}
    assert seen == [{"account_id": name, "stage": "trial"} for name in ("undated", "new")]
    assert standing.stage_since(scores, before, TODAY, None) == told | {"undated": None, "new": None}


def test_a_release_of_an_older_version_is_served_and_the_next_night_dates_its_accounts(workspace: Path) -> None:
    as_before(published(workspace, YESTERDAY, {}))
    service = open_service(workspace)
    found = asked(service)
    assert [found[name] for name in ("stage_since", "stalled", "stage_evidence")] == [None] * 3
    leads = service.get("/v1/leads").json()
    schemas.LeadsAnswer.model_validate(leads)
    assert {lead["stage_since"] for lead in leads["items"]} == {None}
    [row] = [row for row in rows_of_csv(service) if row["account_id"] == ACCOUNT]
    assert (row["stage_since"], row["stalled"]) == ("", "")
    page = service.get(f"/accounts/{ACCOUNT}")
    assert (page.status_code, "<dd>uptake</dd>" in page.text) == (200, True)
    assert stage_lines(found) == []
    published(workspace, TODAY, {ACCOUNT: date(2025, 8, 1)}, {OTHER: "dormant"})
    assert (since_of(workspace), since_of(workspace, OTHER)) == ("2025-08-01", TODAY.isoformat())


@pytest.mark.parametrize(
    ("stage", "since", "days", "expected"),
    [
        ("trial", "2025-11-02", 120, False),
        ("trial", "2025-11-01", 120, True),
        ("commitment", "2025-11-01", 120, True),
        ("uptake", "2025-11-01", 120, True),
        ("uptake", "2025-11-01", 121, False),
        ("expansion", "2025-01-01", 120, False),
        ("dormant", "2025-01-01", 120, False),
        ("closed", "2025-01-01", 120, False),
        ("trial", None, 120, None),
        ("trial", "2025-01-01", None, None),
        ("dormant", None, None, False),
    ],
)
def test_who_has_stalled(stage: str, since: str | None, days: int | None, expected: bool | None) -> None:
    assert standing.stalled(stage, since, "2026-03-02", days) is expected


def test_api_csv_page_and_terminal_show_it(workspace: Path) -> None:
    published(workspace, TODAY, {ACCOUNT: date(2025, 10, 1)})
    service = open_service(workspace)
    found = asked(service)
    text = "9 active users in 28 days (needed: 5) and 4 uses of specialist functions"
    assert (found["stage"], found["stage_since"], found["stalled"]) == ("uptake", "2025-10-01", True)
    facts = dict(zip(RULE_LOOKS_AT, (9, 4, 0), strict=True)) | {"tier": found["tier"]}
    assert found["stage_evidence"] == {"stage": "uptake", "facts": facts, "text": text}
    leads = {lead["account_id"]: lead for lead in service.get("/v1/leads", params={"limit": 200}).json()["items"]}
    assert (leads[ACCOUNT]["stage_since"], leads[ACCOUNT]["stalled"]) == ("2025-10-01", True)
    assert (leads[OTHER]["stage_since"], leads[OTHER]["stalled"]) == ("2026-03-02", False)
    rows = {row["account_id"]: row for row in rows_of_csv(service)}
    assert (rows[ACCOUNT]["stage_since"], rows[ACCOUNT]["stalled"]) == ("2025-10-01", "True")
    pages = {name: service.get(f"/accounts/{name}").text for name in (ACCOUNT, OTHER)}
    badge = '<span class="badge">stalled</span>'
    assert f"uptake since 2025-10-01 {badge}: {text}" in pages[ACCOUNT]
    assert badge not in pages[OTHER]
    assert stage_lines(found) == [f"      stage uptake since 2025-10-01, stalled: {text}"]


def test_other_stalled_days_are_another_release(workspace: Path) -> None:
    first = published(workspace)
    run, table = json.loads((first / "run.json").read_text()), ranked(make_scores(as_of=TODAY))
    again, other = (
        release.write(workspace / "releases", table, first / "bundle", run | {"stalled_days": days})
        for days in (120, 30)
    )
    assert again == first != other


def rows_of_csv(service: Service) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(service.get("/v1/leads", params={"format": "csv"}).text)))


# What happened to each account: day of sign-up, days of events (and when one became known), and since when it stands
# in its stage as of 2025-07-01: dormant where nothing has happened for more than 60 days, else in trial.
EVENTFUL: dict[str, tuple[str, list[tuple[str, str]], str]] = {
    "asleep for years": ("2023-01-01", [], "2024-07-01"),
    "asleep since April": ("2024-09-10", [("2025-03-15", "")], "2025-06-01"),
    "asleep since June": ("2024-09-10", [("2025-04-20", "")], "2025-07-01"),
    "fresh": ("2025-06-20", [], "2025-06-20"),
    "signed up on a first": ("2025-06-01", [], "2025-06-01"),
    "steady": ("2024-09-10", [(f"{y}-{m:02}-15", "") for y, m in [(2024, m) for m in range(9, 13)]
                              + [(2025, m) for m in range(1, 7)]], "2024-09-10"),
    "back from sleep": ("2024-09-10", [("2024-09-15", ""), ("2025-05-20", ""), ("2025-06-20", "")], "2025-06-01"),
    "heard of too late": ("2024-09-10", [("2025-05-20", "2025-06-25")], "2025-07-01"),
}  # fmt: skip


@pytest.fixture
def eventful(workspace: Path) -> Workspace:
    rest = histories(2)
    sent = []
    for name, (created, days, _) in EVENTFUL.items():
        events = [
            {
                "event_id": f"{name} {day}", "user_id": "u", "event_name": "opened", "quantity": 1,
                "occurred_at": f"{day} 01:00:00", "received_at": f"{known or day} 01:00:00",
            }
            for day, known in days
        ]  # fmt: skip
        account = rest[0]["account"] | {"account_id": name, "created_at": f"{created} 00:00:00"}
        sent.append({"account": account, "events": events, "revenue": [], "account_users": []})
    return warehouse_of(workspace, sorted(sent, key=lambda item: not item["events"]) + rest)


@pytest.mark.parametrize("few", [True, False])
def test_looking_back_finds_the_month_in_which_the_stage_began(
    eventful: Workspace, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking_back, "FEW", 1_000 if few else 0)
    update(eventful, DEFINITIONS)
    with open_vendor(eventful) as con:
        tonight = features_at(con, eventful, everyone(con, NIGHT), DEFINITIONS)
    found = stage_since(eventful, DEFINITIONS, NIGHT, tonight.select(["account_id", "stage"]))
    assert {name: found[name].isoformat() for name in EVENTFUL} == {name: told[2] for name, told in EVENTFUL.items()}
    assert set(found) == set(tonight["account_id"].to_pylist())


def test_the_firsts_of_twelve_months_before_the_night_are_looked_at() -> None:
    assert looked_at(date(2026, 3, 1)) == [date(2025 + (m > 12), (m - 1) % 12 + 1, 1) for m in range(3, 15)]
    assert looked_at(date(2026, 3, 2))[::11] == [date(2025, 4, 1), date(2026, 3, 1)]


def test_a_first_night_looks_back_the_next_carries_and_the_params_say_who_has_stalled(eventful: Workspace) -> None:
    bundle = rule_bundle(eventful.artifacts / "candidate")
    for night in (NIGHT, NIGHT + timedelta(days=1)):
        score(eventful, bundle, night, {"commit": "abc"}, ScoreParams(stalled_days=294))  # of the steady one that night
        service = open_service(eventful.root, clock=NOW)
        for name, (_, _, since) in EVENTFUL.items():
            found = asked(service, name)
            assert found["stage_since"] == since, (night, name)
            assert found["stalled"] is (name == "steady" and night > NIGHT), (night, name)
            assert found["stage_evidence"]["stage"] == found["stage"]
