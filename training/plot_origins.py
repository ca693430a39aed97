"""Pictures over several origins: whether the figures hold from season to season, and whether totals do by decile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from training import metrics
from training.headline import TOP_PERCENT, rival_of, strongest_rule
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
from training.rolling import Rolled

FIGURES = (  # figure, what its axis says, its value in random order (None: the base rate)
    ("pr_auc", "PR-AUC", None),
    ("lift_10", "lift at 10 %", 1.0),
    (
        f"revenue_captured_{TOP_PERCENT}",
        f"share of the money gained that the top {TOP_PERCENT} % hold",
        TOP_PERCENT / 100,
    ),
)


def origins_picture(one: Rolled, path: Path) -> None:
    """PR-AUC, lift and money of the champion at every origin with its interval, beside the strongest rule, whom a buyer
    would follow without it, and the ceiling."""
    newest = one.newest
    beside = [strongest_rule(newest, "pr_auc"), rival_of(newest, f"revenue_captured_{TOP_PERCENT}"), CEILING]
    names = [CHAMPION, *(n for n in dict.fromkeys(beside) if n is not None and n in newest.figures)]
    figure, axes = new_figure(3, (13.0, 4.6))
    days = [table.rows.as_of.isoformat() for table in one.each]
    place = np.arange(len(days))
    for axis, (what, label, chance) in zip(axes, FIGURES, strict=True):
        for number, name in enumerate(names):
            _line(axis, one, name, what, place + 0.06 * (number - (len(names) - 1) / 2))
        rates = [float(t.rows.label.mean()) if chance is None else chance for t in one.each]
        axis.plot(place, rates, color=QUIET, lw=1, ls=(0, (2, 3)), zorder=1, label="in random order")
        axis.set(xlim=(-0.4, len(days) - 0.6))
        axis.set_ylim(bottom=0)
        axis.set_xticks(place, [f"{d}\n{int(t.rows.label.sum()):,} moved" for d, t in zip(days, one.each, strict=True)])
        axis.set_title(label, loc="left", fontsize=10, color=INK)
    percent_axis(axes[2].yaxis)
    lines = axes[0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=len(names) + 1, fontsize=8.5, frameon=False)
    rows = newest.rows
    title = f"Stability: {rows.target.replace('_', ' ')} within {rows.horizon} days, date by date"
    detail = (
        "At each date the recipe knew only what had happened by then. Bars: the model's 95 % intervals, each date's"
    )
    save(figure, title, f"{detail} accounts resampled. Points of one date stand side by side to be told apart.", path)


def _line(axis: Any, one: Rolled, name: str, what: str, place: np.ndarray) -> None:
    known = [(x, table) for x, table in zip(place, one.each, strict=True) if name in table.figures]
    if not known:
        return
    x = [x for x, _ in known]
    value = np.array([table.figures[name][what] for _, table in known])
    axis.plot(x, value, marker="o", ms=5 if name == CHAMPION else 3.5, label=words(name), **style_of(name))
    if name == CHAMPION:
        bounds = [table.interval(name, what) or (v, v) for v, (_, table) in zip(value, known, strict=True)]
        spread = np.abs(np.array(bounds).T - value)
        axis.errorbar(x, value, yerr=spread, fmt="none", ecolor=CHAMPION_COLOUR, elinewidth=1.2, capsize=3, zorder=4)


def deciles_picture(one: Rolled, path: Path) -> None:
    """Positives seen in each decile of the probability, with Wilson's interval, beside those expected."""
    rows = one.pool.rows
    said = rows.candidates[CHAMPION].probability
    assert said is not None
    found = metrics.observed_expected(rows.label, said)
    figure, (axis,) = new_figure(1, (7.4, 4.6))
    place = np.arange(1, len(found) + 1)
    seen = np.array([part.observed for part in found])
    around = np.abs(np.array([[part.low, part.high] for part in found]).T - seen)
    bar = {"color": PALE, "edgecolor": QUIET, "lw": 0.6, "zorder": 2}
    axis.bar(place, seen, width=0.72, label="seen (first number), 95 % interval", **bar)
    axis.errorbar(place, seen, yerr=around, fmt="none", ecolor=QUIET, elinewidth=1.2, capsize=3, zorder=3)
    expected = [part.expected for part in found]
    axis.plot(place, expected, "D", ms=6, color=CHAMPION_COLOUR, label="expected (in brackets)", zorder=4)
    if (ceiling := rows.candidates.get(CEILING)) is not None and ceiling.probability is not None:
        true = [ceiling.probability[part].sum() for part in metrics.equal_parts(said, metrics.DECILES)]
        axis.plot(place, true, "_", ms=20, mew=2, color=CEILING_COLOUR, label="true expectation", zorder=4)
    for x, part in zip(place, found, strict=True):
        text = f"{part.observed:,}\n({part.expected:,.0f})"
        axis.annotate(text, (x, max(part.high, part.expected)), (0, 5), textcoords="offset points", ha="center",
                      fontsize=7.5, color=INK)  # fmt: skip
    each = ", once a date" if one.pool.origins > 1 else ""
    axis.set_ylim(0, 1.16 * max(max(part.high, part.expected) for part in found))
    axis.set_xticks(place)
    axis.set(xlabel="tenth of the accounts by probability, lowest first", ylabel=f"accounts that made the move{each}")
    axis.legend(loc="upper left", fontsize=8.5, frameon=False)
    share = seen[-1] / max(seen.sum(), 1)
    axis.set_title(f"The highest tenth holds {share:.0%} of those that moved", loc="left", fontsize=10, color=INK)
    dates = f"{one.pool.origins} dates together" if one.pool.origins > 1 else f"as of {rows.as_of}"
    detail = f"{int(seen.sum()):,} seen, {sum(expected):,.0f} expected among {len(rows.label):,} rows, {dates}"
    title = f"Seen against expected: {rows.target.replace('_', ' ')} within {rows.horizon} days"
    save(figure, title, detail, path)
