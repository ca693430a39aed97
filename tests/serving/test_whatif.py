"""What the model would say if an account did more: bent facts, the one feature path, and nothing that is not so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest

from features.build import HISTORY
from features.catalogue import Definitions, FeatureParams
from features.revenue import Tiers
from serving import release, whatif
from serving.errors import HistoryMoved
from serving.schemas import AccountAnswer, ActionName, Problem, WhatIfAnswer
from serving.terminal import what_if_lines
from serving.upper_quarter import tonight
from serving.whatif import ACTIONS, LABEL, what_if
from serving.whatif_facts import Bent, done_more, facts_of, invited, lately, names_of
from tests.serving.asked import (
    AS_OF,
    BUSY,
    CONFIGURATION,
    LATE,
    MACHINE,
    MEANT,
    SLEEPER,
    SPECIALIST,
    TOP,
    YOUNG,
    event,
    live,
    published,
)
from tests.serving.published import Service, open_service, publish
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace, read_table

NOW = datetime(2025, 7, 1, 3, tzinfo=UTC)
ASKED = "a006"  # 3 users, 6 specialist uses, 1 configuration step
MIDNIGHT = datetime(AS_OF.year, AS_OF.month, AS_OF.day)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Never changed by a test."""
    return published(tmp_path_factory.mktemp("asked") / "workspace")


def test_the_contract_names_the_actions_that_there_are() -> None:
    assert tuple(action.name for action in ACTIONS) == get_args(ActionName)


@pytest.fixture
def harmed(vendor: Workspace, tmp_path: Path) -> Workspace:
    """A copy that a test may harm."""
    shutil.copytree(vendor.root, tmp_path / "workspace", symlinks=True)
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def service(vendor: Workspace) -> Iterator[Service]:
    kept = vendor.root / "keys.json"
    yield open_service(vendor.root, clock=NOW)
    kept.unlink()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, dict[str, Any]]]:
    """The feature rows that the model was asked about, by variant."""
    rows: list[dict[str, dict[str, Any]]] = []
    asked = whatif._predicted

    def spy(live: release.Release, features: pa.Table) -> Any:
        rows.append({row["account_id"]: row for row in features.to_pylist()})
        return asked(live, features)

    monkeypatch.setattr(whatif, "_predicted", spy)
    return rows


def ask(vendor: Workspace, account: str, **more: Any) -> dict[str, Any]:
    said = what_if(live(vendor), vendor.warehouse, account, **more)
    assert said is not None
    return said


