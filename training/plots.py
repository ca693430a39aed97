"""Pictures of the evaluation: who is found by calling how many, and whether a probability means what it says.

Drawn with Agg and without date or version in the file, so equal rows give equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.heldout import CEILING, CHAMPION, HeldOut, words
from training.ranking import Floats, Indices, Ladder, Ranking

INK, QUIET, CHAMPION_COLOUR, CEILING_COLOUR = "#1f2933", "#9aa5b1", "#0b6e4f", "#b7791f"
OTHERS = ("#3b6fb6", "#8f5bb5", "#c2557a", "#5d8aa8", "#a0742c", "#6b7f3a", "#7a7a7a", "#b0563b")
BINS = 10  # equal-mass bins of the calibration picture; fewer when there are few positives


def draw(heldout: Sequence[HeldOut], artifacts: Path) -> list[str]:
    """One gains and one calibration picture for each of `heldout` that has positives. Old pictures go first.

    Returns the paths relative to `artifacts`, in order.
    """
    folder = artifacts / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    out = []
    for rows in heldout:
        if not rows.label.any():
            continue
        stem = f"{rows.target}_{rows.horizon}"
        _gains(rows, folder / f"{stem}_gains.png")
        out.append(f"plots/{stem}_gains.png")
        if rows.candidates[CHAMPION].probability is not None:
            _calibration(rows, folder / f"{stem}_calibration.png")
            out.append(f"plots/{stem}_calibration.png")
    return out


def curve(score: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Share of the accounts called, best score first, and the share of `wanted` they hold: both from 0 to 1, rising; a
    run of equal scores is a straight line."""
    ladder = Ladder.of(Ranking.of(score), wanted)
    return np.append(0, ladder.reach / ladder.reach[-1]), np.append(0, ladder.held / max(ladder.held[-1], 1e-300))


