"""Consumption: how much an account does, whether that grows, and whether it meets its limits."""

from __future__ import annotations

from features.windows import Family, Feature


def _events(kind: str, name: str, said: str, family: Family, windows: tuple[str, ...]) -> tuple[Feature, ...]:
    """Counts of one kind of event over several windows; `life` is everything since sign-up."""
    where = f" FILTER (kind = '{kind}')" if kind else ""
    return tuple(
        Feature(
            f"{name}_{w}" if w == "life" else f"{name}_{w}d",
            "names",
            f"sum(n_{w}){where}",
            "events",
            "since sign-up" if w == "life" else f"last {w} days",
            family,
            f"many {said} {'since sign-up' if w == 'life' else f'in the last {w} days'}",
            f"few {said} {'since sign-up' if w == 'life' else f'in the last {w} days'}",
        )
        for w in windows
    )


FEATURES: tuple[Feature, ...] = (
    *_events("", "events", "events", "depth", ("7", "28", "90", "life")),
    *_events("specialist", "specialist", "specialist functions used", "depth", ("28", "90", "life")),
    *_events("configuration", "configuration", "configuration steps", "depth", ("28", "life")),
    *_events("limit", "limit_hits", "limit hits", "billing", ("28", "90")),
    *_events("ticket", "tickets", "support tickets", "support", ("90",)),
    Feature(
        "events_prev_28d", "names", "sum(coalesce(n_56, 0) - coalesce(n_28, 0))", "events", "28 to 56 days ago",
        "trend", "much use a month earlier", "little use a month earlier",
        none="signed up within the last month", since=28,
    ),
    Feature(
        "quantity_28d", "names", "sum(q_28)", "units", "last 28 days", "depth",
        "a large volume in the last 28 days", "a small volume in the last 28 days",
    ),
    Feature(
        "quantity_90d", "names", "sum(q_90)", "units", "last 90 days", "depth",
        "a large volume in the last 90 days", "a small volume in the last 90 days",
    ),
    Feature(
        "quantity_life", "names", "sum(q_life)", "units", "since sign-up", "depth",
        "a large volume since sign-up", "a small volume since sign-up",
    ),
    Feature(
        "active_days_28d", "days", "count(*) FILTER (age_days <= 28)", "days", "last 28 days", "depth",
        "use on many days of the last 28", "use on few days of the last 28",
    ),
    Feature(
        "active_days_90d", "days", "count(*) FILTER (age_days <= 90)", "days", "last 90 days", "depth",
        "use on many days of the last 90", "use on few days of the last 90",
    ),
    Feature(
        "active_days_life", "days", "count(*)", "days", "since sign-up", "depth",
        "use on many days since sign-up", "use on few days since sign-up",
    ),
    Feature(
        "events_trend", "derived", "ln((events_28d + 1) / (events_prev_28d + 1))", "log ratio",
        "last 28 days against the 28 before", "trend", "use is growing", "use is shrinking",
        none="too young to show growth in use", empty="NULL",
    ),
    Feature(
        "specialist_share_90d", "derived", "specialist_90d / nullif(events_90d, 0)", "share", "last 90 days", "depth",
        "specialist functions are a large share of use", "specialist functions are a small share of use",
        none="no use in the last 90 days",
        empty="NULL",
    ),
)  # fmt: skip
