"""The report of `expansion check` as one HTML page that needs nothing else: no script, no request, printable, readable
by ear. Everything that comes from the data or the params is escaped, and control characters are replaced."""

from __future__ import annotations

from html import escape

from training.check_plots import concentration_plot, days_plot, lateness_plot, quarters_plot, spend_plot
from training.check_report import CheckReport
from training.check_sheets import (
    Sheet,
    accounts_sheet,
    clocks_sheet,
    concentration_sheet,
    events_sheet,
    filled_sheet,
    floors_sheet,
    labelled_sheet,
    lateness_sheet,
    learning_sheet,
    quarters_sheet,
    rows_sheet,
    specialists_sheet,
)
from training.check_terminal import readable
from training.readiness import NOT_YET, READY
from warehouse.periods import TARGETS

STYLE = """
:root {
  --ink: #1c2623; --soft: #55625d; --line: #dfe5e2; --ground: #f5f7f6;
  --green: #1f5f4a; --amber: #7a4a00; --red: #9b1c1c;
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 8px 24px 48px; }
h1 { font-size: 25px; margin: 22px 0 2px; }
h2 { font-size: 19px; margin: 34px 0 4px; }
.lead { color: var(--soft); margin: 0 0 12px; }
.sheet, figure, .verdict, .notes {
  background: #fff; border: 1px solid var(--line); border-radius: 10px; margin: 12px 0; padding: 12px 18px;
}
.verdict { border-left: 8px solid var(--amber); }
.verdict.ready { border-left-color: var(--green); }
.verdict.not { border-left-color: var(--red); }
.verdict p { margin: 6px 0; }
.word { font-size: 21px; font-weight: 700; }
.word::first-letter { text-transform: uppercase; }
.refused { color: var(--red); }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 3px solid #2a7de1; outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption, figcaption { text-align: left; font-weight: 600; padding: 2px 0 8px; }
th, td {
  text-align: left; vertical-align: top; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line);
  font-weight: 400; overflow-wrap: anywhere;
}
thead th { color: var(--soft); font-size: 13px; font-weight: 600; overflow-wrap: normal; }
tbody tr:last-child > * { border-bottom: 0; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:last-child, th:last-child { padding-right: 0; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, Arial, sans-serif; }
@media print { body { background: #fff; } .sheet, figure, .verdict { break-inside: avoid; } }
"""
# nothing may be fetched or run, whatever the data held
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: CheckReport) -> str:
    """The whole page as text; UTF-8."""
    found = report.profile
    body = [
        "<h1>What this data folder holds, and what it is good for</h1>",
        f'<p class="lead">Looked at {report.now:%Y-%m-%d %H:%M}; data to {report.data_end}. All times are UTC.</p>',
        _verdict(report),
        _notes(report),
        "<h2>Rows and clocks</h2>",
        _sheet(rows_sheet(report)),
        _sheet(clocks_sheet(report)),
        _sheet(accounts_sheet(report)),
        _sheet(filled_sheet(report)),
        "<h2>Events</h2>",
        _figure("Events a day", days_plot(found.days)) if found.days else "",
        _sheet(_days(report)) if found.days else "",
        _figure("How late events are received", lateness_plot(found.lateness))
        if found.lateness and not found.lateness.one_clock
        else "",
        _sheet(lateness_sheet(report)),
        _sheet(events_sheet(report)),
        _sheet(specialists_sheet(report)),
        "<h2>Revenue and tiers</h2>",
        _figure("How few accounts hold the revenue", concentration_plot(found.concentration))
        if found.concentration
        else "",
        _sheet(concentration_sheet(report)),
        _figure("What accounts pay, and where tiers could begin", spend_plot(report.spend, report.currency))
        if report.spend
        else "",
        _sheet(floors_sheet(report)),
        "<h2>What there is to learn from</h2>",
        _sheet(learning_sheet(report)),
        _sheet(labelled_sheet(report)),
    ]
    for target in TARGETS:
        of = [one for one in report.readiness.outlooks if one.target == target]
        if of and of[0].quarters:
            name = target.replace("_", " ")
            body.append(_figure(f"Positive snapshots by quarter: {name}", quarters_plot(of)))
        body.append(_sheet(quarters_sheet(report, target)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Data check: {escape(report.readiness.verdict)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{chr(10).join(part for part in body if part)}\n</main></body></html>\n"
    )


def _verdict(report: CheckReport) -> str:
    ready = report.readiness
    kind = "not" if report.refused else {READY: "ready", NOT_YET: "not"}.get(ready.verdict, "thin")
    refused = ""
    if report.refused:
        problems = "".join(f"<li>{_text(problem)}</li>" for problem in report.problems)
        refused = (
            f'<p class="refused"><strong>Ingest would refuse this folder:</strong></p><ul>{problems}</ul>'
            "<p>What follows is about the rows it would accept.</p>"
        )
    rest = report.verdict.removeprefix(f"{ready.verdict}. ")
    said = f'<p class="word">{_text(ready.verdict)}</p><p>{_text(rest)}</p>'
    return f'<section class="verdict {kind}" aria-label="Verdict">{refused}{said}</section>'


def _notes(report: CheckReport) -> str:
    if not report.notes:
        return ""
    items = "".join(f"<li>{_text(note)}</li>" for note in report.notes)
    return f'<section class="notes" aria-label="Worth a look"><strong>Worth a look</strong><ul>{items}</ul></section>'


def _days(report: CheckReport) -> Sheet:
    """The missing and odd days that the picture marks."""
    days = report.profile.days
    rows: list[tuple[str, ...]] = []
    if days is not None:
        rows = [(str(day), "missing", f"{days.counts[(day - days.first).days]:,}", "") for day in days.missing]
        rows += [(str(odd.day), "odd", f"{odd.events:,}", f"{odd.usual:,.0f}") for odd in days.odd]
    quiet = f"; {days.quiet:,} other days without events are as usual" if days and days.quiet else ""
    header = ("day", "what", "events", "usually")
    return Sheet(f"Missing and odd days{quiet}", header, tuple(sorted(rows)), 2, "None.")


def _sheet(sheet: Sheet) -> str:
    if not sheet.rows:
        return f'<section class="sheet"><strong>{_text(sheet.title)}</strong><p>{_text(sheet.empty)}</p></section>'
    head = "".join(f'<th scope="col"{_kind(sheet, i)}>{_text(name)}</th>' for i, name in enumerate(sheet.header))
    rows = "".join(f"<tr>{''.join(_cell(sheet, i, cell) for i, cell in enumerate(row))}</tr>" for row in sheet.rows)
    name = _text(sheet.title)
    return (
        f'<section class="sheet"><div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        f"<table><caption>{name}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _cell(sheet: Sheet, place: int, cell: str) -> str:
    if place == 0 and cell:
        return f'<th scope="row">{_text(cell)}</th>'
    return f"<td{_kind(sheet, place)}>{_text(cell)}</td>"


def _kind(sheet: Sheet, place: int) -> str:
    return "" if place < sheet.left else ' class="num"'


def _figure(caption: str, drawn: str) -> str:
    return f"<figure><figcaption>{_text(caption)}</figcaption>{drawn}</figure>"


def _text(said: str) -> str:
    return escape(readable(said))
