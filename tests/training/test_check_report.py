"""`expansion check`: a folder described before anything is built from it, in words, in JSON and on a page."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Row, account, event, invoice, write_raw
from training.check_page import page
from training.check_report import CheckReport, check
from training.check_sheets import labelled_sheet, rows_sheet
from training.check_terminal import show
from training.labels import MOVED, ON_TOP, REACHED, WAITING
from warehouse.errors import ContractBroken, ParamsError

NOW = datetime(2024, 8, 1, tzinfo=UTC)
PARAMS: dict[str, Any] = {"tiers": {"ladder": [{"name": "trial", "floor": 0}, {"name": "paid", "floor": 20}],
                                    "high_value": "paid"}}  # fmt: skip
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "]]></style><svg/onload=alert(3)>",
    "[bold red]\x1b[31mred\x1b[0m\u202e",
    "=HYPERLINK(1)",
)


def folder(tmp_path: Path, events: list[Row] | None = None, accounts: int = 20, currency: str = "USD") -> Path:
    """20 accounts of January, each with an event every Monday to July; every other one pays its number times 10."""
    mondays = [f"2024-{month:02}-{day:02}T09:00:00Z" for month in range(2, 8) for day in (1, 8, 15, 22)]
    names = [f"a{n}" for n in range(1, accounts + 1)]
    own = [event(name, moment) for name in names for moment in mondays]
    served = {"period_start": "2024-05-01", "period_end": "2024-08-01", "currency": currency}
    revenue = [invoice(name, "2024-05-01T00:00:00Z", 10 * n, **served) for n, name in enumerate(names) if n % 2]
    return write_raw(tmp_path / "raw", [account(name) for name in names], own + (events or []), revenue)


def report_of(raw: Path, **params: Any) -> CheckReport:
    return check(raw, PARAMS | params, NOW, 30)


def printed(report: CheckReport) -> str:
    out = io.StringIO()
    show(report, out)
    return out.getvalue()


class Page(HTMLParser):
    """What a browser would make of it: tags in order, attributes, and text outside the style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_says_what_is_there_and_what_is_not_yet(tmp_path: Path) -> None:
    report = report_of(folder(tmp_path))
    assert (report.refused, report.problems) == (False, ())
    assert (report.profile.accounts, report.profile.with_events, report.profile.with_revenue) == (20, 20, 10)
    assert [(one.name, one.events, one.accounts) for one in report.profile.event_names] == [("report_built", 480, 20)]
    assert report.readiness.verdict == "not yet"
    assert report.verdict.startswith("not yet. ")
    assert "`expansion score` serves the rule" in report.verdict
    # 10, 30, ... 190 for 92 days of service: 190 a period is 61.96 per 30 days, rounded down to 61
    assert report.spend is not None
    assert report.spend.suggested == (29.0, 48.0, 61.0)


def test_nothing_is_left_behind_and_no_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    raw = folder(tmp_path, [event("a1", "soon") for _ in range(9)])
    report = report_of(raw)
    assert list(tmp_path.iterdir()) == [raw]
    assert "expansion-check" not in printed(report) + json.dumps(report.to_json()) + page(report)


def test_every_row_is_accounted_for_by_table_and_rule(tmp_path: Path) -> None:
    copy = event("a1", "2024-02-01T10:00:00Z")
    report = report_of(folder(tmp_path, [copy, copy, event("a1", "soon"), event("ghost")]))
    rows = {row[:2]: row[2:] for row in rows_sheet(report).rows}
    assert rows["events", ""] == ("484", "481", "1", "2")
    by_rule = {row[1].split(":")[0]: row[5] for row in rows_sheet(report).rows if row[1]}
    assert by_rule == {"wrong_type": "1 (0.21 %)", "unknown_account": "1 (0.21 %)"}
    assert report.unknown == 1


def test_a_folder_that_ingest_would_refuse_is_still_described(tmp_path: Path) -> None:
    report = report_of(folder(tmp_path, [event("a1", "soon") for _ in range(9)]))
    assert report.refused
    assert len(report.problems) == 1
    said = printed(report)
    assert "ingest would refuse this folder" in said
    assert "9 of 489 rows are not timestamps" in said
    assert "Ingest would refuse this folder" in page(report)
    assert report.to_json()["accounting"]["tables"]["events"]["quarantined"] == {"wrong_type": 9}


def test_where_there_is_nothing_to_report_on_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractBroken):
        report_of(tmp_path / "nowhere")
    with pytest.raises(ContractBroken):
        report_of(write_raw(tmp_path / "raw", [], [event()], [invoice()]))


