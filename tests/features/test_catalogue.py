"""The catalogue: one declaration a feature, and everything else follows or refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from features.catalogue import CATALOGUE, Definitions, fingerprint
from features.feature import Feature, refuse_impossible, table_query
from features.handbook import page
from features.measures import CELL, cell
from tests.features.histories import DEFINITIONS
from warehouse.errors import UsageError

ROOT = Path(__file__).parents[2]


def made(name: str, sql: str) -> Feature:
    return Feature(name, sql, "events", "last 14 days", "depth", "more", "less", noun="it")


def test_the_page_of_features_is_what_the_catalogue_says() -> None:
    assert (ROOT / "docs/features.md").read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("feature", CATALOGUE, ids=lambda feature: feature.name)
def test_every_feature_can_be_told_in_words(feature: Feature) -> None:
    assert feature.high
    assert feature.low
    assert feature.window
    assert feature.unit or feature.category
    assert not feature.since or feature.none


@pytest.mark.parametrize(
    ("name", "measure", "low", "high", "quarter"),
    [
        ("events_28", "events", 0, 28, 0),
        ("events_28_56", "events", 28, 56, 0),
        ("first_events_life", "first_events", 0, None, 0),
        ("specialist_breadth_90", "specialist_breadth", 0, 90, 0),
        ("users_q3", "users", 0, None, 3),
        ("served_0", "served", 0, 0, 0),
    ],
)
def test_a_cell_is_read_from_its_name_and_back(name: str, measure: str, low: int, high: int, quarter: int) -> None:
    found = CELL.fullmatch(name)
    assert found
    one = cell(found)
    assert (one.measure, one.low, one.high, one.quarter, one.name) == (measure, low, high, quarter, name)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("events_120", "looks back more than 90 days"),
        ("events_56_28", "window is empty"),
        ("users_28_56", "users_then_28_56"),
        ("new_users_life", "users are told for windows"),
        ("event_ages_life", "for windows only"),
        ("busiest_user_life", "windows only"),
        ("booked_q2", "invoices are told for windows and for life"),
        ("later + 1", 'uses "later", which comes later'),
    ],
)
def test_an_expression_that_nobody_can_tell_is_refused_with_the_feature_and_the_rule(sql: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        refuse_impossible([made("mine", sql), made("later", "events_7")])
    assert '"mine"' in str(error.value)


def test_a_name_declared_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="declared twice"):
        refuse_impossible([made("mine", "events_7"), made("mine", "events_28")])


def test_the_fingerprint_follows_expressions_order_and_meanings_but_not_words(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(DEFINITIONS)

    def under(features: tuple[Feature, ...]) -> str:
        monkeypatch.setattr("features.catalogue.CATALOGUE", features)
        return fingerprint(DEFINITIONS)

    first, second, *rest = CATALOGUE
    assert under((replace(first, high="other words"), second, *rest)) == before
    assert under((second, first, *rest)) != before
    assert under((*CATALOGUE, made("exports_14d", "specialist_14"))) != before
    monkeypatch.undo()
    other = DEFINITIONS.features.model_copy(update={"specialist": ("api_called",)})
    assert fingerprint(Definitions(DEFINITIONS.tiers, other)) != before


def test_a_quoted_word_is_no_feature() -> None:
    query = table_query([made("trial", "events_7"), made("said", "CASE WHEN trial > 0 THEN 'trial' END")], {})
    assert "CASE WHEN f_trial > 0 THEN 'trial' END" in query
