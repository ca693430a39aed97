"""Applies the rules to all sources of one run and adds up what became of every row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import duckdb

from warehouse import rules
from warehouse.accounting import EXCLUDED, Accounting, FileCount, Limits, Tally, problems
from warehouse.adapters import Source, files
from warehouse.engine import quote
from warehouse.errors import ContractBroken
from warehouse.raw import TABLES

GOOD = ("", rules.DUPLICATE)  # not quarantined: accepted, or a copy of an accepted row
UNREADABLE = (
    duckdb.InvalidInputException,
    duckdb.IOException,
    duckdb.ConversionException,
    duckdb.SerializationException,
    duckdb.OutOfRangeException,
)


@dataclass(frozen=True)
class Outcome:
    """What the rules found, before anything is published."""

    accounting: Accounting
    tallies: list[Tally]
    rejects: list[tuple[str, str, str]]  # table, file, DuckDB table of its unreadable lines


def validate(con: duckdb.DuckDBPyConnection, sources: list[Source], reading: rules.Reading, limits: Limits) -> Outcome:
    """Applies every rule and leaves the judged rows in schema `ingest` of `con`; writes nothing."""
    tallies = stage_all(con, sources, reading)
    rejects = [(source.table, file, table) for source in sources for file, table in source.rejects]
    tallies += _malformed(con, rejects)
    counts = _files(tallies, sources)
    accounting = Accounting(
        tuple(counts),
        {table: sum(c.accepted for c in counts if c.table == table) for table in TABLES},
        {source.table: list(source.extra) for source in sources if source.extra},
        problems=tuple(over_limit(tallies, limits)),
    )
    return Outcome(accounting, [tally for tally in tallies if tally.rule not in GOOD], rejects)


def over_limit(tallies: list[Tally], limits: Limits) -> list[str]:
    """A sentence a rule that more rows break than its limit allows; without any accepted account that alone."""
    read: Counter[str] = Counter()
    for tally in tallies:
        if not tally.rule.startswith(EXCLUDED):
            read[tally.table] += tally.rows
    found = problems([tally for tally in tallies if tally.rule not in GOOD], read, limits)
    if any(tally.table == "accounts" and tally.rule == "" for tally in tallies) or (found and read["accounts"]):
        return found
    return ["accounts: there is no account (rule no_accounts). Nothing can be scored without one."]


def stage_all(con: duckdb.DuckDBPyConnection, sources: list[Source], reading: rules.Reading) -> list[Tally]:
    """Makes one table `ingest.<name>` a canonical table and counts its rows by file and breach (rule "": accepted)."""
    by_table = {source.table: source for source in sources}
    tallies = []
    for table in TABLES.values():
        source = by_table.get(table.name)
        if source is None:
            rules.create_empty(con, table)
            continue
        try:
            rules.stage(con, table, source, reading)
        except duckdb.Error as error:
            refused = _unreadable(con, source, error)
            if refused is None:
                raise
            raise refused from error
        found = con.execute(
            f"SELECT _file, coalesce(_breach, '') AS breach, count(*), min(_line) "
            f"FROM ingest.{table.name} GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        tallies += [Tally(table.name, file, *_split(breach), rows, first) for file, breach, rows, first in found]
    for source in sources:
        if source.table not in TABLES:
            tallies += [Tally(source.table, f, "", "", n, 0) for f, n in _per_file(con, source)]
    return tallies


def _unreadable(con: duckdb.DuckDBPyConnection, source: Source, error: duckdb.Error) -> ContractBroken | None:
    """`error` as the refusal of the file at fault; None when no file is at fault."""
    damaged = type(error) is duckdb.Error  # damaged Parquet has no class of its own
    if not damaged and not isinstance(error, UNREADABLE):
        return None
    blamed = files.at_fault(con, source.paths, error)
    if blamed is None and damaged:
        return None
    return ContractBroken([f"{blamed or ', '.join(source.files[:3])}: {_why(error)}"])


def _why(error: duckdb.Error) -> str:
    if "state machine" in str(error):
        return "lines end in LF and in CRLF, or a quote is out of place. Export the file with one line ending."
    return f"cannot be read ({str(error).splitlines()[0][:300]})."


def _per_file(con: duckdb.DuckDBPyConnection, source: Source) -> list[tuple[str, int]]:
    return con.execute(f"SELECT _file, count(*) FROM ({source.query}) GROUP BY 1 ORDER BY 1").fetchall()


def _split(breach: str) -> tuple[str, str]:
    rule, _, column = breach.partition("|")
    return rule, column


def _malformed(con: duckdb.DuckDBPyConnection, rejects: list[tuple[str, str, str]]) -> list[Tally]:
    if not rejects:
        return []
    every = " UNION ALL ".join(
        f"SELECT {quote(table)} AS owner, {quote(file)} AS file, line, csv_line FROM {lines}"
        for table, file, lines in rejects
    )
    # One reject may swallow several lines (an open quote), and one line may be rejected for several reasons.
    found = con.execute(
        f"SELECT owner, file, sum(n), min(line) FROM (SELECT owner, file, line, max({_LINES}) AS n FROM ({every}) "
        "GROUP BY ALL) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [Tally(table, file, "malformed", "", int(rows), int(first)) for table, file, rows, first in found]


_LINES = "1 + length(trim(csv_line, E'\\r\\n')) - length(replace(trim(csv_line, E'\\r\\n'), E'\\n', ''))"


def _files(tallies: list[Tally], sources: list[Source]) -> list[FileCount]:
    by_file: dict[tuple[str, str], Counter[str]] = {}
    for tally in tallies:
        by_file.setdefault((tally.table, tally.file), Counter())[tally.rule] += tally.rows
    out = []
    for source in sources:
        for file in sorted(source.files):
            rows = by_file.get((source.table, file), Counter())
            bad = {rule: n for rule, n in sorted(rows.items()) if rule not in GOOD}
            out.append(FileCount(source.table, file, rows.total(), rows[""], rows[rules.DUPLICATE], bad))
    return out
