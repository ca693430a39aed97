"""The raw tables keep the contract of `warehouse/raw.py`, and the clocks run forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from simulator.behaviour import CONFIGURATION, EVENT_NAMES, SPECIALIST
from simulator.market import Market
from warehouse.raw import TABLES

PARAMS = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
WRITTEN = ("accounts", "events", "revenue", "account_users")


@pytest.fixture(scope="module")
def con(plain_world: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in WRITTEN:
        files = plain_world / ("events/*.parquet" if name == "events" else f"{name}.parquet")
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{files}')")
    return connection


def one(con: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = con.execute(query).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("name", WRITTEN)
def test_every_table_has_exactly_the_columns_of_the_contract(con: duckdb.DuckDBPyConnection, name: str) -> None:
    columns = [row[0] for row in con.execute(f"DESCRIBE {name}").fetchall()]
    assert columns == [column.name for column in TABLES[name].columns]


@pytest.mark.parametrize("name", WRITTEN)
def test_required_columns_are_never_null(con: duckdb.DuckDBPyConnection, name: str) -> None:
    for column in TABLES[name].required:
        assert one(con, f"SELECT count(*) FROM {name} WHERE {column} IS NULL") == 0, column


@pytest.mark.parametrize("name", ["accounts", "events", "revenue"])
def test_keys_are_unique(con: duckdb.DuckDBPyConnection, name: str) -> None:
    assert one(con, f"SELECT count(*) - count(DISTINCT {TABLES[name].key[0]}) FROM {name}") == 0


def test_nothing_happens_before_sign_up_or_after_closing(con: duckdb.DuckDBPyConnection) -> None:
    for table, moment in (("events", "occurred_at"), ("revenue", "booked_at"), ("account_users", "valid_from")):
        early = f"SELECT count(*) FROM {table} JOIN accounts USING (account_id) WHERE {moment} < created_at"
        late = f"SELECT count(*) FROM {table} JOIN accounts USING (account_id) WHERE {moment} > closed_at"
        assert one(con, early) == 0, table
        assert one(con, late) == 0, table


def test_events_are_known_on_the_day_they_happen_and_never_before(con: duckdb.DuckDBPyConnection) -> None:
    assert one(con, "SELECT count(*) FROM events WHERE received_at::DATE <> occurred_at::DATE") == 0
    assert one(con, "SELECT count(*) FROM events WHERE received_at < occurred_at") == 0
    assert one(con, "SELECT count(*) FROM events WHERE received_at > occurred_at") > 0


def test_every_event_belongs_to_a_user_who_has_joined_that_account(con: duckdb.DuckDBPyConnection) -> None:
    strangers = """SELECT count(*) FROM events e
                   LEFT JOIN account_users u ON (u.account_id, u.user_id) = (e.account_id, e.user_id)
                   WHERE u.valid_from IS NULL OR u.valid_from > e.occurred_at"""
    assert one(con, strangers) == 0


def test_every_day_file_holds_its_day(con: duckdb.DuckDBPyConnection, plain_world: Path) -> None:
    query = f"""SELECT count(*) FROM read_parquet('{plain_world}/events/*.parquet', filename = true)
                WHERE strftime(occurred_at, '%Y-%m-%d') <> parse_filename(filename, true)"""
    assert one(con, query) == 0


def test_only_own_people_are_internal_and_they_never_pay(con: duckdb.DuckDBPyConnection) -> None:
    assert 0.002 < one(con, "SELECT avg(is_internal::INT) FROM accounts") < 0.03
    assert one(con, "SELECT count(*) FROM revenue JOIN accounts USING (account_id) WHERE is_internal") == 0


def test_a_row_of_money_serves_a_period_and_only_charges_are_positive(con: duckdb.DuckDBPyConnection) -> None:
    assert one(con, "SELECT count(*) FROM revenue WHERE period_end <= period_start") == 0
    ahead = "SELECT count(*) FROM revenue WHERE booked_at::DATE < period_start AND kind <> 'subscription'"
    assert one(con, ahead) == 0  # only a yearly bill pays for what begins after the month that is paid already
    assert one(con, "SELECT count(*) FROM revenue WHERE booked_at::DATE > period_start") == 0
    assert one(con, "SELECT count(*) FROM revenue WHERE (amount < 0) <> (kind IN ('credit', 'refund'))") == 0
    kinds = {row[0] for row in con.execute("SELECT DISTINCT kind FROM revenue").fetchall()}
    assert kinds == {"subscription", "invoice", "credit", "refund"}


def test_event_names_with_a_meaning_are_those_of_the_params() -> None:
    named = PARAMS["features"]
    assert set(SPECIALIST) == set(named["specialist"])
    assert set(CONFIGURATION) == set(named["configuration"])
    assert {*named["limit"], *named["ticket"]} < set(EVENT_NAMES)


def test_the_ladder_of_the_market_is_that_of_the_params() -> None:
    ladder = PARAMS["tiers"]["ladder"]
    assert list(Market().tiers) == [tier["name"] for tier in ladder]
    assert Market().floors.tolist() == [tier["floor"] for tier in ladder]
