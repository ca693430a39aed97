"""Tables read from a database: exact, in UTC, without any trace of a password, and never written to."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.warehouse.adapted import adapt, at, only
from tests.warehouse.postgres import Cluster, postgres  # noqa: F401
from warehouse.adapters import database
from warehouse.adapters.database import DatabaseParams, extract, not_a_select
from warehouse.errors import ContractBroken, ExpansionError, ParamsError, UsageError

CANARY = "canary-7c1f"
MADE = """
    CREATE TABLE customers (id bigint PRIMARY KEY, since timestamptz, local timestamp, plan text, seats int, kind uuid);
    INSERT INTO customers VALUES
        (7, '2024-03-01 09:00+05:30', '2024-03-01 09:00', 'O''Hara 100%', 12, '0b0e2c1a-0000-0000-0000-000000000001'),
        (8, '2023-12-31 23:59:59.123456-05', NULL, NULL, NULL, NULL);
    CREATE TABLE bills
        (id int, customer bigint, amount numeric(12,2), tax numeric, day date, share float8, paid boolean);
    INSERT INTO bills VALUES
        (1, 7, 0.10, 0.1234567891, '2024-03-02', 0.5, true), (2, 7, 0.20, 0, '2024-03-03', 0.25, false),
        (3, 8, 9999999999.99, -12345678901234567890.5, '2024-03-04', NULL, NULL), (4, 8, NULL, NULL, NULL, NULL, NULL);
    CREATE ROLE reader LOGIN PASSWORD 'canary-7c1f';
    GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA public TO reader;
"""


@pytest.fixture(scope="session")
def bills(postgres: Cluster) -> Cluster:  # noqa: F811
    postgres.run(MADE)
    return postgres


@pytest.fixture
def url(bills: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a role that may write, so that only we keep it from writing; in the environment as BILLS_URL."""
    made = f"postgresql://reader:{CANARY}@/postgres?host={bills.folder}"
    monkeypatch.setenv("BILLS_URL", made)
    return made


def asked(**queries: str) -> DatabaseParams:
    return DatabaseParams(url_env="BILLS_URL", **queries)


def taken(tmp_path: Path, query: str, table: str = "revenue") -> pa.Table:
    return pq.read_table(extract(asked(**{table: query}), tmp_path / "raw") / f"{table}.parquet")


@pytest.mark.usefixtures("url")
def test_money_arrives_exact_and_ids_as_text(tmp_path: Path) -> None:
    table = taken(
        tmp_path, "SELECT id AS revenue_id, customer AS account_id, amount, tax, day, share, paid FROM bills ORDER BY 1"
    )
    types = dict(zip(table.column_names, map(str, table.schema.types), strict=True))
    assert types == {
        "revenue_id": "string",
        "account_id": "string",
        "amount": "decimal128(38, 2)",
        "tax": "decimal128(38, 10)",
        "day": "date32[day]",
        "share": "double",
        "paid": "bool",
    }
    rows = table.to_pylist()
    assert [row["amount"] for row in rows] == [Decimal("0.10"), Decimal("0.20"), Decimal("9999999999.99"), None]
    assert [row["tax"] for row in rows] == [Decimal("0.1234567891"), 0, Decimal("-12345678901234567890.5"), None]
    assert rows[0] | {"tax": None} == {
        "revenue_id": "1",
        "account_id": "7",
        "amount": Decimal("0.10"),
        "tax": None,
        "day": date(2024, 3, 2),
        "share": 0.5,
        "paid": True,
    }
    assert taken(tmp_path, "SELECT sum(amount) AS amount FROM bills")["amount"].to_pylist() == [
        Decimal("10000000000.29")
    ]