def by_name(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {action["action"]: action for action in said["actions"]}


def reasons(said: dict[str, Any]) -> dict[str, str]:
    return {action["action"]: action["reason"] for action in said["not_offered"]}


def moved(now: dict[str, Any], then: dict[str, Any]) -> set[str]:
    return {name for name in now if now[name] != then[name]} - {"account_id"}


def test_each_action_brings_its_feature_to_the_upper_quarter_and_whatever_hangs_on_it_along(
    vendor: Workspace, seen: list[dict[str, dict[str, Any]]]
) -> None:
    actions = by_name(ask(vendor, ASKED))
    [rows] = seen
    now = rows["now"]
    assert (now["users_28d"], now["specialist_28d"], now["configuration_28d"]) == (3, 6, 1)
    for name, action in actions.items():
        assert rows[name][action["feature"]] == action["peer_p75"] > action["value"] == now[action["feature"]], name
    users, specialist, setup = (rows[name] for name in ("invite_users", "switch_on_specialist", "finish_setup"))
    more = users["users_28d"] - now["users_28d"]
    for name in ("users_90d", "users_life", "new_users_28d", "new_users_90d", "seats"):
        assert users[name] - now[name] == more, name
    assert users["events_28d"] > now["events_28d"]
    assert users["user_days_7d"] > now["user_days_7d"]
    assert users["top_user_share_28d"] < now["top_user_share_28d"]
    for name in ("active_days_28d", "specialist_28d", "configuration_28d", "breadth_28d", "seats_28d_ago"):
        assert users[name] == now[name], name
    assert specialist["specialist_breadth_28d"] >= now["specialist_breadth_28d"]
    assert specialist["specialist_per_user_day_28d"] > now["specialist_per_user_day_28d"]
    assert setup["configuration_life"] - now["configuration_life"] == setup["configuration_28d"] - 1
    for name in ("users_28d", "users_life", "user_days_28d", "active_days_28d", "seats", "plain_7d", "new_users_90d"):
        assert specialist[name] == setup[name] == now[name], name
    assert specialist["configuration_28d"] == now["configuration_28d"]
    assert setup["specialist_28d"] == now["specialist_28d"]
    for then in (users, specialist, setup):  # what lies farther back, was paid or was told stays
        assert not {
            name
            for name in moved(now, then)
            if "prev_28d" in name or name in ("tier", "run_rate", "booked_life", "tenure_days", "events_first_quarter")
        }


def test_what_it_says_of_a_bent_history_is_what_the_api_says_when_it_is_sent_that_history(
    vendor: Workspace, service: Service
) -> None:
    """The feature path and the model of POST /v1/score, which know nothing of what-ifs."""
    facts, actions = facts_of(vendor.warehouse, ASKED), by_name(ask(vendor, ASKED))
    kept = tonight(live(vendor).folder)
    assert kept is not None
    values, peers = kept.of(ASKED)
    missing = {name: round(peers.upper[name] - values[name]) for name in values}
    bent = {
        "invite_users": invited(facts, AS_OF, missing["users_28d"], MEANT, peers, kept.seats),
        "switch_on_specialist": done_more(facts, AS_OF, missing["specialist_28d"], SPECIALIST, 1),
        "finish_setup": done_more(facts, AS_OF, missing["configuration_28d"], CONFIGURATION),
    }
    for name, action in actions.items():
        body = {"as_of": AS_OF.isoformat(), "accounts": [_history(facts, bent[name])]}
        answer = service.client.post("/v1/score", json=body, headers={"x-api-key": service.scorer})
        assert answer.status_code == 200, answer.text
        result = answer.json()["items"][0]["result"]
        assert result["probability"] == pytest.approx(action["probability_then"], rel=1e-9), name
        assert result["expected_increment"] == pytest.approx(action["expected_increment_then"], rel=1e-9), name
        assert action["probability_then"] != action["probability"]


def _history(facts: dict[str, pa.Table], bent: Bent | None) -> dict[str, Any]:
    assert bent is not None
    tables = {t: facts[t].to_pylist() + getattr(bent, t, facts[t].slice(0, 0)).to_pylist() for t in HISTORY}
    rows = {"account": facts["accounts"].to_pylist(), **tables}
    said = {table: [{k: _said(v) for k, v in row.items() if v is not None} for row in rows[table]] for table in rows}
    return {**said, "account": said["account"][0]}


def _said(value: Any) -> Any:
    return value if isinstance(value, str | bool | int) else str(value) if isinstance(value, datetime) else float(value)


@pytest.mark.parametrize("account", [ASKED, LATE, SLEEPER, MACHINE, BUSY, YOUNG])
def test_nothing_before_the_last_28_days_or_unknown_at_as_of_is_added_or_copied(
    vendor: Workspace, account: str
) -> None:
    facts = facts_of(vendor.warehouse, account)
    kept = tonight(live(vendor).folder)
    assert kept is not None
    peers = kept.of(ASKED)[1]
    users, more = invited(facts, AS_OF, 5, MEANT, peers, True), done_more(facts, AS_OF, 70, SPECIALIST, 2)
    assert (users, more) == (  # nothing is drawn by lot
        invited(facts, AS_OF, 5, MEANT, peers, True),
        done_more(facts, AS_OF, 70, SPECIALIST, 2),
    )
    own, since = set(facts["events"]["user_id"].to_pylist()), facts["accounts"]["created_at"][0].as_py()
    for bent in (users, more):
        for row in bent.events.to_pylist() if bent else []:
            assert max(since, MIDNIGHT - timedelta(days=28)) <= row["occurred_at"] < MIDNIGHT
            assert row["received_at"] < MIDNIGHT
    assert not set(users.events["event_name"].to_pylist()) & {*SPECIALIST, *CONFIGURATION}
    assert len(set(users.events["user_id"].to_pylist()) - own) == len(users.account_users) == 5
    assert (more is None) == (account in (SLEEPER, YOUNG))
    if more is not None:
        assert set(more.events["user_id"].to_pylist()) <= own
        assert len(set(more.events["event_name"].to_pylist())) == 2


def test_specialist_uses_lie_on_days_on_which_its_users_were_there_anyway(vendor: Workspace) -> None:
    facts = facts_of(vendor.warehouse, ASKED)
    bent = done_more(facts, AS_OF, 12, SPECIALIST, 3)
    assert bent is not None
    days = {(row["user_id"], row["occurred_at"].date()) for row in lately(facts["events"], AS_OF).to_pylist()}
    added = [(row["user_id"], row["occurred_at"].date()) for row in bent.events.to_pylist()]
    assert set(added) <= days
    assert len(set(added)) == 12  # not all on one day
    assert set(bent.events["event_name"].to_pylist()) == set(SPECIALIST)


def test_who_does_it_already_is_not_told_to_do_it(vendor: Workspace) -> None:
    busy = ask(vendor, BUSY)
    assert busy["actions"] == []
    assert set(reasons(busy).values()) == {"done"}
    assert "10 active users in the last 28 days; a quarter of its peers have" in busy["not_offered"][0]["text"]


def test_an_account_that_sleeps_is_told_to_invite_and_nothing_that_nobody_is_there_to_do(
    vendor: Workspace, seen: list[dict[str, dict[str, Any]]]
) -> None:
    said = ask(vendor, SLEEPER)
    assert set(by_name(said)) == {"invite_users"}
    assert reasons(said) == {"switch_on_specialist": "no_use", "finish_setup": "no_use"}
    then = seen[0]["invite_users"]
    assert then["users_28d"] == by_name(said)["invite_users"]["peer_p75"]
    assert then["plain_28_56d"] == seen[0]["now"]["plain_28_56d"] == 0
    assert ask(vendor, MACHINE)["actions"]  # it has days of use, though by nobody by name


def test_names_that_nobody_declared_or_that_mean_something_else_are_never_used(tmp_path: Path) -> None:
    both = Definitions(Tiers(), FeatureParams(specialist=("a", "b"), configuration=("b", "c")))
    assert names_of("configuration", both) == ["c"]
    undeclared = published(tmp_path / "workspace", Definitions(Tiers(), FeatureParams()))
    said = ask(undeclared, ASKED)
    assert reasons(said) == {"switch_on_specialist": "not_declared", "finish_setup": "not_declared"}
    assert set(by_name(said)) == {"invite_users"}


def test_the_facts_as_they_are_give_the_published_score_whatever_came_in_since(
    vendor: Workspace, harmed: Workspace
) -> None:
    row = next(r for r in read_table(live(vendor).folder / "scores.parquet").to_pylist() if r["account_id"] == ASKED)
    before = ask(vendor, ASKED)
    assert (before["probability"], before["expected_increment"]) == (row["probability_180"], row["increment_180"])
    _deliver(harmed, event(f"{ASKED}-u9", SPECIALIST[0], "2025-07-02"))
    assert ask(harmed, ASKED) == before


def test_where_the_warehouse_tells_earlier_days_otherwise_it_says_so_and_nothing_else(harmed: Workspace) -> None:
    _deliver(harmed, event(f"{ASKED}-u9", SPECIALIST[0], "2025-06-20"))
    with pytest.raises(HistoryMoved, match="no longer gives what was published as of 2025-07-01"):
        ask(harmed, ASKED)
    (harmed.root / "keys.json").unlink(missing_ok=True)
    service = open_service(harmed.root, clock=NOW)
    answer = service.get(f"/v1/accounts/{ASKED}/what-if")
    assert (answer.status_code, Problem.model_validate(answer.json()).code) == (409, "history_moved")
    page = service.get(f"/accounts/{ASKED}?what-if=1")
    assert (page.status_code, "This cannot be said now" in page.text, LABEL in page.text) == (200, True, False)
    shutil.rmtree(harmed.warehouse)
    assert service.get("/v1/accounts/a007/what-if").json()["code"] == "history_moved"


def _deliver(vendor: Workspace, row: dict[str, Any]) -> None:
    folder = vendor.root / "raw"
    named = {"account_id": ASKED, **row}
    (folder / "events").mkdir()
    (folder / "events.csv").rename(folder / "events" / "1.csv")
    (folder / "events" / "2.csv").write_text(f"{','.join(named)}\n{','.join(map(str, named.values()))}\n")
    ingest(folder, vendor, IngestParams(), datetime(2025, 7, 3, 12, tzinfo=UTC))


def test_an_action_that_lowers_the_chance_is_told_so_and_stands_last(
    vendor: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = whatif._predicted

    def lower(live: release.Release, features: pa.Table) -> Any:
        said = asked(live, features)
        for name in said["invite_users"]:
            said["invite_users"][name] = said["now"][name] * 0.5
        return said

    monkeypatch.setattr(whatif, "_predicted", lower)
    said = ask(vendor, ASKED)
    gains = [action["expected_increment_then"] - action["expected_increment"] for action in said["actions"]]
    assert gains == sorted(gains, reverse=True)
    last = said["actions"][-1]
    assert (last["action"], last["expected_increment_then"]) == ("invite_users", said["expected_increment"] / 2)
    assert last["verdict"].startswith("would not raise the model's chance within 180 days: from")


def test_the_answer_keeps_its_contract_and_changes_nobodys_score(service: Service) -> None:
    leads = service.get("/v1/leads?limit=200").json()
    answer = service.get(f"/v1/accounts/{ASKED}/what-if")
    found = WhatIfAnswer.model_validate(answer.json())
    assert (found.account_id, found.horizon, found.what_if_absent) == (ASKED, 180, None)
    assert {action.label for action in found.actions} == {LABEL}
    assert found.actions[0].text == "3 active users in the last 28 days; a quarter of its peers have 8 or more: 5 more"
    assert found.actions[0].probability_then > found.actions[0].probability  # the model was taught that users count
    assert found.actions[0].verdict.startswith("would raise the model's chance within 180 days from ")
    other = WhatIfAnswer.model_validate(service.get(f"/v1/accounts/{ASKED}/what-if?horizon=90").json())
    assert (other.horizon, other.probability) == (90, pytest.approx(_chance(leads, ASKED, 90)))
    assert service.get(f"/v1/accounts/{ASKED}/what-if?horizon=7").status_code == 422
    assert service.get("/v1/leads?limit=200").json() == leads


def _chance(leads: dict[str, Any], account: str, days: int) -> float:
    [item] = [item for item in leads["items"] if item["account_id"] == account]
    return next(float(row["probability"]) for row in item["horizons"] if row["days"] == days)


def test_who_may_ask_and_of_whom(service: Service) -> None:
    assert service.client.get(f"/v1/accounts/{ASKED}/what-if").status_code == 401
    assert service.get(f"/v1/accounts/{ASKED}/what-if", key=service.scorer).status_code == 403
    unknown = service.get("/v1/accounts/nobody/what-if")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_account")
    top = WhatIfAnswer.model_validate(service.get(f"/v1/accounts/{TOP}/what-if").json())
    assert (top.what_if_absent, top.actions, top.not_offered) == ("top_tier", [], [])


def test_an_account_whose_id_ends_like_the_route_is_found_and_may_be_asked_about(service: Service) -> None:
    for path in ("a005/what-if", "a005%2Fwhat-if"):
        assert AccountAnswer.model_validate(service.get(f"/v1/accounts/{path}").json()).account_id == "a005/what-if"
    asked = WhatIfAnswer.model_validate(service.get("/v1/accounts/a005%2Fwhat-if/what-if").json())
    assert asked.account_id == "a005/what-if"


def test_a_rule_and_a_release_that_kept_no_values_have_none(workspace: Path) -> None:
    for method, why in (("rule", "rule"), ("model", "not_kept")):
        publish(workspace / method, method=method)
        service = open_service(workspace / method)
        found = WhatIfAnswer.model_validate(service.get("/v1/accounts/acct-00003/what-if").json())
        assert (found.what_if_absent, found.actions) == (why, [])


def test_the_page_asks_only_when_it_is_asked_and_every_number_stands_under_the_label(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = service.get(f"/accounts/{ASKED}?what-if=1").text
    assert LABEL in page
    assert "Switch on specialist functions" in page
    assert page.index(LABEL) < page.index("Switch on specialist functions")
    monkeypatch.setattr("serving.pages.what_if", None)
    plain = service.get(f"/accounts/{ASKED}").text
    assert f'href="/accounts/{ASKED}?what-if=1#what-if"' in plain
    assert LABEL not in plain
    assert "?what-if" not in service.get(f"/accounts/{TOP}").text


def test_a_terminal_shows_each_action_under_the_label(vendor: Workspace) -> None:
    said = ask(vendor, ASKED)
    label, first, verdict, *_ = what_if_lines(said)
    assert LABEL in label
    assert first.strip() == f"{said['actions'][0]['action']}: {said['actions'][0]['text']}"
    assert "would" in verdict
    assert what_if_lines(None) == []
    assert json.dumps(said)


def test_peers_are_those_in_use_of_its_age(vendor: Workspace) -> None:
    kept = tonight(live(vendor).folder)
    assert kept is not None
    _, peers = kept.of(SLEEPER)
    assert peers.accounts == 34  # all but the one that sleeps
    assert set(reasons(ask(vendor, YOUNG)).values()) == {"few_peers"}  # nobody else of its age
