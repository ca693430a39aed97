"""Season: how much the vendor's accounts use the product week by week, so that a holiday that all of them take is not
told of one of them as a decline.

The panel is every account, open at as_of and not internal, that had signed up before the first of the `WEEKS` weeks
that end there, and holds no more than a `MOST`th of their user days: a larger one would be a season of its own. A
week's percent is the panel's user days beside its line: what they were without a season, growing by the same part from
week to week. At most 100, as a lively week may as well be growth, and at least `LEAST`, as a week without any is rather
an outage. The line is the one through a week, of those that grow by 0 to 2 % a week, that misses the weeks by least,
where no week counts as missed by more than `APART`: weeks that all rest are off the line, however far. In August 2025 a
vendor's accounts come to 70 user days where they would have come to 100: as of 2025-09-01 those weeks have 70 %, and a
seat in use on 3 of 5 days of theirs counts as one in use on 3 of 3.5. Without a panel, in a vendor's first quarter,
every week has 100 %. Measured in docs/adr/0036 and 0054.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import duckdb
import pyarrow as pa

from warehouse import asof
from warehouse.engine import Stage, run_stages

WEEKS = 12  # within the reach of a window, so that a night that starts from a fold has them
DAYS = 7 * WEEKS
MOST = 10
LEAST = 25  # percent
STEADY = 50  # user days that every week is given beside its own: a handful of users make no season
USUAL = 100  # percent of a week of which nothing is known
UNIT = 10_000  # of a logarithm, in whole numbers, so that sums and ties are exact
GROWTH = tuple(range(0, 201, 25))  # of a line, a week, in UNIT
APART = 800  # in UNIT: a week further off a line is missed by no more


def season_stages(given: bool, bounds: Iterable[int] = ()) -> list[Stage]:
    """`season_weeks` (as_of, week, percent; week 1 is the last before as_of) unless it is given, from account_days,
    accounts, dates and ages; and `season`, one row a date: week_1 to week_12, whole percents, and season_B of each of
    the `bounds` B, `season_days` of that age."""
    columns = ", ".join(
        f"coalesce(max(CASE WHEN w.week = {week} THEN w.percent END), {USUAL}) AS week_{week}"
        for week in range(1, WEEKS + 1)
    )
    pivoted = f"""SELECT d.as_of, {columns} FROM dates AS d
        LEFT JOIN season_weeks AS w ON w.as_of = d.as_of GROUP BY d.as_of"""
    counted = "".join(f", {season_days(bound)} AS season_{bound}" for bound in bounds)
    return [*([] if given else _weeks()), Stage("season", f"SELECT s.*{counted} FROM ({pivoted}) AS s")]


def season_days(age: str | int) -> str:
    """SQL for the days from an `age` to as_of, in hundredths: each counts the percent of its week, and 100 before."""
    within = (f"week_{week} * greatest(least({age} - {7 * (week - 1)}, 7), 0)" for week in range(1, WEEKS + 1))
    return " + ".join((*within, f"{USUAL} * greatest({age} - {DAYS}, 0)"))


def _weeks() -> list[Stage]:
    week = "CAST(floor((age - 1) / 7) + 1 AS BIGINT)"
    rows = asof.recent("account_days", "f.account_id, f.user_days, a.as_of, a.age")
    weeks = ", ".join(f"({number})" for number in range(1, WEEKS + 1))
    growths = ", ".join(f"({growth})" for growth in GROWTH)
    return [
        Stage(
            "use_weeks",
            f"""SELECT account_id, as_of, {week} AS week, CAST(sum(user_days) AS BIGINT) AS user_days
                FROM ({rows}) AS r WHERE age <= {DAYS} AND user_days > 0 GROUP BY account_id, as_of, {week}""",
        ),
        Stage(
            "used",
            """SELECT account_id, as_of, CAST(sum(user_days) AS BIGINT) AS user_days
               FROM use_weeks GROUP BY account_id, as_of""",
        ),
        Stage(
            "panel",
            f"""SELECT u.account_id, u.as_of, u.user_days
                FROM used AS u JOIN ({asof.accounts_past("used")}) AS p ON p.account_id = u.account_id
                  AND p.as_of = u.as_of JOIN accounts AS o ON o.account_id = u.account_id
                WHERE p.tenure_days > {DAYS} AND NOT p.closed AND o.is_internal IS NOT TRUE""",
        ),
        Stage(
            "panel_weeks",
            f"""SELECT d.as_of, n.week, {STEADY} + coalesce(p.user_days, 0) AS user_days
                FROM dates AS d CROSS JOIN (VALUES {weeks}) AS n(week) LEFT JOIN (
                    SELECT u.as_of, u.week, sum(u.user_days) AS user_days FROM use_weeks AS u
                    JOIN panel AS p ON p.account_id = u.account_id AND p.as_of = u.as_of
                    JOIN (SELECT as_of, sum(user_days) AS user_days FROM panel GROUP BY as_of) AS w ON w.as_of = p.as_of
                    WHERE {MOST} * p.user_days <= w.user_days GROUP BY u.as_of, u.week
                ) AS p ON p.as_of = d.as_of AND p.week = n.week""",
        ),
        Stage(
            "panel_lines",  # level: of a week, once the growth from it to as_of is added
            f"""SELECT w.as_of, w.week, g.growth,
                    CAST(round({UNIT} * ln(w.user_days)) AS BIGINT) + g.growth * w.week AS level
                FROM panel_weeks AS w CROSS JOIN (VALUES {growths}) AS g(growth)""",
        ),
        Stage(
            "line",
            f"""SELECT l.as_of, l.growth, l.level FROM panel_lines AS l
                JOIN panel_lines AS w ON w.as_of = l.as_of AND w.growth = l.growth
                GROUP BY l.as_of, l.growth, l.week, l.level QUALIFY row_number() OVER (
                    PARTITION BY l.as_of
                    ORDER BY sum(least(abs(w.level - l.level), {APART})), l.growth, l.level) = 1""",
        ),
        Stage(
            "season_weeks",
            f"""SELECT w.as_of, CAST(w.week AS BIGINT) AS week, CAST(greatest(least(
                    round({USUAL} * exp(CAST(w.level - l.level AS DOUBLE) / {UNIT})), {USUAL}), {LEAST}) AS BIGINT
                ) AS percent
                FROM panel_lines AS w JOIN line AS l ON l.as_of = w.as_of AND l.growth = w.growth""",
        ),
    ]


SCHEMA = pa.schema([("as_of", pa.date32()), ("week", pa.int64()), ("percent", pa.int64())])
NO_SEASON = SCHEMA.empty_table()


def season_at(con: duckdb.DuckDBPyConnection, as_of: date) -> pa.Table:
    """The relation `season_weeks` of one day, of a connection that sees accounts and user_days; sorted by week."""
    days = f"""SELECT account_id, day, known_day, CAST(sum(user_day) AS BIGINT) AS user_days FROM user_days
        WHERE day >= DATE '{as_of - timedelta(days=DAYS)}' GROUP BY account_id, day, known_day"""
    before = [
        Stage("dates", f"SELECT DATE '{as_of}' AS as_of"),
        Stage("account_days", days),
        Stage("ages", asof.ages("account_days")),
    ]
    run_stages(con, [*before, *_weeks()], lambda _: None)
    return con.sql("SELECT * FROM season_weeks ORDER BY week").to_arrow_table().cast(SCHEMA)
