"""The pictures of the check page as SVG text: no library, no script, no request, and every word of the data escaped.

Each is drawn on `WIDTH` x `HEIGHT` units, scales with the page, and has a title and a description to be heard.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

from training.floors import Spend
from training.readiness import Outlook
from warehouse.periods import month_starts
from warehouse.profile import Concentration, Lateness
from warehouse.volume import Days

WIDTH, HEIGHT = 860.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 28.0, 14.0, 42.0
INK, QUIET, PALE, GREEN, GOLD, RED = "#1c2623", "#55625d", "#dfe5e2", "#1f6f54", "#a86a00", "#b3261e"
HORIZON_COLOURS = ("#0f4f3c", "#3a8f70", "#7db89f", "#b9d8cb")
LETTER = 6.4  # units that a letter of the labels takes, about


@dataclass(frozen=True)
class Frame:
    """A plotting area: data from (x0, y0) at the lower left to (x1, y1) at the upper right."""

    x0: float
    x1: float
    y0: float
    y1: float
    left: float = LEFT
    top: float = TOP

    def x(self, value: float) -> float:
        return self.left + (value - self.x0) / (self.x1 - self.x0) * (WIDTH - RIGHT - self.left)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (HEIGHT - BOTTOM - self.top)

    def grid(self, ticks: Iterable[tuple[float, str]]) -> str:
        """Horizontal lines with their labels."""
        return "".join(
            _line(self.left, self.y(at), WIDTH - RIGHT, self.y(at), PALE)
            + _text(self.left - 7, self.y(at) + 4, said, "end")
            for at, said in ticks
        )

    def below(self, ticks: Iterable[tuple[float, str]]) -> str:
        """Labels under the x axis."""
        foot = HEIGHT - BOTTOM
        base = _line(self.left, foot, WIDTH - RIGHT, foot, QUIET)
        return base + "".join(
            _line(self.x(at), foot, self.x(at), foot + 4, QUIET) + _text(self.x(at), foot + 17, said, "middle")
            for at, said in ticks
        )


def concentration_plot(held: Concentration) -> str:
    frame = Frame(0, 100, 0, 100)
    percents = [(float(at), f"{at} %") for at in range(0, 101, 20)]
    line = " ".join(f"{frame.x(100 * x):.1f},{frame.y(100 * y):.1f}" for x, y in held.curve)
    body = frame.grid(percents) + frame.below(percents)
    body += _line(frame.x(0), frame.y(0), frame.x(100), frame.y(100), QUIET, dashed=True)
    body += _text(frame.x(66), frame.y(60), "if all paid alike", "start", QUIET)
    body += f'<polyline points="{line}" fill="none" stroke="{GREEN}" stroke-width="2.5"/>'
    for top in (10, 50):
        accounts = -(-top * held.paying // 100)
        x, y = frame.x(100 * accounts / held.paying), frame.y(100 * held.top[top])
        body += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{GREEN}"/>'
        body += _text(x + 9, y + 18, f"{top} % hold {100 * held.top[top]:.0f} %", "start")
    body += _axis("paying accounts, the best first", "revenue")
    said = ", ".join(f"the best {top} % hold {100 * part:.0f} %" for top, part in held.top.items())
    return svg(
        "concentration", "How few accounts hold the revenue", f"Of {held.paying:,} paying accounts {said}.", body
    )


def days_plot(days: Days) -> str:
    n, most = len(days.counts), max(days.counts)
    frame = Frame(0, max(n, 2), 0, most * 1.06, top=TOP + 20)
    steps = ticks(0, most)
    body = frame.grid((at, f"{at:,.0f}") for at in steps) + frame.below(_dates(days.first, n))
    points = " ".join(f"{frame.x(i + 0.5):.1f},{frame.y(count):.1f}" for i, count in enumerate(days.counts))
    body += f'<polyline points="{points}" fill="none" stroke="{GREEN}" stroke-width="1.2" stroke-linejoin="round"/>'
    for day in days.missing:
        at = frame.x((day - days.first).days + 0.5)
        count = days.counts[(day - days.first).days]
        body += f'<g class="missing"><title>{day}: {count:,} events</title>'
        body += _line(at, frame.top, at, HEIGHT - BOTTOM, RED, dashed=True)
        body += f'<path d="M{at - 4:.1f} {frame.top - 7:.1f}h8l-4 7z" fill="{RED}"/></g>'
    for odd in days.odd:
        x, y = frame.x((odd.day - days.first).days + 0.5), frame.y(odd.events)
        body += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="none" stroke="{GOLD}" stroke-width="1.8">'
        body += f"<title>{odd.day}: {odd.events:,}, usually {odd.usual:,.0f}</title></circle>"
    legend = [(RED, f"▼ missing: {len(days.missing):,}")] if days.missing else []
    legend += [(GOLD, f"○ odd: {len(days.odd):,}")] if days.odd else []
    for place, (colour, said) in enumerate(legend):
        body += _text(LEFT + 150 * place, 13, said, "start", colour)
    body += _axis("day it happened (UTC)", "")
    told = f"From {days.first} to {days.last}, at most {most:,} a day; {len(days.missing):,} days missing"
    return svg("days", "Events a day", f"{told}, {len(days.odd):,} odd.", body)


def lateness_plot(late: Lateness) -> str:
    """A bar a part, its share written beside it: the late ones are few, and must be seen."""
    widest = max(late.parts.values())
    row, left, room = (HEIGHT - 12) / len(late.parts), 150.0, WIDTH - 150.0 - 120.0
    body = ""
    for place, (said, count) in enumerate(late.parts.items()):
        y, long = 6 + row * place, room * count / widest
        colour = GREEN if said in ("at once", "within an hour", "within a day") else GOLD
        body += _text(left - 10, y + row / 2 + 4, said, "end")
        body += _bar(left, y + row * 0.18, max(long, 1.0 if count else 0.0), row * 0.64, colour)
        body += _text(left + long + 8, y + row / 2 + 4, f"{100 * count / late.events:.3g} %  ({count:,})", "start")
    told = ", ".join(f"{count:,} {said}" for said, count in late.parts.items() if count)
    return svg("lateness", "How late events are received", f"Events: {told}.", body)


def quarters_plot(outlooks: Sequence[Outlook]) -> str:
    """Positive snapshots by quarter, a bar a horizon; none where no outcome is known yet. One target's outlooks."""
    target, quarters = outlooks[0].target, [quarter.quarter for quarter in outlooks[0].quarters]
    most = max((quarter.positives for one in outlooks for quarter in one.quarters), default=0)
    frame = Frame(0, max(len(quarters), 1), 0, max(most, 1) * 1.06, top=TOP + 20)
    every = math.ceil(len(quarters) / 10)
    body = frame.grid((at, f"{at:,.0f}") for at in ticks(0, max(most, 1)) if at == int(at))
    body += frame.below((i + 0.5, quarter) for i, quarter in enumerate(quarters) if i % every == 0)
    wide = 0.8 / len(outlooks)
    for place, one in enumerate(outlooks):
        colour = HORIZON_COLOURS[place % len(HORIZON_COLOURS)]
        for i, quarter in enumerate(one.quarters):
            x, y = frame.x(i + 0.1 + wide * place), frame.y(quarter.positives)
            said = f"{quarter.quarter}, {one.horizon} days: {quarter.positives:,} of {quarter.complete:,}"
            body += f"<g><title>{said}</title>"
            body += _bar(x, y, frame.x(wide) - frame.x(0) - 1, HEIGHT - BOTTOM - y, colour) + "</g>"
        body += _bar(LEFT + 110 * place, 5, 11, 11, colour) + _text(
            LEFT + 16 + 110 * place, 14, f"{one.horizon} days", "start"
        )
    body += _axis("quarter of the snapshot", "")
    told = "; ".join(f"within {one.horizon} days {one.positives:,} of {one.complete:,} snapshots" for one in outlooks)
    name = target.replace("_", " ")
    return svg(f"quarters-{target}", f"Positive snapshots by quarter: {name}", f"{name}: {told}.", body)


