"""What moved between two nights: band, tier, stage and rank of each account, old and new, and why."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from serving.database import DATABASE, columns_of, open_database
from serving.standing import Replay, stage_since
from serving.why import Why

WATCHED = ("band", "tier", "stage")  # a move in one of these dates the account anew; a rank alone moves every night
SCHEMA = pa.schema(
    [
        ("account_id", pa.string()),
        ("as_of", pa.date32()),
        *((f"{which}_{name}", pa.string()) for name in WATCHED for which in ("old", "new")),
        ("old_rank", pa.int64()),
        ("new_rank", pa.int64()),
        ("why", pa.string()),
    ]
)


def rows_before(folder: Path | None) -> dict[str, Any] | None:
    """By account_id what `compare` asks of the earlier release in `folder`; null: there is none. stage_since is null in
    one of a version that kept none."""
    if folder is None:
        return None
    with closing(open_database(folder / DATABASE)) as con:
        since = "stage_since" if "stage_since" in columns_of(con) else "NULL AS stage_since"
        query = f"SELECT account_id, band, tier, stage, rank, changed_on, {since} FROM scores"
        return {row["account_id"]: row for row in con.execute(query)}


def compare(
    scores: pa.Table,
    before: dict[str, Any] | None,
    as_of: date,
    why: dict[str, Why],
    replay: Replay | None = None,
) -> tuple[pa.Table, dict[str, tuple[Any, ...]]]:
    """Tonight's `scores` against `before`, account_id -> row of the earlier release (None: there is none).

    Returns the accounts that moved (new accounts have null old values; without an earlier release the table is empty),
    and for every account its changed_on, stage_since, previous band, tier, stage and rank, and the answer of `why` (or
    the word for its absence). changed_on is the as_of of the first release that shows the account's present band, tier
    and stage; stage_since and `replay`: see serving.standing.stage_since.
    """
    moved: list[dict[str, Any]] = []
    history: dict[str, tuple[Any, ...]] = {}
    since = stage_since(scores, before, as_of, replay)
    columns = ("account_id", *WATCHED, "rank")
    for account, *now_watched, rank in zip(*(scores[name].to_pylist() for name in columns), strict=True):
        old = None if before is None else before.get(account)
        was = [None] * len(WATCHED) if old is None else [old[name] for name in WATCHED]
        old_rank = None if old is None else old["rank"]
        same = old is not None and was == now_watched
        changed_on = old["changed_on"] if same and old is not None else as_of.isoformat()
        history[account] = (changed_on, since[account], *was, old_rank, why[account].said, why[account].absent)
        if before is not None and not (same and rank == old_rank):
            pairs = {f"old_{n}": v for n, v in zip(WATCHED, was, strict=True)}
            pairs |= {f"new_{n}": v for n, v in zip(WATCHED, now_watched, strict=True)}
            ranks = {"old_rank": old_rank, "new_rank": rank}
            moved.append({"account_id": account, "as_of": as_of, **pairs, **ranks, "why": why[account].first})
    return pa.Table.from_pylist(moved, schema=SCHEMA), history