@pytest.mark.parametrize("section", ["ingest", "tiers", "snapshots", "features", "labels", "train"])
def test_a_typo_in_any_section_it_reads_is_told(tmp_path: Path, section: str) -> None:
    with pytest.raises(ParamsError, match="unknown key"):
        report_of(folder(tmp_path), **{section: {"sead": 1}})


def test_meanings_of_event_names_are_held_against_what_occurs(tmp_path: Path) -> None:
    meanings = {"specialist": ["report_built", "never_built"], "ticket": ["never_opened"]}
    report = report_of(folder(tmp_path), features=meanings)
    assert report.meanings == {"report_built": "specialist"}
    assert report.never_seen == ("never_built", "never_opened")
    assert any("never_built, never_opened" in note for note in report.notes)


def test_what_deserves_a_look_is_said(tmp_path: Path) -> None:
    """Events stop on 22 July; an invoice comes 8 days later, and no event has a user or a second clock."""
    late = write_raw(
        tmp_path / "late",
        [account()],
        [event(user_id=None, occurred_at=f"2024-07-{day:02}T09:00:00Z", received_at=None) for day in range(1, 23)],
        [invoice(booked_at="2024-07-30T00:00:00Z")],
    )
    notes = " ".join(report_of(late).notes)
    assert "Events end 8 days before the other facts" in notes
    assert "set snapshots.until to 2024-07-23" in notes
    assert "No event has a received_at of its own" in notes
    assert "No event names a user" in notes
    assert "No account is marked is_internal" in notes
    assert "account_users tells of 0 of 1 accounts who belongs to them" in notes
    told = " ".join(report_of(late, snapshots={"until": "2024-07-23"}).notes)
    assert "Events end" not in told


def test_seats_are_asked_for_until_nearly_every_account_has_them(tmp_path: Path) -> None:
    names = [f"a{n}" for n in range(20)]
    for told, asked in ((18, True), (19, False)):
        seats = [{"account_id": name, "user_id": "u1", "valid_from": "2024-03-01T00:00:00Z"} for name in names[:told]]
        raw = write_raw(
            tmp_path / f"raw{told}",
            [account(name) for name in names],
            [event(name, "2024-03-01T09:00:00Z") for name in names],
            [invoice("a1", "2024-05-01T00:00:00Z", 10)],
            account_users=seats,
        )
        said = " ".join(report_of(raw).notes)
        assert (f"account_users tells of {told} of 20 accounts" in said) == ("account_users tells" in said) == asked


def test_billing_data_that_stop_before_usage_are_told_of(tmp_path: Path) -> None:
    """Invoices of April and May, usage to 22 July: 81 days without one, where 30 were the rule."""
    raw, monthly = folder(tmp_path), [invoice("a1", f"2024-{month:02}-01T00:00:00Z") for month in (3, 4, 5)]
    events = [event("a1", f"2024-07-{day:02}T09:00:00Z") for day in range(1, 23)]
    notes = " ".join(report_of(write_raw(tmp_path / "stopped", [account()], events, monthly)).notes)
    assert "Revenue ends 82 days before the other facts" in notes
    assert "outcomes are told up to 2024-05-02 only" in notes
    assert "Revenue ends" not in " ".join(report_of(raw).notes)


def test_every_snapshot_has_a_label_or_a_reason_in_the_report(tmp_path: Path) -> None:
    report = report_of(folder(tmp_path))
    sheet = labelled_sheet(report)
    assert sheet.header == ("target", "horizon", "labelled", ON_TOP, REACHED, MOVED, WAITING)
    assert len(sheet.rows) == 8
    for row in sheet.rows:
        assert sum(int(cell.replace(",", "")) for cell in row[2:]) == report.readiness.snapshots
    assert "Snapshots with a label, and without by reason" in printed(report)
    assert "not complete yet" in Page(page(report)).text


def test_a_few_accounts_that_do_not_say_whether_they_are_internal_are_told_of(tmp_path: Path) -> None:
    names = [f"a{n}" for n in range(1, 21)]
    for unmarked, told in ((2, True), (3, False)):
        raw = write_raw(
            tmp_path / f"raw{unmarked}",
            [account(name, is_internal=None if n < unmarked else n == 19) for n, name in enumerate(names)],
            [event(name, "2024-03-01T09:00:00Z") for name in names],
            [invoice("a1", "2024-05-01T00:00:00Z", 10)],
        )
        assert ("2 of 20 accounts do not say whether they are internal" in " ".join(report_of(raw).notes)) == told


