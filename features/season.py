"""Season: how much the vendor's accounts use the product week by week, so that a holiday that all of them take is not
told of one of them as a decline.

The panel is every account that had signed up before the first of the `WEEKS` weeks that end at as_of: the same accounts
in each of them, so their number, age and kind tell no season. A week's percent is their user days beside the median
week's, and 100 where they are more, which may as well be growth. In August 2025 a vendor's accounts come to 74 user
days where they had come to 100: as of 2025-09-01 those weeks have 74 %, and a seat in use on 3 of 5 days of theirs
counts as one in use on 3 of 3.7. Without a panel, in a vendor's first quarter, every week has 100 %. Measured in
docs/adr/0036.
"""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa

from warehouse import asof
from warehouse.engine import Stage, run_stages

WEEKS = 12  # within the reach of a window, so that a night that starts from a fold has them
DAYS = 7 * WEEKS
STEADY = 50  # user days that every week is given beside its own: a handful of users make no season
USUAL = 100  # percent of a week of which nothing is known


def season_stages(given: bool) -> list[Stage]:
    """`season_weeks` (as_of, week, percent; week 1 is the last before as_of) unless it is given, from user_days,
    accounts, dates and ages; and `season`, one row a date: week_1 to week_12, whole percents."""
    weeks = ", ".join(f"({week})" for week in range(1, WEEKS + 1))
    panel = f"""
        SELECT as_of, floor((age - 1) / 7) + 1 AS week, sum(user_days) AS user_days
        FROM ({asof.recent("use_days", "f.created_day, f.user_days, a.as_of, a.age")}) AS r
        WHERE age <= {DAYS} AND date_diff('day', created_day, as_of) > {DAYS}
        GROUP BY as_of, floor((age - 1) / 7) + 1"""
    every = f"""
        SELECT d.as_of, w.week, {STEADY} + coalesce(p.user_days, 0) AS user_days
        FROM dates AS d CROSS JOIN (VALUES {weeks}) AS w(week)
        LEFT JOIN ({panel}) AS p ON p.as_of = d.as_of AND p.week = w.week"""
    made = [
        Stage("use_days", _use_days()),
        Stage("panel_weeks", every),
        Stage(
            "season_weeks",
            "SELECT w.as_of, CAST(w.week AS BIGINT) AS week, "
            f"CAST(least(round({USUAL} * CAST(w.user_days AS DOUBLE) / m.user_days), {USUAL}) AS BIGINT) AS percent "
            "FROM panel_weeks AS w JOIN ("
            "SELECT as_of, CAST(median(user_days) AS DOUBLE) AS user_days FROM panel_weeks GROUP BY as_of"
            ") AS m ON m.as_of = w.as_of",
        ),
    ]
    columns = ", ".join(
        f"coalesce(max(CASE WHEN w.week = {week} THEN w.percent END), {USUAL}) AS week_{week}"
        for week in range(1, WEEKS + 1)
    )
    pivoted = f"SELECT d.as_of, {columns} FROM dates AS d LEFT JOIN season_weeks AS w ON w.as_of = d.as_of"
    return [*([] if given else made), Stage("season", f"{pivoted} GROUP BY d.as_of")]


def season_days(age: str | int) -> str:
    """SQL for the days from an `age` to as_of, in hundredths: each counts the percent of its week, and 100 before."""
    within = (f"week_{week} * greatest(least({age} - {7 * (week - 1)}, 7), 0)" for week in range(1, WEEKS + 1))
    return " + ".join((*within, f"{USUAL} * greatest({age} - {DAYS}, 0)"))


def _use_days() -> str:
    """User days of the vendor by the day their account signed up."""
    created = "CAST(o.created_at AS DATE)"
    return f"""
        SELECT {created} AS created_day, f.day, f.known_day, CAST(sum(f.user_day) AS BIGINT) AS user_days
        FROM user_days AS f JOIN accounts AS o ON o.account_id = f.account_id
        WHERE f.user_day > 0 AND o.is_internal IS NOT TRUE GROUP BY {created}, f.day, f.known_day"""


SCHEMA = pa.schema([("as_of", pa.date32()), ("week", pa.int64()), ("percent", pa.int64())])
NO_SEASON = SCHEMA.empty_table()


def season_at(con: duckdb.DuckDBPyConnection, as_of: date) -> pa.Table:
    """The relation `season_weeks` of one day, of a connection that sees accounts and user_days; sorted by week."""
    before = [Stage("dates", f"SELECT DATE '{as_of}' AS as_of"), Stage("ages", asof.ages("user_days"))]
    run_stages(con, [*before, *season_stages(given=False)[:-1]], lambda _: None)
    return con.sql("SELECT * FROM season_weeks ORDER BY week").to_arrow_table().cast(SCHEMA)
