"""A plain log of invoice lines, such as a shop or a wholesaler keeps: each line an event, each invoice a revenue row.

An account is everyone with at least one line of positive quantity; the first such line is its sign-up. All names and
all exclusions are declared in the params, none here.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
from pydantic import Field

from warehouse import rules
from warehouse.adapters import Source, files, united
from warehouse.adapters.tables import require
from warehouse.engine import name, quote
from warehouse.errors import ContractBroken, ParamsError
from warehouse.params import Section
from warehouse.raw import ACCOUNTS, Column, RawTable

FACTS = (
    Column("account_id", "text", "who buys", required=True),
    Column("occurred_at", "timestamp", "when", required=True),
    Column("quantity", "number", "units; negative when they come back", required=True),
    Column("price", "money", "price of one unit", required=True),
    Column("invoice", "text", "number of the invoice", required=True),
)
ATTRIBUTES = ("industry", "country", "channel", "owner", "plan")


class LogColumns(Section):
    """The log's own name of each fact; attributes of the account may be left out."""

    account_id: str
    occurred_at: str
    quantity: str
    price: str
    invoice: str
    industry: str | None = None
    country: str | None = None
    channel: str | None = None
    owner: str | None = None
    plan: str | None = None


class TransactionLogParams(Section):
    """`file`: the log. `exclude`: rule name to SQL condition over the file's columns; such lines are set aside and
    counted under `excluded:<name>`, the first that fits, and break no limit. `returned`: SQL condition of a return.
    Columns of a CSV file are text there, so cast them."""

    file: str
    columns: LogColumns
    exclude: dict[str, str] = Field(default_factory=dict)
    returned: str = "false"


def sources(
    con: duckdb.DuckDBPyConnection, raw: Path, params: TransactionLogParams, reading: rules.Reading
) -> list[Source]:
    """Accounts, events and revenue of the log.

    Raises:
        ContractBroken: the file or one of the declared columns is missing.
        ParamsError: a condition is not SQL over the file's columns.
    """
    there = files.look(con, raw, files.stem_of(Path(params.file)) or params.file)
    if there is None:
        raise ContractBroken([f"{raw}: {params.file} is missing (ingest.transaction_log.file)."])
    named = {fact: own for fact, own in params.columns.model_dump().items() if own is not None}
    for file, columns in there.by_file.items():
        require(file, _declared(named), columns)
    lines, rejects = files.relation(raw, there, sql=True)
    table, types = _table(named), united.in_sql(there.by_file)
    source = Source(
        "log",
        _judged(lines, params, named),
        {fact: types[own] for fact, own in named.items()} | {"returned": "BOOLEAN"},
        tuple(there.by_file),
        judged=True,
    )
    try:
        con.execute(f"CREATE TABLE ingest.log AS {rules.judged(table, source, reading)}")
    except (duckdb.BinderException, duckdb.ParserException, duckdb.ConversionException) as error:
        raise ParamsError(f"ingest.transaction_log: a condition does not fit the file ({error}).") from error
    extra = there.besides(named.values())
    return [
        Source("accounts", _accounts(table), _types(table), source.files, paths=there.paths),
        Source("events", _EVENTS, _EVENT_TYPES, source.files, extra, rejects, judged=True, paths=there.paths),
        Source("revenue", _revenue(reading.currency), _REVENUE_TYPES, source.files, paths=there.paths),
    ]


def _declared(named: dict[str, str]) -> RawTable:
    columns = tuple(Column(own, "text", fact, required=True) for fact, own in named.items())
    return RawTable("log", columns, (), named["occurred_at"], named["occurred_at"], "the log under its own names")


def _table(named: dict[str, str]) -> RawTable:
    attributes = tuple(ACCOUNTS.column(attribute) for attribute in ATTRIBUTES if attribute in named)
    returned = Column("returned", "flag", "the line is a return")
    return RawTable("log", (*FACTS, *attributes, returned), (), "occurred_at", "occurred_at", "one row a line")


def _judged(lines: str, params: TransactionLogParams, named: dict[str, str]) -> str:
    whens = " ".join(f"WHEN ({sql}) THEN {quote(f'excluded:{rule}|')}" for rule, sql in params.exclude.items())
    breach = f"CASE {whens} END" if whens else "CAST(NULL AS VARCHAR)"
    facts = ", ".join(f"{name(own)} AS {name(fact)}" for fact, own in named.items())
    return (
        f"SELECT _file, _line, {facts}, coalesce(({params.returned}), false) AS returned, "
        f"{breach} AS _breach FROM ({lines})"
    )


def _types(table: RawTable) -> dict[str, str]:
    return {"account_id": "VARCHAR", "created_at": "TIMESTAMP WITH TIME ZONE"} | {
        column.name: "VARCHAR" for column in table.columns if column.name in ATTRIBUTES
    }


def _accounts(table: RawTable) -> str:
    # as told by the first purchase, null too: a later line must not change what was known of the account before it
    told = [name(column) for column in _types(table) if column in ATTRIBUTES]
    first = "(occurred_at, _file, _line)"
    attributes = "".join(f", arg_min_null({c}, {first}) AS {c}" for c in told)
    return (
        "SELECT arg_min(_file, (occurred_at, _file, _line)) AS _file, "
        "arg_min(_line, (occurred_at, _file, _line)) AS _line, "
        f"account_id, min(occurred_at) AT TIME ZONE 'UTC' AS created_at{attributes} FROM ingest.log "
        "WHERE _breach IS NULL AND quantity > 0 GROUP BY account_id"
    )


# Identical lines of one invoice are two purchases, so each line gets an id of its own: its place in the file.
_EVENTS = (
    "SELECT _file, _line, _file || ':' || _line AS event_id, account_id, "
    "CASE WHEN returned THEN 'return_line' ELSE 'order_line' END AS event_name, "
    "occurred_at AT TIME ZONE 'UTC' AS occurred_at, quantity, _breach FROM ingest.log"
)
_EVENT_TYPES = {
    "event_id": "VARCHAR",
    "account_id": "VARCHAR",
    "event_name": "VARCHAR",
    "occurred_at": "TIMESTAMP WITH TIME ZONE",
    "quantity": "DECIMAL(18,4)",
}
_REVENUE_TYPES = {
    "revenue_id": "VARCHAR",
    "account_id": "VARCHAR",
    "amount": "DECIMAL(38,8)",
    "currency": "VARCHAR",
    "booked_at": "TIMESTAMP WITH TIME ZONE",
    "kind": "VARCHAR",
}


def _revenue(currency: str | None) -> str:
    """One row an invoice, account and UTC day, booked with the day's earliest line; below zero it is a refund. A line
    that comes days later is a row of its own, known on its own day."""
    declared = "CAST(NULL AS VARCHAR)" if currency is None else quote(currency)
    day = "strftime(occurred_at AT TIME ZONE 'UTC', '%Y-%m-%d')"
    return (
        "SELECT min(_file) AS _file, min(_line) AS _line, "
        f"concat_ws(' ', invoice, account_id, {day}) AS revenue_id, account_id, "
        f"sum(quantity * price) AS amount, {declared} AS currency, min(occurred_at) AT TIME ZONE 'UTC' AS booked_at, "
        "CASE WHEN sum(quantity * price) < 0 THEN 'refund' ELSE 'invoice' END AS kind "
        "FROM ingest.log WHERE _breach IS NULL "
        f"GROUP BY invoice, account_id, {day}"
    )
