"""Lands the rows of one table: judged, the repeated settled, user ids hashed, sorted, one Parquet file a month.

Months are worked through in groups that fit in memory, so neither the size of the table nor the order of its files
matters. Parquet files whose rows stand alone are read once a group, by the statistics of their row groups; anything
else (CSV, JSON, joined files) is judged once into a file aside and read from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb

from warehouse import repeats, rules
from warehouse.accounting import Tally, tally
from warehouse.adapters import Source, files
from warehouse.casting import DAY, NAIVE_TYPES
from warehouse.casting import ZONED_TYPE as ZONED
from warehouse.engine import name, parquet, quote
from warehouse.privacy import HASHED, hashed
from warehouse.raw import RawTable
from warehouse.store import copy_to_parquet, part_file

Sums = dict[tuple[str, str], tuple[Decimal, Decimal]]
GROUP_ROWS = 2_500_000  # rows in memory at a time, about 0.6 GB
WITHIN, ACROSS = (f"SELECT _key FROM ingest.repeated_keys WHERE {which}" for which in ("NOT straddles", "straddles"))


@dataclass(frozen=True)
class Scope:
    """Which rows of a source are landed. files: of these files only (null: of all). parts: of these parts only (null:
    of all). undated: rows without a part of these files only (null: of all)."""

    files: frozenset[str] | None = None
    parts: frozenset[int] | None = None
    undated: frozenset[str] | None = None


@dataclass(frozen=True)
class Part:
    """One Parquet file of the warehouse. digest: of its rows in any order, with users as delivered, or, where rows were
    erased since, as kept. known: the latest moment (ISO, UTC) at which one of its rows was known."""

    rows: int
    digest: str
    known: str


@dataclass(frozen=True)
class Landed:
    """sums: money by (currency, fate), as delivered and as booked; fate: accepted, duplicate or quarantined."""

    tallies: list[Tally]
    parts: dict[int, Part]
    sums: Sums


class Landing:
    """One table on its way into `folder`.

    Args:
        source: its rows; `reading`: how they are judged; `key`: of the user hashes; `aside`: folder for what has to be
            kept while it works; `say`: is told how far it is.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        table: RawTable,
        source: Source,
        reading: rules.Reading,
        key: str,
        aside: Path,
        say: Callable[[str], None],
    ) -> None:
        self.con, self.table, self.source, self.reading = con, table, source, reading
        self.key, self.aside, self.say = key, aside, say
        self._staged: list[Path] = []
        self._staged_files: frozenset[str] = frozenset()
        self._staged_all = False
        self._shifted = False  # whether lines of CSV files are ahead of their rows
        self._keyless = True  # some row may lack the key of its table; `counts` finds out

    @property
    def direct(self) -> bool:
        """Whether months can be picked out of the files by their statistics."""
        if not self.source.by_file or any(path.suffix != ".parquet" for path in self.source.paths.values()):
            return False
        kind = self.source.columns[self.table.happened]
        return kind in (ZONED, DAY) or (kind in NAIVE_TYPES and self.reading.timezone == "UTC")

    @property
    def _has_key(self) -> bool:
        return bool(self.table.key) and self.source.columns.keys() >= set(self.table.key)

    def counts(self, scope: Scope) -> dict[tuple[str, int], int]:
        """Rows by file and part."""
        self._keyless = True
        absent = f"count(*) FILTER (NOT ({self.table.keyed}))" if self.direct and self._has_key else "1"
        found = self.con.execute(
            f"SELECT _file, _part, count(*), {absent} FROM ({self._keyed(scope)}) WHERE {self._where(scope)} "
            "GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        self._keyless = any(row[3] for row in found)
        return {(file, part): rows for file, part, rows, _ in found}

    def known_elsewhere(self, scope: Scope, parts: list[Path]) -> set[Path]:
        """Which of the Parquet files `parts` of the live warehouse hold the key of a row in `scope`."""
        if not self._has_key or not parts:
            return set()
        found = self.con.execute(
            f"SELECT DISTINCT filename FROM {parquet(*parts, filename=True)} WHERE {self.table.keyed} "
            f"AND {self.table.key_hash} IN (SELECT _key FROM ({self._keys(scope)}))"
        ).fetchall()
        return {Path(path) for (path,) in found}

    def land(self, scope: Scope, counts: dict[tuple[str, int], int], folder: Path) -> Landed:
        """Writes a file `folder`/<table>/<month>.parquet a part, and what was set aside to `self.aside`."""
        rows: dict[int, int] = {}
        for (_, part), n in counts.items():
            rows[part] = rows.get(part, 0) + n
        within, across = self._repeated(scope)
        tallies: list[Tally] = []
        parts: dict[int, Part] = {}
        sums: Sums = {}
        for number, group in enumerate(_groups(rows)):
            if self.table.by_month:
                self.say(f"{self.table.name} {_span(group)}")
            self._batch(scope, group, within, across)
            tallies += tally(self.con, self.table.name, "ingest.batch")
            for fate, (delivered, booked) in self._sums().items():
                before = sums.get(fate, (Decimal(0), Decimal(0)))
                sums[fate] = (before[0] + delivered, before[1] + booked)
            self._set_aside(number)
            parts |= self._write(folder)
        for made in ("batch", "repeated", "straddling", "repeated_keys"):
            self.con.execute(f"DROP TABLE IF EXISTS ingest.{made}")
        return Landed(tallies, parts, sums)

    def _where(self, scope: Scope) -> str:
        """The rows of `scope` over the typed columns."""
        conditions = []
        if scope.files is not None:
            conditions.append(f"_file IN ({_listed(scope.files)})")
        if scope.parts is not None:
            dated = f"_part IN ({', '.join(map(str, sorted(scope.parts))) or -1})"
            undated = "_part = 0" if scope.undated is None else f"_part = 0 AND _file IN ({_listed(scope.undated)})"
            conditions.append(f"({dated} OR ({undated}))" if self.table.by_month else "true")
        return " AND ".join(conditions) or "true"

    def _pushed(self, scope: Scope, group: list[int] | None = None) -> str:
        """The same over the raw columns, as far as Parquet statistics can use it; never stricter than `_where`."""
        conditions = [f"_file IN ({_listed(scope.files)})"] if scope.files is not None else []
        parts = group if group is not None else sorted(scope.parts or ()) if scope.undated == frozenset() else []
        if self.table.by_month and parts and 0 not in parts:
            kind, zone = (
                ("TIMESTAMPTZ", " 00:00:00+00")
                if self.source.columns[self.table.happened] == ZONED
                else ("TIMESTAMP", "")
            )
            first, end = _first_day(min(parts)), _first_day(_next(max(parts)))
            clock = name(self.table.happened)
            conditions.append(f"{clock} >= {kind} '{first}{zone}' AND {clock} < {kind} '{end}{zone}'")
        return " AND ".join(conditions) or "true"

    def _stage(self, scope: Scope) -> str:
        """SQL over all judged rows of the files of `scope`, which are read and judged once."""
        missing = None if scope.files is None else scope.files - self._staged_files
        if not self._staged_all and (missing != frozenset() or not self._staged):
            path = self.aside / f"{self.table.name}-staged-{len(self._staged)}.parquet"
            where = "true" if missing is None else f"_file IN ({_listed(missing)})"
            copy_to_parquet(self.con, rules.judged(self.table, self.source, self.reading, where), path)
            self._staged.append(path)
            self._staged_files |= missing or frozenset()
            self._staged_all = missing is None
            self._shifted = self._shift()
        staged = parquet(*self._staged)
        if not self._shifted:
            return f"SELECT * FROM {staged}"
        return (
            f"SELECT s.* REPLACE (s._line + coalesce(m.lines, 0) AS _line) FROM {staged} AS s "
            "ASOF LEFT JOIN ingest.shifts AS m ON m.file = s._file AND s._line >= m.from_line"
        )

    def _shift(self) -> bool:
        """Makes `ingest.shifts`: by how much the lines of a CSV file are ahead of its rows, from a row's number on.
        DuckDB numbers the rows it could read; each line it could not moves the later ones."""
        found = [
            f"SELECT {quote(file)} AS file, line, max({files.LINES_HELD}) AS n FROM {lines} GROUP BY line"
            for file, lines in self.source.rejects
            if not file.endswith(files.LINES) and (self._staged_all or file in self._staged_files)
        ]
        if not found:
            return False
        self.con.execute(f"""
            CREATE OR REPLACE TABLE ingest.shifts AS
            SELECT file, from_line, max(lines) AS lines FROM (
                SELECT file, line - (sum(n) OVER w - n) AS from_line, CAST(sum(n) OVER w AS BIGINT) AS lines
                FROM ({" UNION ALL ".join(found)}) WINDOW w AS (PARTITION BY file ORDER BY line))
            GROUP BY file, from_line""")
        [(rows,)] = self.con.execute("SELECT count(*) FROM ingest.shifts").fetchall()
        return bool(rows)

    def _keyed(self, scope: Scope) -> str:
        if self.direct:
            return rules.typed(self.table, self.source, self.reading, self._pushed(scope), self._keyless)
        return self._stage(scope)

    def _keys(self, scope: Scope) -> str:
        return f"SELECT _file, _part, _key FROM ({self._keyed(scope)}) WHERE {self._where(scope)}"

    def _rows(self, scope: Scope, among: str, group: list[int] | None = None) -> str:
        where = f"{self._where(scope)} AND {among}"
        if self.direct:
            return rules.judged(self.table, self.source, self.reading, self._pushed(scope, group), where)
        return f"{self._stage(scope)} WHERE {where}"

    def _repeated(self, scope: Scope) -> tuple[int, int]:
        """Makes `ingest.repeated_keys`: the keys that more than one row has, and whether in several parts; and of the
        latter `ingest.straddling`, their settled rows. How many keys there are of either sort."""
        self.con.execute(
            "CREATE OR REPLACE TABLE ingest.repeated_keys AS SELECT _key, min(_part) <> max(_part) AS straddles "
            f"FROM ({self._keys(scope)}) GROUP BY 1 HAVING count(*) > 1"
        )
        [(within, across)] = self.con.execute(
            "SELECT count(*) FILTER (NOT straddles), count(*) FILTER (straddles) FROM ingest.repeated_keys"
        ).fetchall()
        if across:
            rows = self._rows(scope, f"_key IN ({ACROSS})")
            self.con.execute(
                f"CREATE OR REPLACE TABLE ingest.straddling AS SELECT * FROM ({rows}) WHERE _breach IS NULL"
            )
            repeats.settle(self.con, self.table, "ingest.straddling")
        return within, across

    def _batch(self, scope: Scope, group: list[int], within: int, across: int) -> None:
        """Makes `ingest.batch`, the settled rows of the parts of `group`."""
        parts = f"_part IN ({', '.join(map(str, group))})"
        query = f"SELECT * FROM ({self._rows(scope, parts, group)})"
        if across:
            query += (
                f" WHERE NOT (_breach IS NULL AND _key IN ({ACROSS})) "
                f"UNION ALL BY NAME SELECT * FROM ingest.straddling WHERE {parts}"
            )
        self.con.execute(f"CREATE OR REPLACE TABLE ingest.batch AS {query}")
        if within:
            open_rows = f"_breach IS NULL AND _key IN ({WITHIN})"
            self.con.execute(f"CREATE OR REPLACE TABLE ingest.repeated AS SELECT * FROM ingest.batch WHERE {open_rows}")
            repeats.settle(self.con, self.table, "ingest.repeated")
            self.con.execute(f"DELETE FROM ingest.batch WHERE {open_rows}")
            self.con.execute("INSERT INTO ingest.batch BY NAME SELECT * FROM ingest.repeated")

    def _sums(self) -> Sums:
        if not rules.has_money(self.table):
            return {}
        fate = (
            f"CASE WHEN _breach IS NULL THEN 'accepted' WHEN _breach = {quote(repeats.DUPLICATE)} "
            f"THEN {quote(repeats.DUPLICATE)} ELSE 'quarantined' END"
        )
        found = self.con.execute(
            f"SELECT coalesce(_coin, ''), {fate}, coalesce(sum(_paid), 0), coalesce(sum(amount), 0) "
            "FROM ingest.batch GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        return {(coin, fate): (Decimal(delivered), Decimal(booked)) for coin, fate, delivered, booked in found}

    def _set_aside(self, number: int) -> None:
        query = (
            f'SELECT _file AS file, _line AS line, {quote(self.table.name)} AS "table", '
            "split_part(_breach, '|', 1) AS rule, nullif(split_part(_breach, '|', 2), '') AS \"column\", "
            f"{self._account()} AS account_id, _part AS part, _shape AS shape FROM ingest.batch "
            f"WHERE _breach IS NOT NULL AND _breach <> {quote(repeats.DUPLICATE)}"
        )
        copy_to_parquet(self.con, query, self.aside / f"{self.table.name}-aside-{number}.parquet")

    def _account(self) -> str:
        return (
            f"CASE WHEN _breach <> {quote(rules.ERASED)} THEN account_id END"
            if any(column.name == "account_id" for column in self.table.columns)
            else "CAST(NULL AS VARCHAR)"
        )

    def _write(self, folder: Path) -> dict[int, Part]:
        names = [column.name for column in self.table.columns]
        found = self.con.execute(
            f"SELECT _part, count(*), CAST(sum(hash({', '.join(map(name, names))})) AS VARCHAR), "
            f"max({self.table.known}) FROM ingest.batch WHERE _breach IS NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
        for part, *_ in found:
            copy_to_parquet(self.con, self._sorted(part), folder / self.table.name / part_file(part))
        return {part: Part(rows, digest, known.isoformat(" ")) for part, rows, digest, known in found}

    def _sorted(self, part: int) -> str:
        """The accepted rows in a total order of their content, whatever order they came in."""
        columns = [column.name for column in self.table.columns]
        picked = ", ".join(f"{hashed(c, self.key)} AS {c}" if c in HASHED else name(c) for c in columns)
        first = ["account_id", self.table.happened] if "account_id" in columns else [self.table.happened]
        order = first + [column for column in columns if column not in first]
        return (
            f"SELECT * FROM (SELECT {picked} FROM ingest.batch WHERE _breach IS NULL AND _part = {part}) "
            f"ORDER BY {', '.join(map(name, order))}"
        )


def _groups(rows: dict[int, int]) -> Iterable[list[int]]:
    """Consecutive parts of at most GROUP_ROWS rows together; a larger part is a group of its own."""
    group: list[int] = []
    held = 0
    for part, n in sorted(rows.items()):
        if group and (held + n > GROUP_ROWS or 0 in group):
            yield group
            group, held = [], 0
        group.append(part)
        held += n
    if group:
        yield group


def _span(group: list[int]) -> str:
    first, last = (_first_day(part)[:7] if part else "undated" for part in (group[0], group[-1]))
    return first if first == last else f"{first} to {last}"


def _first_day(part: int) -> str:
    return date(part // 100, part % 100, 1).isoformat()


def _next(part: int) -> int:
    return part + 1 if part % 100 < 12 else (part // 100 + 1) * 100 + 1


def _listed(files: Iterable[str]) -> str:
    return ", ".join(quote(file) for file in sorted(files)) or "''"