def spend_plot(spend: Spend, currency: str) -> str:
    """Account-months by run-rate on a log axis, with the floors suggested and the floors in params."""
    edges = [math.log10(edge) for edge in spend.edges]
    paid = {name: floor for name, floor in spend.ladder.items() if floor > 0}
    floors = [math.log10(floor) for floor in (*spend.suggested, *paid.values())]
    low, high = min(edges[0], *floors), max(edges[-1], *floors)
    pad = 0.03 * (high - low) or 0.1
    most = max(spend.counts)
    frame = Frame(low - pad, high + pad, 0, most * 1.06, top=TOP + 51)
    body = frame.grid((at, f"{at:,.0f}") for at in ticks(0, most) if at == int(at))
    decades = [power for power in range(math.floor(low), math.ceil(high) + 1) if low - pad <= power <= high + pad]
    marks = [p + s for p in range(math.floor(low) - 1, math.ceil(high) + 1) for s in (0.0, math.log10(3))]
    shown = decades if len(decades) > 3 else [mark for mark in marks if low - pad <= mark <= high + pad]
    body += frame.below((at, f"{10**at:,.2g}" if at < 1 else f"{round(10**at, -int(at)):,.0f}") for at in shown)
    for i, count in enumerate(spend.counts):
        x, y = frame.x(edges[i]), frame.y(count)
        said = f"{spend.edges[i]:,.4g} to {spend.edges[i + 1]:,.4g}: {count:,} account-months"
        body += f"<g><title>{said}</title>"
        body += _bar(x, y, frame.x(edges[i + 1]) - x - 1, HEIGHT - BOTTOM - y, HORIZON_COLOURS[2]) + "</g>"
    body += _marks(frame, {f"{floor:,g}": floor for floor in spend.suggested}, (13.0,), GREEN, False)
    body += _marks(frame, paid, (30.0, 47.0), QUIET, True)
    body += _text(2, 13, "suggested", "start", GREEN) + _text(2, 30, "in params", "start", QUIET)
    body += _axis(f"run-rate, {currency} per 30 days (log scale)", "")
    told = f"{spend.months:,} account-months with a run-rate from {spend.edges[0]:,.4g} to {spend.edges[-1]:,.4g}"
    said = ", ".join(f"{floor:,g}" for floor in spend.suggested)
    return svg("spend", "What accounts pay, and where tiers could begin", f"{told}; suggested floors: {said}.", body)


