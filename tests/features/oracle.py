"""Every feature recomputed from raw rows in plain Python: one account, one date, loops over timestamps.

Nothing is shared with features/: no roll-up, no days as ages of groups, no SQL. A row exists at as_of if every clock of
it is before that midnight. Counts and sums of amounts are exact (int, Decimal); ratios and rates are float or Fraction.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from features.catalogue import Definitions
from tests.features.histories import History, Row, at
from tests.features.oracle_season import season_of

Value = int | float | Decimal | Fraction | str | None
MONTH = 30  # a run-rate is money per 30 days


def portrait(history: History, account_id: str, as_of: date, definitions: Definitions) -> dict[str, Value] | None:
    """All features of the account; None where it had not signed up before as_of."""
    midnight = at(as_of)
    own = next(row for row in history.accounts if row["account_id"] == account_id)
    if own["created_at"] >= midnight:
        return None
    events = [
        row
        for row in history.events
        if row["account_id"] == account_id and row["occurred_at"] < midnight and row["received_at"] < midnight
    ]
    revenue = known_revenue(history.revenue, account_id, as_of)
    out: dict[str, Value] = {"tenure_days": (as_of - own["created_at"].date()).days}
    out |= {name: own.get(name) for name in ("employees", "industry", "country", "channel")}
    out |= _usage(events, own, midnight, definitions)
    out |= _quarters(events, own, midnight, definitions)
    out |= _people(events, own, midnight)
    out |= _breadth(events, midnight, definitions)
    out |= _seats(history, own, midnight, out)
    out |= _per_day(out)
    out["configuration_per_user_life"] = _ratio(out["configuration_life"], out["users_life"])
    out |= _money(revenue, own, midnight, definitions)
    out |= _peers(history, own, midnight, out)
    out |= _ladder(out, definitions)
    out["stage"] = _stage(out, own.get("closed_at") is not None and own["closed_at"] < midnight, definitions)
    return out


def known_revenue(revenue: Any, account_id: str, as_of: date) -> list[Row]:
    return [row for row in revenue if row["account_id"] == account_id and row["booked_at"] < at(as_of)]


def service(row: Row, spread_days: int) -> tuple[date, date]:
    """First day served, and the first day no longer served."""
    first = row["period_start"].date()
    last = row["period_end"].date() if row["period_end"] else first + timedelta(days=spread_days)
    if row["period_end"] and _last_minute(row["period_end"]) and not _last_minute(row["period_start"]):
        last += timedelta(days=1)
    return first, max(last, first + timedelta(days=1))


def _last_minute(moment: datetime) -> bool:
    return (moment.hour, moment.minute) == (23, 59)


def rate_on(day: date, revenue: list[Row], spread_days: int) -> Fraction:
    """Money per 30 days served on `day`, told to a millionth."""
    total = Fraction(0)
    for row in revenue:
        first, end = service(row, spread_days)
        if first <= day < end:
            total += Fraction(row["amount"]) * MONTH / (end - first).days
    return round(total, 6)


def tier_of(run_rate: Fraction, definitions: Definitions) -> int:
    tier = 0
    for number, step in enumerate(definitions.tiers.ladder):
        if number and run_rate >= Fraction(step.floor):
            tier = number
    return tier


def _ago(days: int, midnight: datetime) -> datetime:
    return midnight - timedelta(days=days)


def _since(rows: list[Row], clock: str, days: int, midnight: datetime) -> list[Row]:
    return [row for row in rows if row[clock] >= _ago(days, midnight)]


def _between(rows: list[Row], clock: str, far: int, near: int, midnight: datetime) -> list[Row]:
    return [row for row in rows if _ago(far, midnight) <= row[clock] < _ago(near, midnight)]


def _days_since(moment: datetime, midnight: datetime) -> int:
    return (midnight.date() - moment.date()).days


def _old_enough(own: Row, days: int, midnight: datetime) -> bool:
    """Signed up before the window that lies `days` days back ends."""
    return bool(own["created_at"] < _ago(days, midnight))


def _ratio(above: Any, below: Any) -> float | None:
    return None if above is None or not below else float(Fraction(above) / Fraction(below))


def _growth(now: int, before: Any) -> float | None:
    return None if before is None else math.log((now + 1) / (before + 1))


def _usage(events: list[Row], own: Row, midnight: datetime, definitions: Definitions) -> dict[str, Value]:
    means = definitions.features
    kinds = {
        "events": ((7, 14, 28, 90), None),
        "specialist": ((7, 28, 90), means.specialist),
        "configuration": ((28, 90), means.configuration),
        "limit_hits": ((14, 28, 90), means.limit),
        "tickets": ((90,), means.ticket),
        "intent": ((7, 28, 90), means.intent),
    }
    out: dict[str, Value] = {}
    for name, (windows, names) in kinds.items():
        chosen = [row for row in events if names is None or row["event_name"] in names]
        for w in windows:
            out[f"{name}_{w}d"] = len(_since(chosen, "occurred_at", w, midnight))
        if name in ("events", "specialist", "configuration", "intent"):
            out[f"{name}_life"] = len(chosen)
        if name in ("events", "specialist"):
            before = len(_between(chosen, "occurred_at", 56, 28, midnight)) if _old_enough(own, 28, midnight) else None
            out[f"{name}_prev_28d"] = before
            out[f"{name}_trend"] = _growth(len(_since(chosen, "occurred_at", 28, midnight)), before)
    named = {name for _, names in kinds.values() for name in names or ()}
    disjoint = {
        "plain": ([row for row in events if row["event_name"] not in named], (0, 7, 14, 28, 56, 90)),
        "specialist": ([row for row in events if row["event_name"] in means.specialist], (7, 14, 28)),
        "specialist then": ([row for row in events if row["event_name"] in means.specialist], (56, 90)),
        "configuration": ([row for row in events if row["event_name"] in means.configuration], (0, 7, 14, 28, 56, 90)),
    }
    for name, (chosen, edges) in disjoint.items():
        for near, far in pairwise(edges):
            window = f"{near}_{far}d" if near else f"{far}d"
            told = not near or _old_enough(own, near, midnight)
            rows = _between(chosen, "occurred_at", far, near, midnight)
            out[f"{name.split()[0]}_{window}"] = len(rows) if told else None
    for w in (28, 90):
        recent = _since(events, "occurred_at", w, midnight)
        out[f"quantity_{w}d"] = sum((row["quantity"] for row in recent), Decimal(0))
    out["quantity_life"] = sum((row["quantity"] for row in events), Decimal(0))
    for w in (7, 28, 90):
        out[f"active_days_{w}d"] = len(
            {row["occurred_at"].date() for row in _since(events, "occurred_at", w, midnight)}
        )
    out["active_days_life"] = len({row["occurred_at"].date() for row in events})
    quarter = _since(events, "occurred_at", 90, midnight)
    out["active_weeks_90d"] = len({(_days_since(row["occurred_at"], midnight) - 1) // 7 for row in quarter})
    out["events_slope_90d"] = _slope(quarter, midnight) if _old_enough(own, 90, midnight) else None
    out["specialist_share_90d"] = _ratio(out["specialist_90d"], out["events_90d"])
    out["limit_pressure_28d"] = _ratio(out["limit_hits_28d"], out["active_days_28d"])
    return out


def _slope(rows: list[Row], midnight: datetime) -> float:
    """Least squares of the events of each of the last 90 days on the day, in events a week, a week."""
    counts = [0] * 90
    for row in rows:
        counts[90 - _days_since(row["occurred_at"], midnight)] += 1
    mean_day, mean = Fraction(89, 2), Fraction(sum(counts), 90)
    above = sum((day - mean_day) * (count - mean) for day, count in enumerate(counts))
    return float(49 * above / sum((day - mean_day) ** 2 for day in range(90)))


def _quarters(events: list[Row], own: Row, midnight: datetime, definitions: Definitions) -> dict[str, Value]:
    """The first four quarters of its life, 90 days each from the day of sign-up; users by the day they became known."""
    out: dict[str, Value] = {}
    known: dict[str, date] = {}
    for row in events:
        if row["user_id"] is not None:
            day = max(row["occurred_at"], row["received_at"]).date()
            known[row["user_id"]] = min(day, known.get(row["user_id"], day))
    for number, word in enumerate(("first", "second", "third", "fourth")):
        start = own["created_at"].date() + timedelta(days=90 * number)

        def inside(day: date, start: date = start) -> bool:
            return start <= day < start + timedelta(days=90)

        begun = not number or _old_enough(own, 90 * number, midnight)
        rows = [row for row in events if inside(row["occurred_at"].date())]
        deep = [row for row in rows if row["event_name"] in definitions.features.specialist]
        out[f"events_{word}_quarter"] = len(rows) if begun else None
        out[f"specialist_{word}_quarter"] = len(deep) if begun else None
        out[f"users_joined_{word}_quarter"] = sum(map(inside, known.values())) if begun else None
    return out


def _peers(history: History, own: Row, midnight: datetime, out: dict[str, Value]) -> dict[str, Value]:
    """What accounts of its channel, industry and size, itself among them, had come to by as_of; 20 or nothing."""

    def group(row: Row) -> tuple[Any, ...]:
        size = row.get("employees")
        band = None if size is None else sum(size >= limit for limit in (10, 50, 250, 1000))
        return row.get("channel") or "", row.get("industry") or "", band

    like = [
        row["account_id"]
        for row in history.accounts
        if not row["is_internal"] and row["created_at"] < midnight and group(row) == group(own)
    ]
    if len(like) < 20:
        return dict.fromkeys(("peers_paying", "peers_booked", "booked_beside_peers"))
    theirs = [row for row in history.revenue if row["account_id"] in like and row["booked_at"] < midnight]
    paying = len({row["account_id"] for row in theirs if row["amount"] > 0})
    booked = Fraction(sum((row["amount"] for row in theirs), Decimal(0))) / len(like)
    return {
        "peers_paying": paying / len(like),
        "peers_booked": float(booked),
        "booked_beside_peers": _ratio(out["booked_life"], booked),
    }


def _people(events: list[Row], own: Row, midnight: datetime) -> dict[str, Value]:
    named = [row for row in events if row["user_id"] is not None]
    month = _since(named, "occurred_at", 28, midnight)
    first: dict[str, datetime] = {}
    for row in named:
        first[row["user_id"]] = min(row["occurred_at"], first.get(row["user_id"], row["occurred_at"]))
    out: dict[str, Value] = {
        f"users_{w}d": len({row["user_id"] for row in _since(named, "occurred_at", w, midnight)})
        for w in (7, 14, 28, 90)
    }
    out["users_life"] = len(first)
    earlier = {row["user_id"] for row in _between(named, "occurred_at", 56, 28, midnight)}
    out["users_prev_28d"] = len(earlier) if _old_enough(own, 28, midnight) else None
    for w in (28, 90):
        out[f"new_users_{w}d"] = sum(joined >= _ago(w, midnight) for joined in first.values())
    dated = {w: {(row["user_id"], row["occurred_at"].date()) for row in _since(named, "occurred_at", w, midnight)}
             for w in (7, 28, 90)}  # fmt: skip
    out |= {f"user_days_{w}d": len(pairs) for w, pairs in dated.items()}
    out["user_days_life"] = len({(row["user_id"], row["occurred_at"].date()) for row in named})
    lived = (midnight.date() - own["created_at"].date()).days
    for w in (28, 90):
        out[f"attendance_{w}d"] = _ratio(out[f"user_days_{w}d"], len(first) * min(lived, w))
    out["attendance_life"] = _ratio(out["user_days_life"], len(first) * lived)
    out["new_users_per_user_28d"] = _ratio(out["new_users_28d"], len(first))
    out["new_user_rate_90d"] = _ratio(out["new_users_90d"], len(first) * min(lived, 90))
    busiest = max((sum(row["user_id"] == user for row in month) for user in first), default=0)
    out["top_user_share_28d"] = _ratio(busiest, len(month))
    lately = [joined for joined in first.values() if joined >= _ago(90, midnight)]
    out["days_since_last_new_user"] = _days_since(max(lately), midnight) if lately else None
    out["new_user_share_90d"] = _ratio(out["new_users_90d"], out["users_90d"])
    out["users_trend"] = _growth(int(out["users_28d"]), out["users_prev_28d"])  # type: ignore[arg-type]
    out["events_per_user_28d"] = _ratio(len(_since(events, "occurred_at", 28, midnight)), out["users_28d"])
    return out


def _seats(history: History, own: Row, midnight: datetime, out: dict[str, Value]) -> dict[str, Value]:
    """Who belonged to the account at the end of each day; nothing before the first user is told."""
    told: dict[tuple[str, datetime], date | None] = {}
    for row in history.stays:
        if row["account_id"] != own["account_id"] or row["valid_from"] >= midnight:
            continue
        key, end = (row["user_id"], row["valid_from"]), row["valid_to"]
        ends = [day for day in (told.get(key), end and end.date()) if day is not None]
        told[key] = min(ends, default=None)
    today, said, season = midnight.date(), dict[str, Value](), season_of(history, midnight)

    def there(day: date) -> int:
        return len({u for (u, first), end in told.items() if first.date() <= day and (end is None or end > day)})

    for name, ago in (("seats", 0), ("seats_28d_ago", 28), ("seats_90d_ago", 90)):
        known = told and (not ago or _old_enough(own, ago, midnight))
        said[name] = there(today - timedelta(days=ago + 1)) if known else None
    for name, w in (("7d", 7), ("28d", 28), ("90d", 90), ("life", 10_000)):
        days, first_day = Fraction(0), min((first.date() for _, first in told), default=today)
        for ago in range(1, min(w, (today - first_day).days) + 1):
            days += season[ago] * there(today - timedelta(days=ago))
        said[f"seat_use_{name}"] = _ratio(out[f"user_days_{name}"], days)
    return said


def _per_day(out: dict[str, Value]) -> dict[str, Value]:
    """What falls on a day of a user, and on a day of use."""
    asked = {"events": ("events", 2), "specialist": ("specialist", 3), "limits": ("limit_hits", 2)}
    told = {
        f"{name}_per_user_day_{w}": _ratio(out[f"{of}_{w}"], out[f"user_days_{w}"])
        for name, (of, most) in asked.items()
        for w in ("28d", "90d", "life")[:most]
    }
    for w in ("90d", "life"):
        told[f"configuration_per_active_day_{w}"] = _ratio(out[f"configuration_{w}"], out[f"active_days_{w}"])
    return told


def _breadth(events: list[Row], midnight: datetime, definitions: Definitions) -> dict[str, Value]:
    specialist = [row for row in events if row["event_name"] in definitions.features.specialist]
    steps = [row for row in events if row["event_name"] in definitions.features.configuration]
    month = {row["event_name"] for row in _since(events, "occurred_at", 28, midnight)}
    before = {row["event_name"] for row in _between(events, "occurred_at", 90, 28, midnight)}
    quarter = {row["event_name"] for row in _since(events, "occurred_at", 90, midnight)}
    limits = [row for row in events if row["event_name"] in definitions.features.limit]
    intent = [row for row in events if row["event_name"] in definitions.features.intent]

    def since(rows: list[Row], which: Any) -> int | None:
        return _days_since(which(row["occurred_at"] for row in rows), midnight) if rows else None

    first_use, first_specialist = since(events, min), since(specialist, min)
    return {
        "breadth_28d": len(month),
        "breadth_90d": len(quarter),
        "specialist_breadth_28d": len(month & set(definitions.features.specialist)),
        "days_since_last_intent": since(intent, max),
        "days_since_first_limit": since(limits, min),
        "days_since_last_limit": since(limits, max),
        "days_since_first_configuration": since(steps, min),
        "days_to_first_specialist": None if first_specialist is None else first_use - first_specialist,
        "breadth_life": len({row["event_name"] for row in events}),
        "new_functions_28d": len(month - before),
        "specialist_breadth_life": len({row["event_name"] for row in specialist}),
        "days_since_last_event": since(events, max),
        "days_since_first_event": since(events, min),
        "days_since_first_specialist": since(specialist, min),
        "days_since_last_specialist": since(specialist, max),
        "days_since_last_configuration": since(steps, max),
    }


def _money(revenue: list[Row], own: Row, midnight: datetime, definitions: Definitions) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for name, ago in (
        *(("run_rate", 0), ("run_rate_28d_ago", 28), ("run_rate_90d_ago", 90), ("run_rate_180d_ago", 180)),
    ):
        day = midnight.date() - timedelta(days=ago + 1)
        rate = rate_on(day, revenue, definitions.tiers.spread_days)
        out[name] = rate if not ago or _old_enough(own, ago, midnight) else None
    windows = {"28d": (28, 0), "90d": (90, 0), "90_180d": (180, 90), "180_270d": (270, 180), "270_360d": (360, 270)}
    for name, (far, near) in windows.items():
        rows = _between(revenue, "booked_at", far, near, midnight)
        total = sum((row["amount"] for row in rows), Decimal(0))
        out[f"booked_{name}"] = total if not near or _old_enough(own, near, midnight) else None
    paid = [row for row in revenue if row["amount"] > 0]
    quarter = _since(revenue, "booked_at", 90, midnight)
    life = sum((row["amount"] for row in revenue), Decimal(0))
    days = [_days_since(row["booked_at"], midnight) for row in paid]
    gap = _ratio(max(days) - min(days), len(days) - 1) if days else None
    return out | {
        "booked_life": life,
        "invoices_90d": sum(row["amount"] > 0 for row in quarter),
        "invoices_life": len(paid),
        "credits_90d": sum((-row["amount"] for row in quarter if row["amount"] < 0), Decimal(0)),
        "largest_invoice": max((row["amount"] for row in paid), default=Decimal(0)),
        "days_since_last_invoice": min(days, default=None),
        "days_since_first_invoice": max(days, default=None),
        "booked_rate_life": float(Fraction(life) / (_days_since(own["created_at"], midnight) + 30)),
        "invoice_gap": gap,
        "overdue": min(days) / gap if gap else None,
    }


def _ladder(out: dict[str, Value], definitions: Definitions) -> dict[str, Value]:
    rate, ladder = Fraction(out["run_rate"]), definitions.tiers.ladder  # type: ignore[arg-type]
    tier = tier_of(rate, definitions)

    def change(now: str, before: str) -> Value:
        return None if None in (out[now], out[before]) else Fraction(out[now]) - Fraction(out[before])  # type: ignore[arg-type]

    return {
        "tier": tier,
        "headroom": Fraction(ladder[tier + 1].floor) - rate if tier + 1 < len(ladder) else None,
        "run_rate_change_90d": change("run_rate", "run_rate_90d_ago"),
        "run_rate_change_28d": change("run_rate", "run_rate_28d_ago"),
        "booked_change_180d": change("booked_90_180d", "booked_180_270d"),
        "booked_change_90d": change("booked_90d", "booked_90_180d"),
    }


def _stage(out: dict[str, Any], closed: bool, definitions: Definitions) -> str:
    means = definitions.features
    told = [out[name] for name in ("days_since_last_event", "days_since_last_invoice")]
    quiet = min(out["tenure_days"] if days is None else days for days in told)
    steps = out["specialist_life"] + out["configuration_life"]
    if closed:
        return "closed"
    if quiet > means.dormant_days and out["run_rate"] <= 0:
        return "dormant"
    if out["tier"] >= 2:
        return "expansion"
    if out["users_28d"] >= means.uptake_users and (steps or out["tier"] == 1):
        return "uptake"
    return "commitment" if out["tier"] == 1 or steps >= means.commitment_steps else "trial"
