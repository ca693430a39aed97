"""What may be left out of a request for scores, what may be sent beside, and how a mistake in it is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serving.batch import ScoreParams, score
from serving.schemas import Problem, ScoreAnswer
from tests.serving.nightly import AS_OF, NOW, histories, rule_bundle, warehouse_of
from tests.serving.published import Service, open_service

TOUCH = {"occurred_at": "2025-06-20", "channel": "phone", "owner": "ana", "kind": "contacted"}


@pytest.fixture
def vendor(workspace: Path) -> Service:
    score(warehouse_of(workspace, histories()), rule_bundle(workspace / "bundle"), AS_OF, {}, ScoreParams())
    return open_service(workspace, clock=NOW)


def asked(service: Service, **body: Any) -> Any:
    return service.client.post("/v1/score", json=body, headers={"x-api-key": service.scorer})


def test_without_a_day_the_night_of_the_release_answers(vendor: Service) -> None:
    told = asked(vendor, as_of=AS_OF.isoformat(), accounts=histories(3))
    found = ScoreAnswer.model_validate(told.json())
    assert [item.status for item in found.items] == ["ok"] * 3
    assert (found.as_of, found.version) == (AS_OF, found.bundle_id[:12])
    assert asked(vendor, accounts=histories(3)).json() == told.json()
    assert asked(vendor, accounts=histories(3), as_of=None).json() == told.json()
    assert asked(vendor, accounts=histories(3), as_of="2025-05-01").json()["as_of"] == "2025-05-01"


def test_touches_are_held_to_their_contract_and_change_no_score(vendor: Service) -> None:
    plain = asked(vendor, accounts=histories(3)).json()
    touched = [{**item, "touches": [TOUCH, {"occurred_at": "2025-06-21"}]} for item in histories(3)]
    assert asked(vendor, accounts=touched).json() == plain
    for wrong, status, code in (
        ({**TOUCH, "kind": "called"}, 422, "invalid_rows"),
        ({**TOUCH, "account_id": "another"}, 422, "invalid_request"),
        ({**TOUCH, "outcome": "yes"}, 422, "invalid_request"),
    ):
        touched[0]["touches"] = [wrong]
        answer = asked(vendor, accounts=touched)
        assert (answer.status_code, Problem.model_validate(answer.json()).code) == (status, code)
    schema = vendor.get("/openapi.json").json()["components"]["schemas"]["RawAccount"]["properties"]["touches"]
    assert "no score looks at touches" in schema["description"]


@pytest.mark.parametrize(
    ("body", "field", "more"),
    [
        ({}, "accounts", ""),
        ({"accounts": [{}]}, "accounts.0.account", ""),
        ({"accounts": [{"account": {}}]}, "accounts.0.account.account_id", " (1 more)"),
        ({"accounts": [{"account": {"account_id": "a"}}]}, "accounts.0.account.created_at", ""),
    ],
)
def test_what_is_missing_is_named_in_the_sentence(vendor: Service, body: Any, field: str, more: str) -> None:
    problem = Problem.model_validate(asked(vendor, **body).json())
    assert (problem.message, problem.field) == (f"{field}: Field required{more}.", field)
