"""What contacting brought: accounts contacted by lot beside accounts left alone by lot, or why that cannot be told.

Only slots (training/slots.py) enter. Sales contact whom they expect to grow, so accounts that sales chose against the
rest would be credited with growth that comes anyway; a lot knows nothing of an account, so what the arms differ in was
brought by the contact (docs/adr/0047). It is the difference to being left alone *that day*: sales may have called
either arm later, as they do anyway.

Nothing here reaches a feature, a model, the grade or the gate; `evaluate.uplift` stays the assumption that profit is
told by, and the read-out says whether it agrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.bootstrap import interval, replicate_weights
from training.grade import THIN
from training.lots import LEAST_MOVES, Arms, refusal
from training.measured import pair, written
from training.metrics import wilson
from training.proportions import POWER, accounts_needed, difference_interval, least_uplift, ratio_interval
from training.ranking import Floats
from training.slots import Slots
from warehouse.raw import CONTACTED, HELD_OUT, RANDOM

CAPPED = 95  # % point of the gains above 0 at which a gain is cut: a mean hangs on the few largest otherwise
PLANNED = (0.25, 0.5, 1.0)  # uplifts that are planned for, beside the assumed one
NOT_ESTIMABLE, MORE, FEWER = "not estimable", "more", "fewer"
NOT_TOLD, LESS_THAN_ASSUMED = "not distinguishable from zero", "less than assumed"


@dataclass(frozen=True)
class Assumed:
    """`uplift`: share that a contact is assumed to add. `share`: of the slots, that the lot has contacted."""

    uplift: float
    share: float


def read_out(
    slots: Slots | None, assumed: Assumed, currency: str, seen: tuple[float, int] | None, replicates: int, seed: int
) -> dict[str, Any]:
    """The entry `uplift` of evaluation.json (docs/architecture.md). `sentence` is that of the default horizon.

    Args:
        slots: null: nobody looked for any.
        seen: share of the accounts held out that moved within so many days, to plan by where no lot was drawn; null:
            unknown.
    """
    drawn = {kind: 0 if slots is None else slots.drawn(kind) for kind in (CONTACTED, RANDOM, HELD_OUT)}
    horizons = [] if slots is None or not drawn[RANDOM] + drawn[HELD_OUT] else [*slots.horizons]
    found = [_at(slots, horizon, assumed, currency, replicates, seed) for horizon in horizons if slots is not None]
    return {
        "sentence": found[-1]["sentence"] if found else _undrawn(drawn[CONTACTED], assumed, seen),
        "assumed": assumed.uplift,
        "random_share": assumed.share,
        "least_moves": LEAST_MOVES,
        "touches": drawn,
        "left_out": {} if slots is None else dict(slots.left_out),
        "horizons": found,
    }


def _at(slots: Slots, horizon: int, assumed: Assumed, currency: str, replicates: int, seed: int) -> dict[str, Any]:
    arms = Arms.of(slots, horizon)
    out, waiting = slots.not_at_risk(horizon)
    said = {"horizon": horizon, "not_at_risk": out, "waiting": waiting}
    return said | estimate(arms, horizon, waiting, assumed, currency, replicates, seed)


def estimate(
    arms: Arms, horizon: int, waiting: int, assumed: Assumed, currency: str, replicates: int, seed: int
) -> dict[str, Any]:
    """Verdict, sentence, both arms, and where it is estimable the difference in the share that moved, the relative
    uplift and the difference in (capped) money gained an account, each with its 95 % interval.

    Rates: Newcombe's interval and Katz's. Money: accounts resampled. `plan`: slots an arm needed at the base rate."""
    rate = base_rate_of(arms)
    why = refusal(arms, horizon, waiting, assumed.share)
    out: dict[str, Any] = {
        "verdict": NOT_ESTIMABLE,
        "sentence": "",
        "arms": _arms(arms),
        "plan": plan(rate, assumed.uplift),
    }
    if why is not None:
        remedy = "" if rate is None else _planned(rate, horizon, assumed.uplift)
        return out | {"sentence": f"What a contact brings is {NOT_ESTIMABLE}: {why}{remedy}"}
    out |= _differences(arms, replicates, seed)
    out["verdict"] = _verdict(out, assumed.uplift)
    return out | {"sentence": _sentence(out, horizon, assumed.uplift, currency)}


def base_rate_of(arms: Arms) -> float | None:
    """Share that moves without a contact: of those left alone, or of both arms where too few of them moved; None where
    too few did in both."""
    moves, called, moved, alone = arms.counts()
    if moved >= LEAST_MOVES:
        return moved / alone
    return (moves + moved) / (called + alone) if moves + moved >= LEAST_MOVES else None


def plan(base_rate: float | None, assumed: float) -> list[dict[str, Any]]:
    """Slots an arm that show an uplift with 80 % power: for the assumed one and `PLANNED`; empty without a rate."""
    if base_rate is None:
        return []
    sought = sorted({assumed, *PLANNED})
    return [{"uplift": one, "slots_an_arm": accounts_needed(base_rate, one)} for one in sought]


def _arms(arms: Arms) -> list[dict[str, Any]]:
    out = []
    for name, rows in ((RANDOM, arms.contacted), (HELD_OUT, ~arms.contacted)):
        n, moved = int(rows.sum()), int(arms.moved[rows].sum())
        rate = {"rate": written(moved / n), "rate_ci": pair(wilson(moved, n))} if n else {"rate": None, "rate_ci": None}
        out.append({"arm": name, "slots": n, "moved": moved, **rate})
    return out


def _differences(arms: Arms, replicates: int, seed: int) -> dict[str, Any]:
    moves, called, moved, alone = arms.counts()
    ratio = ratio_interval(moves, called, moved, alone)
    return {
        "difference": written(moves / called - moved / alone),
        "difference_ci": pair(difference_interval(moves, called, moved, alone)),
        "relative": written(moves / called / (moved / alone) - 1),
        "relative_ci": pair((ratio[0] - 1, ratio[1] - 1)),
        "least_uplift": least_uplift(moved / alone, 2 / (1 / called + 1 / alone)),
        **_money(arms, replicates, seed),
    }


def _money(arms: Arms, replicates: int, seed: int) -> dict[str, Any]:
    """Mean capped gain of those contacted less that of those left alone, accounts resampled; null where an arm has
    fewer than `THIN` moves, as such an interval of money that a handful holds promises too much."""
    moves, _, moved, _ = arms.counts()
    if min(moves, moved) < THIN:
        return {"gain_cap": None, "gain_difference": None, "gain_difference_ci": None}
    gains = arms.gain[arms.gain > 0]
    cap = float(np.percentile(gains, CAPPED)) if len(gains) else 0.0
    gain = np.minimum(arms.gain, cap)
    own, other = arms.contacted.astype(np.float64), (~arms.contacted).astype(np.float64)

    def gap(weight: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # a replicate without one of the arms
            return np.asarray((gain * own) @ weight / (own @ weight) - (gain * other) @ weight / (other @ weight))

    drawn = [gap(weight) for weight in replicate_weights(np.arange(len(gain)), replicates, seed)]
    found = float(gap(np.ones((len(gain), 1)))[0])
    around = pair(interval(np.concatenate(drawn), found))
    return {"gain_cap": written(cap), "gain_difference": written(found), "gain_difference_ci": around}


def _verdict(found: Mapping[str, Any], assumed: float) -> str:
    low, high = found["difference_ci"]
    if low > 0:
        return MORE
    if high < 0:
        return FEWER
    return LESS_THAN_ASSUMED if found["relative_ci"][1] < assumed else NOT_TOLD


def _sentence(found: Mapping[str, Any], horizon: int, assumed: float, currency: str) -> str:
    own, other = found["arms"]
    low, high = found["difference_ci"]
    relative, around = found["relative"], found["relative_ci"]
    said = (
        f"Of {own['slots']:,} accounts contacted by lot {own['rate']:.1%} moved up within {horizon} days, of "
        f"{other['slots']:,} left alone by lot {other['rate']:.1%}: {100 * found['difference']:+.1f} points (95 % "
        f"interval {100 * low:+.1f} to {100 * high:+.1f}), {relative:+.0%} in relation ({around[0]:+.0%} to "
        f"{around[1]:+.0%})"
    )
    if found["gain_difference"] is not None:
        least, most = found["gain_difference_ci"]
        said += f", {found['gain_difference']:+,.2f} {currency} an account ({least:+,.2f} to {most:+,.2f})"
    said += "."
    if found["verdict"] == NOT_TOLD:
        needed = next(one["slots_an_arm"] for one in found["plan"] if one["uplift"] == assumed)
        said += " The difference is not statistically distinguishable from zero"
        said += f": seeing {assumed:.0%} (evaluate.uplift) would take {needed:,} slots an arm" if needed else ""
        if found["least_uplift"] is not None:
            said += f"; these slots would have shown {found['least_uplift']:.0%} (each with {POWER:.0%} power)"
        return f"{said}."
    if around[0] <= assumed <= around[1]:
        return f"{said} The {assumed:.0%} assumed (evaluate.uplift) is within."
    return f"{said} The {assumed:.0%} assumed (evaluate.uplift) is {'less' if assumed < around[0] else 'more'}."


def _undrawn(contacted: int, assumed: Assumed, seen: tuple[float, int] | None) -> str:
    chosen = f"; all {contacted:,} contacts were chosen by sales" if contacted else ""
    how = "" if seen is None or not seen[0] else _planned(*seen, assumed.uplift)
    return (
        f"What a contact brings is {NOT_ESTIMABLE}: no account was contacted or left alone by lot (touches of kind "
        f"{RANDOM} and {HELD_OUT}){chosen}.{how}"
    )


def _planned(base_rate: float, horizon: int, assumed: float) -> str:
    """What it would take, as a further sentence; empty where nearly all move and no number would do."""
    told = [one for one in plan(base_rate, assumed) if one["slots_an_arm"]]
    if not told:
        return ""
    listed = ", ".join(f"{one['slots_an_arm']:,} for one of {one['uplift']:.0%}" for one in told)
    return (
        f" Where {base_rate:.1%} move up within {horizon} days, slots an arm to see an uplift with {POWER:.0%} power: "
        f"{listed}."
    )
