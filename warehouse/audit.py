"""What a delivery did to the facts that were already known: how many came, came late, were corrected, or went."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

from warehouse.accounting import Audit
from warehouse.engine import name, parquet
from warehouse.raw import RawTable


def audit(
    con: duckdb.DuckDBPyConnection, table: RawTable, old: list[Path], new: list[Path], end: date | None
) -> Audit | None:
    """Compares the Parquet files of the parts that were written anew; null when no row differs.

    end: the end of the data before (UTC midnight, excluded); null: nothing counts as late."""
    columns = [column.name for column in table.columns]
    key = f"CASE WHEN {table.keyed} THEN {table.key_hash} END" if table.key else "CAST(NULL AS UBIGINT)"
    said = f"hash({', '.join(map(name, table.told_once))})" if table.told_once else "CAST(0 AS UBIGINT)"
    rows = (
        f"SELECT hash({', '.join(map(name, columns))}) AS content, {key} AS key, {said} AS said, "
        f"{table.happened} AS happened"
    )
    tables = [
        f"({rows} FROM {parquet(*files)})" if files else f"({rows} FROM {parquet(*(new or old))} WHERE false)"
        for files in (new, old)
    ]
    late = "false" if end is None else f"happened < TIMESTAMP '{end.isoformat()}'"
    [(added, tardy, corrected, removed, retold)] = con.execute(f"""
        WITH fresh AS (SELECT * FROM {tables[0]} EXCEPT ALL SELECT * FROM {tables[1]}),
        gone AS (SELECT * FROM {tables[1]} EXCEPT ALL SELECT * FROM {tables[0]}),
        told AS (SELECT *, key IN (SELECT key FROM gone WHERE key IS NOT NULL) AS known,
                        (key, said) IN (SELECT (key, said) FROM gone WHERE key IS NOT NULL) AS same FROM fresh)
        SELECT count(*) FILTER (known IS NOT TRUE), count(*) FILTER (known IS NOT TRUE AND {late}),
               count(*) FILTER (known), (SELECT count(*) FROM gone) - count(*) FILTER (known),
               count(*) FILTER (known AND NOT same) FROM told""").fetchall()
    return (
        Audit(added, tardy, corrected, removed, retold if table.told_once else 0)
        if added or corrected or removed
        else None
    )
