"""The rules of the raw tables as SQL: every row gets its types and at most one breach, and none is lost.

`stage` leaves one table `ingest.<name>` a canonical table: `_file`, `_line`, the typed columns, `_breach` and `_row`.
`_breach` is null for an accepted row, `duplicate` for a copy of one, else `rule|column`; `_row` is the raw row as JSON.

One event through this file: account 007, happened "2024-03-01 09:00" in Europe/Berlin. `stage` reads 08:00 UTC, looks
the account up (else `unknown_account`), compares with its sign-up (else `before_signup`) and with the latest allowed
moment (else `future`). A second row with its event_id is `duplicate` if equal, else `conflicting_duplicate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse import casting
from warehouse.adapters import Source
from warehouse.engine import name, quote
from warehouse.raw import SQL_TYPES, TABLES, Column, RawTable

DUPLICATE = "duplicate"
OLDEST = "TIMESTAMP '1980-01-01'"  # a zero or a lost epoch, not a fact of this business
REFERRED = ("events", "revenue", "touches", "account_users")
AFTER_SIGNUP = ("events", "revenue")
LATER = {"closed_at": ("created_at", "<"), "period_end": ("period_start", "<="), "valid_to": ("valid_from", "<")}


@dataclass(frozen=True)
class Reading:
    """How rows are read: zone of naive timestamps (null: refuse them), the latest moment (UTC, naive, included) a clock
    may show, and the only currency (null: whichever most rows have)."""

    timezone: str | None
    latest: datetime
    currency: str | None = None


def create_empty(con: duckdb.DuckDBPyConnection, table: RawTable) -> None:
    """Makes `ingest.<table>` without rows, for an optional table that the folder lacks."""
    columns = ", ".join(f"{name(c.name)} {SQL_TYPES[c.type]}" for c in table.columns)
    con.execute(
        f"CREATE TABLE ingest.{table.name} (_file VARCHAR, _line BIGINT, {columns}, _breach VARCHAR, _row VARCHAR)"
    )


def stage(con: duckdb.DuckDBPyConnection, table: RawTable, source: Source, reading: Reading) -> None:
    """Makes `ingest.<table>` from `source`; `ingest.accounts` must be there for the tables that refer to accounts."""
    con.execute(f"CREATE TABLE ingest.{table.name} AS {_staging(table, source, reading)}")
    columns = {column.name for column in table.columns}
    if "currency" in columns and "currency" in source.columns and reading.currency is None:
        _one_currency(con, table)
    if table.name in TABLES:
        _mark_repeats(con, table, keyed=table.key is not None and table.key in source.columns)


def _staging(table: RawTable, source: Source, reading: Reading) -> str:
    there = [c for c in table.columns if c.name in source.columns]
    typed, raws, filled = [], [], []
    for column in table.columns:
        if column in there:
            raw_type = source.columns[column.name]
            value = casting.cast(column, name(column.name), raw_type, reading.timezone)
            typed.append(f"{value} AS {name(column.name)}")
            raws.append(f"{name(column.name)} AS {_raw(column)}")
        else:
            typed.append(f"CAST(NULL AS {SQL_TYPES[column.type]}) AS {name(column.name)}")
        if column.default is not None:
            default = f"CAST({column.default} AS {SQL_TYPES[column.type]})"
            filled.append(f"coalesce({name(column.name)}, {default}) AS {name(column.name)}")
    replaced = f" REPLACE ({', '.join(filled)})" if filled else ""
    given = ", _breach AS _given, _row AS _given_row" if source.judged else ""
    joined = "LEFT JOIN ingest.accounts AS a ON a.account_id = f.account_id AND a._breach IS NULL"
    columns = ", ".join(name(column.name) for column in table.columns)
    packed = ", ".join(f"{name(column.name)} := {_raw(column)}" for column in there)
    row = f"CASE WHEN _breach IS NOT NULL THEN CAST(to_json(struct_pack({packed})) AS VARCHAR) END"
    return f"""
        WITH source AS ({source.query}),
        typed AS (SELECT _file, _line, {", ".join(typed + raws)}{given} FROM source),
        filled AS (SELECT *{replaced} FROM typed),
        judged AS (
            SELECT f.*, CASE {_judgement(table, there, source, reading)} END AS _breach
            FROM filled AS f {joined if table.name in REFERRED else ""}
        )
        SELECT _file, _line, {columns}, _breach, {f"coalesce(_given_row, {row})" if source.judged else row} AS _row
        FROM judged"""


def _raw(column: Column) -> str:
    return name(f"raw {column.name}")


def _judgement(table: RawTable, there: list[Column], source: Source, reading: Reading) -> str:
    """The rules in the order in which they are asked; the first that fits is the row's breach."""
    whens = [("_given IS NOT NULL", "_given")] if source.judged else []
    whens += _row_rules(table, there, source, reading)
    if table.name in REFERRED:
        whens.append(("a.account_id IS NULL", _breach("unknown_account", "account_id")))
    if table.name in AFTER_SIGNUP:
        whens.append((f"f.{table.happened} < a.created_at", _breach("before_signup", table.happened)))
    return " ".join(f"WHEN {condition} THEN {breach}" for condition, breach in whens)


