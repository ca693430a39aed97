"""Pictures of the evaluation: who is found by calling how many, and whether a probability means what it says.

`draw` makes all of them; those of several origins and of a team's capacity are drawn in modules of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training import metrics
from training.heldout import CEILING, CHAMPION, HeldOut, words
from training.plot_capacity import capacity_picture, learning_picture, reasons_picture
from training.plot_origins import deciles_picture, origins_picture
from training.plot_style import CEILING_COLOUR, CHAMPION_COLOUR, INK, QUIET, new_figure, percent_axis, save, style_of
from training.ranking import Floats, Indices, Ladder, Ranking
from training.rolling import Rolled

BINS = 10  # equal-mass bins of the calibration picture; fewer when there are few positives
SHOWN = 5  # candidates beside champion and ceiling that the gains show: those with the most money in the top tenth
Document = Mapping[str, Any]


def draw(rolled: Sequence[Rolled], said: Document, train: Document, artifacts: Path) -> list[str]:
    """The pictures of each of `rolled` that has positives, then those of the run. Old pictures go first.

    Args:
        said: what evaluation.json says. train: what train.json says; its `learning_curve` is drawn if it has one.

    Returns the paths relative to `artifacts`, in order.
    """
    folder = artifacts / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    out: list[str] = []

    def to(name: str) -> Path:
        out.append(f"plots/{name}.png")
        return folder / f"{name}.png"

    for one in rolled:
        rows = one.newest.rows
        if not rows.label.any():
            continue
        stem = f"{rows.target}_{rows.horizon}"
        _gains(rows, to(f"{stem}_gains"))
        if rows.candidates[CHAMPION].probability is not None:
            _calibration(rows, to(f"{stem}_calibration"))
            deciles_picture(one, to(f"{stem}_deciles"))
        if len(one.each) > 1:
            origins_picture(one, to(f"{stem}_origins"))
    if any(row["lift"] is not None for row in said["capacity"]):
        capacity_picture(said, to("capacity"))
    if curve := train.get("learning_curve"):
        learning_picture(curve, to("learning_curve"))
    summary = artifacts / "reasons_summary.json"
    if summary.exists():
        reasons_picture(json.loads(summary.read_text(encoding="utf-8")), to("reasons"))
    return out


def calibration_parts(label: Floats, probability: Floats) -> list[Indices]:
    """Row numbers of equal-mass bins along the probability, lowest first."""
    return metrics.equal_parts(probability, int(np.clip(label.sum() // 5, 2, BINS)))


def title_of(rows: HeldOut) -> str:
    return f"{rows.target.replace('_', ' ')} within {rows.horizon} days"


def _gains(rows: HeldOut, path: Path) -> None:
    figure, axes = new_figure(2)
    gain = np.maximum(rows.increment, 0.0)
    order = _by_money(rows, gain)
    for axis, wanted, what in ((axes[0], rows.label, "accounts that made the move"), (axes[1], gain, "revenue gained")):
        for name in order:
            scored = rows.candidates[name]
            x, y = metrics.gains(wanted, scored.score if axis is axes[0] else scored.money_score)
            axis.plot(100 * x, 100 * y, **style_of(name), label=words(name))
            if name == CHAMPION:
                held = 100 * float(np.interp(0.1, x, y))
                axis.plot([10], [held], "o", ms=6, color=CHAMPION_COLOUR, zorder=6)
                axis.set_title(f"The first 10 % called hold {held:.0f} % of the {what}", loc="left", fontsize=10)
        axis.plot([0, 100], [0, 100], color=QUIET, lw=1, ls=(0, (2, 3)), zorder=1, label="in random order")
        axis.axvline(10, color=QUIET, lw=0.8, zorder=0)
        axis.set(xlim=(0, 100), ylim=(0, 101.5), xlabel="accounts called, best first (%)", ylabel=f"{what} (%)")
    axes[1].legend(loc="lower right", fontsize=8, frameon=False)
    counts = f"{int(rows.label.sum()):,} of {len(rows.label):,} accounts made it, as of {rows.as_of}"
    save(figure, f"Gains: {title_of(rows)}", counts, path)


def _by_money(rows: HeldOut, gain: Floats) -> list[str]:
    """Champion and ceiling, then the best others by money in the top tenth, and the best by accounts; the base rate is
    the diagonal anyway."""
    others = [name for name in rows.candidates if name not in (CHAMPION, CEILING, "base_rate")]
    held = {name: float(Ladder.of(Ranking.of(rows.candidates[name].money_score), gain).top(10)) for name in others}
    ceiling = [CEILING] if CEILING in rows.candidates else []
    ordered = sorted(others, key=lambda name: (-held[name], name))
    finder = max(ordered, key=lambda name: rows.candidates[name].figures()["lift_10"], default=None)
    return [CHAMPION, *ceiling, *(n for n in ordered if n in ordered[:SHOWN] or n == finder)]


def _calibration(rows: HeldOut, path: Path) -> None:
    """Rate seen against probability said, both on log axes because the interesting tenth of a rare event lies far above
    the rest; below it, how many accounts were told what. A ceiling adds what a dot's accounts truly had."""
    probability = rows.candidates[CHAMPION].probability
    assert probability is not None
    figure, (axis, counts) = new_figure(2, (6.4, 6.0), nrows=2, ncols=1, sharex=True, height_ratios=(3.2, 1))
    parts = calibration_parts(rows.label, probability)
    positives, n = np.array([int(rows.label[p].sum()) for p in parts]), np.array([len(p) for p in parts])
    bars = np.array([metrics.wilson(int(p), int(m)) for p, m in zip(positives, n, strict=True)])
    said = np.array([probability[p].mean() for p in parts])
    low = max(min(said[said > 0].min(initial=1.0), 0.5 / n.max()) / 2, 1e-6)
    high = min(1.0, 1.3 * max(float(probability.max()), float(bars[:, 1].max())))
    said, seen, bars = np.maximum(said, low), np.maximum(positives / n, low), np.maximum(bars, low)
    axis.plot([low, 1], [low, 1], color=QUIET, lw=1, ls=(0, (2, 3)), label="as said")
    axis.errorbar(said, seen, yerr=np.abs(bars.T - seen), fmt="o", ms=5, color=CHAMPION_COLOUR, elinewidth=1,
                  label="seen, with 95 % interval")  # fmt: skip
    if (ceiling := rows.candidates.get(CEILING)) is not None and ceiling.probability is not None:
        true = [ceiling.probability[part].mean() for part in parts]
        axis.plot(
            said,
            np.maximum(true, low),
            "_",
            ms=13,
            mew=2,
            color=CEILING_COLOUR,
            label="true probability, mean of the dot",
        )
    for x, y, count in zip(said, bars[:, 1], positives, strict=True):
        axis.annotate(str(count), (x, y), (0, 3), textcoords="offset points", fontsize=7.5, ha="center", color=INK)
    axis.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high * 1.5), ylabel="rate seen")
    size = f"about {int(np.median(n)):,} accounts a dot; the number is how many made the move"
    axis.legend(loc="upper left", fontsize=8, frameon=False, title=size, title_fontsize=8, alignment="left")
    edges = np.geomspace(low, high, 41)
    clipped = np.clip(probability, low, high)
    counts.hist(clipped, bins=edges, color=QUIET, label="all")
    counts.hist(clipped[rows.label > 0], bins=edges, color=CHAMPION_COLOUR, label="made the move")
    counts.set(xscale="log", yscale="log", xlim=(low, high), xlabel="probability said (the first bar: this or less)")
    counts.set_ylim(0.7, 6 * counts.get_ylim()[1])
    counts.set_ylabel("accounts")
    counts.legend(loc="upper left", fontsize=7.5, frameon=False, ncols=2)
    percent_axis(axis.xaxis, axis.yaxis, counts.xaxis, log=True)
    ratio = probability.sum() / rows.label.sum()
    line = f"{probability.sum():,.0f} expected, {int(rows.label.sum()):,} seen (ratio {ratio:.2f}), as of {rows.as_of}"
    save(figure, f"Calibration: {title_of(rows)}", line, path)
