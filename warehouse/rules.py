"""The rules of the raw tables as SQL: every row gets its types and at most one breach, and none is lost.

`judged` gives one SELECT a table: `_file`, `_line`, the typed columns, and of the row `_breach` (null for a clean row,
else `rule|column`), `_shape` (how the refused value looks), `_key` (a hash of what makes the row the same fact as
another), `_part` (year * 100 + month it happened, 0 for none) and, of money, `_paid` and `_coin` as delivered.

One event through this file: account 007, happened "2024-03-01 09:00" in Europe/Berlin. It reads 08:00 UTC, looks the
account up (else `unknown_account`), compares with its sign-up (else `before_signup`) and with the latest allowed moment
(else `future`). Whether another row has its event_id is asked in warehouse/repeats.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from warehouse import casting, money
from warehouse.adapters import Source
from warehouse.engine import name, quote
from warehouse.privacy import shape
from warehouse.raw import SQL_TYPES, Column, RawTable
from warehouse.tombstones import Tombstones

OLDEST = "TIMESTAMP '1980-01-01'"  # a zero or a lost epoch, not a fact of this business
NEWEST = "TIMESTAMP '2200-01-01'"
REFERRED = ("events", "revenue", "touches", "account_users")
AFTER_SIGNUP = ("events", "revenue")
LATER = {"closed_at": ("created_at", "<"), "period_end": ("period_start", "<="), "valid_to": ("valid_from", "<")}
CREDITS = "('credit', 'refund')"
UNDATED = 0
ERASED = "erased|"  # the breach; no column, so that not even the shape of an id is kept


@dataclass(frozen=True)
class Reading:
    """How rows are read: zone of naive timestamps (null: refuse them), the latest moment (UTC, naive, included) a clock
    may show, the only currency (null: whichever most rows have), for how many days a rate holds or on which day
    alone rates are read, where rates were delivered that number of days (null: amounts in another currency are set
    aside), and, without a declared currency, that of most rows; and who was erased."""

    timezone: str | None
    latest: datetime
    currency: str | None = None
    fx_max_age_days: int = 7
    fx_fixed_on: date | None = None
    rate_days: int | None = None
    majority: str | None = None
    erased: Tombstones = field(default_factory=Tombstones)


def judged(table: RawTable, source: Source, reading: Reading, where: str = "true", among: str = "true") -> str:
    """SQL for the judged rows of `source`; `ingest.known_accounts` must be there for tables that refer to accounts, and
    `ingest.rates` where `reading.rate_days` is set.

    where: SQL over the raw columns; only such rows are read. among: SQL over `_key` and the typed columns."""
    there = _there(table, source)
    columns = ", ".join(f"f.{name(column.name)}" for column in table.columns if not _converted(table, column, reading))
    money_columns = _money(table, reading)
    return f"""
        SELECT _file, _line, {columns}{money_columns}, _breach,
               CASE WHEN _breach IS NOT NULL THEN {shape(_refused(there))} END AS _shape, _key, _part,
               {"f.amount" if has_money(table) else "CAST(NULL AS DECIMAL(18, 4))"} AS _paid,
               {"f.currency" if has_money(table) else "CAST(NULL AS VARCHAR)"} AS _coin
        FROM (
            SELECT f.*{", x.rate AS _rate" if _rated(table, reading) else ""},
                   CASE {_judgement(table, there, source, reading)} END AS _breach
            FROM (SELECT * FROM ({typed(table, source, reading, where)}) WHERE {among}) AS f
            {_joins(table, reading)}
        ) AS f"""


def typed(table: RawTable, source: Source, reading: Reading, where: str = "true", keyless: bool = True) -> str:
    """SQL for the typed but not yet judged rows: `_file`, `_line`, the columns, "raw x", `_key` and `_part`.

    keyless: false promises that every row has the key of its table, so that a scan for keys reads no other column."""
    values, raws, filled = [], [], []
    there = _there(table, source)
    for column in table.columns:
        if column in there:
            value = casting.cast(column, name(column.name), source.columns[column.name], reading.timezone)
            value = f"upper(trim({value}))" if column.name == "currency" else value
            values.append(f"{value} AS {name(column.name)}")
            raws.append(f"{name(column.name)} AS {_raw(column)}")
        else:
            values.append(f"CAST(NULL AS {SQL_TYPES[column.type]}) AS {name(column.name)}")
        if column.default is not None:
            default = f"CAST({column.default} AS {SQL_TYPES[column.type]})"
            filled.append(f"coalesce({name(column.name)}, {default}) AS {name(column.name)}")
    replaced = f" REPLACE ({', '.join(filled)})" if filled else ""
    given = ", _breach AS _given" if source.judged else ""
    return f"""
        SELECT *, {_key(table, source, keyless)} AS _key, {part(table)} AS _part FROM (
            SELECT *{replaced} FROM (
                SELECT _file, _line, {", ".join(values + raws)}{given} FROM ({source.query}) WHERE {where}))"""


def no_rows(table: RawTable) -> str:
    """SQL for the columns of `table`, typed, and no row."""
    columns = ", ".join(f"CAST(NULL AS {SQL_TYPES[c.type]}) AS {name(c.name)}" for c in table.columns)
    return f"SELECT {columns} LIMIT 0"


def part(table: RawTable) -> str:
    """SQL for the part a row belongs to: year * 100 + month in which it happened; 0 where that is no sane moment, and
    in tables that are not kept by month."""
    if not table.by_month:
        return str(UNDATED)
    sane = f"{table.happened} >= {OLDEST} AND {table.happened} < {NEWEST}"  # never by today: a part must not move
    return f"CASE WHEN {sane} THEN year({table.happened}) * 100 + month({table.happened}) ELSE {UNDATED} END"


def moment(at: datetime) -> str:
    return f"TIMESTAMP '{at.isoformat(' ')}'"


def _there(table: RawTable, source: Source) -> list[Column]:
    return [column for column in table.columns if column.name in source.columns]


def _key(table: RawTable, source: Source, keyless: bool) -> str:
    everything = f"hash({', '.join(name(column.name) for column in table.columns)})"
    if not table.key or not source.columns.keys() >= set(table.key):
        return everything
    return f"CASE WHEN {table.keyed} THEN {table.key_hash} ELSE {everything} END" if keyless else table.key_hash


def _raw(column: Column) -> str:
    return name(f"raw {column.name}")


def _refused(there: list[Column]) -> str:
    """SQL for the raw value of the column that the breach names; ids that are in order are not refused values."""
    whens = " ".join(f"WHEN {quote(column.name)} THEN CAST(f.{_raw(column)} AS VARCHAR)" for column in there)
    return f"CASE split_part(_breach, '|', 2) {whens} END"


def _joins(table: RawTable, reading: Reading) -> str:
    joins = "LEFT JOIN ingest.known_accounts AS a ON a.account_id = f.account_id" if table.name in REFERRED else ""
    if _rated(table, reading):
        joins += " ASOF LEFT JOIN ingest.rates AS x ON x.currency = f.currency AND x.day <= f.booked_at"
    return joins


def has_money(table: RawTable) -> bool:
    return table.name == "revenue"


def _rated(table: RawTable, reading: Reading) -> bool:
    return has_money(table) and reading.currency is not None and reading.rate_days is not None


def _converted(table: RawTable, column: Column, reading: Reading) -> bool:
    return _rated(table, reading) and column.name in ("amount", "currency")


def _money(table: RawTable, reading: Reading) -> str:
    if not _rated(table, reading) or reading.currency is None:
        return ""
    own = quote(reading.currency)
    return f", {money.converted('f.amount', 'f.currency', '_rate', own)} AS amount, {own} AS currency"


def _judgement(table: RawTable, there: list[Column], source: Source, reading: Reading) -> str:
    """The rules in the order in which they are asked; the first that fits is the row's breach."""
    erased = reading.erased.condition(frozenset(column.name for column in there), "f")
    whens = [(erased, quote(ERASED))] if erased else []  # first: of any other breach the account would be kept
    whens += [("_given IS NOT NULL", "_given")] if source.judged else []
    whens += _row_rules(table, there, source, reading)
    if table.name in REFERRED:
        whens.append(("a.account_id IS NULL", _breach("unknown_account", "account_id")))
    if table.name in AFTER_SIGNUP:
        whens.append((f"f.{table.happened} < a.created_at", _breach("before_signup", table.happened)))
    if has_money(table) and reading.currency is None and reading.majority is not None:
        whens.append((f"f.currency <> {quote(reading.majority)}", _breach("mixed_currency", "currency")))
    return " ".join(f"WHEN {condition} THEN {breach}" for condition, breach in whens)


