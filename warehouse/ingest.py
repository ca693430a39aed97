"""Raw files into the typed warehouse: every row accepted, counted as a duplicate, or quarantined with its reason.

Only what a delivery touches is landed again; everything else is carried over. The whole is swapped in at once, so the
live warehouse is either the old one or the new one, and always what a first ingest of the same folder would have made.
"""

from __future__ import annotations

import json
import shutil
import sys
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from pydantic import Field, field_validator, model_validator

from warehouse import delivery, exchange, rules
from warehouse.accounting import FREE, Accounting, Audit, FileCount, Limits, Tally, problems
from warehouse.adapters import Source
from warehouse.adapters.registry import READERS, AdapterParams, Name, fetch, open_sources
from warehouse.audit import audit
from warehouse.build import Build, Built
from warehouse.command import Call, run
from warehouse.engine import connect
from warehouse.errors import ContractBroken, OlderDelivery
from warehouse.manifest import (
    Manifest,
    end_of,
    fingerprint_of,
    made_with,
    read_manifest,
    refuse_changed,
    refuse_fewer,
    written,
)
from warehouse.params import section
from warehouse.privacy import key_name, workspace_key
from warehouse.progress import stage
from warehouse.raw import DELIVERED, TABLES
from warehouse.repeats import DUPLICATE
from warehouse.store import Workspace, link, part_file, recover_folder, refuse_link, swap_folder
from warehouse.tombstones import read_tombstones

OWN_LIMITS = {"unknown_account": 0.02}  # deliveries of accounts and events rarely close at the same second
LIMITS = ("max_bad_ratio", "max_ratio", "allowance", "never_empty")  # params that decide on no row
GOOD = ("", DUPLICATE)  # not quarantined: accepted, or a copy of an accepted row


