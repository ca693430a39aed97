"""Raw folders under other names, described by params alone."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.warehouse.adapted import Adapted, adapt, at, only, write
from warehouse.adapters.columns import ColumnsParams, sources
from warehouse.errors import ContractBroken, ParamsError
from warehouse.params import section

CUSTOMERS = {"files": "customers", "columns": {"account_id": "id", "created_at": "since", "plan": "tier"}}
USAGE: dict[str, Any] = {
    "files": "usage/**/*.jsonl",
    "columns": {
        "event_id": "n",
        "account_id": "org.id",
        "event_name": {"value": "report_built"},
        "occurred_at": "at",
        "received_at": "seen",
        "quantity": "detail.pages",
    },
    "unit": {"occurred_at": "epoch_s", "received_at": "epoch_ms"},
}
PAYMENTS: dict[str, Any] = {
    "files": "payments",
    "columns": {"revenue_id": "ref", "account_id": "payer", "amount": "cents", "currency": "cur", "booked_at": "day"},
    "unit": {"amount": "minor"},
}


def params(**tables: Any) -> ColumnsParams:
    return section({"columns": tables}, "columns", ColumnsParams)


def usage(raw: Path, *lines: str, **changes: Any) -> Adapted:
    write(raw / "usage/2024/01.jsonl", *lines)
    return adapt(sources, raw, params(events=USAGE | changes), {"007": "2023-01-01"})


def test_a_customer_list_under_other_names_becomes_accounts(tmp_path: Path) -> None:
    write(tmp_path / "customers.csv", "id,since,tier,mail", "007,2024-01-05,pro,x@example.com", "8,2024-01-06,,")
    found = adapt(sources, tmp_path, params(accounts=CUSTOMERS))
    assert only(found.rows["accounts"], "account_id", "created_at", "plan") == [
        ("007", at("2024-01-05"), "pro"),
        ("8", at("2024-01-06"), None),
    ]
    assert found.sources["accounts"].extra == ("mail",)
    assert found.sources["accounts"].by_file


def test_values_inside_json_and_epoch_numbers(tmp_path: Path) -> None:
    found = usage(
        tmp_path,
        '{"n": "e1", "org": {"id": "007"}, "at": 1704103200.5, "seen": 1704535200000, "detail": {"pages": 3}}',
        '{"n": "e2", "org": {"id": "007"}, "at": 1704103201, "seen": null}',
    )
    # 1704103200 is 2024-01-01 10:00; the first arrived five days late, the second has no arrival of its own
    columns = ("event_id", "account_id", "event_name", "occurred_at", "received_at", "quantity")
    assert only(found.rows["events"], *columns) == [
        ("e1", "007", "report_built", at("2024-01-01 10:00:00.5"), at("2024-01-06 10:00"), Decimal(3)),
        ("e2", "007", "report_built", at("2024-01-01 10:00:01"), at("2024-01-01 10:00:01"), Decimal(1)),
    ]


def test_what_is_no_epoch_number_is_refused_not_guessed(tmp_path: Path) -> None:
    line = '{{"n": "{0}", "org": {{"id": "007"}}, "at": {1}}}'
    bad = ['"2024-01-01"', "1704103200000", "1e300", '"1_704_103_200"', '"soon"']
    found = usage(tmp_path, line.format("e0", 1704103200), *(line.format(f"e{i}", x) for i, x in enumerate(bad, 1)))
    assert [row["event_id"] for row in found.rows["events"]] == ["e0"]
    assert found.aside["events"] == {"wrong_type|occurred_at": 5}


def test_a_redelivered_row_counts_once_and_unreadable_lines_are_counted(tmp_path: Path) -> None:
    line = '{"n": "e1", "org": {"id": "007"}, "at": 1704103200}'
    found = usage(tmp_path, line, line, '{"n": "e2", "org":')
    assert len(found.rows["events"]) == 1
    assert found.aside["events"] == {"duplicate": 1, "malformed": 1}


def test_text_that_should_be_json_is_set_aside(tmp_path: Path) -> None:
    write(tmp_path / "usage.csv", "n,org,at", 'e1,"{""id"": ""007""}",1704103200', "e2,{id: 007},1704103200")
    found = adapt(sources, tmp_path, params(events=USAGE | {"files": "usage"}), {"007": "2023-01-01"})
    assert only(found.rows["events"], "event_id") == [("e1",)]
    assert found.aside["events"] == {"malformed|account_id": 1}


def test_nested_parquet_is_read_like_json(tmp_path: Path) -> None:
    (tmp_path / "usage").mkdir()
    nested = pa.table({"n": ["e1"], "org": [{"id": 7, "a.b": {"c": 1}}], "at": pa.array([1704103200], pa.int64())})
    pq.write_table(nested, tmp_path / "usage/a.parquet")
    found = adapt(sources, tmp_path, params(events=USAGE | {"files": "usage"}), {"7": "2023-01-01"})
    assert only(found.rows["events"], "account_id", "occurred_at") == [("7", at("2024-01-01 10:00"))]


def test_minor_units_follow_the_currency_of_the_row(tmp_path: Path) -> None:
    write(
        tmp_path / "payments.csv",
        "ref,payer,cents,cur,day",
        "r1,007,1299,USD,2024-01-01",
        "r2,007,1299,jpy,2024-01-02",
        "r3,007,1299.0,KWD,2024-01-03",
        "r4,007,12.99,USD,2024-01-04",
    )
    found = adapt(sources, tmp_path, params(revenue=PAYMENTS), {"007": "2023-01-01"})
    assert only(found.rows["revenue"], "revenue_id", "amount") == [
        ("r1", Decimal("12.99")),
        ("r2", Decimal(1299)),
        ("r3", Decimal("1.299")),
    ]
    assert found.aside["revenue"] == {"wrong_type|amount": 1}


def test_minor_units_without_a_currency_column_are_of_the_declared_one(tmp_path: Path) -> None:
    write(tmp_path / "payments.csv", "ref,payer,cents,day", "r1,007,1299,2024-01-01")
    columns = {column: own for column, own in PAYMENTS["columns"].items() if column != "currency"}
    table = PAYMENTS | {"columns": columns}
    found = adapt(sources, tmp_path, params(revenue=table), {"007": "2023-01-01"}, currency="JPY")
    assert only(found.rows["revenue"], "amount") == [(Decimal(1299),)]


def test_rows_that_are_not_meant_are_excluded_and_counted(tmp_path: Path) -> None:
    lines = [
        '{"n": "e1", "org": {"id": "007"}, "at": 1704103200, "live": true, "detail": {"kind": "a"}}',
        '{"n": "e2", "org": {"id": "007"}, "at": 1704103200, "live": false, "detail": {"kind": "a"}}',
        '{"n": "e3", "org": {"id": "007"}, "at": 1704103200, "live": true, "detail": {"kind": "c"}}',
        '{"n": "e4", "org": {"id": "007"}, "at": 1704103200}',
    ]
    found = usage(tmp_path, *lines, keep={"live": [True], "detail.kind": ["a", "b"]})
    assert only(found.rows["events"], "event_id") == [("e1",)]
    assert found.aside["events"] == {"excluded:keep|": 3}


def test_an_optional_column_may_be_absent_but_not_misspelt(tmp_path: Path) -> None:
    write(tmp_path / "customers.csv", "id,since", "007,2024-01-05")
    assert "plan" not in adapt(sources, tmp_path, params(accounts=CUSTOMERS)).rows["accounts"][0]
    write(tmp_path / "customers.csv", "id,since,Tier", "007,2024-01-05,pro")
    with pytest.raises(ContractBroken, match=r'customers\.csv: column "tier" missing .*nearest found: "Tier"'):
        adapt(sources, tmp_path, params(accounts=CUSTOMERS))


def test_every_missing_column_and_file_is_named_at_once(tmp_path: Path) -> None:
    write(tmp_path / "customers.csv", "id,snice", "007,2024-01-05")
    write(tmp_path / "usage/a.jsonl", '{"n": "e1", "at": 1}')
    tables = {"accounts": CUSTOMERS, "events": USAGE | {"keep": {"live": [True]}}, "revenue": PAYMENTS}
    with pytest.raises(ContractBroken) as caught:
        adapt(sources, tmp_path, params(**tables))
    accounts, events, revenue = caught.value.problems
    assert accounts.startswith('customers.csv: required column "since" (nearest found: "snice") missing')
    assert "Found: id, snice" in accounts
    assert events.startswith('usage/a.jsonl: required columns "org", "live" missing')
    assert "payments is missing (ingest.columns.revenue.files)" in revenue


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"columns": {"account_id": "id", "created_att": "x"}}, 'did you mean "created_at"'),
        ({"columns": {"account_id": "id"}}, "needs columns for created_at"),
        ({"unit": {"plan": "epoch_s"}}, "unit epoch_s is for a mapped timestamp column"),
        ({"unit": {"created_at": "minor"}}, "unit minor is for a mapped money column"),
        ({"unit": {"created_at": "days"}}, "epoch_us"),
        ({"colums": {}}, 'unknown key "columns.accounts.colums"'),
    ],
)
def test_params_that_do_not_fit_the_contract_are_refused(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ParamsError, match=words):
        params(accounts=CUSTOMERS | table)


def test_two_tables_of_one_file_count_its_unreadable_lines_once(tmp_path: Path) -> None:
    write(tmp_path / "sales.csv", "buyer,day,paid", "007,2024-01-05,9", "one cell")
    accounts = {"files": "sales", "columns": {"account_id": "buyer", "created_at": "day"}}
    revenue = {"files": "sales", "columns": {"account_id": "buyer", "booked_at": "day", "amount": "paid"}}
    found = adapt(sources, tmp_path, params(accounts=accounts, revenue=revenue))
    assert [len(found.rows[table]) for table in ("accounts", "revenue")] == [1, 1]
    assert [found.aside[table]["malformed"] for table in ("accounts", "revenue")] == [1, 0]
