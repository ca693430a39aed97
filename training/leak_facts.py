"""Facts as the leak audit alters them: cut at a day, delivered late, with other values, reordered, or from the future.

Features are then built from the bent facts by the one entry point. Where honest features cannot change, a feature that
does change has seen what it may not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import Definitions
from warehouse import repeats
from warehouse.engine import connect
from warehouse.raw import CONTACTED, TABLES, RawTable

Facts = Mapping[str, pa.Table]  # raw table -> typed rows
Build = Callable[[duckdb.DuckDBPyConnection, pa.Table, Definitions], pa.Table]  # features.build.build_features
ENDS = {"accounts": "closed_at", "account_users": "valid_to"}  # a later end of a row that was known before
LATEST_STATES = {
    table: tuple(c.name for c in TABLES[table].columns if c.type != "timestamp" and not c.required and not c.told_once)
    for table in ENDS  # rows that last, so whatever else they say is updated in place, without a date
}
OTHER = {
    "text": "concat('another ', coalesce({0}, ''))",
    "integer": "coalesce({0}, 0) + 1000",
    # who is internal is counted nowhere and stays so; of the others, no and nobody-has-said must read the same
    "flag": "CASE WHEN {0} THEN true WHEN {0} IS NULL THEN false END",
}
CANARY_EVENTS = 30  # of the month after as_of, planted for an account


def cut_views(con: duckdb.DuckDBPyConnection, day: date) -> None:
    """Narrows the views of an opened warehouse to what was known before the midnight `day`; a later end is null."""
    for table in TABLES.values():
        con.execute(f"ALTER VIEW {table.name} RENAME TO whole_{table.name}")
        con.execute(f"CREATE VIEW {table.name} AS {_known_before(table, day)}")


def _known_before(table: RawTable, day: date) -> str:
    cut = f"TIMESTAMP '{day.isoformat()}'"
    end = ENDS.get(table.name)
    columns = f"* REPLACE (CASE WHEN {end} < {cut} THEN {end} END AS {end})" if end else "*"
    return f"SELECT {columns} FROM whole_{table.name} WHERE {table.happened} < {cut} AND {table.known} < {cut}"


def facts_of(con: duckdb.DuckDBPyConnection, accounts: Iterable[str]) -> Facts:
    """Every typed row of `accounts`, whenever it happened."""
    con.register("sampled", pa.table({"account_id": pa.array(list(accounts), pa.string())}))
    found = {name: con.sql(f"SELECT * FROM {name} SEMI JOIN sampled USING (account_id)").to_arrow_table()
             for name in TABLES}  # fmt: skip
    con.unregister("sampled")
    return found


def features_of(facts: Facts, spine: pa.Table, definitions: Definitions, build: Build) -> pa.Table:
    """The feature table of `spine` where `facts` are all there is."""
    with connect() as con:
        for name, rows in facts.items():
            con.register(f"given_{name}", rows)
            con.execute(f"CREATE TABLE {name} AS SELECT * FROM given_{name}")
            con.unregister(f"given_{name}")
        return build(con, spine, definitions)


def spine_of(accounts: Iterable[str], day: date) -> pa.Table:
    """`accounts` at one date."""
    names = list(accounts)
    return pa.table({"account_id": pa.array(names, pa.string()), "as_of": pa.array([day] * len(names), pa.date32())})


def with_late_events(facts: Facts, day: date, seed: int) -> Facts:
    """Half of the events before `day` happened twice, and the vendor hears of the second one after `day`."""
    events = facts["events"]
    early = events.filter(pc.less(events["occurred_at"], pa.scalar(_midnight(day), pa.timestamp("us"))))
    again = early.filter(pa.array(np.random.default_rng(seed).random(len(early)) < 0.5))
    late = pa.array([_midnight(day) + timedelta(days=3)] * len(again), pa.timestamp("us"))
    return _plus(facts, "events", again, {"received_at": late})


def with_other_states(facts: Facts) -> Facts:
    """Every account, and every user of one, says something else in the columns that hold a latest state."""
    bent = dict(facts)
    for table, columns in LATEST_STATES.items():
        said = ", ".join(f"{OTHER[TABLES[table].column(c).type].format(c)} AS {c}" for c in columns)
        with connect() as con:
            con.register("given", facts[table])
            bent[table] = con.sql(f"SELECT * REPLACE ({said}) FROM given").to_arrow_table()
    return bent


def with_accounts_told_again(facts: Facts) -> Facts:
    """A later file tells every account again, with another value in each column that has no date, and with another
    sign-up; the warehouse settles the two tellings."""
    table = TABLES["accounts"]
    others = {
        "text": OTHER["text"],
        "integer": OTHER["integer"],
        "timestamp": "{0} - INTERVAL 30 DAY",  # earlier: who has not signed up at as_of has no features to compare
    }
    kept = (*table.key, ENDS[table.name])  # an end is dated, so a later file may tell of it
    undated = [column for column in table.columns if column.type in others and column.name not in kept]
    told = ", ".join(f"{others[column.type].format(column.name)} AS {column.name}" for column in undated)
    again = f"SELECT * REPLACE ({told}), 'later' AS _file FROM given"
    with connect() as con:
        con.register("given", facts["accounts"])
        con.execute(f"""
            CREATE TABLE told AS SELECT *, 1 AS _line, CAST(NULL AS VARCHAR) AS _breach
            FROM (SELECT *, 'earlier' AS _file FROM given UNION ALL {again})""")
        repeats.settle(con, table, "told")
        columns = ", ".join(facts["accounts"].column_names)
        settled = con.sql(f"SELECT {columns} FROM told WHERE _breach IS NULL").to_arrow_table()
    return {**facts, "accounts": settled}


def with_touches_after(facts: Facts, day: date, seed: int) -> tuple[Facts, Facts]:
    """The facts without any touch from `day` on, and with one for every account at a random day of the next 180."""
    touches = facts["touches"]
    before = touches.filter(pc.less(touches["occurred_at"], pa.scalar(_midnight(day), pa.timestamp("us"))))
    names = facts["accounts"]["account_id"].to_pylist()
    days = np.random.default_rng(seed).integers(0, 180, len(names))
    planted = pa.table(
        {
            "account_id": pa.array(names, pa.string()),
            "occurred_at": pa.array([_midnight(day) + timedelta(days=int(d)) for d in days], pa.timestamp("us")),
            "kind": pa.array([CONTACTED] * len(names), pa.string()),
        }
    )
    return {**facts, "touches": before}, {**facts, "touches": _like(before, planted)}


def shuffled(facts: Facts, seed: int) -> Facts:
    """The rows of every table in another order."""
    rng = np.random.default_rng(seed)
    return {name: rows.take(pa.array(rng.permutation(len(rows)))) for name, rows in facts.items()}


def with_canary(facts: Facts, day: date, accounts: Iterable[str]) -> Facts:
    """`accounts` use the product every day of the month that opens on `day`, more than anybody does."""
    names = [name for name in accounts for _ in range(CANARY_EVENTS)]
    days = [step for step in range(CANARY_EVENTS)] * (len(names) // CANARY_EVENTS)
    when = pa.array([_midnight(day) + timedelta(days=step, hours=9) for step in days], pa.timestamp("us"))
    most = facts["events"]["event_name"].value_counts()
    kind = max(most.to_pylist(), key=lambda one: (one["counts"], one["values"]))["values"] if len(most) else "canary"
    planted = pa.table(
        {
            "event_id": [f"canary-{number}" for number in range(len(names))],
            "account_id": pa.array(names, pa.string()),
            "user_id": [f"canary-{name}-{step}" for name, step in zip(names, days, strict=True)],
            "event_name": [kind] * len(names),
            "occurred_at": when,
            "received_at": when,
            "quantity": pa.array([1] * len(names), pa.int8()),  # a wider integer does not fit the decimal
        }
    )
    return {**facts, "events": _like(facts["events"], planted)}


def _plus(facts: Facts, table: str, rows: pa.Table, changed: Mapping[str, pa.Array]) -> Facts:
    """`rows` once more under ids of their own and with `changed` columns."""
    ids = {"event_id": pa.array([f"late-{number}" for number in range(len(rows))], pa.string())}
    for column, values in {**ids, **changed}.items():
        rows = rows.set_column(rows.column_names.index(column), column, values)
    return {**facts, table: _like(facts[table], rows)}


def _like(rows: pa.Table, more: pa.Table) -> pa.Table:
    """`rows` and, below them, `more` in the same columns and types; a column it lacks is null."""
    arrays = [
        more[field.name].cast(field.type) if field.name in more.column_names else pa.nulls(len(more), field.type)
        for field in rows.schema
    ]
    return pa.concat_tables([rows, pa.table(arrays, schema=rows.schema)])


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min)
