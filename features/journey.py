"""An account's place on its quarterly journey, and what its sign-up form said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.feature import Feature

Values = Mapping[str, Any]  # of features by name, and `closed`
UNSEEN = ("days_since_last_event", "days_since_last_invoice")
QUIET = "quiet_days"  # days since the last event or invoice, whichever is later; since sign-up without any
# The line break is part of the fingerprint of bundles.
QUIET_SQL = f"least({', '.join(f'coalesce({name}, tenure_days)' for name in UNSEEN)})\n        "


@dataclass(frozen=True)
class Condition:
    """One comparison of the rule, which SQL makes at night and Python when somebody asks why.

    of: features, summed, or QUIET. sign, limit: what the sum is held against, a number or a {threshold} of the params;
    both empty for a flag. one, many: the words for a value; {limit} and {tier} stand for themselves.
    """

    of: tuple[str, ...]
    sign: str
    limit: str
    one: str
    many: str

    @property
    def sql(self) -> str:
        value = QUIET_SQL if self.of == (QUIET,) else " + ".join(self.of)
        return f"{value} {self.sign} {self.limit}" if self.sign else value

    @property
    def reads(self) -> tuple[str, ...]:
        return (*UNSEEN, "tenure_days") if self.of == (QUIET,) else self.of

    def value(self, values: Values) -> Any:
        """A number; null if a feature is, as in SQL."""
        if self.of == (QUIET,):
            return min(values["tenure_days"] if values[name] is None else values[name] for name in UNSEEN)
        told = [values[name] for name in self.of]
        return None if None in told else sum(told)

    def holds(self, values: Values, fragments: Mapping[str, str]) -> bool:
        if not self.sign:
            return bool(values.get(self.of[0], False))
        value, limit = self.value(values), float(self.limit.format_map(fragments))
        if value is None:
            return False
        held: bool = {">=": value >= limit, ">": value > limit, "<=": value <= limit}[self.sign]
        return held

    def text(self, values: Values, fragments: Mapping[str, str], tier: str) -> str:
        value = self.value(values) if self.sign else None
        words = self.one if value == 1 else self.many
        return words.format(value=f"{value or 0:,.10g}", limit=self.limit.format_map(fragments), tier=tier)


@dataclass(frozen=True)
class Clause:
    """A stage, and what leads to it: of each group one condition must hold."""

    stage: str
    groups: tuple[tuple[Condition, ...], ...]

    @property
    def sql(self) -> str:
        joined = [" OR ".join(condition.sql for condition in group) for group in self.groups]
        several = len(joined) > 1
        return " AND ".join(
            f"({sql})" if several and len(group) > 1 else sql for sql, group in zip(joined, self.groups, strict=True)
        )

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for group in self.groups for condition in group for name in condition.reads))

    def holding(self, values: Values, fragments: Mapping[str, str]) -> list[Condition] | None:
        """The first condition of each group that holds; null: the clause does not."""
        first = [
            next((condition for condition in group if condition.holds(values, fragments)), None)
            for group in self.groups
        ]
        held = [condition for condition in first if condition is not None]
        return held if len(held) == len(first) else None


def _counted(one: str, many: str, more: str = "") -> tuple[str, str]:
    return f"{{value}} {one}{more}", f"{{value}} {many}{more}"


GONE = Condition(("closed",), "", "", *["closed for good"] * 2)
SILENT = Condition(
    (QUIET,), ">", "{dormant_days}", *_counted("day", "days", " without event or invoice (dormant after {limit})")
)
UNPAID = Condition(("run_rate",), "<=", "0", *["no run-rate"] * 2)
SECOND = Condition(("tier",), ">=", "2", *["tier {tier}, above the first paid one"] * 2)
USERS = Condition(
    ("users_28d",), ">=", "{uptake_users}", *_counted("active user", "active users", " in 28 days (needed: {limit})")
)
SPECIALIST = Condition(("specialist_life",), ">", "0", *_counted("use", "uses", " of specialist functions"))
CONFIGURATION = Condition(("configuration_life",), ">", "0", *_counted("configuration step", "configuration steps"))
PAYS = Condition(("tier",), ">=", "1", *["paid tier {tier}"] * 2)
STEPS = Condition(
    ("specialist_life", "configuration_life"), ">=", "{commitment_steps}",
    *_counted("specialist use or configuration step", "specialist uses and configuration steps", " (needed: {limit})"),
)  # fmt: skip

CLOSED = "closed"  # the stage that ends all others
# First rule that holds. A vendor without users or specialist functions in its data moves by tier alone.
CLAUSES = (
    Clause(CLOSED, ((GONE,),)),
    Clause("dormant", ((SILENT,), (UNPAID,))),
    Clause("expansion", ((SECOND,),)),
    Clause("uptake", ((USERS,), (SPECIALIST, CONFIGURATION, PAYS))),
    Clause("commitment", ((PAYS, STEPS),)),
)
STAGE = "\n    ".join(["CASE", *(f"WHEN {one.sql} THEN '{one.stage}'" for one in CLAUSES), "ELSE 'trial' END"])

STAGES = ("trial", "commitment", "uptake", "expansion", "dormant", CLOSED)
LOOKED_AT = tuple(dict.fromkeys(name for clause in CLAUSES[1:] for name in clause.reads))  # features of the rule


def evidence(values: Values, fragments: Mapping[str, str], tiers: list[str]) -> dict[str, Any]:
    """The clause of the rule that holds, what it looked at, and why in words.

    Args:
        values: the features LOOKED_AT (null as the catalogue says); `closed` may be absent, which is false.
        fragments: Definitions.sql_fragments of the bundle, for its thresholds.
        tiers: names of the ladder.

    Returns:
        stage; facts, by feature (tier by its name); text. The trial, which is what remains, tells what it lacks.
    """
    tier = tiers[int(values["tier"])]
    for clause in CLAUSES:
        if (found := clause.holding(values, fragments)) is not None:
            stage, reads = clause.stage, clause.reads
            text = " and ".join(condition.text(values, fragments, tier) for condition in found)
            break
    else:
        stage, reads = "trial", CLAUSES[-1].reads
        text = f"{STEPS.text(values, fragments, tier)} and no paid tier"
    told = {name: _plain(values[name]) for name in reads}
    return {"stage": stage, "facts": told | ({"tier": tier} if "tier" in told else {}), "text": text}


def _plain(value: Any) -> Any:
    """9 for 9.0: counts are whole."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


TENURE = Feature(
    "tenure_days", "tenure_days", "days", "since sign-up", "fit",
    "an older account", "a younger account", noun="its age",
)  # fmt: skip

FEATURES: tuple[Feature, ...] = (
    TENURE,
    Feature(
        "employees", "employees", "employees", "told at sign-up", "fit",
        "a larger organisation", "a smaller organisation",
        noun="size of the organisation", none="size of organisation not told",
    ),
    Feature(
        "industry", "industry", "", "told at sign-up", "fit",
        "its industry", "its industry", noun="its industry", none="industry not told", category=True,
    ),
    Feature(
        "country", "country", "", "told at sign-up", "fit",
        "its country", "its country", noun="its country", none="country not told", category=True,
    ),
    Feature(
        "channel", "channel", "", "told at sign-up", "fit",
        "the channel it came through", "the channel it came through", noun="the channel it came through",
        none="channel not known", category=True,
    ),
    Feature(
        "stage", STAGE, "", "the day before as_of", "trend",
        "its stage on the journey", "its stage on the journey", noun="its stage on the journey", category=True,
    ),
)  # fmt: skip
