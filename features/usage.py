"""Consumption: how much an account does, whether that grows, and whether it meets its limits."""

from __future__ import annotations

from features.feature import Family, Feature
from features.measures import QUARTER_DAYS

LIFE = "life"
ORDINALS = ("first", "second", "third", "fourth")


def window(w: str) -> tuple[str, str]:
    """How a window of so many days, or of a life, ends the name of a feature, and what people call it."""
    return (LIFE, "since sign-up") if w == LIFE else (f"{w}d", f"last {w} days")


def _counts(measure: str, name: str, said: str, family: Family, windows: tuple[str, ...]) -> tuple[Feature, ...]:
    """Counts of one kind of event over several windows; `life` is everything since sign-up."""
    return tuple(
        Feature(
            f"{name}_{ending}",
            f"{measure}_{w}",
            "events",
            during,
            family,
            f"more {said} {within}{during}",
            f"fewer {said} {within}{during}",
            noun=f"{said} {within}{during}",
        )
        for w in windows
        for (ending, during), within in ((window(w), "" if w == LIFE else "in the "),)
    )


def _disjoint(measure: str, name: str, said: str, windows: tuple[tuple[int, int], ...]) -> tuple[Feature, ...]:
    """What fell into windows that do not overlap: (0, 7] and (7, 14] days back tell a rise that totals blur."""
    return tuple(
        Feature(
            f"{name}_{low}_{high}d" if low else f"{name}_{high}d",
            f"{measure}_{low}_{high}" if low else f"{measure}_{high}",
            "events", f"{low} to {high} days ago" if low else f"last {high} days", "depth",
            f"more {said} {ago}", f"less {said} {ago}", noun=f"{said} {ago}",
            none=f"signed up within the last {low} days" if low else "", since=low,
        )
        for low, high in windows
        for ago in (f"{low} to {high} days ago" if low else f"in the last {high} days",)
    )  # fmt: skip


def _per(measure: str, said: str, more: str, base: str, of: str, windows: tuple[str, ...]) -> tuple[Feature, ...]:
    """How much of it falls on a user's day, or a day of use: what is done, apart from how many do it how often."""
    return tuple(
        Feature(
            f"{measure}_per_{base}_{ending}",
            f"{measure}_{w} / nullif({base}s_{w}, 0)", f"events a {of}", during, "depth",
            f"more {said} a {of}, {during}", f"{more} {said} a {of}, {during}", noun=f"{said} a {of}, {during}",
            none=f"no use by named users, {during}" if base == "user_day" else f"no use, {during}",
        )
        for w in windows
        for ending, during in (window(w),)
    )  # fmt: skip


def quarters(measure: str, name: str, unit: str, family: Family, said: str, less: str) -> tuple[Feature, ...]:
    """What fell into each quarter of the account's life; null until the quarter has begun."""
    return tuple(
        Feature(
            f"{name}_{ordinal}_quarter", f"{measure}_q{number}", unit, f"its {ordinal} quarter", family,
            f"more {said} in its {ordinal} quarter", f"{less} {said} in its {ordinal} quarter",
            noun=f"{said} in its {ordinal} quarter",
            none=f"its {ordinal} quarter has not begun" if number > 1 else "",
            since=QUARTER_DAYS * (number - 1),
        )
        for number, ordinal in enumerate(ORDINALS, start=1)
    )  # fmt: skip


