"""Peers: what had become, by as_of, of the accounts that came through the same channel, of the same industry and size.

An account counts among its own peers. A group of fewer than LEAST accounts says nothing (null). The relation `peers` is
computed from the whole warehouse, whatever the spine; a caller that sends single histories brings it along instead.
"""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa

from features.feature import Feature
from warehouse import asof
from warehouse.engine import Stage, run_stages

LEAST = 20
SIZES = (10, 50, 250, 1000)  # employees at which a band of sizes begins
GROUP = ("channel", "industry", "size")
FIGURES = ("accounts", "paying", "booked")  # signed up by as_of, ever invoiced by then, money booked by then


def _grouped(relation: str) -> str:
    """SQL for the group of an account: words, empty where a value is unknown."""
    bands = " ".join(f"WHEN {relation}.employees < {limit} THEN '{limit}'" for limit in SIZES)
    size = f"CASE WHEN {relation}.employees IS NULL THEN '' {bands} ELSE 'more' END"
    return f"coalesce({relation}.channel, '') AS channel, coalesce({relation}.industry, '') AS industry, {size} AS size"


def peers_stages(given: bool) -> list[Stage]:
    """`peers` (as_of, channel, industry, size, accounts, paying, booked) unless it is given, and `peers_seen`, the same
    beside each snapshot, for the stage `cells`."""
    group = ", ".join(GROUP)
    amounts = "CAST(0 AS DECIMAL(38, 4))"
    members = (
        f"SELECT account_id, CAST(created_at AS DATE) AS known_day, {_grouped('m')} "
        "FROM accounts AS m WHERE m.is_internal IS NOT TRUE"
    )
    facts = f"""
        SELECT {group}, known_day, sum(accounts) AS accounts, sum(paying) AS paying, sum(booked) AS booked FROM (
            SELECT {group}, known_day, 1 AS accounts, 0 AS paying, {amounts} AS booked FROM members
            UNION ALL
            SELECT {group}, r.known_day, 0, 1, {amounts} FROM (
                SELECT account_id, min(known_day) AS known_day FROM revenue_days WHERE amount > 0 GROUP BY account_id
            ) AS r JOIN members AS m ON m.account_id = r.account_id
            UNION ALL
            SELECT {group}, r.known_day, 0, 0, CAST(r.amount AS DECIMAL(38, 4)) FROM revenue_days AS r
            JOIN members AS m ON m.account_id = r.account_id
        ) AS p GROUP BY {group}, known_day"""
    sums = ", ".join(f"CAST(sum({name}) AS DOUBLE) AS {name}" for name in FIGURES)
    columns = ", ".join(f"f.{name}" for name in (*GROUP, *FIGURES))
    made = [
        Stage("members", members),
        Stage("peer_days", facts),
        Stage(
            "peers",
            f"SELECT as_of, {group}, {sums} FROM ({asof.known('peer_days', f'd.as_of, {columns}')}) AS p "
            f"GROUP BY as_of, {group}",
        ),
    ]
    seen = f"""
        SELECT s.account_id, s.as_of, p.accounts AS peers,
               CASE WHEN p.accounts >= {LEAST} THEN p.paying / p.accounts END AS peers_paying,
               CASE WHEN p.accounts >= {LEAST} THEN p.booked / p.accounts END AS peers_booked
        FROM (SELECT g.account_id, g.as_of, {_grouped("g")} FROM ({asof.accounts_past()}) AS g) AS s
        JOIN peers AS p
          ON p.as_of = s.as_of AND p.channel = s.channel AND p.industry = s.industry AND p.size = s.size"""
    return [*([] if given else made), Stage("peers_seen", seen)]


NO_PEERS = pa.schema(
    [
        ("as_of", pa.date32()),
        *((name, pa.string()) for name in GROUP),
        *((name, pa.float64()) for name in FIGURES),
    ]
).empty_table()


def peers_at(con: duckdb.DuckDBPyConnection, as_of: date) -> pa.Table:
    """The relation `peers` of one day, of a connection that sees accounts and revenue_days; sorted by group."""
    dates = Stage("dates", f"SELECT DATE '{as_of}' AS as_of")
    run_stages(con, [dates, *peers_stages(given=False)[:-1]], lambda _: None)
    return con.sql(f"SELECT * FROM peers ORDER BY as_of, {', '.join(GROUP)}").to_arrow_table()


FEATURES: tuple[Feature, ...] = (
    Feature(
        "peers_paying", "peers_paying", "share", "accounts of its channel, industry and size, by as_of", "fit",
        "more accounts like it have come to pay", "fewer accounts like it have come to pay",
        noun="accounts like it that have come to pay",
        none=f"fewer than {LEAST} accounts like it",
    ),
    Feature(
        "peers_booked", "peers_booked", "money", "accounts of its channel, industry and size, by as_of", "fit",
        "accounts like it have come to pay more", "accounts like it have come to pay less",
        noun="what accounts like it have come to pay",
        none=f"fewer than {LEAST} accounts like it",
    ),
    Feature(
        "booked_beside_peers", "booked_life / nullif(peers_booked, 0)", "times the mean of its peers", "since sign-up",
        "fit", "has paid more than accounts like it", "has paid less than accounts like it", pivot=1,
        noun="what it has paid beside accounts like it",
        none=f"fewer than {LEAST} accounts like it, or none of them has paid",
    ),
)  # fmt: skip