class IngestParams(AdapterParams):
    """Section `ingest`.

    adapter: one or several; each gives the tables it can, `tables` those of the folder that no other gives.
    timezone: zone of timestamps that carry none; null refuses them.
    currency: the only one accepted, or the one that others are converted into where the folder holds `fx_rates`; null
        accepts any single one. fx_max_age_days: for how many days a rate holds. fx_fixed_on: convert every amount at
        the rates of this day, so that a move of the market is no expansion; null: at the rate of the day it was booked.
    max_bad_ratio: share of a table's rows that may break one rule before the run stops; max_ratio: the same by rule.
    allowance: rows of the new and replaced files alone that may break a rule whatever their share.
    never_empty: tables that must come with at least one row; `accounts` always must.
    """

    adapter: Name | tuple[Name, ...] = "tables"
    timezone: str | None = "UTC"
    currency: str | None = None
    fx_max_age_days: int = Field(default=7, ge=1)
    fx_fixed_on: date | None = None
    max_bad_ratio: float = Field(default=0.001, ge=0, le=1)
    max_ratio: dict[str, float] = Field(default_factory=dict)
    allowance: int = Field(default=10, ge=0)
    future_tolerance_minutes: float = Field(default=10, ge=0)
    never_empty: tuple[str, ...] = ("events", "revenue")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        if zone is not None and zone not in zoneinfo.available_timezones():
            raise ValueError("not a time zone; give a name such as UTC or Europe/London, or null")
        return zone

    @field_validator("never_empty")
    @classmethod
    def _known_tables(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if set(names) - set(TABLES):
            raise ValueError(f"not a table; known: {', '.join(TABLES)}")
        return names

    @model_validator(mode="after")
    def _adapter_has_its_section(self) -> IngestParams:
        for adapter in self.adapters:
            if adapter != "tables" and READERS[adapter][1](self) is None:
                raise ValueError(f'adapter "{adapter}" needs the section ingest.{adapter}')
        return self

    @property
    def adapters(self) -> tuple[Name, ...]:
        return (self.adapter,) if isinstance(self.adapter, str) else self.adapter

    def reading(self, now: datetime) -> rules.Reading:
        latest = utc(now) + timedelta(minutes=self.future_tolerance_minutes)
        return rules.Reading(self.timezone, latest, self.currency, self.fx_max_age_days, self.fx_fixed_on)

    def limits(self, kept: str, allowance: int = 0) -> Limits:
        """kept: the quarantine folder that messages name."""
        return Limits(self.max_bad_ratio, OWN_LIMITS | self.max_ratio, kept, allowance)

    def deciding(self) -> dict[str, Any]:
        """The params that decide how a row is read."""
        return self.model_dump(mode="json", exclude=set(LIMITS))


def ingest(
    raw: Path,
    workspace: Workspace,
    params: IngestParams,
    now: datetime,
    *,
    whole: bool = False,
    stop: bool = True,
    not_before: date | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Accounting:
    """Reads the folder `raw` into `workspace.warehouse`; rows set aside go to `workspace.quarantine`.

    now: the moment of the run; an aware time, or a naive one in UTC. whole: land everything anew, whatever is known of
    the files. stop: false publishes in spite of rules over their limits, which are then in `problems`. not_before: the
    end of the data that are live (UTC midnight); null: any end will do. say: is told how far it is. The same delivery
    twice changes nothing and gives the same accounting.

    Raises:
        ContractBroken: a table or column is missing, a file is unreadable or changes while it is read, there is no
            account, or more rows break a rule than its limit allows. The live warehouse is untouched; in the last case
            the quarantine is written.
        OlderDelivery: the data end before `not_before`. The live warehouse is untouched.
        DataError: a file of the live warehouse is not what an earlier call wrote, and is not made anew.
        ParamsError: an SQL text in the params does not fit the files.
        UsageError: who was erased cannot be told, see warehouse.tombstones; or a folder that is swapped in is a link.
    """
    workspace.root.mkdir(parents=True, exist_ok=True)
    for folder in (workspace.warehouse, workspace.quarantine):
        refuse_link(folder)
        recover_folder(folder)
    key = workspace_key(workspace.root)
    erased = read_tombstones(workspace.root, key)
    live = workspace.warehouse.resolve()
    refuse_fewer(live, len(erased.stones))
    extracted = fetch(params, params.adapters, workspace.root.resolve() / "extracted", erased, say)
    raw = raw.resolve()
    folders = [raw, live] if extracted is None else [raw, live, extracted]
    with _building(workspace.root.resolve() / ".ingest") as building, connect(building, *folders) as con:
        reading = replace(params.reading(now), erased=erased)
        con.execute("CREATE SCHEMA ingest")
        sources = open_sources(con, raw, extracted, params.adapters, params, reading)
        sources += exchange.source(con, extracted or raw, reading)
        made = made_with(params.deciding(), key_name(key), erased.named)
        before = None if whole else read_manifest(live)
        if before is not None and before.made_with != made:
            before = None
        if before is not None:
            refuse_changed(live)  # what is carried over, or stays as it is
        paths: dict[str, dict[str, Path]] = {}
        for source in sources:
            paths.setdefault(source.table, {}).update(source.paths)
        said, known = delivery.read_sums(raw), before.files if before else {}
        stamps = {table: delivery.stamp(those, known.get(table, {}), said) for table, those in paths.items()}
        build = Build(con, raw, sources, reading, key, building, live, before, stamps, say)
        if build.idle:
            return _told(live)
        built = build.run()
        accounting = _account(sources, built, workspace, params)
        for table, those in paths.items():
            delivery.refuse_moving(those, stamps[table])
        found = (*accounting.problems, *empty_tables(sources, accounting, params))
        accounting = replace(accounting, problems=found, ingested_on=utc(now).date())
        _publish_quarantine(building, workspace, accounting)
        if accounting.problems and (stop or not accounting.counts["accounts"]):
            raise ContractBroken(list(accounting.problems), accounting)
        accounting = _finish(con, built, accounting, before, live, building / "warehouse")
        if not_before is not None and accounting.data_end is not None and accounting.data_end < not_before:
            raise OlderDelivery(
                f"{raw}: the facts end {accounting.data_end}, those of the live release ended {not_before}: an older "
                "folder, or one that lacks its last days. Nothing live was touched. Deliver it whole, or --force it."
            )
        noted = written(building / "warehouse", before)
        latest, known_gone = reading.latest.isoformat(), len(erased.stones)
        manifest = Manifest(made, latest, stamps, built.parts, built.tallies, built.sums, noted, known_gone)
        manifest.write(building / "warehouse")
        swap_folder(building / "warehouse", workspace.warehouse)
    return accounting


def empty_tables(sources: list[Source], accounting: Accounting, params: IngestParams) -> list[str]:
    """A sentence a table of `params.never_empty` of which no row was left: a feed that broke, not a quiet day."""
    return [
        f"{_several(sorted(source.files)) or source.table}: 0 rows of {source.table} are left of "
        f"{accounting.read(source.table):,} (rule no_rows). Nothing would be left to score by; deliver it whole, or "
        f"take {source.table} out of ingest.never_empty."
        for source in sources
        if source.table in params.never_empty and accounting.counts[source.table] == 0
        if accounting.read(source.table) == 0 or not accounting.problems  # else the cause has been said
    ]


def over_limit(tallies: list[Tally], limits: Limits) -> list[str]:
    """A sentence a rule that more rows break than its limit allows; without any accepted account that alone."""
    found = _broken(tallies, limits)
    accounts = [tally for tally in tallies if tally.table == "accounts"]
    if any(tally.rule == "" for tally in accounts) or (found and accounts):
        return found
    return ["accounts: there is no account (rule no_accounts). Nothing can be scored without one."]


def _broken(tallies: list[Tally], limits: Limits) -> list[str]:
    read: Counter[str] = Counter()
    for tally in tallies:
        if not tally.rule.startswith(FREE):
            read[tally.table] += tally.rows
    return problems([tally for tally in tallies if tally.rule not in GOOD], read, limits)


def utc(moment: datetime) -> datetime:
    """`moment` as a naive time in UTC; a naive one is taken to be in UTC already."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def ingest_stage(
    raw: Path,
    workspace: Workspace,
    params: IngestParams,
    now: datetime,
    whole: bool = False,
    not_before: date | None = None,
) -> Accounting:
    """Stage `ingest`: the same, with progress, and a line for every table that had rows set aside."""
    with stage("ingest") as say:
        accounting = ingest(raw, workspace, params, now, whole=whole, not_before=not_before, say=say)
        say(", ".join(f"{n:,} {table}" for table, n in accounting.counts.items() if n))
    for table in accounting.counts:
        aside = sum(accounting.quarantined(table).values())
        if aside:
            print(f"    {table}: {aside:,} rows set aside, see {workspace.quarantine}", file=sys.stderr)
        if table in accounting.audit and accounting.audit[table].retold:
            print(f"    {table}: {_retold(table, accounting.audit[table].retold)}", file=sys.stderr)
    return accounting


def _retold(table: str, rows: int) -> str:
    return (
        f"{rows:,} rows tell another {' or '.join(TABLES[table].told_once)} than when first ingested. Features of past "
        "dates read it too: where that is news and no correction, deliver it in a further file."
    )


def _told(live: Path) -> Accounting:
    """The accounting of the live warehouse; nothing was landed, so nothing was written and nothing is to audit."""
    accounting = Accounting.from_json(json.loads((live / "accounting.json").read_text(encoding="utf-8")))
    return replace(accounting, written={}, audit={})


def _account(sources: list[Source], built: Built, workspace: Workspace, params: IngestParams) -> Accounting:
    kept = str(workspace.quarantine)
    found = over_limit(built.tallies, params.limits(kept))
    if built.fresh is not None and not found:  # a broken night must not hide behind two good years
        found = _broken(built.fresh, params.limits(kept, params.allowance))
    counts, delivered = _files(built.tallies, sources), {source.table for source in sources}
    return Accounting(
        tuple(counts),
        {t: sum(c.accepted for c in counts if c.table == t) for t in DELIVERED if t in TABLES or t in delivered},
        {source.table: list(source.extra) for source in sources if source.extra},
        problems=tuple(found),
        written={
            table: [part_file(part).removesuffix(".parquet") for part in parts]
            for table, parts in built.written.items()
            if parts
        },
        sums=tuple(built.sums),
    )


def _files(tallies: list[Tally], sources: list[Source]) -> list[FileCount]:
    by_file: dict[tuple[str, str], Counter[str]] = {}
    for tally in tallies:
        by_file.setdefault((tally.table, tally.file), Counter())[tally.rule] += tally.rows
    out = []
    for source in sources:
        for file in sorted(source.files):
            rows = by_file.get((source.table, file), Counter())
            bad = {rule: n for rule, n in sorted(rows.items()) if rule not in GOOD}
            out.append(FileCount(source.table, file, rows.total(), rows[""], rows[DUPLICATE], bad))
    return out


def _publish_quarantine(building: Path, workspace: Workspace, accounting: Accounting) -> None:
    folder = building / "quarantine"
    folder.mkdir()
    for path in sorted((building / "warehouse" / "quarantine").glob("*.parquet")):
        link(path, folder / path.name)
    _write_json(folder / "accounting.json", accounting.to_json())
    swap_folder(folder, workspace.quarantine)


def _finish(
    con: duckdb.DuckDBPyConnection,
    built: Built,
    accounting: Accounting,
    before: Manifest | None,
    live: Path,
    folder: Path,
) -> Accounting:
    """Fingerprint, end of the data and audit of what was built, written down beside it."""
    fingerprint, end = fingerprint_of(built.parts), end_of(built.parts)
    audits: dict[str, Audit] = {}
    for table in TABLES.values() if before is not None else ():
        assert before is not None
        parts = built.written.get(table.name, [])
        old = [live / table.name / part_file(part) for part in parts if part in before.parts[table.name]]
        new = [folder / table.name / part_file(part) for part in parts if part in built.parts[table.name]]
        gone = [p for p in before.parts[table.name] if p not in built.parts[table.name] and p not in parts]
        old += [live / table.name / part_file(part) for part in gone]
        if old or new:
            found = audit(con, table, old, new, end_of(before.parts))
            audits |= {table.name: found} if found else {}
    accounting = replace(accounting, fingerprint=fingerprint, data_end=end, audit=audits)
    _write_json(folder / "accounting.json", accounting.to_json())
    return accounting


def _several(files: list[str]) -> str:
    return " and ".join(files) if len(files) < 4 else f"{files[0]} and {len(files) - 1} more"


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    def called(call: Call) -> None:
        assert call.raw is not None
        params = section(call.document, "ingest", IngestParams)
        print("\n".join(ingest_stage(call.raw, call.workspace, params, datetime.now(UTC)).lines()))

    return run(called, "Stage ingest: the same as the verb `expansion ingest`.", argv, "required")


if __name__ == "__main__":
    raise SystemExit(main())
