"""One account as of a past day, by today's warehouse: what it looked like, what it scores, and whether that is what the
release of that night says."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from features.build import features_at, open_vendor
from features.snapshots import everyone, refuse_unopened
from models.errors import BundleRefused
from serving.kept import of_night
from serving.release import Release, open_current, open_release
from warehouse.errors import UsageError
from warehouse.store import Workspace

NEAR = 1e-9  # of a number or of 1, whichever is more: a cluster differs in the last digits


def replay(workspace: Workspace, account_id: str, as_of: date, today: date) -> dict[str, Any]:
    """`features` and `score` of the account, reasons parsed; rows known at or after as_of have no part in it. They are
    made by the bundle of that night's own release where it is kept, else by that of the live one. today: the UTC day of
    the run.

    Returns:
        release, bundle_id: whose bundle scored; data_fingerprint: of the warehouse that was read; `published`: the
        same three of that night's release, null where none is kept; `matches`: whether the row that it published is
        what was scored here, null where it is not kept, or its bundle was made for other features; `differs`: the
        columns that are not the same, `account_id` where it does not hold the account.

    Raises:
        UsageError: as_of has not opened yet, or its night would not have scored the account.
        DataError: a file of the warehouse is not what `ingest` wrote.
    """
    refuse_unopened(as_of, today)
    night = of_night(workspace.releases, as_of)
    own = None if night is None else _opened(night)
    by = own or open_current(workspace.releases)
    features, score = _scored(by, workspace, account_id, as_of)
    differs = [] if own is None else _differing(own, score)
    accounting = json.loads((workspace.warehouse / "accounting.json").read_text(encoding="utf-8"))
    return {
        "release": by.name,
        "bundle_id": by.scorer.bundle_id,
        "data_fingerprint": accounting["fingerprint"],
        "published": None if night is None else _told(night),
        "matches": None if own is None else not differs,
        "differs": differs,
        "features": features,
        "score": {**score, "reasons": json.loads(score["reasons"])},
    }


def _opened(folder: Path) -> Release | None:
    """Null where its bundle was made for other features, or by a version that told models otherwise."""
    try:
        return open_release(folder)
    except BundleRefused:
        return None


def _told(folder: Path) -> dict[str, Any]:
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return {"release": folder.name, "bundle_id": run["bundle_id"], "data_fingerprint": run.get("data_fingerprint")}


def _scored(
    release: Release, workspace: Workspace, account_id: str, as_of: date
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row of features and the row of the Scorer. A rule ranks among all accounts, so for one all are scored."""
    with open_vendor(workspace) as con:
        spine = everyone(con, as_of)
        own = pc.equal(spine["account_id"], account_id)
        if not pc.any(own).as_py():
            raise UsageError(
                f'account "{account_id}" is not scored as of {as_of}: it had not signed up, had closed, or is internal.'
            )
        alone = release.card["method"] != "rule"
        table = features_at(con, workspace, spine.filter(own) if alone else spine, release.scorer.definitions)
    scores = release.scorer.score(table)
    [features], [score] = (
        rows.filter(pc.equal(rows["account_id"], account_id)).to_pylist() for rows in (table, scores)
    )
    return features, score


def _differing(release: Release, score: dict[str, Any]) -> list[str]:
    """The columns of the Scorer that the release published otherwise; of those that it has."""
    query = "SELECT * FROM scores WHERE account_id = ?"
    row = release.database.execute(query, (score["account_id"],)).fetchone()
    if row is None:
        return ["account_id"]
    kept = dict(row)
    return [name for name, value in score.items() if name in kept and not _same(kept[name], value)]


def _same(published: Any, value: Any) -> bool:
    if isinstance(published, float) and isinstance(value, float):
        return math.isclose(published, value, rel_tol=NEAR, abs_tol=NEAR)
    return bool(published == (value.isoformat() if isinstance(value, date) else value))
