"""What `expansion realised` tells people: a few lines, a page in Markdown and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.card_tables import table_of, with_interval
from training.heldout import CHAMPION, words
from training.plot_style import CHAMPION_COLOUR, INK, PALE, QUIET, new_figure, save
from training.realised import SAID
from training.realised_headline import Document, newest, same, spoken

PAGE, PICTURE = "realised.md", "realised.png"
READING = (
    "*Promised* is the sum of the chances that the release gave; *if true* is where the number that moved lies with "
    "95 % if every one of them was true and accounts move by themselves. Money is that of accounts that moved. Nights "
    "share accounts, so their figures are no independent proofs. Whoever was called may have moved because of it: "
    "these are the accounts as they were, called or not."
)


def write_report(said: Document, artifacts: Path) -> list[str]:
    """Writes realised.md, and plots/realised.png where anything can be told; returns the lines for a terminal."""
    lines = [spoken(said), *(f"{one['release']}: left out, {one['why']}" for one in said["skipped"])]
    shown = newest(said)
    if shown:
        (artifacts / "plots").mkdir(exist_ok=True)
        _draw(said, shown, artifacts / "plots" / PICTURE)
    (artifacts / PAGE).write_text(_page(said, shown), encoding="utf-8")
    return [*lines, *(_line(one) for one in said["promised"]), f"report: {artifacts / PAGE}"]


def _line(one: Document) -> str:
    low, high = one["if_true"]
    return (
        f"{one['release']} at {one['horizon']} days: {one['seen']:,} of {one['n']:,} moved, {one['expected']:,.1f} "
        f"promised ({low:,} to {high:,} if true): {one['verdict']}; money {one['money_gained']:,.0f}, "
        f"{one['money_expected']:,.0f} promised"
    )


def _page(said: Document, shown: Document | None) -> str:
    parts = ["# Promised and realised", spoken(said)]
    if said["promised"]:
        parts += [f"![Promised and seen](plots/{PICTURE})", "## Night by night", _nights(said), READING]
    if shown is not None:
        parts += [f"## {shown['release']}, {shown['horizon']} days", _by_part(said, shown), _candidates(said, shown)]
    waiting = [f"- {one['release']}: {when}" for one in said["releases"] if (when := _waiting(one))]
    left = [f"- {one['release']}: {one['why']}" for one in said["skipped"]]
    parts += ["## Not complete yet", "\n".join(waiting)] if waiting else []
    parts += ["## Left out", "\n".join(left)] if left else []
    return "\n\n".join([*parts, f"Every figure with its interval is in `{SAID}`."]) + "\n"


def _waiting(night: Document) -> str:
    """Horizons of which nothing can be told yet, and from when on it can."""
    return ", ".join(f"{h['horizon']} days on {h['complete_on']}" for h in night["horizons"] if not h["judged"])


def _nights(said: Document) -> str:
    head = ["release", "days", "judged", "promised", "seen", "if true", "", "money promised", "money seen"]
    rows = [[one["release"], str(one["horizon"]), f"{one['n']:,}", *_told(one)] for one in said["promised"]]
    return table_of(head, rows)


def _told(one: Document) -> list[str]:
    low, high = one["if_true"]
    money = [f"{one[f'money_{what}']:,.0f}" for what in ("expected", "gained")]
    return [f"{one['expected']:,.1f}", f"{one['seen']:,}", f"{low:,} to {high:,}", one["verdict"], *money]


def _by_part(said: Document, shown: Document) -> str:
    axes = {"band": "band", "cohort": "signed up in", "called": "among those to call first"}
    rows = [
        [axes[one["axis"]], one["part"], f"{one['n']:,}", *_told(one)]
        for one in said["parts"]
        if same(one, shown) and one["axis"] in axes
    ]
    return table_of(["", "", "judged", "promised", "seen", "if true", "", "money promised", "money seen"], rows)


def _candidates(said: Document, shown: Document) -> str:
    rows = sorted(_results(said, shown), key=lambda row: -(row["pr_auc"] or 0.0))
    figures = (("roc_auc", ".3f"), ("pr_auc", ".3f"), ("lift_10", ".1f"), ("revenue_captured_10", ".0%"))
    names = {row["candidate"]: words(row["candidate"]) for row in rows} | {CHAMPION: "the release"}
    listed = [[names[row["candidate"]], *(with_interval(row, name, spec) for name, spec in figures)] for row in rows]
    return table_of(["ranked by", "ROC-AUC", "PR-AUC", "lift at 10 %", "money in top 10 %"], listed)


def _results(said: Document, shown: Document) -> list[Document]:
    return [row for row in said["results"] if same(row, shown)]


def _draw(said: Document, shown: Document, path: Path) -> None:
    """Left: every night told at the horizon of `shown`. Right: the bands of that one."""
    nights = [one for one in said["promised"] if one["horizon"] == shown["horizon"]]
    bands = [one for one in said["parts"] if same(one, shown) and one["axis"] == "band"]
    figure, axes = new_figure(2, (11.0, 4.6))
    for axis, rows, labels in (
        (axes[0], nights, [one["release"][:10] for one in nights]),
        (axes[1], bands, [f"band {one['part']}\n{one['n']:,}" for one in bands]),
    ):
        _bars(axis, rows, labels)
    axes[0].set_title("night by night", loc="left", fontsize=10, color=INK)
    axes[1].set_title(f"by band, {shown['release'][:10]}", loc="left", fontsize=10, color=INK)
    axes[1].legend(loc="upper right", fontsize=8.5, frameon=False)
    title = f"Accounts that moved up within {shown['horizon']} days: promised and seen"
    save(figure, title, "Promised: the sum of the chances that the release of the night gave.", path)


def _bars(axis: Any, rows: Sequence[Document], labels: Sequence[str]) -> None:
    place = np.arange(len(rows))
    expected = np.array([one["expected"] for one in rows])
    around = np.abs(np.array([one["if_true"] for one in rows]).T - expected)
    bar = {"color": PALE, "edgecolor": QUIET, "lw": 0.6, "zorder": 2}
    axis.bar(place, [one["seen"] for one in rows], width=0.6, label="seen", **bar)
    style = {"fmt": "D", "ms": 6, "color": CHAMPION_COLOUR, "elinewidth": 1.2, "capsize": 3, "zorder": 4}
    axis.errorbar(place, expected, yerr=around, label="promised, and 95 % if true", **style)
    axis.set_xticks(place, labels)
    axis.set_xlim(-0.7, max(len(rows), 3) - 0.3)