def parts(label: Floats, probability: Floats) -> list[Indices]:
    """Row numbers of equal-mass bins along the probability, lowest first."""
    count = int(np.clip(label.sum() // 5, 2, BINS))
    return [part for part in np.array_split(np.argsort(probability, kind="stable"), count) if len(part)]


def bins(label: Floats, probability: Floats) -> list[tuple[float, float, int, int]]:
    """`parts` as (mean said, rate seen, positives, accounts)."""
    found = parts(label, probability)
    return [(float(probability[p].mean()), float(label[p].mean()), int(label[p].sum()), len(p)) for p in found]


def wilson(positives: int, n: int) -> tuple[float, float]:
    """95 % interval of a rate of `positives` in `n`, Wilson's."""
    z = 1.959964
    centre, spread = positives + z * z / 2, z * np.sqrt(positives * (n - positives) / n + z * z / 4)
    return float((centre - spread) / (n + z * z)), float((centre + spread) / (n + z * z))


def title_of(rows: HeldOut) -> str:
    return f"{rows.target.replace('_', ' ')} within {rows.horizon} days"


def _gains(rows: HeldOut, path: Path) -> None:
    figure, axes = _figure(2)
    gain = np.maximum(rows.increment, 0.0)
    order = _by_money(rows, gain)
    for axis, wanted, what in ((axes[0], rows.label, "accounts that made the move"), (axes[1], gain, "revenue gained")):
        for place, name in enumerate(order):
            scored = rows.candidates[name]
            x, y = curve(scored.score if axis is axes[0] else scored.money_score, wanted)
            axis.plot(100 * x, 100 * y, **_style(name, place), label=words(name))
            if name == CHAMPION:
                held = 100 * float(np.interp(0.1, x, y))
                axis.plot([10], [held], "o", ms=6, color=CHAMPION_COLOUR, zorder=6)
                axis.set_title(f"The first 10 % called hold {held:.0f} % of the {what}", loc="left", fontsize=10)
        axis.plot([0, 100], [0, 100], color=QUIET, lw=1, ls=(0, (2, 3)), zorder=1, label="in random order")
        axis.axvline(10, color=QUIET, lw=0.8, zorder=0)
        axis.set(xlim=(0, 100), ylim=(0, 101.5), xlabel="accounts called, best first (%)", ylabel=f"{what} (%)")
    axes[1].legend(loc="lower right", fontsize=8, frameon=False)
    counts = f"{int(rows.label.sum()):,} of {len(rows.label):,} accounts made it, as of {rows.as_of}"
    _save(figure, f"Gains: {title_of(rows)}", counts, path)


def _by_money(rows: HeldOut, gain: Floats) -> list[str]:
    """Champion and ceiling, then the others by money in the top tenth; the base rate is the diagonal anyway."""
    others = [name for name in rows.candidates if name not in (CHAMPION, CEILING, "base_rate")]
    held = {name: Ladder.of(Ranking.of(rows.candidates[name].money_score), gain).top(10) for name in others}
    ceiling = [CEILING] if CEILING in rows.candidates else []
    return [CHAMPION, *ceiling, *sorted(others, key=lambda name: (-held[name], name))]


def _style(name: str, place: int) -> dict[str, Any]:
    if name == CHAMPION:
        return {"color": CHAMPION_COLOUR, "lw": 2.4, "zorder": 5}
    if name == CEILING:
        return {"color": CEILING_COLOUR, "lw": 1.6, "ls": "--", "zorder": 4}
    return {"color": OTHERS[place % len(OTHERS)], "lw": 1.1, "alpha": 0.9, "zorder": 3}


def _calibration(rows: HeldOut, path: Path) -> None:
    """Rate seen against probability said, both on log axes because the interesting tenth of a rare event lies far above
    the rest; below it, how many accounts were told what. A ceiling adds what a dot's accounts truly had."""
    probability = rows.candidates[CHAMPION].probability
    assert probability is not None
    figure, (axis, counts) = _figure(1, below=True)
    found = bins(rows.label, probability)
    positives, n = np.array([b[2] for b in found]), np.array([b[3] for b in found])
    bars = np.array([wilson(int(p), int(m)) for p, m in zip(positives, n, strict=True)])
    said = np.array([b[0] for b in found])
    low = max(min(said[said > 0].min(initial=1.0), 0.5 / n.max()) / 2, 1e-6)
    high = min(1.0, 1.3 * max(float(probability.max()), float(bars[:, 1].max())))
    said, seen, bars = np.maximum(said, low), np.maximum(positives / n, low), np.maximum(bars, low)
    axis.plot([low, 1], [low, 1], color=QUIET, lw=1, ls=(0, (2, 3)), label="as said")
    axis.errorbar(said, seen, yerr=np.abs(bars.T - seen), fmt="o", ms=5, color=CHAMPION_COLOUR, elinewidth=1,
                  label="seen, with 95 % interval")  # fmt: skip
    if (ceiling := rows.candidates.get(CEILING)) is not None and ceiling.probability is not None:
        true = [ceiling.probability[part].mean() for part in parts(rows.label, probability)]
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
    _percent(axis.xaxis, axis.yaxis, counts.xaxis)
    ratio = probability.sum() / rows.label.sum()
    line = f"{probability.sum():,.0f} expected, {int(rows.label.sum()):,} seen (ratio {ratio:.2f}), as of {rows.as_of}"
    _save(figure, f"Calibration: {title_of(rows)}", line, path)


def _percent(*axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in axes:
        axis.set_major_locator(LogLocator(10, subs=(1.0, 3.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
        axis.set_minor_formatter(NullFormatter())


def _figure(panels: int, below: bool = False) -> tuple[Any, Any]:
    """A figure on its own canvas: no pyplot, no global state, no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 6.0) if below else (5.6 * panels, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1)) if below else figure.subplots(1, panels)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8, colors=INK)
    return figure, axes


def _save(figure: Any, title: str, detail: str, path: Path) -> None:
    figure.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=12, color=INK, weight="bold")
    figure.text(0.01, 0.945, detail, ha="left", va="top", fontsize=8.5, color=INK)
    figure.savefig(path, metadata={"Software": None})
