"""What becomes of good rows, duplicates and set-aside rows; same input, same bytes."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import account, event, invoice, write_file, write_raw
from warehouse.engine import connect
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams, ingest
from warehouse.params import section
from warehouse.raw import TABLES, contract
from warehouse.store import Workspace, open_warehouse

NOW = datetime(2024, 6, 1, tzinfo=UTC)
LENIENT = IngestParams(never_empty=(), max_bad_ratio=1, max_ratio={"unknown_account": 1})
ROOT = Path(__file__).parents[2]

EVENT_ROWS = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["e1", "e2", "e3", None, " "]),
        "account_id": st.sampled_from(["a1", "a2", "ghost", None, ""]),
        "event_name": st.sampled_from(["seen", "bought", None]),
        "occurred_at": st.sampled_from(["2024-02-01", "2024-02-02T01:00Z", "soon", "2030-01-01", "2023-01-01", None]),
        "quantity": st.sampled_from(["1", "2.5", "inf", None]),
    }
)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(EVENT_ROWS, max_size=25), shuffle=st.randoms(use_true_random=False))
def test_every_row_is_accounted_for_and_order_changes_nothing(rows: list[dict], shuffle: random.Random) -> None:
    with TemporaryDirectory() as folder:
        results = []
        for turn in ("first", "second"):
            raw = write_raw(Path(folder) / turn, [account("a1"), account("a2")], rows)
            workspace = Workspace(Path(folder) / f"{turn}-workspace")
            accounting = ingest(raw, workspace, LENIENT, NOW)
            kept = workspace.quarantine / "events.parquet"
            quarantined = pq.read_table(kept).num_rows if kept.exists() else 0
            accepted = pq.read_table(workspace.warehouse / "events").num_rows
            assert accounting.read("events") == len(rows)
            assert len(rows) == accepted + accounting.duplicate("events") + quarantined
            assert accepted == accounting.counts["events"]
            assert quarantined == sum(accounting.quarantined("events").values())
            results.append(accounting.fingerprint)
            shuffle.shuffle(rows)
        assert results[0] == results[1]


def test_exact_duplicates_collapse_and_are_counted(tmp_path: Path) -> None:
    once, bare = event(), event(event_id=None)
    raw = write_raw(tmp_path / "raw", [account(), account()], [once, once, once, bare, bare], [invoice()] * 2)
    accounting = ingest(raw, Workspace(tmp_path / "w"), IngestParams(never_empty=()), NOW)
    assert [accounting.duplicate(table) for table in ("accounts", "events", "revenue")] == [1, 3, 1]
    assert [accounting.counts[table] for table in ("accounts", "events", "revenue")] == [1, 2, 1]


SIGN_UP = {"industry": "retail", "country": "DE", "employees": "8", "channel": "web"}
GROWN = {"industry": "bank", "country": "US", "employees": "4000", "channel": "sales"}


def accounts_of(tmp_path: Path, **files: list[dict]) -> list[dict]:
    """The accounts table once each of `files` lies in the folder accounts/."""
    raw, workspace = write_raw(tmp_path / "raw", [], [event()], [invoice()]), Workspace(tmp_path / "w")
    (raw / "accounts.csv").unlink()
    for name, rows in files.items():
        write_file(raw / "accounts" / f"{name}.csv", list(rows[0]), rows)
    accounting = ingest(raw, workspace, IngestParams(never_empty=()), NOW)
    assert accounting.duplicate("accounts") == sum(map(len, files.values())) - accounting.counts["accounts"]
    assert accounting.quarantined("accounts") == {}
    rows = pq.read_table(workspace.warehouse / "accounts").to_pylist()
    return [{key: str(value) for key, value in row.items() if value is not None} for row in rows]


def test_an_account_told_again_later_keeps_what_it_told_at_sign_up_and_takes_its_latest_state(tmp_path: Path) -> None:
    news = {"plan": "pro", "owner": "Kim", "closed_at": "2024-05-01", "is_internal": "true"}
    [told] = accounts_of(
        tmp_path,
        day1=[account(**SIGN_UP, plan="free", owner=None)],
        day2=[account(**GROWN, plan="mid", owner=None)],
        day3=[account(**GROWN, **news)],
    )
    assert {key: told[key] for key in SIGN_UP} == SIGN_UP
    assert (told["plan"], told["owner"], told["closed_at"][:10], told["is_internal"]) == (
        "pro",
        "Kim",
        "2024-05-01",
        "True",
    )


def test_what_was_not_told_at_sign_up_stays_untold_when_a_later_file_fills_it_in(tmp_path: Path) -> None:
    """A size that is looked up once an account pays would tell who came to pay."""
    told = accounts_of(
        tmp_path, day1=[account("a1"), account("a2") | {"created_at": "2024-01-02"}], day2=[account("a1", **GROWN)]
    )
    assert [set(row) & set(GROWN) for row in told] == [set(), set()]
    [late] = accounts_of(tmp_path / "late", day2=[account("a1", **GROWN)])
    assert {key: late[key] for key in GROWN} == GROWN


def test_of_conflicting_rows_the_earliest_known_wins(tmp_path: Path) -> None:
    first = event(received_at="2024-02-02T00:00:00Z", quantity=1)
    later = first | {"received_at": "2024-02-05T00:00:00Z", "quantity": 9}
    raw = write_raw(tmp_path / "raw", [account()], [later, first, first])
    workspace = Workspace(tmp_path / "w")
    accounting = ingest(raw, workspace, LENIENT, NOW)
    assert accounting.quarantined("events") == {"conflicting_duplicate": 1}
    assert accounting.duplicate("events") == 1
    assert pq.read_table(workspace.warehouse / "events")["quantity"].to_pylist() == [1]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "UTC"])
def test_the_zone_of_the_machine_changes_no_byte(zone: str, tmp_path: Path) -> None:
    rows = [event(occurred_at="2024-03-10 02:30"), event(occurred_at="2024-03-10T02:30:00Z")]
    raw = write_raw(tmp_path / "raw", [account(created_at="2024-01-01")], rows, [invoice()])
    here = Workspace(tmp_path / "here")
    command = [sys.executable, "-m", "warehouse.ingest", "--raw", str(raw), "--workspace", str(here.root)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"TZ": zone}, check=True, capture_output=True)
    shutil.copytree(here.warehouse, tmp_path / "kept")
    ingest(raw, here, IngestParams(), datetime.now(UTC), whole=True)
    for path in here.warehouse.glob("*/*.parquet"):
        assert path.read_bytes() == (tmp_path / "kept" / path.relative_to(here.warehouse)).read_bytes()


def test_files_of_a_folder_in_any_split_and_form_give_the_same_bytes(tmp_path: Path) -> None:
    rows = [event(occurred_at=f"2024-02-{day:02}T00:00:00Z") for day in range(1, 29)]
    whole = write_raw(tmp_path / "whole", [account()], rows)
    split = write_raw(tmp_path / "split", [account()])
    (split / "events.csv").unlink()
    columns = list(rows[0])
    write_file(split / "events/2024/b.parquet", columns, rows[20:])
    write_file(split / "events/a.csv", columns[::-1], rows[9:20])
    write_file(split / "events/c.parquet", columns, rows[:9])
    books = [ingest(raw, Workspace(raw / "w"), IngestParams(never_empty=()), NOW) for raw in (whole, split)]
    assert books[0].fingerprint == books[1].fingerprint
    read = {count.file: count.read for count in books[1].files if count.table == "events"}
    assert read == {"events/2024/b.parquet": 8, "events/a.csv": 11, "events/c.parquet": 9}


def test_a_file_a_day_gives_the_tables_of_a_file_a_month_and_every_day_its_own_count(tmp_path: Path) -> None:
    days = [f"{date(2023, 1, 1) + timedelta(day)}" for day in range(500)]
    rows = {day: [event(occurred_at=f"{day}T{hour:02}:00:00Z") for hour in (9, 17)] for day in days}
    rows[days[7]] = []
    rows[days[8]] += [event("ghost", f"{days[8]}T12:00:00Z"), event(received_at="soon"), event(quantity="many")]
    rows[days[9]] += [rows[days[3]][0], rows[days[3]][1] | {"quantity": 9}]
    columns = list(rows[days[0]][0])
    books = {}
    for split, letters in (("monthly", 7), ("daily", 10)):
        raw = write_raw(tmp_path / split, [account(created_at="2022-01-01")])
        (raw / "events.csv").unlink()
        for file in dict.fromkeys(day[:letters] for day in days):
            part = [row for day in days if day.startswith(file) for row in rows[day]]
            write_file(raw / f"events/{file}.parquet", columns, part)
        books[split] = ingest(raw, Workspace(tmp_path / f"{split}-w"), LENIENT, NOW)
        assert len(books[split].lines()) == 6  # a line a table and a line a rule, however many files
    assert books["monthly"].fingerprint == books["daily"].fingerprint
    counts = {count.file: count for count in books["daily"].files if count.table == "events"}
    assert {file: count.read for file, count in counts.items()} == {
        f"events/{day}.parquet": len(rows[day]) for day in days
    }
    aside = {file[7:17]: (c.duplicate, c.quarantined) for file, c in counts.items() if c.accepted < c.read}
    assert aside == {days[8]: (0, {"unknown_account": 1, "wrong_type": 2}), days[9]: (1, {"conflicting_duplicate": 1})}


MAPPED = {"accounts": "FROM accounts", "events": "FROM events", "revenue": "FROM revenue"}


@pytest.mark.parametrize("params", [{}, {"adapter": "mapping", "mapping": MAPPED}], ids=["tables", "mapping"])
def test_files_that_are_no_table_are_left_alone(params: dict, tmp_path: Path) -> None:
    settings = section({"ingest": params}, "ingest", IngestParams)
    raw = write_raw(tmp_path / "raw", [account()], [event()], [invoice()])
    before = ingest(raw, Workspace(tmp_path / "before"), settings, NOW)
    mark = b"no table of ours"
    (raw / "truth.parquet").write_bytes(mark)
    (raw / "labels.csv").write_bytes(mark + b"\xff\n")
    (raw / "gone.parquet").symlink_to(tmp_path / "nowhere")  # whoever opens it fails
    (raw / "notes").mkdir()
    after = ingest(raw, Workspace(tmp_path / "after"), settings, NOW)
    assert after == before
    for path in (tmp_path / "after").rglob("*"):
        assert path.is_dir() or (mark not in path.read_bytes() and path.stem not in ("truth", "labels", "gone"))


def test_facts_before_sign_up_are_never_let_in(tmp_path: Path) -> None:
    early = "2023-12-31T23:59:59Z"
    raw = write_raw(tmp_path / "raw", [account()], [event(occurred_at=early)], [invoice(booked_at=early), invoice()])
    with pytest.raises(ContractBroken, match="before_signup"):
        ingest(raw, Workspace(tmp_path / "w"), IngestParams(never_empty=()), NOW)
    params = IngestParams(never_empty=(), max_ratio={"before_signup": 1})
    accounting = ingest(raw, Workspace(tmp_path / "w"), params, NOW)
    assert accounting.quarantined("events") == accounting.quarantined("revenue") == {"before_signup": 1}


def test_below_the_limit_the_run_goes_on_and_the_rows_are_kept(tmp_path: Path) -> None:
    rows = [event() for _ in range(1999)] + [event(occurred_at="soon")]
    workspace = Workspace(tmp_path / "w")
    accounting = ingest(write_raw(tmp_path / "raw", [account()], rows), workspace, IngestParams(never_empty=()), NOW)
    assert accounting.counts["events"] == 1999
    kept = pq.read_table(workspace.quarantine / "events.parquet").to_pylist()
    assert [(k["line"], k["rule"]) for k in kept] == [(2001, "wrong_type")]


@pytest.mark.parametrize("place", [0, 20_481, 30_000])
def test_one_bad_value_anywhere_never_retypes_the_column(place: int, tmp_path: Path) -> None:
    rows = [event(event_id=f"e{n}", quantity=n) for n in range(30_001)]
    rows[place]["quantity"] = "many"
    accounting = ingest(
        write_raw(tmp_path / "raw", [account()], rows), Workspace(tmp_path / "w"), IngestParams(never_empty=()), NOW
    )
    assert accounting.counts["events"] == 30_000


@pytest.mark.parametrize(("declared", "rule"), [("USD", "foreign_currency"), (None, "mixed_currency")])
def test_a_second_currency_is_set_aside(declared: str | None, rule: str, tmp_path: Path) -> None:
    rows = [invoice(), invoice(), invoice(currency="EUR"), invoice(currency=None)]
    params = LENIENT.model_copy(update={"currency": declared})
    accounting = ingest(write_raw(tmp_path / "raw", [account()], revenue=rows), Workspace(tmp_path / "w"), params, NOW)
    assert accounting.quarantined("revenue") == {rule: 1}


def test_a_period_that_ends_before_it_starts_is_set_aside(tmp_path: Path) -> None:
    rows = [invoice(period_start="2024-03-01", period_end=end) for end in ("2024-03-01", "2024-02-01", "2024-03-02")]
    accounts = [account(), account("a2", closed_at="2023-12-31")]
    raw = write_raw(tmp_path / "raw", accounts, revenue=rows)
    accounting = ingest(raw, Workspace(tmp_path / "w"), LENIENT, NOW)
    assert accounting.quarantined("revenue") == {"reversed_period": 2}
    assert accounting.quarantined("accounts") == {"reversed_period": 1}


def test_unknown_columns_are_ignored_and_named_once(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account(mood="good")], [event(colour="red"), event(colour="blue")])
    accounting = ingest(raw, Workspace(tmp_path / "w"), IngestParams(never_empty=()), NOW)
    assert accounting.extra_columns == {"accounts": ["mood"], "events": ["colour"]}
    assert sum("colour" in line for line in accounting.lines()) == 1


def test_the_data_end_with_the_midnight_after_the_last_known_fact(tmp_path: Path) -> None:
    rows = [event(occurred_at="2024-02-01T10:00:00Z", received_at="2024-02-03T00:00:00Z")]
    accounting = ingest(
        write_raw(tmp_path / "raw", [account()], rows), Workspace(tmp_path / "w"), IngestParams(never_empty=()), NOW
    )
    assert accounting.data_end == date(2024, 2, 4)


def test_all_five_tables_are_typed_even_when_the_folder_has_three(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    ingest(
        write_raw(tmp_path / "raw", [account()], [event()], [invoice()]), workspace, IngestParams(never_empty=()), NOW
    )
    with connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse)
        for table in TABLES.values():
            columns = [row[0] for row in con.execute(f"DESCRIBE {table.name}").fetchall()]
            assert columns == [column.name for column in table.columns]


def test_compressed_csv_with_a_byte_order_mark_and_windows_line_ends_is_read(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", [account()])
    (raw / "events.csv").unlink()
    text = "\ufeffaccount_id,event_name,occurred_at\r\na1,seen,2024-02-01\r\n"
    (raw / "events.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert ingest(raw, Workspace(tmp_path / "w"), IngestParams(never_empty=()), NOW).counts["events"] == 1


def test_the_page_on_the_data_contract_is_the_contract() -> None:
    assert (ROOT / "docs/data-contract.md").read_text(encoding="utf-8") == contract() + "\n"
