"""Pictures of the run: what a team of a given size would have had, what more accounts teach, what scores rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.heldout import CHAMPION, words
from training.plot_style import CHAMPION_COLOUR, INK, PALE, QUIET, new_figure, percent_axis, save, style_of
from warehouse.periods import TARGET

Document = Mapping[str, Any]
RIDGE = "logistic"  # the learner without trees, which stands where few accounts expanded


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
    calls.set_title("Called by the model, likeliest first: who made the move", loc="left", fontsize=10, color=INK)
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
    money.set_title("Called by most money expected: share of the money gained", loc="left", fontsize=10, color=INK)
    money.legend(loc="lower right", fontsize=8.5, frameon=False)
    horizon = said["headline_horizon"]
    day = next(row["as_of"] for row in said["results"] if (row["target"], row["horizon"]) == (TARGET, horizon))
    detail = f"Expansion within {horizon} days, as of {day}. Band: worst to best order of accounts of equal score."
    save(figure, "Capacity: what calling N accounts would have held", detail, path)


def learning_picture(curve: Sequence[Document], horizon: int, needed: int, path: Path) -> None:
    """PR-AUC and log-loss on the same held-out rows by the accounts trained on, with their intervals where told, and
    the learner of each point: hollow where it is the ridge alone. Both axes start at 0.

    Args:
        curve: rows of accounts, positives, pr_auc, log_loss, and where told learner, pr_auc_ci, log_loss_ci.
        horizon: days within which a move counts. needed: accounts that must expand before a model serves at all.
    """
    points = sorted(curve, key=lambda row: row["accounts"])
    figure, axes = new_figure(2, (11.4, 4.8))
    x = [row["accounts"] for row in points]
    for axis, (what, label) in zip(axes, (("pr_auc", "PR-AUC, higher"), ("log_loss", "log-loss, lower")), strict=True):
        axis.plot(x, [row[what] for row in points], "-", color=CHAMPION_COLOUR, lw=2)
        for row in points:
            if row[what] is None:
                continue
            low, high = row.get(f"{what}_ci") or (row[what], row[what])
            around = [[row[what] - low], [high - row[what]]]
            hollow = row.get("learner") == RIDGE
            axis.errorbar(row["accounts"], row[what], yerr=around, fmt="o", ms=7, capsize=3, elinewidth=1.2,
                          color=CHAMPION_COLOUR, mfc="white" if hollow else CHAMPION_COLOUR)  # fmt: skip
            place = row["accounts"], high
            axis.annotate(_point(row, needed), place, (0, 5), textcoords="offset points", ha="center", fontsize=7.5)
        axis.set(xscale="log", xlabel="accounts trained on")
        axis.set_xticks(x, [f"{value:,}" for value in x])
        axis.minorticks_off()
        axis.set_title(f"{label} is better", loc="left", fontsize=10, color=INK)
        axis.margins(x=0.18)
        highest = [max([row[what], *(row.get(f"{what}_ci") or ())]) for row in points if row[what] is not None]
        axis.set_ylim(0, 1.3 * max(highest, default=1.0))
    bars = (
        " Bars: 95 % intervals, those accounts resampled, the same at every point." if "pr_auc_ci" in points[-1] else ""
    )
    hollow = " Hollow: a ridge alone." if any(row.get("learner") == RIDGE for row in points) else ""
    title = f"Learning curve: expansion within {horizon} days"
    save(figure, title, f"The same recipe taught by fewer accounts, judged on the same ones.{bars}{hollow}", path)


def _point(row: Document, needed: int) -> str:
    """How many of the accounts that taught moved, the learner, and whether so few would leave the rule in place."""
    lines = [f"{row['positives']:,} moved"]
    if "learner" in row:
        lines.append("ridge" if row["learner"] == RIDGE else "trees")
    if row["positives"] < needed:
        lines.append("the rule would serve")
    return "\n".join(lines)


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
    detail = f"By family of features, {summary['rows']:,} accounts of the newest date. In brackets: share of all."
    save(figure, "What the scores rest on", detail, path)
