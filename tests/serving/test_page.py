"""The page in a real browser: signing in, reading, filtering, opening an account; nothing hostile runs."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from serving.guard import COOKIE
from tests.models.made_features import feature_rows, fitted
from tests.serving.explained import JUMPED, night, with_values
from tests.serving.published import HOSTILE, Service, open_service

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    with served(service) as there:
        yield there


@contextmanager
def served(service: Service) -> Iterator[str]:
    """The app on a real socket of loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(service.surface.guarded, lifespan="off", log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:  # noqa: ARG001 - the server outlives the page
    """A fresh page that must not complain: no console error, no CSP violation, no request to anywhere else. It closes
    before the server does, so that a late request is not refused."""
    context = browser.new_context(viewport={"width": 1360, "height": 900}, service_workers="block")
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    opened.on("request", lambda r: None if r.url.startswith("http://127.0.0.1:") else complaints.append(r.url))
    yield opened
    context.close()
    assert complaints == []


def test_a_link_with_the_key_signs_in_and_shows_leads_with_reasons(page: Page, address: str, service: Service) -> None:
    page.goto(f"{address}/#key={service.reader}")
    page.wait_for_selector("table.leads")
    assert service.reader not in page.url
    assert page.locator("table.leads tbody tr").count() == 25
    first = page.locator("table.leads tbody tr").first.inner_text()
    assert "more active users in the last 28 days: 11 users (its peers: 4)" in first
    assert "%" in first
    assert "120" in page.locator(".facts").inner_text()
    cookie = page.context.cookies()[0]
    assert cookie["httpOnly"]
    assert service.reader not in cookie["value"]


def test_on_a_phone_a_lead_is_a_card_with_its_money_and_why(page: Page, address: str, service: Service) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/#key={service.reader}")
    page.wait_for_selector("table.leads")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for part in (".money", ".why"):
        box = page.locator(f"table.leads tbody tr {part}").first.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_a_filter_without_a_control_survives_apply(page: Page, address: str, service: Service) -> None:
    page.goto(f"{address}/#key={service.reader}")
    page.wait_for_selector("table.leads")
    page.goto(f"{address}/?horizon=90")
    page.click("text=Apply")
    page.wait_for_load_state()
    assert "horizon=90" in page.url
    assert "in 90 days" in page.locator("table.leads thead").inner_text()


def test_a_country_a_channel_and_a_day_are_chosen_on_the_page(page: Page, address: str, service: Service) -> None:
    page.goto(f"{address}/#key={service.reader}")
    page.wait_for_selector("table.leads")
    page.select_option("select[name=country]", "DE")
    page.select_option("select[name=channel]", "web")
    page.fill("input[name=changed_since]", "2026-03-02")
    page.click("button:has-text('Apply')")
    page.wait_for_url("**country=DE**")
    assert "20 accounts match" in page.locator(".strip").inner_text()
    assert page.locator("select[name=channel]").input_value() == "web"
    assert page.locator("input[name=changed_since]").input_value() == "2026-03-02"
    page.fill("input[name=changed_since]", "2026-03-03")
    page.click("button:has-text('Apply')")
    page.wait_for_selector("text=No account matches")


@pytest.mark.parametrize(("width", "rows"), [(1300, 2), (390, 6)])
def test_the_filters_stand_in_even_rows(page: Page, address: str, service: Service, width: int, rows: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{address}/#key={service.reader}")
    page.wait_for_selector("table.leads")
    page.wait_for_load_state("load")  # the style sheet has come
    boxes = [each.bounding_box() for each in page.locator(".filters label, .filters .send").all()]
    assert len({round(box["y"] + box["height"]) for box in boxes if box}) == rows
    assert all(box and box["x"] + box["width"] <= width for box in boxes)


@pytest.mark.parametrize("width", [1300, 390])
def test_the_week_is_reached_from_the_list_and_asked_for_another_number_of_calls(
    page: Page, address: str, service: Service, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{address}/#key={service.reader}")
    page.wait_for_selector("table.leads")
    page.click("nav >> text=Plan")
    page.wait_for_selector("table.capacity")
    assert page.locator("table.leads tbody tr").count() == 60
    page.fill("input[name=capacity]", "7")
    page.click("button:has-text('Show')")
    page.wait_for_url("**capacity=7")
    assert page.locator("table.leads tbody tr").count() == 7
    assert page.locator("table.capacity tr.asked th").inner_text() == "7"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = page.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)")
    assert inside, "nothing has to be scrolled sideways"


@pytest.mark.parametrize("width", [1300, 390])
def test_the_journey_is_told_apart_on_the_page_and_only_its_tables_are_wide(
    page: Page, address: str, service: Service, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood = {"trial": 30, "commitment": 6, "uptake": 3, "expansion": 0, "dormant": 1, "closed": 0}

    def told(_release: object, _workspace: object, by: str | None) -> dict[str, Any]:
        row = {"number": 1, "accounts": 40, **stood} | ({"group": "web"} if by else {})
        return {"by_quarter": [row], "onward": [{"stage": "trial", "accounts": 40, **stood}]}

    monkeypatch.setattr("serving.journey.of_release", told)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{address}/#key={service.reader}")
    page.wait_for_selector("table.leads")
    page.click("nav >> text=Journey")
    page.wait_for_selector("table.shares")
    page.select_option("select[name=by]", "channel")
    page.click("button:has-text('Show')")
    page.wait_for_url("**by=channel")
    cells = page.locator("table.shares").first.locator("tbody tr").inner_text().split()
    assert cells[:6] == ["web", "1st", "40", "75", "%", "30"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_filters_live_in_the_url_and_pages_follow(page: Page, address: str, service: Service) -> None:
    page.goto(f"{address}/#key={service.reader}")
    page.wait_for_selector("table.leads")
    page.select_option("select[name=stage]", "trial")
    page.click("button:has-text('Apply')")
    page.wait_for_url("**stage=trial**")
    assert page.locator("select[name=stage]").input_value() == "trial"
    assert "40 accounts match" in page.locator(".strip").inner_text()
    page.click("a[rel=next]")
    page.wait_for_url("**cursor=**")
    assert page.locator("table.leads tbody tr").count() == 15


def test_an_account_with_a_hostile_name_opens_as_text(page: Page, address: str, service: Service) -> None:
    page.goto(f"{address}/?q=script#key={service.reader}")
    page.wait_for_selector("table.leads")
    page.click("table.leads tbody a")
    assert HOSTILE in page.locator("h1").inner_text()
    assert "Why" in page.locator("#why").inner_text()
    assert page.locator("main table tbody tr").count() == 4


def test_the_page_is_readable_without_scripts_once_signed_in(browser: Browser, address: str, service: Service) -> None:
    keys = service.surface.desk.keys
    key = keys.find(service.reader)
    assert key is not None
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies([{"name": COOKIE, "value": keys.open_session(key, 1), "url": address}])
    page = context.new_page()
    page.goto(address)
    assert page.locator("table.leads tbody tr").count() == 25
    context.close()


def test_the_keyboard_reaches_filters_and_leads_in_reading_order(page: Page, address: str, service: Service) -> None:
    page.goto(f"{address}/#key={service.reader}")
    page.wait_for_selector("table.leads")
    seen = []
    for _ in range(32):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("document.activeElement.name || document.activeElement.textContent.trim().slice(0, 20)")
        )
    assert seen[0] == "Skip to content"
    filters = ["band", "stage", "tier", "owner", "channel", "country", "min_increment", "changed_since", "q", "sort"]
    assert list(dict.fromkeys(name for name in seen if name in filters)) == filters  # a date takes several stops
    assert any(name.startswith("acct-") for name in seen)


@pytest.mark.parametrize(("tries_before", "words"), [(0, "not valid"), (10, "Too many wrong keys")])
def test_a_wrong_key_is_refused_in_words(browser: Browser, address: str, tries_before: int, words: str) -> None:
    for _ in range(tries_before):
        httpx.post(f"{address}/session", json={"key": "exp_wrong"})
    page = browser.new_page()
    page.goto(address)
    page.fill("#key", "exp_wrong")
    page.click("button:has-text('Sign in')")
    page.wait_for_selector("#sign-in-error:not([hidden])")
    assert words in page.locator("#sign-in-error").inner_text()
    page.close()


def test_an_account_shows_what_moved_it_since_the_release_before_and_fits_a_phone(
    browser: Browser, workspace: Path
) -> None:
    yesterday, bundle = date(2025, 6, 1), workspace / "bundle"
    fitted(n=1_200).save(bundle)
    before = with_values(feature_rows(60, seed=3), JUMPED, users_28d=1.0, tier=0.0)
    night(workspace, bundle, before, yesterday)
    night(workspace, bundle, with_values(before, JUMPED, users_28d=19.0), date(2025, 6, 2))
    with served(open_service(workspace, datetime(2025, 6, 2, 9, tzinfo=UTC), auth=False)) as address:
        opened = browser.new_page(viewport={"width": 390, "height": 800})
        opened.goto(f"{address}/accounts/{JUMPED}")
        text = opened.locator("main").inner_text()
        width = opened.evaluate("document.documentElement.scrollWidth")
        opened.close()
    assert "What moved it since 2025-06-01" in text
    assert "19 users (was 1 on 2025-06-01)" in text
    assert "add up to +" in text
    assert width <= 390
