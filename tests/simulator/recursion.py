"""The backward recursion a second time: one account, one state at a time, in plain Python and from the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

from simulator.calendar import Calendar
from simulator.market import CHURNED, Market

TIERS = range(5)
SETTLES = 35  # days
BACK_AFTER = range(4, 25)  # days after which a step may be taken back
CALLED = 4  # weeks that a contact works


@dataclass(frozen=True)
class Value:
    """`reach`: chance of a held step into the target; `close`: of closing before that; money still to come: `fixed`
    plus `slope` times the run-rate now."""

    reach: float = 0.0
    close: float = 0.0
    fixed: float = 0.0
    slope: float = 0.0


def mean(*parts: tuple[float, Value]) -> Value:
    """Of values with their chances."""
    return Value(*(sum(p * getattr(v, name) for p, v in parts) for name in Value.__dataclass_fields__))


class Twin(NamedTuple):
    """Values seen from the evening before as_of: `free(tier, stage, weeks of assistance, looked)`; `settling(days until
    free, tier, stage)`; `called(tier, stage, weeks, looked, whether)`: as `free`, told whether sales calls on as_of."""

    free: Callable[[int, int, int, int], Value]
    settling: Callable[[int, int, int], Value]
    called: Callable[[int, int, int, int, bool], Value]


def outlook(
    market: Market,
    calendar: Calendar,
    account: tuple[int, int, int],
    asked: tuple[int, bool],
    span: tuple[int, int],
    left: int = -2,
) -> Twin:
    """What an account can expect on [as_of, as_of + horizon), seen from the evening before.

    Args:
        account: type, size, region.
        asked: target tier, whether it is billed by the year.
        span: as_of, horizon.
        left: days of trial left on as_of; below -1 its end no longer matters.
    """
    (kind, size, region), (target, yearly), (as_of, horizon) = account, asked, span
    end = as_of + horizon
    sells = market.sells

    def opening(day: int, tier: int, stage: int, weeks: int, looked: int) -> Value:
        """At the opening of `day`, its turn done."""
        if day == end:
            return Value()
        if stage == CHURNED and tier > 0 and (calendar.month_start[day] or (yearly and tier >= 2)):
            return opened(day, 0, stage, weeks, looked)  # the bill stops
        stay = unchanged(day, tier, stage, weeks, looked)
        if tier == 4:
            return stay
        near = -1 <= left - (day - as_of) <= 2
        hazard = market.step[kind, stage] * market.step_size[size] / 7 * calendar.steps[day]
        hazard *= (market.expiry_steps if near else 1.0) * (market.assist if weeks else 1.0)
        strikes = -math.expm1(-hazard)
        return mean((strikes, step(day, tier, stage)), (1 - strikes, stay))

    opened = cache(opening)

    def unchanged(day: int, tier: int, stage: int, weeks: int, looked: int) -> Value:
        """No step today."""
        later = night(day, tier, stage, weeks, looked)
        if tier == 0:
            gone = -math.expm1(-market.close / 7) if stage == CHURNED else 0.0
            return mean((gone, Value(close=1.0)), (1 - gone, later))
        up = -math.expm1(-market.seats_up[stage] / 7)
        down = (1 - up) * -math.expm1(-market.seats_down[stage] / 7)
        least = market.landing * market.floors[tier]
        most = market.seat_limit * market.floors[min(tier + 1, 4)]
        part = market.seat_share
        grown = (1 + market.top_growth, 0.0) if tier == 4 else (1 - part, part * most)
        shrunk = (1 - part, part * least)
        slope = (1 - up - down) + up * grown[0] + down * shrunk[0]
        rise = up * grown[1] + down * shrunk[1]
        days = min(market.credit_days, int(calendar.month_end[day]) - day, end - day)
        credit = -math.expm1(-market.credit * 12 / 365.25) * market.credit_share * days / 30
        if yearly and tier >= 2:
            credit = 0.0
        paid = 1 / 30 - credit + later.slope  # per unit of the run-rate tonight
        return Value(
            later.reach,
            later.close,
            later.fixed + paid * rise + credit * market.floors[tier],
            paid * slope,
        )

    def night(day: int, tier: int, stage: int, weeks: int, looked: int) -> Value:
        """From the end of `day` to the opening of the next, through a look at prices today."""
        look = -math.expm1(-market.pricing[kind, stage] / 7 * calendar.activity[day]) if sells and not looked else 0.0
        return mean(
            (look, turned(day + 1, tier, stage, weeks, 1)), (1 - look, turned(day + 1, tier, stage, weeks, looked))
        )

    def turning(day: int, tier: int, stage: int, weeks: int, looked: int) -> Value:
        """Just before the opening of `day`."""
        if day % 7 != 0 or day == end:
            return opened(day, tier, stage, weeks, looked)
        parts = []
        call = 0.0
        if sells:
            call = market.random_slots / 2 + (1 - market.random_slots) * market.contact[region, looked]
        for after in range(5):
            moved = market.moves[kind, stage, after]
            parts.append((moved * (1 - call), opened(day, tier, after, max(weeks - 1, 0), 0)))
            if call:
                parts.append((moved * call, opened(day, tier, after, CALLED, 0)))
        return mean(*parts)

    turned = cache(turning)

    def settling(first: int, free: int, tier: int, stage: int) -> Value:
        """At the end of the day before `first`, of an account that settles until `free`: nobody churns on the way."""
        if free >= end:
            return Value()
        monday = -(-first // 7) * 7
        if monday > free:
            return opened(free, tier, stage, 0, 0)
        moves = list(market.moves[kind, stage])
        if stage != CHURNED:
            moves[stage] += moves[CHURNED]
            moves[CHURNED] = 0.0
        return mean(*((moves[after], settled(monday + 1, free, tier, after)) for after in range(5) if moves[after]))

    settled = cache(settling)

    def step(day: int, tier: int, stage: int) -> Value:
        """A step strikes today and lands wherever it may; it is held, or taken back."""
        days = min(SETTLES, end - day)
        parts = []
        for into, (share, money) in landings(market, kind, size, tier).items():
            then = settled(day + 1, day + SETTLES, into, stage)
            earned = money / share * (days / 30 + then.slope) + then.fixed
            held = Value(1.0, 0.0, earned) if into >= target else Value(then.reach, then.close, earned)
            parts.append(((1 - market.revoked) * share, held))
            then = settled(day + 1, day + SETTLES, tier, stage)
            for after in BACK_AFTER:
                paid = min(after, days)
                back = Value(
                    then.reach,
                    then.close,
                    money / share * paid / 30 + then.fixed,
                    (days - paid) / 30 + then.slope,
                )
                parts.append((market.revoked * share / len(BACK_AFTER), back))
        return mean(*parts)

    def free(tier: int, stage: int, weeks: int, looked: int) -> Value:
        return turned(as_of, tier, stage, weeks, looked)

    def from_settling(days: int, tier: int, stage: int) -> Value:
        return settled(as_of, as_of + days, tier, stage)

    def called(tier: int, stage: int, weeks: int, looked: int, call: bool) -> Value:
        if as_of % 7 != 0:
            return opened(as_of, tier, stage, CALLED if call else weeks, looked)
        weeks = CALLED if call else max(weeks - 1, 0)
        return mean(*((market.moves[kind, stage, after], opened(as_of, tier, after, weeks, 0)) for after in range(5)))

    return Twin(free, from_settling, called)


@cache
def landings(market: Market, kind: int, size: int, tier: int) -> dict[int, tuple[float, float]]:
    """By tier that a step from `tier` may land in: its chance, and that times the run-rate there."""
    first, noise = market.floors[tier + 1], market.gain_noise
    centre = math.log(market.gain[kind] * market.gain_size[size])
    normal = NormalDist()

    def below(rate: float) -> tuple[float, float]:
        """(chance, mean times chance) of what comes on top, per floor, of landings below `rate`."""
        over = rate / first - market.landing
        if over <= 0:
            return 0.0, 0.0
        score = (math.log(over) - centre) / noise if over < math.inf else math.inf
        return normal.cdf(score), math.exp(centre + noise**2 / 2) * normal.cdf(score - noise)

    found = {}
    for into in range(tier + 1, 5):
        lower = below(market.landing * market.floors[into] if into > tier + 1 else 0.0)
        edge = market.floors[into + 1] if into < 4 else math.inf
        kept, upper = below(market.ceiling * edge), below(market.landing * edge)
        money = first * (market.landing * (kept[0] - lower[0]) + kept[1] - lower[1])
        if into < 4:
            money += market.ceiling * edge * (upper[0] - kept[0])
        found[into] = (upper[0] - lower[0], money)
    return found
