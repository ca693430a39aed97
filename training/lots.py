"""Two arms drawn by lot, and whether they look it: what is refused before anything is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, mannwhitneyu

from features.books import BOOKS
from training.ranking import Floats
from training.slots import Slots
from warehouse.raw import RANDOM

LEAST_MOVES = 10  # in each arm; from there on the intervals hold what they promise
DOUBT = 0.001  # of an honest lot, in so many draws the shares or the accounts look rigged, each
NAMES = {"tenure_days": "tenure", "tier": "tier", "run_rate": "run-rate", "day": "date"}


@dataclass(frozen=True)
class Arms:
    """Complete slots at risk, one an account; arrays (n,). `contacted` bool, `moved` 0 or 1, `gain` money over the
    horizon, at least 0; `known`: what was known that day, which the lot may not depend on."""

    contacted: npt.NDArray[np.bool_]
    moved: Floats
    gain: Floats
    known: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, slots: Slots, horizon: int) -> Arms:
        data = slots.data
        moved = data.outcome("expansion", horizon)
        told = ~np.isnan(moved)
        known = {name: np.asarray(slots.books[name].to_numpy(), dtype=np.float64)[told] for name in BOOKS}
        known["day"] = slots.books["as_of"].cast("int32").to_numpy().astype(np.float64)[told]
        contacted = np.array([arm == RANDOM for arm in slots.books["arm"].to_pylist()], dtype=bool)[told]
        return cls(contacted, moved[told], np.maximum(data.money(f"increment_{horizon}")[told], 0.0), known)

    def counts(self) -> tuple[int, int, int, int]:
        """Moves and slots of those contacted, moves and slots of those left alone."""
        own, other = self.moved[self.contacted], self.moved[~self.contacted]
        return int(own.sum()), len(own), int(other.sum()), len(other)


def refusal(arms: Arms, horizon: int, waiting: int, share: float) -> str | None:
    """Why the arms tell nothing, and what would help; None if they do."""
    moves, called, moved, alone = arms.counts()
    if not called or not alone:
        lacking = " or ".join(
            words for words, n in (("contacted by lot", called), ("left alone by lot", alone)) if not n
        )
        later = f" {waiting:,} more are not complete yet: wait {horizon} days and the maturing days." if waiting else ""
        return f"no account {lacking} has a complete outcome within {horizon} days.{later}"
    if (odds := float(binomtest(called, called + alone, share).pvalue)) < DOUBT:
        return (
            f"{called:,} contacted and {alone:,} left alone are not what a lot of {share:.0%} draws (p = {odds:.1g}). "
            "Find out how slots were lost or chosen, or set evaluate.random_share to the share that the lot contacts."
        )
    if unlike := [name for name, odds in balance(arms).items() if odds < DOUBT / len(arms.known)]:
        named = ", ".join(NAMES.get(name, name) for name in unlike)
        return f"the two arms differ in what was known on the day ({named}), as arms drawn by lot do not. Draw anew."
    if min(moves, moved) < LEAST_MOVES:
        return (
            f"{moves:,} of {called:,} contacted by lot and {moved:,} of {alone:,} left alone by lot moved up within "
            f"{horizon} days, {LEAST_MOVES} in each are needed.{_more_slots(moves + moved, called + alone)}"
        )
    return None


def _more_slots(moves: int, slots: int) -> str:
    if not moves:
        return " Draw more slots."
    return f" At {moves / slots:.1%} that takes some {LEAST_MOVES * slots / moves:,.0f} slots an arm."


def balance(arms: Arms) -> dict[str, float]:
    """Of what was known on the day, how likely an honest lot is to draw arms at least as different: the rank-sum test
    of Mann and Whitney, corrected for ties."""
    out = {}
    for name, values in arms.known.items():
        one, other = values[arms.contacted], values[~arms.contacted]
        constant = not len(one) or not len(other) or values.min() == values.max()
        out[name] = 1.0 if constant else float(mannwhitneyu(one, other, method="asymptotic").pvalue)
    return out
