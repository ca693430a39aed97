"""The one entry point to features: training, nightly batch and API differ only in the rows and dates they bring."""

from __future__ import annotations

import argparse
import tempfile
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from features.catalogue import CATALOGUE, Definitions
from features.rollup import roll_up
from features.snapshots import everyone
from features.windows import window_query
from warehouse import progress
from warehouse.engine import connect
from warehouse.ingest import IngestParams, ingest_stage
from warehouse.params import read_params
from warehouse.store import Workspace, open_warehouse, read_table, write_table


def build_features(con: duckdb.DuckDBPyConnection, spine: pa.Table, definitions: Definitions) -> pa.Table:
    """What each account of the spine looked like at its date.

    Args:
        con: sees the typed tables accounts, events and revenue.
        spine: account_id (string), as_of (date32); any order, no duplicates. Rows whose account had not signed up
            before as_of come back absent.
        definitions: the ladder and the meaning of event names.

    Returns:
        account_id, as_of and one column a feature (float64; strings for categories), sorted by account and date.
        Null means what the catalogue says of the feature.
    """
    roll_up(con, definitions)
    con.register("spine_rows", spine)
    con.execute("CREATE OR REPLACE TEMP TABLE spine AS SELECT account_id, as_of FROM spine_rows")
    con.unregister("spine_rows")
    return con.sql(window_query(CATALOGUE, definitions.sql_fragments())).to_arrow_table()


def features_of(raw: Path, as_of: date, settings: IngestParams, definitions: Definitions, now: datetime) -> pa.Table:
    """The feature table of every account in a folder of raw files, without a workspace.

    Raises:
        ContractBroken: the folder is refused, as `ingest` would refuse it.
    """
    with tempfile.TemporaryDirectory(prefix="expansion-features-") as folder:
        workspace = Workspace(Path(folder))
        ingest_stage(raw, workspace, settings, now)
        with connect(workspace.warehouse) as con:
            open_warehouse(con, workspace.warehouse)
            return build_features(con, everyone(con, as_of), definitions)


def features_stage(workspace: Workspace, definitions: Definitions) -> None:
    """Stage `build`: artifacts/snapshots.parquet -> artifacts/features.parquet."""
    with progress.stage("features") as say, connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse)
        table = build_features(con, read_table(workspace.artifacts / "snapshots.parquet"), definitions)
        write_table(table, workspace.artifacts / "features.parquet")
        say(f"{table.num_rows:,} snapshots x {len(CATALOGUE)} features")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Stage build: what each account looked like at each date.")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--params", type=Path)
    args = parser.parse_args(argv)
    features_stage(Workspace(args.workspace), Definitions.from_params(read_params(args.params)))


if __name__ == "__main__":
    main()
