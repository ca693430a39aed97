"""The report of `expansion check` as plain tables of text, the same ones for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from training.check_report import CheckReport
from training.readiness import Outlook
from warehouse.accounting import EXCLUDED, PHRASES
from warehouse.periods import TARGETS

NAMES = 60  # event names shown; --json has more
UNSURE = "-"


@dataclass(frozen=True)
class Sheet:
    """One table. rows: cells as text, as many as `header`, the first `left` of them words and the others numbers.
    Without rows `empty` is said instead."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    empty: str = ""


def share(value: float) -> str:
    """A share in per cent, small ones with a digit more."""
    if value == 0:
        return "0 %"
    return f"{100 * value:.2g} %" if value < 0.1 else f"{100 * value:.0f} %"


def days_said(value: float) -> str:
    """A span of days in the unit one would use."""
    for unit, length in (("days", 1.0), ("hours", 1 / 24), ("minutes", 1 / 1440)):
        if abs(value) >= length:
            return f"{value / length:,.1f} {unit}"
    return f"{value * 86400:,.0f} s"


def rows_sheet(report: CheckReport) -> Sheet:
    """Where every row went; a line a table that was given, and one below it a rule that was broken."""
    books, rows = report.accounting, []
    given = {count.table for count in books.files}
    for table, accepted in books.counts.items():
        if table not in given:
            continue
        read, broken = books.read(table), books.quarantined(table)
        numbers = (read, accepted, books.duplicate(table), sum(broken.values()))
        rows.append((table, "", *(f"{number:,}" for number in numbers)))
        rows += [("", _rule(rule), "", "", "", f"{n:,} ({share(n / max(read, 1))})") for rule, n in broken.items()]
    for count in books.files:
        if count.table == "source" and count.quarantined:
            aside = sum(count.quarantined.values())
            numbers = (count.read, count.accepted, count.duplicate, aside)
            rows.append((count.file, "malformed lines", *(f"{number:,}" for number in numbers)))
    header = ("table", "rule", "read", "= accepted", "+ duplicate", "+ quarantined")
    return Sheet("Rows: read = accepted + duplicate + quarantined", header, tuple(rows), 2)


def _rule(rule: str) -> str:
    if rule.startswith(EXCLUDED):
        return f"{rule} (declared in params)"
    said = PHRASES[rule][1] if rule in PHRASES else ""
    return f"{rule}: {said}" if said else rule


def clocks_sheet(report: CheckReport) -> Sheet:
    rows = []
    for table in report.profile.tables:
        for place, (clock, (first, last)) in enumerate(table.clocks.items()):
            counts = ("", "") if place else (f"{table.rows:,}", f"{table.accounts:,}")
            span = (f"{first:%Y-%m-%d %H:%M}", f"{last:%Y-%m-%d %H:%M}")
            rows.append(("" if place else table.table, clock, *counts, *span))
    header = ("table", "clock", "rows", "accounts", "first", "last")
    return Sheet(f"Both clocks (UTC); the data end {report.data_end}", header, tuple(rows), 2)


def accounts_sheet(report: CheckReport) -> Sheet:
    found = report.profile
    counts = {
        "accounts": found.accounts,
        "internal": found.internal,
        "with events": found.with_events,
        "with revenue": found.with_revenue,
        "that paid more than they got back": found.concentration.paying if found.concentration else 0,
    }
    rows = tuple((name, f"{count:,}", share(count / max(found.accounts, 1))) for name, count in counts.items())
    return Sheet("Accounts", ("accounts", "number", "share"), rows)


def filled_sheet(report: CheckReport) -> Sheet:
    """Columns that may be empty: how many rows have a value."""
    tables = [table for table in report.profile.tables if table.rows]
    rows = tuple((t.table, ", ".join(f"{name} {share(part)}" for name, part in t.filled.items())) for t in tables)
    return Sheet("Optional columns: share of the rows with a value", ("table", "column"), rows, 2)


def lateness_sheet(report: CheckReport) -> Sheet:
    late = report.profile.lateness
    header = ("received", "events", "share")
    if late is None or late.one_clock:
        why = "there are no events." if late is None else "no event has a received_at of its own."
        return Sheet("Lateness of events", header, (), 1, f"Unknown: {why}")
    half, most, nearly, longest = (days_said(value) for value in (late.p50, late.p95, late.p99, late.longest))
    title = (
        f"Lateness of events: {share(late.late)} over a day late; "
        f"half within {half}, 95 % {most}, 99 % {nearly}, the longest {longest}"
    )
    rows = tuple((said, f"{count:,}", share(count / late.events)) for said, count in late.parts.items())
    return Sheet(title, header, rows)


def events_sheet(report: CheckReport) -> Sheet:
    found, rows = report.profile, []
    for event in found.event_names[:NAMES]:
        meaning, reach = report.meanings.get(event.name, ""), share(event.accounts / max(found.with_events, 1))
        days = (f"{event.first:%Y-%m-%d}", f"{event.last:%Y-%m-%d}")
        rows.append((event.name, meaning, f"{event.events:,}", f"{event.accounts:,}", reach, *days))
    if found.names > NAMES:
        rows.append((f"and {found.names - NAMES:,} more", *("",) * 6))
    plain = found.names - len(report.meanings)
    title = (
        f"Events: {found.names:,} names, {plain:,} without a meaning in params; {report.unknown:,} of unknown accounts"
    )
    header = ("event", "meaning", "events", "accounts", "of active", "first", "last")
    return Sheet(title, header, tuple(rows), 2, "There are no events.")


