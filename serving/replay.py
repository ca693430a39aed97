"""One account as of a past day, by the live bundle and today's warehouse: what it looked like, what it scored."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from features.build import features_at, open_vendor
from features.snapshots import everyone, refuse_unopened
from serving.release import Release
from warehouse.errors import UsageError
from warehouse.store import Workspace


def replay(release: Release, warehouse: Path, account_id: str, as_of: date, today: date) -> dict[str, Any]:
    """`features` and `score` of the account, reasons parsed; rows known at or after as_of have no part in it.
    today: the UTC day of the run.

    Raises:
        UsageError: as_of has not opened yet, or its night would not have scored the account.
        DataError: a file of the warehouse is not what `ingest` wrote.
    """
    refuse_unopened(as_of, today)
    workspace = Workspace(warehouse.parent)
    with open_vendor(workspace) as con:
        spine = everyone(con, as_of)
        spine = spine.filter(pc.equal(spine["account_id"], account_id))
        table = features_at(con, workspace, spine, release.scorer.definitions)
    if table.num_rows == 0:
        raise UsageError(
            f'account "{account_id}" is not scored as of {as_of}: it had not signed up, had closed, or is internal.'
        )
    [score] = release.scorer.score(table).to_pylist()
    return {"features": table.to_pylist()[0], "score": {**score, "reasons": json.loads(score["reasons"])}}