FEATURES: tuple[Feature, ...] = (
    *_counts("events", "events", "events", "depth", ("7", "14", "28", "90", LIFE)),
    *_counts("specialist", "specialist", "specialist functions used", "depth", ("7", "28", "90", LIFE)),
    *_counts("configuration", "configuration", "configuration steps", "depth", ("28", "90", LIFE)),
    *_counts("limits", "limit_hits", "limit hits", "billing", ("14", "28", "90")),
    *_counts("tickets", "tickets", "support tickets", "support", ("90",)),
    *_counts("intent", "intent", "signs of buying", "depth", ("7", "28", "90", LIFE)),
    *_disjoint("plain", "plain", "everyday use", ((0, 7), (7, 14), (14, 28), (28, 56), (56, 90))),
    *_disjoint("specialist", "specialist", "specialist use", ((7, 14), (14, 28), (56, 90))),
    *_disjoint("configuration", "configuration", "configuration", ((0, 7), (7, 14), (14, 28), (28, 56), (56, 90))),
    *_per("events", "events", "fewer", "user_day", "user day", ("28", "90")),
    *_per("specialist", "specialist use", "less", "user_day", "user day", ("28", "90", LIFE)),
    *_per("limits", "limits met", "fewer", "user_day", "user day", ("28", "90")),
    *_per("configuration", "configuration", "less", "active_day", "day of use", ("90", LIFE)),
    *quarters("events", "events", "events", "depth", "use", "less"),
    *quarters("specialist", "specialist", "events", "depth", "specialist use", "less"),
    Feature(
        "events_prev_28d", "events_28_56", "events", "28 to 56 days ago",
        "trend", "more use a month earlier", "less use a month earlier", noun="use a month earlier",
        none="signed up within the last month", since=28,
    ),
    Feature(
        "specialist_prev_28d", "specialist_28_56", "events", "28 to 56 days ago",
        "trend", "more specialist use a month earlier", "less specialist use a month earlier",
        noun="specialist use a month earlier", none="signed up within the last month", since=28,
    ),
    Feature(
        "quantity_28d", "quantity_28", "units", "last 28 days", "depth",
        "a larger volume in the last 28 days", "a smaller volume in the last 28 days",
        noun="volume in the last 28 days",
    ),
    Feature(
        "quantity_90d", "quantity_90", "units", "last 90 days", "depth",
        "a larger volume in the last 90 days", "a smaller volume in the last 90 days",
        noun="volume in the last 90 days",
    ),
    Feature(
        "quantity_life", "quantity_life", "units", "since sign-up", "depth",
        "a larger volume since sign-up", "a smaller volume since sign-up", noun="volume since sign-up",
    ),
    Feature(
        "active_days_7d", "active_days_7", "days", "last 7 days", "depth",
        "use on more days of the last 7", "use on fewer days of the last 7", noun="days of use in the last 7",
    ),
    Feature(
        "active_days_28d", "active_days_28", "days", "last 28 days", "depth",
        "use on more days of the last 28", "use on fewer days of the last 28", noun="days of use in the last 28",
    ),
    Feature(
        "active_days_90d", "active_days_90", "days", "last 90 days", "depth",
        "use on more days of the last 90", "use on fewer days of the last 90", noun="days of use in the last 90",
    ),
    Feature(
        "active_days_life", "active_days_life", "days", "since sign-up", "depth",
        "use on more days since sign-up", "use on fewer days since sign-up", noun="days of use since sign-up",
    ),
    Feature(
        "active_weeks_90d", "active_weeks_90", "weeks", "last 90 days", "depth",
        "use in more weeks of the last quarter", "use in fewer weeks of the last quarter",
        noun="weeks of use in the last quarter",
    ),
    Feature(
        "events_trend", "ln((events_28d + 1) / (events_prev_28d + 1))", "log ratio",
        "last 28 days against the 28 before", "trend", "use is growing", "use is shrinking",
        none="too young to show growth in use", pivot=0, noun="use beside that of the 28 days before",
    ),
    Feature(
        "specialist_trend", "ln((specialist_28d + 1) / (specialist_prev_28d + 1))", "log ratio",
        "last 28 days against the 28 before", "trend", "specialist use is growing", "specialist use is shrinking",
        none="too young to show growth in specialist use", pivot=0,
        noun="specialist use beside that of the 28 days before",
    ),
    Feature(
        # least squares of daily counts on the day, days 1 to 90 back: their mean is 45.5, the sum of squares 60,742.5
        "events_slope_90d", "7 * 7 * (45.5 * events_90 - event_ages_90) / 60742.5", "events a week, a week",
        "last 90 days", "trend", "use rises week by week", "use falls week by week",
        none="signed up within the last quarter", since=90, pivot=0, noun="rise of use from week to week",
    ),
    Feature(
        "specialist_share_90d", "specialist_90d / nullif(events_90d, 0)", "share", "last 90 days", "depth",
        "specialist functions are a larger share of use", "specialist functions are a smaller share of use",
        noun="share of specialist functions in its use", none="no use in the last 90 days",
    ),
    Feature(
        "limit_pressure_28d", "limit_hits_28d / nullif(active_days_28d, 0)", "hits a day of use", "last 28 days",
        "billing", "meets its limits more often", "meets its limits less often", noun="limit hits a day of use",
        none="no use in the last 28 days",
    ),
)  # fmt: skip
