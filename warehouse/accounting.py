"""The books of one ingest: per file, read = accepted + duplicate + quarantined; and what is said over a limit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from warehouse.raw import DELIVERED

EXCLUDED = "excluded:"  # rules a params file declares; they set rows aside and break no limit
FREE = (EXCLUDED, "erased")  # how rules begin that break no limit

# What a message says of one row, and of several.
PHRASES: dict[str, tuple[str, str]] = {
    "null_key": ("has no value in a key", "have no value in a key"),
    "required_null": ("has no value", "have no value"),
    "wrong_timestamp": ("is not a timestamp", "are not timestamps"),
    "wrong_number": (
        "is not a finite number such as 12.50, below 10^14 in size",
        "are not finite numbers such as 12.50, below 10^14 in size",
    ),
    "wrong_integer": ("is not an integer", "are not integers"),
    "wrong_flag": ("is not true or false", "are not true or false"),
    "naive_timestamp": ("has no time zone", "have no time zone"),
    "unknown_kind": ("is not one of the known kinds", "are not of the known kinds"),
    "ancient": ("is before 1980", "are before 1980"),
    "future": ("lies in the future", "lie in the future"),
    "reversed_period": ("ends before it starts", "end before they start"),
    "unknown_account": ("names no accepted account", "name no accepted account"),
    "before_signup": ("is before the account's created_at", "are before the account's created_at"),
    "conflicting_duplicate": ("repeats a key with other content", "repeat a key with other content"),
    "wrong_sign": ("has the wrong sign for its kind", "have the wrong sign for their kind"),
    "no_rate": ("has no exchange rate of its day", "have no exchange rate of their day"),
    "foreign_currency": ("is not in ingest.currency", "are not in ingest.currency"),
    "mixed_currency": ("is in a second currency", "are in a second currency"),
    "malformed": (
        "is not a readable line of UTF-8, 16 MiB at most",
        "are not readable lines of UTF-8, 16 MiB each at most",
    ),
}


@dataclass(frozen=True)
class Tally:
    """Rows of one file and part that broke one rule in one column ("" for the whole row); rule "": accepted.
    `first`: the first line of them. `part`: year * 100 + month they happened, 0 for none."""

    table: str
    file: str
    rule: str
    column: str
    rows: int
    first: int
    part: int = 0


def tally(con: duckdb.DuckDBPyConnection, table: str, relation: str) -> list[Tally]:
    """What became of the rows of `relation`, the judged and settled rows of `table`: by file, part, rule and column."""
    found = con.execute(
        f"SELECT _file, _part, coalesce(_breach, ''), count(*), min(_line) FROM {relation} "
        "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    ).fetchall()
    out = []
    for file, part, breach, rows, first in found:
        rule, _, column = breach.partition("|")
        out.append(Tally(table, file, rule, column, rows, first, part))
    return out


@dataclass(frozen=True)
class Limits:
    """How many rows of a table may break one rule, as a share of those read: `by_rule`, else `otherwise`.
    `kept`: folder of the quarantine; null when rows came by request and nothing is kept. `allowance`: so many rows may
    break a rule whatever the share, for deliveries too small for one."""

    otherwise: float
    by_rule: dict[str, float] = field(default_factory=dict)
    kept: str | None = None
    allowance: int = 0


@dataclass(frozen=True)
class FileCount:
    """One file of one table; `quarantined` counts rows by rule. table "source": a file only queries read."""

    table: str
    file: str
    read: int
    accepted: int
    duplicate: int
    quarantined: dict[str, int]

    def __post_init__(self) -> None:
        if self.read != self.accepted + self.duplicate + sum(self.quarantined.values()):
            raise AssertionError(f"{self.file}: the rows of {self.table} do not add up: {self}")


@dataclass(frozen=True)
class Audit:
    """Rows of one table against the warehouse before. added: new facts, of which `late` happened before the end of the
    data then. corrected: facts known by their key whose content is another now. removed: facts that are gone. retold:
    of the corrected, those whose columns told once are others: the file that had told them was rewritten."""

    added: int
    late: int
    corrected: int
    removed: int
    retold: int = 0

    def line(self) -> str:
        retold = f" ({self.retold:,} retold)" if self.retold else ""
        return (
            f"{self.added:,} added ({self.late:,} late), {self.corrected:,} corrected{retold}, {self.removed:,} removed"
        )


@dataclass(frozen=True)
class Sum:
    """Amounts of one currency as delivered, decimals as text: read = accepted + duplicate + quarantined, to the last
    digit; amounts that are no numbers are in none. `booked`: what the accepted ones are in the own currency."""

    currency: str
    read: str
    accepted: str
    duplicate: str
    quarantined: str
    booked: str

    def __post_init__(self) -> None:
        if Decimal(self.read) != Decimal(self.accepted) + Decimal(self.duplicate) + Decimal(self.quarantined):
            raise AssertionError(f"the amounts in {self.currency} do not add up: {self}")

    def line(self) -> str:
        read, accepted, duplicate, quarantined, booked = (
            f"{Decimal(one):,.2f}" for one in (self.read, self.accepted, self.duplicate, self.quarantined, self.booked)
        )
        return f"{read} read = {accepted} accepted + {duplicate} duplicate + {quarantined} quarantined; booked {booked}"


@dataclass(frozen=True)
class Accounting:
    """What one ingest read and what became of every row. `counts`: accepted rows by table, of rates where delivered.
    `extra_columns`: ignored columns by table. `fingerprint`: SHA-256 of the accepted data, null when nothing was
    published. `data_end`: the midnight (UTC) after the last known fact. `problems`: rules over their limit. `written`:
    parts written anew by table, the others being carried over. `audit`: by table, what this delivery changed of what
    was known; empty for a whole ingest. `sums`: money by currency and fate, as delivered and in the own currency.
    `ingested_on`: the day (UTC) of the run that read it, of which the data may hold a part alone; null in books written
    before it was kept."""

    files: tuple[FileCount, ...]
    counts: dict[str, int]
    extra_columns: dict[str, list[str]] = field(default_factory=dict)
    fingerprint: str | None = None
    data_end: date | None = None
    problems: tuple[str, ...] = ()
    written: dict[str, list[str]] = field(default_factory=dict)
    audit: dict[str, Audit] = field(default_factory=dict)
    sums: tuple[Sum, ...] = ()
    ingested_on: date | None = None

    def read(self, table: str) -> int:
        return sum(count.read for count in self.files if count.table == table)

    def duplicate(self, table: str) -> int:
        return sum(count.duplicate for count in self.files if count.table == table)

    def quarantined(self, table: str) -> dict[str, int]:
        """Rows of `table` by rule over all its files."""
        total: Counter[str] = Counter()
        for count in self.files:
            if count.table == table:
                total.update(count.quarantined)
        return dict(sorted(total.items()))

    def to_json(self) -> dict[str, Any]:
        """The whole as JSON types; "tables" sums what "files" lists."""
        tables = {
            table: {
                "read": self.read(table),
                "accepted": self.counts.get(table, 0),
                "duplicate": self.duplicate(table),
                "quarantined": self.quarantined(table),
            }
            for table in self.counts
        }
        document = asdict(self) | {"schema_version": 1, "tables": tables}
        for day in ("data_end", "ingested_on"):
            document[day] = document[day].isoformat() if document[day] else None
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Accounting:
        """What `to_json` wrote."""
        end, day = document["data_end"], document.get("ingested_on")
        return cls(
            tuple(FileCount(**one) for one in document["files"]),
            document["counts"],
            document["extra_columns"],
            document["fingerprint"],
            date.fromisoformat(end) if end else None,
            tuple(document["problems"]),
            document["written"],
            {table: Audit(**one) for table, one in document["audit"].items()},
            tuple(Sum(**one) for one in document["sums"]),
            date.fromisoformat(day) if day else None,
        )

    def lines(self) -> list[str]:
        """A line a table, one a rule below it, and the ignored columns once."""
        out = []
        given = {count.table for count in self.files}
        for table, accepted in self.counts.items():
            if table not in given:
                continue
            broken = self.quarantined(table)
            out.append(
                f"{table}: {self.read(table):,} read = {accepted:,} accepted + {self.duplicate(table):,} duplicate "
                f"+ {sum(broken.values()):,} quarantined"
            )
            out += [f"  {rows:,} {rule}" for rule, rows in broken.items()]
            if table in self.audit:
                out.append(f"  since last time: {self.audit[table].line()}")
        out += [f"money in {one.currency or 'no currency'}: {one.line()}" for one in self.sums]
        for count in self.files:
            if count.table == "source" and count.quarantined:
                out.append(f"{count.file}: {count.quarantined['malformed']:,} malformed lines of {count.read:,}")
        out += [f"{table}: ignored columns {', '.join(names)}" for table, names in self.extra_columns.items()]
        return out


def ingested_on(warehouse: Path) -> date | None:
    """The day (UTC) on which the data of the live warehouse were read; null where its books do not say."""
    path = warehouse / "accounting.json"
    day = json.loads(path.read_text(encoding="utf-8")).get("ingested_on") if path.is_file() else None
    return date.fromisoformat(day) if day else None


def problems(tallies: list[Tally], read: Mapping[str, int], limits: Limits) -> list[str]:
    """One sentence a rule whose rows exceed its limit. read: rows by table, without those of FREE rules."""
    groups: dict[tuple[str, str, str], list[Tally]] = {}
    for tally in tallies:
        if not tally.rule.startswith(FREE):
            groups.setdefault((tally.table, tally.rule, tally.column), []).append(tally)
    out: dict[tuple[str, str, str], str] = {}
    for key, group in sorted(groups.items(), key=lambda item: (_place(item[0][0]), item[0])):
        table, rule, _ = key
        allowed = max(limits.by_rule.get(rule, limits.otherwise) * read[table], limits.allowance)
        if sum(tally.rows for tally in group) > allowed:
            out[key] = _sentence(group, read[table], limits)
    # Facts of a refused account are a consequence; the cause alone is said.
    accounts_refused = any(table == "accounts" for table, _, _ in out)
    return [text for (_, rule, _), text in out.items() if not (accounts_refused and rule == "unknown_account")]


def _place(table: str) -> int:
    return list(DELIVERED).index(table) if table in DELIVERED else len(DELIVERED)


def _sentence(group: list[Tally], read: int, limits: Limits) -> str:
    group = sorted(group, key=lambda tally: (tally.file, tally.first))
    first, rows = group[0], sum(tally.rows for tally in group)
    others = len({tally.file for tally in group}) - 1
    place = f"{first.file} and {others} more" if others else first.file
    column = f'column "{first.column}": ' if first.column else ""
    said = PHRASES[_phrase(first)][0 if rows == 1 else 1]
    unit = "row" if limits.kept is None else "line"
    text = f"{place}: {column}{rows:,} of {read:,} rows {said} (rule {first.rule}, first at {unit} {first.first:,})."
    if limits.kept is None:
        return text
    limit = limits.by_rule.get(first.rule, limits.otherwise)
    setting = f"ingest.max_ratio.{first.rule}" if first.rule in limits.by_rule else "ingest.max_bad_ratio"
    return (
        f"{text} Quarantined to {limits.kept}/{first.table}.parquet. "
        f"Set {setting} to change the {100 * limit:g} % limit."
    )


def _phrase(tally: Tally) -> str:
    if tally.rule != "wrong_type":
        return tally.rule
    kind = DELIVERED[tally.table].column(tally.column).type if tally.column in _columns(tally.table) else "number"
    return "wrong_number" if kind in ("money", "rate") else f"wrong_{kind}"


def _columns(table: str) -> set[str]:
    return {column.name for column in DELIVERED[table].columns} if table in DELIVERED else set()
