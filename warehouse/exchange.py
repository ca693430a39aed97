"""Exchange rates of the raw folder: `fx_rates`, one row a day and currency, so that amounts in many become one.

An amount booked on a day is worth what the last rate on or before that day says, if it is not older than
`ingest.fx_max_age_days`; with `ingest.fx_fixed_on` every amount is converted at the rates of that one day.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb

from warehouse import rules
from warehouse.adapters import Source, tables
from warehouse.engine import parquet
from warehouse.raw import FX_RATES

FOR_EVER = 400_000  # days; a fixed rate never grows old


def source(con: duckdb.DuckDBPyConnection, raw: Path, reading: rules.Reading) -> list[Source]:
    """The rates of the folder; none where it has none or no currency is declared to convert into."""
    found = tables.read(con, raw, FX_RATES) if reading.currency is not None else None
    return [] if found is None else [found]


def converting(con: duckdb.DuckDBPyConnection, accepted: Path, reading: rules.Reading) -> rules.Reading:
    """Makes `ingest.rates` (currency, day, rate) of the accepted rates in the Parquet file, and says how to read with
    them. Without such a file no rate holds."""
    rows = parquet(accepted) if accepted.is_file() else f"({rules.no_rows(FX_RATES)})"
    if reading.fx_fixed_on is None:
        query = f"SELECT currency, day, rate FROM {rows}"
    else:
        query = (
            f"SELECT currency, {rules.OLDEST} AS day, arg_max(rate, day) AS rate FROM {rows} "
            f"WHERE day < DATE '{reading.fx_fixed_on}' + INTERVAL 1 DAY GROUP BY currency"
        )
    con.execute(f"CREATE TABLE ingest.rates AS SELECT currency, CAST(day AS TIMESTAMP) AS day, rate FROM ({query})")
    return replace(reading, rate_days=reading.fx_max_age_days if reading.fx_fixed_on is None else FOR_EVER)
