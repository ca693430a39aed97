"""36 columns of every account at every date from raw events: by this engine, a pandas loop, and Polars.

In windows of 7, 14, 28 and 90 days: events, specialist events, quantity, distinct users, active days, functions used,
specialist functions used, new users. Over the whole life: events, users, last day. And what the busiest user did in 28
days. A row counts at a date if it happened and was known before it. All three are compared cell by cell.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from features.build import open_vendor
from features.catalogue import Definitions
from features.measures import Cell
from features.rollup import roll_up
from features.windows import stages
from warehouse.engine import run_stages
from warehouse.store import Workspace, read_table, write_table

SPECIALIST = tuple(f"event_{n:02}" for n in range(30, 36))
SPANS = (7, 14, 28, 90)
WINDOWED = (
    "events", "specialist", "quantity", "users", "active_days", "breadth", "specialist_breadth", "new_users",
)  # fmt: skip
CELLS = (
    *(Cell(measure, span) for measure in WINDOWED for span in SPANS),
    *(Cell(measure) for measure in ("events", "users", "last_events")),
    Cell("busiest_user", 28),
)
COLUMNS = [cell.name for cell in CELLS]
KEYS = ["account_id", "as_of"]


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def event_files(workspace: Workspace) -> list[Path]:
    return sorted((workspace.warehouse / "events").glob("*.parquet"))


def beside_rivals(
    workspace: Workspace, dates: list[date], spine: pa.Table, definitions: Definitions
) -> dict[str, float | int]:
    """Seconds of each, how much faster the engine is, and cells that differ from it by more than 1e-9."""
    ours = timed(lambda: by_engine(workspace, spine, definitions))
    lazily = timed(lambda: by_polars(workspace, dates))
    loop, sampled = by_pandas(workspace, dates)
    out = workspace.root / "out"
    mine = read_table(out / "engine.parquet").to_pandas()
    differing = differences(mine, pd.read_parquet(out / "polars.parquet"))
    differing += differences(mine[mine["as_of"].isin(sampled)], pd.read_parquet(out / "pandas.parquet"))
    return {
        "engine_36_s": ours, "pandas_36_s": loop, "polars_36_s": lazily, "faster_than_pandas": loop / ours,
        "faster_than_polars": lazily / ours, "cells_that_differ": differing,
    }  # fmt: skip


def by_engine(workspace: Workspace, spine: pa.Table, definitions: Definitions) -> None:
    with open_vendor(workspace) as con:
        con.register("spine_rows", spine)
        con.execute("CREATE OR REPLACE TEMP TABLE spine AS SELECT account_id, as_of FROM spine_rows")
        run_stages(con, stages(CELLS, roll_up(con, definitions)), lambda _: None)
        columns = ", ".join(f"c_{cell.name} AS {cell.name}" for cell in CELLS)
        table = con.sql(f"SELECT account_id, as_of, {columns} FROM cells").to_arrow_table()
    write_table(table, workspace.root / "out" / "engine.parquet")


def by_pandas(workspace: Workspace, dates: list[date]) -> tuple[float, list[date]]:
    """Seconds for all dates, scaled from the three that are run, and these: events in memory, then for each date
    filter and group."""
    columns = ["account_id", "user_id", "event_name", "occurred_at", "received_at", "quantity"]
    started = time.perf_counter()
    frame = pd.concat([pd.read_parquet(file, columns=columns) for file in event_files(workspace)], ignore_index=True)
    frame["quantity"] = frame["quantity"].astype("float64")
    for name in ("account_id", "user_id", "event_name"):
        frame[name] = frame[name].astype("category")
    frame["special"] = frame["event_name"].isin(SPECIALIST)
    frame["day"] = frame.pop("occurred_at").dt.normalize()
    frame["known"] = np.maximum(frame["day"], frame.pop("received_at").dt.normalize())
    loading = time.perf_counter() - started
    accounts = pd.read_parquet(next((workspace.warehouse / "accounts").glob("*.parquet")))
    sampled = [dates[len(dates) * k // 6] for k in (1, 3, 5)]
    made: list[pd.DataFrame] = []
    seconds = timed(lambda: made.extend(_at(frame, accounts, day) for day in sampled))
    table = pd.concat(made)
    return (
        loading + (seconds + timed(lambda: table.to_parquet(workspace.root / "out" / "pandas.parquet")))
        / len(sampled) * len(dates),
        sampled,
    )  # fmt: skip


def _at(frame: pd.DataFrame, accounts: pd.DataFrame, day: date) -> pd.DataFrame:
    midnight = pd.Timestamp(day)
    known = frame[(frame["day"] < midnight) & (frame["known"] < midnight)]
    by_user = known.groupby(["account_id", "user_id"], observed=True)["day"].min().rename("first").reset_index()
    life = known.groupby("account_id", observed=True)
    made = [
        life.agg(events_life=("day", "size"), last_events_life=("day", "max")),
        by_user.groupby("account_id", observed=True).size().rename("users_life"),
    ]
    for span in SPANS:
        window = known[known["day"] >= midnight - pd.Timedelta(days=span)]
        special = window[window["special"]].groupby("account_id", observed=True)
        fresh = by_user[by_user["first"] >= midnight - pd.Timedelta(days=span)]
        made += [
            window.groupby("account_id", observed=True).agg(
                events=("day", "size"), specialist=("special", "sum"), quantity=("quantity", "sum"),
                users=("user_id", "nunique"), active_days=("day", "nunique"), breadth=("event_name", "nunique"),
            ).add_suffix(f"_{span}"),
            special["event_name"].nunique().rename(f"specialist_breadth_{span}"),
            fresh.groupby("account_id", observed=True).size().rename(f"new_users_{span}"),
        ]  # fmt: skip
    month = known[known["day"] >= midnight - pd.Timedelta(days=28)]
    acts = month.groupby(["account_id", "user_id"], observed=True).size()
    made.append(acts.groupby("account_id", observed=True).max().rename("busiest_user_28"))
    there = accounts.loc[accounts["created_at"] < midnight, "account_id"]
    return pd.concat(made, axis=1).reindex(there).rename_axis("account_id").reset_index().assign(as_of=day)


def by_polars(workspace: Workspace, dates: list[date]) -> None:
    """Grouped by day once, joined to the dates and grouped, lazily and streaming: the formulation of this engine."""
    events = pl.scan_parquet([str(file) for file in event_files(workspace)])
    names = pl.DataFrame(
        [(f"event_{n:02}", 1 << n, 1 << n if f"event_{n:02}" in SPECIALIST else 0) for n in range(40)],
        schema={"event_name": pl.String, "bit": pl.Int64, "special": pl.Int64}, orient="row",
    ).lazy()  # fmt: skip
    happened, known = pl.col("occurred_at").dt.date(), pl.max_horizontal("occurred_at", "received_at").dt.date()
    rows = (
        events.join(names, on="event_name")
        .group_by("account_id", "user_id", happened.alias("day"), known.alias("known_day"))
        .agg(
            pl.len().cast(pl.Int64).alias("events"), (pl.col("special") > 0).sum().cast(pl.Int64).alias("specialist"),
            pl.col("quantity").cast(pl.Float64).sum(), pl.col("bit").bitwise_or(), pl.col("special").bitwise_or(),
        )
        .collect(engine="streaming").lazy()
    )  # fmt: skip
    ages = pl.DataFrame(
        [(day - timedelta(days=age), day, age) for day in dates for age in range(1, 91)],
        schema={"day": pl.Date, "as_of": pl.Date, "age": pl.Int32}, orient="row",
    ).lazy()  # fmt: skip
    recent = rows.join(ages, on="day").filter(pl.col("known_day") < pl.col("as_of"))
    sums, ors = ["events", "specialist", "quantity"], {"breadth": "bit", "specialist_breadth": "special"}
    columns = []
    for span in SPANS:
        inside = pl.col("age") <= span
        columns += [pl.col(one).filter(inside).sum().alias(f"{one}_{span}") for one in sums]
        columns += [
            pl.col("user_id").filter(inside).n_unique().alias(f"users_{span}"),
            pl.col("day").filter(inside).n_unique().alias(f"active_days_{span}"),
        ]
        columns += [
            pl.col(bits).filter(inside).bitwise_or().bitwise_count_ones().alias(f"{one}_{span}")
            for one, bits in ors.items()
        ]
    acts = (
        recent.filter(pl.col("age") <= 28).group_by(*KEYS, "user_id").agg(pl.col("events").sum())
        .group_by(KEYS).agg(pl.col("events").max().alias("busiest_user_28"))
    )  # fmt: skip
    accounts = pl.scan_parquet(str(workspace.warehouse / "accounts" / "*.parquet"))
    spine = (
        accounts.select("account_id", pl.col("created_at").dt.date().alias("signed_up"))
        .join(pl.LazyFrame({"as_of": dates}), how="cross")
        .filter(pl.col("signed_up") < pl.col("as_of"))
        .drop("signed_up")
    )
    out = (
        spine.join(recent.group_by(KEYS).agg(columns), on=KEYS, how="left")
        .join(acts, on=KEYS, how="left")
        .join(_life(rows, spine, dates), on=KEYS, how="left")
        .join(_new_users(rows, ages), on=KEYS, how="left")
    )
    out.collect(engine="streaming").write_parquet(workspace.root / "out" / "polars.parquet")


def _life(rows: pl.LazyFrame, spine: pl.LazyFrame, dates: list[date]) -> pl.LazyFrame:
    """Totals by the first date that knows a row, running over the dates."""
    first, last = dates[0], dates[-1]
    days = [first - timedelta(days=1500) + timedelta(days=n) for n in range((last - first).days + 1500)]
    arrivals = pl.DataFrame(
        [(day, min(one for one in dates if one > day)) for day in days],
        schema={"known_day": pl.Date, "as_of": pl.Date}, orient="row",
    ).lazy()  # fmt: skip
    told = rows.join(arrivals, on="known_day").group_by(KEYS)
    entries = rows.group_by("account_id", "user_id").agg(pl.col("known_day").min()).join(arrivals, on="known_day")
    every = pl.concat(
        [
            told.agg(pl.col("events").sum(), pl.col("day").max().alias("last")),
            entries.group_by(KEYS).agg(pl.len().cast(pl.Int64).alias("users")),
            spine,
        ],
        how="diagonal",
    )
    steps = every.group_by(KEYS).agg(pl.col("events", "users").sum(), pl.col("last").max()).sort(KEYS)
    return steps.select(
        *KEYS,
        pl.col("events").cum_sum().over("account_id").alias("events_life"),
        pl.col("users").cum_sum().over("account_id").alias("users_life"),
        pl.col("last").cum_max().forward_fill().over("account_id").alias("last_events_life"),
    )


def _new_users(rows: pl.LazyFrame, ages: pl.LazyFrame) -> pl.LazyFrame:
    """Users whose first day, of the rows a date knows, lies in the window; a day that became known late is the first
    only of the dates that know it."""
    user = ["account_id", "user_id"]
    before = pl.col("known_day").shift(1).cum_min().over(user)
    fresh = rows.sort(*user, "day", "known_day").with_columns(before.alias("known_before"))
    seen = fresh.join(ages, on="day").filter(
        pl.col("known_day") < pl.col("as_of"),
        pl.col("known_before").is_null() | (pl.col("known_before") >= pl.col("as_of")),
    )
    return seen.group_by(KEYS).agg((pl.col("age") <= span).sum().alias(f"new_users_{span}") for span in SPANS)


def differences(mine: pd.DataFrame, theirs: pd.DataFrame) -> int:
    """Cells that differ by more than 1e-9, relative; nothing and zero are the same here."""
    one, other = (
        frame.assign(as_of=pd.to_datetime(frame["as_of"]), account_id=frame["account_id"].astype(str))
        .sort_values(KEYS).reset_index(drop=True)
        for frame in (mine, theirs)
    )  # fmt: skip
    if not one[KEYS].equals(other[KEYS]):
        return len(one) * len(COLUMNS)
    found = 0
    for name in COLUMNS:
        a, b = (
            pd.to_datetime(frame[name]).astype("datetime64[s]").astype("int64").to_numpy() if name.startswith("last")
            else frame[name].fillna(0).to_numpy("float64")
            for frame in (one, other)
        )  # fmt: skip
        found += int((~np.isclose(a, b, rtol=1e-9, atol=1e-9)).sum())
    return found
