"""How the pictures of an evaluation look: colours, a figure without global state, a file without date or version, so
that equal rows give equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.heldout import CEILING, CHAMPION, WORDS

INK, QUIET, PALE, CHAMPION_COLOUR, CEILING_COLOUR = "#1f2933", "#9aa5b1", "#e4e7eb", "#0b6e4f", "#b7791f"
OTHERS = ("#3b6fb6", "#8f5bb5", "#c2557a", "#29a0b1", "#6b7f3a", "#7a7a7a", "#d1673e", "#4b3f72")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))


def style_of(name: str) -> dict[str, Any]:
    """The line of a candidate, the same in every picture: the colours in the order of `WORDS`, then the same dashed.
    Candidates without words of their own look alike."""
    if name == CHAMPION:
        return {"color": CHAMPION_COLOUR, "lw": 2.4, "zorder": 5}
    if name == CEILING:
        return {"color": CEILING_COLOUR, "lw": 1.6, "ls": "--", "zorder": 4}
    others = [one for one in WORDS if one not in (CHAMPION, CEILING)]
    turn, place = divmod(others.index(name) if name in others else len(others), len(OTHERS))
    return {"color": OTHERS[place], "ls": DASHES[turn % len(DASHES)], "lw": 1.2, "alpha": 0.9, "zorder": 3}


def new_figure(panels: int, size: tuple[float, float] | None = None, **grid: Any) -> tuple[Any, list[Any]]:
    """A figure on its own canvas, no pyplot and no display, with `panels` side by side, or as `grid` (`subplots`)
    says."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size or (5.6 * panels, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(**grid or {"nrows": 1, "ncols": panels}, squeeze=False).ravel().tolist()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8, colors=INK)
    return figure, axes


def save(figure: Any, title: str, detail: str, path: Path) -> None:
    """Writes it with a title and, under it, one line of what the rows are."""
    figure.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=12, color=INK, weight="bold")
    height = float(figure.get_figheight())
    figure.text(0.01, 1 - 0.25 / height, detail, ha="left", va="top", fontsize=8.5, color=INK)
    figure.savefig(path, metadata={"Software": None})


def percent_axis(*axes: Any, log: bool = False) -> None:
    """Ticks as per cent; on a logarithmic axis at 1 and 3 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in axes:
        if log:
            axis.set_major_locator(LogLocator(10, subs=(1.0, 3.0)))
            axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
