"""Where an account stands on the quarterly journey: since when, by what, and whether it has stalled there.

Since when is carried from night to night, as `changed_on` is; the rest is worked out of the release when it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import Definitions
from features.journey import LOOKED_AT, evidence

Replay = Callable[[pa.Table], dict[str, date]]  # account_id and stage to the day of entry: features/stage_since.py
STALLING = frozenset({"trial", "commitment", "uptake"})  # stages that lead to another


def stage_since(
    scores: pa.Table, before: dict[str, Any] | None, as_of: date, replay: Replay | None
) -> dict[str, str | None]:
    """Of every account of `scores` the day from which it has stood in its stage, as YYYY-MM-DD.

    Args:
        before: account_id -> row of the earlier release, whose stage_since may be null; null: there is none.
        replay: asked about accounts that the earlier release does not have, or of whom it does not know; null: they
            stay unknown, which is null.
    """
    out: dict[str, str | None] = {}
    for account, stage in zip(scores["account_id"].to_pylist(), scores["stage"].to_pylist(), strict=True):
        old = None if before is None else before.get(account)
        moved = old is not None and old["stage"] != stage
        out[account] = as_of.isoformat() if moved else None if old is None else old["stage_since"]
    unknown = pa.array([account for account, since in out.items() if since is None], pa.string())
    if replay is not None and len(unknown):
        asked = scores.select(["account_id", "stage"]).filter(pc.is_in(scores["account_id"], unknown))
        out |= {account: since.isoformat() for account, since in replay(asked).items()}
    return out


def stalled(stage: str, since: str | None, as_of: str, days: int | None) -> bool | None:
    """Whether an account has stood in a stage that leads to another for more than `days` (score.stalled_days) at as_of;
    null where it is not known since when, or where the release was written by a version that did not tell `days`."""
    if stage not in STALLING:
        return False
    if since is None or days is None:
        return None
    return (date.fromisoformat(as_of) - date.fromisoformat(since)).days > days


def stage_evidence(row: Any, definitions: Definitions, tiers: list[str]) -> dict[str, Any] | None:
    """features.journey.evidence of a row of the scores; null in a release of a version that kept no such values."""
    values = dict(row)
    if not set(values) >= set(LOOKED_AT):
        return None
    return evidence(values | {"tier": tiers.index(values["tier"])}, definitions.sql_fragments(), tiers)
