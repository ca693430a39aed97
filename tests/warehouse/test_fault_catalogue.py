"""The catalogue of spoilt input, F1 to F11: what is wrong in rows. Files and bytes (F12 on): test_fault_files.py.

docs/input-faults.md is the table of them. `Live.stops` and `Live.takes` (spoilt_files.py) assert what every row of the
catalogue must: exit code 3 with one message and an untouched warehouse, or books that add up to the Parquet files.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import Row, account, event, invoice, write_file
from tests.warehouse.spoilt_files import (
    ANY,
    EVENTS,
    HEAD,
    LINE,
    NOON,
    Live,
    command,
    copied,
    delivery,
    events_file,
    good,
    lines,
    with_events,
)  # fmt: skip
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams, ingest
from warehouse.raw import FX_RATES, TABLES

# F1: a required column is missing, misspelt, or in another case

REQUIRED = [(table, column) for table in (*TABLES.values(), FX_RATES) for column in table.required]


@pytest.mark.parametrize("how", ["missing", "misspelt", "case"])
@pytest.mark.parametrize(("table", "column"), REQUIRED, ids=[f"F1-{t.name}.{c}" for t, c in REQUIRED])
def test_a_required_column(table: Any, column: str, how: str, tmp_path: Path, live: Live) -> None:
    header = [one for one in table.required if one != column]
    near = {"misspelt": column[:-1] + "x", "case": column.upper()}.get(how)
    raw = delivery(tmp_path / "raw")
    write_file(raw / f"{table.name}.csv", header + ([near] if near else []), [])
    words = [f"{table.name}.csv:", f'"{column}"', "missing_column", f"Expected: {', '.join(table.required)}.", "Found:"]
    live.stops(raw, *words, *([f'nearest found: "{near}"'] if near else []), params=IngestParams(currency="USD"))
    assert live.booked().read("events") == 2  # books of the live warehouse: it stopped before any work


# F2: one value of a wrong type, early, past any sniffing, and last


@pytest.mark.parametrize("column", ["quantity", "occurred_at"])
@pytest.mark.parametrize("line", [2, 20_482, 30_002], ids="F2-line-{}".format)
def test_one_wrong_value_never_retypes_its_column(line: int, column: str, tmp_path: Path, live: Live) -> None:
    body = [f"{one},{n}" for n, one in enumerate(lines(30_001))]
    cells = body[line - 2].split(",")
    cells[2 if column == "occurred_at" else 3] = "many"
    body[line - 2] = ",".join(cells)
    raw = with_events(tmp_path / "raw", "\n".join([f"{EVENTS},quantity", *body]) + "\n")
    accounting = live.takes(raw, IngestParams())
    assert (accounting.read("events"), accounting.counts["events"]) == (30_001, 30_000)
    assert live.aside("events") == [("events.csv", line, "wrong_type", column)]
    assert sum(row["quantity"] for row in live.rows("events")) == sum(range(30_001)) - (line - 2)


# F3: more than the limit


def test_F3_a_twentieth_of_100_000_rows_stops_and_all_of_it_is_in_the_quarantine(tmp_path: Path, live: Live) -> None:
    body = lines(100_000)
    body[::20] = ["a1,seen,soon"] * 5_000
    raw = with_events(tmp_path / "raw", "\n".join([EVENTS, *body]) + "\n")
    live.stops(
        raw,
        'events.csv: column "occurred_at": 5,000 of 100,000 rows are not timestamps (rule wrong_type, first at line 2)',
        f"Quarantined to {live.workspace.quarantine}/events.parquet",
        "Set ingest.max_bad_ratio to change the 0.1 % limit.",
    )
    assert [row[1] for row in live.aside("events")] == list(range(2, 100_002, 20))
    assert live.booked().quarantined("events") == {"wrong_type": 5_000}


# F4: keys that are none


BLANKS = [("events", key) for key in ("", '""', "   ", "\t", "\u00a0")] + [("accounts", ""), ("revenue", "  ")]


@pytest.mark.parametrize(("table", "key"), BLANKS, ids=[f"F4-{table}-{key!r}" for table, key in BLANKS])
def test_a_blank_key_is_set_aside(table: str, key: str, tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw")
    path = raw / f"{table}.csv"
    at = path.read_text().splitlines()[0].split(",").index("account_id")
    filler = path.read_text().splitlines()[1].split(",")
    blank = ",".join([*filler[:at], key, *filler[at + 1 :]])
    with path.open("a", encoding="utf-8", newline="") as stream:
        stream.write(f"{blank}\r\n" * 200)
    live.stops(raw, f"{table}.csv:", '"account_id"', "200 of 202 rows", "null_key", "first at line 4", "max_bad_ratio")
    accounting = live.takes(raw)
    assert accounting.quarantined(table) == {"null_key": 200}
    assert [row[1] for row in live.aside(table)] == list(range(4, 204))


def test_F4_null_and_empty_keys_of_parquet_are_one_rule_and_told_apart_by_shape(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw")
    (raw / "events.csv").unlink()
    keys = [*[None] * 300, *[""] * 300, *["  "] * 400, "a1"]
    pq.write_table(
        pa.table({"account_id": keys, "event_name": ["x"] * 1_001, "occurred_at": ["2024-02-01"] * 1_001}),
        raw / "events.parquet",
    )
    assert live.takes(raw).quarantined("events") == {"null_key": 1_000}
    shapes = Counter(row["shape"] for row in pq.read_table(live.workspace.quarantine / "events.parquet").to_pylist())
    assert shapes == {None: 300, "": 300, "  ": 400}


# F5: ids delivered twice


def test_F5_exact_copies_collapse_and_of_conflicting_ones_the_earliest_stays(tmp_path: Path, live: Live) -> None:
    body = [f"e{n},{one},1,2024-02-03" for n, one in enumerate(lines(10_000))]
    later = [f"e{n},{one},7,2024-02-04" for n, one in enumerate(lines(100))]
    header = f"event_id,{EVENTS},quantity,received_at"
    raw = with_events(tmp_path / "raw", "\n".join([header, *later, *body, *body]) + "\n")
    live.stops(raw, "events.csv:", '"event_id"', "100 of 20,100 rows repeat a key", "conflicting_duplicate", "line 2")
    accounting = live.takes(raw)
    assert (accounting.counts["events"], accounting.duplicate("events")) == (10_000, 10_000)
    assert accounting.quarantined("events") == {"conflicting_duplicate": 100}
    assert {row["quantity"] for row in live.rows("events")} == {1}


# F6: clocks that run ahead


def test_F6_ten_minutes_ahead_are_tolerated_and_the_end_of_the_data_stays(tmp_path: Path, live: Live) -> None:
    ahead = {"1s": timedelta(seconds=1), "5min": timedelta(minutes=5), "1d": timedelta(days=1)}
    said = [f"{NOON + gap:%Y-%m-%dT%H:%M:%SZ}" for gap in ahead.values()] + ["9999-12-31T00:00:00Z"]
    body = [f"e{n},a1,seen,{said[n % 4]}" for n in range(400)]
    raw = with_events(tmp_path / "raw", "\n".join([f"event_id,{EVENTS}", *body]) + "\n")
    live.stops(raw, "events.csv:", '"occurred_at"', "200 of 400 rows lie in the future", "future", "first at line 4")
    accounting = live.takes(raw)
    assert (accounting.counts["events"], accounting.quarantined("events")) == (200, {"future": 200})
    assert accounting.data_end == date(2024, 6, 2)


# F7: clocks that were lost


def test_F7_what_is_ancient_or_before_the_sign_up_is_set_aside_by_rule(tmp_path: Path, live: Live) -> None:
    body = [f"e{n},a1,seen,{('1970-01-01', '1600-06-01T10:00:00Z', '2023-12-31T23:59:59Z')[n % 3]}" for n in range(300)]
    raw = with_events(tmp_path / "raw", "\n".join([f"event_id,{EVENTS}", *body, "e,a1,seen,2024-02-01"]) + "\n")
    with pytest.raises(ContractBroken, match=r"(?s)200 of 301 .*rule ancient.*100 of 301 .*rule before_signup"):
        ingest(raw, live.workspace, IngestParams(), NOON)
    accounting = live.takes(raw)
    assert accounting.quarantined("events") == {"ancient": 200, "before_signup": 100}


# F8: zones

ZONES = {  # every one of them 09:00 UTC on 1 February, in a shop that declares Europe/Berlin
    "zulu": "2024-02-01T09:00:00Z",
    "offset": "2024-02-01T11:00:00+02:00",
    "naive": "2024-02-01 10:00:00",
    "spelt": "2024-02-01 09:00 UTC",
}
REFUSED_ZONES = {"epoch_s": "1706778000", "epoch_ms": "1706778000000", "us": "02/01/2024 10:00"}
SWITCHES = {"gap": "2024-03-31 02:30:00", "fold": "2024-10-27 02:30:00"}


@pytest.mark.parametrize("name", [*ZONES, *REFUSED_ZONES], ids="F8-{}".format)
def test_a_moment_in_one_notation(name: str, tmp_path: Path, live: Live) -> None:
    said = (ZONES | REFUSED_ZONES)[name]
    raw = with_events(tmp_path / "raw", HEAD + f"a1,seen,{said}\n")
    berlin = ANY.model_copy(update={"timezone": "Europe/Berlin"})
    if name in ZONES:
        assert live.takes(raw, berlin).counts["events"] == 1
        assert live.rows("events")[0]["occurred_at"] == datetime(2024, 2, 1, 9)
    else:
        live.stops(raw, "events.csv:", '"occurred_at"', "1 of 1 rows is not a timestamp", "wrong_type", "line 2")


def test_F8_naive_moments_without_a_declared_zone_are_refused(tmp_path: Path, live: Live) -> None:
    raw = with_events(tmp_path / "raw", HEAD + LINE + f"a1,seen,{ZONES['naive']}\n")
    said = live.stops(raw, "naive_timestamp", "line 3", params=IngestParams(timezone=None))
    assert "1 of 2 rows has no time zone" in said


def test_F8_the_zone_of_the_machine_changes_nothing(tmp_path: Path, ingested: Path) -> None:
    raw = delivery(tmp_path / "raw")
    (raw / "events.csv").unlink()
    for number, said in enumerate([*ZONES.values(), *SWITCHES.values()]):
        events_file(raw / f"events/{number}.csv", [event("a1", said, event_id=f"e{number}")])
    params = tmp_path / "params.yaml"
    params.write_text("ingest: {timezone: Europe/Berlin}\n")
    made = {}
    for zone in ("UTC", "America/New_York", "Asia/Kolkata"):
        live = copied(ingested, tmp_path / zone.replace("/", "-"))
        done = command(raw, live.workspace.root, "--params", str(params), zone=zone)
        assert done.returncode == 0, done.stderr
        made[zone] = [row["occurred_at"] for row in live.rows("events")]
        assert len(made[zone]) == 6
    assert made["UTC"] == made["America/New_York"] == made["Asia/Kolkata"]
    assert made["UTC"][:4] == [datetime(2024, 2, 1, 9)] * 4
    assert made["UTC"][4] in (datetime(2024, 3, 31, 0, 30), datetime(2024, 3, 31, 1, 30))  # a moment that never was
    assert made["UTC"][5] in (datetime(2024, 10, 27, 0, 30), datetime(2024, 10, 27, 1, 30))  # one that was twice


# F9: late rows (features as of a past day: tests/features/test_point_in_time.py)


def test_F9_late_rows_keep_both_clocks_and_are_counted_as_late(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw")
    happened = datetime(2024, 2, 10, 9)
    late = [
        event("a1", f"{happened}Z", event_id=f"late{days}", received_at=f"{happened + timedelta(days=days)}Z")
        for days in (1, 7, 40)
    ]
    (raw / "events.csv").unlink()
    events_file(raw / "events/1.csv", good()["events"])
    live.takes(raw)
    march = (live.workspace.warehouse / "events/2024-03.parquet").read_bytes()
    events_file(raw / "events/2.csv", late)
    audit = live.takes(raw).audit["events"]
    assert (audit.added, audit.late, audit.corrected, audit.removed) == (3, 3, 0, 0)
    kept = {row["event_id"]: row["received_at"] - row["occurred_at"] for row in live.rows("events")}
    assert {kept[f"late{days}"] for days in (1, 7, 40)} == {timedelta(days=days) for days in (1, 7, 40)}
    assert (live.workspace.warehouse / "events/2024-03.parquet").read_bytes() == march


# F10: numbers that are none

NUMBERS = ("NaN", "inf", "-inf", "1e400", "1e308", "1,000", "1_000", "0x10", "-0")
COLUMNS = {"events": "quantity", "revenue": "amount", "accounts": "employees", "fx_rates": "rate"}


@pytest.mark.parametrize("table", COLUMNS, ids=[f"F10-{table}.{column}" for table, column in COLUMNS.items()])
def test_only_finite_plain_numbers_enter(table: str, tmp_path: Path, live: Live) -> None:
    makers = {
        "events": lambda n, text: event("a1", event_id=f"e{n}", quantity=text),
        "revenue": lambda n, text: invoice("a1", revenue_id=f"r{n}", amount=text),
        "accounts": lambda n, text: account(f"b{n}", employees=text),
        "fx_rates": lambda n, text: {"day": "2024-02-01", "currency": "EUR", "rate": text},
    }
    rows = [makers[table](n, text) for n, text in enumerate(("7", *NUMBERS))]
    kept = [*good()["accounts"], *rows] if table == "accounts" else rows
    raw = delivery(tmp_path / "raw", **{table: kept})
    column, first, count = COLUMNS[table], len(kept) - len(rows) + 3, len(kept)
    if table == "fx_rates":
        with pytest.raises(ContractBroken, match=f'"rate": 8 of {count} rows are not finite numbers .*at line 3'):
            ingest(raw, live.workspace, IngestParams(currency="USD"), NOON)
        accounting = ingest(raw, live.workspace, ANY.model_copy(update={"currency": "USD"}), NOON)
        [found] = [one.quarantined for one in accounting.files if one.table == table]
        assert found == {"wrong_sign": 1, "wrong_type": 8}
        return
    said = live.stops(raw, f"{table}.csv:", f'"{column}"', f"8 of {count} rows", "wrong_type", f"line {first}")
    assert ("integers" if table == "accounts" else "finite numbers") in said
    assert live.takes(raw).quarantined(table) == {"wrong_type": 8}
    assert [row[1:] for row in live.aside(table)] == [(first + n, "wrong_type", column) for n in range(8)]
    assert sorted(row[column] for row in live.rows(table))[:2] == ([0, 5] if table == "accounts" else [0, 7])


# F11: money

# sort of row: how many rows, what they say, the rule that sets them aside or none
PAID: dict[str, tuple[int, Row, str | None]] = {
    "invoice": (10, {"amount": "19.99"}, None),
    "zero": (5, {"amount": "0"}, None),
    "credit": (5, {"amount": "-5.01", "kind": "credit"}, None),
    "refund larger than the invoice": (5, {"amount": "-100.005", "kind": "refund"}, None),
    "no currency": (5, {"amount": "0.10", "currency": None}, None),
    "overlapping periods": (5, {"amount": "1.11", "period_start": "2024-02-10", "period_end": "2024-03-20"}, None),
    "negative invoice": (5, {"amount": "-19.99"}, "wrong_sign"),
    "positive credit": (5, {"amount": "5.01", "kind": "credit"}, "wrong_sign"),
    "another currency": (5, {"amount": "33.33", "currency": "EUR"}, "foreign_currency"),
    "no currency on earth": (5, {"amount": "44.44", "currency": "ZZZ"}, "foreign_currency"),
    "ends before it starts": (5, {"amount": "7.77", "period_start": "2024-02-10", "period_end": "2024-02-09"},
                              "reversed_period"),
}  # fmt: skip


@pytest.mark.parametrize("declared", ["USD", None], ids="F11-{}".format)
def test_sixty_amounts_reconcile_to_the_cent_with_what_was_delivered(
    declared: str | None, tmp_path: Path, live: Live
) -> None:
    rows: list[tuple[Row, str | None]] = []
    for sort, (count, said, rule) in PAID.items():
        rule = "mixed_currency" if rule == "foreign_currency" and declared is None else rule
        rows += [(invoice("a1", revenue_id=f"{sort} {n}", **said), rule) for n in range(count)]
    assert len(rows) == 60
    copy = rows[0][0]  # and one delivered twice
    raw = delivery(tmp_path / "raw", revenue=[row for row, _ in rows] + [copy])
    accounting = live.takes(raw, ANY.model_copy(update={"currency": declared}))
    assert (accounting.counts["revenue"], accounting.duplicate("revenue")) == (35, 1)
    assert accounting.quarantined("revenue") == Counter(rule for _, rule in rows if rule)
    for one in accounting.sums:
        mine = [(Decimal(row["amount"]), rule) for row, rule in rows if (row["currency"] or "") == one.currency]
        assert Decimal(one.accepted) == sum(amount for amount, rule in mine if rule is None)
        assert Decimal(one.quarantined) == sum(amount for amount, rule in mine if rule)
        assert Decimal(one.duplicate) == (Decimal(copy["amount"]) if one.currency == "USD" else 0)
        assert Decimal(one.read) == sum(amount for amount, _ in mine) + Decimal(one.duplicate)
    assert {one.currency for one in accounting.sums} == {"", "EUR", "USD", "ZZZ"}
    stored = sum(row["amount"] for row in live.rows("revenue"))
    assert stored == sum(Decimal(row["amount"]) for row, rule in rows if rule is None) == Decimal("-319.125")


def test_F11_a_wrong_sign_over_the_limit_stops(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw", revenue=[*good()["revenue"], invoice("a1", amount="-19.99")])
    live.stops(raw, 'revenue.csv: column "amount": 1 of 3 rows has the wrong sign', "wrong_sign", "line 4")
