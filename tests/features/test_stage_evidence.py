"""Why an account stands in its stage is told from the clause that SQL chose, with the bundle's own thresholds."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import FEATURE_NAMES, Definitions
from features.journey import LOOKED_AT, STAGE, STAGES, evidence

TIERS = ["trial", "starter", "team", "business", "enterprise"]
FRAGMENTS = Definitions.from_params({}).sql_fragments()
NULLABLE = st.one_of(st.none(), st.integers(0, 70).map(float))
LOOKED = {
    "closed": st.sampled_from([False] * 5 + [True]),
    "days_since_last_event": NULLABLE,
    "days_since_last_invoice": NULLABLE,
    "tenure_days": st.integers(0, 70).map(float),
    "run_rate": st.sampled_from([-5.0, 0.0, 0.01, 20.0]),
    "tier": st.sampled_from([0.0, 0.0, 1.0, 2.0, 4.0]),
    "users_28d": st.integers(0, 8).map(float),
    "specialist_life": st.one_of(st.none(), st.integers(0, 4).map(float)),  # an oddity that SQL must share
    "configuration_life": st.integers(0, 4).map(float),
}
THRESHOLDS = st.fixed_dictionaries(
    {"dormant_days": st.integers(1, 65), "uptake_users": st.integers(1, 6), "commitment_steps": st.integers(1, 6)}
)
BASE = {
    "days_since_last_event": 1.0, "days_since_last_invoice": None, "tenure_days": 300.0, "run_rate": 0.0, "tier": 0.0,
    "users_28d": 9.0, "specialist_life": 4.0, "configuration_life": 0.0,
}  # fmt: skip


def by_sql(values: dict[str, Any], fragments: dict[str, str]) -> str:
    columns = ", ".join(f"CAST(? AS {'BOOLEAN' if name == 'closed' else 'DOUBLE'}) AS {name}" for name in values)
    query = f"SELECT {STAGE.format_map(fragments)} FROM (SELECT {columns})"
    [(stage,)] = duckdb.execute(query, list(values.values())).fetchall()
    return str(stage)


@settings(max_examples=400, deadline=None)
@given(values=st.fixed_dictionaries(LOOKED), thresholds=THRESHOLDS)
def test_the_clause_told_is_the_one_that_sql_chose(values: dict[str, Any], thresholds: dict[str, int]) -> None:
    fragments = Definitions.from_params({"features": thresholds}).sql_fragments()
    said = evidence(values, fragments, TIERS)
    assert said["stage"] == by_sql(values, fragments)
    assert {name: values[name] for name in said["facts"] if name != "tier"} == {
        name: value for name, value in said["facts"].items() if name != "tier"
    }


@pytest.mark.parametrize(
    ("more", "stage", "facts", "text"),
    [
        (
            {}, "uptake", {"users_28d": 9, "specialist_life": 4, "configuration_life": 0, "tier": "trial"},
            "9 active users in 28 days (needed: 5) and 4 uses of specialist functions",
        ),
        (
            {"specialist_life": 0.0, "configuration_life": 1.0}, "uptake",
            {"users_28d": 9, "specialist_life": 0, "configuration_life": 1, "tier": "trial"},
            "9 active users in 28 days (needed: 5) and 1 configuration step",
        ),
        (
            {"users_28d": 1.0}, "commitment", {"tier": "trial", "specialist_life": 4, "configuration_life": 0},
            "4 specialist uses and configuration steps (needed: 3)",
        ),
        (
            {"users_28d": 1.0, "tier": 1.0}, "commitment",
            {"tier": "starter", "specialist_life": 4, "configuration_life": 0}, "paid tier starter",
        ),
        (
            {"users_28d": 1.0, "specialist_life": 1.0}, "trial",
            {"tier": "trial", "specialist_life": 1, "configuration_life": 0},
            "1 specialist use or configuration step (needed: 3) and no paid tier",
        ),
        ({"tier": 3.0}, "expansion", {"tier": "business"}, "tier business, above the first paid one"),
        (
            {"days_since_last_event": None}, "dormant",
            {"days_since_last_event": None, "days_since_last_invoice": None, "tenure_days": 300, "run_rate": 0},
            "300 days without event or invoice (dormant after 60) and no run-rate",
        ),
        ({"closed": True}, "closed", {"closed": True}, "closed for good"),
    ],
)  # fmt: skip
def test_the_words_of_each_clause(more: dict[str, Any], stage: str, facts: dict[str, Any], text: str) -> None:
    assert evidence(BASE | more, FRAGMENTS, TIERS) == {"stage": stage, "facts": facts, "text": text}


def test_thresholds_are_those_of_the_params() -> None:
    fragments = Definitions.from_params({"features": {"uptake_users": 10, "commitment_steps": 4}}).sql_fragments()
    assert evidence(BASE, fragments, TIERS)["text"] == "4 specialist uses and configuration steps (needed: 4)"


def test_the_rule_looks_at_features_alone_and_knows_every_stage() -> None:
    assert set(LOOKED_AT) <= set(FEATURE_NAMES)
    assert [stage for stage in STAGES if f"'{stage}'" not in STAGE] == []


def test_the_rule_reads_as_in_the_fingerprint_of_bundles_that_are_out() -> None:
    """To the byte: with other line breaks every bundle would be refused for nothing."""
    assert (
        STAGE
        == """CASE
    WHEN closed THEN 'closed'
    WHEN least(coalesce(days_since_last_event, tenure_days), coalesce(days_since_last_invoice, tenure_days))
         > {dormant_days} AND run_rate <= 0 THEN 'dormant'
    WHEN tier >= 2 THEN 'expansion'
    WHEN users_28d >= {uptake_users} AND (specialist_life > 0 OR configuration_life > 0 OR tier >= 1) THEN 'uptake'
    WHEN tier >= 1 OR specialist_life + configuration_life >= {commitment_steps} THEN 'commitment'
    ELSE 'trial' END"""
    )