def _row_rules(table: RawTable, there: list[Column], source: Source, reading: Reading) -> list[tuple[str, str]]:
    whens = []
    keys = [c for c in table.columns if c.required and c.type == "text" and c.name.endswith("_id")]
    unfit = {c.name: casting.unfit(f"f.{_raw(c)}", source.columns[c.name]) for c in there if c.type == "text"}
    for key in keys:  # a float that is no id is not a blank one
        if no_id := unfit.get(key.name):
            whens.append((no_id, _breach("wrong_type", key.name)))
        whens.append((f"f.{name(key.name)} IS NULL", _breach("null_key", key.name)))
    for column in there:
        raw, value = f"f.{_raw(column)}", f"f.{name(column.name)}"
        raw_type = source.columns[column.name]
        if no_text := unfit.get(column.name):
            whens.append((no_text, _breach("wrong_type", column.name)))
        if column.type != "text":
            # A default fills the typed value, so what is asked is whether the raw one could be read.
            broken = f"{casting.given(raw, raw_type)} AND {value} IS NULL"
            if column.default is not None:
                cast = casting.cast(column, raw, raw_type, reading.timezone)
                broken = f"{casting.given(raw, raw_type)} AND ({cast}) IS NULL"
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
        whens.append((f"f.{clock} > {moment(reading.latest)}", _breach("future", clock)))
    columns = {column.name for column in table.columns}
    for end, (start, sign) in LATER.items():
        if end in columns:
            whens.append((f"f.{end} {sign} f.{start}", _breach("reversed_period", end)))
    if has_money(table):
        signs = f"(f.amount < 0 AND f.kind NOT IN {CREDITS}) OR (f.amount > 0 AND f.kind IN {CREDITS})"
        whens.append((signs, _breach("wrong_sign", "amount")))
    if has_money(table) and reading.currency is not None:
        foreign = f"f.currency <> {quote(reading.currency)}"
        if reading.rate_days is None:
            whens.append((foreign, _breach("foreign_currency", "currency")))
        else:
            stale = f"x.rate IS NULL OR f.booked_at >= x.day + INTERVAL {reading.rate_days} DAY"
            whens.append((f"{foreign} AND ({stale})", _breach("no_rate", "currency")))
    whens += [(f"f.{c.name} <= 0", _breach("wrong_sign", c.name)) for c in table.columns if c.type == "rate"]
    return whens


def _breach(rule: str, column: str) -> str:
    return quote(f"{rule}|{column}")
