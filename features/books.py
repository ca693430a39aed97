"""What the books alone say of accounts: tenure, run-rate and tier, by the feature code, without rolling usage up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from features.build import build_features
from features.catalogue import Definitions

BOOKS = ("tenure_days", "tier", "run_rate")


def books_at(con: duckdb.DuckDBPyConnection, spine: pa.Table, definitions: Definitions) -> pa.Table:
    """account_id, as_of and `BOOKS` (days, index of the tier, money per 30 days; never null) of every row of the spine
    that had signed up, as `build_features` tells them, sorted by account and date. `con` sees the typed tables of the
    warehouse."""
    with without_usage(con):
        return build_features(con, spine, definitions).select(["account_id", "as_of", *BOOKS])


@contextmanager
def without_usage(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Within it `events` is empty: run-rate, tier and labels come from money alone, and rolling usage up costs most."""
    [(database,)] = con.execute("SELECT current_database()").fetchall()
    con.execute(f'CREATE OR REPLACE TEMP VIEW events AS SELECT * FROM "{database}".main.events LIMIT 0')
    try:
        yield
    finally:
        con.execute("DROP VIEW temp.main.events")