def _row_rules(table: RawTable, there: list[Column], source: Source, reading: Reading) -> list[tuple[str, str]]:
    whens = []
    keys = [c for c in table.columns if c.required and c.type == "text" and c.name.endswith("_id")]
    whens += [(f"f.{name(key.name)} IS NULL", _breach("null_key", key.name)) for key in keys]
    for column in there:
        raw, value = f"f.{_raw(column)}", f"f.{name(column.name)}"
        raw_type = source.columns[column.name]
        if column.type != "text":
            # A default fills the typed value, so what is asked is whether the raw one could be read.
            broken = f"{casting.text(raw, raw_type)} IS NOT NULL AND {value} IS NULL"
            if column.default is not None:
                cast = casting.cast(column, raw, raw_type, reading.timezone)
                broken = f"{casting.text(raw, raw_type)} IS NOT NULL AND ({cast}) IS NULL"
            if column.type == "timestamp" and reading.timezone is None:
                naive = casting.is_naive(raw, raw_type)
                whens.append((f"{broken} AND {naive}", _breach("naive_timestamp", column.name)))
            whens.append((broken, _breach("wrong_type", column.name)))
        if column.choices:
            listed = ", ".join(quote(choice) for choice in column.choices)
            whens.append((f"{value} NOT IN ({listed})", _breach("unknown_kind", column.name)))
    others = [c for c in table.columns if c.required and c not in keys]
    whens += [(f"f.{name(c.name)} IS NULL", _breach("required_null", c.name)) for c in others]
    return whens + _order_rules(table, reading)


def _order_rules(table: RawTable, reading: Reading) -> list[tuple[str, str]]:
    whens = []
    for clock in dict.fromkeys((table.happened, table.known)):
        whens.append((f"f.{clock} < {OLDEST}", _breach("ancient", clock)))
        whens.append((f"f.{clock} > TIMESTAMP '{reading.latest.isoformat(' ')}'", _breach("future", clock)))
    columns = {column.name for column in table.columns}
    for end, (start, sign) in LATER.items():
        if end in columns:
            whens.append((f"f.{end} {sign} f.{start}", _breach("reversed_period", end)))
    if "currency" in columns and reading.currency is not None:
        whens.append((f"f.currency <> {quote(reading.currency)}", _breach("foreign_currency", "currency")))
    return whens


def _breach(rule: str, column: str) -> str:
    return quote(f"{rule}|{column}")


def _one_currency(con: duckdb.DuckDBPyConnection, table: RawTable) -> None:
    """Without a declared currency the most frequent one is the currency; rows in another one are set aside."""
    found = con.execute(
        f"SELECT currency FROM ingest.{table.name} WHERE _breach IS NULL AND currency IS NOT NULL "
        "GROUP BY 1 ORDER BY count(*) DESC, 1"
    ).fetchall()
    if len(found) > 1:
        con.execute(
            f"UPDATE ingest.{table.name} AS t SET _breach = {_breach('mixed_currency', 'currency')}, "
            f"_row = {_json(table, 't')} WHERE _breach IS NULL AND currency <> ?",
            [found[0][0]],
        )


def _json(table: RawTable, alias: str) -> str:
    packed = ", ".join(f"{name(c.name)} := {alias}.{name(c.name)}" for c in table.columns)
    return f"CAST(to_json(struct_pack({packed})) AS VARCHAR)"


def _mark_repeats(con: duckdb.DuckDBPyConnection, table: RawTable, keyed: bool) -> None:
    """Of the clean rows with one key the earliest known stays; its copies are duplicates, the others conflict.

    Ties in time are broken by content, so the order of rows and files never matters. Rows without a key are copies of
    one another when all their columns are equal.
    """
    everything = ", ".join(name(column.name) for column in table.columns)
    groups = []
    if keyed:
        groups.append((str(table.key), f"{table.key} IS NOT NULL", f"{table.key}|"))
        if not table.column(str(table.key)).required:
            groups.append((everything, f"{table.key} IS NULL", ""))
    else:
        groups.append((everything, "true", ""))
    for key, among, conflict in groups:
        clean = f"SELECT *, rowid AS _id FROM ingest.{table.name} WHERE _breach IS NULL AND {among}"
        same = " AND ".join(f"r.{part} IS NOT DISTINCT FROM k.{part}" for part in key.split(", "))
        repeated = con.execute(
            f"CREATE OR REPLACE TEMP TABLE repeats AS SELECT {key} FROM ({clean}) GROUP BY ALL HAVING count(*) > 1"
        ).fetchone()
        if not repeated or not repeated[0]:
            continue
        content = f"row({everything})"
        verdict = "'duplicate'"
        if conflict:
            verdict = (
                f"CASE WHEN {content} IS NOT DISTINCT FROM first({content}) OVER kin THEN 'duplicate' "
                f"ELSE {_breach('conflicting_duplicate', str(table.key))} END"
            )
        con.execute(f"""
            UPDATE ingest.{table.name} AS t SET _breach = v.breach,
                _row = CASE WHEN v.breach <> 'duplicate' THEN {_json(table, "t")} END
            FROM (
                SELECT _id, {verdict} AS breach, row_number() OVER kin AS place
                FROM (SELECT r.* FROM ({clean}) AS r JOIN repeats AS k ON {same})
                WINDOW kin AS (PARTITION BY {key} ORDER BY {table.known}, {everything}, _file, _line)
            ) AS v
            WHERE t.rowid = v._id AND v.place > 1""")
