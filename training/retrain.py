"""Whether training anew would teach anything that the newest registered version was not taught: for a job that runs
more often than labels mature."""

from __future__ import annotations

import json
from typing import Any

from features.catalogue import Definitions, fingerprint
from features.snapshots import SnapshotParams, grid
from models import registry
from training.labels import LabelParams, outcomes_end
from training.recipe import TrainParams, asked_for
from training.splits import origin_for
from warehouse.accounting import ingested_on
from warehouse.engine import connect
from warehouse.params import section
from warehouse.store import Workspace, open_warehouse


def nothing_new(workspace: Workspace, document: dict[str, Any]) -> str | None:
    """Why training on the ingested warehouse would teach nothing that the newest registered version was not taught: no
    label has matured since, and features and params are the same. What was corrected in months that had matured before
    is not looked at. Null: it would, or nothing is registered yet.

    Raises:
        DataError: the warehouse holds no account.
        UsageError: there is no warehouse yet.
    """
    newest = max(registry.history(workspace), key=lambda one: one.version, default=None)
    if newest is None:
        return None
    taught = json.loads((registry.run_folder(workspace, newest) / "train.json").read_text(encoding="utf-8"))
    definitions, labels = Definitions.from_params(document), section(document, "labels", LabelParams)
    params = asked_for(definitions, labels, section(document, "train", TrainParams))
    snapshots = section(document, "snapshots", SnapshotParams)
    with connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse)
        days = grid(con, snapshots)
        until = outcomes_end(con, ingested_on(workspace.warehouse))
    matured = origin_for(days, labels.default_horizon, labels.maturing_days, until)
    now: dict[str, Any] = {"fingerprint": fingerprint(definitions), "matured_to": matured and matured.isoformat()}
    now |= {"params": params, "snapshots": snapshots.model_dump(mode="json")}
    if now != {name: taught.get(name) for name in now}:
        return None
    return (
        f"no label has matured since version {newest.version} was trained: outcomes are known to {until}, so "
        f"{matured or 'none'} is still the newest date of which {labels.default_horizon} days are over"
    )