@pytest.mark.usefixtures("url")
def test_moments_of_any_zone_arrive_in_utc_and_naive_ones_stay_naive(tmp_path: Path) -> None:
    query = "SELECT id AS account_id, since AS created_at, local, plan, kind FROM customers ORDER BY id"
    table = taken(tmp_path, query, "accounts")
    assert [str(table.schema.field(name).type) for name in ("created_at", "local")] == [
        "timestamp[us, tz=UTC]",
        "timestamp[us]",
    ]
    assert table["created_at"].to_pylist() == [
        datetime(2024, 3, 1, 3, 30, tzinfo=UTC),
        datetime(2024, 1, 1, 4, 59, 59, 123456, tzinfo=UTC),
    ]
    assert table["local"].to_pylist() == [datetime(2024, 3, 1, 9), None]
    assert table["plan"].to_pylist() == ["O'Hara 100%", None]
    assert table["kind"].to_pylist()[0] == "0b0e2c1a-0000-0000-0000-000000000001"


@pytest.mark.usefixtures("url")
def test_what_was_fetched_is_read_like_any_delivery_to_the_cent(bills: Cluster, tmp_path: Path) -> None:
    params = asked(
        accounts="SELECT id AS account_id, since AS created_at, plan FROM customers",
        revenue="SELECT id AS revenue_id, customer AS account_id, amount, day::timestamptz AS booked_at FROM bills",
    )
    found = adapt(database.sources, extract(params, tmp_path / "raw"), params)
    assert only(found.rows["accounts"], "account_id", "created_at", "plan") == [
        ("8", at("2024-01-01T04:59:59.123456"), None),
        ("7", at("2024-03-01T03:30:00"), "O'Hara 100%"),
    ]
    assert sum(row["amount"] for row in found.rows["revenue"]) == Decimal(bills.run("SELECT sum(amount) FROM bills"))
    assert found.aside["revenue"] == {"required_null|amount": 1}


@pytest.mark.usefixtures("url")
def test_the_query_reaches_the_database_as_it_was_written(tmp_path: Path) -> None:
    query = (
        "SELECT id AS account_id, '12:30 :x %s %(y)s'::text AS plan FROM customers WHERE plan LIKE '%100\\%' -- a; b\n;"
    )
    assert taken(tmp_path, query, "accounts").to_pylist() == [{"account_id": "7", "plan": "12:30 :x %s %(y)s"}]


@pytest.mark.usefixtures("url")
def test_a_query_without_rows_gives_a_table_without_rows(tmp_path: Path) -> None:
    table = taken(tmp_path, "SELECT customer AS account_id, amount FROM bills WHERE false")
    assert (table.num_rows, str(table.schema.field("amount").type)) == (0, "decimal128(38, 2)")


WRITING = [
    "INSERT INTO bills VALUES (9)",
    "WITH gone AS (DELETE FROM bills RETURNING *) SELECT * FROM gone",
    "WITH a AS (SELECT 1) INSERT INTO bills SELECT 9",
    "SELECT 1; DELETE FROM bills",
    "SELECT 1; COMMIT; DELETE FROM bills",
    "SELECT * INTO copied FROM bills",
    "SELECT * FROM bills FOR UPDATE",
    "/* SELECT */ TRUNCATE bills",
    "SELECT '\\'; DELETE FROM bills; --'",
    "SELECT 1 /* /* */ ' */; DELETE FROM bills; SELECT '",
    "SELECT a$b$; DELETE FROM bills; SELECT a$b$",
    "SELECT 1 -- \r; DELETE FROM bills",
    "SELECT E'\\''; DELETE FROM bills --'",
    "EXPLAIN ANALYZE DELETE FROM bills",
    "COPY bills TO PROGRAM 'true'",
    "selection FROM bills",
    "",
]


@pytest.mark.parametrize("query", WRITING)
def test_what_is_not_one_reading_select_is_refused_before_connecting(query: str, tmp_path: Path) -> None:
    params = DatabaseParams(url_env="NOT_SET", revenue=query)
    with pytest.raises(ParamsError, match=r"ingest\.database\.revenue: .*Give one SELECT"):
        extract(params, tmp_path)


