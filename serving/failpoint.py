"""Places where a test may kill or break the publishing of a release. Without EXPANSION_FAILPOINT each is a no-op."""

from __future__ import annotations

import os

from serving.settings import armed_failpoint

FAILPOINTS = (
    "publish_start",
    "bundle_copied",
    "scores_written",
    "changes_written",
    "database_written",
    "run_written",
    "manifest_written",
    "synced",
    "verified",
    "renamed",
    "previous_moved",
    "link_ready",
    "current_moved",
)
KILLED = 137  # what a shell reports for a process that SIGKILL ended


class FailpointHit(RuntimeError):
    pass


def failpoint(name: str) -> None:
    """Dies here, without any clean-up, if the test armed `name`; raises FailpointHit if it armed `name:raise`."""
    if name not in FAILPOINTS:
        raise ValueError(f'failpoint "{name}" is not listed in FAILPOINTS, so no sweep would ever reach it. Add it.')
    armed, _, action = armed_failpoint().partition(":")
    if armed != name:
        return
    if action == "raise":
        raise FailpointHit(name)
    os._exit(KILLED)
