"""An account's place on its quarterly journey, and what its sign-up form said."""

from __future__ import annotations

from features.feature import Feature

# First rule that holds. A vendor without users or specialist functions in its data moves by tier alone.
STAGE = """CASE
    WHEN closed THEN 'closed'
    WHEN least(coalesce(days_since_last_event, tenure_days), coalesce(days_since_last_invoice, tenure_days))
         > {dormant_days} AND run_rate <= 0 THEN 'dormant'
    WHEN tier >= 2 THEN 'expansion'
    WHEN users_28d >= {uptake_users} AND (specialist_life > 0 OR configuration_life > 0 OR tier >= 1) THEN 'uptake'
    WHEN tier >= 1 OR specialist_life + configuration_life >= {commitment_steps} THEN 'commitment'
    ELSE 'trial' END"""

STAGES = ("trial", "commitment", "uptake", "expansion", "dormant", "closed")

TENURE = Feature(
    "tenure_days", "tenure_days", "days", "since sign-up", "fit",
    "an older account", "a younger account", noun="its age",
)  # fmt: skip

FEATURES: tuple[Feature, ...] = (
    TENURE,
    Feature(
        "employees", "employees", "employees", "told at sign-up", "fit",
        "a larger organisation", "a smaller organisation",
        noun="size of the organisation", none="size of organisation not told",
    ),
    Feature(
        "industry", "industry", "", "told at sign-up", "fit",
        "its industry", "its industry", noun="its industry", none="industry not told", category=True,
    ),
    Feature(
        "country", "country", "", "told at sign-up", "fit",
        "its country", "its country", noun="its country", none="country not told", category=True,
    ),
    Feature(
        "channel", "channel", "", "told at sign-up", "fit",
        "the channel it came through", "the channel it came through", noun="the channel it came through",
        none="channel not known", category=True,
    ),
    Feature(
        "stage", STAGE, "", "the day before as_of", "trend",
        "its stage on the journey", "its stage on the journey", noun="its stage on the journey", category=True,
    ),
)  # fmt: skip
