"""Which of several rows that tell one fact stays: the earliest known; its copies are duplicates, the others conflict.

Ties in time are broken by content, so the order of rows and files never matters. Rows without a key are copies of one
another when all their columns are equal. In a restated table (accounts) the last file by name holds, and what earlier
files told of the same key is an earlier state, hence a duplicate; its columns told once stay as the first file told.
"""

from __future__ import annotations

import duckdb

from warehouse.engine import name, quote
from warehouse.raw import RawTable

DUPLICATE = "duplicate"


def settle(con: duckdb.DuckDBPyConnection, table: RawTable, relation: str) -> None:
    """Marks `_breach` of the clean rows of the DuckDB table `relation` that are not the first of their key."""
    everything = ", ".join(name(column.name) for column in table.columns)
    if not table.key:
        _mark(con, table, relation, everything, "true", keyed=False)
        return
    _mark(con, table, relation, ", ".join(table.key), table.keyed, keyed=True)
    if table.told_once:
        _as_first_told(con, table, relation)
    if not table.always_keyed:
        _mark(con, table, relation, everything, f"NOT ({table.keyed})", keyed=False)


def _mark(con: duckdb.DuckDBPyConnection, table: RawTable, relation: str, key: str, among: str, keyed: bool) -> None:
    everything = ", ".join(name(column.name) for column in table.columns)
    newest = "_file DESC, " if table.restated else ""
    verdict = quote(DUPLICATE)
    if keyed:
        # a copy delivered again was received later, and is a copy all the same
        told = [c.name for c in table.columns if c.name != table.known or table.known == table.happened]
        content = f"row({', '.join(map(name, told))})"
        same = f"{content} IS NOT DISTINCT FROM first({content}) OVER kin"
        earlier = "_file <> first(_file) OVER kin" if table.restated else "false"
        conflict = quote(f"conflicting_duplicate|{table.key[0]}")
        verdict = f"CASE WHEN {same} OR {earlier} THEN {verdict} ELSE {conflict} END"
    con.execute(f"""
        UPDATE {relation} AS t SET _breach = v.breach
        FROM (
            SELECT _id, {verdict} AS breach, row_number() OVER kin AS place
            FROM (SELECT *, rowid AS _id FROM {relation} WHERE _breach IS NULL AND {among})
            WINDOW kin AS (PARTITION BY {key} ORDER BY {newest}{table.known}, {everything}, _file, _line)
        ) AS v
        WHERE t.rowid = v._id AND v.place > 1""")


def _as_first_told(con: duckdb.DuckDBPyConnection, table: RawTable, relation: str) -> None:
    """Gives the rows that stay what the first of their kin told in the columns told once."""
    everything = ", ".join(name(column.name) for column in table.columns)
    told = table.told_once
    con.execute(f"""
        UPDATE {relation} AS t SET {", ".join(f"{name(c)} = v.{name(c)}" for c in told)}
        FROM (
            SELECT _id, _breach, {", ".join(f"first({name(c)}) OVER kin AS {name(c)}" for c in told)}
            FROM (SELECT *, rowid AS _id FROM {relation} WHERE coalesce(_breach, '{DUPLICATE}') = '{DUPLICATE}')
            WINDOW kin AS (PARTITION BY {", ".join(table.key)} ORDER BY _file, {table.known}, {everything}, _line)
        ) AS v
        WHERE t.rowid = v._id AND v._breach IS NULL""")
