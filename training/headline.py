"""What is said first: the rows that speak for the model, the evidence for its grade, and the finding in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from training.bootstrap import Difference
from training.grade import Evidence
from training.heldout import CEILING, CHAMPION, HeldOut, words
from training.measured import Measured

TOP_PERCENT = 10  # of the accounts, called in the second sentence of the headline
LIFETIME = "spend_lifetime"  # the rule of thumb that the headline is held against, where it stands in the table


def headline_of(heldout: Sequence[HeldOut], target: str, train: Mapping[str, Any]) -> HeldOut | None:
    """The rows by which `target` is judged: the default horizon, else the longest below it, else the shortest; of
    several origins the newest. None when nothing of that target was held out."""
    found = sorted((rows for rows in heldout if rows.target == target), key=lambda rows: (rows.horizon, rows.as_of))
    within = [rows.horizon for rows in found if rows.horizon <= train["default_horizon"]]
    horizon = within[-1] if within else next((rows.horizon for rows in found), None)
    return next((rows for rows in reversed(found) if rows.horizon == horizon), None)


def strongest_rule(table: Measured, figure: str) -> str | None:
    """The rule of thumb with the highest `figure`; None without rules or where none of them has it."""
    known = {name: value for name in table.rules if not math.isnan(value := table.figures[name][figure])}
    return max(known, key=lambda name: known[name], default=None)


def rival_of(table: Measured, figure: str) -> str | None:
    """Whom a buyer would follow without the model: lifetime spend, else the strongest rule."""
    return LIFETIME if LIFETIME in table.figures else strongest_rule(table, figure)


def evidence_of(newest: Measured, pooled: Measured, origins: int = 1) -> Evidence:
    """What the grade looks at: the rows of all origins together, which speak of several seasons and have several times
    the positives of the newest one; a candidate that does not stand at every origin is compared on the newest."""
    champion = pooled.figures[CHAMPION]
    leads = {
        name: _leads(pooled if name in pooled.figures else newest, name)
        for name in newest.rows.candidates
        if name not in (CHAMPION, CEILING)  # the ceiling is no rival: a model owes it nothing
    }
    best = strongest_rule(pooled, "pr_auc")
    return Evidence(
        positives=int(pooled.rows.label.sum()),
        newest=int(newest.rows.label.sum()),
        roc_auc=_known(champion["roc_auc"]),
        roc_auc_ci=pooled.interval(CHAMPION, "roc_auc"),
        pr_auc=_known(champion["pr_auc"]),
        best_rule_pr_auc=None if best is None else pooled.figures[best]["pr_auc"],
        rules=newest.rules,
        leads=leads,
        origins=origins,
    )


def headline(table: Measured | None, called: int) -> str:
    """The finding in one or two sentences a buyer understands; None: nothing was held out."""
    if table is None:
        return "The history is too short to hold any account out, so nothing was judged."
    tenth = _would_have_held(table, f"the top {TOP_PERCENT} %", f"revenue_captured_{TOP_PERCENT}")
    if tenth is None:
        held_out = f"the {table.rows.horizon} days that were held out"
        return f"No expansion revenue fell in {held_out}, so none could be captured."
    first = _would_have_held(table, f"the top {called} accounts", "revenue_captured_called")
    few = called < len(table.rows.label)  # else calling so many is calling all
    return f"{first} {tenth}" if first is not None and few else tenth


def _would_have_held(table: Measured, whom: str, figure: str) -> str | None:
    value, around = table.figures[CHAMPION][figure], table.interval(CHAMPION, figure)
    if math.isnan(value) or around is None:
        return None
    rival = rival_of(table, figure)
    against = "" if rival is None else f", against {table.figures[rival][figure]:.0%} by {words(rival)}"
    if rival is not None and (lead := table.lead(rival, figure)) is not None:
        against += f": {_points(lead)}"
    return (
        f"Calling {whom} would have held {value:.0%} of the expansion revenue of the next {table.rows.horizon} days "
        f"(95 % interval {around[0]:.0%} to {around[1]:.0%}){against}."
    )


def _points(lead: Difference) -> str:
    """A lead in percentage points, and whether it may be luck."""
    low, high = (f"{100 * bound:+.0f}" for bound in lead.ci)
    luck = "" if lead.above_zero or lead.below_zero else ", so it may be luck"
    return f"{abs(100 * lead.value):.0f} points {'less' if lead.value < 0 else 'more'} ({low} to {high}{luck})"


def _leads(table: Measured, name: str) -> dict[str, Difference]:
    return {f: lead for f in ("roc_auc", "pr_auc", "log_loss") if (lead := table.lead(name, f)) is not None}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