def test_a_new_name_in_midstream_is_taken_for_a_renaming(tmp_path: Path) -> None:
    renamed = [event("a1", f"2024-07-02T09:{n % 60:02}:{n // 60:02}Z", "report.created") for n in range(100)]
    notes = report_of(folder(tmp_path, renamed)).notes
    assert any(note.startswith("report.created first seen on 2024-07-02.") for note in notes)


def test_the_document_is_plain_json_and_whole(tmp_path: Path) -> None:
    report = report_of(folder(tmp_path))
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["schema_version"] == 1
    assert document["now"] == "2024-08-01T00:00:00+00:00"
    assert document["data_end"] == "2024-07-23"
    assert document["profile"]["concentration"]["top"]["10"] == 0.19  # 190 of 1,000
    assert document["readiness"]["verdict"] == "not yet"
    assert {row["horizon"] for row in document["readiness"]["outlooks"]} == {90, 180, 270, 360}


def test_the_terminal_shows_every_table_and_obeys_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it: in narrow columns a name is folded
    said = printed(report_of(folder(tmp_path, [event("a1", event_name=name) for name in HOSTILE])))
    for title in ("Rows: read", "Both clocks", "Lateness", "Events:", "Concentration", "Tier floors", "specialist",
                  "What there is to learn from", "by quarter", "Verdict"):  # fmt: skip
        assert title in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "[bold red]" in said  # as text, not as a style
    assert "read the folder" not in said  # progress belongs to stderr


def test_the_page_asks_for_nothing_and_runs_nothing(tmp_path: Path) -> None:
    text = page(report_of(folder(tmp_path)))
    assert not re.search(r"https?:|//|@import|url\(", text.replace("<!doctype html>", ""))
    seen = Page(text)
    assert not {"script", "img", "link", "iframe", "object", "embed", "form", "base"} & set(seen.tags)
    assert not {name for name, _ in seen.attributes if name in ("src", "href", "srcset", "style") or name[:2] == "on"}
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in seen.attributes


def test_hostile_event_names_are_text_on_the_page(tmp_path: Path) -> None:
    seen = Page(page(report_of(folder(tmp_path, [event("a1", event_name=name) for name in HOSTILE]))))
    plain = Page(page(report_of(folder(tmp_path))))
    assert set(seen.tags) == set(plain.tags)
    assert not {name for name, _ in seen.attributes if name[:2] == "on"}
    for name in HOSTILE[:3]:
        assert name in seen.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", seen.text)


def test_a_hostile_params_file_is_text_on_the_page_too(tmp_path: Path) -> None:
    ladder = [{"name": "trial", "floor": 0}, {"name": "<b onclick=x>", "floor": 20}]
    tiers = {"currency": "<i>", "ladder": ladder, "high_value": "<b onclick=x>"}
    seen = Page(page(report_of(folder(tmp_path, currency="<i>"), tiers=tiers)))
    assert not {"b", "i"} & set(seen.tags)
    assert "<b onclick=x>" in seen.text


def test_every_picture_has_a_name_and_a_description_and_every_table_a_caption(tmp_path: Path) -> None:
    seen = Page(page(report_of(folder(tmp_path))))
    named = [value for name, value in seen.attributes if name == "aria-labelledby"]
    ids = [value for name, value in seen.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {part for value in named for part in str(value).split()} <= set(ids)
    assert seen.tags.count("svg") == seen.tags.count("desc") == len(named)
    assert {f"{name}-title" for name in ("concentration", "days", "spend", "quarters-expansion")} <= set(ids)
    assert seen.tags.count("table") == seen.tags.count("caption") > 5


def test_missing_days_are_marked_in_the_picture(tmp_path: Path) -> None:
    days = [f"2024-{3 + n // 28:02}-{1 + n % 28:02}" for n in range(112) if n != 50]
    events = [event("a1", f"{day}T{hour:02}:00:00Z") for day in days for hour in range(24)]
    report = report_of(write_raw(tmp_path / "raw", [account()], events, [invoice()]))
    text = page(report)
    lost = [str(day) for day in report.profile.days.missing] if report.profile.days else []
    assert "2024-04-23" in lost
    assert text.count('class="missing"') == len(lost)
    assert "2024-04-23: 0 events" in text


def test_a_folder_with_next_to_nothing_has_a_page_and_a_report(tmp_path: Path) -> None:
    params = {"ingest": {"never_empty": []}}
    report = report_of(write_raw(tmp_path / "raw", [account(created_at="2024-07-30T00:00:00Z")]), **params)
    assert "There are no events" in " ".join(report.notes)
    assert report.readiness.verdict == "not yet"
    assert "Nobody paid anything" in printed(report)
    assert Page(page(report)).tags.count("svg") == 0
