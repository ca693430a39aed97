"""Which event names look like specialist functions: taken up by few, late, and by accounts that later pay well.

The rule, in full. An event name is suggested for `features.specialist` when

- 1 to 30 % of the accounts with events ever used it, and at least 20 accounts;
- half of these used it first 7 days or more after sign-up: call that median the landmark;
- of the accounts still open at the landmark, those that had used it by then are at least twice as likely to pay well
  after it as those that had not.

To pay well is to book from then on at least what an account of the best-paying tenth books over all its life; where
less than a tenth pays at all, it is to pay at all. Both groups are looked at from the same day of life: who merely
stays long enough to try everything does not count as a user before it did. Suggestions are ordered by that ratio, and
show what goes together, not what causes what.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

LEAST_SHARE, MOST_SHARE, LEAST_ACCOUNTS = 0.01, 0.30, 20
LEAST_DAYS = 7
LEAST_RATIO = 2.0
BEST_PAYING = 0.10
NAMES = 500  # the most frequent names that are looked at
SUGGESTED = 10


@dataclass(frozen=True)
class Specialist:
    """One suggestion with its evidence. accounts: that ever used it; share: of those with events; days: median from
    sign-up to first use; later, others: share that paid well from then on, of those that had used it by then and of
    those that had not; ratio: the one over the other, null where none of the others did."""

    name: str
    accounts: int
    share: float
    days: float
    later: float
    others: float
    ratio: float | None


def suggest_specialists(con: duckdb.DuckDBPyConnection) -> tuple[Specialist, ...]:
    """Suggestions over the views accounts, events and revenue, internal accounts apart; the strongest first."""
    rows = con.execute(f"""
        WITH customers AS (
            SELECT account_id, created_at, closed_at FROM accounts WHERE is_internal IS NOT TRUE
        ), names AS (
            SELECT event_name FROM events GROUP BY event_name ORDER BY count(*) DESC, event_name LIMIT {NAMES}
        ), firsts AS (
            SELECT account_id, event_name, min(occurred_at) AS first_use
            FROM events SEMI JOIN names USING (event_name) SEMI JOIN customers USING (account_id) GROUP BY ALL
        ), active AS (
            SELECT DISTINCT account_id FROM firsts
        ), candidates AS (
            SELECT event_name, count(*) AS accounts, count(*) / (SELECT count(*) FROM active) AS share,
                   median(epoch(first_use) - epoch(created_at)) / 86400 AS days
            FROM firsts JOIN customers USING (account_id) GROUP BY event_name
            HAVING accounts >= {LEAST_ACCOUNTS} AND share BETWEEN {LEAST_SHARE} AND {MOST_SHARE}
               AND days >= {LEAST_DAYS}
        ), paid AS (
            SELECT account_id, coalesce(sum(amount), 0) AS amount
            FROM active LEFT JOIN revenue USING (account_id) GROUP BY account_id
        ), bar AS (
            SELECT greatest(0, quantile_disc(amount, {1 - BEST_PAYING})) AS amount FROM paid
        ), told AS (
            SELECT max(moment) AS until FROM (
                SELECT max(occurred_at) AS moment FROM events UNION ALL SELECT max(booked_at) FROM revenue)
        ), seen AS (
            SELECT c.event_name, a.account_id, k.created_at + to_seconds(c.days * 86400) AS since,
                   coalesce(f.first_use <= since, false) AS used
            FROM candidates c CROSS JOIN active a JOIN customers k USING (account_id)
            LEFT JOIN firsts f ON f.event_name = c.event_name AND f.account_id = a.account_id
            WHERE since < (SELECT until FROM told) AND coalesce(k.closed_at > since, true)
        ), later AS (
            SELECT s.event_name, s.account_id, s.used, coalesce(sum(r.amount), 0) AS amount
            FROM seen s LEFT JOIN revenue r ON r.account_id = s.account_id AND r.booked_at > s.since GROUP BY ALL
        ), rated AS (
            SELECT event_name, avg(well) FILTER (used) AS users, avg(well) FILTER (NOT used) AS others
            FROM (SELECT *, (amount > 0 AND amount >= (SELECT amount FROM bar))::INTEGER AS well FROM later)
            GROUP BY event_name
        )
        SELECT event_name, accounts, share, days, users, others FROM rated JOIN candidates USING (event_name)
        WHERE users > 0 AND users >= {LEAST_RATIO} * others
        ORDER BY users / nullif(others, 0) DESC NULLS FIRST, accounts DESC, event_name LIMIT {SUGGESTED}""").fetchall()
    return tuple(
        Specialist(name, accounts, round(share, 4), round(days, 1), round(users, 4), round(others, 4),
                   round(users / others, 2) if others else None)
        for name, accounts, share, days, users, others in rows
    )  # fmt: skip