@pytest.mark.parametrize(
    "query", [*WRITING[:8], "SELECT set_config('transaction_read_only', 'off', false), nextval('s')"]
)
@pytest.mark.usefixtures("url")
def test_the_database_itself_refuses_to_write_for_us(
    query: str, bills: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "not_a_select", lambda query: None)  # as if the first door stood open
    with pytest.raises(ExpansionError):
        extract(asked(revenue=query), tmp_path / "raw")
    assert bills.run("SELECT count(*), sum(id) FROM bills; SELECT to_regclass('copied') IS NULL") == "4|10\nt"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT deleted_at, \"update\", 'DELETE; ' AS x, $t$; INSERT $t$ FROM t; -- ; DELETE",
        "with a as (select 1) select * from a /* INSERT; */;",
        "SELECT E'it\\'s; fine', 'it''s; fine' FROM t",
    ],
)
def test_words_in_strings_names_and_comments_are_no_statements(query: str) -> None:
    assert not_a_select(query) is None


@pytest.mark.usefixtures("url")
def test_a_query_that_the_database_refuses_names_the_table_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r'ingest\.database\.revenue: column "amout" does not exist\.'):
        extract(asked(accounts="SELECT 1 AS account_id", revenue="SELECT amout FROM bills"), tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []
    with pytest.raises(ParamsError, match="column id comes more than once"):
        extract(asked(revenue="SELECT id, id FROM bills"), tmp_path / "raw")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (f"SELECT '{CANARY}'::int AS amount", ParamsError),
        ("SELECT plan::int AS amount FROM customers", ParamsError),
        ("SELECT 'infinity'::timestamptz AS booked_at", ParamsError),
        ("SELECT 'NaN'::numeric AS amount", ContractBroken),
        ("SELECT 1e30::numeric AS amount", ContractBroken),
    ],
)
@pytest.mark.usefixtures("url")
def test_an_error_never_shows_a_value(query: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error, match=r"ingest\.database\.revenue") as caught:
        extract(asked(revenue=query), tmp_path / "raw")
    assert not any(value in str(caught.value) for value in (CANARY, "Hara", "infinity", "NaN", "1E+30"))


def test_the_password_and_the_host_are_in_no_error(
    url: str, bills: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {
        "it refused the login": url.replace(CANARY, CANARY + "x"),
        "it has no such database": f"postgresql://reader:{CANARY}@/elsewhere?host={bills.folder}",
        "nothing listens": f"postgresql://reader:{CANARY}@127.0.0.1:1/postgres",
        "no such database, user or socket": f"postgresql://reader:{CANARY}@/postgres?host=/nowhere-{CANARY}",
        "holds no database URL": f"{CANARY}",
        "no database of the kind": f"strange://reader:{CANARY}@host/name",
    }
    for words, bad in wrong.items():
        monkeypatch.setenv("BILLS_URL", bad)
        with pytest.raises(ExpansionError, match=words) as caught:
            extract(asked(revenue="SELECT 1 AS amount"), tmp_path / "raw")
        shown = "".join(map(str, _chain(caught.value)))
        assert not any(secret in shown for secret in (CANARY, "reader", "127.0.0.1", str(bills.folder)))


def _chain(error: BaseException | None) -> list[BaseException]:
    return [] if error is None else [error, *_chain(error.__cause__), *_chain(error.__context__)]


def test_a_url_typed_into_the_params_is_not_repeated(tmp_path: Path) -> None:
    params = DatabaseParams(url_env=f"postgresql://reader:{CANARY}@host/name", revenue="SELECT 1")
    with pytest.raises(ParamsError, match="url_env is not the name of an environment variable") as caught:
        extract(params, tmp_path)
    assert CANARY not in str(caught.value)


def test_a_file_with_the_url_that_others_may_read_is_refused(url: str, tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text(url + "\n", encoding="utf-8")
    params = DatabaseParams(url_file=secret, revenue="SELECT 1 AS amount")
    secret.chmod(0o640)
    with pytest.raises(ParamsError, match="others may read"):
        extract(params, tmp_path / "raw")
    secret.chmod(0o600)
    assert pq.read_table(extract(params, tmp_path / "raw") / "revenue.parquet")["amount"].to_pylist() == [1]


@pytest.mark.usefixtures("url")
def test_a_query_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    params = asked(revenue="SELECT pg_sleep(30)").model_copy(update={"timeout_s": 1})
    with pytest.raises(ExpansionError, match=r"revenue: the database stopped the query.*timeout_s") as caught:
        extract(params, tmp_path / "raw")
    assert not isinstance(caught.value, UsageError)
    assert caught.value.exit_code == 5


@pytest.mark.usefixtures("url")
def test_ordered_rows_give_the_same_bytes_every_time_with_checksums(tmp_path: Path) -> None:
    said: list[str] = []
    params = asked(revenue="SELECT id AS revenue_id, amount, day FROM bills ORDER BY id")
    paths = [extract(params, tmp_path / name, said.append) / "revenue.parquet" for name in ("one", "two")]
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}) == 1
    assert said == ["revenue: 4 rows"] * 2
    damaged = bytearray(paths[0].read_bytes())
    damaged[60] ^= 0xFF
    paths[0].write_bytes(damaged)
    with pytest.raises(OSError, match=r"CRC|could not verify"):
        pq.read_table(paths[0], page_checksum_verification=True)


