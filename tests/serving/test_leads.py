"""Leads in their order, filtered, paged and as a file."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from features.journey import STAGES
from serving import release, schemas
from serving.leads import safe_cell
from tests.serving import published
from tests.serving.published import (
    FORMULA,
    HORIZONS,
    HOSTILE,
    TIERS,
    Service,
    make_scores,
    open_service,
    publish,
    ranked,
)

SIDES = ("low", "high")


def items(service: Service, **query: Any) -> list[dict[str, Any]]:
    answer = service.get("/v1/leads", params={"limit": 200, **query})
    assert answer.status_code == 200, answer.text
    found = schemas.LeadsAnswer.model_validate(answer.json())
    assert found.total == len(found.items)
    return list(answer.json()["items"])


def test_leads_come_in_the_order_to_call_them(service: Service) -> None:
    found = items(service)
    assert [item["rank"] for item in found] == list(range(1, 121))
    assert [item["score"] for item in found] == sorted((item["score"] for item in found), reverse=True)


@pytest.mark.parametrize(
    ("sort", "field"), [("probability", "probability"), ("expected_increment", "expected_increment")]
)
@pytest.mark.parametrize("horizon", [90, 360])
def test_leads_sort_by_the_chosen_number_with_no_estimate_last(
    service: Service, sort: str, field: str, horizon: int
) -> None:
    values = [item[field] for item in items(service, sort=sort, horizon=horizon)]
    assert values[-1] is None
    assert values[:-1] == sorted(values[:-1], reverse=True)


@pytest.mark.parametrize(
    ("query", "keep"),
    [
        ({"band": "A"}, lambda row: row["band"] == "A"),
        ({"tier": "trial", "stage": "uptake"}, lambda row: row["tier"] == "trial" and row["stage"] == "uptake"),
        ({"owner": "ana"}, lambda row: row["owner"] == "ana"),
        ({"channel": "web", "country": "DE"}, lambda row: row["channel"] == "web" and row["country"] == "DE"),
        ({"min_increment": 100}, lambda row: (row["increment_180"] or 0) >= 100),
        ({"min_increment": 100, "horizon": 90}, lambda row: (row["increment_90"] or 0) >= 100),
        ({"q": "0001"}, lambda row: "0001" in row["account_id"]),
        ({"q": "%"}, lambda row: "%" in row["account_id"]),
        ({"q": "' OR 1=1 --"}, lambda row: False),
        ({"changed_since": "2026-03-02"}, lambda row: True),
        ({"changed_since": "2026-03-03"}, lambda row: False),
    ],
)
def test_filters_keep_what_a_plain_loop_keeps(service: Service, query: dict[str, Any], keep: Any) -> None:
    expected = [row["account_id"] for row in ranked(make_scores()).to_pylist() if keep(row)]
    assert sorted(item["account_id"] for item in items(service, **query)) == sorted(expected)


@pytest.mark.parametrize("sort", ["score", "probability", "expected_increment"])
def test_pages_join_up_to_the_whole_list(service: Service, sort: str) -> None:
    seen, cursor = [], None
    while True:
        params = {"limit": 7, "sort": sort} | ({"cursor": cursor} if cursor else {})
        answer = service.get("/v1/leads", params=params).json()
        seen += [item["account_id"] for item in answer["items"]]
        if (cursor := answer["next_cursor"]) is None:
            break
    assert seen == [item["account_id"] for item in items(service, sort=sort)]


def test_a_cursor_is_for_its_query_and_its_release_only(service: Service) -> None:
    cursor = service.get("/v1/leads", params={"limit": 7}).json()["next_cursor"]
    for wrong in (cursor[:-3] + "AAA", "x", cursor + "é", "e30"):
        answer = service.get("/v1/leads", params={"limit": 7, "cursor": wrong})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor"), wrong
    other = service.get("/v1/leads", params={"band": "A", "cursor": cursor})
    assert other.json()["code"] == "bad_cursor"
    publish(service.workspace, seed=5)
    service.refresh()
    moved = service.get("/v1/leads", params={"limit": 7, "cursor": cursor})
    assert (moved.status_code, moved.json()["code"]) == (409, "release_changed")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"sort": "rank; DROP TABLE scores"}, "sort"),
        ({"band": "Z"}, "band"),
        ({"stage": "uptaken"}, "stage"),
        ({"tier": "platinum"}, "tier"),
        ({"tier": "platinum", "format": "csv"}, "tier"),
        ({"horizon": 7}, "horizon"),
        ({"min_increment": "NaN"}, "min_increment"),
        ({"min_increment": "inf"}, "min_increment"),
        ({"changed_since": "yesterday"}, "changed_since"),
        ({"changed_since": "0"}, "changed_since"),
        ({"changed_since": "20260301"}, "changed_since"),
        ({"limit": [2, 3]}, "limit"),
        ({"colour": "red"}, "colour"),
        ({"q": "x" * 201}, "q"),
    ],
)
def test_a_wrong_query_names_its_field(service: Service, params: dict[str, Any], field: str) -> None:
    answer = service.get("/v1/leads", params=params)
    assert answer.status_code == 422
    assert schemas.Problem.model_validate(answer.json()).field == field


def test_an_unknown_stage_or_tier_is_answered_with_those_that_there_are(service: Service) -> None:
    for name, known in (("stage", STAGES), ("tier", TIERS)):
        answer = service.get("/v1/leads", params={name: "uptaken"})
        assert all(each in answer.json()["message"] for each in known)
        page = service.get("/", params={name: "uptaken"})
        assert (page.status_code, "This list cannot be shown" in page.text) == (422, True)
        for each in known:  # also one at which nobody stands tonight
            assert service.get("/v1/leads", params={name: each}).status_code == 200
    contract = service.get("/openapi.json").json()["paths"]["/v1/leads"]["get"]["parameters"]
    [stage] = [each["schema"] for each in contract if each["name"] == "stage"]
    assert stage["anyOf"][0]["enum"] == list(STAGES)


def test_csv_holds_every_match_and_no_formula(service: Service) -> None:
    answer = service.get("/v1/leads", params={"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["rank"]) for row in rows] == list(range(1, 121))
    accounts = {row["account_id"] for row in rows}
    assert "'" + FORMULA in accounts
    assert HOSTILE in accounts
    assert rows[0]["reason_1"] == "for: more active users in the last 28 days: 11 users (its peers: 4)"
    assert rows[0]["reason_3"].startswith("against: longer since")
    assert {row["slot"] for row in rows} == {""}


@pytest.mark.parametrize("horizon", [90, 360])
def test_the_range_of_the_money_is_that_of_the_horizon_asked_for(service: Service, horizon: int) -> None:
    rows = {row["account_id"]: row for row in ranked(make_scores()).to_pylist()}
    for item in items(service, horizon=horizon):
        row = rows[item["account_id"]]
        assert (item["amount_low"], item["amount_high"]) == (
            row[f"amount_low_{horizon}"],
            row[f"amount_high_{horizon}"],
        )
        for each in item["horizons"]:
            assert each["amount_high"] == row[f"amount_high_{each['days']}"]
    text = service.get("/v1/leads", params={"format": "csv", "horizon": horizon}).text
    for cells in csv.DictReader(io.StringIO(text)):
        high = rows[cells["account_id"].removeprefix("'")][f"amount_high_{horizon}"]
        assert cells["amount_high"] == ("" if high is None else str(high))
    assert service.get("/accounts/acct-00007").text.count(" to<br>") == len(HORIZONS)


def test_a_release_that_told_one_range_alone_claims_none_for_other_horizons(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As versions wrote it that stored the range of the default horizon alone."""
    told = make_scores()
    kept = [name for name in told.column_names if name not in {f"amount_{s}_{h}" for s in SIDES for h in HORIZONS}]
    monkeypatch.setattr(published, "make_scores", lambda **_: told.select(kept))
    publish(workspace)
    service = open_service(workspace)
    [lead] = items(service, q="00007")
    assert lead["amount_high"] is not None
    assert [each["amount_high"] for each in lead["horizons"]] == [None, lead["amount_high"], None, None]
    [lead] = items(service, q="00007", horizon=90)
    assert (lead["amount_low"], lead["amount_high"]) == (None, None)
    assert service.get("/accounts/acct-00007").text.count(" to<br>") == 1


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "  =1"])
def test_text_that_a_spreadsheet_would_run_is_quoted(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell(-1.5) == -1.5
    assert safe_cell("plain") == "plain"


def test_the_page_finds_an_owner_by_the_name_it_offers_blanks_and_length_included(workspace: Path) -> None:
    for owner in ("Ada ", "A" * 300):
        folder = publish(workspace, seed=len(owner), owner=owner)
        service = open_service(workspace)
        shown = service.get("/", params={"owner": owner})
        assert shown.status_code == 200
        assert "acct-00001" in shown.text
        assert quote(owner, safe="").replace("%20", "+") in shown.text  # the link to the same list as CSV
        assert folder == release.current(workspace / "releases")


def test_a_filter_that_finds_nobody_stays_chosen(service: Service) -> None:
    """So that Apply does not drop it without a word."""
    page = service.get("/", params={"country": "FR"}).text
    assert "No account matches" in page
    assert '<option value="FR" selected>FR</option>' in page


def test_a_rule_release_ranks_without_probabilities(workspace: Path) -> None:
    publish(workspace, method="rule")
    service = open_service(workspace)
    found = items(service)
    assert {item["probability"] for item in found} == {None}
    assert [item["band"] for item in found].count("A") == 2
    assert "Ranked by a rule" in service.get("/").text


def test_the_page_works_from_its_url_alone(service: Service) -> None:
    page = service.get("/", params={"band": "A", "q": "", "owner": ""}).text
    assert page.count('<th scope="row">') == min(25, len(items(service, band="A")))
    assert "about 1 in" in page
    assert "more active users in the last 28 days: 11 users (its peers: 4)" in page
    wrong = service.get("/", params={"band": "Z"})
    assert (wrong.status_code, "This list cannot be shown" in wrong.text) == (422, True)
    assert "No account matches" in service.get("/", params={"q": "none such"}).text
