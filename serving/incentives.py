"""The six measures that salespeople are rewarded for, by calendar quarter, from the same facts as features and labels.

sign_ups: accounts created. user_base: distinct users with an event. adoption: share of the accounts with an event that
used a specialist function or took a configuration step. consumption: sum of event quantities. revenue: amounts booked,
credits included; the column sums to all that was booked on accounts not internal. incremental_revenue: revenue less
that of the quarter before, null in the first. lifetime_value: revenue booked to the end of the quarter by account
signed up by then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from features.catalogue import Definitions
from warehouse.engine import connect, quote
from warehouse.store import open_warehouse


def incentives(warehouse: Path, definitions: Definitions) -> list[dict[str, Any]]:
    """One row a calendar quarter, oldest first, internal accounts left out. `quarter` is `2025-Q1`; money is in the
    currency of the ladder.
    """
    with connect(warehouse) as con:
        open_warehouse(con, warehouse)
        return _by_quarter(con, definitions)


def _by_quarter(con: duckdb.DuckDBPyConnection, definitions: Definitions) -> list[dict[str, Any]]:
    deep = ", ".join(quote(n) for n in (*definitions.features.specialist, *definitions.features.configuration)) or "''"
    rows = con.sql(f"""
        WITH theirs AS (
            SELECT account_id, date_trunc('quarter', created_at) AS quarter
            FROM accounts WHERE is_internal IS NOT TRUE),
        used AS (
            SELECT date_trunc('quarter', e.occurred_at) AS quarter, count(DISTINCT e.user_id) AS user_base,
                   count(DISTINCT e.account_id) FILTER (e.event_name IN ({deep})) / count(DISTINCT e.account_id)
                     AS adoption,
                   CAST(sum(e.quantity) AS DOUBLE) AS consumption
            FROM events e JOIN theirs t USING (account_id) GROUP BY 1),
        paid AS (
            SELECT date_trunc('quarter', r.booked_at) AS quarter, sum(r.amount) AS revenue
            FROM revenue r JOIN theirs t USING (account_id) GROUP BY 1),
        signed AS (SELECT quarter, count(*) AS sign_ups FROM theirs GROUP BY 1),
        quarters AS (SELECT quarter FROM used UNION SELECT quarter FROM paid UNION SELECT quarter FROM signed)
        SELECT strftime(quarter, '%Y') || '-Q' || quarter(quarter) AS quarter, coalesce(sign_ups, 0) AS sign_ups,
               coalesce(user_base, 0) AS user_base, adoption, coalesce(consumption, 0) AS consumption,
               CAST(coalesce(revenue, 0) AS DOUBLE) AS revenue,
               CAST(coalesce(revenue, 0) - lag(coalesce(revenue, 0)) OVER w AS DOUBLE) AS incremental_revenue,
               CAST(sum(coalesce(revenue, 0)) OVER w AS DOUBLE) / nullif(sum(coalesce(sign_ups, 0)) OVER w, 0)
                 AS lifetime_value
        FROM quarters LEFT JOIN signed USING (quarter) LEFT JOIN used USING (quarter) LEFT JOIN paid USING (quarter)
        WINDOW w AS (ORDER BY quarter) ORDER BY quarter""").to_arrow_table()
    return list(rows.to_pylist())