MEASURED = """
import resource, sys
from pathlib import Path
from warehouse.adapters.database import DatabaseParams, extract
rows = "SELECT n AS event_id, n % 900 AS account_id, repeat('x', 1000) || n AS event_name FROM generate_series(1, {}) n"
for count in (100_000, 200_000):
    extract(DatabaseParams(url_env="BILLS_URL", events=rows.format(count)), Path(sys.argv[1]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.usefixtures("url")
def test_two_hundred_thousand_rows_stream_through_bounded_memory(tmp_path: Path) -> None:
    # 200 MB of text: held whole, the second read would need some 150 MB more than the first
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    few, many = map(int, done.stdout.split())
    assert pq.read_metadata(tmp_path / "events.parquet").num_rows == 200_000
    assert many - few < 120


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as con:
        con.execute("CREATE TABLE bills (id INTEGER, amount NUMERIC, booked TEXT)")
        con.executemany("INSERT INTO bills VALUES (?, ?, ?)", [(1, 0.1, "2024-03-01T00:00:00Z"), (2, None, None)])
    con.close()
    monkeypatch.setenv("BILLS_URL", f"sqlite:///{path}")
    return path


@pytest.mark.usefixtures("shop")
def test_a_database_without_types_gives_text_that_is_still_exact(tmp_path: Path) -> None:
    table = taken(tmp_path, "SELECT id AS revenue_id, amount, booked AS booked_at FROM bills ORDER BY id")
    assert table.to_pylist() == [
        {"revenue_id": "1", "amount": "0.1", "booked_at": "2024-03-01T00:00:00Z"},
        {"revenue_id": "2", "amount": None, "booked_at": None},
    ]


def test_sqlite_is_opened_for_reading_only_too(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "not_a_select", lambda query: None)
    with pytest.raises(ParamsError, match="readonly"):
        taken(tmp_path, "DELETE FROM bills")
    with sqlite3.connect(shop) as con:
        assert con.execute("SELECT count(*) FROM bills").fetchone() == (2,)


def test_without_sqlalchemy_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLS_URL", "sqlite://")
    monkeypatch.setitem(sys.modules, "sqlalchemy.engine", None)
    with pytest.raises(UsageError, match="install the extra `database`"):
        taken(tmp_path, "SELECT 1 AS amount")


@pytest.mark.parametrize("params", [{}, {"url_env": "A", "url_file": "b"}, {"url_env": "A"}])
def test_params_that_name_no_place_or_no_query_are_refused(params: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"ingest\.database: give"):
        extract(DatabaseParams.model_validate(params), tmp_path)
