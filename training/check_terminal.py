"""The report of `expansion check` on a terminal: rows first, verdict last, whatever the data say taken as text."""

from __future__ import annotations

import os
from typing import TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from training.check_report import CheckReport
from training.check_sheets import Sheet, sheets
from training.readiness import NOT_YET, READY

LISTED = 20  # lines of a table
CELL = 160  # characters of a cell
WIDE = 120  # columns where the output is no terminal
COLOURS = {READY: "green", NOT_YET: "red"}


def show(report: CheckReport, file: TextIO) -> None:
    """Prints the report to `file`, in colours if it is a terminal."""
    width = None if file.isatty() else int(os.environ.get("COLUMNS", WIDE))
    console = Console(file=file, width=width, highlight=False, markup=False, emoji=False)
    for sheet in sheets(report):
        console.print(_drawn(sheet))
        console.print()
    for note in report.notes:
        console.print(Text(f"! {readable(note)}", style="yellow"))
    console.print(_verdict(report))


def readable(text: str, most: int | None = None) -> str:
    """`text` without anything a terminal could obey, cut to `most` characters."""
    clean = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return clean if most is None or len(clean) <= most else f"{clean[: most - 1]}…"


def _drawn(sheet: Sheet) -> RenderableType:
    title = Text(readable(sheet.title), style="bold")
    if not sheet.rows:
        return Group(title, Text(f"  {sheet.empty}"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True)
    for place, name in enumerate(sheet.header):
        table.add_column(name, justify="left" if place < sheet.left else "right", overflow="fold")
    for row in sheet.rows[:LISTED]:
        table.add_row(*(Text(readable(cell, CELL)) for cell in row))
    if len(sheet.rows) > LISTED:
        table.add_row(f"… and {len(sheet.rows) - LISTED:,} more, see --html")
    return Group(title, table)


def _verdict(report: CheckReport) -> Panel:
    ready = report.readiness
    text = Text()
    if report.refused:
        text.append("ingest would refuse this folder:\n", style="bold red")
        text.append("".join(f"  {readable(problem)}\n" for problem in report.problems))
        text.append("What follows is about the rows it would accept.\n\n")
    text.append(ready.verdict, style=f"bold {COLOURS.get(ready.verdict, 'yellow')}")
    text.append(readable(report.verdict.removeprefix(ready.verdict)))
    return Panel(text, title="Verdict", title_align="left", box=box.ROUNDED)
