"""Which release answers, and how old what it knows is: the same for the API, its files, the page and the terminal."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from serving.release import Release
from serving.status import data_status


def source_of(release: Release, now: datetime, stale_after_hours: float) -> dict[str, Any]:
    """release, bundle_id, version (the short name of the bundle), as_of, stale and data_status, as every answer carries
    them."""
    return {
        "release": release.name,
        "bundle_id": release.scorer.bundle_id,
        "version": release.scorer.bundle_id[:12],
        "as_of": release.as_of.isoformat(),
        "stale": is_stale(known_until(release), now, stale_after_hours),
        "data_status": data_status(release.run),
    }


def known_until(release: Release) -> date:
    """The earlier of as_of and the end of the facts: where the feed stopped, a later as_of makes nothing newer. A
    release that does not tell that end, as earlier versions wrote them, is judged by its as_of."""
    end = release.run.get("data_end")
    return release.as_of if end is None else min(release.as_of, date.fromisoformat(end))


def is_stale(known: date, now: datetime, hours: float) -> bool:
    """Whether more than `hours` have passed since the midnight UTC up to which facts are `known`."""
    opened = datetime(known.year, known.month, known.day, tzinfo=now.tzinfo)
    return (now - opened).total_seconds() > hours * 3600
