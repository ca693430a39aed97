"""People and breadth: how many users, how fast they spread, how much of the product they reach, how lately."""

from __future__ import annotations

from features.feature import Feature
from features.usage import LIFE, quarters, window


def _days_since(name: str, cell: str, high: str, low: str, none: str) -> Feature:
    return Feature(
        name, f"date_diff('day', {cell}, as_of)", "days", "since sign-up", "recency", high, low, none=none
    )  # fmt: skip


def _user_days(*windows: str) -> tuple[Feature, ...]:
    """Pairs of a user and a day of use: what a count of users and a count of days each blur."""
    return tuple(
        Feature(
            f"user_days_{ending}", f"user_days_{w}", "user days", said, "users",
            f"much use by many users, {said}", f"little use by few users, {said}",
        )
        for w in windows
        for ending, said in (window(w),)
    )  # fmt: skip


def _attendance(*windows: tuple[str, str]) -> tuple[Feature, ...]:
    """The share of its days on which a user of the account is there, whatever its size and age. windows: name and days
    that the account has lived of it, as SQL."""
    return tuple(
        Feature(
            f"attendance_{ending}", f"user_days_{w} / nullif(users_life * {lived}, 0)", "share", said, "depth",
            f"its users are there on many days, {said}", f"its users are there on few days, {said}",
            none="no named user so far",
        )
        for w, lived in windows
        for ending, said in (window(w),)
    )  # fmt: skip


FEATURES: tuple[Feature, ...] = (
    Feature(
        "users_7d", "users_7", "users", "last 7 days", "users",
        "many active users this week", "few active users this week",
    ),
    Feature(
        "users_14d", "users_14", "users", "last 14 days", "users",
        "many active users in the last 14 days", "few active users in the last 14 days",
    ),
    Feature(
        "users_28d", "users_28", "users", "last 28 days", "users",
        "many active users in the last 28 days", "few active users in the last 28 days",
    ),
    Feature(
        "users_90d", "users_90", "users", "last 90 days", "users",
        "many active users in the last 90 days", "few active users in the last 90 days",
    ),
    Feature(
        "users_life", "users_life", "users", "since sign-up", "users",
        "many users have come since sign-up", "few users have come since sign-up",
    ),
    *_user_days("7", "28", "90", LIFE),
    *_attendance(("28", "least(tenure_days, 28)"), ("90", "least(tenure_days, 90)"), (LIFE, "tenure_days")),
    *quarters("users", "users_joined", "users", "users", "many users joined", "few users joined"),
    Feature(
        "users_prev_28d", "users_then_28_56", "users",
        "28 to 56 days ago", "users", "many users a month earlier", "few users a month earlier",
        none="signed up within the last month", since=28,
    ),
    Feature(
        "new_users_28d", "new_users_28", "users", "last 28 days", "users",
        "new users keep joining", "hardly any new users join",
    ),
    Feature(
        "new_users_90d", "new_users_90", "users", "last 90 days", "users",
        "many users joined in the last 90 days", "few users joined in the last 90 days",
    ),
    Feature(
        "top_user_share_28d", "busiest_user_28 / nullif(named_events_28, 0)", "share", "last 28 days", "users",
        "use rests on one person", "use is spread over people", none="no use by named users lately",
    ),
    Feature(
        "breadth_28d", "breadth_28", "functions", "last 28 days", "breadth",
        "many different functions used lately", "few different functions used lately",
    ),
    Feature(
        "breadth_90d", "breadth_90", "functions", "last 90 days", "breadth",
        "many different functions used in the last 90 days", "few different functions used in the last 90 days",
    ),
    Feature(
        "breadth_life", "breadth_life", "functions", "since sign-up", "breadth",
        "many different functions tried since sign-up", "few different functions tried since sign-up",
    ),
    Feature(
        "new_functions_28d", "breadth_90 - breadth_28_90", "functions", "last 28 days, not the 62 before", "breadth",
        "functions taken up lately", "nothing new taken up lately",
    ),
    Feature(
        "specialist_breadth_28d", "specialist_breadth_28", "functions", "last 28 days", "breadth",
        "several specialist functions used lately", "no or few specialist functions used lately",
    ),
    Feature(
        "specialist_breadth_life", "specialist_breadth_life", "functions", "since sign-up",
        "breadth", "several specialist functions in use", "no or few specialist functions in use",
    ),
    _days_since(
        "days_since_last_event", "last_events_life", "long since the last use", "used very lately",
        "no use at all so far",
    ),
    _days_since(
        "days_since_first_event", "first_events_life", "in use for a long time", "in use only for a short time",
        "no use at all so far",
    ),
    _days_since(
        "days_since_first_specialist", "first_specialist_life", "committed to specialist functions long ago",
        "committed to specialist functions lately", "no specialist function used so far",
    ),
    _days_since(
        "days_since_last_specialist", "last_specialist_life", "specialist functions not used for long",
        "specialist functions used very lately", "no specialist function used so far",
    ),
    _days_since(
        "days_since_first_configuration", "first_configuration_life", "first configured long ago",
        "first configured lately", "nothing configured so far",
    ),
    _days_since(
        "days_since_last_configuration", "last_configuration_life", "configured long ago", "configured very lately",
        "nothing configured so far",
    ),
    _days_since(
        "days_since_last_intent", "last_intent_life", "no sign of buying for long", "a sign of buying very lately",
        "no sign of buying so far",
    ),
    _days_since(
        "days_since_first_limit", "first_limits_life", "met a limit long ago", "met its first limit lately",
        "no limit met so far",
    ),
    _days_since(
        "days_since_last_limit", "last_limits_life", "no limit met for long", "met a limit very lately",
        "no limit met so far",
    ),
    Feature(
        "days_to_first_specialist", "days_since_first_event - days_since_first_specialist", "days",
        "first use to first specialist use", "recency", "took long to reach specialist functions",
        "reached specialist functions soon", none="no specialist function used so far",
    ),
    Feature(
        "days_since_last_new_user", "date_diff('day', last_new_user_90, as_of)", "days", "last 90 days", "recency",
        "no new user for a while", "a new user joined very lately", none="no new user in the last 90 days",
    ),
    Feature(
        "users_trend", "ln((users_28d + 1) / (users_prev_28d + 1))", "log ratio",
        "last 28 days against the 28 before", "trend", "the number of users is growing",
        "the number of users is shrinking", none="too young to show growth in users",
    ),
    Feature(
        "new_users_per_user_28d", "new_users_28d / nullif(users_life, 0)", "users a user", "last 28 days", "users",
        "many users joined lately for its size", "few users joined lately for its size", none="no named user so far",
    ),
    Feature(
        "new_user_rate_90d", "new_users_90d / nullif(users_life * least(tenure_days, 90), 0)", "users a user and day",
        "last 90 days, or since sign-up", "users",
        "grows fast for its size", "hardly grows for its size", none="no named user so far",
    ),
    Feature(
        "new_user_share_90d", "new_users_90d / nullif(users_90d, 0)", "share", "last 90 days", "users",
        "most active users are new", "most active users are old hands", none="no named user in the last 90 days",
    ),
    Feature(
        "events_per_user_28d", "events_28d / nullif(users_28d, 0)", "events a user", "last 28 days",
        "depth", "users are very active", "users are hardly active", none="no named user lately",
    ),
    Feature(
        "configuration_per_user_life", "configuration_life / nullif(users_life, 0)", "steps a user", "since sign-up",
        "depth", "deeply configured for its size", "hardly configured for its size", none="no named user so far",
    ),
)  # fmt: skip
