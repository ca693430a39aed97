"""The trailing-window engine: the only aggregation over time, and the shape every feature is declared in.

Distinct counts never use DISTINCT: the past is first grouped by (account, as_of, user) or (account, as_of, event name)
with the age of the first and of the last occurrence. A user is active in [as_of - w, as_of) if and only if
age_last <= w, and new in it if and only if age_first <= w; counting rows is then exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from warehouse.asof import accounts_past, past

Family = Literal["users", "breadth", "depth", "trend", "recency", "billing", "fit", "support"]
Source = Literal["names", "users", "days", "invoices", "account", "derived"]


@dataclass(frozen=True)
class Feature:
    """One feature, declared in one place.

    name: column name. source: the relation its `sql` aggregates (below), `account` for sign-up facts, or `derived` for
    an expression over features declared before it. unit and window: for people. family: reasons are summed by it.
    up, down: how a reason reads when the feature speaks for or against expansion. empty: value where the source has no
    row for the account ("0": instrumented, nothing happened; "NULL": not yet possible). since: the window lies this
    many days back; an account that had not signed up before it gets null.
    """

    name: str
    source: Source
    sql: str
    unit: str
    window: str
    family: Family
    high: str
    low: str
    none: str = ""
    empty: str = "0"
    since: int = 0
    category: bool = False

    @property
    def null_means(self) -> str:
        if self.since:
            return f"signed up less than {self.since + 1} days before as_of"
        return "not yet possible or not told" if self.empty == "NULL" or self.category else "never null"


WINDOWS = (7, 28, 56, 90, 180)  # days; 28 = 4 weeks so that weekdays weigh the same

_counts = ", ".join(f"sum(events) FILTER (age_days <= {w}) AS n_{w}" for w in WINDOWS)

RELATIONS: dict[str, str] = {
    # account, as_of, event name: ages of first and last occurrence, events and quantity by window
    "names": f"""
        SELECT account_id, as_of, event_name, kind, min(age_days) AS age_last, max(age_days) AS age_first,
               {_counts}, sum(events) AS n_life,
               sum(quantity) FILTER (age_days <= 28) AS q_28, sum(quantity) FILTER (age_days <= 90) AS q_90,
               sum(quantity) AS q_life
        FROM ({past("name_days")}) GROUP BY ALL""",
    # account, as_of, user
    "users": f"""
        SELECT account_id, as_of, user_id, min(age_days) AS age_last, max(age_days) AS age_first, {_counts}
        FROM ({past("user_days")}) GROUP BY ALL""",
    # account, as_of, day with any event
    "days": f"""
        SELECT account_id, as_of, age_days, sum(events) AS events
        FROM ({past("name_days")}) GROUP BY ALL""",
    # account, as_of, revenue row; served on the day that is `a` days before as_of: start_age >= a AND end_age < a
    "invoices": f"""
        SELECT account_id, as_of, age_days, amount, rate, date_diff('day', first_day, as_of) AS start_age,
               date_diff('day', last_day, as_of) AS end_age
        FROM ({past("revenue_days")})""",
}


def window_query(features: tuple[Feature, ...], fragments: dict[str, str]) -> str:
    """SQL of the whole feature table over the relation `spine`: one stage a source, then sign-up facts, then derived
    features in the order declared.

    Args:
        features: the catalogue.
        fragments: SQL that depends on the vendor's definitions, by the placeholder that stands for it in `sql`.
    """
    stages = [f"account AS ({accounts_past()})"]
    for source, relation in RELATIONS.items():
        columns = ",\n ".join(
            f"{feature.sql.format_map(fragments)} AS {feature.name}" for feature in features if feature.source == source
        )
        stages.append(
            f"of_{source} AS (SELECT account_id, as_of,\n {columns}\nFROM ({relation}) GROUP BY account_id, as_of)"
        )
    joins = "".join(f" LEFT JOIN of_{source} USING (account_id, as_of)" for source in RELATIONS)
    direct = ",\n ".join(_direct(feature, fragments) for feature in features if feature.source != "derived")
    stages.append(
        f"direct AS (SELECT account.account_id, account.as_of, account.closed,\n {direct}\nFROM account{joins})"
    )
    stage = "direct"
    for number, feature in enumerate(f for f in features if f.source == "derived"):
        expression = _cast(feature, feature.sql.format_map(fragments))
        stages.append(f"derived_{number} AS (SELECT *, {expression} AS {feature.name} FROM {stage})")
        stage = f"derived_{number}"
    names = ", ".join(feature.name for feature in features)
    return f"WITH {', '.join(stages)}\nSELECT account_id, as_of, {names} FROM {stage} ORDER BY account_id, as_of"


def _direct(feature: Feature, fragments: dict[str, str]) -> str:
    if feature.source == "account":
        value = feature.sql.format_map(fragments)
    else:
        value = f"of_{feature.source}.{feature.name}"
        if feature.empty != "NULL":
            value = f"coalesce({value}, {feature.empty})"
    if feature.since:
        value = f"CASE WHEN account.tenure_days > {feature.since} THEN {value} END"
    return f"{_cast(feature, value)} AS {feature.name}"


def _cast(feature: Feature, value: str) -> str:
    return f"CAST({value} AS {'VARCHAR' if feature.category else 'DOUBLE'})"
