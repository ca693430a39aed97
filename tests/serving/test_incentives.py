"""The six measures, beside a count of the same raw rows in plain Python."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from features.catalogue import Definitions, FeatureParams
from features.revenue import Tiers
from features.rollup_stage import update
from serving import incentives as measures
from serving import release, schemas
from serving.batch import ScoreParams, score
from serving.incentives import GROUPS, day_told, incentives
from serving.reading import Remembered
from tests import builders as raw
from tests.serving.nightly import ingested, rule_bundle, served_by_rule
from tests.serving.published import Service
from warehouse.errors import DataError, UsageError
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace, read_table, write_table

AS_OF = date(2025, 8, 1)
INGESTED = IngestParams()
READ = datetime(2025, 9, 1, tzinfo=UTC)
MEANT = Definitions(Tiers(), FeatureParams(specialist=("report_built",), configuration=("setting_changed",)))
ACCOUNTS = [
    raw.account("a", "2025-01-10T00:00:00Z", owner="ana", channel="web"),
    raw.account("b", "2025-03-31T23:00:00Z", owner="bo", channel="web"),
    raw.account("c", "2025-07-02T00:00:00Z", owner=None, channel="partner"),
    raw.account("d", "2025-08-01T00:00:00Z", owner="ana"),  # signs up on the day itself, so it is not known
    raw.account("ours", "2025-01-01T00:00:00Z", owner="ana", is_internal="true"),
]
EVENTS = [
    raw.event("a", "2025-01-11T09:00:00Z", "opened", user_id="u1", quantity=2),
    raw.event("a", "2025-01-12T09:00:00Z", "report_built", user_id="u2", quantity=3),
    raw.event("a", "2025-01-12T10:00:00Z", "report_built", user_id="u2", quantity=1),
    raw.event("b", "2025-04-02T09:00:00Z", "opened", user_id="u3"),
    raw.event("b", "2025-07-31T09:00:00Z", "setting_changed", user_id="u3", quantity=5),
    raw.event("a", "2025-07-10T09:00:00Z", "opened", user_id="u9", received_at="2025-08-01T00:00:00Z"),  # told late
    raw.event("a", "2025-07-30T09:00:00Z", "opened", user_id="u1", received_at="2025-07-31T00:00:00Z", quantity=7),
    raw.event("c", "2025-08-01T09:00:00Z", "opened", user_id="u7"),  # after as_of
    raw.event("ours", "2025-01-11T09:00:00Z", "report_built", user_id="u8"),
]
REVENUE = [
    raw.invoice("a", "2025-01-31T00:00:00Z", "100.10"),
    raw.invoice("a", "2025-07-31T23:59:00Z", "40"),
    raw.invoice("a", "2025-07-20T00:00:00Z", "-15.05", kind="credit"),
    raw.invoice("b", "2025-07-01T00:00:00Z", "60"),
    raw.invoice("b", "2025-08-01T00:00:00Z", "999"),  # booked on the day itself
    raw.invoice("ours", "2025-02-01T00:00:00Z", "5000"),
]


@pytest.fixture
def vendor(workspace: Path) -> Workspace:
    return ingested(workspace, ACCOUNTS, EVENTS, REVENUE, READ)


@pytest.fixture
def service(vendor: Workspace) -> Service:
    return served_by_rule(vendor, AS_OF)


def quarter(text: str) -> str:
    return f"{text[:4]}-Q{(int(text[5:7]) + 2) // 3}"


def counted(belongs: Callable[[dict[str, Any]], Any]) -> dict[tuple[str, Any], dict[str, Any]]:
    """The measures of 2025-Q1 to Q3 from the rows above, counted one by one."""
    until = AS_OF.isoformat()
    known = [row for row in ACCOUNTS if row["created_at"] < until and not row.get("is_internal")]
    out = {}
    for group in {belongs(row) for row in known}:
        signed = [row for row in known if belongs(row) == group]
        ids = {row["account_id"] for row in signed}
        events = [e for e in EVENTS if e["account_id"] in ids and e["occurred_at"] < until and e["received_at"] < until]
        money = [r for r in REVENUE if r["account_id"] in ids and r["booked_at"] < until]
        first = min(quarter(row["created_at"]) for row in signed)
        before = None
        for name in [q for q in ("2025-Q1", "2025-Q2", "2025-Q3") if q >= first]:
            own = [e for e in events if quarter(e["occurred_at"]) == name]
            used = {e["account_id"] for e in own}
            deep = {e["account_id"] for e in own if e["event_name"] in ("report_built", "setting_changed")}
            revenue = sum(float(r["amount"]) for r in money if quarter(r["booked_at"]) == name)
            so_far = sum(float(r["amount"]) for r in money if quarter(r["booked_at"]) <= name)
            out[name, group] = {
                "sign_ups": sum(quarter(row["created_at"]) == name for row in signed),
                "user_base": len({e["user_id"] for e in own}),
                "adoption": len(deep) / len(used) if used else None,
                "consumption": sum(e["quantity"] for e in own),
                "revenue": pytest.approx(revenue),
                "incremental_revenue": None if before is None else pytest.approx(revenue - before),
                "lifetime_value": pytest.approx(so_far / sum(quarter(row["created_at"]) <= name for row in signed)),
            }
            before = revenue
    return out


def told(rows: list[dict[str, Any]]) -> dict[tuple[str, Any], dict[str, Any]]:
    aside = ("quarter", "group", "complete")
    return {(r["quarter"], r.get("group")): {k: v for k, v in r.items() if k not in aside} for r in rows}


@pytest.mark.parametrize("rolled_up", [False, True])
def test_all_accounts_together_as_known_that_morning(vendor: Workspace, rolled_up: bool) -> None:
    if rolled_up:
        update(vendor, MEANT)
    rows = incentives(vendor, MEANT, AS_OF)
    assert told(rows) == counted(lambda _: None)
    assert [(row["quarter"], row["complete"]) for row in rows] == [
        ("2025-Q1", True), ("2025-Q2", True), ("2025-Q3", False)
    ]  # fmt: skip


@pytest.mark.parametrize("by", ["owner", "channel"])
def test_by_group_an_account_that_does_not_tell_is_a_group_of_its_own(vendor: Workspace, by: str) -> None:
    assert told(incentives(vendor, MEANT, AS_OF, by)) == counted(lambda row: row[by])


def test_by_cohort(vendor: Workspace) -> None:
    assert told(incentives(vendor, MEANT, AS_OF, "cohort")) == counted(lambda row: quarter(row["created_at"]))


def test_groups_add_up_to_all(vendor: Workspace) -> None:
    together = {row["quarter"]: row for row in incentives(vendor, MEANT, AS_OF)}
    for by in GROUPS:
        rows = incentives(vendor, MEANT, AS_OF, by)
        for name, whole in together.items():
            for measure in ("sign_ups", "consumption", "revenue"):
                assert sum(r[measure] for r in rows if r["quarter"] == name) == pytest.approx(whole[measure])


def test_an_earlier_day_is_told_as_it_was_told_then(vendor: Workspace) -> None:
    [row] = incentives(vendor, MEANT, date(2025, 2, 1))
    assert (row["sign_ups"], row["user_base"], row["revenue"], row["complete"]) == (1, 2, pytest.approx(100.1), False)
    assert incentives(vendor, MEANT, date(2025, 1, 10)) == []


def test_a_group_that_is_none_is_refused(vendor: Workspace) -> None:
    with pytest.raises(UsageError, match="none of owner, channel, country, industry, cohort"):
        incentives(vendor, MEANT, AS_OF, "account_id")


def test_the_route_tells_them_as_of_the_release_whatever_came_in_since(service: Service) -> None:
    first = service.get("/v1/incentives")
    assert first.status_code == 200, first.text
    schemas.IncentivesAnswer.model_validate(first.json())
    assert [item["revenue"] for item in first.json()["items"]] == [100.1, 0.0, pytest.approx(84.95)]
    shutil.rmtree(service.workspace / "warehouse")
    assert service.get("/v1/incentives").json() == first.json()


def test_the_route_and_the_page_know_the_groups_and_no_others(service: Service) -> None:
    for by in GROUPS:
        schemas.IncentivesAnswer.model_validate(service.get("/v1/incentives", params={"by": by}).json())
        assert service.get("/measures", params={"by": by}).status_code == 200
    wrong = service.get("/v1/incentives", params={"by": "account_id"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "by")
    assert service.get("/measures", params={"by": "account_id"}).status_code == 422


def test_each_account_of_an_owner_or_one_alone_is_told_as_if_it_were_a_group(vendor: Workspace) -> None:
    own = counted(lambda row: row["account_id"])
    for picked, accounts in (({"owner": "ana"}, {"a"}), ({"owner": "bo"}, {"b"}), ({"account": "c"}, {"c"})):
        rows = incentives(vendor, MEANT, AS_OF, "account", **picked)
        assert told(rows) == {key: row for key, row in own.items() if key[1] in accounts}
    for nobody in ({"account": "ours"}, {"account": "d"}, {"owner": "x' OR 'x' = 'x"}):
        assert incentives(vendor, MEANT, AS_OF, "account", **nobody) == []


@pytest.mark.parametrize(
    "asked",
    [{"by": "account"}, {"by": "account", "owner": "ana", "account": "a"}, {"owner": "ana"},
     {"by": "owner", "owner": "ana"}, {"by": "cohort", "account": "a"}],
)  # fmt: skip
def test_accounts_are_picked_in_one_way_and_nothing_else_is(vendor: Workspace, asked: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="--by account goes with either --owner or --account"):
        incentives(vendor, MEANT, AS_OF, **asked)


def test_the_route_tells_an_earlier_day_and_accounts_and_refuses_a_later_day(service: Service) -> None:
    """As the command line does with the same definitions, those of the bundle."""
    meant = Definitions.from_params({})
    day, now = "2025-04-02", service.get("/v1/incentives").json()
    for asked in ({}, {"by": "owner"}, {"by": "account", "owner": "ana"}, {"by": "account", "account": "a"}):
        answer = service.get("/v1/incentives", params={**asked, "as_of": day})
        assert answer.status_code == 200, answer.text
        said = schemas.IncentivesAnswer.model_validate(answer.json())
        assert (said.as_of.isoformat(), said.release) == (day, now["release"])
        assert answer.json()["items"] == incentives(Workspace(service.workspace), meant, said.as_of, **asked)
    same = service.get("/v1/incentives", params={"as_of": AS_OF.isoformat()}).json()
    assert same == now != answer.json()
    for wrong, field in (({"as_of": "2025-08-02"}, "as_of"), ({"as_of": "1754006400"}, "as_of"),
                         ({"by": "account"}, "by"), ({"owner": "ana"}, "by")):  # fmt: skip
        refused = service.get("/v1/incentives", params=wrong)
        assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text
    assert service.get("/measures?by=account").status_code == 422


def test_no_more_answers_are_remembered_than_a_process_can_hold(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "_answers", Remembered(2))
    for day in ("2025-02-01", "2025-02-02", "2025-02-03"):
        service.get("/v1/incentives", params={"as_of": day})
    assert [key[0] for key in measures._answers.answers] == [service.workspace] * 2
    shutil.rmtree(service.workspace / "warehouse")
    codes = [service.get("/v1/incentives", params={"as_of": f"2025-02-0{day}"}).status_code for day in (1, 2, 3)]
    assert codes == [409, 200, 200]


def test_without_a_warehouse_it_says_so_and_scores_are_still_told(service: Service) -> None:
    shutil.rmtree(service.workspace / "warehouse")
    refused = service.get("/v1/incentives")
    assert (refused.status_code, refused.json()["code"]) == (409, "history_moved")
    assert service.get("/measures").status_code == 409
    assert service.get("/v1/leads").status_code == 200


def test_a_new_release_is_told_anew(service: Service, vendor: Workspace) -> None:
    before = service.get("/v1/incentives").json()
    score(vendor, vendor.artifacts / "candidate", date(2025, 8, 2), {}, ScoreParams())
    service.refresh()
    after = service.get("/v1/incentives").json()
    assert after["as_of"] == "2025-08-02"
    assert after["items"][-1]["revenue"] == pytest.approx(before["items"][-1]["revenue"] + 999)
    assert release.current(vendor.releases).name == after["release"]  # type: ignore[union-attr]


def test_a_terminal_tells_of_the_live_release_and_before_the_first_of_the_end_of_the_data(
    vendor: Workspace,
) -> None:
    assert day_told(vendor, {}) == date(2025, 8, 2)  # the day after the last fact
    score(vendor, rule_bundle(vendor.artifacts / "candidate"), AS_OF, {}, ScoreParams())
    assert day_told(vendor, {}) == AS_OF


def test_figures_of_a_warehouse_that_ingest_did_not_write_are_neither_told_nor_remembered(
    service: Service, vendor: Workspace
) -> None:
    [part] = (vendor.warehouse / "revenue").glob("2025-07.parquet")
    as_written = part.read_bytes()
    table = read_table(part)
    amounts = pc.multiply(table["amount"], 10).cast(table.schema.field("amount").type)
    write_table(table.set_column(table.column_names.index("amount"), "amount", amounts), part)
    refused = service.get("/v1/incentives")
    assert (refused.status_code, refused.json()["code"]) == (409, "history_moved")
    assert "is not what `expansion ingest` wrote" in refused.json()["message"]
    assert service.get("/measures").status_code == 409
    part.write_bytes(as_written)
    assert service.get("/v1/incentives").json()["items"][-1]["revenue"] == pytest.approx(84.95)


def test_measures_are_of_one_warehouse_whatever_is_ingested_meanwhile(
    vendor: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ingest ends between the two reads: half the months would be of the old warehouse, half of the new."""
    real, deliveries = measures._by_quarter, [[raw.invoice("b", "2025-07-02T00:00:00Z", "500")], []]

    def overtaken(*args: Any) -> list[dict[str, Any]]:
        rows = real(*args)
        if deliveries:
            more = deliveries.pop()
            ingest(raw.write_raw(vendor.root / "raw", ACCOUNTS, EVENTS, [*REVENUE, *more]), vendor, INGESTED, READ)
        return rows

    monkeypatch.setattr(measures, "_by_quarter", overtaken)
    before = incentives(vendor, MEANT, AS_OF)  # the first delivery changes nothing, so there is nothing to ask again
    assert deliveries
    after = incentives(vendor, MEANT, AS_OF)
    assert not deliveries
    assert after[-1]["revenue"] == before[-1]["revenue"] + 500


def test_measures_of_a_warehouse_that_never_stands_still_are_refused(
    vendor: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = measures._by_quarter

    def overtaken(*args: Any) -> list[dict[str, Any]]:
        ingest(vendor.root / "raw", vendor, INGESTED, READ, whole=True)
        return real(*args)

    monkeypatch.setattr(measures, "_by_quarter", overtaken)
    with pytest.raises(DataError, match="was replaced while it was read"):
        incentives(vendor, MEANT, AS_OF)
