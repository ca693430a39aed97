"""Builds the next warehouse aside: each table landed whole, landed where a delivery touches it, or carried over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import duckdb

from warehouse import repeats, rules
from warehouse.accounting import Sum, Tally
from warehouse.adapters import Source, files
from warehouse.delivery import Changes, Stamp, compare
from warehouse.engine import name, parquet, quote
from warehouse.errors import ContractBroken, no_room
from warehouse.exchange import converting
from warehouse.incremental import moved_accounts, ripe, touched
from warehouse.landing import Landed, Landing, Part, Scope, Sums
from warehouse.manifest import Manifest
from warehouse.raw import DELIVERED, FX_RATES, TABLES, RawTable
from warehouse.store import copy_to_parquet, link, part_file

UNREADABLE = (
    duckdb.InvalidInputException,
    duckdb.IOException,
    duckdb.ConversionException,
    duckdb.SerializationException,
    duckdb.OutOfRangeException,
)
ASIDE = {  # what is kept of a row that was set aside: where it is, why, and how the refused value looks
    "file": "VARCHAR",
    "line": "BIGINT",
    "table": "VARCHAR",
    "rule": "VARCHAR",
    "column": "VARCHAR",
    "account_id": "VARCHAR",
    "part": "INTEGER",
    "shape": "VARCHAR",
}


@dataclass
class Built:
    """What was built. fresh: tallies of the files that are new or replaced, null when everything is. written: the parts
    that were landed anew, by table."""

    tallies: list[Tally] = field(default_factory=list)
    parts: dict[str, dict[int, Part]] = field(default_factory=dict)
    sums: list[Sum] = field(default_factory=list)
    written: dict[str, list[int]] = field(default_factory=dict)
    fresh: list[Tally] | None = None


class Build:
    """One run. live: the warehouse that `before` speaks of. building: a folder of its own, in which `warehouse/`
    becomes the next one. stamps: of all files by table."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        raw: Path,
        sources: list[Source],
        reading: rules.Reading,
        key: str,
        building: Path,
        live: Path,
        before: Manifest | None,
        stamps: Mapping[str, Mapping[str, Stamp]],
        say: Callable[[str], None],
    ) -> None:
        self.con, self.raw, self.reading, self.key, self.say = con, raw, reading, key, say
        self.sources = {source.table: source for source in sources if source.table in DELIVERED}
        self.feeds = [source for source in sources if source.table not in DELIVERED]
        self.building, self.live, self.before = building, live, before
        self.next = building / "warehouse"
        self.changes: dict[str, Changes] = {}  # by table; empty when there is nothing to build on
        self.ripened: dict[str, frozenset[str]] = {}
        if before is not None:
            tables = before.files.keys() | stamps.keys()
            self.changes = {t: compare(before.files.get(t, {}), stamps.get(t, {})) for t in tables}
            self.ripened = {t: ripe(before, t, reading.latest.isoformat()) for t in tables}
        self.built = Built(fresh=None if before is None else [])

    @property
    def idle(self) -> bool:
        """Whether the live warehouse is already what would be built."""
        return self.before is not None and not any(self.changes.values()) and not any(self.ripened.values())

    def run(self) -> Built:
        (self.next / "quarantine").mkdir(parents=True)
        for table in (FX_RATES, *TABLES.values()):
            try:
                if table is FX_RATES:
                    self._rates()
                else:
                    self._table(table)
            except duckdb.Error as error:
                refused = self._unreadable(self.sources.get(table.name), error)
                if refused is None:
                    raise
                raise refused from error
            if table.name == "accounts":
                self._know_accounts()
        self._feeds()
        return self.built

    def _rates(self) -> None:
        """Money is converted by the accepted rates; the warehouse keeps none."""
        if source := self.sources.get(FX_RATES.name):
            self._land(FX_RATES, source, self.building)
            self.reading = converting(self.con, self.building / FX_RATES.name / part_file(0), self.reading)

    def _table(self, table: RawTable) -> None:
        source = self.sources.get(table.name)
        if source is None:
            self.built.parts[table.name] = {}
        elif self.before is None:
            self._whole(table, source)
        elif self._untouched(table):
            self._carry(table, Scope(frozenset(), frozenset(), frozenset()), frozenset())
            self.built.tallies += [tally for tally in self.before.tallies if tally.table == table.name]
            self.built.sums += self.before.sums if rules.has_money(table) else []
        elif table.by_month and source.by_file and not rules.has_money(table):  # money is added up anew every time
            self._touched(table, source)
        else:
            self._whole(table, source)
        empty, old = self.next / table.name / part_file(0), self.live / table.name / part_file(0)
        if not self.built.parts[table.name] and self.before is not None and not self.before.parts.get(table.name):
            link(old, empty)
        elif not self.built.parts[table.name]:
            copy_to_parquet(self.con, rules.no_rows(table), empty)

    def _untouched(self, table: RawTable) -> bool:
        if self.changes[table.name] or self.ripened[table.name]:
            return False
        if rules.has_money(table) and self.changes.get(FX_RATES.name):
            return False
        if table.name not in rules.REFERRED:
            return True
        [(moved,)] = self.con.execute("SELECT count(*) FROM ingest.moved").fetchall()
        return not moved

    def _landing(self, table: RawTable, source: Source) -> Landing:
        reading = self.reading
        if rules.has_money(table) and reading.currency is None and "currency" in source.columns:
            reading = replace(reading, majority=self._majority(table, source))
        return Landing(self.con, table, source, reading, self.key, self.building, self.say)

    def _majority(self, table: RawTable, source: Source) -> str | None:
        """Without a declared currency the most frequent one is the currency."""
        found = self.con.execute(
            f"SELECT currency FROM ({rules.judged(table, source, self.reading)}) WHERE _breach IS NULL "
            "AND currency IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
        ).fetchall()
        return found[0][0] if found else None

    def _whole(self, table: RawTable, source: Source) -> None:
        landed = self._land(table, source, self.next)
        self.built.parts[table.name] = landed.parts
        self.built.sums += _sums(landed.sums)
        self._written(table, landed.parts, set(landed.parts))

    def _land(self, table: RawTable, source: Source, folder: Path) -> Landed:
        """All rows of a table into `folder`; its books and what is set aside."""
        landing = self._landing(table, source)
        landed = landing.land(Scope(), landing.counts(Scope()), folder)
        tallies = landed.tallies + self._malformed(source, None)
        self.built.tallies += tallies
        if self.built.fresh is not None:
            self.built.fresh += [tally for tally in tallies if tally.file in self.changes[table.name].fresh]
        self._quarantine(table, source, None)
        return landed

    def _touched(self, table: RawTable, source: Source) -> None:
        assert self.before is not None
        assert self.built.fresh is not None
        landing, changes = self._landing(table, source), self.changes[table.name]
        scope = touched(self.con, landing, self.before, self.live, changes, self.ripened[table.name])
        assert scope.parts is not None
        assert scope.undated is not None
        landed = landing.land(scope, landing.counts(scope), self.next)
        gone = scope.undated | changes.removed
        kept = [
            tally
            for tally in self.before.tallies
            if tally.table == table.name and not (tally.part in scope.parts or (tally.part == 0 and tally.file in gone))
        ]
        fresh = landed.tallies + self._malformed(source, scope.undated)
        self.built.tallies += kept + fresh
        self.built.fresh += [tally for tally in fresh if tally.file in scope.undated]
        self.built.parts[table.name] = landed.parts
        self._written(table, landed.parts, scope.parts)
        self._carry(table, scope, gone)

    def _written(self, table: RawTable, landed: Mapping[int, Part], among: Set[int]) -> None:
        """Notes which parts of `among` are others now; where the very same rows came out, the same file is kept."""
        known = self.before.parts.get(table.name, {}) if self.before else {}
        for part in landed:
            if known.get(part) == landed[part]:
                path = self.next / table.name / part_file(part)
                path.unlink()
                link(self.live / table.name / part_file(part), path)
        self.built.written[table.name] = sorted(part for part in among if known.get(part) != landed.get(part))

    def _carry(self, table: RawTable, scope: Scope, gone: frozenset[str]) -> None:
        """Takes over the parts and set-aside rows outside `scope`. gone: files whose undated rows are not taken
        over."""
        assert self.before is not None
        assert scope.parts is not None
        parts = self.built.parts.setdefault(table.name, {})
        for part, one in self.before.parts.get(table.name, {}).items():
            if part not in scope.parts:
                link(self.live / table.name / part_file(part), self.next / table.name / part_file(part))
                parts[part] = one
        old = self.live / "quarantine" / f"{table.name}.parquet"
        kept = None
        if old.is_file():
            listed = ", ".join(map(str, sorted(scope.parts))) or "-1"
            files_gone = ", ".join(map(quote, sorted(gone))) or "''"
            kept = (
                f"SELECT * FROM {parquet(old)} WHERE NOT (part IN ({listed}) OR (part = 0 AND file IN ({files_gone})))"
            )
        self._quarantine(table, self.sources.get(table.name), kept, scope.undated)

    def _quarantine(
        self, table: RawTable, source: Source | None, kept: str | None, only: frozenset[str] | None = None
    ) -> None:
        """Writes what is set aside of `table`. kept: SQL for rows taken over. only: unreadable lines of these files."""
        pieces = [kept] if kept else []
        new = sorted(self.building.glob(f"{table.name}-aside-*.parquet"))
        pieces += [f"SELECT * FROM {parquet(path)}" for path in new]
        pieces += [_rejected(table.name, file, lines) for file, lines in _read(source, only)]
        self._write_aside(table.name, pieces)
        for path in new:
            path.unlink()

    def _write_aside(self, table: str, pieces: list[str]) -> None:
        if not pieces:
            return
        everything = " UNION ALL BY NAME ".join(pieces)
        typed = ", ".join(f"CAST({name(column)} AS {kind}) AS {name(column)}" for column, kind in ASIDE.items())
        order = ", ".join(map(name, ASIDE))
        path = self.next / "quarantine" / f"{table}.parquet"
        if not copy_to_parquet(self.con, f"SELECT {typed} FROM ({everything}) ORDER BY {order}", path):
            path.unlink()

    def _malformed(self, source: Source, only: frozenset[str] | None) -> list[Tally]:
        """The unreadable lines of CSV and JSON files, once DuckDB has read them; `only` of these files."""
        out = []
        for file, lines in _read(source, only):
            # One reject may swallow several lines (an open quote), and one line may be rejected for several reasons.
            [(rows, first, longest)] = self.con.execute(
                "SELECT coalesce(sum(n), 0), min(line), max(held) FROM "
                f"(SELECT line, max({files.LINES_HELD}) AS n, max(length(csv_line)) AS held FROM {lines} GROUP BY 1)"
            ).fetchall()
            if longest is not None and longest >= files.TOLD_CHARACTERS and file in source.paths:
                rows = files.unread_lines(self.con, self.raw, source.paths[file])
            if rows:
                out.append(Tally(source.table, file, "malformed", "", int(rows), int(first)))
        return out

    def _feeds(self) -> None:
        pieces: dict[str, list[str]] = {}
        for source in self.feeds:
            found = self.con.execute(f"SELECT _file, count(*) FROM ({source.query}) GROUP BY 1 ORDER BY 1").fetchall()
            self.built.tallies += [Tally(source.table, file, "", "", rows, 0) for file, rows in found]
            self.built.tallies += self._malformed(source, None)
            rejected = [_rejected(source.table, file, lines) for file, lines in source.rejects]
            pieces.setdefault(source.table, []).extend(rejected)
        for table, rows in pieces.items():
            self._write_aside(table, rows)

    def _know_accounts(self) -> None:
        path = self.next / "accounts" / part_file(0)
        self.con.execute(f"CREATE TABLE ingest.known_accounts AS SELECT account_id, created_at FROM {parquet(path)}")
        if self.before is not None:
            moved_accounts(self.con, self.live / "accounts" / part_file(0), path)

    def _unreadable(self, source: Source | None, error: duckdb.Error) -> ContractBroken | None:
        """`error` as the refusal of the file at fault; None when no file is at fault."""
        damaged = type(error) is duckdb.Error  # damaged Parquet has no class of its own
        if source is None or no_room(error) or not (damaged or isinstance(error, UNREADABLE)):
            return None
        blamed = files.at_fault(self.con, source.paths, error)
        if blamed is None and damaged:
            return None
        return ContractBroken([f"{blamed or ', '.join(source.files[:3])}: {files.why(error)}"])


def _read(source: Source | None, only: frozenset[str] | None) -> list[tuple[str, str]]:
    return [one for one in (source.rejects if source else ()) if only is None or one[0] in only]


def _rejected(table: str, file: str, lines: str) -> str:
    nothing = ", ".join(f"CAST(NULL AS VARCHAR) AS {name(column)}" for column in ("column", "account_id", "shape"))
    return (
        f"SELECT {quote(file)} AS file, line, {quote(table)} AS \"table\", 'malformed' AS rule, 0 AS part, {nothing} "
        f"FROM {lines} GROUP BY line"
    )


def _sums(sums: Sums) -> list[Sum]:
    out = []
    for currency in sorted({currency for currency, _ in sums}):
        fates = [sums.get((currency, fate)) for fate in ("accepted", repeats.DUPLICATE, "quarantined")]
        accepted, duplicate, quarantined = (one or (Decimal(0), Decimal(0)) for one in fates)
        read = accepted[0] + duplicate[0] + quarantined[0]
        out.append(Sum(currency, str(read), str(accepted[0]), str(duplicate[0]), str(quarantined[0]), str(accepted[1])))
    return out