def concentration_sheet(report: CheckReport) -> Sheet:
    held, header = report.profile.concentration, ("best-paying", "accounts", "of the revenue")
    if held is None:
        return Sheet("Concentration of revenue", header, (), 1, "Nobody paid anything.")
    rows = [(f"{top} %", f"{-(-top * held.paying // 100):,}", share(part)) for top, part in held.top.items()]
    title = f"Concentration of revenue: {held.total:,.2f} {report.currency} from {held.paying:,} paying accounts"
    return Sheet(title, header, tuple(rows))


def floors_sheet(report: CheckReport) -> Sheet:
    header, found = ("tier in params", "floor", "account-months on it"), report.spend
    if found is None:
        return Sheet("Tier floors", header, (), 1, "No account has a run-rate yet: nothing to suggest.")
    rows = tuple((name, f"{floor:,g}", f"{found.standing[name]:,}") for name, floor in found.ladder.items())
    floors = ", ".join(f"{floor:,g}" for floor in found.suggested)
    title = (
        f"Tier floors ({report.currency} per 30 days). Suggested for the paid tiers: {floors}, "
        f"the 50, 80 and 95 % points of {found.months:,} paid account-months"
    )
    return Sheet(title, header, rows)


def specialists_sheet(report: CheckReport) -> Sheet:
    header = ("event", "meaning", "accounts", "of active", "days to first use", "paid well after", "others", "ratio")
    rows = tuple(
        (
            one.name,
            report.meanings.get(one.name, ""),
            f"{one.accounts:,}",
            share(one.share),
            f"{one.days:,.0f}",
            share(one.later),
            share(one.others),
            UNSURE if one.ratio is None else f"{one.ratio:.1f}",
        )
        for one in report.profile.specialists
    )
    title = "Suggested specialist events: used by few, late, and by accounts that pay well afterwards"
    return Sheet(title, header, rows, 2, "No event name stands out.")


def learning_sheet(report: CheckReport) -> Sheet:
    """A line a target and horizon: what there is over all dates, and the test that training would make."""
    ready = report.readiness
    rows = tuple(
        (one.target, f"{one.horizon} days", f"{one.complete:,}", f"{one.positives:,}", f"{one.accounts:,}", *_test(one))
        for one in ready.outlooks
    )
    out = ", ".join(f"{count:,} {reason}" for reason, count in ready.left_out.items()) or "none"
    header = ("target", "horizon", "complete", "positive", "accounts", "tested as of", "known then", "held out")
    return Sheet(f"What there is to learn from: {ready.snapshots:,} snapshots; left out: {out}", header, rows, 2)


def labelled_sheet(report: CheckReport) -> Sheet:
    """A line a target and horizon: snapshots with a label, and those without by reason."""
    outlooks = report.readiness.outlooks
    reasons = tuple(outlooks[0].left_out) if outlooks else ()
    rows = tuple(
        (one.target, f"{one.horizon} days", f"{one.complete:,}", *(f"{count:,}" for count in one.left_out.values()))
        for one in outlooks
    )
    return Sheet("Snapshots with a label, and without by reason", ("target", "horizon", "labelled", *reasons), rows, 2)


def _test(one: Outlook) -> tuple[str, str, str]:
    if one.split is not None:
        return str(one.split.as_of), f"{one.split.accounts:,}", f"{one.split.held_positives:,} of {one.split.held:,}"
    if one.days_short is None:
        return "no test", UNSURE, UNSURE
    return f"in {one.days_short:,} days", UNSURE, UNSURE


def quarters_sheet(report: CheckReport, target: str) -> Sheet:
    """A line a quarter of as_of, a column a horizon."""
    of = [one for one in report.readiness.outlooks if one.target == target]
    rows = []
    for number, quarter in enumerate(of[0].quarters if of else ()):
        counts = [one.quarters[number] for one in of]
        cells = (f"{c.positives:,} of {c.complete:,}" if c.complete else UNSURE for c in counts)
        rows.append((quarter.quarter, *cells))
    header = ("quarter", *(f"{one.horizon} days" for one in of))
    title = f"{target}: positive snapshots of those whose outcome is known, by quarter"
    return Sheet(title, header, tuple(rows), 1, "There are no snapshots.")


def sheets(report: CheckReport) -> Iterator[Sheet]:
    """All of them in the order they are read."""
    for make in (rows_sheet, clocks_sheet, accounts_sheet, filled_sheet, lateness_sheet, events_sheet):
        yield make(report)
    for make in (concentration_sheet, floors_sheet, specialists_sheet, learning_sheet, labelled_sheet):
        yield make(report)
    for target in TARGETS:
        yield quarters_sheet(report, target)
