"""A look at a data folder before anything is built from it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.builders import account, event, invoice, write_raw
from warehouse.check import check
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def test_the_report_counts_ranges_names_and_floors(tmp_path: Path) -> None:
    accounts = [account(f"a{n}") for n in range(1, 21)]
    revenue = [invoice(f"a{n}", amount=10 * n) for n in range(1, 21)] + [invoice("a1", amount=-50)]
    events = [event("a1"), event("a1", event_name="api_called"), event("a2", received_at="2024-02-09T00:00:00Z")]
    raw = write_raw(tmp_path / "raw", accounts, events, revenue)
    report = check(raw, IngestParams(), NOW)
    assert report.problems == ()
    assert (report.accounts_with_events, report.accounts_with_revenue) == (2, 20)
    assert report.event_names == {"report_built": 2, "api_called": 1}
    assert report.clocks["events"]["received_at"] == ["2024-02-01 09:00:00", "2024-02-09 00:00:00"]
    assert report.suggested_floors == {"0.5": 110.0, "0.8": 170.0, "0.95": 200.0}
    assert any("21 read" in line for line in report.lines())
    assert list(tmp_path.iterdir()) == [raw]


def test_a_folder_that_ingest_would_refuse_is_still_described(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account()], [event(), event(occurred_at="soon")])
    report = check(raw, IngestParams(), NOW)
    assert len(report.problems) == 1
    assert report.lines()[-1].startswith('would be refused: events.csv: column "occurred_at"')
    assert report.to_json()["accounting"]["tables"]["events"]["quarantined"] == {"wrong_type": 1}


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractBroken, match="is not a folder"):
        check(tmp_path / "nowhere", IngestParams(), NOW)
