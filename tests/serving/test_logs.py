"""What the service says in its log: what it serves, who asked which route, and never for whom."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.api import create_app
from serving.logs import log_to_stderr
from serving.settings import Settings, warn_open_door
from tests.serving.published import NOW, Client, Service

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """stderr, to which the test lets the service's log go, until it ends."""
    ours = logging.getLogger("expansion")
    before = ours.handlers, ours.level, ours.propagate
    yield capsys
    ours.handlers, ours.level, ours.propagate = before


def test_a_request_is_a_line_with_route_status_and_key_but_no_id_of_an_account(
    service: Service, log: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr()
    service.get("/v1/accounts/acct-00001?horizon=180")
    service.get("/v1/accounts/acct-00001/nothing/")
    service.client.get("/v1/leads?q=acct-00001")
    service.client.post("/v1/score", headers={"x-api-key": service.reader})
    first, second, third, fourth = log.readouterr().err.splitlines()
    key = service.reader[4:16]
    line = rf"{STAMP} INFO expansion\.access \[\d+\]"
    assert re.fullmatch(rf"{line} GET /v1/accounts/{{account_id}} 200 \d+ ms key {key}", first)
    assert re.fullmatch(rf"{line} GET /v1/accounts/{{account_id}} 404 \d+ ms key {key}", second)
    assert re.fullmatch(rf"{line} GET unmatched 401 \d+ ms key -", third)
    assert re.fullmatch(rf"{line} POST unmatched 403 \d+ ms key {key}", fourth)


def test_the_release_that_is_served_is_told_once(service: Service, log: pytest.CaptureFixture[str]) -> None:
    log_to_stderr()
    log_to_stderr()  # as a worker that is started again does
    create_app(Settings(workspace=service.workspace), lambda: NOW)
    told = log.readouterr().err
    assert re.fullmatch(rf"{STAMP} INFO expansion\.release \[\d+\] serving release 2026-03-02-\S+\n", told)


@pytest.mark.parametrize(("auth", "says"), [(True, "asks for keys"), (False, "asks nobody for a key")])
def test_a_service_that_is_open_at_its_owners_word_warns_of_it(
    log: pytest.CaptureFixture[str], auth: bool, says: str
) -> None:
    log_to_stderr()
    warn_open_door(Settings(insecure=True, auth=auth, host="0.0.0.0"))
    told = log.readouterr().err
    assert re.match(rf"{STAMP} WARNING .* INSECURE: host 0\.0\.0\.0 .*{says}", told)
    warn_open_door(Settings(auth=auth))
    assert log.readouterr().err == ""


def test_an_open_door_without_a_key_is_open_at_its_owners_word_alone(tmp_path: Path) -> None:
    surface = create_app(Settings(workspace=tmp_path, insecure=True, auth=False, host="0.0.0.0"), lambda: NOW)
    assert Client(surface.guarded, "http://example.org").get("/readyz").status_code == 503
