"""How the pictures of the simulated vendor look: canvas, colours, dates, and what every panel of one shares.

Drawn with Agg and without date or version in the file, so equal worlds give equal bytes.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from simulator.calendar import Calendar
from simulator.market import Floats, Ints

INK, QUIET, PALE = "#1f2933", "#9aa5b1", "#cbd2d9"
GREEN, GOLD, BLUE, RED = "#0b6e4f", "#b7791f", "#3b6fb6", "#b0563b"
SLOW, BRISK = "#c9d8ea", "#f6e3b8"  # seasons in which less, and in which more accounts step up
EPOCH = date(1970, 1, 1)  # day 0 of matplotlib's dates


def figure_of(size: tuple[float, float]) -> Any:
    """A figure on its own canvas: no pyplot, no global state, no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(*axes: Any) -> None:
    """Panels without a box around them."""
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(QUIET)
        axis.tick_params(labelsize=8, colors=INK)


def dated(axis: Any) -> None:
    """Months along the x axis, the year below the first of each."""
    from matplotlib.dates import ConciseDateFormatter, MonthLocator

    locator = MonthLocator(bymonth=(1, 3, 5, 7, 9, 11))
    axis.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, show_offset=False)
    formatter.formats[1] = "%b"
    axis.xaxis.set_major_formatter(formatter)


def on_axis(start: date, days: Any) -> Any:
    """Days since `start` as matplotlib counts them."""
    return np.asarray(days) + (start - EPOCH).days


def titled(axis: Any, text: str) -> None:
    axis.set_title(text, loc="left", fontsize=9.5, color=INK)


def shade_seasons(axis: Any, calendar: Calendar, days: int) -> None:
    """Bands behind a panel where everyone steps up less or more than usual."""
    price = np.where(calendar.steps[:days] > 0, calendar.steps[:days], 1.0)
    for sign, colour in ((-1, SLOW), (1, BRISK)):
        for first, after in runs(np.sign(price - 1.0), sign):
            low, high = on_axis(calendar.start, (first, after))
            axis.axvspan(low, high, color=colour, lw=0, zorder=0)


def runs(values: Floats | Ints, wanted: float) -> list[tuple[int, int]]:
    """Unbroken stretches [first, after) of `wanted`."""
    hit = np.concatenate([[False], np.asarray(values) == wanted, [False]])
    edges = np.flatnonzero(hit[1:] != hit[:-1])
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def save(figure: Any, title: str, detail: str, path: Path) -> None:
    """Writes the picture under a headline and a line of detail."""
    from matplotlib.transforms import ScaledTranslation

    lines = detail.count("\n") + 1
    figure.suptitle(f"{title}" + "\n" * lines, x=0.01, ha="left", fontsize=12.5, color=INK, weight="bold")
    down = ScaledTranslation(0, -0.30, figure.dpi_scale_trans)
    figure.text(0.01, 1.0, detail, ha="left", va="top", fontsize=8.5, color=INK, transform=figure.transFigure + down)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None}, pil_kwargs={"optimize": True})


def day_of(start: date, number: int) -> date:
    return start + timedelta(days=number)
