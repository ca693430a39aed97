"""Places where a test may kill, break or delay the publishing of a release; no-ops without EXPANSION_FAILPOINT."""

from __future__ import annotations

import errno
import os
import time

from serving.settings import armed_failpoint
from warehouse.errors import UsageError

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
ACTIONS = ("kill", "raise", "enospc", "sleep")
KILLED = 137  # what a shell reports for a process that SIGKILL ended
SLEEP_SECONDS = 2.0


class FailpointHit(RuntimeError):
    pass


def failpoint(name: str) -> None:
    """A no-op unless a test armed `name`, or `name:action`: kill (the default) dies here without any clean-up, raise
    and enospc raise, sleep goes on after SLEEP_SECONDS.

    Raises:
        FailpointHit: `name:raise` is armed.
        OSError: `name:enospc` is armed, a full disk.
        UsageError: what is armed, here or elsewhere, is no failpoint or no action.
    """
    if name not in FAILPOINTS:
        raise ValueError(f'failpoint "{name}" is not listed in FAILPOINTS, so no sweep would ever reach it. Add it.')
    armed, action = _armed()
    if armed != name:
        return
    if action == "raise":
        raise FailpointHit(name)
    if action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    if action == "sleep":
        time.sleep(SLEEP_SECONDS)
        return
    os._exit(KILLED)


def _armed() -> tuple[str, str]:
    """Name and action; two empty texts where nothing is armed. A typo would be a test that passes without a fault."""
    said = armed_failpoint()
    name, colon, action = said.partition(":")
    if said and (name not in FAILPOINTS or (colon and action not in ACTIONS)):
        raise UsageError(
            f'EXPANSION_FAILPOINT="{said}": give name or name:action. Names: {", ".join(FAILPOINTS)}. '
            f"Actions: {', '.join(ACTIONS)}."
        )
    return name, action
