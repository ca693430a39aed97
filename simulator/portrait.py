"""Three pictures of the plain world, for docs/simulator.md: one life from the inside, who pays, and when they step up.

`python -m simulator.portrait --out docs/simulator` simulates the world in a temporary folder and draws them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulator.drawing import (
    BLUE,
    GOLD,
    GREEN,
    INK,
    PALE,
    QUIET,
    RED,
    dated,
    day_of,
    figure_of,
    on_axis,
    plain,
    runs,
    save,
    shade_seasons,
    titled,
)
from simulator.market import STAGES, Market
from simulator.simulate import SimulateParams, simulate
from simulator.tally import Steps, Wallets, read_steps, read_wallets
from simulator.tracing import GROUPS, Life, trace, typical_mushroom

HORIZON = 180  # days, of the chances in the picture of one life
STAGE_COLOURS = ("#a9c1d9", "#aab2bb", "#8cc3a5", "#0b6e4f", "#b0563b")
GROUP_COLOURS = (QUIET, GREEN, BLUE, RED)
TOPS = (1, 5, 10)  # per cent of the accounts


def draw_life(life: Life, market: Market, path: Path) -> None:
    """One account: hidden stage, users, events a week, run-rate and invoices, and both chances of a step up."""
    figure = figure_of((10.0, 9.4))
    ribbon, users, events, money, chance = figure.subplots(5, 1, sharex=True, height_ratios=(0.42, 1, 1.5, 1.9, 1.7))
    plain(users, events, money, chance)
    days = on_axis(life.start, np.arange(len(life.stage)))
    _stages(life, ribbon, (users, events, money, chance))
    users.plot(days, np.where(life.stage < 0, np.nan, life.users), color=INK, lw=1.4)
    users.axhline(life.capacity, color=QUIET, lw=0.8, ls=(0, (2, 3)))
    users.annotate(f"room for {life.capacity}", (days[0], life.capacity), (2, -9), textcoords="offset points",
                   fontsize=7.5, color=INK)  # fmt: skip
    users.set_ylim(0, life.capacity * 1.12)
    titled(users, "Users")
    _weekly_events(life, events)
    _run_rate(life, market, money)
    _chances(life, chance)
    chance.set_xlim(days[0], days[-1] + 1)
    dated(chance)
    steps = [
        f"{market.tiers[tier]} on day {day - life.signed_up}" for day, tier in _steps_of(life, market)
    ]  # days since sign-up
    detail = (
        f"Account {life.account_id}, a {life.kind} that signed up on {day_of(life.start, life.signed_up)}: "
        f"{', '.join(steps)}.\nShaded throughout: the hidden stage, which no raw table shows. Dotted lines: steps."
    )
    save(figure, "One life, seen from the inside", detail, path)


def _stages(life: Life, ribbon: Any, panels: Sequence[Any]) -> None:
    ribbon.axis("off")
    ribbon.set_ylim(0, 1)
    titled(ribbon, "Hidden stage")
    for stage, (name, colour) in enumerate(zip(STAGES, STAGE_COLOURS, strict=True)):
        for first, after in runs(life.stage, stage):
            low, high = on_axis(life.start, (first, after))
            ribbon.axvspan(low, high, color=colour, lw=0)
            for panel in panels:
                panel.axvspan(low, high, color=colour, lw=0, alpha=0.16, zorder=0)
            if after - first >= 6 * len(name):
                white = "white" if name in ("ready", "churned") else INK
                ribbon.text((low + high) / 2, 0.48, name, ha="center", va="center", fontsize=8.5, color=white)


def _weekly_events(life: Life, axis: Any) -> None:
    weeks = life.events.shape[1] // 7
    weekly = life.events[:, : 7 * weeks].reshape(len(GROUPS), weeks, 7).sum(axis=2)
    left = on_axis(life.start, 7 * np.arange(weeks))
    bottom = np.zeros(weeks)
    for name, count, colour in zip(GROUPS, weekly, GROUP_COLOURS, strict=True):
        axis.bar(left, count, 6.2, bottom, align="edge", color=colour, label=name)
        bottom += count
    axis.set_ylim(0, bottom.max() * 1.08)
    titled(axis, "Events a week")
    axis.legend(loc="upper left", fontsize=8, frameon=False, ncols=len(GROUPS), bbox_to_anchor=(0.12, 1.19),
                handlelength=1.0, columnspacing=1.2)  # fmt: skip


def _run_rate(life: Life, market: Market, axis: Any) -> None:
    """On a log axis: a step up is a matter of factors."""
    low, high = 0.35 * market.floors[1], 2.2 * max(market.floors[-1], life.rate.max())
    days = on_axis(life.start, np.arange(len(life.rate)))
    for tier in range(1, len(market.tiers)):
        axis.axhline(market.floors[tier], color=QUIET, lw=0.8, ls=(0, (2, 3)))
        axis.annotate(f"{market.tiers[tier]}, from {market.floors[tier]:,.0f}", (days[0], market.floors[tier]), (2, 2),
                      textcoords="offset points", fontsize=7.5, color=INK)  # fmt: skip
    axis.step(days, np.maximum(life.rate, low), where="post", color=GREEN, lw=2.0, label="run-rate, USD per 30 days")
    for kinds, marker, colour, label in (
        (("subscription", "invoice"), "o", INK, "invoice, USD"),
        (("credit", "refund"), "v", RED, "credit or refund, USD"),
    ):
        found = [(day, abs(amount)) for day, amount, kind in life.invoices if kind in kinds]
        if found:
            when, amount = zip(*found, strict=True)
            axis.plot(on_axis(life.start, when), amount, marker, ms=3.6, mfc="white", mec=colour, mew=0.9, label=label)
    axis.set(yscale="log", ylim=(low, high))
    axis.set_yticks([10, 100, 1_000], ["10", "100", "1,000"])
    axis.minorticks_off()
    titled(axis, "Money")
    axis.legend(loc="upper left", fontsize=8, frameon=False, ncols=3, bbox_to_anchor=(0.12, 1.155),
                handlelength=1.4, columnspacing=1.2)  # fmt: skip
    for day, _ in _steps_of(life, market):
        for panel in axis.figure.axes[1:]:
            panel.axvline(on_axis(life.start, day), color=INK, lw=0.8, ls=":", zorder=1)


def _chances(life: Life, axis: Any) -> None:
    when = on_axis(life.start, [day for day, _, _ in life.chances])
    seen, known = (100 * np.array(column) for column in list(zip(*life.chances, strict=True))[1:])
    axis.plot(
        when, known, "--", color=GOLD, lw=1.6, marker="D", ms=3.6, label="clairvoyant: knows type, size and stage"
    )
    axis.plot(when, seen, color=GREEN, lw=2.2, marker="o", ms=4, label="observer: knows what the raw tables show")
    axis.set_ylim(0, 100)
    axis.yaxis.set_major_formatter("{x:.0f} %")
    titled(axis, f"Chance of a step to the next tier within {HORIZON} days, at month starts")
    axis.legend(loc="upper right", fontsize=8, frameon=False)


def _steps_of(life: Life, market: Market) -> list[tuple[int, int]]:
    """(day, tier) of every step up."""
    tier = np.searchsorted(market.floors, life.rate, side="right") - 1
    days = np.flatnonzero(np.diff(tier, prepend=0) > 0)
    return [(int(day), int(tier[day])) for day in days]


def draw_concentration(wallets: Wallets, path: Path) -> None:
    """How few accounts hold the revenue, and how few of the largest first purchases are the largest in the end."""
    figure = figure_of((10.4, 4.9))
    curve, dots = figure.subplots(1, 2)
    plain(curve, dots)
    x, y = wallets.curve()
    curve.plot(100 * x, 100 * y, color=GREEN, lw=2.4)
    even = np.geomspace(x[0], 1.0, 200)
    curve.plot(100 * even, 100 * even, color=QUIET, lw=1, ls=(0, (2, 3)))
    curve.annotate(
        "if all paid the same", (60, 52), (-6, 0), textcoords="offset points", fontsize=8, ha="right", color=INK
    )
    held = [100 * wallets.held_by(top) for top in TOPS]
    curve.plot(TOPS, held, "o", ms=6, color=GREEN, zorder=5)
    said = "\n".join(f"top {top} % of the accounts: {share:.3g} %" for top, share in zip(TOPS, held, strict=True))
    curve.text(0.03, 0.94, said, va="top", fontsize=8.5, color=INK, transform=curve.transAxes, linespacing=1.5)
    curve.set(xscale="log", xlim=(100 * x[0], 100), ylim=(0, 104))
    curve.set_xticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100"])
    curve.minorticks_off()
    curve.set(xlabel="accounts, most revenue first (%)", ylabel="revenue of all accounts (%)")
    titled(curve, f"{len(wallets.total):,} of {wallets.accounts:,} accounts ever paid")
    _first_and_last(wallets, dots)
    detail = (
        f"All revenue booked from {wallets.since} to {wallets.until}; internal accounts, which never pay, left out."
    )
    save(figure, "A handful pays for everything, and the first purchase does not say who", detail, path)


def _first_and_last(wallets: Wallets, axis: Any) -> None:
    early, late = wallets.top_tenth(wallets.first), wallets.top_tenth(wallets.total)
    groups = (
        (~early & ~late, PALE, "neither"),
        (early & ~late, GOLD, "large at first only"),
        (~early & late, BLUE, "large in the end only"),
        (early & late, GREEN, "both"),
    )
    for who, colour, name in groups:
        label = f"{name} ({who.sum():,})"
        axis.plot(wallets.first[who], wallets.total[who], "o", ms=3.2, mew=0, color=colour, label=label)
    axis.axvline(wallets.first[early].min(), color=INK, lw=0.8, ls=":")
    axis.axhline(wallets.total[late].min(), color=INK, lw=0.8, ls=":")
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="run-rate of the first purchase, USD per 30 days",
        ylabel="revenue in all, USD",
    )
    axis.set_xticks([30, 100, 300], ["30", "100", "300"])
    axis.set_yticks([10, 100, 1_000, 10_000, 100_000], ["10", "100", "1,000", "10,000", "100,000"])
    axis.minorticks_off()
    kept = (early & late).sum()
    titled(axis, f"{kept} of the {early.sum()} largest first purchases stay at the top")
    axis.legend(loc="lower right", fontsize=8, frameon=False, handletextpad=0.2)


def draw_seasons(steps: Steps, path: Path) -> None:
    """Who steps up, week by week, beside the chance that the observer gave; and who signs up."""
    figure = figure_of((10.0, 6.2))
    share, new = figure.subplots(2, 1, sharex=True, height_ratios=(2.3, 1))
    plain(share, new)
    start, days = steps.calendar.start, steps.days
    for axis in (share, new):
        shade_seasons(axis, steps.calendar, days)
    left = on_axis(start, 7 * np.arange(len(steps.moved)))
    weekly = 100 * steps.moved / np.maximum(steps.at_risk, 1)
    share.bar(left, weekly, 6.2, align="edge", color=QUIET, label="stepped up in the week, and held it for 30 days")
    middle = on_axis(start, steps.landmarks + steps.window / 2)
    scale = 100 * 7 / steps.window
    share.plot(
        middle,
        scale * steps.came,
        "o",
        ms=5,
        color=GREEN,
        label=f"the same in the {steps.window} days around",
        zorder=4,
    )
    share.plot(middle, scale * steps.said, color=GOLD, lw=2, label="chance the observer gave them beforehand", zorder=5)
    share.set(ylabel="of the accounts at risk (%)", ylim=(0, 1.3 * np.sort(weekly)[-3:].mean()))
    titled(share, "Steps to the next tier, a week")
    share.legend(loc="upper left", fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")
    new.bar(left, steps.signed_up[: len(left)], 6.2, align="edge", color=BLUE)
    new.set_ylabel("accounts")
    titled(new, "Sign-ups, a week")
    new.set_xlim(on_axis(start, 0), on_axis(start, days))
    dated(new)
    mean = steps.moved.sum() / max(steps.at_risk.sum(), 1)
    detail = (
        f"{steps.moved.sum():,} steps in {len(steps.moved)} weeks: {100 * mean:.2f} % of the accounts at risk a week.\n"
        "Blue: August and the days around New Year. Yellow: the last two weeks of a quarter."
    )
    save(figure, "Few step up, more of them before a quarter ends, fewer in August", detail, path)


def portrait(out: Path, params: SimulateParams, raw: Path, scratch: Path) -> list[Path]:
    """All three pictures of the world in `raw`, which was simulated by `params`. `scratch`: a folder for arrays.

    Returns the paths of the pictures.

    Raises:
        UsageError: the world is too small to have a life to show.
    """
    market = Market()
    steps = read_steps(raw, market, params.start)
    traced = trace(market, params.start, steps.days, params.accounts, params.seed, scratch)
    paths = [out / f"{name}.png" for name in ("life", "revenue", "seasons")]
    draw_life(traced.life(typical_mushroom(traced), HORIZON), market, paths[0])
    draw_concentration(read_wallets(raw), paths[1])
    draw_seasons(steps, paths[2])
    return paths


def main(argv: list[str] | None = None) -> None:
    """`python -m simulator.portrait --out DIR [--accounts N] [--seed N]`."""
    parser = argparse.ArgumentParser(prog="python -m simulator.portrait", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--accounts", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args(argv)
    params = SimulateParams(accounts=arguments.accounts, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "raw", params)
        for path in portrait(arguments.out, params, Path(folder) / "raw", Path(folder) / "values"):
            print(path)


if __name__ == "__main__":
    main()
