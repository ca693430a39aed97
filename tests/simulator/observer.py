"""The perfect observer a second time: reads the raw files, account by account and day by day, in whole likelihoods."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pyarrow.parquet as pq

from simulator.accounts import INDUSTRIES
from simulator.calendar import Calendar
from simulator.market import Market
from tests.simulator.run_rates import day_number

EVERYDAY = {"document_edited", "document_created", "comment_added", "export_run"}
SPECIALIST = {"report_built", "dashboard_shared", "automation_run", "api_called", "forecast_run"}
CONFIGURATION = {"setting_changed", "role_assigned", "integration_added"}
CHURNED = 4
SETTLES = 35  # days
DUST = 1.0  # money per 30 days that rounding to cents may leave behind; prices here are in a very small currency
HELD_BACK = "held_out"  # a touch that is none
State = tuple[int, int, int]


@dataclass
class History:
    """Everything the raw files say of one account. `counts`: of events without robots' by day and name; `users`: first
    day, last day, founder or not, of everyone but robots; `money`: rows (from, to, per 30 days, whether goodwill)."""

    row: dict[str, Any]
    counts: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    active: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    users: list[tuple[int, int, bool]] = field(default_factory=list)
    money: list[tuple[int, int, float, bool]] = field(default_factory=list)
    calls: set[int] = field(default_factory=set)

    @property
    def first_day(self) -> int:
        return day_number(self.row["created_at"])

    @property
    def closed(self) -> int:
        return 10_000 if self.row["closed_at"] is None else day_number(self.row["closed_at"])

    def price(self, day: int) -> float:
        """Money per 30 days, goodwill aside."""
        return sum(rate for start, end, rate, goodwill in self.money if start <= day < end and not goodwill)


def histories(folder: Path) -> dict[str, History]:
    """Of every account that is not the vendor's own."""
    found = {row["account_id"]: History(row) for row in _rows(folder / "accounts.parquet") if not row["is_internal"]}
    robots = set()
    for row in _rows(folder / "account_users.parquet"):
        if row["role"] == "service":
            robots.add(row["user_id"])
        elif (account := found.get(row["account_id"])) is not None:
            left = 10_000 if row["valid_to"] is None else day_number(row["valid_to"])
            account.users.append((day_number(row["valid_from"]), left, row["role"] == "admin"))
    for path in sorted((folder / "events").iterdir()):
        for row in _rows(path):
            if (account := found.get(row["account_id"])) is not None and row["user_id"] not in robots:
                day = day_number(row["occurred_at"])
                account.counts[day][row["event_name"]] += 1
                if row["event_name"] == "login":
                    account.active[day].add(row["user_id"])
    for row in _rows(folder / "revenue.parquet"):
        start, end = day_number(row["period_start"]), day_number(row["period_end"])
        goodwill = row["kind"] == "credit" and _second(row["booked_at"]) == 19 * 3_600
        rate = float(row["amount"]) / (end - start) * 30
        found[row["account_id"]].money.append((start, end, rate, goodwill))
    if (folder / "touches.parquet").exists():
        for row in _rows(folder / "touches.parquet"):
            if row["kind"] != HELD_BACK:
                found[row["account_id"]].calls.add(day_number(row["occurred_at"]))
    return found


def believe(market: Market, calendar: Calendar, history: History, as_of: int) -> dict[State, float]:
    """Weights of (type, size, stage) that sum to 1, from what lies before the midnight of `as_of`."""
    return _Observer(market, calendar, history).until(as_of)


