"""Who stands beside the champion is no straw man: it learns from what the champion learns from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from models.increment import STEP, Amount
from tests.models.made_features import LABELS, QUICK, feature_rows
from training.candidates import Bench
from training.contest import plain_references, stating
from training.dataset import Dataset
from training.fit import fit_all

YOUNG = 200  # days of age below which an account moves up soon


def by_age(n: int, seed: int, odd: int = 0) -> Dataset:
    """Accounts of which the young move up. All were observed for 150 days, but the first `odd` for 400, and those do
    the opposite: the only ones whose label of 180 days is complete, unless `odd` is 0 and all are."""
    features, rng = feature_rows(n, seed), np.random.default_rng([seed, 2])
    rare = np.arange(n) < odd
    soon = (np.asarray(features["tenure_days"]) < YOUNG) != rare
    day = rng.exponential(np.where(soon, 120, 4_000)).astype(int)
    observed = np.where(rare | (odd == 0), 400, 150)
    labels = {
        "account_id": features["account_id"],
        "as_of": features["as_of"],
        "observed_days": observed,
        "churn_day": pa.nulls(n, pa.int64()),
    }
    for target in ("expansion", "high_value"):
        labels |= {f"{target}_day": pa.array(day, mask=day >= observed), f"{target}_at_risk": np.ones(n, dtype=bool)}
    labels |= {f"increment_{h}": np.ones(n) for h in LABELS.horizons}
    return Dataset(features, pa.table(labels))


def test_place_and_age_learn_from_labels_that_are_still_open_as_the_champion_does() -> None:
    known, test = by_age(900, seed=1, odd=40), by_age(400, seed=2)
    fitted = fit_all(known, LABELS, QUICK, 1, trees=False)
    rows = fitted.encoding.matrix(test.features)
    bench = Bench(known, fitted, fitted.log_odds(rows), fitted.amount, test, rows, LABELS, QUICK, 1, headline=90)
    said = bench.others("expansion", 180, stating(np.zeros(len(test))))
    came = test.outcome("expansion", 180)
    complete = known.outcome("expansion", 180)
    assert (~np.isnan(complete)).sum() < 0.5 * len(known)
    blind = plain_references(fitted.encoding, fitted.matrix, complete, rows)["position"].score
    assert roc_auc_score(came, said["position"].score) > 0.75 > 0.55 > roc_auc_score(came, blind)


def test_every_learner_ranks_money_by_its_own_chance_of_expanding_times_the_amount_of_the_champion() -> None:
    known, test = by_age(900, seed=1), by_age(400, seed=2)
    fitted = fit_all(known, LABELS, QUICK, 1, trees=False)
    rows = fitted.encoding.matrix(test.features)
    amount = Amount(None, 2.0, 1.0, 1.0, step=tuple(fitted.encoding.names.index(name) for name in STEP))
    bench = Bench(known, fitted, fitted.log_odds(rows), amount, test, rows, LABELS, QUICK, 1, headline=180)
    expansion = bench.others("expansion", 180, stating(np.zeros(len(test))))
    high_value = bench.others("high_value", 180, stating(np.zeros(len(test))))
    for name in ("average", "logistic", "direct", "matured"):
        said = expansion[name]
        assert said.money == pytest.approx(said.score * amount.expected(rows, 180))
        assert np.argmax(said.money) != np.argmax(said.score)
    assert high_value["logistic"].money == pytest.approx(expansion["logistic"].money)


def test_where_no_label_of_a_horizon_is_complete_the_rates_of_a_shorter_one_go_on() -> None:
    """In a vendor's first year nothing is known of long horizons yet, and still every baseline stands there."""
    known, test = by_age(900, seed=1), by_age(400, seed=2)
    place = known.labels.column_names.index("observed_days")
    short = Dataset(known.features, known.labels.set_column(place, "observed_days", pa.array([150] * len(known))))
    assert np.isnan(short.outcome("expansion", 180)).all()
    fitted = fit_all(short, LABELS, QUICK, 1, trees=False)
    rows = fitted.encoding.matrix(test.features)
    bench = Bench(short, fitted, fitted.log_odds(rows), fitted.amount, test, rows, LABELS, QUICK, 1, headline=90)
    said = bench.others("expansion", 180, stating(np.zeros(len(test))))
    by_then = short.outcome("expansion", 90).mean()
    assert said["base_rate"].score == pytest.approx(1 - (1 - by_then) ** 2)
    assert {"tier_prior", "position"} <= set(said)
    at_headline = replace(bench, headline=180).others("expansion", 180, stating(np.zeros(len(test))))
    assert "books_only" in at_headline
    assert not {"direct", "matured"} & set(at_headline), "no window of 180 days has closed for them to learn from"
