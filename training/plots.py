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
from training.headline import LIFETIME
from training.heldout import CEILING, CHAMPION, HeldOut, words
from training.plot_capacity import capacity_picture, learning_picture, reasons_picture
from training.plot_origins import deciles_picture, origins_picture
from training.plot_style import (
    CEILING_COLOUR,
    CHAMPION_COLOUR,
    INK,
    OTHERS,
    QUIET,
    new_figure,
    percent_axis,
    save,
    style_of,
)
from training.ranking import Floats, Indices
from training.rolling import Rolled

BINS = 10  # equal-mass bins of the calibration picture; fewer when there are few positives
BESIDE: dict[str, dict[str, Any]] = {  # whom the gains show beside the model, as far as they stand there, lowest first
    CEILING: {"ls": (0, (6, 4))},
    "logistic": {"ls": (0, (1.2, 2.4)), "lw": 2.2},
    "activity_28d": {"ls": "-"},
    LIFETIME: {"ls": (0, (7, 2, 1, 2))},
    "pql": {"ls": (0, (3, 1.5)), "color": OTHERS[2]},  # its own colour is the ridge's
}
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
        learning_picture(curve, said["headline_horizon"], _needed(train), to("learning_curve"))
    summary = artifacts / "reasons_summary.json"
    if summary.exists():
        reasons_picture(json.loads(summary.read_text(encoding="utf-8")), to("reasons"))
    return out


def _needed(train: Document) -> int:
    """Accounts that must expand before a model serves and not the rule; 0 where train.json does not say."""
    return int(train.get("params", {}).get("train", {}).get("min_positives", 0))


def calibration_parts(label: Floats, probability: Floats) -> list[Indices]:
    """Row numbers of equal-mass bins along the probability, lowest first."""
    return metrics.equal_parts(probability, int(np.clip(label.sum() // 5, 2, BINS)))


def title_of(rows: HeldOut) -> str:
    return f"{rows.target.replace('_', ' ')} within {rows.horizon} days"


def _gains(rows: HeldOut, path: Path) -> None:
    figure, axes = new_figure(2)
    gain = np.maximum(rows.increment, 0.0)
    panels = ((rows.label, "accounts that moved", "likeliest"), (gain, "revenue gained", "most money expected"))
    for axis, (wanted, what, first) in zip(axes, panels, strict=True):
        for place, name in enumerate(drawn(rows)):
            scored = rows.candidates[name]
            x, y = metrics.gains(wanted, scored.score if axis is axes[0] else scored.money_score)
            # the model's is the widest line and lies lowest, so that one along it still shows
            own = {"lw": 5, "alpha": 0.55} if name == CHAMPION else {"lw": 1.5, "alpha": 1.0} | BESIDE[name]
            axis.plot(100 * x, 100 * y, **style_of(name) | own | {"zorder": 2 + place / 10}, label=words(name))
            if name == CHAMPION:
                held = 100 * float(np.interp(0.1, x, y))
                axis.plot([10], [held], "o", ms=6, color=CHAMPION_COLOUR, zorder=6)
                axis.set_title(f"The model's first 10 % hold {held:.0f} % of the {what}", loc="left", fontsize=10)
        axis.plot([0, 100], [0, 100], color=QUIET, lw=1, ls=(0, (2, 3)), zorder=1, label="in random order")
        axis.axvline(10, color=QUIET, lw=0.8, zorder=0)
        axis.set(xlim=(0, 100), ylim=(0, 101.5), xlabel=f"accounts called, {first} first (%)", ylabel=f"{what} (%)")
    axes[1].legend(loc="lower right", fontsize=8, frameon=False)
    counts = f"{int(rows.label.sum()):,} of {len(rows.label):,} accounts made it, as of {rows.as_of}."
    save(figure, f"Gains: {title_of(rows)}", f"{counts} A rule of thumb has one order for both.", path)


def drawn(rows: HeldOut) -> list[str]:
    """Whom the gains show, in that order: the model, then `BESIDE` as far as they stand there."""
    return [CHAMPION, *(name for name in BESIDE if name in rows.candidates)]


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
                  label="seen, with 95 % interval (at the lower edge: none)")  # fmt: skip
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