class _Observer:
    def __init__(self, market: Market, calendar: Calendar, history: History) -> None:
        self._market, self._calendar, self._history = market, calendar, history
        self._trial = int(market.trial_days[market.channels.index(history.row["channel"])])
        self._settled_until, self._assisted = -1, 0
        yearly = any(end - start > 31 for start, end, *_ in history.money)
        self._contract_from = float(market.floors[2]) if yearly else math.inf

    def until(self, as_of: int) -> dict[State, float]:
        first = self._history.first_day
        weight = self._prior()
        for day in range(first, as_of):
            if day > first:
                weight = self._turned(weight, day) if day % 7 == 0 else weight
                log = self._day(day, weight)
                best = max(log.values())
                weight = {state: weight[state] * math.exp(value - best) for state, value in log.items()}
            total = sum(weight.values())
            weight = {state: value / total for state, value in weight.items() if value > 0}
        return weight

    def _prior(self) -> dict[State, float]:
        market, row, first = self._market, self._history.row, self._history.first_day
        came = sum(1 for joined, _, founder in self._history.users if joined == first and not founder)
        share = market.mix_share if self._calendar.mixed[first] else market.type_share
        found = {}
        for kind in range(len(market.types)):
            told = share[kind] * market.channel_share[kind, market.channels.index(row["channel"])]
            told *= market.country_share[kind, market.countries.index(row["country"])]
            for size, capacity in enumerate(market.user_capacity):
                along = _poisson(came, market.first_users * math.sqrt(capacity))
                said = _employees(market, row["employees"], row["industry"], float(capacity))
                found[kind, size, 0] = told * market.size_share[kind, size] * said * math.exp(along)
        return found

    def _turned(self, weight: dict[State, float], day: int) -> dict[State, float]:
        settles = day - 1 < self._settled_until
        moved: dict[State, float] = defaultdict(float)
        for (kind, size, stage), value in weight.items():
            for after in range(5):
                chance = self._market.moves[kind, stage, after]
                if settles and stage != CHURNED and after == CHURNED:
                    after = stage  # who settles does not churn: it stays
                moved[kind, size, after] += value * chance
        self._assisted = 4 if day in self._history.calls else max(self._assisted - 1, 0)
        return {state: value for state, value in moved.items() if value > 0}

    def _day(self, day: int, weight: dict[State, float]) -> dict[State, float]:
        """Log-likelihood of everything seen on a day."""
        shown = {key: self._shown(day, *key) for key in {(kind, stage) for kind, _, stage in weight}}
        pay = self._paid(day)
        log = {}
        for kind, size, stage in weight:
            value = shown[kind, stage] + self._joined(day, kind, size, stage) + pay(kind, size, stage)
            if value > -math.inf:
                log[kind, size, stage] = value
        return log

    def _shown(self, day: int, kind: int, stage: int) -> float:
        """Users active and leaving, what they did, and looks at prices: nothing that the size bears on."""
        market, history, calendar = self._market, self._history, self._calendar
        counts, active = history.counts.get(day, Counter()), len(history.active.get(day, ()))
        users = self._users(day)
        pace = float(calendar.activity[day])
        left = self._trial - (day - history.first_day)
        burst = market.expiry_burst[kind] if -1 <= left <= 2 else 1.0
        everyday = sum(counts[name] for name in EVERYDAY) / (2 if calendar.double[day] else 1)
        specialist = sum(counts[name] for name in SPECIALIST)
        parts = [_binomial(active, users, float(market.active[kind, stage] * pace * burst))]
        if active:
            mean = float(market.specialist[kind, stage] * calendar.specialist[day])
            parts += [
                _negative_binomial(everyday, market.actions_shape * active, float(market.actions[stage]) * active),
                _negative_binomial(specialist, market.specialist_shape * active, mean * active),
                _poisson(sum(counts[name] for name in CONFIGURATION), float(market.configure[kind, stage])),
                _poisson(counts["limit_hit"], float(market.limit[stage]) * active),
                _poisson(counts["ticket_opened"], market.ticket * active),
            ]
        went = sum(1 for _, gone, _ in history.users if gone == day)
        parts.append(_binomial(went, max(users - 1, 0), -math.expm1(-market.leave[stage] / 7)))
        look = -math.expm1(-market.pricing[kind, stage] / 7 * pace)
        parts.append(_log(look if counts["pricing_viewed"] else 1 - look))
        return sum(parts)

    def _joined(self, day: int, kind: int, size: int, stage: int) -> float:
        market, capacity = self._market, float(self._market.user_capacity[size])
        users = self._users(day)
        joined = sum(1 for came, *_ in self._history.users if came == day)
        crowd = math.sqrt(users * capacity) * max(0.0, 1 - users / capacity)
        return _poisson(joined, float(market.join[kind, stage]) * crowd * float(self._calendar.activity[day]))

    def _users(self, day: int) -> int:
        """There at the opening of the day."""
        return sum(1 for came, gone, _ in self._history.users if came < day <= gone)

    def _paid(self, day: int) -> Any:
        """Log-likelihood, as a function of (type, size, stage), of what was paid, changed, stopped and left open."""
        market, history = self._market, self._history
        before, after = history.price(day - 1), history.price(day)
        settles = day < self._settled_until
        moved = self._tier(after) - self._tier(before)
        assisted = self._assisted
        due = before > DUST and not settles and self._due(before, day)
        stopped = due and after < DUST
        idle = before < DUST or stopped
        stepped = moved > 0
        can_step = not settles and (0.0 if stopped else before) < market.floors[-1]
        payer = not settles and before > DUST and not stopped and not stepped
        left = self._trial - (day - history.first_day)
        factor = float(self._calendar.steps[day]) * (market.expiry_steps if -1 <= left <= 2 else 1.0)
        factor *= market.assist if assisted else 1.0
        if stepped:
            assert can_step
            self._settled_until, self._assisted = day + SETTLES, 0
        changed = 0 if abs(after - before) < DUST else (1 if after > before else -1)

        def log(kind: int, size: int, stage: int) -> float:
            total = 0.0
            if due:
                total += 0.0 if (stage == CHURNED) == stopped else -math.inf
            if idle and stage == CHURNED:
                total += -market.close / 7
            if can_step:
                hazard = float(market.step[kind, stage] * market.step_size[size]) / 7 * factor
                total += _log(-math.expm1(-hazard)) if stepped else -hazard
            if stepped:
                total += _landed(market, before, after, kind, size)
            if payer:
                up = -math.expm1(-market.seats_up[stage] / 7)
                down = -math.expm1(-market.seats_down[stage] / 7)
                total += _log({1: up, -1: (1 - up) * down, 0: (1 - up) * (1 - down)}[changed])
            return total

        return log

    def _due(self, price: float, day: int) -> bool:
        """Whether a bill would stop today, had they churned."""
        return day % 7 == 0 if price >= self._contract_from else bool(self._calendar.month_start[day])

    def _tier(self, price: float) -> int:
        return sum(1 for floor in self._market.floors[1:] if price >= floor)


