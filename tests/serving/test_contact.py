"""The last contact of an account: shown wherever it is listed, looked at by no score, and who has had one may rest."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from serving import schemas
from serving.batch import ScoreParams, score
from serving.leads import CSV_COLUMNS, LATER_COLUMNS
from serving.pages import contacted
from serving.plan import calls, plan_week, resting, this_week
from serving.plan_schemas import PlanAnswer
from serving.terminal import plan_lines
from tests import builders as raw
from tests.architecture.source import ROOT, modules
from tests.serving import asked
from tests.serving.published import AS_OF, Contacts, open_service, publish
from tests.serving.test_plan import told
from warehouse import asof
from warehouse.ingest import IngestParams, ingest
from warehouse.store import read_table

DAY = timedelta(days=1)
TOUCHES = [
    ("called", "2026-01-05 09:00", "contacted"), ("called", "2026-02-27 17:00", None),
    ("by lot", "2026-02-20 10:00", "contacted"), ("by lot", "2026-02-20 10:00", "random"),
    ("left alone", "2026-02-27 00:00", "held_out"),
    ("left alone later", "2026-02-01 08:00", "random"), ("left alone later", "2026-02-27 00:00", "held_out"),
    ("on the eve", "2026-03-01 23:59:59", "contacted"),
    ("on the day", "2026-03-02 00:00", "contacted"),
]  # fmt: skip


def test_a_contact_is_told_once_the_day_after_and_to_be_left_alone_is_none() -> None:
    with duckdb.connect() as con:
        con.execute("CREATE TABLE touches (account_id VARCHAR, occurred_at TIMESTAMP, kind VARCHAR)")
        con.executemany("INSERT INTO touches VALUES (?, ?, ?)", TOUCHES)
        found = {account: (day, kind) for account, day, kind in con.execute(asof.last_contacts(AS_OF)).fetchall()}
        assert found == {
            "called": (date(2026, 2, 27), "contacted"),
            "by lot": (date(2026, 2, 20), "random"),
            "left alone later": (date(2026, 2, 1), "random"),
            "on the eve": (date(2026, 3, 1), "contacted"),
        }
        assert con.execute(asof.last_contacts(date(2026, 1, 5))).fetchall() == []


def test_contacts_before_a_night_change_nothing_that_it_says_but_the_contact(workspace: Path) -> None:
    """Every account contacted on the eve and on the day: by the model that serves the scores are the same bytes."""
    vendor = asked.published(workspace)
    before = asked.live(vendor)
    names = read_table(before.folder / "scores.parquet", ["account_id"])["account_id"].to_pylist()
    touches = [
        {"account_id": name, "occurred_at": f"{day}T10:00:00Z", "kind": ("contacted", "random")[number % 2]}
        for number, name in enumerate(names)
        for day in (before.as_of - DAY, before.as_of)
    ]
    raw.write_file(workspace / "raw" / "touches.csv", list(touches[0]), touches)
    ingest(workspace / "raw", vendor, IngestParams(), asked.READ)
    folder = score(vendor, before.folder / "bundle", before.as_of, {}, ScoreParams(rest_days=14))
    was, now = (read_table(where / "scores.parquet") for where in (before.folder, folder))
    contact = list(LATER_COLUMNS)
    assert now.drop_columns(contact).equals(was.drop_columns(contact))
    assert json.loads((folder / "run.json").read_text())["rest_days"] == 14
    assert set(was["last_contact"].to_pylist()) == {None}
    assert set(now["last_contact"].to_pylist()) == {before.as_of - DAY}
    assert set(now["last_contact_kind"].to_pylist()) == {"contacted", "random"}
    for table in ("contributions.parquet", "peers.parquet", "season.parquet", "distributions.json"):
        assert (folder / table).read_bytes() == (before.folder / table).read_bytes(), table


def test_no_room_that_makes_features_models_or_verdicts_knows_of_the_last_contact() -> None:
    knowing = {path for path in modules() if "last_contact" in (ROOT / path).read_text(encoding="utf-8")}
    assert {path for path in knowing if not path.startswith("serving/")} == {"warehouse/asof.py"}


def listed(workspace: Path, contacts: Contacts | None) -> tuple[dict[str, list[str]], str]:
    """The rows of the CSV by account, its header under "account_id"; and the page of the leads."""
    publish(workspace, contacts=contacts)
    service = open_service(workspace)
    rows = list(csv.reader(io.StringIO(service.get("/v1/leads", params={"format": "csv"}).text)))
    return {row[CSV_COLUMNS.index("account_id")]: row for row in rows}, service.get("/").text


def test_api_csv_and_pages_show_it_and_no_column_of_the_file_moves(workspace: Path) -> None:
    publish(workspace)
    service = open_service(workspace)
    first, second, third = (item["account_id"] for item in service.get("/v1/plan").json()["items"][:3])
    contacts = {first: (date(2026, 2, 27), "random"), second: (date(2025, 12, 2), "contacted"),
                third: (date(2025, 12, 1), "contacted")}  # fmt: skip
    rows, page = listed(workspace, contacts)
    assert rows["account_id"][-2:] == ["last_contact", "last_contact_kind"]
    assert rows["account_id"][: len(CSV_COLUMNS)] == list(CSV_COLUMNS)
    assert rows[first][-2:] == ["2026-02-27", "random"]
    assert [line[-2:] for name, line in rows.items() if name not in (*contacts, "account_id")] == [["", ""]] * 117
    moved = service.get("/v1/leads", params={"format": "csv", "changed_since": "2026-01-01"}).text.splitlines()[0]
    assert moved.endswith("previous_rank,last_contact,last_contact_kind")
    assert '<small title="2026-02-27">contacted 3 days ago</small>' in page
    assert (page.count(">contacted "), "contacted 90 days ago" in page) == (2, True), "older ones are no news"
    service.refresh()
    account = schemas.AccountAnswer.model_validate(service.get(f"/v1/accounts/{first}").json())
    assert (account.last_contact, account.last_contact_kind) == (date(2026, 2, 27), "random")
    assert "<dt>Last contact</dt><dd>2026-02-27, by lot</dd>" in service.get(f"/accounts/{first}").text
    assert "<dt>Last contact</dt><dd>2025-12-01</dd>" in service.get(f"/accounts/{third}").text
    plan = PlanAnswer.model_validate(service.get("/v1/plan?capacity=3").json())
    assert [(item.last_contact, item.last_contact_kind) for item in plan.items] == list(contacts.values())
    assert service.get("/plan?capacity=3").text.count(">contacted ") == 2


def test_a_release_of_an_earlier_version_tells_of_no_contact_and_lets_nobody_rest(workspace: Path) -> None:
    rows, page = listed(workspace, None)
    assert {tuple(row[-2:]) for name, row in rows.items() if name != "account_id"} == {("", "")}
    assert "ago</small>" not in page
    service = open_service(workspace)
    [lead] = schemas.LeadsAnswer.model_validate(service.get("/v1/leads?limit=1").json()).items
    assert (lead.last_contact, lead.last_contact_kind) == (None, None)
    plan = PlanAnswer.model_validate(service.get("/v1/plan").json())
    assert {item.last_contact for item in plan.items} == {None}
    assert (plan.rest_days, plan.resting) == (0, 0)
    assert "Last contact" not in service.get(f"/accounts/{lead.account_id}").text


@pytest.mark.parametrize(
    ("day", "said"),
    [(None, ""), ("2026-03-01", "contacted 1 day ago"), ("2025-12-02", "contacted 90 days ago"), ("2025-12-01", "")],
)
def test_how_long_ago_in_words(day: str | None, said: str) -> None:
    assert contacted(day, "2026-03-02") == said


def test_who_was_contacted_within_the_days_of_rest_is_passed_over_and_the_next_takes_the_place(workspace: Path) -> None:
    names = [row["account_id"] for row in calls(told(workspace, []), 12, {})]
    contacts = {names[0]: (AS_OF - 7 * DAY, "contacted"), names[1]: (AS_OF - 8 * DAY, "contacted"),
                names[2]: (AS_OF - DAY, "random")}  # fmt: skip
    live = told(workspace, [], contacts=contacts, rest_days=7)
    service = open_service(workspace)
    said = PlanAnswer.model_validate(service.get("/v1/plan?capacity=10").json())
    assert [item.account_id for item in said.items] == [names[1], *names[3:12]]
    assert (said.rest_days, said.resting) == (7, 2)
    page = service.get("/plan?capacity=10").text
    assert "2 accounts rest: contacted within 7 days before 2026-03-02, so the next in rank take their place" in page
    assert "<div><dt>Resting</dt><dd>2</dd></div>" in page
    drawn = plan_week(live, workspace, 8, 0.25)
    assert {row["account_id"] for row in drawn["rows"]} == {names[1], *names[3:12]}, "the lot is among who is called"
    assert "2 more rest: contacted within 7 days before 2026-03-02." in plan_lines(drawn, workspace / "plans")
    assert any("  contacted 2026-02-22" in line for line in plan_lines(drawn, workspace / "plans"))
    nobody = told(workspace, [], contacts=contacts)
    assert resting(nobody, None) == set()
    assert "rest: contacted" not in open_service(workspace).get("/plan").text


def test_a_week_that_is_drawn_stays_whoever_is_contacted_in_it(workspace: Path) -> None:
    """The slots come back as touches, perhaps before the calls are made: to pass them over would spoil the lot."""
    live = told(workspace, [], rest_days=30)
    drawn = plan_week(live, workspace, 8, 0.25)
    rows = drawn["rows"]
    later = rows[-1]["rank"]
    names = [row["account_id"] for row in calls(live, later + 5, {})]
    week = AS_OF + DAY
    contacts = {row["account_id"]: (AS_OF, "random") for row in rows if row["kind"] == "random"}
    contacts |= {row["account_id"]: (AS_OF, "contacted") for row in rows if row["kind"] == "contacted"}
    contacts[names[later]] = (AS_OF, "contacted")
    live = told(workspace, [], week, contacts=contacts, rest_days=30, force=True)
    assert plan_week(live, workspace, 8, 0.25) == {**drawn, "already_drawn": True}
    said = this_week(live, workspace / "plans", 9)
    ranks = {row["account_id"]: row["rank"] for row in calls(live, 200, {})}
    planned = {row["account_id"] for row in rows if row["kind"] != "held_out"}
    assert planned <= {item["account_id"] for item in this_week(live, workspace / "plans", 119)["items"]}
    assert said["resting"] == 1
    assert names[later] not in {item["account_id"] for item in said["items"]}
    assert [item["rank"] for item in said["items"]] == sorted(ranks[item["account_id"]] for item in said["items"])


def test_other_days_of_rest_are_another_release(workspace: Path) -> None:
    assert publish(workspace, rest_days=0) == publish(workspace, rest_days=0) != publish(workspace, rest_days=14)
