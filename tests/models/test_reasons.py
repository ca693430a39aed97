"""Reasons: every feature can speak, the families add up, and a sentence says value and unit as a person would."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from features.catalogue import CATALOGUE, FEATURE_NAMES
from features.feature import Feature
from models.peers import Peers, medians
from models.reasons import SMALLEST_SHARE, sentence, tell
from tests.models.made_features import feature_rows

NUMERIC = [feature.name for feature in CATALOGUE if not feature.category]
BY_NAME = {feature.name: feature for feature in CATALOGUE}


def _told(contributions: np.ndarray, seed: int = 0) -> list[list[dict[str, Any]]]:
    table = feature_rows(len(contributions), seed)
    return [json.loads(line) for line in tell(contributions, table, Peers(medians(table)), "USD")]


def _row(**contributions: float) -> np.ndarray:
    return np.array([[contributions.get(name, 0.0) for name in FEATURE_NAMES]])


@pytest.mark.parametrize("feature", CATALOGUE, ids=lambda feature: feature.name)
def test_every_feature_has_words_for_high_low_and_where_it_can_be_absent_for_none(feature: Feature) -> None:
    assert feature.high
    assert feature.low
    if feature.null_means != "never null" and feature.name != "stage":
        assert feature.none, f"{feature.name} can be null ({feature.null_means}) and has no phrase for it"
    assert "because" not in f"{feature.high} {feature.low} {feature.none}"


def test_at_most_three_for_and_two_against_largest_first_each_family_once() -> None:
    rng = np.random.default_rng(1)
    for told in _told(rng.normal(size=(200, len(FEATURE_NAMES)))):
        up, down = ([r["share"] for r in told if r["direction"] == side] for side in ("up", "down"))
        assert len(up) <= 3
        assert len(down) <= 2
        assert up == sorted(up, reverse=True)
        assert down == sorted(down, reverse=True)
        assert [r["direction"] for r in told] == ["up"] * len(up) + ["down"] * len(down)
        families = [r["family"] for r in told]
        assert len(set(families)) == len(families)
        assert all(share >= SMALLEST_SHARE for share in up + down)
        assert all(r["family"] == BY_NAME[r["feature"]].family for r in told)


def test_a_family_is_weighed_by_its_sum_and_speaks_through_its_strongest_member() -> None:
    [told] = _told(_row(users_7d=0.4, users_28d=0.5, users_90d=-0.1, employees=0.6, breadth_28d=-0.6))
    assert [(r["family"], r["feature"], r["direction"]) for r in told] == [
        ("users", "users_28d", "up"),
        ("fit", "employees", "up"),
        ("breadth", "breadth_28d", "down"),
    ]
    assert [r["share"] for r in told] == [0.4, 0.3, 0.3]


def test_a_family_that_cancels_out_stays_silent_and_so_does_one_below_a_twentieth_of_the_whole() -> None:
    small = {"users_7d": 0.5, "users_28d": -0.5, "employees": 1.0}
    for sign in (1, -1):
        assert [r["feature"] for r in _told(_row(**small, breadth_28d=sign * 0.05))[0]] == ["employees"]
        assert [r["feature"] for r in _told(_row(**small, breadth_28d=sign * 0.06))[0]] == ["employees", "breadth_28d"]
    assert _told(_row()) == [[]]


def test_what_is_told_is_plain_json_without_nan_even_where_features_are_null() -> None:
    rng = np.random.default_rng(2)
    contributions = rng.normal(size=(300, len(FEATURE_NAMES)))
    table = feature_rows(300, seed=4)
    for line in tell(contributions, table, Peers(medians(table)), "USD"):
        assert "NaN" not in line
        assert "Infinity" not in line
        assert "None" not in line
        assert "nan" not in line.replace("finance", "")
        for reason in json.loads(line):
            assert reason["text"].strip() == reason["text"] != ""
            assert "not known" not in reason["text"] or reason["feature"] == "channel"


def test_peers_are_the_medians_of_the_same_age_with_null_where_none_was_known() -> None:
    table = feature_rows(500, seed=5)
    tenure = np.asarray(table["tenure_days"])
    users = np.asarray(table["users_28d"])
    learned = medians(table)
    assert learned["users_28d"][0] == pytest.approx(np.median(users[tenure < 30]))
    assert learned["users_28d"][2] == pytest.approx(np.median(users[(tenure >= 90) & (tenure < 180)]))
    assert learned["users_28d"][4] == pytest.approx(np.median(users[tenure >= 365]))
    young = medians(table.filter(tenure < 90))
    assert young["users_28d"][2:] == [None, None, None]
    assert set(learned) == set(NUMERIC)


@pytest.mark.parametrize(
    ("name", "value", "peer", "said"),
    [
        ("users_28d", 14.0, 2.0, "many active users in the last 28 days: 14 users (typical for its age: 2)"),
        ("users_28d", 1.0, 2.5, "few active users in the last 28 days: 1 user (typical for its age: 2.5)"),
        ("users_28d", 0.0, 0.0, "few active users in the last 28 days: 0 users (typical for its age: 0)"),
        ("users_28d", 3.0, 3.0, "many active users in the last 28 days: 3 users (typical for its age: 3)"),
        ("users_28d", 3.0, None, "many active users in the last 28 days: 3 users"),
        ("booked_life", 12345.6, 90.25, "much revenue since sign-up: 12,346 USD (typical for its age: 90)"),
        ("run_rate", 62.07, 0.0, "a high run-rate now: 62 USD per 30 days (typical for its age: 0)"),
        ("booked_rate_life", 0.31, 1.5, "a low revenue a day of its life: 0.3 USD a day (typical for its age: 1.5)"),
        ("specialist_share_90d", 0.256, 0.1,
         "specialist functions are a large share of use: 26 % (typical for its age: 10 %)"),
        ("users_trend", float(np.log(2)), 0.0, "the number of users is growing: x 2.0 (typical for its age: x 1.0)"),
        ("users_trend", None, 0.0, "too young to show growth in users"),
        ("days_since_last_event", None, 5.0, "no use at all so far"),
        ("headroom", None, 5.0, "on the highest tier"),
        ("industry", "retail", None, "its industry: retail"),
        ("industry", None, None, "industry not told"),
        ("run_rate_change_90d", -20.0, 0.0,
         "the run-rate has shrunk: -20 USD per 30 days (typical for its age: 0)"),
    ],
)  # fmt: skip
def test_a_sentence_says_value_and_unit_beside_its_peers(
    name: str, value: float | str | None, peer: float | None, said: str
) -> None:
    assert sentence(BY_NAME[name], value, peer, "USD") == said
