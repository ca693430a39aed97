"""The week's calls: as many as ever, a few by a lot that is drawn once, kept, and respected where calls are listed."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.compute as pc
import pytest

from serving import release
from serving.errors import PlanDamaged
from serving.pages import money
from serving.plan import calls, plan_week, slots_of, week_of
from serving.plan_schemas import PlanAnswer
from serving.release import Release
from serving.terminal import plan_lines
from tests import builders as raw
from tests.serving import published
from tests.serving.published import AS_OF, HOSTILE, NOW, make_scores, open_service, publish
from warehouse.engine import connect
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace, open_warehouse

CAPACITY = 40
MONDAY = date(2026, 3, 2)


@pytest.fixture
def live(workspace: Path) -> Release:
    return told(workspace, [])


def told(workspace: Path, touches: list[raw.Row], as_of: date = AS_OF, **more: Any) -> Release:
    """A release of 120 accounts, one of them at the top tier, over a warehouse that knows of the touches."""
    publish(workspace, as_of, **more)
    names = [f"acct-{number:05d}" for number in range(118)]
    accounts = [raw.account(name, "2024-01-01T00:00:00Z") for name in names]
    known = {"touches": touches} if touches else {}
    folder = raw.write_raw(
        workspace / f"raw-{as_of}", accounts, [raw.event(names[0])], [raw.invoice(names[0])], **known
    )
    ingest(folder, Workspace(workspace), IngestParams(), datetime(2026, 4, 1, tzinfo=UTC))
    return release.open_current(workspace / "releases")


def kinds(said: dict[str, Any]) -> Counter[str]:
    return Counter(row["kind"] for row in said["rows"])


def test_as_many_are_called_as_ever_and_pairs_of_those_one_would_call_are_drawn(live: Release, workspace: Path) -> None:
    said = plan_week(live, workspace, CAPACITY, 0.1)
    assert kinds(said) == {"contacted": 36, "random": 4, "held_out": 4}
    assert [row["rank"] for row in said["rows"]] == list(range(1, 45)), "four more down the list take their places"
    assert {row["contact_probability"] for row in said["rows"]} == {1 - 4 / 44}
    assert plan_week(live, workspace, CAPACITY, 0.1) == {**said, "already_drawn": True}
    assert plan_week(live, workspace, 10, 0.5) == {**said, "already_drawn": True}, "a week is drawn once"


def test_the_download_says_whom_the_lot_leaves_alone_and_a_later_capacity_is_told_to_come_too_late(
    live: Release, workspace: Path
) -> None:
    """Who works from a file must not call them, or nobody can ever tell what calling brings."""
    said = plan_week(live, workspace, CAPACITY, 0.1)
    answer = open_service(workspace).get("/v1/leads", params={"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    slots = {row["account_id"].removeprefix("'"): row["slot"] for row in rows}
    assert {account: slot for account, slot in slots.items() if slot} == {
        row["account_id"]: row["kind"] for row in said["rows"] if row["kind"] != "contacted"
    }
    again = plan_week(live, workspace, 10, 0.1)
    late = "You asked for 10 calls: a week is drawn once, and this one was drawn for 40."
    assert late in plan_lines(again, workspace / "plans", 10)
    assert late not in plan_lines(again, workspace / "plans", CAPACITY) + plan_lines(again, workspace / "plans")


def test_without_lots_and_where_everybody_is_called_nobody_is_left_alone(live: Release, workspace: Path) -> None:
    assert kinds(plan_week(live, workspace, CAPACITY, 0.0)) == {"contacted": CAPACITY}
    (workspace / "plans" / f"{MONDAY}.json").unlink()
    assert kinds(plan_week(live, workspace, 500, 0.5)) == {"contacted": 119}, "all but the one at the top tier"


def test_an_account_has_one_slot_in_its_life(workspace: Path) -> None:
    live = told(workspace, [])
    first = plan_week(live, workspace, CAPACITY, 0.2)
    had = {row["account_id"] for row in first["rows"] if row["kind"] != "contacted"}
    later = told(workspace, [], AS_OF + timedelta(days=7))
    second = plan_week(later, workspace, CAPACITY, 0.2)
    assert second["slots_an_arm"] == 8
    drawn = {row["account_id"] for row in second["rows"] if row["kind"] != "contacted"}
    assert not drawn & had
    sure = {row["account_id"] for row in second["rows"] if row["contact_probability"] == 1.0}
    assert sure == had & {row["account_id"] for row in second["rows"]}, "no lot could decide of them again"


def test_where_touches_tell_of_a_slot_the_account_is_not_drawn_and_too_few_make_fewer_pairs(workspace: Path) -> None:
    live = told(workspace, [])
    first = [row["account_id"] for row in calls(live, CAPACITY + 8, {})]
    known = [name for name in first if name.startswith("acct-")]
    slots = [
        {"account_id": name, "occurred_at": "2026-01-05T00:00:00Z", "kind": ("random", "held_out")[n % 2]}
        for n, name in enumerate(known[5:])
    ]
    live = told(workspace, slots, AS_OF + timedelta(days=1))
    said = plan_week(live, workspace, CAPACITY, 0.2)
    drawn = {row["account_id"] for row in said["rows"] if row["kind"] != "contacted"}
    assert 0 < len(drawn) == 2 * said["slots_an_arm"] < 16
    assert not drawn & {row["account_id"] for row in slots}
    assert kinds(said)["contacted"] + kinds(said)["random"] == CAPACITY


def test_the_lot_prefers_nobody(live: Release, workspace: Path) -> None:
    """Over many weeks each account of the pool is drawn equally often for either arm."""
    counts: Counter[str] = Counter()
    for number in range(150):
        said = plan_week(replace(live, as_of=AS_OF + timedelta(weeks=number)), workspace, CAPACITY, 0.5)
        counts.update(f"{row['kind']} {row['rank'] <= 30}" for row in said["rows"] if row["kind"] != "contacted")
        (workspace / "plans" / f"{said['week']}.json").unlink()
    # 20 pairs of 60 ranks: half of each arm lies among the first 30, 1,500 of 3,000, give or take 4 x 19
    assert counts["random True"] == pytest.approx(1_500, abs=80)
    assert counts["held_out True"] == pytest.approx(1_500, abs=80)


def test_the_slots_come_back_as_touches(live: Release, workspace: Path) -> None:
    said = plan_week(live, workspace, CAPACITY, 0.5)
    path = workspace / "plans" / f"{MONDAY}-touches.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["account_id"].startswith("acct-")]
    again = told(workspace, rows, AS_OF + timedelta(days=7))
    with connect(workspace / "warehouse") as con:
        open_warehouse(con, workspace / "warehouse")
        query = "SELECT account_id, kind FROM touches WHERE occurred_at = DATE '2026-03-02'"
        found = dict(con.execute(query).fetchall())
    drawn = {r["account_id"]: r["kind"] for r in said["rows"] if r["kind"] != "contacted"}
    assert found == {name: kind for name, kind in drawn.items() if name.startswith("acct-")}
    assert again.as_of == AS_OF + timedelta(days=7)


def test_api_and_page_respect_the_lot_whatever_capacity_is_asked_for(live: Release, workspace: Path) -> None:
    service = open_service(workspace)
    before = service.get("/v1/plan").json()
    assert (before["capacity"], len(before["items"]), before["left_alone"]) == (60, 60, [])
    assert before["share"] == pytest.approx(before["expected_increment"] / _everything(live))
    said = plan_week(live, workspace, CAPACITY, 0.2)
    alone = {row["account_id"] for row in said["rows"] if row["kind"] == "held_out"}
    for capacity in (5, CAPACITY, 200):
        answer = service.get(f"/v1/plan?capacity={capacity}").json()
        assert set(answer["left_alone"]) == alone
        assert not alone & {item["account_id"] for item in answer["items"]}
        assert len(answer["items"]) == min(capacity, 119 - len(alone))
        assert answer["moves"] == pytest.approx(sum(item["probability"] for item in answer["items"]))
    assert service.get("/").text.count("Leave alone this week") == sum(
        row["rank"] <= 25 for row in said["rows"] if row["kind"] == "held_out"
    )
    assert service.get("/v1/plan?capacity=0").status_code == 422
    assert service.client.get("/v1/plan").status_code == 401


def test_the_page_tells_the_week_as_the_api_does(live: Release, workspace: Path) -> None:
    plan_week(live, workspace, CAPACITY, 0.2)
    service = open_service(workspace)
    said = PlanAnswer.model_validate(service.get("/v1/plan?capacity=40").json())
    page = service.get("/plan?capacity=40").text
    assert said.moves is not None
    assert said.misses is not None
    assert said.moves + said.misses == pytest.approx(CAPACITY)
    for told in (f"{said.moves:,.1f}", f"{said.misses:,.1f}", money(said.expected_increment, "USD")):
        assert f"<dd>{told}</dd>" in page
    assert f"<dd>{len(said.left_alone)}</dd>" in page
    assert [row.calls for row in said.capacities] == [25, 40, 50, 100, 119 - len(said.left_alone)]
    shares = [row.share for row in said.capacities if row.share is not None]
    assert shares == sorted(shares)
    [asked] = [row for row in said.capacities if row.calls == CAPACITY]
    assert asked.share == said.share
    listed = page.split("The accounts to call")[1]
    assert [unquote(name) for name in re.findall(r'href="/accounts/([^"]+)"', listed)] == [
        item.account_id for item in said.items
    ]
    assert listed.count("more active users in the last 28 days: 11 users (its peers: 4)") == CAPACITY
    assert listed.count('<td class="owner">ana</td>') == sum(item.owner == "ana" for item in said.items)
    assert HOSTILE not in page


def test_the_page_of_the_week_asks_who_one_is_and_says_in_words_what_is_missing(workspace: Path) -> None:
    service = open_service(workspace)
    assert "Nothing has been published yet" in service.get("/plan").text
    publish(workspace, method="rule")
    service.refresh()
    assert "Paste the API key" in service.client.get("/plan").text
    assert service.client.post("/plan", json={}).status_code == 405
    page = service.get("/plan").text
    assert "a rule ranks, which gives no chances and no money" in page
    assert "No lot leaves anybody alone that week" in page
    assert "These scores are old" not in page
    old = open_service(workspace, NOW + timedelta(days=4)).get("/plan").text
    assert "These scores are old" in old
    for wrong in ("0", "many", "10001"):
        refused = service.get("/plan", params={"capacity": wrong})
        assert (refused.status_code, "cannot be shown" in refused.text) == (422, True)
    assert service.get("/plan?capacity=1000").text.count("No more than 119 accounts can be called") == 1


def test_where_nobody_can_move_the_page_says_that_there_is_nobody_to_call(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = make_scores()
    top = told.filter(pc.is_null(told["next_tier"]))
    monkeypatch.setattr(published, "make_scores", lambda **_: top)
    publish(workspace)
    service = open_service(workspace)
    assert "There is nobody to call" in service.get("/plan").text
    assert service.get("/v1/plan").json()["capacities"] == []


def _everything(live: Release) -> float:
    [(money,)] = live.database.execute("SELECT sum(increment_180) FROM scores").fetchall()
    return float(money)


def test_a_torn_plan_is_said_and_never_drawn_again(live: Release, workspace: Path) -> None:
    plan_week(live, workspace, CAPACITY, 0.2)
    path = workspace / "plans" / f"{MONDAY}.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(PlanDamaged, match="a new draw would call accounts that were left alone"):
        plan_week(live, workspace, CAPACITY, 0.2)
    service = open_service(workspace)
    answer = service.get("/v1/plan")
    assert (answer.status_code, answer.json()["code"]) == (409, "plan_damaged")
    assert "it is unknown which accounts this week" in service.get("/").text
    page = service.get("/plan")
    assert (page.status_code, "The accounts to call" in page.text) == (409, False), "whom not to call is unknown"


def test_a_week_opens_on_monday() -> None:
    assert {week_of(MONDAY + timedelta(days=n)) for n in range(7)} == {MONDAY}
    assert slots_of(Path("nowhere"), MONDAY) == {}