def _landed(market: Market, before: float, after: float, kind: int, size: int) -> float:
    """Log of the density of a landing, or of its chance where it was put below a floor."""
    first = float(market.floors[sum(1 for floor in market.floors if before >= floor)])
    normal = NormalDist(math.log(market.gain[kind] * market.gain_size[size]), market.gain_noise)
    for edge in market.floors[1:]:
        if edge > first and abs(after - market.ceiling * edge) < 1e-7 * edge:
            lower, upper = (math.log(line * edge / first - market.landing) for line in (market.ceiling, market.landing))
            return _log(normal.cdf(upper) - normal.cdf(lower))
    over = after / first - market.landing
    return _log(normal.pdf(math.log(over)) / over)


def _employees(market: Market, told: int | None, industry: str, capacity: float) -> float:
    if told is None:
        return market.employees_missing
    median = market.employees_per_capacity * capacity * INDUSTRIES[industry]
    normal = NormalDist(math.log(median), market.employees_noise)
    below = normal.cdf(math.log(told - 0.5)) if told > 1 else 0.0
    return (1 - market.employees_missing) * (normal.cdf(math.log(told + 0.5)) - below)


def _log(chance: float) -> float:
    return math.log(chance) if chance > 0 else -math.inf


def _binomial(count: int, of: int, chance: float) -> float:
    ways = math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)
    hit = count * _log(chance) if count else 0.0
    return ways + hit + ((of - count) * math.log1p(-chance) if count < of else 0.0)


def _poisson(count: int, mean: float) -> float:
    return (count * _log(mean) if count else 0.0) - mean - math.lgamma(count + 1)


def _negative_binomial(count: float, shape: float, mean: float) -> float:
    """Of a sum of as many such counts as multiply both shape and mean."""
    ways = math.lgamma(count + shape) - math.lgamma(shape) - math.lgamma(count + 1)
    return ways + shape * _log(shape / (mean + shape)) + (count * _log(mean / (mean + shape)) if count else 0.0)


def _second(moment: datetime) -> int:
    return moment.hour * 3_600 + moment.minute * 60 + moment.second


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    yield from pq.read_table(path).to_pylist()
