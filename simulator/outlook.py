"""The backward recursion: chances and money still to come, from every hidden state, at a date and horizon.

For an account in a known state (type z, size s, stage g, tier k) on a day, `Outlook` knows the chance that it reaches a
tier, or closes first, before the horizon ends, and the money it will pay. The value of a day is the value of the next
one, met through the night (stages turn on the first day of a week), mixed with the value of a step if one strikes. A
step settles for 35 days in which nothing else can happen but its being taken back, so its value looks 35 days ahead.

Nothing that a day emits changes these hazards, save a look at the price list (sales may call the week after) and the
contact itself; both are part of the state where sales calls. So no path is ever sampled: the recursion is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.calendar import Calendar
from simulator.lives import credit_chance, seats_added, seats_dropped
from simulator.market import CHURNED, REVOKED, SETTLING, Floats, Ints, Market
from simulator.sales import WEEKS, contact_chance
from simulator.step_size import Landing

YEARLY = 2  # billed by the month, by the year
EXPIRY_AHEAD = 32  # days after which no trial that runs today can still be near its end
LEFTS = np.arange(-1, EXPIRY_AHEAD - 1)  # days of trial left for which its end is still to matter


@dataclass(frozen=True, eq=False)
class Values:
    """Values of one date and horizon. First axis: the sixteen quantities placed by `reach`, `close`, `fixed` and
    `per_rate`. Last axes: region, weeks of assistance left, looked, type, size, stage.

    Seen from the evening before the date, so that what the date itself brings (a turn of the week, a contact) is still
    open. `free` (quantity, tier, ...): accounts that are not settling, whose trial has ended. `young` (quantities
    YOUNG, days of trial left as in LEFTS, ...): accounts in their trial. `settled` (days 0 to 34 until they are free,
    quantity, tier, region, type, size, stage): accounts that settle. `free_gain`, `young_gain`: what a contact on the
    date adds to the chance of reaching each target (young: the first), as `free` and `young` otherwise.
    """

    free: Floats
    young: Floats
    settled: Floats
    free_gain: Floats
    young_gain: Floats


def reach(target: int) -> int:
    """Place of the quantity: chance of a held step into tier `target` (1..4) or above, before the horizon ends."""
    return target - 1


def close(target: int, yearly: int) -> int:
    """Place of the quantity: chance of closing before the horizon ends, having not reached `target`."""
    return 4 + (target - 1) * YEARLY + yearly


def fixed(yearly: int) -> int:
    """Place of the quantity: money that comes in before the horizon ends, whatever the run-rate now."""
    return 12 + yearly


def per_rate(yearly: int) -> int:
    """Place of the quantity: money that comes in before the horizon ends, per unit of the run-rate now."""
    return 14 + yearly


QUANTITIES = 16
YOUNG = (reach(1), reach(3), close(1, 0), close(1, 1), fixed(0), fixed(1))  # all that tier 0 is asked for


class Outlook:
    """Values at any date and horizon of one market."""

    def __init__(self, market: Market, calendar: Calendar) -> None:
        self._market, self._calendar = market, calendar
        self._moves = market.moves
        self._settled_moves = market.settled_moves()
        self._settling = np.stack([np.linalg.matrix_power(moves, SETTLING // 7) for moves in self._settled_moves])
        assist = np.where(np.arange(WEEKS + 1 if market.sells else 1) > 0, market.assist, 1.0)
        self._hazard = market.step_hazard()[None] * assist[:, None, None, None]  # (assisted, type, size, stage)
        self._contact = contact_chance(market) if market.sells else np.zeros((1, 1))
        self._lanes = (*self._contact.shape[:1], len(assist), self._contact.shape[1])
        self._shape = (*self._lanes, *self._hazard.shape[1:])
        self._landing = Landing(market)
        self._below = np.zeros((QUANTITIES, len(market.floors)))  # 1: the step has not reached the target yet
        self._at = np.zeros((4, len(market.floors)))
        for target in range(1, 5):
            places = [reach(target), *(close(target, yearly) for yearly in range(YEARLY))]
            self._below[places, :target] = 1.0
            self._at[target - 1, target:] = 1.0
        self._below[fixed(0) :] = 1.0
        self._seats = self._seat_changes()

    def values(self, as_of: int, horizon: int) -> Values:
        """Values at the midnight that opens day `as_of`, over [as_of, as_of + horizon)."""
        end, tiers = as_of + horizon, len(self._market.floors)
        now = np.zeros((QUANTITIES, tiers, *self._shape))
        settled: dict[int, Floats] = {}  # by day: values at its opening, seen from five weeks before
        opened: dict[int, Floats] = {}  # by day: values at its opening for accounts that settled until then
        young = np.empty((len(YOUNG), len(LEFTS), *self._shape))
        none = np.zeros((QUANTITIES, tiers, self._shape[0], *self._shape[3:]))
        for day in range(end - 1, as_of - 1, -1):
            ahead = day - as_of
            now = self._night(now, day)
            struck = self._struck(settled.pop(day + SETTLING, none), min(SETTLING, end - day))
            if ahead == EXPIRY_AHEAD - 1:
                young[:] = now[list(YOUNG), :1]
            elif ahead < EXPIRY_AHEAD - 1:
                young = self._night(young, day)
            if ahead < EXPIRY_AHEAD:
                young = self._young_day(young, struck[list(YOUNG), :1], day, end, LEFTS - ahead)
            now = self._day(now, struck, day, end)
            if ahead < SETTLING:
                opened[day] = now[:, :, :, 0, 0]
            settled[day] = _through(self._settling, now[:, :, :, 0, 0])
        turns = as_of % 7 == 0
        gains = self._gain(now[:4], turns), self._gain(young[:1], turns)
        if turns:
            now, young = self._turn(now), self._turn(young)
        return Values(now, young, self._seen_from(as_of, opened), *gains)

    def _gain(self, values: Floats, turns: bool) -> Floats:
        """What a contact today adds to `values`, which are those at the opening of the day."""
        if not turns:
            return values[..., -1:, :, :, :, :] - values
        moved = np.broadcast_to(_through(self._moves, values[..., :1, :, :, :]), values.shape)
        return moved[..., -1:, :, :, :, :] - self._week_later(moved)

    def _week_later(self, values: Floats) -> Floats:
        """`values` a week of assistance later, for accounts that nobody calls."""
        weeks = [0, *range(WEEKS)] if self._market.sells else [0]
        return values[..., weeks, :, :, :, :]

    def _seen_from(self, as_of: int, opened: dict[int, Floats]) -> Floats:
        """Values at the end of settling, seen from the evening before `as_of`: weeks between turn without churn."""
        days = []
        for day in range(as_of, as_of + SETTLING):
            weeks = day // 7 - (as_of - 1) // 7
            moves = np.stack([np.linalg.matrix_power(matrix, weeks) for matrix in self._settled_moves])
            days.append(_through(moves, opened[day]))
        return np.stack(days)

    def _night(self, values: Floats, day: int) -> Floats:
        """Values at the end of day `day`, from those at the opening of the next: the turn of the week, and a look at
        the price list."""
        if (day + 1) % 7 == 0:
            values = self._turn(values)
        if self._market.sells:
            look = -np.expm1(-self._market.pricing / 7.0 * self._calendar.activity[day])[:, None, :]
            unlooked = (1.0 - look) * values[..., 0, :, :, :] + look * values[..., 1, :, :, :]
            values = np.stack([unlooked, values[..., 1, :, :, :]], axis=-4)
        return values

    def _turn(self, values: Floats) -> Floats:
        """Values before the turn of a week: the stages move, and sales calls."""
        moved = _through(self._moves, values[..., :1, :, :, :])
        if self._market.sells:
            called = moved[..., -1:, :, :, :, :]
            uncalled = self._week_later(moved)
            chance = self._contact[:, None, :, None, None, None]
            moved = chance * called + (1.0 - chance) * uncalled
        return moved

    def _struck(self, after: Floats, days: int) -> Floats:
        """Values of a step that strikes today: it settles for `days` within the horizon, `after` is the value of what
        comes then, both seen from today."""
        market, landing = self._market, self._landing
        share, money = landing.share[:, :, None, :, :, None], landing.money[:, :, None, :, :, None]
        kept = np.einsum("kjrzsg,qjRzsg->qkRzsg", share, after * self._below[:, :, None, None, None, None])
        for target in range(1, 5):
            kept[reach(target)] += np.einsum("kjrzsg,j->krzsg", share, self._at[target - 1])
        back = after * 1.0
        total = money.sum(axis=1)
        ends = np.arange(REVOKED[0], REVOKED[1] + 1)
        paid = np.minimum(ends, days).mean()
        for yearly in range(YEARLY):
            rates = days / 30.0 + after[per_rate(yearly)]
            kept[fixed(yearly)] += np.einsum("kjrzsg,jRzsg->kRzsg", money, rates)
            kept[per_rate(yearly)] = 0.0
            back[fixed(yearly)] += total * paid / 30.0
            back[per_rate(yearly)] += (days - paid) / 30.0
        values: Floats = (1.0 - market.revoked) * kept + market.revoked * back
        return values[:, :, :, None, None]

    def _young_day(self, later: Floats, struck: Floats, day: int, end: int, left: Ints) -> Floats:
        """As `_day`, of the quantities YOUNG, for accounts with `left` days of trial, which pay nothing yet."""
        near = (left <= 2) & (left >= -1)
        chance = self._chance(day, np.where(near, self._market.expiry_steps, 1.0))
        values: Floats = chance * struck + (1.0 - chance) * later
        values[2:4, ..., CHURNED] = -np.expm1(-self._market.close / 7.0 * (end - day))
        return values

    def _chance(self, day: int, factor: Floats) -> Floats:
        """Chance of a step with `factor` (n,) on its hazard: (n, region, assisted, looked, type, size, stage)."""
        exposed = self._calendar.steps[day] * factor.reshape(-1, *[1] * 6)
        chance: Floats = -np.expm1(-exposed * self._hazard[None, None, :, None])
        return chance

    def _day(self, later: Floats, struck: Floats, day: int, end: int) -> Floats:
        """Values at the opening of `day` by tier, for accounts that are neither settling nor near the end of a trial,
        from those at its end (`later`) and those of a step today (`struck`)."""
        market, calendar = self._market, self._calendar
        tier = np.arange(len(market.floors))
        chance = self._chance(day, np.where(tier < len(tier) - 1, 1.0, 0.0))
        stay = later.copy()
        length = min(market.credit_days, int(calendar.month_end[day]) - day, end - day)
        off = credit_chance(market) * market.credit_share * length / 30.0
        slope, rise = (part[:, None, None, None, None, None, :] for part in self._seats)
        floor = market.floors[tier].reshape(-1, *[1] * 6)
        for yearly in range(YEARLY):
            contract = ((tier >= 2) & bool(yearly)).reshape(floor.shape)
            less = np.where(contract, 0.0, off)
            rate = 1.0 / 30.0 - less + later[per_rate(yearly)]
            paying = (tier > 0).reshape(floor.shape)
            stay[fixed(yearly)] = later[fixed(yearly)] + paying * (rate * rise + less * floor)
            stay[per_rate(yearly)] = paying * rate * slope
            stops = contract | calendar.month_start[day]
            for place in (fixed(yearly), per_rate(yearly)):
                gone = np.broadcast_to(stops[..., 0], stay[place, ..., CHURNED].shape)
                stay[place, ..., CHURNED][gone] = 0.0
        values: Floats = chance * struck + (1.0 - chance) * stay
        unpaid_from = np.where(tier > 0, day if calendar.month_start[day] else calendar.month_end[day], day)
        for target in range(1, 5):
            for yearly in range(YEARLY):
                begins = np.where((tier >= 2) & bool(yearly), day, unpaid_from)
                closes = -np.expm1(-market.close / 7.0 * np.maximum(end - begins, 0))
                values[close(target, yearly), ..., CHURNED] = closes.reshape(-1, *[1] * 5)
        return values

    def _seat_changes(self) -> tuple[Floats, Floats]:
        """Mean run-rate after a day's change of seats, affine in the one before: (slope, rise), each (tier, stage)."""
        market = self._market
        tier = np.arange(len(market.floors))
        up = -np.expm1(-market.seats_up / 7.0)[None]
        down = -np.expm1(-market.seats_down / 7.0)[None] * (1.0 - up)
        zero, one = np.zeros(len(tier)), np.ones(len(tier))
        parts = []
        for change in (seats_added, seats_dropped):
            rise = change(market, zero, tier)
            parts.append((change(market, one, tier) - rise, rise))
        (slope_up, rise_up), (slope_down, rise_down) = ((a[:, None], b[:, None]) for a, b in parts)
        return 1.0 - up - down + up * slope_up + down * slope_down, up * rise_up + down * rise_down


def _through(moves: Floats, values: Floats) -> Floats:
    """Values before the stages have moved; `values` (..., type, size, stage)."""
    before: Floats = np.einsum("zgh,...zsh->...zsg", moves, values)
    return before
