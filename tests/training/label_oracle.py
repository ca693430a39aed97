"""What became of an account, told day by day in plain Python: for each day the run-rate is summed over the rows known
before `until`, and a move is looked for by walking the calendar. No spells, no SQL."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from features.catalogue import Definitions
from tests.features.histories import Row, at
from tests.features.oracle import known_revenue, rate_on, service
from training.labels import LabelParams

FAR = timedelta(days=800)  # no random service period reaches further from as_of than this


def outcome_of(
    owner: Row,
    rows: list[Row],
    as_of: date,
    tier: int,
    run_rate: Fraction,
    definitions: Definitions,
    params: LabelParams,
    until: date,
) -> dict[str, Any]:
    """One row of the label table; `tier` and `run_rate` as known at as_of."""
    known = known_revenue(rows, owner["account_id"], until)
    spread, ladder = definitions.tiers.spread_days, definitions.tiers.ladder
    days = [as_of - FAR + timedelta(days=k) for k in range(2 * FAR.days)]
    level = {day: rate_on(day, known, spread) for day in days}
    closed = owner.get("closed_at")
    closed = None if closed is not None and closed >= at(until) else closed

    def above(target: int, day: date) -> bool:
        there = closed is None or day < closed.date()
        return there and target < len(ladder) and level[day] >= Fraction(ladder[target].floor)

    def crosses(target: int, day: date) -> bool:
        """Moves up on `day`, by something paid for, and is still there on each of the following held_days days."""
        if not any(row["amount"] > 0 and service(row, spread)[0] == day for row in known):
            return False
        stays = all(above(target, day + timedelta(days=k)) for k in range(params.held_days + 1))
        return stays and not above(target, day - timedelta(days=1))

    def first_move(target: int) -> int | None:
        """Days to the first move whose last held day had passed, and was invoiced, at `until`."""
        for day in days[FAR.days :]:
            if day + timedelta(days=params.held_days + params.invoice_lag_days) >= until:
                return None
            if crosses(target, day):
                return (day - as_of).days
        return None

    def moved_before(target: int) -> bool:
        """Had crossed before as_of, for long enough, and was still there as as_of opened and on the day itself."""
        day = as_of
        while above(target, day):
            day -= timedelta(days=1)
            if crosses(target, day + timedelta(days=1)) and day + timedelta(days=1) < as_of:
                return True
        return False

    high = definitions.tiers.high_value_index
    out: dict[str, Any] = {
        "observed_days": (until - as_of).days - params.held_days - params.invoice_lag_days,
        "expansion_day": first_move(tier + 1),
        "expansion_at_risk": tier + 1 < len(ladder) and not moved_before(tier + 1),
        "high_value_day": first_move(high),
        "high_value_at_risk": tier < high and not moved_before(high),
        "churn_day": None,
    }
    if closed is not None and at(as_of) <= closed:
        out["churn_day"] = (closed.date() - as_of).days
    for h in params.horizons:
        end = as_of + timedelta(days=h)
        served = sum(
            (_exact_rate(known, as_of + timedelta(days=k), spread) / 30 for k in range(h)),
            Fraction(0),
        )
        arrived = end + timedelta(days=params.invoice_lag_days)
        told = arrived + timedelta(days=params.held_days) <= until
        out[f"increment_{h}"] = float(served - max(run_rate, Fraction(0)) * h / 30) if told else None
        booked = sum((row["amount"] for row in known if at(as_of) <= row["booked_at"] < at(end)), start=0)
        out[f"booked_{h}"] = float(booked) if arrived <= until else None
    return out


def _exact_rate(rows: list[Row], day: date, spread: int) -> Fraction:
    total = Fraction(0)
    for row in rows:
        first, end = service(row, spread)
        if first <= day < end:
            total += Fraction(row["amount"]) * 30 / (end - first).days
    return total