def _marks(frame: Frame, marked: dict[str, float], heights: Sequence[float], colour: str, dashed: bool) -> str:
    """A line at each value of a log axis, its label at the first of `heights` where it runs into no other; one that
    fits nowhere is left to the table."""
    body, free = "", {height: 0.0 if place else LEFT for place, height in enumerate(heights)}  # the first has a name
    for said, value in sorted(marked.items(), key=lambda item: item[1]):
        at, half = frame.x(math.log10(value)), LETTER * len(said[:16]) / 2
        height = next((height for height in heights if at - half > free[height]), None)
        body += _line(at, frame.top - 2 if height is None else height + 4, at, HEIGHT - BOTTOM, colour, dashed)
        if height is not None:
            body += _text(at, height, said[:16], "middle", colour)
            free[height] = at + half + LETTER
    return body


def svg(name: str, title: str, told: str, body: str) -> str:
    """`name` is unique in the page; `title` and `told` are plain text, `body` is SVG."""
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-labelledby="{name}-title {name}-told">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-told">{escape(told)}</desc>{body}</svg>'
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers in [low, high], evenly spaced by 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [step * k for k in range(first, math.floor(high / step) + 1)]


def _dates(first: date, n: int) -> list[tuple[float, str]]:
    """At most nine month starts, evenly spaced, by their place among the `n` days."""
    starts = month_starts(first, date.fromordinal(first.toordinal() + n - 1))
    return [((day - first).days, f"{day:%b %Y}") for day in starts[:: math.ceil(len(starts) / 8) or 1]]


def _axis(below: str, beside: str) -> str:
    said = _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, below, "middle", QUIET)
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'<text transform="translate(14 {middle:g}) rotate(-90)" text-anchor="middle" fill="{QUIET}">'
    return said + (f"{turned}{escape(beside)}</text>" if beside else "")


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}"{dash}/>'


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{colour}"/>'


def _text(x: float, y: float, said: str, anchor: str, colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(said)}</text>'
