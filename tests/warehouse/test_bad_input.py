"""Bad input of every raw table: exit code 3, one message, quarantine written, nothing live touched."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.builders import Row, account, event, invoice, write_file, write_raw
from warehouse.adapters import files
from warehouse.engine import connect
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams, ingest, main
from warehouse.raw import TABLES
from warehouse.store import Workspace

NOW = datetime(2024, 6, 1, tzinfo=UTC)
FUTURE = "2031-01-01T00:00:00Z"


def good() -> dict[str, list[Row]]:
    return {
        "accounts": [account("a1"), account("a2")],
        "events": [event("a1"), event("a2")],
        "revenue": [invoice("a1"), invoice("a2")],
        "touches": [{"account_id": "a1", "occurred_at": "2024-03-01T00:00:00Z", "kind": "contacted"}],
        "account_users": [{"account_id": "a1", "user_id": "u1", "valid_from": "2024-01-02T00:00:00Z"}],
    }


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ingested")
    ingest(write_raw(folder / "good", **good()), Workspace(folder / "workspace"), IngestParams(), NOW)
    return folder / "workspace"


@pytest.fixture
def live(ingested: Path, tmp_path: Path) -> Workspace:
    """A workspace with a warehouse that must survive."""
    shutil.copytree(ingested, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(raw: Path, live: Workspace, *words: str) -> str:
    """Ingests `raw`, expects one message with all `words` in it, and the live warehouse as it was."""
    before = contents(live.warehouse)
    with pytest.raises(ContractBroken) as caught:
        ingest(raw, live, IngestParams(), NOW)
    assert caught.value.exit_code == 3
    assert len(caught.value.problems) == 1, caught.value.problems
    assert contents(live.warehouse) == before
    assert not (live.root / ".ingest").exists()
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


def bad_row(table: str, rule: str) -> tuple[Row, str]:
    """A row that breaks `rule`, and the column that the message must name."""
    row = good()[table][0]
    happened = TABLES[table].happened
    if rule == "wrong_type":
        return row | {happened: "yesterday"}, happened
    if rule == "null_key":
        return row | {"account_id": "  "}, "account_id"
    if rule == "future":
        later = {happened: FUTURE} | ({"received_at": FUTURE} if table == "events" else {})
        return row | {"account_id": "a9" if table == "accounts" else "a1"} | later, happened
    if rule == "unknown_account":
        return row | {"account_id": "nobody"}, "account_id"
    return row, TABLES[table].key[0]


ROW_FAULTS = [
    (table, rule)
    for table in TABLES
    for rule in ("wrong_type", "null_key", "future", "unknown_account", "conflicting_duplicate")
    if not (table == "accounts" and rule == "unknown_account")
    if not (not TABLES[table].key and rule == "conflicting_duplicate")
]


@pytest.mark.parametrize("format", ["csv", "parquet"])
@pytest.mark.parametrize(("table", "rule"), ROW_FAULTS)
def test_one_bad_row_over_the_limit_stops_with_one_message_and_is_kept(
    table: str, rule: str, format: str, tmp_path: Path, live: Workspace
) -> None:
    tables = good()
    row, column = bad_row(table, rule)
    if rule == "conflicting_duplicate":
        changed = {"accounts": {"country": "DE"}, "events": {"quantity": 7}, "revenue": {"amount": 7}}[table]
        row = tables[table][0] | changed
    tables[table].append(row)
    raw = write_raw(tmp_path / "raw", format=format, **tables)
    count = f"1 of {len(tables[table])} rows"
    refused(raw, live, f"{table}.{format}:", f'column "{column}"', count, rule, str(live.quarantine), "ingest.max_")
    kept = pq.read_table(live.quarantine / f"{table}.parquet").to_pylist()
    assert [(k["file"], k["table"], k["rule"], k["column"]) for k in kept] == [
        (f"{table}.{format}", table, rule, column)
    ]


@pytest.mark.parametrize("table", list(TABLES))
def test_a_missing_required_column_is_named_with_its_nearest_spelling(
    table: str, tmp_path: Path, live: Workspace
) -> None:
    for column in TABLES[table].required:
        tables = good()
        misspelt = column.upper()
        tables[table] = [{misspelt if k == column else k: v for k, v in row.items()} for row in tables[table]]
        raw = write_raw(tmp_path / column, **tables)
        refused(raw, live, f"{table}.csv:", f'"{column}"', f'nearest found: "{misspelt}"', "Expected:", "Found:")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("table", list(TABLES))
def test_an_empty_file_is_refused(table: str, ending: str, tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", **good())
    (raw / f"{table}.csv").unlink()
    (raw / f"{table}.{ending}").write_bytes(b"")
    refused(raw, live, f"{table}.{ending}", "empty (zero bytes)")


@pytest.mark.parametrize("table", ["accounts", "events", "revenue"])
def test_a_missing_required_table_is_refused(table: str, tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", **good())
    (raw / f"{table}.csv").unlink()
    refused(raw, live, f'table "{table}" is missing', f"{table}.csv.gz")


def test_a_missing_folder_is_refused(tmp_path: Path, live: Workspace) -> None:
    refused(tmp_path / "nowhere", live, "nowhere is not a folder")


def test_an_empty_table_folder_is_refused(tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", **good())
    (raw / "events.csv").unlink()
    (raw / "events").mkdir()
    refused(raw, live, "events: the folder holds no file")


def test_a_table_given_twice_is_refused(tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", **good())
    write_raw(tmp_path / "raw", format="parquet", **{k: v for k, v in good().items() if k != "events"})
    for table in ("accounts", "revenue", "touches", "account_users"):
        (raw / f"{table}.parquet").unlink()
    write_file(raw / "events.parquet", ["account_id", "event_name", "occurred_at"], [])
    refused(raw, live, 'table "events" is there 2 times', "events.csv, events.parquet")


@pytest.mark.parametrize("keep", [10, 200, 0.5, 0.95])
def test_a_truncated_parquet_file_is_refused(keep: float, tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", format="parquet", **good())
    whole = (raw / "events.parquet").read_bytes()
    (raw / "events.parquet").write_bytes(whole[: int(keep if keep > 1 else keep * len(whole))])
    refused(raw, live, "events.parquet", "not readable")


@pytest.mark.parametrize("table", ["events", "revenue"])
def test_a_header_without_rows_is_a_broken_feed(table: str, tmp_path: Path, live: Workspace) -> None:
    refused(write_raw(tmp_path / "raw", **(good() | {table: []})), live, f"{table}.csv", "0 rows", "no_rows")


def test_of_many_files_only_the_first_empty_one_is_named(tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", **good())
    (raw / "events.csv").unlink()
    for day in range(1, 10):
        write_file(raw / f"events/{day}.csv", ["account_id", "event_name", "occurred_at"], [])
    said = refused(raw, live, "events/1.csv and 8 more: 0 rows of events", "no_rows")
    assert "events/2.csv" not in said


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_of_many_files_the_damaged_one_is_named(format: str, tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", **good())
    (raw / "events.csv").unlink()
    for day in range(1, 10):
        rows = [event("a1", f"2024-02-0{day}T10:00:00Z") for _ in range(5)]
        write_file(raw / f"events/{day}.{format}", list(rows[0]), rows)
    damaged = raw / f"events/6.{format}"
    whole = damaged.read_bytes()
    if format == "csv":
        damaged.write_bytes(whole + b"a,b\n")
    else:  # the footer stays whole, so only who reads the rows can tell
        damaged.write_bytes(whole[:4] + bytes(255 - byte for byte in whole[4:60]) + whole[60:])
    said = refused(raw, live, f"events/6.{format}: ")
    assert not [day for day in range(1, 10) if day != 6 and f"events/{day}." in said]


def test_of_many_files_the_one_that_was_cut_short_is_named(tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", **good())
    (raw / "events.csv").unlink()
    for day in range(1, 10):
        rows = [event("a1", f"2024-02-0{day}T10:00:00Z")]
        write_file(raw / f"events/{day}.parquet", list(rows[0]), rows)
    cut = raw / "events/9.parquet"
    cut.write_bytes(cut.read_bytes()[:300])
    said = refused(raw, live, "events/9.parquet: ")
    assert not [day for day in range(1, 9) if f"events/{day}." in said]


def test_a_file_is_not_blamed_for_being_quoted_with_the_query(tmp_path: Path) -> None:
    paths = {file: tmp_path / file for file in ("a.parquet", "b.parquet")}
    query = f"LINE 1: FROM read_parquet(['{paths['a.parquet']}'"
    said = f"No magic bytes found at end of file '{paths['b.parquet']}'\n\n{query}"
    with connect(tmp_path) as con:
        assert files.at_fault(con, paths, duckdb.InvalidInputException(said)) == "b.parquet"


def test_a_vendor_without_revenue_says_so_in_the_params(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", accounts=[account()])
    accounting = ingest(raw, Workspace(tmp_path / "workspace"), IngestParams(never_empty=()), NOW)
    assert accounting.counts["accounts"] == 1
    assert accounting.counts["events"] == accounting.counts["revenue"] == 0


def test_no_accounts_refuse_the_folder(tmp_path: Path, live: Workspace) -> None:
    tables = good() | {"accounts": []}
    refused(write_raw(tmp_path / "raw", **tables), live, "accounts", "no account")


def test_malformed_csv_lines_are_kept_and_counted(tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", **good())
    with (raw / "events.csv").open("a", encoding="utf-8", newline="") as stream:
        stream.write("too,few\r\n" + ",".join("x" * 30) + "\r\n")
    refused(raw, live, "events.csv:", "2 of 4 rows", "malformed", "line 4")
    kept = pq.read_table(live.quarantine / "events.parquet").to_pylist()
    assert [k["line"] for k in kept] == [4, 5]
    assert "too" not in str(kept)


def test_mixed_line_ends_are_refused_with_a_remedy(tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", **good())
    with (raw / "events.csv").open("a", encoding="utf-8", newline="") as stream:
        stream.write("a,b\n")
    refused(raw, live, "events.csv: lines end in LF and in CRLF")


def test_an_open_quote_loses_no_line_silently(tmp_path: Path) -> None:
    rows = [event(quantity=n) for n in range(50)]
    raw = write_raw(tmp_path / "raw", accounts=[account()], events=rows)
    text = (raw / "events.csv").read_text().splitlines()
    text[20] = text[20].replace("a1", '"a1', 1)
    (raw / "events.csv").write_text("\n".join(text) + "\n")
    accounting = ingest(raw, Workspace(tmp_path / "w"), IngestParams(max_bad_ratio=1, never_empty=("events",)), NOW)
    assert accounting.read("events") == 50
    assert accounting.quarantined("events") == {"malformed": 50 - accounting.counts["events"]}


def test_a_refused_account_is_said_once_and_not_again_for_its_events(tmp_path: Path, live: Workspace) -> None:
    tables = good()
    tables["accounts"][0]["created_at"] = "soon"
    refused(write_raw(tmp_path / "raw", **tables), live, "accounts.csv", '"created_at"', "is not a timestamp")


def test_each_broken_rule_has_its_own_line(tmp_path: Path) -> None:
    tables = good()
    tables["events"] += [event(occurred_at="never", received_at=None), event(event_name=None)]
    tables["revenue"].append(invoice(amount="1_000"))
    with pytest.raises(ContractBroken) as caught:
        ingest(write_raw(tmp_path / "raw", **tables), Workspace(tmp_path / "w"), IngestParams(), NOW)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["events.csv", "events.csv", "revenue.csv"]


def test_the_stage_module_ends_with_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_raw(tmp_path / "raw", **(good() | {"events": [event(occurred_at="soon")]}))
    params = tmp_path / "params.yaml"
    params.write_text("ingest: {}\n")
    assert main(["--raw", str(raw), "--workspace", str(tmp_path / "w"), "--params", str(params)]) == 3
    assert 'events.csv: column "occurred_at": 1 of 1 rows is not a timestamp' in capsys.readouterr().err


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_a_file_split_by_another_sign_is_told_so(sign: str, tmp_path: Path, live: Workspace) -> None:
    raw = write_raw(tmp_path / "raw", **good())
    accounts = raw / "accounts.csv"
    accounts.write_text(accounts.read_text().replace(",", sign))
    with pytest.raises(ContractBroken, match=re.escape(f"split by {sign!r}: export the file with commas")):
        ingest(raw, live, IngestParams(), NOW)
