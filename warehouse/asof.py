"""The only cut in time. Whoever wants rows of the past asks here; whoever wants outcomes asks `outcomes_after`, which
one module alone may import (training/labels.py; a test counts its callers).

Days are enough, exactly: as_of is a midnight, so `known_at < as_of` holds if and only if the UTC day of `known_at` is
before as_of. Facts carry both: `day` (it happened) and `known_day` (it was known; never before `day`). One event
through this file: it occurs on 3 March and the vendor hears of it on 9 March. As of 5 March it does not exist; as of
10 March it exists and its age is 7 days, so a 7-day window [3 March, 10 March) just holds it.

Everything is SQL over relations, in the dialect of DuckDB and in forms that Spark knows too. Two small relations carry
the cut, so that no query joins over a range: `ages` (day, as_of, age) for windows of at most REACH days, and `arrivals`
(known_day, as_of) for all that ever happened: the first as_of at which a row of that day is known.
"""

from __future__ import annotations

from datetime import date

from warehouse.raw import CONTACTED, HELD_OUT

REACH = 90  # days: the widest window that ends at as_of; what is older is told by running totals
FAR = "DATE '9999-12-31'"


def dates() -> str:
    """SQL for the distinct as_of of the spine."""
    return "SELECT DISTINCT as_of FROM spine"


def ages(facts: str) -> str:
    """SQL for day, as_of, age: every day of `facts` within REACH days before an as_of; age is 1 for the day before it,
    so a window [as_of - w, as_of) is `age <= w`. week_bit: a power of two for each 7 days back."""
    return f"""
        SELECT day, as_of, age, CAST(power(2, floor((age - 1) / 7)) AS BIGINT) AS week_bit
        FROM (SELECT f.day, d.as_of, date_diff('day', f.day, d.as_of) AS age
              FROM (SELECT DISTINCT day FROM {facts}) AS f CROSS JOIN dates AS d)
        WHERE age >= 1 AND age <= {REACH}"""


def arrivals(facts: str) -> str:
    """SQL for known_day, as_of: the first as_of after each day on which rows of `facts` became known."""
    return f"""
        SELECT f.known_day, min(d.as_of) AS as_of
        FROM (SELECT DISTINCT known_day FROM {facts}) AS f JOIN dates AS d ON f.known_day < d.as_of
        GROUP BY f.known_day"""


def recent(facts: str, columns: str) -> str:
    """SQL for the rows of `facts` inside the reach of an as_of and known before it: `columns` of f (facts) and a
    (ages)."""
    return f"SELECT {columns} FROM {facts} AS f JOIN ages AS a ON a.day = f.day AND f.known_day < a.as_of"


def arrived(facts: str, columns: str, folded: date | None) -> str:
    """SQL for every row of `facts` at the first as_of that knows it: `columns` of f (facts) and a (arrivals).

    folded: rows known before this midnight are in the fold already and left out; null: there is no fold.
    """
    unfolded = f" WHERE f.known_day >= DATE '{folded}'" if folded else ""
    return f"SELECT {columns} FROM {facts} AS f JOIN arrivals AS a ON a.known_day = f.known_day{unfolded}"


def first_seen(facts: str, before: date) -> str:
    """SQL for account_id, user_id, first_day of every user in `facts`, of rows known before the midnight `before`."""
    return f"""
        SELECT account_id, user_id, min(day) AS first_day FROM {facts}
        WHERE user_id IS NOT NULL AND known_day < DATE '{before}' GROUP BY account_id, user_id"""


def known_digest(facts: str, columns: str, before: date) -> str:
    """SQL for one row that changes when a row of `facts` known before the midnight `before` does, in any order."""
    return f"SELECT count(*), sum(CAST(hash({columns}) AS HUGEINT)) FROM {facts} WHERE known_day < DATE '{before}'"


def timeline(facts: str, columns: str) -> str:
    """SQL for the rows of each user of an account in `facts`, with what tells, at any as_of, the first and the last
    known of them without counting distinct users: known_before and known_after, the earliest known_day among the rows
    that happened before and after. `columns` of f are kept."""
    order = "PARTITION BY f.account_id, f.user_id ORDER BY f.day, f.known_day ROWS BETWEEN"
    return f"""
        SELECT {columns}, min(f.known_day) OVER ({order} UNBOUNDED PRECEDING AND 1 PRECEDING) AS known_before,
               min(f.known_day) OVER ({order} 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS known_after
        FROM {facts} AS f WHERE f.user_id IS NOT NULL"""


IS_LAST = f"a.as_of <= coalesce(f.known_after, {FAR})"
"""Of a row that an as_of knows: whether no later row of its user is known by then."""
IS_FIRST = f"a.as_of <= coalesce(f.known_before, {FAR}) AND f.day <= coalesce(f.folded_first, f.day)"
"""Of a row that an as_of knows: whether no earlier row of its user is known by then, in the fold or outside it."""
IS_ENTRY = f"""f.folded_first IS NULL AND f.known_day < coalesce(f.known_before, {FAR})
    AND f.known_day <= coalesce(f.known_after, {FAR})"""
