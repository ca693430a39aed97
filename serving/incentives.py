"""The six measures that salespeople are rewarded for, by calendar quarter, from the same facts as features and labels.

sign_ups: accounts created. user_base: distinct named users with an event. adoption: share of the accounts with an event
that used a specialist function or took a configuration step. consumption: sum of event quantities. revenue: amounts
booked, credits included; the column sums to all that was booked on accounts not internal. incremental_revenue: revenue
less that of the quarter before, null in the first. lifetime_value: revenue booked to the end of the quarter by account
signed up by then; null while none had.

Everything is as known before as_of, so a figure that money was paid on can be told again later: events and accounts by
the clock of the roll-up, invoices by the day they were booked.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from features.build import open_history, open_vendor
from features.catalogue import Definitions
from features.snapshots import SnapshotParams, last_as_of
from serving.errors import ApiError
from serving.reading import Remembered, whole
from serving.release import Release, current
from serving.schemas import IncentivesQuery
from warehouse import asof
from warehouse.engine import name
from warehouse.errors import UsageError
from warehouse.params import section
from warehouse.store import Workspace

GROUPS = ("owner", "channel", "country", "industry", "cohort")  # cohort: the quarter of sign-up
ACCOUNT = "account"  # a group each, of one owner or one alone: of all of them the list would be too long
ONLY = {"owner": "owner", "account": "account_id"}  # what accounts can be picked by, and the column of it
REMEMBERED = 32  # answers that a process keeps of the live release
BEFORE_ANY_FOLD = date(1900, 1, 1)
_answers: Remembered[list[dict[str, Any]]] = Remembered(REMEMBERED)


def incentives(
    workspace: Workspace,
    definitions: Definitions,
    as_of: date,
    by: str | None = None,
    owner: str | None = None,
    account: str | None = None,
) -> list[dict[str, Any]]:
    """One row a calendar quarter, oldest first, internal accounts left out: `quarter` (`2025-Q1`), `complete` (it was
    over at as_of), the six measures and revenue; money is in the currency of the ladder.

    by: one of GROUPS; each row then has `group` too, null where the account does not tell it, and quarters run from the
    first in which the group has anything. An account counts where it belongs today: latest owner, latest channel. Null:
    all accounts together. ACCOUNT: each account of an `owner`, or one `account`, which are given with it alone.

    Raises:
        UsageError: there is no warehouse yet, `by` is none of GROUPS nor ACCOUNT, or ACCOUNT comes without what picks
            some of them, or that without it.
        DataError: a file of the warehouse is not what `ingest` wrote: money is paid on these. Or ingests replace the
            warehouse while it is read.
    """
    if by not in (None, *GROUPS, ACCOUNT):
        raise UsageError(f'--by "{by}" is none of {", ".join((*GROUPS, ACCOUNT))}.')
    if unpicked(by, owner, account):
        raise UsageError(f"--by {ACCOUNT} goes with either --owner or --account, and they go with it.")
    picked = {"owner": owner, "account": account}
    return whole(workspace, lambda: _read(workspace, definitions, as_of, by, picked))


def unpicked(by: str | None, owner: str | None, account: str | None) -> bool:
    """Whether what is asked for is neither accounts picked in one way nor a group of all of them."""
    return (owner is not None) + (account is not None) != (by == ACCOUNT)


def day_told(workspace: Workspace, document: dict[str, Any]) -> date:
    """The day of the live release; before the first release the end of the data.

    Raises:
        UsageError: there is no warehouse yet.
    """
    if (live := current(workspace.releases)) is not None:
        return date.fromisoformat(live.name[:10])
    with open_vendor(workspace) as con:
        return last_as_of(con, section(document, "snapshots", SnapshotParams))


def of_release(release: Release, workspace: Path, asked: IncentivesQuery) -> list[dict[str, Any]]:
    """The measures as of the night of a release, or the earlier day asked for, by what its bundle means; made once for
    a process and release, as far as it remembers.

    Raises:
        ApiError: 422 for a day after that night, and for accounts that are not picked.
        HistoryMoved: there is no warehouse to read them from, or it is not what `ingest` wrote.
    """
    day = asked.as_of or release.as_of
    if day > release.as_of:
        message = f"as_of {day} lies after {release.as_of}, the day of the live release."
        raise ApiError(422, "invalid_request", message, "as_of")
    if unpicked(asked.by, asked.owner, asked.account):
        message = f"by={ACCOUNT} goes with either owner or account, and they go with it."
        raise ApiError(422, "invalid_request", message, "by")
    space, picked = Workspace(workspace), (asked.by, asked.owner, asked.account)
    key = asked.model_copy(update={"as_of": day}).model_dump_json()
    return _answers.of(release, workspace, key, lambda: incentives(space, release.scorer.definitions, day, *picked))


def group_of(by: str | None) -> str:
    """SQL over a row of accounts: the value of one of GROUPS or of ACCOUNT; null without one."""
    special = {None: "NULL", "cohort": "strftime(created_at, '%Y') || '-Q' || quarter(created_at)"}
    special |= {ACCOUNT: ONLY[ACCOUNT]}
    return f"CAST({special[by] if by in special else name(str(by))} AS VARCHAR)"


def _read(
    workspace: Workspace, definitions: Definitions, as_of: date, by: str | None, only: dict[str, str | None]
) -> list[dict[str, Any]]:
    with open_vendor(workspace) as con:
        open_history(con, workspace, definitions, BEFORE_ANY_FOLD, as_of)
        return _by_quarter(con, as_of, by, only)


def _by_quarter(
    con: duckdb.DuckDBPyConnection, as_of: date, by: str | None, only: dict[str, str | None]
) -> list[dict[str, Any]]:
    day = f"DATE '{as_of}'"
    picked = {ONLY[what]: value for what, value in only.items() if value is not None}
    among = "".join(f" AND {column} = ?" for column in picked)
    night = f"(SELECT {day} AS as_of)"
    query = f"""
        WITH theirs AS (
            SELECT account_id, CAST(date_trunc('quarter', created_at) AS DATE) AS quarter,
                   {group_of(by)} AS grp
            FROM accounts WHERE is_internal IS NOT TRUE AND CAST(created_at AS DATE) < {day}{among}),
        signed AS (SELECT grp, quarter, count(*) AS sign_ups FROM theirs GROUP BY ALL),
        used AS (
            SELECT grp, CAST(date_trunc('quarter', d.day) AS DATE) AS quarter,
                   count(DISTINCT d.user_id) AS user_base,
                   count(DISTINCT d.account_id) FILTER (d.specialist > 0 OR d.configuration > 0)
                     / count(DISTINCT d.account_id) AS adoption,
                   CAST(sum(d.quantity) AS DOUBLE) AS consumption
            FROM ({asof.known("user_days", "f.*", night)}) AS d JOIN theirs USING (account_id) GROUP BY ALL),
        paid AS (
            SELECT grp, CAST(date_trunc('quarter', r.day) AS DATE) AS quarter, sum(r.amount) AS revenue
            FROM ({asof.known("revenue_days", "f.*", night)}) AS r JOIN theirs USING (account_id) GROUP BY ALL),
        told AS (SELECT grp, quarter FROM signed UNION SELECT grp, quarter FROM used UNION
                 SELECT grp, quarter FROM paid),
        quarters AS (
            SELECT grp, CAST(unnest(generate_series(min(quarter), {day} - 1, INTERVAL 3 MONTH)) AS DATE) AS quarter
            FROM told GROUP BY grp)
        SELECT strftime(q.quarter, '%Y') || '-Q' || quarter(q.quarter) AS quarter, q.grp AS "group",
               q.quarter + INTERVAL 3 MONTH <= {day} AS complete,
               coalesce(s.sign_ups, 0) AS sign_ups, coalesce(u.user_base, 0) AS user_base, u.adoption,
               coalesce(u.consumption, 0) AS consumption, CAST(coalesce(p.revenue, 0) AS DOUBLE) AS revenue,
               CAST(coalesce(p.revenue, 0) - lag(coalesce(p.revenue, 0)) OVER w AS DOUBLE) AS incremental_revenue,
               CAST(sum(coalesce(p.revenue, 0)) OVER w AS DOUBLE) / nullif(sum(coalesce(s.sign_ups, 0)) OVER w, 0)
                 AS lifetime_value
        FROM quarters AS q
        LEFT JOIN signed AS s ON s.grp IS NOT DISTINCT FROM q.grp AND s.quarter = q.quarter
        LEFT JOIN used AS u ON u.grp IS NOT DISTINCT FROM q.grp AND u.quarter = q.quarter
        LEFT JOIN paid AS p ON p.grp IS NOT DISTINCT FROM q.grp AND p.quarter = q.quarter
        WINDOW w AS (PARTITION BY q.grp ORDER BY q.quarter)
        ORDER BY q.quarter, q.grp NULLS LAST"""
    rows = con.sql(query, params=list(picked.values())).to_arrow_table()
    return [_row(row, by) for row in rows.to_pylist()]


def _row(row: dict[str, Any], by: str | None) -> dict[str, Any]:
    return row if by is not None else {column: value for column, value in row.items() if column != "group"}
