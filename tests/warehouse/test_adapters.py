"""Other shapes of data: a plain transaction log, and SELECTs over whatever files there are."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.builders import write_file
from warehouse.accounting import Accounting
from warehouse.errors import ContractBroken, ParamsError
from warehouse.ingest import IngestParams, ingest
from warehouse.params import read_params, section
from warehouse.store import Workspace

ROOT = Path(__file__).parents[2]
NOW = datetime(2025, 6, 1, tzinfo=UTC)
LINES = ["invoice", "sku", "units", "at", "unit_price", "buyer", "land"]


def log_params(**changes: Any) -> IngestParams:
    names = {"account_id": "buyer", "occurred_at": "at", "quantity": "units", "price": "unit_price"}
    declared = {
        "file": "lines.csv",
        "columns": names | {"invoice": "invoice", "country": "land"},
        "exclude": {"no_buyer": "buyer IS NULL", "postage": "sku = 'POST'"},
        "returned": "invoice LIKE 'C%'",
    }
    document = {"adapter": "transaction_log", "currency": "GBP", "max_bad_ratio": 1, "transaction_log": declared}
    return section({"ingest": document | changes}, "ingest", IngestParams)


def lines(*rows: str) -> list[dict[str, str | None]]:
    return [{k: v or None for k, v in zip(LINES, row.split(","), strict=True)} for row in rows]


def test_a_transaction_log_becomes_accounts_events_and_invoices(tmp_path: Path) -> None:
    rows = lines(
        "1,apple,2,2024-01-05 10:00,1.5,007,UK",
        "1,apple,2,2024-01-05 10:00,1.5,007,UK",
        "1,pear,1,2024-01-05 10:02,4,007,UK",
        "C2,apple,-1,2024-01-09 10:00,1.5,007,UK",
        "3,POST,1,2024-01-09 11:00,9,007,UK",
        "4,apple,1,2024-01-10 10:00,1.5,,UK",
        "C5,apple,-1,2024-01-11 10:00,1.5,008,FR",
        "6,apple,many,2024-01-12 10:00,1.5,007,UK",
    )
    write_file(tmp_path / "raw/lines.csv", LINES, rows)
    workspace = Workspace(tmp_path / "w")
    accounting = ingest(tmp_path / "raw", workspace, log_params(max_ratio={"unknown_account": 1}), NOW)
    accounts = pq.read_table(workspace.warehouse / "accounts").to_pylist()
    assert [(a["account_id"], a["country"], a["created_at"]) for a in accounts] == [
        ("007", "UK", datetime(2024, 1, 5, 10))
    ]
    events = pq.read_table(workspace.warehouse / "events").to_pylist()
    assert [e["event_name"] for e in events] == ["order_line"] * 3 + ["return_line"]
    revenue = pq.read_table(workspace.warehouse / "revenue").to_pylist()
    assert [(r["revenue_id"], float(r["amount"]), r["kind"], r["currency"]) for r in revenue] == [
        ("1 007 2024-01-05", 10.0, "invoice", "GBP"),
        ("C2 007 2024-01-09", -1.5, "refund", "GBP"),
    ]
    assert accounting.quarantined("events") == {
        "excluded:no_buyer": 1,
        "excluded:postage": 1,
        "unknown_account": 1,
        "wrong_type": 1,
    }
    assert accounting.read("events") == len(rows)


def test_a_later_line_changes_nothing_that_was_known_before_it(tmp_path: Path) -> None:
    early = lines("1,apple,2,2024-01-05 10:00,1.5,007,UK", "2,pear,1,2024-01-06 10:00,4,008,")
    late = lines("1,apple,100,2024-06-01 10:00,9,007,AT", "2,pear,100,2024-06-01 10:00,9,008,FR")
    known = []
    for name, rows in (("early", early), ("both", early + late)):
        write_file(tmp_path / name / "lines.csv", LINES, rows)
        workspace = Workspace(tmp_path / f"{name}-w")
        ingest(tmp_path / name, workspace, log_params(), NOW)
        accounts = pq.read_table(workspace.warehouse / "accounts").to_pylist()
        revenue = pq.read_table(workspace.warehouse / "revenue").to_pylist()
        before = [row for row in revenue if row["booked_at"] < datetime(2024, 6, 1)]
        known.append(([row["country"] for row in accounts], [(row["revenue_id"], row["amount"]) for row in before]))
    assert known[0] == known[1] == (["UK", None], [("1 007 2024-01-05", 3), ("2 008 2024-01-06", 4)])


def test_exclusions_break_no_limit(tmp_path: Path) -> None:
    rows = lines("1,apple,2,2024-01-05 10:00,1.5,007,UK", *["2,POST,1,2024-01-06 10:00,9,007,UK"] * 50)
    write_file(tmp_path / "raw/lines.csv", LINES, rows)
    accounting = ingest(tmp_path / "raw", Workspace(tmp_path / "w"), log_params(max_bad_ratio=0), NOW)
    assert accounting.counts["events"] == 1


def test_a_log_without_a_declared_column_is_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "raw/lines.csv", ["invoice", "Buyer"], [])
    with pytest.raises(ContractBroken, match=r'lines\.csv: .*"buyer" \(nearest found: "Buyer"\)'):
        ingest(tmp_path / "raw", Workspace(tmp_path / "w"), log_params(), NOW)


def test_a_condition_that_is_no_sql_is_a_params_error(tmp_path: Path) -> None:
    write_file(tmp_path / "raw/lines.csv", LINES, lines("1,apple,2,2024-01-05 10:00,1.5,007,UK"))
    params = log_params()
    assert params.transaction_log is not None
    broken = params.transaction_log.model_copy(update={"returned": "no_such_column > 1"})
    with pytest.raises(ParamsError, match="no_such_column"):
        ingest(tmp_path / "raw", Workspace(tmp_path / "w"), params.model_copy(update={"transaction_log": broken}), NOW)


MAPPING = {
    "accounts": "SELECT id AS account_id, since AS created_at FROM customers",
    "events": "SELECT id AS account_id, 'login' AS event_name, moment AS occurred_at FROM logins",
    "revenue": "SELECT id AS account_id, 5 AS amount, since AS booked_at FROM customers",
}


def mapping_params(**queries: str) -> IngestParams:
    return section({"ingest": {"adapter": "mapping", "mapping": MAPPING | queries}}, "ingest", IngestParams)


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    write_file(tmp_path / "raw/customers.csv", ["id", "since"], [{"id": "007", "since": "2024-01-01"}])
    write_file(tmp_path / "raw/logins/one.parquet", ["id", "moment"], [{"id": "007", "moment": "2024-01-02 10:00"}])
    return tmp_path / "raw"


def test_queries_over_files_become_the_canonical_tables(customers: Path, tmp_path: Path) -> None:
    accounting = ingest(customers, Workspace(tmp_path / "w"), mapping_params(), NOW)
    assert [accounting.counts[table] for table in ("accounts", "events", "revenue")] == [1, 1, 1]


def test_unreadable_lines_below_a_query_are_counted(customers: Path, tmp_path: Path) -> None:
    with (customers / "customers.csv").open("a", newline="") as stream:
        stream.write("only one cell\r\n")
    with pytest.raises(ContractBroken, match=r"customers\.csv: 1 of 2 rows is not a readable line") as caught:
        ingest(customers, Workspace(tmp_path / "w"), mapping_params(), NOW)
    assert len(caught.value.problems) == 1
    assert pq.read_table(tmp_path / "w/quarantine/source.parquet")["rule"].to_pylist() == ["malformed"]


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("SELECT 1 AS account_id FROM no_such_file", ContractBroken, "Files found: customers, logins"),
        ("SELECT id AS account_id FROM customers", ContractBroken, '"created_at"'),
        ("SELECT FROM WHERE", ParamsError, "ingest.mapping.accounts"),
        ("SELECT * FROM read_csv('/etc/passwd')", ParamsError, "ingest.mapping.accounts"),
    ],
)
def test_a_query_that_does_not_fit_is_named(
    query: str, error: type[Exception], words: str, customers: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        ingest(customers, Workspace(tmp_path / "w"), mapping_params(accounts=query), NOW)


def shipped(example: str, tmp_path: Path) -> tuple[Accounting, Workspace]:
    raw = ROOT / "../shared/data" / example
    if not raw.is_dir():
        pytest.skip(f"the {example} data are not beside the repository")
    params = section(read_params(ROOT / "examples" / example / "params.yaml"), "ingest", IngestParams)
    workspace = Workspace(tmp_path / "w")
    return ingest(raw, workspace, params, NOW), workspace


def test_the_wholesaler_log_gives_the_published_counts(tmp_path: Path) -> None:
    accounting, workspace = shipped("online_retail_ii", tmp_path)
    assert accounting.counts["accounts"] == 5_852
    assert accounting.read("events") == 1_067_370
    excluded = {rule: n for rule, n in accounting.quarantined("events").items() if rule.startswith("excluded:")}
    assert excluded["excluded:overlap"] == 22_523
    assert accounting.read("events") - sum(excluded.values()) == 805_828
    assert accounting.duplicate("events") == 0
    assert accounting.read("revenue") == 43_876
    early = pq.read_table(workspace.quarantine / "revenue.parquet").to_pylist()
    assert {row["rule"] for row in early} == {"before_signup", "unknown_account"}
    [pounds] = accounting.sums
    assert round(Decimal(pounds.read)) == 16_411_917
    kept = pq.read_table(workspace.warehouse / "revenue")["amount"].to_pylist()
    assert Decimal(pounds.accepted) == Decimal(pounds.booked) == sum(kept)
    assert str(accounting.data_end) == "2011-12-10"


def test_the_learning_platform_is_taken_whole(tmp_path: Path) -> None:
    accounting, _ = shipped("free_to_paid_365", tmp_path)
    assert list(accounting.counts.values())[:3] == [40_979, 74_246, 5_922]
    assert not any(accounting.quarantined(table) for table in accounting.counts)


def test_usage_dated_before_sign_up_is_counted_and_never_let_in(tmp_path: Path) -> None:
    accounting, workspace = shipped("ravenstack", tmp_path)
    kept = pq.read_table(workspace.warehouse / "events", columns=["event_id"])["event_id"].to_pylist()
    usage = sum(event.startswith("usage ") for event in kept)
    aside = accounting.quarantined("events")
    early = 25_000 - usage - aside["conflicting_duplicate"]
    assert round(100 * early / 25_000) == 53
    assert aside["before_signup"] - early == 2_000 - (len(kept) - usage)  # the others are tickets
