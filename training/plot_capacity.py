"""Pictures of the run: what a team of a given size would have had, what more accounts teach, what scores rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.heldout import CHAMPION, words
from training.plot_style import CHAMPION_COLOUR, INK, PALE, QUIET, new_figure, percent_axis, save, style_of

Document = Mapping[str, Any]


def capacity_picture(said: Document, path: Path) -> None:
    """Hits and misses of the champion by accounts called, and the share of the money beside its rivals; the band is the
    worst and the best order of equal scores."""
    rows: Sequence[Document] = said["capacity"]
    own = [row for row in rows if row["candidate"] == CHAMPION]
    figure, (calls, money) = new_figure(2, (12.0, 4.6))
    place = range(len(own))
    calls.bar(place, [row["hits"] for row in own], width=0.66, color=CHAMPION_COLOUR, label="made the move")
    misses = [row["misses"] for row in own]
    calls.bar(place, misses, 0.66, [row["hits"] for row in own], color=PALE, label="did not")
    for x, row in zip(place, own, strict=True):
        text = f"{row['hits']:.0f} of {row['called']:,}\n{row['lift']:.1f}x chance"
        calls.annotate(text, (x, row["called"]), (0, 4), textcoords="offset points", ha="center", fontsize=8, color=INK)
    calls.set_xticks(place, [f"{row['called']:,}" for row in own])
    calls.set_ylim(0, 1.18 * own[-1]["called"])
    calls.set(xlabel="accounts called", ylabel="accounts")
    calls.set_title("Who of those called made the move", loc="left", fontsize=10, color=INK)
    calls.legend(loc="upper left", fontsize=8.5, frameon=False)
    for name in dict.fromkeys(row["candidate"] for row in rows):
        of = [row for row in rows if row["candidate"] == name]
        called, style = [row["called"] for row in of], style_of(name)
        low, high = ([row[f"revenue_captured_{end}"] or 0.0 for row in of] for end in ("worst", "best"))
        money.fill_between(called, low, high, color=style["color"], alpha=0.14, lw=0)
        share = [row["revenue_captured"] or 0.0 for row in of]
        money.plot(called, share, marker="o", ms=4, label=words(name), **style)
    money.set(xlabel="accounts called", xlim=(0, None), ylim=(0, 1.02))
    percent_axis(money.yaxis)
    money.set_title("Share of the money gained that they hold", loc="left", fontsize=10, color=INK)
    money.legend(loc="lower right", fontsize=8.5, frameon=False)
    horizon = said["headline_horizon"]
    detail = f"Expansion within {horizon} days, newest origin. Band: worst to best order of accounts of equal score."
    save(figure, "Capacity: what calling N accounts would have held", detail, path)


def learning_picture(curve: Sequence[Document], path: Path) -> None:
    """PR-AUC and log-loss on the same held-out rows by the accounts trained on. `curve`: rows of accounts, positives,
    pr_auc, log_loss."""
    points = sorted(curve, key=lambda row: row["accounts"])
    figure, axes = new_figure(2, (10.4, 4.4))
    x = [row["accounts"] for row in points]
    figures = (("pr_auc", "PR-AUC, higher is better"), ("log_loss", "log-loss, lower is better"))
    for axis, (what, label), below in zip(axes, figures, (True, False), strict=True):
        axis.plot(x, [row[what] for row in points], "o-", color=CHAMPION_COLOUR, lw=2)
        beside = (8, -12) if below else (8, 6)  # where a curve that improves leaves room
        for row in points:
            if row[what] is not None:
                place = row["accounts"], row[what]
                text = f"{row['positives']:,} moves"
                axis.annotate(text, place, beside, textcoords="offset points", fontsize=7.5, color=INK)
        axis.set(xscale="log", xlabel="accounts trained on")
        axis.set_xticks(x, [f"{value:,}" for value in x])
        axis.minorticks_off()
        axis.set_title(label, loc="left", fontsize=10, color=INK)
        axis.margins(x=0.18, y=0.18)
    more = "A curve still rising to the right says that more accounts would help."
    save(figure, "Learning curve", f"The same recipe on fewer accounts, judged on the same rows. {more}", path)


def reasons_picture(summary: Document, path: Path) -> None:
    """How much each family of features moves the scores. `summary`: `quantity`, `rows` explained, and `families`, rows
    of family, mean_abs (absolute contribution in log-odds, mean over the accounts) and share of all of them."""
    ordered = sorted(summary["families"], key=lambda row: row["mean_abs"])
    figure, (axis,) = new_figure(1, (7.0, 0.42 * len(ordered) + 1.6))
    axis.barh([r["family"] for r in ordered], [r["mean_abs"] for r in ordered], color=CHAMPION_COLOUR, height=0.62)
    for place, row in enumerate(ordered):
        text = f"{row['mean_abs']:.2f} ({row['share']:.0%})"
        axis.annotate(text, (row["mean_abs"], place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axis.margins(x=0.14)
    axis.set(xlabel="mean absolute contribution, log-odds")
    axis.spines["left"].set_color(QUIET)
    save(figure, "What the scores rest on", f"By family of features, {summary['rows']:,} accounts explained.", path)
