"""The only cut in time. Whoever wants rows of the past asks `past` or `accounts_past`; whoever wants outcomes asks
`outcomes_after`, which one module alone may import (training/labels.py; a test counts its callers).

Days are enough, exactly: as_of is a midnight, so `known_at < as_of` holds if and only if the UTC day of `known_at` is
before as_of. One event through this file: it occurs on 3 March and the vendor hears of it on 9 March (day = 3 March,
known_day = 9 March). As of 5 March it does not exist; as of 10 March it exists and its age is 7 days, so a 7-day window
[3 March, 10 March) just holds it.
"""

from __future__ import annotations

from datetime import date


def past(facts: str, spine: str = "spine") -> str:
    """SQL for the rows of `facts` that had happened and were known before each as_of of the spine.

    Args:
        facts: a relation with account_id, day (DATE it happened), known_day (DATE it was known) and measures.
        spine: a relation with account_id, as_of (DATE).

    Returns:
        account_id, as_of, age_days (1 for the day before as_of, so a window [as_of - w, as_of) is age_days <= w),
        and the measures.
    """
    return f"""
        SELECT s.account_id, s.as_of, date_diff('day', f.day, s.as_of) AS age_days, f.* EXCLUDE (account_id)
        FROM {spine} AS s JOIN {facts} AS f
          ON f.account_id = s.account_id AND f.day < s.as_of AND f.known_day < s.as_of"""


def accounts_past(spine: str = "spine") -> str:
    """SQL for what was known of each account before as_of: sign-up facts, tenure in whole days, and whether it had
    closed by then. Accounts that had not signed up before as_of are absent; a later closure is invisible."""
    return f"""
        SELECT s.account_id, s.as_of, date_diff('day', CAST(a.created_at AS DATE), s.as_of) AS tenure_days,
               coalesce(CAST(a.closed_at AS DATE) < s.as_of, false) AS closed,
               a.is_internal, a.industry, a.country, a.employees, a.channel
        FROM {spine} AS s JOIN accounts AS a
          ON a.account_id = s.account_id AND CAST(a.created_at AS DATE) < s.as_of"""


def outcomes_after(facts: str, until: date) -> str:
    """SQL for ALL rows of `facts` known before the midnight `until`, whenever they happened: the look ahead.

    Only labels may use it: what it returns at an as_of lies partly in that as_of's future.
    """
    return f"SELECT * FROM {facts} WHERE known_day < DATE '{until.isoformat()}'"
