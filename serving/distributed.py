"""Scores on Spark: features by the cluster, and the bundle's own boosters in its executors, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from features.catalogue import Definitions
from features.distributed import brought_home, features_on_spark
from features.peers import GROUP, NO_PEERS
from features.season import NO_SEASON
from features.vendor import Vendor
from models.scorer import Scorer
from serving.scoring import explaining, said, told
from warehouse import progress
from warehouse.spark import connect_spark, map_batches
from warehouse.store import Workspace

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

WATCHED = 100_000  # accounts whose features are brought home to be watched: a tenth of a GB, and PSI needs no more
KEPT = "kept."  # before the names of what is kept, where it travels beside the scores
Says = Callable[[Scorer, pa.Table], pa.Table]


@contextmanager
def on_spark(master: str, workspace: Workspace, definitions: Definitions, as_of: date) -> Iterator[Spread]:
    """Tonight's features on the cluster of `master`, as long as the context lasts. The executors load bundles from
    their folders, which they must be able to read."""
    with connect_spark(master) as session:
        with progress.stage("spark") as say:
            frame = features_on_spark(session, workspace, as_of, definitions, say)
        yield Spread(frame)


@dataclass(frozen=True)
class Spread:
    """The feature rows over the executors of a cluster; a `serving.scoring.Tonight`."""

    frame: DataFrame

    @property
    def vendor(self) -> Vendor:
        """What it tells of that night, as the features have it."""
        session = self.frame.sparkSession
        peers, weeks = (session.table(name).toArrow() for name in ("peers", "season_weeks"))
        in_order = [(name, "ascending") for name in ("as_of", *GROUP)]
        return Vendor(
            peers.select(NO_PEERS.schema.names).sort_by(in_order).cast(NO_PEERS.schema),
            weeks.select(NO_SEASON.schema.names).sort_by("week").cast(NO_SEASON.schema),
        )

    def scored(self, scorer: Scorer, bundle: Path) -> tuple[pa.Table, pa.Table | None]:
        if scorer.card["method"] == "rule":  # whose score is a rank among all accounts
            return said(scorer, brought_home(self.frame))
        table = self._mapped(scorer, bundle, _side_by_side)
        kept = [name for name in table.column_names if name.startswith(KEPT)]
        scores = table.drop_columns(kept)
        return scores, _encoded(table.select(kept).rename_columns([name.removeprefix(KEPT) for name in kept]))

    def of(self, accounts: pa.ChunkedArray) -> pa.Table:
        return brought_home(self.frame.filter(self.frame["account_id"].isin(accounts.to_pylist())))

    def explained(self, bundle: Path) -> pa.Table | str:
        scorer = explaining(bundle)
        return scorer if isinstance(scorer, str) else _encoded(self._mapped(scorer, bundle, _kept))

    def rows(self) -> pa.Table:
        from pyspark.sql.functions import xxhash64

        return self.frame.orderBy(xxhash64("account_id"), "account_id").limit(WATCHED).toArrow()

    def _mapped(self, scorer: Scorer, bundle: Path, says: Says) -> pa.Table:
        """What `says` of every row, by the bundle that the executors load, sorted by account_id."""
        schema = says(scorer, self.frame.limit(1).toArrow()).schema
        folder = str(bundle.resolve())

        def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield from says(_scorer(folder), pa.Table.from_batches([batch])).cast(schema).to_batches()

        return map_batches(self.frame, work, schema).sort_by("account_id")


def _side_by_side(scorer: Scorer, features: pa.Table) -> pa.Table:
    """Scores and, under names of their own, what is kept of them: one pass over the boosters makes both."""
    scores, kept = said(scorer, features)
    assert kept is not None
    for name, column in zip(kept.column_names, _plain(kept).columns, strict=True):
        scores = scores.append_column(KEPT + name, column)
    return scores


def _kept(scorer: Scorer, features: pa.Table) -> pa.Table:
    return _plain(told(scorer, features))


def _plain(table: pa.Table) -> pa.Table:
    """Words instead of dictionaries, which Spark does not know."""
    fields = [pa.field(f.name, pa.string()) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))


def _encoded(table: pa.Table) -> pa.Table:
    """What `_plain` undid."""
    table = table.combine_chunks()
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) and field.name != "account_id":
            table = table.set_column(place, field.name, table[place].combine_chunks().dictionary_encode())
    return table


@cache
def _scorer(folder: str) -> Scorer:
    """Once a process of the executor."""
    return Scorer.load(Path(folder))
