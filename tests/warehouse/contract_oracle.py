"""What the contract makes of raw rows, row by row in plain Python: slow, and no word of SQL in it.

Written from docs/data-contract.md, not from warehouse/rules.py. Knows the tables and rules that the property test of
the fault catalogue draws from: accounts, events, revenue; naive timestamps in UTC; no declared currency.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hypothesis import strategies as st

Row = dict[str, Any]
COLUMNS = {  # in the order of the contract, in which the rules are asked
    "accounts": ("account_id", "created_at"),
    "events": ("event_id", "account_id", "user_id", "event_name", "occurred_at", "received_at", "quantity"),
    "revenue": ("revenue_id", "account_id", "amount", "currency", "booked_at", "kind"),
}
KNOWN = {"accounts": "created_at", "events": "received_at", "revenue": "booked_at"}
HAPPENED = {"accounts": "created_at", "events": "occurred_at", "revenue": "booked_at"}
KEY = {"accounts": "account_id", "events": "event_id", "revenue": "revenue_id"}
KINDS = ("invoice", "subscription", "credit", "refund")


@dataclass
class Verdict:
    """Of one table: accepted rows, how many are duplicates, and how many rows each rule set aside."""

    accepted: list[Row] = field(default_factory=list)
    duplicate: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)


def verdict(tables: dict[str, list[Row]], now: datetime) -> dict[str, Verdict]:
    """tables: rows of text or null, as a file holds them. now: aware; ten minutes later are still allowed."""
    said: dict[str, Verdict] = {}
    signed: dict[str, datetime] = {}
    latest = now.astimezone(UTC).replace(tzinfo=None) + timedelta(minutes=10)
    for table in ("accounts", "events", "revenue"):
        said[table] = one = Verdict()
        clean: list[Row] = []
        for raw in tables[table]:
            row, rule = _judged(table, raw, signed, latest)
            if rule:
                one.quarantined[rule] += 1
            else:
                clean.append(row)
        if table == "revenue":
            clean = _of_one_currency(clean, one)
        _settle(table, clean, one)
        if table == "accounts":
            signed = {row["account_id"]: row["created_at"] for row in one.accepted}
    return said


def _judged(table: str, raw: Row, signed: dict[str, datetime], latest: datetime) -> tuple[Row, str | None]:
    text = {name: raw[name] if raw[name] is not None and raw[name].strip() else None for name in COLUMNS[table]}
    if text["account_id"] is None:
        return text, "null_key"
    row, broken = _typed(table, text)
    if broken:
        return row, broken
    for clock in (HAPPENED[table], KNOWN[table]):
        if row[clock] is None or (table == "events" and row["event_name"] is None):
            return row, "required_null"
    if table == "revenue" and row["amount"] is None:
        return row, "required_null"
    for clock in (HAPPENED[table], KNOWN[table]):
        if row[clock] < datetime(1980, 1, 1):
            return row, "ancient"
        if row[clock] > latest:
            return row, "future"
    if table == "revenue" and ((row["amount"] < 0) != (row["kind"] in ("credit", "refund"))) and row["amount"]:
        return row, "wrong_sign"
    if table != "accounts" and row["account_id"] not in signed:
        return row, "unknown_account"
    if table != "accounts" and row[HAPPENED[table]] < signed[row["account_id"]]:
        return row, "before_signup"
    return row, None


def _typed(table: str, text: Row) -> tuple[Row, str | None]:
    """Types and defaults, column by column in the order of the contract."""
    row = dict(text)
    for name, value in text.items():
        if name.endswith("_at"):
            row[name] = _moment(value)
        elif name in ("quantity", "amount"):
            row[name] = _number(value)
        elif name == "currency" and value is not None:
            row[name] = value.strip().upper()
        if value is not None and row[name] is None:
            return row, "wrong_type"
        if name == "kind" and value is not None and value not in KINDS:
            return row, "unknown_kind"
    if table == "events":
        row["received_at"] = row["received_at"] or row["occurred_at"]
        row["quantity"] = Decimal(1) if row["quantity"] is None else row["quantity"]
    if table == "revenue":
        row["kind"] = row["kind"] or "invoice"
    return row, None


def _moment(value: str | None) -> datetime | None:
    if value is None or not re.fullmatch(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?", value):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


def _number(value: str | None) -> Decimal | None:
    if value is None or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value):
        return None
    if not math.isfinite(float(value)) or abs(float(value)) >= 1e14:
        return None
    return Decimal(value).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def _of_one_currency(clean: list[Row], one: Verdict) -> list[Row]:
    """Without a declared currency the one of most clean rows holds, the first by name among equals."""
    often = Counter(row["currency"] for row in clean if row["currency"])
    if not often:
        return clean
    main = min(often, key=lambda coin: (-often[coin], coin))
    kept = [row for row in clean if row["currency"] in (None, main)]
    one.quarantined["mixed_currency"] += len(clean) - len(kept)
    return kept


def _settle(table: str, clean: list[Row], one: Verdict) -> None:
    """Of rows with one key the earliest known stays; null comes last where rows are otherwise compared."""
    kin: dict[Any, list[Row]] = {}
    for row in clean:
        key = row[KEY[table]]
        kin.setdefault(("key", key) if key is not None else ("row", _everything(row)), []).append(row)
    for rows in kin.values():
        first, *others = sorted(rows, key=lambda row: (row[KNOWN[table]], _ordered(row)))
        one.accepted.append(first)
        for row in others:
            if _told(table, row) == _told(table, first):
                one.duplicate += 1
            else:
                one.quarantined["conflicting_duplicate"] += 1


def _everything(row: Row) -> tuple[Any, ...]:
    return tuple(sorted((name, str(value)) for name, value in row.items()))


def _ordered(row: Row) -> tuple[Any, ...]:
    return tuple((value is None, value if value is not None else 0) for value in row.values())


def _told(table: str, row: Row) -> Row:
    """What a row says, without when it was known where that is a clock of its own."""
    return {name: value for name, value in row.items() if table != "events" or name != "received_at"}


def _of(*values: str | None) -> st.SearchStrategy[str | None]:
    return st.sampled_from(values)


MOMENTS = ("2024-02-01", "2024-02-01T09:00:00Z", "2024-02-01 11:00:00+02:00", "2024-03-31 23:59:59.5", "2024-04-01")
BAD_MOMENTS = ("soon", "1970-01-01", "2023-06-01", "2031-01-01", "2024-06-01T12:09:00Z", "1717243200", None, " ")
NUMBERS = ("1", "2.5", "-0", "0.00005", "1e3", "123456789.1234", "nan", "1,000", "", None)
ACCOUNTS = st.fixed_dictionaries(
    {"account_id": _of("a1", "a2", "007", "7"), "created_at": _of("2024-01-01", "2024-01-01T00:00:00Z", "2024-02-15")}
)
EVENTS = st.fixed_dictionaries(
    {
        "event_id": _of("e1", "e2", "e3", "e4", None),
        "account_id": _of("a1", "a2", "007", "7", "a1", "a2", "ghost", " ", None),
        "user_id": st.none(),
        "event_name": _of("seen", "bought", "seen", "=1+1", None),
        "occurred_at": _of(*MOMENTS, *MOMENTS, *BAD_MOMENTS),
        "received_at": _of(None, None, "2024-04-02", "2024-05-01", "never"),
        "quantity": _of(*NUMBERS),
    }
)
REVENUE = st.fixed_dictionaries(
    {
        "revenue_id": _of("r1", "r2", "r3", None),
        "account_id": _of("a1", "a2", "007", "ghost"),
        "amount": _of("10", "10.00", "-5.01", "0", "99.99", "1_000", None),
        "currency": _of("USD", "usd ", "USD", "EUR", None),
        "booked_at": _of(*MOMENTS, "soon", None),
        "kind": _of("invoice", "invoice", None, "credit", "refund", "gift"),
    }
)
TABLES = st.fixed_dictionaries(
    {
        "accounts": st.lists(ACCOUNTS, min_size=1, max_size=5),
        "events": st.lists(EVENTS, max_size=25),
        "revenue": st.lists(REVENUE, max_size=12),
    }
)
