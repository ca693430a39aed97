"""The stage of every account at the end of each calendar quarter since the one it signed up in, by the one feature
path, with what was known then."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa

from features.build import build_features, features_at, open_accounts, open_vendor
from features.catalogue import CATALOGUE, Definitions
from features.feature import behind
from features.journey import CLOSED, LOOKED_AT
from warehouse.engine import name
from warehouse.periods import month_starts
from warehouse.store import Workspace


def quarter_ends(first: date, as_of: date) -> list[date]:
    """The midnights that end the calendar quarters from the one `first` lies in, up to as_of, ascending; last as_of
    itself, though its quarter may not be over."""
    over = [day for day in month_starts(first + timedelta(days=1), as_of) if day.month % 3 == 1]
    return over if as_of in over else [*over, as_of]


def stage_by_quarter(
    workspace: Workspace, definitions: Definitions, as_of: date, account_id: str | None = None
) -> pa.Table:
    """Of every account that signed up before as_of and is not internal, or of `account_id` alone, if it is one of them.

    Returns:
        account_id; number: 1 in the calendar quarter of sign-up, 2 in the next; quarter: `2025-Q1`; complete: it was
        over at as_of; stage at its end, or as of as_of where it is not over; and what the rule of stages looked at, the
        features LOOKED_AT, null once the account had closed. Sorted by account and number.

    Raises:
        DataError: a file of the warehouse is not what `ingest` wrote.
        UsageError: there is no warehouse yet.
    """
    behind_it = {feature.name for feature in behind(CATALOGUE, "stage", definitions.sql_fragments())}
    alone = [feature for feature in CATALOGUE if feature.name in behind_it.union(LOOKED_AT)]
    one = None if account_id is None else pa.chunked_array([[account_id]], pa.string())
    with open_vendor(workspace) if one is None else open_accounts(workspace, one) as con:
        [(first,)] = con.execute("SELECT CAST(min(created_at) AS DATE) FROM accounts").fetchall()
        ends = [] if first is None or first >= as_of else quarter_ends(first, as_of)
        con.register("quarter_ends", pa.table({"as_of": pa.array(ends, pa.date32())}))
        con.execute("""
            CREATE OR REPLACE TEMP TABLE quarters_of AS
            SELECT account_id, as_of, CAST(date_trunc('quarter', as_of - 1) AS DATE) AS quarter,
                   1 + date_diff('quarter', CAST(created_at AS DATE), as_of - 1) AS number,
                   coalesce(CAST(closed_at AS DATE) < as_of, false) AS closed
            FROM accounts JOIN quarter_ends ON CAST(created_at AS DATE) < as_of WHERE is_internal IS NOT TRUE""")
        spine = con.sql("SELECT account_id, as_of FROM quarters_of WHERE NOT closed").to_arrow_table()
        if one is None:
            found = features_at(con, workspace, spine, definitions, features=alone)
        else:
            found = build_features(con, spine, definitions, features=alone)
        con.register("stages_then", found)
        return con.sql(f"""
            SELECT q.account_id, q.number, strftime(q.quarter, '%Y') || '-Q' || quarter(q.quarter) AS quarter,
                   q.quarter + INTERVAL 3 MONTH <= DATE '{as_of}' AS complete,
                   CASE WHEN q.closed THEN '{CLOSED}' ELSE t.stage END AS stage,
                   {", ".join(f"t.{name(column)}" for column in LOOKED_AT)}
            FROM quarters_of AS q LEFT JOIN stages_then AS t USING (account_id, as_of)
            ORDER BY q.account_id, q.number""").to_arrow_table()