"""Whether this is the row by which its user became known; one row a user."""


def as_known(facts: str, columns: str, known_by: date) -> str:
    """SQL for `facts` in hindsight: the rows known before the midnight `known_by`, each as if known when it happened.

    columns: all columns of `facts` but known_day.
    """
    return f"SELECT {columns}, day AS known_day FROM {facts} WHERE known_day < DATE '{known_by}'"


def past(facts: str, columns: str) -> str:
    """SQL for all rows of `facts` that had happened and were known before each as_of of the spine, whatever their age:
    account_id, as_of, age (1 for the day before as_of) and `columns` of f."""
    return f"""
        SELECT s.account_id, s.as_of, date_diff('day', f.day, s.as_of) AS age, {columns}
        FROM spine AS s JOIN {facts} AS f
          ON f.account_id = s.account_id AND f.day < s.as_of AND f.known_day < s.as_of"""


def accounts_past(spine: str = "spine") -> str:
    """SQL for what was known of each account before as_of: sign-up facts, tenure in whole days, and whether it had
    closed by then. Accounts that had not signed up before as_of are absent; a later closure is invisible."""
    return f"""
        SELECT s.account_id, s.as_of, date_diff('day', CAST(a.created_at AS DATE), s.as_of) AS tenure_days,
               coalesce(CAST(a.closed_at AS DATE) < s.as_of, false) AS closed,
               a.industry, a.country, a.employees, a.channel
        FROM {spine} AS s JOIN accounts AS a
          ON a.account_id = s.account_id AND CAST(a.created_at AS DATE) < s.as_of"""


def stays_past() -> str:
    """SQL for the stays of users that had begun before each as_of of the spine: account_id, as_of, start_age (1 for the
    day before as_of) and end_age of the day the user left, 0 where nobody knew of it by then. A stay told first as open
    and later as ended is one, and has ended; stays of one user that overlap, such as those of two roles, are one."""
    own = "PARTITION BY account_id, user_id ORDER BY first_day, last_day"
    told = """
        SELECT account_id, user_id, CAST(valid_from AS DATE) AS first_day,
               coalesce(CAST(min(valid_to) AS DATE), DATE '9999-12-31') AS last_day
        FROM account_users GROUP BY account_id, user_id, valid_from"""
    apart = f"""
        SELECT *, max(last_day) OVER ({own} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS there_until
        FROM ({told}) AS t"""
    numbered = f"""
        SELECT *, sum(CASE WHEN first_day <= there_until THEN 0 ELSE 1 END) OVER ({own}
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS number
        FROM ({apart}) AS a"""
    # joining all of them is no look ahead: of days before as_of their union is that of the stays known by then
    joined = f"""
        SELECT account_id, min(first_day) AS first_day, max(last_day) AS last_day
        FROM ({numbered}) AS n GROUP BY account_id, user_id, number"""
    return f"""
        SELECT s.account_id, s.as_of, date_diff('day', f.first_day, s.as_of) AS start_age,
               CASE WHEN f.last_day < s.as_of THEN date_diff('day', f.last_day, s.as_of) ELSE 0 END AS end_age
        FROM spine AS s JOIN ({joined}) AS f ON f.account_id = s.account_id AND f.first_day < s.as_of"""


def known(facts: str, columns: str, dates: str = "dates") -> str:
    """SQL for the rows of `facts` known before each as_of of `dates`, whatever their age: `columns` of f and d."""
    return f"SELECT {columns} FROM {facts} AS f JOIN {dates} AS d ON f.known_day < d.as_of"


def last_contacts(before: date) -> str:
    """SQL for account_id, last_contact (a day) and last_contact_kind of every account contacted before the midnight
    `before`; to be left alone by lot is no contact. A touch is known when it happens. Of touches of one moment that by
    lot counts. For people to see and for no feature: who was contacted is who was expected to grow."""
    return f"""
        SELECT account_id, CAST(occurred_at AS DATE) AS last_contact, kind AS last_contact_kind
        FROM (SELECT *, row_number() OVER (PARTITION BY account_id ORDER BY occurred_at DESC, kind DESC) AS back
              FROM (SELECT account_id, occurred_at, coalesce(kind, '{CONTACTED}') AS kind FROM touches) AS t
              WHERE occurred_at < DATE '{before}' AND kind <> '{HELD_OUT}') AS contacts
        WHERE back = 1"""


def outcomes_after(facts: str, until: date) -> str:
    """SQL for ALL rows of `facts` known before the midnight `until`, whenever they happened: the look ahead.

    Only labels may use it: what it returns at an as_of lies partly in that as_of's future.
    """
    return f"SELECT * FROM {facts} WHERE known_day < DATE '{until.isoformat()}'"
