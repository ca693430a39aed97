"""Seats: who belongs to an account, whether they use it or not, and how much of their time there is use.

Users seen tell a lively account of one from an idle one of fifty only by what it does; seats tell them apart on the
first day, and how far an account still can grow without inviting anybody. Use is told beside the season, so that a
holiday of all accounts is no sign of one. Measured in docs/adr/0035 and 0036.
"""

from __future__ import annotations

from features.feature import Feature
from features.season import USUAL
from features.usage import LIFE, window

NOBODY = "nobody is said to belong to it"


def _seats(ago: int) -> Feature:
    """At the end of the day `ago` + 1 days before as_of."""
    belong, said = ("belonged", f"{ago} days ago") if ago else ("belong", "now")
    return Feature(
        f"seats_{ago}d_ago" if ago else "seats",
        f"CASE WHEN tenure_days > {ago} THEN seats_{ago} END" if ago else "seats_0", "users",
        f"the day {ago} days before" if ago else "the day before as_of", "users",
        f"more users {belong} to it {said}", f"fewer users {belong} to it {said}",
        noun=f"users who {belong} to it {said}",
        none=f"{NOBODY}, or signed up within the last {ago} days" if ago else NOBODY,
    )  # fmt: skip


def _seat_use(*windows: str) -> tuple[Feature, ...]:
    """The share of the season days of those who belong to it on which they use it; past 1 where a full account works
    while the others rest."""
    return tuple(
        Feature(
            f"seat_use_{ending}", f"{USUAL} * user_days_{w} / nullif(season_days_{w}, 0)", "share", said, "depth",
            f"its users are active on a larger share of days, {said}",
            f"its users are active on a smaller share of days, {said}",
            noun=f"share of days on which its users are active, {said}",
            none=f"nobody is said to have belonged to it, {said}",
        )
        for w in windows
        for ending, said in (window(w),)
    )  # fmt: skip


FEATURES: tuple[Feature, ...] = (_seats(0), _seats(28), _seats(90), *_seat_use("7", "28", "90", LIFE))
