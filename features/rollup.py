"""Raw rows to one row a day, once: nothing after this stage reads raw events or invoices again.

Each roll-up keeps both clocks (day it happened, day it was known), so the as-of door can cut it as exactly as it could
cut the raw rows. Quantities and amounts are exact decimals: their sums do not depend on the order of rows or threads.
"""

from __future__ import annotations

import duckdb

from features.catalogue import Definitions
from warehouse.engine import quote

RATE = "DECIMAL(28, 10)"  # money per 30 days of one revenue row, exact to a ten-billionth


def roll_up(con: duckdb.DuckDBPyConnection, definitions: Definitions) -> None:
    """Creates the tables name_days, user_days and revenue_days from the views events and revenue.

    name_days: account_id, event_name, kind, day, known_day, events, quantity
    user_days: account_id, user_id, day, known_day, events (events without a user are not in it)
    revenue_days: account_id, day, known_day, amount, first_day, last_day (excluded), rate (money per 30 days)
    """
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE name_days AS
        SELECT account_id, event_name, {_kind(definitions)} AS kind, CAST(occurred_at AS DATE) AS day,
               CAST(greatest(occurred_at, received_at) AS DATE) AS known_day,
               count(*) AS events, sum(quantity) AS quantity
        FROM events GROUP BY ALL""")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE user_days AS
        SELECT account_id, user_id, CAST(occurred_at AS DATE) AS day,
               CAST(greatest(occurred_at, received_at) AS DATE) AS known_day, count(*) AS events
        FROM events WHERE user_id IS NOT NULL GROUP BY ALL""")
    spread = definitions.tiers.spread_days
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE revenue_days AS
        SELECT account_id, CAST(booked_at AS DATE) AS day, CAST(booked_at AS DATE) AS known_day, amount,
               first_day, last_day,
               CAST(CAST(amount AS DECIMAL(28, 4)) * 30 / date_diff('day', first_day, last_day) AS {RATE}) AS rate
        FROM (SELECT *, CAST(period_start AS DATE) AS first_day,
                     greatest(coalesce(CAST(period_end AS DATE), CAST(period_start AS DATE) + {spread}),
                              CAST(period_start AS DATE) + 1) AS last_day
              FROM revenue)""")


def _kind(definitions: Definitions) -> str:
    """SQL for the meaning the vendor gave an event name; `plain` where it gave none."""
    whens = [
        f"WHEN event_name IN ({', '.join(quote(name) for name in names)}) THEN {quote(kind)}"
        for kind, names in definitions.features.kinds().items()
        if names
    ]
    return f"CASE {' '.join(whens)} ELSE 'plain' END" if whens else "'plain'"
