"""Any SQL database: one read-only query a canonical table, streamed into Parquet files of the same types.

The core calls `extract` first and then reads the folder it filled like any delivery of canonical tables. SQLAlchemy and
the drivers are the extra `database`; the serving runtime has neither.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from warehouse import rules
from warehouse.adapters import Source, database_types, tables
from warehouse.errors import ExpansionError, ParamsError, UsageError
from warehouse.params import Section
from warehouse.raw import DELIVERED, FX_RATES, TABLES
from warehouse.tombstones import COLUMNS, Tombstones

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, CursorResult

BATCH = 50_000  # rows in memory at a time
NOBODY = Tombstones()
EXTRA = 'pip install "expansion-propensity[database]"'


class DatabaseParams(Section):
    """Where the database is, and one SELECT a canonical table.

    url_env: name of the environment variable that holds the SQLAlchemy URL; url_file: a file that holds it, readable by
    its owner alone. One of the two; the URL itself never stands in params. timeout_s: for one statement, PostgreSQL.
    """

    url_env: str | None = None
    url_file: Path | None = None
    timeout_s: int = Field(default=600, ge=1)
    accounts: str | None = None
    events: str | None = None
    revenue: str | None = None
    touches: str | None = None
    account_users: str | None = None
    fx_rates: str | None = None

    @property
    def queries(self) -> dict[str, str]:
        """The query of each table that has one."""
        asked = {table: getattr(self, table) for table in TABLES} | {FX_RATES.name: self.fx_rates}
        return {table: query for table, query in asked.items() if query is not None}


def sources(con: duckdb.DuckDBPyConnection, raw: Path, params: DatabaseParams, reading: rules.Reading) -> list[Source]:
    """The tables with a query, from the folder `raw` that `extract` filled; rates are read by the core.

    Raises:
        ContractBroken: a query lacks a required column.
    """
    found = [tables.read(con, raw, TABLES[table]) for table in params.queries if table in TABLES]
    return [source for source in found if source is not None]


def extract(
    params: DatabaseParams,
    into: Path,
    say: Callable[[str], None] | None = None,
    erased: Tombstones = NOBODY,
) -> Path:
    """Writes `<table>.parquet` a query to the folder `into`, all from one snapshot of the database, and returns it.

    Either all files are there afterwards or none is. say: told how many rows each table has so far. erased: whose rows
    never reach the disk.

    Raises:
        ParamsError: no URL, no query, a query that is not one SELECT, or one that the database refuses.
        UsageError: SQLAlchemy or the driver is not installed.
        ContractBroken: a value that no decimal of 38 digits holds.
        ExpansionError: the database cannot be reached, or the connection broke.
    """
    _check(params)
    url = _url(params)
    into.mkdir(parents=True, exist_ok=True)
    partials = {table: into / f".{table}.parquet.partial" for table in params.queries}
    try:
        with _transaction(url, params) as connection:
            for table, query in params.queries.items():
                _stream(connection, table, query, partials[table], say or _silent, erased)
        for table, partial in partials.items():
            os.replace(partial, into / f"{table}.parquet")
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return into


def _silent(text: str) -> None:
    pass


def _check(params: DatabaseParams) -> None:
    # Here and not in the class, because the message of a refused field would show its value, perhaps a URL.
    if (params.url_env is None) == (params.url_file is None):
        raise ParamsError("ingest.database: give one of url_env and url_file.")
    if not params.queries:
        raise ParamsError(f"ingest.database: give a query for at least one of {', '.join(DELIVERED)}.")
    for table, query in params.queries.items():
        fault = not_a_select(query)
        if fault:
            raise ParamsError(f"ingest.database.{table}: {fault}. Give one SELECT that only reads.")


# What is no code of the query. PostgreSQL reads a backslash as an escape in E'' alone; other drivers, which may see it
# elsewhere, run one statement only. A $ inside a name starts no quote.
_QUIET = re.compile(
    r"""(?P<comment> --[^\n\r]* | /\*.*?\*/ )
      | (?<![\w$\x80-\U0010ffff]) [eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
      | (?<![\w$\x80-\U0010ffff]) \$(?P<tag>(?:[^\W\d]\w*)?)\$ .*? \$(?P=tag)\$""",
    re.DOTALL | re.VERBOSE,
)
_WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE", "INTO")


def not_a_select(query: str) -> str | None:
    """Why `query` is not one SELECT (or WITH ... SELECT) that only reads; null when it is.

    The first of three doors: the transaction is read-only too, and PostgreSQL opens no cursor on anything that writes.
    """
    comments = [match["comment"] for match in _QUIET.finditer(query) if match["comment"]]
    if any("/*" in comment[2:] or comment.startswith("/*!") for comment in comments):
        return "a comment inside a comment, which databases read differently"
    code = _QUIET.sub(lambda match: " " if match["comment"] else "''", query).strip().removesuffix(";")
    if not re.match(r"(select|with)\b", code, re.IGNORECASE):
        return "not a SELECT or WITH"
    if ";" in code:
        return "more than one statement"
    writing = next((word for word in re.findall(r"\w+", code.upper()) if word in _WRITES), None)
    return None if writing is None else f"the word {writing}; a column of that name goes in double quotes"


def _url(params: DatabaseParams) -> URL:
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError as error:
        raise UsageError(f"ingest.database needs SQLAlchemy: install the extra `database` ({EXTRA}).") from error
    try:
        url = make_url(_secret(params))
    except (ArgumentError, ValueError):
        url = None
    if url is None:  # raised out here, so that nothing that knows the URL is chained to it
        raise ParamsError(f"{_place(params)} holds no database URL such as postgresql://user:password@host/name.")
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    return url


def _place(params: DatabaseParams) -> str:
    return "the environment variable of ingest.database.url_env" if params.url_env else "ingest.database.url_file"


def _secret(params: DatabaseParams) -> str:
    if params.url_env is not None:
        if not re.fullmatch(r"[A-Za-z_]\w*", params.url_env):
            raise ParamsError("ingest.database.url_env is not the name of an environment variable.")
        secret = os.environ.get(params.url_env, "").strip()
        if not secret:
            raise ParamsError(f"ingest.database.url_env: the environment variable {params.url_env} is not set.")
        return secret
    path = params.url_file or Path()
    try:
        mode = path.stat().st_mode
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"ingest.database.url_file: {path} cannot be read ({type(error).__name__}).") from None
    if stat.S_IMODE(mode) & 0o077:
        raise ParamsError(f"ingest.database.url_file: others may read {path}. Do: chmod 600 {path}")
    return secret


@contextmanager
def _transaction(url: URL, params: DatabaseParams) -> Iterator[Connection]:
    """A connection inside one read-only transaction, rolled back at the end whatever happens."""
    import sqlalchemy
    from sqlalchemy.pool import NullPool

    dialect = url.get_backend_name()
    waiting = {"connect_timeout": 30} if dialect == "postgresql" and "connect_timeout" not in url.query else {}
    engine = _guarded(
        lambda: sqlalchemy.create_engine(url, poolclass=NullPool, connect_args=waiting, hide_parameters=True)
    )
    connection: Connection = _guarded(engine.connect)
    try:
        _guarded(lambda: _read_only(connection, dialect, params.timeout_s))
        yield connection
    finally:
        try:
            connection.rollback()
            connection.close()
        except sqlalchemy.exc.SQLAlchemyError:
            pass  # the connection is gone, and with it the transaction
        engine.dispose()


def _read_only(connection: Connection, dialect: str, timeout_s: int) -> None:
    if dialect == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
        return
    if dialect == "postgresql":  # one snapshot for all tables
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {timeout_s * 1000}")
        connection.exec_driver_sql("SET LOCAL TimeZone = 'UTC'")
        connection.exec_driver_sql("SET LOCAL standard_conforming_strings = on")
        return
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")


def _guarded(action: Callable[[], Any], table: str | None = None) -> Any:
    """The result of `action`; what SQLAlchemy or a driver raises becomes one of our errors without URL, host or values.

    It is raised outside of the `except`, so that no traceback shows the driver's own message either."""
    from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

    try:
        return action()
    except ModuleNotFoundError as error:
        fault: Exception = UsageError(
            f"ingest.database needs the driver {error.name}: install it. PostgreSQL's is in the extra `database` "
            f"({EXTRA})."
        )
    except NoSuchModuleError:
        fault = ParamsError("ingest.database: SQLAlchemy knows no database of the kind that the URL names.")
    except DBAPIError as error:
        fault = database_types.explained(error, table)
    except SQLAlchemyError as error:
        fault = ExpansionError(f"ingest.database: the database could not be used ({type(error).__name__}).")
    raise fault


def _stream(
    connection: Connection, table: str, query: str, path: Path, say: Callable[[str], None], erased: Tombstones
) -> None:
    # no_parameters: the text goes to the database as it stands, a % or a : in it means nothing to us
    options = {"stream_results": True, "yield_per": BATCH, "no_parameters": True}
    result: CursorResult[Any] = _guarded(
        lambda: connection.exec_driver_sql(query.strip().removesuffix(";"), execution_options=options), table
    )
    names: list[str] = _guarded(lambda: list(result.keys()), table)
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise ParamsError(
            f"ingest.database.{table}: column {', '.join(twice)} comes more than once. Name each with AS."
        )
    # only PostgreSQL's driver says the types so that we know them
    described = result.cursor.description if result.cursor and connection.dialect.name == "postgresql" else None
    batches = result.partitions(BATCH)
    batch: Sequence[Any] = _guarded(lambda: next(batches, []), table)
    kinds = database_types.kinds(DELIVERED[table], names, described, batch)
    rows = 0
    schema = pa.schema(list(kinds.items()))
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        while batch:
            writer.write_table(_without(database_types.arrow(table, kinds, batch), erased))
            rows += len(batch)
            say(f"{table}: {rows:,} rows")
            batch = ()  # or two batches would be in memory
            batch = _guarded(lambda: next(batches, []), table)
    result.close()


def _without(table: pa.Table, erased: Tombstones) -> pa.Table:
    for kind, column in COLUMNS.items():
        if erased.stones and column in table.column_names:
            ids = table[column].cast(pa.string())
            gone = erased.among(kind, pc.unique(ids).to_pylist())
            table = table.filter(pc.invert(pc.is_in(ids, pa.array(gone, pa.string())))) if gone else table
    return table
