"""People and breadth: how many users, how fast they spread, how much of the product they reach, how lately."""

from __future__ import annotations

from features.windows import Feature

FEATURES: tuple[Feature, ...] = (
    Feature(
        "users_7d", "users", "count(*) FILTER (age_last <= 7)", "users", "last 7 days", "users",
        "many active users this week", "few active users this week",
    ),
    Feature(
        "users_28d", "users", "count(*) FILTER (age_last <= 28)", "users", "last 28 days", "users",
        "many active users in the last 28 days", "few active users in the last 28 days",
    ),
    Feature(
        "users_90d", "users", "count(*) FILTER (age_last <= 90)", "users", "last 90 days", "users",
        "many active users in the last 90 days", "few active users in the last 90 days",
    ),
    Feature(
        "users_life", "users", "count(*)", "users", "since sign-up", "users",
        "many users have come since sign-up", "few users have come since sign-up",
    ),
    Feature(
        "users_prev_28d", "users", "count(*) FILTER (coalesce(n_56, 0) > coalesce(n_28, 0))", "users",
        "28 to 56 days ago", "users", "many users a month earlier", "few users a month earlier",
        none="signed up within the last month", since=28,
    ),
    Feature(
        "new_users_28d", "users", "count(*) FILTER (age_first <= 28)", "users", "last 28 days", "users",
        "new users keep joining", "hardly any new users join",
    ),
    Feature(
        "new_users_90d", "users", "count(*) FILTER (age_first <= 90)", "users", "last 90 days", "users",
        "many users joined in the last 90 days", "few users joined in the last 90 days",
    ),
    Feature(
        "top_user_share_28d", "users", "max(n_28) / sum(n_28)", "share", "last 28 days", "users",
        "use rests on one person", "use is spread over people", none="no use by named users lately", empty="NULL",
    ),
    Feature(
        "breadth_28d", "names", "count(*) FILTER (age_last <= 28)", "functions", "last 28 days", "breadth",
        "many different functions used lately", "few different functions used lately",
    ),
    Feature(
        "breadth_life", "names", "count(*)", "functions", "since sign-up", "breadth",
        "many different functions tried since sign-up", "few different functions tried since sign-up",
    ),
    Feature(
        "new_functions_28d", "names", "count(*) FILTER (age_first <= 28)", "functions", "last 28 days", "breadth",
        "functions used for the first time lately", "nothing new tried lately",
    ),
    Feature(
        "specialist_breadth_life", "names", "count(*) FILTER (kind = 'specialist')", "functions", "since sign-up",
        "breadth", "several specialist functions in use", "no or few specialist functions in use",
    ),
    Feature(
        "days_since_last_event", "names", "min(age_last)", "days", "since sign-up", "recency",
        "long since the last use", "used very lately", none="no use at all so far", empty="NULL",
    ),
    Feature(
        "days_since_first_event", "names", "max(age_first)", "days", "since sign-up", "recency",
        "in use for a long time", "in use only for a short time", none="no use at all so far", empty="NULL",
    ),
    Feature(
        "days_since_first_specialist", "names", "max(age_first) FILTER (kind = 'specialist')", "days", "since sign-up",
        "recency", "committed to specialist functions long ago", "committed to specialist functions lately",
        none="no specialist function used so far",
        empty="NULL",
    ),
    Feature(
        "days_since_last_specialist", "names", "min(age_last) FILTER (kind = 'specialist')", "days", "since sign-up",
        "recency", "specialist functions not used for long", "specialist functions used very lately",
        none="no specialist function used so far", empty="NULL",
    ),
    Feature(
        "days_since_last_configuration", "names", "min(age_last) FILTER (kind = 'configuration')", "days",
        "since sign-up", "recency", "configured long ago", "configured very lately",
        none="nothing configured so far", empty="NULL",
    ),
    Feature(
        "days_since_last_new_user", "users", "min(age_first)", "days", "since sign-up", "recency",
        "no new user for long", "a new user joined very lately", none="no named user so far", empty="NULL",
    ),
    Feature(
        "users_trend", "derived", "ln((users_28d + 1) / (users_prev_28d + 1))", "log ratio",
        "last 28 days against the 28 before", "trend", "the number of users is growing",
        "the number of users is shrinking", none="too young to show growth in users", empty="NULL",
    ),
    Feature(
        "events_per_user_28d", "derived", "events_28d / nullif(users_28d, 0)", "events a user", "last 28 days",
        "depth", "users are very active", "users are hardly active", none="no named user lately", empty="NULL",
    ),
)  # fmt: skip
