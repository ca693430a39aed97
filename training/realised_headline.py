"""The headline of the comparison of past promises with what happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.headline import LIFETIME
from training.heldout import CHAMPION, words

Document = Mapping[str, Any]


def newest(said: Document) -> Document | None:
    """The promise that is spoken of first: that of the newest night told at the default horizon, else at the longest
    below it, else above it; so that a night that says little never hides an older one that says more."""
    nights = {one["release"]: one for one in said["releases"]}

    def order(one: Document) -> tuple[bool, int, str]:
        night, horizon = nights[one["release"]], one["horizon"]
        within = horizon <= night["default_horizon"]
        return within, horizon if within else -horizon, night["as_of"]

    return max(said["promised"], key=order, default=None)


def headline(said: Document) -> str | None:
    """The finding in one or two sentences; None where nothing can be told yet."""
    shown = newest(said)
    if shown is None:
        return None
    night = next(one for one in said["releases"] if one["release"] == shown["release"])
    called = next(one for one in said["parts"] if same(one, shown) and (one["axis"], one["part"]) == ("called", "yes"))
    first = (
        f"Of the {called['n']:,} accounts to call first on {night['as_of']}, {called['seen']:,} moved up within "
        f"{shown['horizon']} days; {called['expected']:.1f} were promised."
    )
    held = {row["candidate"]: row["revenue_captured_called"] for row in said["results"] if same(row, shown)}
    if held[CHAMPION] is None:  # nobody gained anything
        return first
    return (
        f"{first} They hold {held[CHAMPION]:.0%} of the expansion revenue of those days; as many by "
        f"{words(LIFETIME)} hold {held[LIFETIME]:.0%}."
    )


def spoken(said: Document) -> str:
    """`headline`, or from when on there will be one."""
    if said["headline"] is not None:
        return str(said["headline"])
    waiting = sorted(h["complete_on"] for one in said["releases"] for h in one["horizons"])
    when = f"The first can be told once facts to {waiting[0]} are in." if waiting else "No release made a promise."
    return f"Nothing that was promised can be judged by {said['known_until']} yet. {when}"


def same(row: Document, shown: Document) -> bool:
    """Whether a row speaks of the release and horizon of `shown`."""
    return (row["release"], row["horizon"]) == (shown["release"], shown["horizon"])
