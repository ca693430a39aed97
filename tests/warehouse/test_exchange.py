"""Many currencies become one by the rates of the folder, and not a cent of the source is lost on the way."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.builders import Row, account, event, invoice, write_file, write_raw
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace

NOW = datetime(2024, 6, 1, tzinfo=UTC)
RATES: list[Row] = [
    {"day": "2024-02-01", "currency": "EUR", "rate": "1.10"},
    {"day": "2024-03-01", "currency": "EUR", "rate": "1.20"},
    {"day": "2024-02-01", "currency": "jpy", "rate": "0.0067"},
]
BILLS = [
    invoice("a1", "2024-02-01T00:00:00Z", "100.10", currency="EUR"),
    invoice("a1", "2024-02-07T23:00:00Z", "10.01", currency="eur"),
    invoice("a1", "2024-03-05T00:00:00Z", "100.10", currency="EUR"),
    invoice("a1", "2024-02-02T00:00:00Z", "12345", currency="JPY"),
    invoice("a1", "2024-02-02T00:00:00Z", "7.77", currency="USD"),
    invoice("a1", "2024-02-02T00:00:00Z", "1.11", currency=None),
    invoice("a1", "2024-02-02T00:00:00Z", "-3.33", currency="EUR", kind="credit"),
]


def folder(tmp_path: Path, bills: list[Row]) -> Path:
    raw = write_raw(tmp_path / "raw", [account("a1")], [event("a1")], bills)
    write_file(raw / "fx_rates.csv", ["day", "currency", "rate"], RATES)
    return raw


def booked(workspace: Workspace) -> list[Decimal]:
    rows = pq.read_table(workspace.warehouse / "revenue").to_pylist()
    assert {row["currency"] for row in rows} <= {"USD", None}
    return sorted(row["amount"] for row in rows)


def test_an_amount_is_worth_what_the_rate_of_its_day_says(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    accounting = ingest(folder(tmp_path, BILLS), workspace, IngestParams(currency="USD"), NOW)
    worth = ["110.11", "11.011", "120.12", "82.7115", "7.77", "1.11", "-3.663"]  # by hand
    assert booked(workspace) == sorted(map(Decimal, worth))
    sums = {one.currency: one for one in accounting.sums}
    assert {currency: Decimal(one.read) for currency, one in sums.items()} == {
        "": Decimal("1.11"),
        "EUR": Decimal("206.88"),
        "JPY": Decimal(12345),
        "USD": Decimal("7.77"),
    }
    assert Decimal(sums["EUR"].booked) == Decimal("237.578")
    assert accounting.quarantined("fx_rates") == {}


def test_rates_of_one_fixed_day_make_the_market_stand_still(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    params = IngestParams(currency="USD", fx_fixed_on=date(2024, 2, 15))
    ingest(folder(tmp_path, BILLS[:3]), workspace, params, NOW)
    assert booked(workspace) == [Decimal("11.011"), Decimal("110.11"), Decimal("110.11")]


def test_an_amount_without_a_rate_of_its_day_is_set_aside_and_counted_to_the_cent(tmp_path: Path) -> None:
    late = invoice("a1", "2024-02-08T00:00:00Z", "5.05", currency="EUR")  # the rate of 1 February holds for seven days
    early = invoice("a1", "2024-01-31T00:00:00Z", "6.06", currency="EUR")
    raw = folder(tmp_path, [*BILLS, late, early, invoice("a1", amount="1", currency="XXQ")])
    with pytest.raises(ContractBroken, match=r'column "currency": 3 of 10 rows have no exchange rate of their day'):
        ingest(raw, Workspace(tmp_path / "w"), IngestParams(currency="USD"), NOW)
    lenient = IngestParams(currency="USD", max_ratio={"no_rate": 1})
    accounting = ingest(raw, Workspace(tmp_path / "w"), lenient, NOW)
    assert accounting.quarantined("revenue") == {"no_rate": 3}
    euros = next(one for one in accounting.sums if one.currency == "EUR")
    assert (euros.accepted, euros.quarantined) == ("206.8800", "11.1100")


def test_new_rates_convert_old_amounts_anew(tmp_path: Path) -> None:
    raw, workspace = folder(tmp_path, BILLS[:1]), Workspace(tmp_path / "w")
    ingest(raw, workspace, IngestParams(currency="USD"), NOW)
    write_file(raw / "fx_rates.csv", ["day", "currency", "rate"], [RATES[0] | {"rate": "2"}])
    ingest(raw, workspace, IngestParams(currency="USD"), NOW)
    assert booked(workspace) == [Decimal("200.2")]


def rates_file(raw: Path, rows: list[Row]) -> None:
    write_file(raw / "fx_rates.csv", ["day", "currency", "rate"], rows)


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_rates_of_one_day_the_lower_holds_and_the_other_is_set_aside(turned: bool, tmp_path: Path) -> None:
    raw, workspace = folder(tmp_path, BILLS[:1]), Workspace(tmp_path / "w")
    rows = [RATES[0], RATES[0], RATES[0] | {"currency": "eur", "rate": "2.20"}]
    rates_file(raw, rows[::-1] if turned else rows)
    with pytest.raises(ContractBroken, match=r'fx_rates.csv: column "currency": 1 of 3 rows repeats a key with other'):
        ingest(raw, workspace, IngestParams(currency="USD"), NOW)
    accounting = ingest(raw, workspace, IngestParams(currency="USD", max_ratio={"conflicting_duplicate": 1}), NOW)
    assert booked(workspace) == [Decimal("110.11")]
    assert (accounting.counts["fx_rates"], accounting.duplicate("fx_rates")) == (1, 1)
    assert accounting.quarantined("fx_rates") == {"conflicting_duplicate": 1}


def test_rates_are_accounted_for_like_any_table(tmp_path: Path) -> None:
    raw, workspace = folder(tmp_path, BILLS[:1]), Workspace(tmp_path / "w")
    rates_file(raw, [*RATES, RATES[0], {"day": "yesterday", "currency": "EUR", "rate": "3"}])
    with (raw / "fx_rates.csv").open("a", newline="") as file:
        file.write("2024-02-03,EUR,1.3,too,many\r\n")
    with pytest.raises(ContractBroken, match=r'fx_rates.csv: column "day": 1 of 6 rows is not a timestamp') as caught:
        ingest(raw, workspace, IngestParams(currency="USD"), NOW)
    assert "quarantine/fx_rates.parquet" in str(caught.value)
    aside = pq.read_table(workspace.quarantine / "fx_rates.parquet").to_pylist()
    assert [(row["rule"], row["line"]) for row in aside] == [("wrong_type", 6), ("malformed", 7)]
    accounting = ingest(raw, workspace, IngestParams(currency="USD", max_bad_ratio=1), NOW)
    said = "fx_rates: 6 read = 3 accepted + 1 duplicate + 2 quarantined"
    assert said in accounting.lines()
    assert accounting.to_json()["tables"]["fx_rates"]["quarantined"] == {"malformed": 1, "wrong_type": 1}
    assert not (workspace.warehouse / "fx_rates").exists()
    assert accounting == ingest(raw, workspace, IngestParams(currency="USD", max_bad_ratio=1), NOW, whole=True)
