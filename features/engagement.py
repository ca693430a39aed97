"""People and breadth: how many users, how fast they spread, how much of the product they reach, how lately."""

from __future__ import annotations

from features.feature import Feature
from features.usage import LIFE, quarters, window


def _days_since(name: str, cell: str, high: str, low: str, none: str, noun: str) -> Feature:
    return Feature(
        name, f"date_diff('day', {cell}, as_of)", "days", "since sign-up", "recency", high, low, none=none, noun=noun
    )  # fmt: skip


def _user_days(*windows: str) -> tuple[Feature, ...]:
    """Pairs of a user and a day of use: what a count of users and a count of days each blur."""
    return tuple(
        Feature(
            f"user_days_{ending}", f"user_days_{w}", "user days", said, "users",
            f"more days of use over all users, {said}", f"fewer days of use over all users, {said}",
            noun=f"days of use over all users, {said}",
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
            f"its users are there on more days, {said}", f"its users are there on fewer days, {said}",
            noun=f"days on which its users are there, {said}", none="no named user so far",
        )
        for w, lived in windows
        for ending, said in (window(w),)
    )  # fmt: skip


FEATURES: tuple[Feature, ...] = (
    Feature(
        "users_7d", "users_7", "users", "last 7 days", "users",
        "more active users this week", "fewer active users this week", noun="active users this week",
    ),
    Feature(
        "users_14d", "users_14", "users", "last 14 days", "users",
        "more active users in the last 14 days", "fewer active users in the last 14 days",
        noun="active users in the last 14 days",
    ),
    Feature(
        "users_28d", "users_28", "users", "last 28 days", "users",
        "more active users in the last 28 days", "fewer active users in the last 28 days",
        noun="active users in the last 28 days",
    ),
    Feature(
        "users_90d", "users_90", "users", "last 90 days", "users",
        "more active users in the last 90 days", "fewer active users in the last 90 days",
        noun="active users in the last 90 days",
    ),
    Feature(
        "users_life", "users_life", "users", "since sign-up", "users",
        "more users have come since sign-up", "fewer users have come since sign-up",
        noun="users who have come since sign-up",
    ),
    *_user_days("7", "28", "90", LIFE),
    *_attendance(("28", "least(tenure_days, 28)"), ("90", "least(tenure_days, 90)"), (LIFE, "tenure_days")),
    *quarters("users", "users_joined", "users", "users", "users joined", "fewer"),
    Feature(
        "users_prev_28d", "users_then_28_56", "users",
        "28 to 56 days ago", "users", "more users a month earlier", "fewer users a month earlier",
        noun="users a month earlier",
        none="signed up within the last month", since=28,
    ),
    Feature(
        "new_users_28d", "new_users_28", "users", "last 28 days", "users",
        "more users joined in the last 28 days", "fewer users joined in the last 28 days",
        noun="users who joined in the last 28 days",
    ),
    Feature(
        "new_users_90d", "new_users_90", "users", "last 90 days", "users",
        "more users joined in the last 90 days", "fewer users joined in the last 90 days",
        noun="users who joined in the last 90 days",
    ),
    Feature(
        "top_user_share_28d", "busiest_user_28 / nullif(named_events_28, 0)", "share", "last 28 days", "users",
        "more of its use rests on one person", "its use is spread over people more evenly",
        noun="share of its busiest user in its use", none="no use by named users, last 28 days",
    ),
    Feature(
        "breadth_28d", "breadth_28", "functions", "last 28 days", "breadth",
        "more different functions used lately", "fewer different functions used lately",
        noun="different functions used lately",
    ),
    Feature(
        "breadth_90d", "breadth_90", "functions", "last 90 days", "breadth",
        "more different functions used in the last 90 days", "fewer different functions used in the last 90 days",
        noun="different functions used in the last 90 days",
    ),
    Feature(
        "breadth_life", "breadth_life", "functions", "since sign-up", "breadth",
        "more different functions tried since sign-up", "fewer different functions tried since sign-up",
        noun="different functions tried since sign-up",
    ),
    Feature(
        "new_functions_28d", "breadth_90 - breadth_28_90", "functions", "last 28 days, not the 62 before", "breadth",
        "more functions taken up lately", "fewer functions taken up lately", noun="functions taken up lately",
    ),
    Feature(
        "specialist_breadth_28d", "specialist_breadth_28", "functions", "last 28 days", "breadth",
        "more specialist functions used lately", "fewer specialist functions used lately",
        noun="specialist functions used lately",
    ),
    Feature(
        "specialist_breadth_life", "specialist_breadth_life", "functions", "since sign-up",
        "breadth", "more specialist functions tried since sign-up", "fewer specialist functions tried since sign-up",
        noun="specialist functions tried since sign-up",
    ),
    _days_since(
        "days_since_last_event", "last_events_life", "longer since the last use", "used more recently",
        "no use at all so far", "time since the last use",
    ),
    _days_since(
        "days_since_first_event", "first_events_life", "in use for longer", "in use for a shorter time",
        "no use at all so far", "time since the first use",
    ),
    _days_since(
        "days_since_first_specialist", "first_specialist_life", "committed to specialist functions longer ago",
        "committed to specialist functions more recently", "no specialist function used so far",
        "time since the first specialist function",
    ),
    _days_since(
        "days_since_last_specialist", "last_specialist_life", "longer since a specialist function was used",
        "specialist functions used more recently", "no specialist function used so far",
        "time since a specialist function was used",
    ),
    _days_since(
        "days_since_first_configuration", "first_configuration_life", "first configured longer ago",
        "first configured more recently", "nothing configured so far", "time since it was first configured",
    ),
    _days_since(
        "days_since_last_configuration", "last_configuration_life", "configured longer ago", "configured more recently",
        "nothing configured so far", "time since it was configured",
    ),
    _days_since(
        "days_since_last_intent", "last_intent_life", "longer since a sign of buying", "a sign of buying more recently",
        "no sign of buying so far", "time since a sign of buying",
    ),
    _days_since(
        "days_since_first_limit", "first_limits_life", "met its first limit longer ago",
        "met its first limit more recently", "no limit met so far", "time since it met its first limit",
    ),
    _days_since(
        "days_since_last_limit", "last_limits_life", "longer since it met a limit", "met a limit more recently",
        "no limit met so far", "time since it met a limit",
    ),
    Feature(
        "days_to_first_specialist", "days_since_first_event - days_since_first_specialist", "days",
        "first use to first specialist use", "recency", "took longer to reach specialist functions",
        "reached specialist functions sooner",
        noun="time from the first use to the first specialist function", none="no specialist function used so far",
    ),
    Feature(
        "days_since_last_new_user", "date_diff('day', last_new_user_90, as_of)", "days", "last 90 days", "recency",
        "longer since a new user joined", "a new user joined more recently",
        noun="time since a new user joined", none="no new user in the last 90 days",
    ),
    Feature(
        "users_trend", "ln((users_28d + 1) / (users_prev_28d + 1))", "log ratio",
        "last 28 days against the 28 before", "trend", "the number of users is growing",
        "the number of users is shrinking", none="too young to show growth in users", pivot=0,
        noun="number of users beside that of the 28 days before",
    ),
    Feature(
        "new_users_per_user_28d", "new_users_28d / nullif(users_life, 0)", "users a user", "last 28 days", "users",
        "more users joined lately for its size", "fewer users joined lately for its size",
        noun="users who joined lately for its size", none="no named user so far",
    ),
    Feature(
        "new_user_rate_90d", "new_users_90d / nullif(users_life * least(tenure_days, 90), 0)", "users a user and day",
        "last 90 days, or since sign-up", "users",
        "grows faster for its size", "grows more slowly for its size",
        noun="new users a day for its size", none="no named user so far",
    ),
    Feature(
        "new_user_share_90d", "new_users_90d / nullif(users_90d, 0)", "share", "last 90 days", "users",
        "more of its active users are new", "more of its active users are old hands",
        noun="share of new users among the active ones", none="no named user in the last 90 days",
    ),
    Feature(
        "events_per_user_28d", "events_28d / nullif(users_28d, 0)", "events a user", "last 28 days",
        "depth", "its users are more active", "its users are less active", noun="events a user, last 28 days",
        none="no named user in the last 28 days",
    ),
    Feature(
        "configuration_per_user_life", "configuration_life / nullif(users_life, 0)", "steps a user", "since sign-up",
        "depth", "more configured for its size", "less configured for its size",
        noun="configuration steps a user since sign-up", none="no named user so far",
    ),
)  # fmt: skip
