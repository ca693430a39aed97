"""Reasons: every feature can speak, the families add up, and a sentence says value and unit as a person would."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import numpy as np
import pytest

from features.catalogue import CATALOGUE, FEATURE_NAMES
from features.feature import Feature
from models.peers import Peers, medians
from models.reasons import MOST_DIGITS, SMALLEST_SHARE, change, pair, said, sentence, tell
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


def test_peers_are_the_medians_of_the_same_age_or_of_all_where_nobody_was_of_that_age() -> None:
    table = feature_rows(500, seed=5)
    tenure = np.asarray(table["tenure_days"])
    users = np.asarray(table["users_28d"])
    learned = medians(table)
    assert learned["users_28d"][0] == pytest.approx(np.median(users[tenure < 30]))
    assert learned["users_28d"][2] == pytest.approx(np.median(users[(tenure >= 90) & (tenure < 180)]))
    assert learned["users_28d"][4] == pytest.approx(np.median(users[tenure >= 365]))
    young = medians(table.filter(tenure < 90))  # nobody older, so the older are held against all there were
    assert young["users_28d"][2:] == [np.median(users[tenure < 90])] * 3
    assert set(learned) == set(NUMERIC)


@pytest.mark.parametrize(
    ("name", "value", "peer", "told"),
    [
        ("users_28d", 14.0, 2.0, "more active users in the last 28 days: 14 users (its peers: 2)"),
        ("users_28d", 1.0, 2.5, "fewer active users in the last 28 days: 1 user (its peers: 2.5)"),
        ("users_28d", 0.0, 0.0, "active users in the last 28 days: 0 users (its peers: 0)"),
        ("users_28d", 3.0, 3.0, "active users in the last 28 days: 3 users (its peers: 3)"),
        ("users_28d", 3.0, None, "active users in the last 28 days: 3 users"),
        ("booked_life", 12345.6, 90.25, "more revenue since sign-up: 12,346 USD (its peers: 90)"),
        ("run_rate", 62.07, 0.0, "a higher run-rate now: 62 USD per 30 days (its peers: 0)"),
        ("booked_rate_life", 0.31, 1.5, "a lower revenue a day of its life: 0.31 USD a day (its peers: 1.5)"),
        ("specialist_share_90d", 0.256, 0.1, "specialist functions are a larger share of use: 26 % (its peers: 10 %)"),
        ("specialist_share_90d", 0.0041, 0.0,
         "specialist functions are a larger share of use: 0.41 % (its peers: 0 %)"),
        ("new_user_rate_90d", 0.0112, 0.004,
         "grows faster for its size: 0.011 users a user and day (its peers: 0.004)"),
        ("seat_use_28d", 0.1632, 0.1634,
         "its users are active on a smaller share of days, last 28 days: 16.32 % (its peers: 16.34 %)"),
        ("users_trend", float(np.log(2)), 0.0, "the number of users is growing: x 2 (its peers: x 1)"),
        ("users_trend", 0.0, 0.0, "number of users beside that of the 28 days before: x 1 (its peers: x 1)"),
        ("events_trend", -0.22, -0.7, "use is shrinking: x 0.8 (its peers: x 0.5)"),  # more slowly, yet shrinking
        ("events_trend", 0.4, 0.9, "use is growing: x 1.5 (its peers: x 2.5)"),
        ("booked_beside_peers", 0.3, 0.0,
         "has paid less than accounts like it: 0.3 times the mean of its peers (its peers: 0)"),
        ("users_trend", None, 0.0, "too young to show growth in users"),
        ("days_since_last_event", None, 5.0, "no use at all so far"),
        ("seat_use_7d", None, 0.5, "nobody is said to have belonged to it, last 7 days"),
        ("headroom", None, 5.0, "on the highest tier"),
        ("industry", "retail", None, "its industry: retail"),
        ("industry", None, None, "industry not told"),
        ("run_rate_change_90d", -20.0, 0.0, "the run-rate has shrunk: -20 USD per 30 days (its peers: 0)"),
        ("run_rate_change_90d", -5.0, -20.0, "the run-rate has shrunk: -5 USD per 30 days (its peers: -20)"),
    ],
)  # fmt: skip
def test_a_sentence_says_value_and_unit_beside_its_peers(
    name: str, value: float | str | None, peer: float | None, told: str
) -> None:
    assert sentence(BY_NAME[name], value, peer, "USD") == told


@pytest.mark.parametrize(
    ("name", "value", "old", "told"),
    [
        ("users_28d", 14.0, 9.0, "active users in the last 28 days: 14 users (was 9 on 2026-01-01)"),
        ("users_28d", 5707.0, 5787.0, "active users in the last 28 days: 5,707 users (was 5,787 on 2026-01-01)"),
        ("breadth_28d", 0.0, 5.0, "different functions used lately: 0 functions (was 5 on 2026-01-01)"),
        ("attendance_28d", 0.1612, 0.1598,
         "days on which its users are there, last 28 days: 16.1 % (was 16 % on 2026-01-01)"),
        ("attendance_28d", 0.5, None,
         "days on which its users are there, last 28 days: 50 % (was no named user so far on 2026-01-01)"),
        ("attendance_28d", None, 0.5,
         "days on which its users are there, last 28 days: no named user so far (was 50 % on 2026-01-01)"),
        ("users_28d", 9.0, 9.0, "active users in the last 28 days: 9 users (as on 2026-01-01)"),
        ("stage", "uptake", "trial", "its stage on the journey: uptake (was trial on 2026-01-01)"),
    ],
)  # fmt: skip
def test_a_change_says_what_it_is_then_now_and_before_and_judges_neither(
    name: str, value: float | str | None, old: float | str | None, told: str
) -> None:
    assert change(BY_NAME[name], value, old, date(2026, 1, 1), "USD") == told


def test_words_compare_or_tell_a_rise_and_never_claim_a_level() -> None:
    """What stands beside a number must not contradict it, whatever the number is."""
    level = re.compile(r"\b(many|few|much|little|long|most|large|small|hardly|no|high|low|deeply|very|several)\b")
    for feature in CATALOGUE:
        assert feature.noun
        if not feature.category:
            assert not level.search(feature.high), (feature.name, feature.high)
            assert not level.search(feature.low), (feature.name, feature.low)
            assert feature.high != feature.low
            assert not re.search(r"\b(in it|then)$", feature.none), (feature.name, feature.none)


def test_two_numbers_that_differ_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    for feature in (one for one in CATALOGUE if not one.category):
        for one in rng.lognormal(0, 2, 20):
            other = one * (1 + rng.choice([1e-3, 0.2, 3]))
            first, second = pair(float(one), float(other), feature, "USD")
            assert said(float(one), feature, "USD", bare=True, digits=MOST_DIGITS) != second
            assert first.split()[:2] != second.split()[:2] or feature.unit == "share"
