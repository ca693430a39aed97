"""Values keep their meaning: ids stay text, numbers are finite, clocks are UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import account, event, invoice, write_raw
from warehouse.errors import ContractBroken, ParamsError
from warehouse.ingest import IngestParams, ingest
from warehouse.params import section
from warehouse.store import Workspace

NOW = datetime(2024, 6, 1, tzinfo=UTC)
LENIENT = IngestParams(never_empty=(), max_bad_ratio=1, max_ratio={"unknown_account": 1})


def accepted(raw: Path, table: str, params: IngestParams = LENIENT) -> list[dict[str, Any]]:
    workspace = Workspace(raw.parent / "workspace")
    ingest(raw, workspace, params, NOW)
    return list(pq.read_table(workspace.warehouse / table).to_pylist())


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_ids_keep_their_leading_zeros(format: str, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account("007"), account("7")], [event("007"), event("7")], format=format)
    assert [row["account_id"] for row in accepted(raw, "events")] == ["007", "7"]


def test_numeric_ids_of_parquet_become_text(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account("7")], [event("7")])
    (raw / "accounts.csv").unlink()
    created = pa.array([datetime(2024, 1, 1)])
    pq.write_table(pa.table({"account_id": pa.array([7]), "created_at": created}), raw / "accounts.parquet")
    assert accepted(raw, "accounts")[0]["account_id"] == "7"
    assert len(accepted(raw, "events")) == 1


@pytest.mark.parametrize(
    "text", ["NaN", "inf", "-inf", "Infinity", "1e400", "1e308", "1,000", "1_000", "0x10", "ten", "1e", "--1", "true"]
)
def test_only_finite_canonical_numbers_pass(text: str, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account()], [event(quantity=text), event()], [invoice(amount=text), invoice()])
    assert len(accepted(raw, "events")) == 1
    assert len(accepted(raw, "revenue")) == 1


@pytest.mark.parametrize(
    ("text", "value"), [("-0", "0"), ("12", "12"), ("-.5", "-0.5"), ("1e3", "1000"), ("2.00004", "2"), (" 7 ", "7")]
)
def test_plain_numbers_are_kept_to_four_places(text: str, value: str, tmp_path: Path) -> None:
    raw = write_raw(
        tmp_path / "raw", [account()], revenue=[invoice(amount=text, kind="credit" if "-" in text else "invoice")]
    )
    assert accepted(raw, "revenue")[0]["amount"] == Decimal(value)


def test_infinite_floats_of_parquet_are_quarantined(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account()])
    (raw / "revenue.csv").unlink()
    amounts = pa.array([1.5, float("inf"), float("nan"), 1e300])
    booked = pa.array([datetime(2024, 2, 1)] * 4)
    rows = pa.table({"account_id": ["a1"] * 4, "amount": amounts, "booked_at": booked})
    pq.write_table(rows, raw / "revenue.parquet")
    assert [row["amount"] for row in accepted(raw, "revenue")] == [Decimal("1.5")]


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2024-02-01T09:00:00Z", 9),
        ("2024-02-01 09:00:00+02:00", 7),
        ("2024-02-01T09:00:00.123456+0200", 7),
        ("2024-02-01 09:00", 8),
        ("2024-07-01 09:00", 7),
        ("2024-02-01 09:00:00 UTC", 9),
    ],
)
def test_an_explicit_zone_wins_over_the_declared_one(text: str, hour: int, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account()], [event(occurred_at=text)])
    params = IngestParams(never_empty=(), timezone="Europe/Berlin")
    workspace = Workspace(tmp_path / "workspace")
    ingest(raw, workspace, params, datetime(2024, 12, 1, tzinfo=UTC))
    assert pq.read_table(workspace.warehouse / "events")["occurred_at"][0].as_py().hour == hour


@pytest.mark.parametrize("offset", ["+25:00", "+99:99", "+02:75", "-14:30", "+1475", "+15"])
def test_no_clock_is_that_far_from_utc(offset: str, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account()], [event(occurred_at=f"2024-02-01T09:00{offset}", received_at=None)])
    accounting = ingest(raw, Workspace(tmp_path / "workspace"), LENIENT, NOW)
    assert accounting.quarantined("events") == {"wrong_type": 1}


@pytest.mark.parametrize(
    ("offset", "utc"),
    [("+14:00", "19:00"), ("-14", "23:00"), ("+05:45", "03:15"), ("-0330", "12:30"), ("+00:59", "08:01")],
)
def test_the_offsets_that_there_are_stay(offset: str, utc: str, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account()], [event(occurred_at=f"2024-02-01T09:00{offset}", received_at=None)])
    assert f"{accepted(raw, 'events')[0]['occurred_at']:%H:%M}" == utc


ZONES = ["Asia/Tokyo", "Pacific/Kiritimati", "America/Los_Angeles", "America/Sao_Paulo", "UTC", None]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_an_invoice_is_of_the_day_it_is_dated_in_any_zone(format: str, zone: str | None, tmp_path: Path) -> None:
    """2018-11-04 had no midnight in Sao Paulo: its clocks went from 23:59 to 1:00."""
    dates = {"booked_at": "2018-11-04", "period_start": "2018-11-04", "period_end": "2018-12-04"}
    raw = write_raw(tmp_path / "raw", [account(created_at="2018-11-03")], revenue=[invoice(**dates)])
    if format == "parquet":
        (raw / "revenue.csv").unlink()
        row = {name: pa.array([date.fromisoformat(day)], pa.date32()) for name, day in dates.items()}
        row |= {"account_id": pa.array(["a1"]), "amount": pa.array([100])}
        pq.write_table(pa.table(row), raw / "revenue.parquet")
    params = LENIENT.model_copy(update={"timezone": zone})
    [row] = accepted(raw, "revenue", params)
    assert {name: row[name] for name in dates} == {name: datetime.fromisoformat(day) for name, day in dates.items()}
    assert accepted(raw, "accounts", params)[0]["created_at"] == datetime(2018, 11, 3)


@pytest.mark.parametrize(
    "text", ["1706778000", "1706778000000", "02/01/2024", "2024-02-30", "infinity", "epoch", "now", "2024-02-01 25:00"]
)
def test_what_is_no_iso_timestamp_is_quarantined(text: str, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account()], [event(occurred_at=text), event()])
    assert len(accepted(raw, "events")) == 1


def test_naive_timestamps_are_refused_without_a_declared_zone(tmp_path: Path) -> None:
    rows = [event(occurred_at="2024-02-01 09:00"), event(), event(received_at="2024-02-03 00:00")]
    raw = write_raw(tmp_path / "raw", [account()], rows)
    with pytest.raises(ContractBroken, match="naive_timestamp"):
        ingest(raw, Workspace(tmp_path / "workspace"), IngestParams(never_empty=(), timezone=None), NOW)
    kept = pq.read_table(tmp_path / "workspace/quarantine/events.parquet").to_pylist()
    assert sorted((k["rule"], k["column"]) for k in kept) == [
        ("naive_timestamp", "occurred_at"),
        ("naive_timestamp", "received_at"),
    ]


def test_an_unknown_zone_is_a_params_error() -> None:
    with pytest.raises(ParamsError, match="not a time zone"):
        section({"ingest": {"timezone": "Mars/Olympus"}}, "ingest", IngestParams)


def test_absent_and_blank_optional_values_take_their_defaults(tmp_path: Path) -> None:
    bare = {"account_id": "a1", "event_name": "seen", "occurred_at": "2024-02-01T09:00:00Z"}
    raw = write_raw(tmp_path / "raw", [account(is_internal="", employees="12.0")], [bare], [invoice(kind="")])
    row = accepted(raw, "events")[0]
    assert (row["received_at"], row["quantity"], row["user_id"]) == (row["occurred_at"], Decimal(1), None)
    assert accepted(raw, "accounts")[0]["is_internal"] is None, "nobody has said, which is not the same as no"
    assert accepted(raw, "accounts")[0]["employees"] == 12
    assert accepted(raw, "revenue")[0]["kind"] == "invoice"


def test_hostile_text_is_stored_as_it_stands(tmp_path: Path) -> None:
    texts = [
        "=1+1",
        "<b>x</b>",
        "'; DROP TABLE events;--",
        "\x1b[31m",
        "\u202egnp",
        "😀",
        'a "quoted", one',
        "two\nlines",
    ]
    rows = [event(event_name=text, occurred_at=f"2024-02-0{n + 1}T00:00:00Z") for n, text in enumerate(texts)]
    assert [row["event_name"] for row in accepted(write_raw(tmp_path / "raw", [account()], rows), "events")] == texts


def test_ten_minutes_of_clock_skew_are_tolerated(tmp_path: Path) -> None:
    rows = [event(occurred_at=f"2024-06-01T00:{minute}:00Z") for minute in ("10", "11")]
    accounting = ingest(write_raw(tmp_path / "raw", [account()], rows), Workspace(tmp_path / "workspace"), LENIENT, NOW)
    assert accounting.counts["events"] == 1
    assert accounting.quarantined("events") == {"future": 1}
