"""Exchange rates of the raw folder: `fx_rates`, one row a day and currency, so that amounts in many become one.

An amount booked on a day is worth what the last rate on or before that day says, if it is not older than
`ingest.fx_max_age_days`; with `ingest.fx_fixed_on` every amount is converted at the rates of that one day.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb

from warehouse import repeats, rules
from warehouse.accounting import Tally, tally
from warehouse.adapters import Source, tables
from warehouse.raw import FX_RATES

FOR_EVER = 400_000  # days; a fixed rate never grows old


def rates(
    con: duckdb.DuckDBPyConnection, raw: Path, reading: rules.Reading, max_age_days: int, fixed_on: date | None
) -> tuple[rules.Reading, list[Source]]:
    """Makes `ingest.rates` (currency, day, rate) and says how to read with it; without a declared currency or without
    rates the reading stays as it is. The source is returned so that its rows and files are accounted for."""
    source = tables.read(con, raw, FX_RATES) if reading.currency is not None else None
    if source is None:
        return reading, []
    con.execute(f"CREATE TABLE ingest.fx AS {rules.judged(FX_RATES, source, reading)}")
    repeats.settle(con, FX_RATES, "ingest.fx")
    if fixed_on is None:
        query = "SELECT currency, day, rate FROM ingest.fx WHERE _breach IS NULL"
    else:
        query = (
            f"SELECT currency, {rules.OLDEST} AS day, arg_max(rate, day) AS rate FROM ingest.fx "
            f"WHERE _breach IS NULL AND day < DATE '{fixed_on}' + INTERVAL 1 DAY GROUP BY currency"
        )
    con.execute(f"CREATE TABLE ingest.rates AS SELECT currency, CAST(day AS TIMESTAMP) AS day, rate FROM ({query})")
    return replace(reading, rate_days=max_age_days if fixed_on is None else FOR_EVER), [source]


def tallies(con: duckdb.DuckDBPyConnection, sources: list[Source]) -> list[Tally]:
    """What became of the rows of the rates."""
    return tally(con, FX_RATES.name, "ingest.fx") if sources else []
