"""Scores on Spark: features by the cluster, and the bundle's own boosters in its executors, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path

import pyarrow as pa

from features.distributed import brought_home, features_on_spark
from models.scorer import Scorer
from warehouse import progress
from warehouse.spark import connect_spark, map_batches
from warehouse.store import Workspace


def score_on_spark(master: str, workspace: Workspace, scorer: Scorer, bundle: Path, as_of: date) -> pa.Table:
    """What `scorer.score` says of every account, in order of account_id. The executors load the bundle from `bundle`,
    which they must be able to read; a rule, whose score is a rank among all accounts, is scored here."""
    with progress.stage("spark") as say, connect_spark(master) as session:
        frame = features_on_spark(session, workspace, as_of, scorer.definitions, say)
        if scorer.card["method"] == "rule":
            return scorer.score(brought_home(frame))
        schema = scorer.score(frame.limit(1).toArrow()).schema
        folder = str(bundle.resolve())

        def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield from _scorer(folder).score(pa.Table.from_batches([batch])).cast(schema).to_batches()

        return map_batches(frame, work, schema).sort_by("account_id")


@cache
def _scorer(folder: str) -> Scorer:
    """Once a process of the executor."""
    return Scorer.load(Path(folder))
