"""Features on Spark: the very stages of features/build.py, over the warehouse's own files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from features.build import HISTORY, feature_stages
from features.catalogue import Definitions
from features.rollup import Vocabulary, days_query, fold_relations, foreign_query, refuse_foreign, revenue_query
from features.snapshots import everyone_query
from warehouse.engine import Stage
from warehouse.spark import open_parquet, register, run_spark_stages
from warehouse.store import Workspace, table_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def features_on_spark(
    session: SparkSession,
    workspace: Workspace,
    as_of: date,
    definitions: Definitions,
    say: Callable[[str], None] = lambda _: None,
) -> DataFrame:
    """What `build_features` says of every account at `as_of`, as a frame that is computed when it is asked for. Events
    are rolled up anew by the cluster; nothing of the roll-up on disk is used."""
    for table in ("accounts", *HISTORY):
        open_parquet(session, table, table_files(workspace.warehouse, table))
    return run_spark_stages(session, plan(session, everyone_query(as_of), definitions), say)


def plan(session: SparkSession, spine: str, definitions: Definitions) -> list[Stage]:
    """All stages from the views of the four raw tables to `features`. spine: SQL of account_id, as_of.

    Raises:
        ContractBroken: revenue in another currency than that of the ladder.
    """
    foreign = session.sql(foreign_query(definitions)).toArrow().to_pylist()
    refuse_foreign([(row["currency"], row["n"]) for row in foreign], definitions)
    found = session.sql("SELECT DISTINCT event_name FROM events").toArrow()["event_name"].to_pylist()
    vocabulary = Vocabulary().plus(found)
    layout = vocabulary.layout(definitions)
    register(session, "names", vocabulary.table(definitions))
    return [
        Stage("user_days", days_query(vocabulary.words)),
        Stage("revenue_days", revenue_query(definitions.tiers.spread_days)),
        *fold_relations(layout),
        Stage("spine", spine),
        *feature_stages(definitions, layout),
    ]


def brought_home(frame: DataFrame) -> pa.Table:
    """The frame as `build_features` returns it, sorted."""
    return frame.toArrow().sort_by([("account_id", "ascending"), ("as_of", "ascending")])
