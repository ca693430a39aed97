"""The Spark twin of the engine: the same stages, transpiled, where one machine is not enough (docs/scale.md).

The only module that imports pyspark and sqlglot, both of the extra `spark`, and only when it is used.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from warehouse.engine import Stage, reads
from warehouse.errors import ExpansionError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROOT = Path(__file__).parents[1]
LOCAL = "local[2]"
PARTITIONS = 8  # of a shuffle, unless the cluster's own defaults say otherwise


@contextmanager
def connect_spark(master: str = LOCAL) -> Iterator[SparkSession]:
    """A Spark session in UTC whose executors can import this project.

    Raises:
        UsageError: the extra `spark` or Java is missing.
        ExpansionError: the master does not answer, or this process has a session of another one.
    """
    SparkSession = _session_class()
    other = SparkSession.getActiveSession()
    if other is not None and other.sparkContext.master != master:  # Spark would hand it out in silence
        raise ExpansionError(
            f'Spark master "{master}" cannot be used: this process already works on "{other.sparkContext.master}". '
            "Stop that session first."
        )
    loopback = master.startswith("local") or "//127.0.0.1" in master or "//localhost" in master
    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.shuffle.partitions": str(PARTITIONS),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.executorEnv.OMP_WAIT_POLICY": "PASSIVE",
    }
    if loopback:
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    builder = SparkSession.builder.appName("expansion").master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        session.sparkContext.pythonExec = sys.executable  # of the executors; spark.pyspark.python is for spark-submit
        session.range(1).count()  # a master that does not answer is told apart from a query that fails
    except Exception as error:
        raise ExpansionError(
            f'Spark master "{master}" cannot be used ({error}). Check --master and the cluster.'
        ) from error
    try:
        yield session
    finally:
        session.stop()


def _session_class() -> Any:
    try:
        import sqlglot  # noqa: F401
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(
            f"engine spark needs {error.name}, which is not installed. Install the extra: pip install '.[spark]'."
        ) from error
    if shutil.which("java") is None:
        raise UsageError("engine spark needs Java 17 or newer, and no `java` is on the path. Install a Java runtime.")
    return SparkSession


def transpiled(sql: str) -> str:
    """DuckDB's SQL as Spark's."""
    import sqlglot

    [text] = sqlglot.transpile(sql, read="duckdb", write="spark")
    return text


def run_spark_stages(session: SparkSession, stages: Sequence[Stage], say: Callable[[str], None]) -> DataFrame:
    """Makes each stage a temporary view, in order, and returns the last, which is computed when it is asked for.

    Every other stage that reads rows of the vendor is computed at once and kept by the executors (local checkpoint), so
    that no plan is longer than a stage; a lost executor fails the run, which is then run again.
    """
    frame = None
    for number, stage in enumerate(stages):
        say(stage.name)
        frame = session.sql(transpiled(stage.sql))
        if number + 1 < len(stages) and any(reads(later, stage.name) for later in stages[number + 1 :]):
            frame = frame.localCheckpoint()
        frame.createOrReplaceTempView(stage.name)
    assert frame is not None
    return frame


def register(session: SparkSession, name: str, table: pa.Table) -> None:
    """An Arrow table as the view `name`."""
    session.createDataFrame(table).createOrReplaceTempView(name)


def open_parquet(session: SparkSession, name: str, files: Sequence[Path]) -> None:
    """Parquet files of one schema as the view `name`."""
    session.read.parquet(*(str(file) for file in files)).createOrReplaceTempView(name)


Batches = Iterator[pa.RecordBatch]


def map_batches(frame: DataFrame, work: Callable[[Batches], Batches], schema: pa.Schema) -> pa.Table:
    """`work` over the rows of `frame` in the executors, batch by batch, brought home."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return frame.mapInArrow(work, from_arrow_schema(schema)).toArrow().cast(schema)
