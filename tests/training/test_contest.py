"""The held-out table: one block a candidate over the same accounts, and references that cheat nowhere."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from models.baselines import RULES
from models.encoding import Encoding
from tests.models.made_features import AS_OF, dataset, feature_rows
from training.contest import ACCOUNTS, contest, describe, plain_references, reference_probabilities, stating
from training.heldout import SCHEMA


def test_every_candidate_has_one_row_an_account_and_only_those_that_state_a_probability_have_one() -> None:
    test = dataset(20)
    n = len(test)
    label, money = (np.arange(n) % 2).astype(float), np.linspace(-5, 9, n)
    probability, expected = np.linspace(0.1, 0.9, n), np.linspace(0, 50, n)
    blocks = list(
        contest(
            "expansion",
            90,
            AS_OF,
            test,
            label,
            money,
            {"champion": stating(probability, expected), "base_rate": stating(np.full(n, 0.3))},
        )
    )
    by_name = {block["candidate"][0].as_py(): block for block in blocks}
    assert list(by_name) == ["champion", "base_rate", *RULES]
    for name, block in by_name.items():
        assert block.schema.equals(SCHEMA)
        assert block["account_id"].to_pylist() == test.features["account_id"].to_pylist()
        assert block["label"].to_pylist() == label.astype(int).tolist()
        assert block["increment"].to_pylist() == money.tolist()
        assert block["probability"].null_count == (n if name in RULES else 0)
        assert block["expected_increment"].null_count == (0 if name == "champion" else n)
        if name in RULES:
            assert block["score"].to_pylist() == RULES[name](test.features).tolist()
    assert by_name["champion"]["money_score"].to_pylist() == expected.tolist()
    assert by_name["champion"]["score"].to_pylist() == probability.tolist()


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray, Encoding]:
    table = feature_rows(4_000, seed=4)
    encoding = Encoding.learn(table)
    chance = np.where(np.asarray(table["users_28d"]) > 3, 0.4, 0.05)
    return encoding.matrix(table), (np.random.default_rng(99).random(4_000) < chance).astype(float), encoding


def test_the_base_rate_is_the_rate_of_the_rows_that_tell_and_behaviour_lifts_the_logistic_alone(
    rows: tuple[np.ndarray, np.ndarray, Encoding],
) -> None:
    matrix, label, encoding = rows
    told = label.copy()
    told[:100] = np.nan
    said = reference_probabilities(matrix[:3_000], told[:3_000], matrix[3_000:], encoding.names)
    assert set(said) == {"base_rate", "tier_prior"}
    assert set(said["base_rate"].tolist()) == {label[100:3_000].mean()}
    ridges = plain_references(encoding, matrix[:3_000], told[:3_000], matrix[3_000:])
    assert roc_auc_score(label[3_000:], ridges["logistic"].score) > 0.65
    assert roc_auc_score(label[3_000:], ridges["position"].score) == pytest.approx(0.5, abs=0.08)


def test_position_is_blind_to_what_an_account_did(rows: tuple[np.ndarray, np.ndarray, Encoding]) -> None:
    matrix, label, encoding = rows
    place = [encoding.names.index(name) for name in ("tenure_days", "run_rate", "headroom", "tier")]
    other = np.random.default_rng(0).normal(size=matrix.shape)
    kept = [*place, *encoding.category_columns]
    other[:, kept] = matrix[:, kept]
    before, after = (plain_references(encoding, m, label, m)["position"].score for m in (matrix, other))
    assert np.array_equal(before, after)


@pytest.mark.parametrize("label", [np.zeros(50), np.ones(50), np.full(50, np.nan)])
def test_without_both_classes_there_is_no_reference(
    label: np.ndarray, rows: tuple[np.ndarray, np.ndarray, Encoding]
) -> None:
    matrix, _, encoding = rows
    assert reference_probabilities(matrix[:50], label, matrix[50:], encoding.names) == {}


def test_an_empty_contest_still_has_the_schema() -> None:
    assert SCHEMA.empty_table().schema.names[:2] == ["account_id", "as_of"]
    assert pa.types.is_int8(SCHEMA.field("label").type)


def test_the_prior_of_a_tier_is_its_rate_and_a_tier_never_seen_has_that_of_all(
    rows: tuple[np.ndarray, np.ndarray, Encoding],
) -> None:
    matrix, label, encoding = rows
    at = encoding.names.index("tier")
    train, test = matrix[:800].copy(), matrix[:3].copy()
    test[:, at] = [0, 1, 9]
    said = reference_probabilities(train, label[:800], test, encoding.names)["tier_prior"]
    rate = label[:800].mean()
    for place, tier in ((0, 0), (1, 1)):
        of = label[:800][train[:, at] == tier]
        assert said[place] == pytest.approx((of.sum() + rate) / (len(of) + 1))
    assert said[2] == pytest.approx(rate)


def test_held_out_accounts_are_described_by_what_was_known_of_them() -> None:
    test = dataset(40)
    table = describe(test, date(2025, 3, 1))
    assert table.schema.equals(ACCOUNTS)
    last, tenure = test.features["days_since_last_event"].to_pylist(), test.features["tenure_days"].to_pylist()
    for row, day, age in zip(table.to_pylist(), last, tenure, strict=True):
        assert row["active"] == (day is not None and day <= 90)
        assert row["new"] == (age <= 92), "signed up on 1 March 2025 or later"
    assert not any(describe(test, None)["new"].to_pylist())
