"""The few pictures of the results page, drawn from the figures kept of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import PLAIN, Run, over, ratio
from benchmarks.one_run import DEPTHS
from training.heldout import CEILING, CHAMPION, words
from training.plot_style import (
    CEILING_COLOUR,
    CHAMPION_COLOUR,
    INK,
    PALE,
    QUIET,
    new_figure,
    percent_axis,
    save,
    style_of,
)

SHOWN = (CHAMPION, CEILING, "logistic", "activity_28d", "spend_lifetime", "pql")


def draw(document: Mapping[str, Any], folder: Path) -> None:
    """Writes them under `folder`; nothing where no plain world was run."""
    plain = [run for run in document["runs"] if run["world"] == PLAIN and "groups" in run]
    if not plain:
        return
    folder.mkdir(parents=True, exist_ok=True)
    _gains(plain, folder / "gains.png")
    _ceiling([run for run in document["runs"] if "groups" in run and run["world"] != "null"], folder / "ceiling.png")
    _calibration(plain, folder / "calibration.png")
    _origins(plain, folder / "origins.png")


def _gains(plain: Sequence[Run], path: Path) -> None:
    figure, axes = new_figure(2)
    for axis, what, label in ((axes[0], "accounts", "accounts that made the move"), (axes[1], "money", "money gained")):
        for name in (n for n in SHOWN if all(n in run["gains"] for run in plain)):
            curves = np.array([run["gains"][name][what] for run in plain])
            axis.plot(DEPTHS, curves.mean(axis=0), **style_of(name), label=words(name))
            if len(plain) > 1 and name == CHAMPION:
                axis.fill_between(
                    DEPTHS, curves.min(axis=0), curves.max(axis=0), color=CHAMPION_COLOUR, alpha=0.15, lw=0
                )
        axis.plot([0, 100], [0, 1], color=QUIET, lw=1, ls=(0, (2, 3)), label="in random order")
        axis.set(xlim=(0, 60), ylim=(0, 1.02), xlabel="accounts called, best first (%)")
        axis.set_title(f"Share of the {label}", loc="left", fontsize=10, color=INK)
        percent_axis(axis.yaxis)
    axes[1].legend(loc="lower right", fontsize=8, frameon=False)
    save(figure, "Gains: expansion within 180 days, plain world", _seeds(plain), path)


def _ceiling(runs: Sequence[Run], path: Path) -> None:
    worlds = list(dict.fromkeys(run["world"] for run in runs))
    names = [n for n in SHOWN if n != CEILING and all(n in run["groups"]["all"]["candidates"] for run in runs)]
    figure, (axis,) = new_figure(1, (1.6 * len(worlds) + 3.2, 4.4))
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        for place, world in enumerate(worlds):
            own = [run for run in runs if run["world"] == world]
            found = over(own, partial(ratio, group="all", one=name, other=CEILING, figure="pr_auc"))
            if found is None:
                continue
            x = place + width * (number - (len(names) - 1) / 2)
            label = words(name) if place == 0 else None
            style = style_of(name)
            hatch = None if style.get("ls", "-") == "-" else "///"  # colours come round again, as dashes do for lines
            axis.bar(
                x, found.value, width * 0.92, color=style["color"], hatch=hatch, edgecolor="white", lw=0, label=label
            )
            if found.low < found.high:
                spread = [[found.value - found.low], [found.high - found.value]]
                axis.errorbar(x, found.value, yerr=spread, fmt="none", ecolor=INK, elinewidth=1)
    axis.axhline(1, color=CEILING_COLOUR, lw=1.4, ls="--")
    axis.set_xticks(range(len(worlds)), worlds)
    axis.set_ylim(0, 1.25)
    percent_axis(axis.yaxis)
    axis.legend(loc="upper right", fontsize=8, frameon=False, ncols=3)
    save(figure, "PR-AUC as a share of the ceiling's", "All accounts at risk; lines: lowest and highest seed.", path)


def _calibration(plain: Sequence[Run], path: Path) -> None:
    figure, (axis,) = new_figure(1, (7.0, 4.2))
    place = np.arange(1, 11)

    def total(key: str) -> np.ndarray:
        return np.asarray(np.sum([[row[key] for row in run["deciles"]] for run in plain], axis=0))

    seen, expected = total("observed"), total("expected")
    axis.bar(place, seen, width=0.72, color=PALE, edgecolor=QUIET, lw=0.6, label="seen")
    axis.plot(place, expected, "D", ms=6, color=CHAMPION_COLOUR, label="expected by the model")
    for x, one, other in zip(place, seen, expected, strict=True):
        text = f"{one:,.0f}\n({other:,.0f})"
        axis.annotate(text, (x, max(one, other)), (0, 5), textcoords="offset points", ha="center", fontsize=7.5)
    axis.set_xticks(place)
    axis.set_ylim(0, 1.15 * max(seen.max(), expected.max()))
    axis.set(xlabel="tenth of the accounts by probability, lowest first", ylabel="accounts that made the move")
    axis.legend(loc="upper left", fontsize=8.5, frameon=False)
    save(figure, "Seen against expected, plain world", _seeds(plain), path)


def _origins(plain: Sequence[Run], path: Path) -> None:
    figure, (axis,) = new_figure(1, (7.0, 4.2))
    rows = [row for run in plain for row in run["origins"]]
    dates = sorted({row["as_of"] for row in rows})
    for name in (n for n in SHOWN if n in {row["candidate"] for row in rows}):
        style = style_of(name)
        found = [[r["pr_auc"] for r in rows if (r["as_of"], r["candidate"]) == (day, name)] for day in dates]
        value = [float(np.mean(one)) if one else np.nan for one in found]
        axis.plot(dates, value, marker="o", ms=4, label=words(name), **style)
        if len(plain) > 1:
            low, high = ([end(one) if one else np.nan for one in found] for end in (min, max))
            axis.fill_between(dates, low, high, color=style["color"], alpha=0.12, lw=0)
    axis.set_ylim(bottom=0)
    axis.set(ylabel="PR-AUC")
    axis.legend(loc="upper left", fontsize=8, frameon=False, ncols=2)
    detail = _seeds(plain, "each held-out date by itself") + (
        "; bands: lowest to highest seed" if len(plain) > 1 else ""
    )
    save(figure, "Stability over the held-out dates, plain world", detail, path)


def _seeds(plain: Sequence[Run], dates: str = "all held-out dates together") -> str:
    accounts = max(run["accounts"] for run in plain)
    count = f"{len(plain)} seeds" if len(plain) > 1 else "one seed"
    return f"{accounts:,} accounts, {count}, {dates}"
