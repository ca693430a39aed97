"""What `expansion score` runs once the night's files are in: pick the day and the bundle, then publish."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from features.build import open_vendor
from features.catalogue import Definitions
from features.snapshots import SnapshotParams, last_as_of, refuse_unopened
from models.scorer import rule_scorer
from serving.batch import ScoreParams, score
from serving.release import current, refuse_step_back
from serving.terminal import drift_lines
from warehouse import progress
from warehouse.params import section
from warehouse.periods import LabelParams
from warehouse.scratch import scratch
from warehouse.store import Workspace
from warehouse.volume import Days, days_of

LATELY = 28  # days before as_of in which a day without events, or with far too few, is told
THIN = 0.2  # of the usual events; a public holiday has more
Judged = tuple[Path, dict[str, Any]]  # a bundle folder, and grade and headline of its evaluation


def publish(
    workspace: Workspace,
    document: dict[str, Any],
    as_of: date | None,
    champion: Callable[[], Judged | None],
    commit: str,
    today: date,
    force: bool = False,
    master: str | None = None,
) -> dict[str, Any]:
    """Scores every account and makes the result live.

    Args:
        as_of: null means the end of the data, or today where facts of today are already in.
        today: the UTC day of the run.
        master: of the Spark cluster to use; null: this machine.
        champion: gives the bundle to score with; null means that there is none, and the labelled rule serves.

    Returns:
        release (its name), as_of, data_end (the midnight after the last fact), accounts, method, drift (the verdict;
        null: nothing to compare with yet).

    Raises:
        DataError: a file of the warehouse is not what `ingest` wrote.
        UsageError: as_of is a day that has not opened yet.
    """
    if as_of is not None:
        refuse_unopened(as_of, today)
    settings = section(document, "score", ScoreParams)
    with open_vendor(workspace) as con:
        end = last_as_of(con, section(document, "snapshots", SnapshotParams))
        day = as_of or min(today, end)
        missing, thin = _gaps(days_of(con, until=day), day)
    refuse_step_back(workspace.releases, day, force)  # before the work, not after it
    with scratch("rule") as spare, progress.stage("score") as say:
        bundle, about = champion() or _rule(document, spare)
        say(f"as of {day}")
        about |= {"commit": commit, "realised": _realised(workspace), "data_end": end.isoformat()}
        about |= {"missing_days": [str(one) for one in missing], "thin_days": [str(one) for one in thin]}
        live = score(workspace, bundle, day, about, settings, force, master)
        said = json.loads((live / "run.json").read_text(encoding="utf-8"))
        drift = said.get("drift")  # absent in a release of a version that watched none, found there again
        say(f"as of {day}; {'; '.join(drift_lines(drift))}")
    if end < day:
        progress.note(_silence(end, day))
    if missing:
        progress.note(_gap(missing, "no events, or next to none,"))
    if thin:
        progress.note(_gap(thin, f"less than {THIN:.0%} of the usual events"))
    verdict = None if drift is None else drift["verdict"]
    if verdict == "alarm":
        progress.note(f"drift alarm, published all the same: {drift['why']}")
    counts = {name: said[name] for name in ("as_of", "accounts", "method")}
    return {"release": live.name, **counts, "data_end": end.isoformat(), "drift": verdict}


def _gaps(told: Days | None, as_of: date) -> tuple[list[date], list[date]]:
    """Days within LATELY on which tracking or delivery must have failed, wholly or for the most part."""
    if told is None:
        return [], []
    lately = as_of - timedelta(days=LATELY)
    thin = [odd.day for odd in told.odd if odd.events < THIN * odd.usual]
    missing, thin = ([one for one in days if lately <= one < as_of] for days in (told.missing, thin))
    return missing, thin


def _gap(days: Sequence[date], what: str) -> str:
    """Said of these days."""
    named = ", ".join(map(str, days[-5:]))
    return (
        f"{what} of {len(days)} of the last {LATELY} days ({named}): published all the same; "
        "deliver them, a later night takes them in."
    )


def data_end_of(releases: Path) -> date | None:
    """The midnight after the last fact of the live release; null without one, and where it does not say."""
    live = current(releases)
    if live is None:
        return None
    end = json.loads((live / "run.json").read_text(encoding="utf-8")).get("data_end")
    return None if end is None else date.fromisoformat(end)


def _silence(end: date, as_of: date) -> str:
    """Said of days that were asked for and that no fact has come in of."""
    days = (as_of - end).days
    those = "that day is scored as one" if days == 1 else "those days are scored as days"
    return (
        f"the facts end {end}, {days} day{'s' if days > 1 else ''} before as_of {as_of}: {those} without use or "
        "invoice. Published all the same, and called old by the day the facts end; look at the feed."
    )


def _realised(workspace: Workspace) -> str | None:
    """The last result of `expansion realised` for earlier nights; null: it never ran, or nothing is known yet."""
    path = workspace.artifacts / "realised.json"
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["headline"]
    except (ValueError, KeyError, TypeError) as error:  # no list waits for it
        progress.note(f"{path} cannot be read ({error!r}); the page does not tell it. Run `expansion realised` again.")
        return None
    return None if told is None else str(told)


def _rule(document: dict[str, Any], folder: Path) -> Judged:
    labels = section(document, "labels", LabelParams)
    why = "no model has passed its gate"
    rule = rule_scorer(Definitions.from_params(document), labels.horizons, labels.default_horizon, why)
    rule.save(folder)
    return folder, {name: rule.card[name] for name in ("grade", "headline")}
