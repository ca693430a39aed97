"""`expansion check`: a data folder looked over before anything is built from it, and the verdict on what it would give.

Reads the folder the way `ingest` does, into a folder of its own that it removes; counts with the functions that
`train` counts with. Nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from features.catalogue import Definitions
from features.snapshots import INTERNAL_TOLD, SnapshotParams
from training.floors import Spend, spend
from training.labels import LabelParams
from training.readiness import Readiness, read_books, readiness
from training.recipe import TrainParams
from warehouse import progress
from warehouse.accounting import Accounting
from warehouse.engine import connect
from warehouse.ingest import IngestParams, ingest
from warehouse.params import section
from warehouse.profile import Profile, profile
from warehouse.scratch import scratch
from warehouse.store import Workspace, open_warehouse
from warehouse.volume import Days

SCHEMA_VERSION = 1
GAP_DAYS = 7  # what stops so long before the rest has stopped for good
SETTLED_DAYS = 90  # an event name that comes or goes so far from the ends came or went with a release
OFTEN = 100  # events of a name that is worth a note
SEATED = 0.95  # share of the accounts of whose seats is told, from which nothing is said
FAST = 0.001  # share of events received before they happened that is worth a note


@dataclass(frozen=True)
class CheckReport:
    """What a data folder holds and what it is good for.

    now: of the check. data_end: the midnight (UTC) after the last known fact. accounting: of the rows, with the rules
    over their limits in `problems`; everything else is about accepted rows. unknown: events set aside because they
    name no accepted account. meanings: what the params call an event name (specialist, configuration, limit, ticket).
    never_seen: names the params give a meaning to that no event has. spend: null without a positive run-rate.
    notes: finished sentences about what deserves a look.
    """

    now: datetime
    data_end: date
    currency: str
    accounting: Accounting
    profile: Profile
    unknown: int
    meanings: dict[str, str]
    never_seen: tuple[str, ...]
    spend: Spend | None
    readiness: Readiness
    notes: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Rules over their limit: with any, ingest would refuse the folder."""
        return self.accounting.problems

    @property
    def refused(self) -> bool:
        return bool(self.problems)

    @property
    def verdict(self) -> str:
        """One sentence: the word, and what serves meanwhile."""
        ready = self.readiness
        serves = f" Until then `expansion score` serves {ready.fallback}." if ready.fallback else ""
        return f"{ready.verdict}. {' '.join(ready.reasons)}{serves}"

    def to_json(self) -> dict[str, Any]:
        """The whole as JSON types; moments and days in ISO 8601, UTC."""
        document: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "refused": self.refused}
        document |= {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return document | {"accounting": self.accounting.to_json()}


def check(raw: Path, document: Mapping[str, Any], now: datetime, held_needed: int) -> CheckReport:
    """Looks the folder `raw` over; rules over their limit are in `problems`, not raised.

    Args:
        document: the params, all sections. now: the moment of the run; a naive one is in UTC.
        held_needed: positives that the gate wants held out (`gate.min_positives`).

    Raises:
        ContractBroken: there is nothing to report on: a table or column is missing, a file is unreadable, no account.
        ParamsError: a wrong key or value, or an SQL text that does not fit the files.
    """
    params = dict(document)
    settings, definitions = section(params, "ingest", IngestParams), Definitions.from_params(params)
    grid, labels = section(params, "snapshots", SnapshotParams), section(params, "labels", LabelParams)
    fitting = section(params, "train", TrainParams)
    with scratch("check") as aside:
        workspace = Workspace(aside / "workspace")
        with progress.stage("read the folder") as say:
            accounting = ingest(raw, workspace, settings, now, stop=False, say=say)
            say(", ".join(f"{n:,} {table}" for table, n in accounting.counts.items() if n))
        accounting = replace(accounting, problems=tuple(_lasting(text, workspace) for text in accounting.problems))
        with connect(workspace.warehouse) as con:
            open_warehouse(con, workspace.warehouse)
            with progress.stage("profile") as say:
                found = profile(con)
                say(f"{found.names:,} event names")
            with progress.stage("what there is to learn from") as say:
                books = read_books(con, definitions, grid, accounting.ingested_on)
                ready = readiness(con, books, definitions, grid, labels, fitting, held_needed)
                say(f"{ready.snapshots:,} snapshots, {ready.verdict}")
    meanings = {name: kind for kind, names in definitions.features.kinds().items() for name in names}
    seen = {event.name for event in found.event_names}
    complete = found.names == len(found.event_names)
    never = tuple(sorted(set(meanings) - seen)) if complete else ()
    report = CheckReport(
        now,
        books.end,
        definitions.tiers.currency,
        accounting,
        found,
        accounting.quarantined("events").get("unknown_account", 0),
        {name: kind for name, kind in meanings.items() if name in seen},
        never,
        spend(books.table, definitions.tiers),
        ready,
        (),
    )
    return replace(report, notes=tuple(_notes(report, grid)))


def _notes(report: CheckReport, grid: SnapshotParams) -> list[str]:
    """What a reader should look at before believing the rest."""
    out = [
        f"{table}: ignored columns {_listed(names)}. If one of them should be another column, map it."
        for table, names in report.accounting.extra_columns.items()
    ]
    if report.profile.days is None:
        out.append(
            "There are no events: nothing is known of behaviour, so neither a model nor the rule can rank by it."
        )
    else:
        out += [*_gaps(report, report.profile.days, grid), *_second_clock(report, report.profile.days)]
        out += _names(report, report.profile.days)
    if (seated := report.profile.table("account_users").accounts) < SEATED * report.profile.accounts:
        out.append(
            f"account_users tells of {seated:,} of {report.profile.accounts:,} accounts who belongs to them. Of the "
            "others nothing is known of seats, by which young accounts are told apart best. Deliver the table whole."
        )
    if report.profile.internal == 0:
        out.append("No account is marked is_internal. Test accounts that are not marked are scored like customers.")
    marked = report.profile.accounts - report.profile.unmarked
    if INTERNAL_TOLD <= marked / report.profile.accounts < 1:
        out.append(
            f"{report.profile.unmarked:,} of {report.profile.accounts:,} accounts do not say whether they are "
            "internal. Test accounts use much and never pay, so these are scored, but neither taught nor judged by. "
            "Mark them."
        )
    passed = min(report.data_end, report.accounting.ingested_on or report.data_end)  # the day of the run has not
    if (told := report.readiness.outcomes_end) < passed:
        out.append(
            f"Revenue ends {(passed - told).days:,} days before the other facts, a longer silence than lately "
            f"between two invoices: outcomes are told up to {told} only. If billing data were lost, deliver them again."
        )
    if not report.profile.concentration:
        out.append("Nobody paid anything: there is no expansion to learn from.")
    return out


def _gaps(report: CheckReport, days: Days, grid: SnapshotParams) -> list[str]:
    out = []
    silent = (report.data_end - days.last).days - 1
    if silent >= GAP_DAYS and (grid.until is None or grid.until > days.last + timedelta(days=GAP_DAYS)):
        out.append(
            f"Events end {silent:,} days before the other facts. If tracking stopped, set snapshots.until to "
            f"{days.last + timedelta(days=1)}, else silence is taken for disinterest."
        )
    if days.missing:
        out.append(
            f"{_counted(len(days.missing), 'day')} without events, or next to none, although some were to be expected: "
            f"{_listed([str(day) for day in days.missing])}. If deliveries were lost, deliver them again."
        )
    if days.odd:
        odd = _listed([str(odd.day) for odd in days.odd])
        out.append(f"{_counted(len(days.odd), 'day')} with far more or fewer events than usual: {odd}.")
    if days.outside:
        far = f"before {days.first} or after {days.last}, far from all others"
        out.append(f"{_counted(days.outside, 'event')} {far}: misdated, perhaps.")
    if (share := report.profile.with_events / max(report.profile.accounts, 1)) < 0.5:
        out.append(f"Only {share:.0%} of the accounts have an event.")
    return out


def _second_clock(report: CheckReport, days: Days) -> list[str]:
    late = report.profile.lateness
    if late is None:
        return []
    if late.last_own is None:
        return [
            "No event has a received_at of its own. Where events arrive late, past features hold more than was known."
        ]
    out = []
    if (days.last - late.last_own.date()).days >= GAP_DAYS:
        out.append(f"After {late.last_own:%Y-%m-%d} no event has a received_at of its own: was the column renamed?")
    if late.early > FAST:
        out.append(f"{late.early:.1%} of the events were received before they happened: clocks that run fast.")
    return out


def _names(report: CheckReport, days: Days) -> list[str]:
    """Event names that came or went while tracking went on, by day: a renamed event is two half ones."""
    found, out = report.profile, []
    filled = found.table("events").filled["user_id"]
    if filled < 0.5:
        some = f"Only {filled:.0%} of the events name" if filled else "No event names"
        out.append(f"{some} a user: how usage spreads within an account cannot be told.")
    settled = timedelta(days=SETTLED_DAYS)
    often = [event for event in found.event_names if event.events >= OFTEN]
    came: dict[date, list[str]] = {}
    for event in often:
        if event.first.date() - days.first > settled:
            came.setdefault(event.first.date(), []).append(event.name)
    for day, names in sorted(came.items()):
        out.append(f"{_listed(names)} first seen on {day}. If others were renamed to it, map both to one name.")
    gone = [event.name for event in often if days.last - event.last.date() > settled]
    if gone:
        out.append(f"Not seen in the last {SETTLED_DAYS} days: {_listed(gone)}.")
    if found.names > len(found.event_names):
        out.append(f"There are {found.names:,} event names; names made of ids or free text carry no meaning.")
    if report.never_seen:
        out.append(f"The params give a meaning to event names that never occur: {_listed(list(report.never_seen))}.")
    return out


def _lasting(problem: str, workspace: Workspace) -> str:
    """A sentence of the accounting without the folder that is gone when it is read."""
    kept = str(workspace.quarantine)
    said = problem.replace(f"Quarantined to {kept}/", "`expansion ingest` sets them aside in quarantine/")
    return said.replace(kept, "quarantine")


def _counted(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n:,} {what}s"


def _listed(items: list[str], most: int = 5) -> str:
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def _plain(value: Any) -> Any:
    """Dataclasses, mappings, tuples, moments and days as JSON types."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value  # a datetime is a date
