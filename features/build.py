"""The one entry point to features: training, nightly batch and API differ only in the rows and dates they bring."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from features import daily
from features.catalogue import CATALOGUE, Definitions, cells_of
from features.feature import Feature, table_query
from features.rollup import roll_up
from features.snapshots import everyone, refuse_unopened
from features.vendor import Vendor
from features.windows import Layout, stages
from warehouse import progress
from warehouse.command import Call, run
from warehouse.engine import Stage, connect, run_stages
from warehouse.errors import UsageError
from warehouse.ingest import IngestParams, ingest_stage
from warehouse.manifest import refuse_changed
from warehouse.scratch import scratch
from warehouse.store import Workspace, open_warehouse, read_table, write_table

HISTORY = ("events", "revenue", "account_users")  # the tables of an account's history that features read


def feature_stages(definitions: Definitions, layout: Layout, features: Sequence[Feature] = CATALOGUE) -> list[Stage]:
    """The whole plan, from the daily rows to the stage `features`."""
    query = table_query(features, definitions.sql_fragments())
    return [*stages(cells_of(features), layout), Stage("features", query)]


def build_features(
    con: duckdb.DuckDBPyConnection,
    spine: pa.Table,
    definitions: Definitions,
    layout: Layout | None = None,
    say: Callable[[str], None] = lambda _: None,
    vendor: Vendor | None = None,
    features: Sequence[Feature] = CATALOGUE,
) -> pa.Table:
    """What each account of the spine looked like at its date.

    Args:
        con: sees the typed tables accounts, events, revenue and account_users.
        spine: account_id (string), as_of (date32); any order, no duplicates. Rows whose account had not signed up
            before as_of come back absent.
        definitions: the ladder and the meaning of event names.
        layout: of the daily rows that `con` sees already (features.daily.open_daily); null: they are made of the
            events.
        vendor: what its accounts together tell, from a caller that knows more of them than `con` does, as of the one
            date of the spine; null: it is computed from `con`.
        say: is told the stage at work.
        features: those wanted, with all that they are made of (features.feature.behind).

    Returns:
        account_id, as_of and one column a feature (float64; strings for categories), sorted by account and date.
        Null means what the catalogue says of the feature.

    Raises:
        ValueError: `vendor` is of another day than a row of the spine.
    """
    layout = layout or roll_up(con, definitions)
    if vendor is not None:
        asked, told = set(spine["as_of"].unique().to_pylist()), vendor.days
        if told and asked - told:
            raise ValueError(
                f"features as of {', '.join(map(str, sorted(asked - told)))}, beside a vendor as of "
                f"{', '.join(map(str, sorted(told)))}: bring it to that day by Vendor.later."
            )
        layout = replace(layout, given=True)
        vendor.register(con)
    con.register("spine_rows", spine)
    con.execute("CREATE OR REPLACE TEMP TABLE spine AS SELECT account_id, as_of FROM spine_rows")
    con.unregister("spine_rows")
    *before, last = feature_stages(definitions, layout, features)
    run_stages(con, before, say)
    say(last.name)
    return con.sql(last.sql).to_arrow_table()


def open_history(
    con: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    definitions: Definitions,
    first: date,
    last: date,
) -> Layout:
    """The daily rows for as_of in [first, last]: from the roll-up on disk where it is up to date with the warehouse,
    else of the events, in memory. `con` sees the tables of the warehouse and may read workspace.rollup."""
    rolled = daily.ready(workspace, definitions)
    if rolled is None:
        return roll_up(con, definitions)
    return daily.open_daily(con, workspace.rollup, definitions, rolled, first, last)


def features_at(
    con: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    spine: pa.Table,
    definitions: Definitions,
    say: Callable[[str], None] = lambda _: None,
    features: Sequence[Feature] = CATALOGUE,
) -> pa.Table:
    """`build_features` over a workspace; `con` sees the tables of its warehouse."""
    if spine.num_rows == 0:
        return build_features(con, spine, definitions, features=features)
    days = pc.min_max(spine["as_of"]).as_py()
    layout = open_history(con, workspace, definitions, days["min"], days["max"])
    return build_features(con, spine, definitions, layout, say, features=features)


def features_of(
    raw: Path,
    as_of: date,
    settings: IngestParams,
    definitions: Definitions,
    now: datetime,
    known_by: date | None = None,
    master: str | None = None,
) -> pa.Table:
    """The feature table of every account in a folder of raw files, without a workspace.

    known_by: hindsight, see features.rollup.roll_up. master: of the Spark cluster that makes them; null: this machine.

    Raises:
        ContractBroken: the folder is refused, as `ingest` would refuse it.
        UsageError: as_of has not opened yet, or nobody had signed up before it; or known_by is before as_of.
    """
    if known_by and master is not None:
        raise UsageError("--known-by works with the engine duckdb only. Leave out --engine spark.")
    if known_by and known_by < as_of:
        raise UsageError(f"--known-by {known_by} lies before as_of {as_of}. Give as_of or a later day.")
    with scratch("features") as folder:
        workspace = Workspace(folder)
        ingest_stage(raw, workspace, settings, now)
        with progress.stage("features") as say, open_vendor(workspace) as con:
            refuse_day(con, as_of, now.date())
            if master is not None:
                table = _on_spark(master, workspace, as_of, definitions, say)
            else:
                layout = roll_up(con, definitions, known_by)
                table = build_features(con, everyone(con, as_of), definitions, layout, say)
            say(f"{table.num_rows:,} accounts x {len(CATALOGUE)} features")
            return table


def _on_spark(
    master: str, workspace: Workspace, as_of: date, definitions: Definitions, say: Callable[[str], None]
) -> pa.Table:
    from features.distributed import brought_home, features_on_spark  # pyspark is an extra
    from warehouse.spark import connect_spark

    with connect_spark(master) as session:
        return brought_home(features_on_spark(session, workspace, as_of, definitions, say))


def refuse_day(con: duckdb.DuckDBPyConnection, as_of: date, today: date) -> None:
    """Raises UsageError for a day that has not opened yet (UTC), or by which nobody had signed up."""
    refuse_unopened(as_of, today)
    [(first,)] = con.execute("SELECT CAST(min(created_at) AS DATE) FROM accounts").fetchall()
    if first is None or first >= as_of:
        raise UsageError(
            f"no account had signed up before as_of {as_of}; the first in accounts did on {first}. Give a later day."
        )


def features_stage(workspace: Workspace, definitions: Definitions) -> None:
    """Stage `features`: rollup/ and artifacts/snapshots.parquet -> artifacts/features.parquet."""
    with progress.stage("features") as say, open_vendor(workspace) as con:
        table = features_at(con, workspace, read_table(workspace.artifacts / "snapshots.parquet"), definitions, say)
        write_table(table, workspace.artifacts / "features.parquet")
        say(f"{table.num_rows:,} snapshots x {len(CATALOGUE)} features")


@contextmanager
def open_vendor(workspace: Workspace) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees the tables of the warehouse and may read the roll-up; an error of its own names the file
    that is damaged (features.daily.naming_damage).

    Raises:
        DataError: a file of the warehouse is not what `ingest` wrote.
        UsageError: there is no warehouse yet.
    """
    refuse_changed(workspace.warehouse)
    folders = (workspace.warehouse, workspace.rollup)
    with daily.naming_damage(workspace), connect(*folders, keep_order=False) as con:
        open_warehouse(con, workspace.warehouse)
        yield con


@contextmanager
def open_accounts(workspace: Workspace, account_ids: pa.ChunkedArray) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees the rows of these accounts (strings) alone, and no roll-up: of few it is sooner made anew
    than that of the whole vendor is read."""
    refuse_changed(workspace.warehouse)
    with connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse, account_ids)
        yield con


def main(argv: list[str] | None = None) -> int:
    def called(call: Call) -> None:
        features_stage(call.workspace, Definitions.from_params(call.document))

    return run(called, "Stage features: what each account looked like at each date.", argv)


if __name__ == "__main__":
    raise SystemExit(main())
