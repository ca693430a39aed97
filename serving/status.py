"""How the nights ended, for the morning after (`status.json` of a workspace), and whether a night's data were whole.

    last_success  when, as_of, release, version, rows_in (read, accepted, duplicate, quarantined), rows_out (accounts)
    last_failure  when, exit_code, message (kind and meaning; no value of the data), as_of as asked
    started       when, as_of as asked, pid, host of the night at work; null once it has ended

A night that is killed says nothing more: `started` stays, and the workspace lock, which the kernel frees, tells that
nobody is at work. Whoever reads the file then, or the next night, takes it for a failure.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from serving.failpoint import KILLED
from warehouse import progress
from warehouse.errors import Locked, exit_code, no_room
from warehouse.lock import exclusive, holder, waiting
from warehouse.store import write_json

STATUS = "status.json"
JOB = "score"  # by which the workspace lock knows a night
MEANS = {
    1: "a fault that nobody foresaw",
    2: "wrong usage or params",
    3: "bad data",
    4: "refused by a check",
    5: "a fault outside the product",
    6: "locked by another run",
    KILLED: "it never ended: it was killed, or the machine went down",
}
State = Literal["never", "running", "ok", "failed", "unknown"]
Told = Mapping[str, Any]


@dataclass(frozen=True)
class Nights:
    """What the status file holds; null: never. `damage`: why it cannot be read, null if it can."""

    last_success: Told | None = None
    last_failure: Told | None = None
    started: Told | None = None
    damage: str | None = None

    @property
    def state(self) -> State:
        """Of the night that is at work, else of the one that ended last."""
        if self.damage is not None:
            return "unknown"
        if self.started is not None:
            return "running"
        if self.last_failure is None:
            return "never" if self.last_success is None else "ok"
        good = self.last_success is not None and _when(self.last_success) > _when(self.last_failure)
        return "ok" if good else "failed"

    def lines(self) -> list[str]:
        """A line each, for people."""
        said = [f"night: {self.state}" + ("" if self.damage is None else f", {self.damage}")]
        if (good := self.last_success) is not None:
            rows = f"{good['rows_in']['read']:,} rows in, {good['rows_out']:,} accounts out"
            said.append(f"last success: {good['when']}, as of {good['as_of']}: {good['release']}, {rows}")
        if (bad := self.last_failure) is not None:
            asked = bad["as_of"] or "the end of the data"
            said.append(f"last failure: {bad['when']}, as of {asked}: exit code {bad['exit_code']}, {bad['message']}")
        if self.started is not None:
            said.append(
                f"running since {self.started['when']}, process {self.started['pid']} on {self.started['host']}"
            )
        return said


def night(
    root: Path, as_of: str | None, now: Callable[[], datetime], work: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Does `work`, which publishes a release and names it, alone in the workspace; keeps how it ended.

    as_of: as asked for; null: the end of the data.

    Raises:
        Locked: another run holds the workspace; this is kept, too.
    """
    begun: Told | None = None
    try:
        with exclusive(root, JOB):
            begun = _start(as_of, now())
            _change(root, lambda was: replace(_buried(was), started=begun))
            said = work()
            good = _success(root, said, now())
            _change(root, lambda was: replace(was, last_success=good, started=None))
    except BaseException as error:
        bad = _failure(error, as_of, now())
        try:
            _change(
                root,  # another night may be at work: the one that held this one up, or the next
                lambda was: replace(was, last_failure=bad, started=None if was.started == begun else was.started),
            )
        except (OSError, Locked) as trouble:  # the night's own error tells more
            progress.note(
                f"{root / STATUS} could not be written ({trouble}), so `expansion doctor` does not tell of it."
            )
        raise
    return said


def read(root: Path) -> Nights:
    """What is known of the nights of the workspace; one that was killed counts as failed."""
    nights = _kept(root)
    if nights.started is None or _at_work(root, nights.started):
        return nights
    again = _kept(root)  # it may have ended between the two looks
    return _buried(again) if again.started == nights.started else again


def _at_work(root: Path, begun: Told) -> bool:
    there = holder(root) or {}
    named = ("job", "pid", "host")
    return all(there.get(name) == ({"job": JOB} | dict(begun))[name] for name in named)


def data_status(run: Told) -> Literal["ok", "partial"]:
    """Of a release, by its run.json: partial where its night found days without events, or with far too few."""
    return "partial" if run.get("missing_days") or run.get("thin_days") else "ok"


def _change(root: Path, change: Callable[[Nights], Nights]) -> None:
    """Under a lock of its own: a night that is refused because another one is at work tells so beside it."""
    with waiting(root / f".{STATUS}.lock", "Wait for it to end, then try again."):
        was = _kept(root)
        if was.damage is not None:
            progress.note(f"{was.damage}, and is begun anew.")
        now = change(was)
        told = {"last_success": now.last_success, "last_failure": now.last_failure, "started": now.started}
        write_json({"schema_version": 1, **told}, root / STATUS)


def _kept(root: Path) -> Nights:
    path = root / STATUS
    if not path.exists():
        return Nights()
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        nights = Nights(told["last_success"], told["last_failure"], told["started"])
        nights.lines()
    except (ValueError, KeyError, TypeError) as error:
        return Nights(damage=f"{path} is not what a night wrote ({error!r})")
    return nights


def _buried(nights: Nights) -> Nights:
    """The same, once it is known that the night at work is dead."""
    if nights.started is None:
        return nights
    when, as_of = nights.started["when"], nights.started["as_of"]
    bad = {"when": when, "exit_code": KILLED, "message": MEANS[KILLED], "as_of": as_of}
    return replace(nights, last_failure=bad, started=None)


def _start(as_of: str | None, now: datetime) -> Told:
    return {"when": _moment(now), "as_of": as_of, "pid": os.getpid(), "host": socket.gethostname()}


def _success(root: Path, said: Told, now: datetime) -> Told:
    """The rows are those of the warehouse: a release found there again has the books of the night that wrote it."""
    run = json.loads((root / "releases" / said["release"] / "run.json").read_text(encoding="utf-8"))
    tables = json.loads((root / "warehouse" / "accounting.json").read_text(encoding="utf-8"))["tables"].values()
    rows = {name: sum(table[name] for table in tables) for name in ("read", "accepted", "duplicate")}
    return {
        "when": _moment(now),
        "as_of": run["as_of"],
        "release": said["release"],
        "version": run["bundle_id"][:12],
        "rows_in": {**rows, "quarantined": rows["read"] - rows["accepted"] - rows["duplicate"]},
        "rows_out": run["accounts"],
    }


def _failure(error: BaseException, as_of: str | None, now: datetime) -> Told:
    """The kind in the place of the message, which may quote an id; the night's log has that."""
    code = exit_code(error) or 1
    why = "no room left to write" if no_room(error) else MEANS[code]
    return {"when": _moment(now), "exit_code": code, "message": f"{why} ({type(error).__name__})", "as_of": as_of}


def _moment(now: datetime) -> str:
    return now.isoformat(timespec="seconds")


def _when(told: Told) -> datetime:
    return datetime.fromisoformat(told["when"])
