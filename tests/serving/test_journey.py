"""Where accounts stood quarter by quarter, beside a vendor worked out by hand and beside each day's own features."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from features.build import build_features, open_vendor
from features.catalogue import Definitions, FeatureParams
from features.journey import STAGES
from features.revenue import Tiers
from features.snapshots import everyone
from features.stage_by_quarter import quarter_ends, stage_by_quarter
from serving import journey_schemas
from serving.journey import journey, quarters_of
from tests import builders as raw
from tests.serving.nightly import ingested, served_by_rule
from tests.serving.published import Service
from warehouse.errors import UsageError
from warehouse.store import Workspace

AS_OF = date(2025, 8, 1)
READ = datetime(2025, 9, 1, tzinfo=UTC)
MEANT = Definitions(Tiers(), FeatureParams(specialist=("report_built",), configuration=("setting_changed",)))
ACCOUNTS = [
    raw.account("a", "2025-01-10T00:00:00Z", channel="web"),
    raw.account("b", "2025-03-31T23:00:00Z", channel="web", closed_at="2025-06-10T00:00:00Z"),
    raw.account("c", "2025-07-02T00:00:00Z", channel="partner"),
    raw.account("d", "2025-08-01T00:00:00Z", channel="web"),  # signs up on the day itself
    raw.account("ours", "2025-01-01T00:00:00Z", channel="web", is_internal="true"),
]
EVENTS = [
    raw.event("a", "2025-03-20T09:00:00Z", "opened"),
    *(raw.event("a", f"2025-06-2{day}T09:00:00Z", "report_built") for day in (1, 2, 3)),
    raw.event("a", "2025-03-21T09:00:00Z", "report_built", received_at="2025-04-01T00:00:00Z"),  # not known by then
]

REVENUE = [raw.invoice("ours", "2025-02-01T00:00:00Z", "5000")]


@pytest.fixture
def vendor(workspace: Path) -> Workspace:
    return ingested(workspace, ACCOUNTS, EVENTS, REVENUE, READ)


@pytest.fixture
def service(vendor: Workspace) -> Service:
    return served_by_rule(vendor, AS_OF)


def counts(**of: int) -> dict[str, int]:
    stages = dict.fromkeys(("trial", "commitment", "uptake", "expansion", "dormant", "closed"), 0) | of
    return {"accounts": sum(stages.values()), **stages}


def test_quarters_end_at_midnights_and_the_last_may_not_be_over() -> None:
    assert quarter_ends(date(2025, 1, 10), AS_OF) == [date(2025, 4, 1), date(2025, 7, 1), AS_OF]
    assert quarter_ends(date(2025, 3, 31), date(2025, 7, 1)) == [date(2025, 4, 1), date(2025, 7, 1)]
    assert quarter_ends(date(2025, 4, 1), date(2025, 4, 2)) == [date(2025, 4, 2)]


def test_one_account_is_told_its_stage_and_why_as_known_when_the_quarter_ended(vendor: Workspace) -> None:
    first, second, now = quarters_of(vendor, MEANT, AS_OF, "a") or []
    assert (first["number"], first["quarter"], first["complete"], first["stage"]) == (1, "2025-Q1", True, "trial")
    assert first["evidence"].startswith("0 specialist uses")  # the report told on 1 April counts from then on
    assert (second["quarter"], second["stage"]) == ("2025-Q2", "commitment")
    assert second["evidence"].startswith("4 specialist uses")
    assert (now["number"], now["quarter"], now["complete"]) == (3, "2025-Q3", False)
    told = [(row["stage"], row["evidence"] is None) for row in quarters_of(vendor, MEANT, AS_OF, "b") or []]
    assert told == [("trial", False), ("closed", True), ("closed", True)]
    assert [quarters_of(vendor, MEANT, AS_OF, nobody) for nobody in ("d", "ours", "nobody")] == [None] * 3


def test_accounts_are_counted_by_quarters_that_were_over_and_by_what_came_next(vendor: Workspace) -> None:
    said = journey(vendor, MEANT, AS_OF)
    assert said["by_quarter"] == [
        {"number": 1, **counts(trial=2)}, {"number": 2, **counts(commitment=1, closed=1)},
    ]  # fmt: skip
    assert said["onward"] == [{"stage": "trial", **counts(commitment=1, closed=1)}]
    partner_only_started = journey(vendor, MEANT, AS_OF, "channel")["by_quarter"]
    assert partner_only_started == [{"group": "web", **row} for row in said["by_quarter"]]
    assert journey(vendor, MEANT, date(2025, 1, 5)) == {"by_quarter": [], "onward": []}
    with pytest.raises(UsageError, match="none of owner"):
        journey(vendor, MEANT, AS_OF, "account_id")


def busy_year() -> tuple[list[raw.Row], list[raw.Row], list[raw.Row]]:
    """Accounts that sign up throughout 2024, use little or much, pay or not, and close or not."""
    lot, opened, accounts, events, revenue = random.Random(3), datetime(2024, 1, 1), [], [], []
    for number in range(60):
        signed, name = opened + timedelta(days=lot.uniform(0, 300)), f"n{number}"
        closed = signed + timedelta(days=lot.uniform(10, 200)) if lot.random() < 0.2 else None
        accounts.append(raw.account(name, f"{signed:%FT%TZ}", closed_at=closed and f"{closed:%FT%TZ}"))
        for _ in range(lot.choice((0, 2, 40))):
            when = signed + timedelta(days=lot.uniform(0, 200))
            told = when + timedelta(days=lot.choice((0, 0, 9)))
            what, who = lot.choice(("opened", "report_built", "setting_changed")), f"u{lot.randrange(8)}"
            events.append(raw.event(name, f"{when:%FT%TZ}", what, user_id=who, received_at=f"{told:%FT%TZ}"))
        for month in range(lot.choice((0, 0, 6))):
            billed = signed + timedelta(days=30 * month)
            period = {"period_start": f"{billed:%F}", "period_end": f"{billed + timedelta(days=30):%F}"}
            revenue.append(raw.invoice(name, f"{billed:%FT%TZ}", lot.choice((20, 300)), **period))
    return accounts, events, revenue


def test_each_stage_is_the_one_that_the_night_of_that_day_would_have_told(workspace: Path) -> None:
    space, as_of = ingested(workspace, *busy_year(), READ), date(2024, 12, 15)
    found = stage_by_quarter(space, MEANT, as_of).to_pylist()
    told = {(row["account_id"], row["quarter"]): row["stage"] for row in found}
    nights = {}
    with open_vendor(space) as con:
        for day in quarter_ends(date(2024, 1, 1), as_of):
            table = build_features(con, everyone(con, day), MEANT)
            last = date.fromordinal(day.toordinal() - 1)
            quarter = f"{last.year}-Q{(last.month + 2) // 3}"
            nights |= {(row["account_id"], quarter): row["stage"] for row in table.to_pylist()}
    assert {key: stage for key, stage in told.items() if stage != "closed"} == nights
    assert set(told.values()) == set(STAGES)


def test_the_api_tells_all_accounts_and_one_of_the_live_release(service: Service) -> None:
    answer = service.get("/v1/journey", params={"by": "channel"})
    journey_schemas.JourneyAnswer.model_validate(answer.json())
    assert answer.json()["by_quarter"][0] == {"group": "web", "number": 1, **counts(trial=2)}
    one = service.get("/v1/accounts/a/journey")
    journey_schemas.AccountJourney.model_validate(one.json())
    assert one.json()["quarters"] == quarters_of(Workspace(service.workspace), Definitions.from_params({}), AS_OF, "a")
    refused = service.get("/v1/journey", params={"by": "account"})
    assert (refused.status_code, refused.json()["field"]) == (422, "by")
    assert service.get("/v1/accounts/nobody/journey").status_code == 404
    page = service.get("/journey", params={"by": "channel"})
    assert (page.status_code, "What comes next" in page.text) == (200, True)
    past = service.get("/accounts/a", params={"history": "1"}).text
    assert "Its journey" in past
    assert "2025-Q3, so far" in past


def test_without_a_warehouse_the_journey_is_refused_and_scores_are_still_told(service: Service) -> None:
    (service.workspace / "warehouse").rename(service.workspace / "gone")
    for path in ("/v1/journey", "/v1/accounts/a/journey"):
        refused = service.get(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "history_moved")
        assert refused.json()["message"].count("read from the warehouse") == 1
    assert service.get("/v1/leads").status_code == 200
    page = service.get("/accounts/a", params={"history": "1"})
    assert (page.status_code, "This cannot be said now: this is read from the warehouse" in page.text) == (200, True)
