"""Feature tables, outcomes and a fitted scorer without a warehouse, so that a model test says what it plants."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from features.catalogue import CATALOGUE, Definitions, FeatureParams
from features.journey import STAGES
from features.revenue import Tiers
from models.boosting import BoosterParams
from models.hazard import NEVER
from models.scorer import Scorer
from training.dataset import Dataset
from training.fit import assemble, fit_all
from training.labels import LabelParams

DEFINITIONS = Definitions(Tiers(), FeatureParams())
LABELS = LabelParams(horizons=(90, 180))
QUICK = BoosterParams(rounds=12, min_data_in_leaf=20, feature_fraction=0.3)
AS_OF = date(2025, 6, 1)
MONTHS = tuple(date(2024 + m // 12, m % 12 + 1, 1) for m in range(14))
WORDS = {
    "industry": ("retail", "bank", "care"),
    "country": ("GB", "DE"),
    "channel": ("web", "partner"),
    "stage": STAGES,
}


def feature_rows(n: int, seed: int = 0) -> pa.Table:
    """n accounts at AS_OF: heavy-tailed numbers, every feature that can be null null in a tenth of the rows. The place
    on the ladder (run_rate, tier, headroom) agrees with itself."""
    rng = np.random.default_rng(seed)
    run_rate = np.where(rng.random(n) < 0.6, 0.0, rng.lognormal(4.5, 1.6, n)).round(2)
    tier = DEFINITIONS.tiers.index(run_rate)
    floors = np.array([step.floor for step in DEFINITIONS.tiers.ladder] + [np.nan])
    own = {"run_rate": run_rate, "tier": tier, "headroom": floors[tier + 1] - run_rate,
           "tenure_days": rng.integers(1, 700, n)}  # fmt: skip
    columns: dict[str, Any] = {
        "account_id": [f"a{i:05d}" for i in range(n)],
        "as_of": pa.array([AS_OF] * n, pa.date32()),
    }
    for feature in CATALOGUE:
        absent = (rng.random(n) < 0.1) & (feature.null_means != "never null") & (feature.name != "stage")
        if feature.category:
            columns[feature.name] = pa.array(rng.choice(WORDS[feature.name], n).tolist(), pa.string(), mask=absent)
        elif feature.name in own:
            values = own[feature.name].astype(float)
            columns[feature.name] = pa.array(values, mask=np.isnan(values))
        elif feature.unit == "log ratio":
            columns[feature.name] = pa.array(rng.normal(0, 1, n).round(2), mask=absent)
        else:
            columns[feature.name] = pa.array(rng.lognormal(1, 1.5, n).round(2), mask=absent)
    return pa.table(columns)


def dataset(n: int, seed: int = 0) -> Dataset:
    """Accounts that expand the sooner the more users they have, and gain the more the higher their run-rate."""
    rng = np.random.default_rng([seed, 1])
    features = feature_rows(n, seed)
    users = np.asarray(features["users_28d"])
    rate = 0.0015 * np.minimum(users, 20) / 4
    expansion, churn = rng.exponential(1 / rate).astype(int), rng.exponential(900, n).astype(int)
    return Dataset(features, _labels(features, expansion, churn, rng))


def _labels(features: pa.Table, expansion: np.ndarray, churn: np.ndarray, rng: np.random.Generator) -> pa.Table:
    """What is seen within 400 days of accounts that expand and close so many days after as_of."""
    n = len(features)
    observed = np.full(n, 400)
    happened = (expansion < observed) & (expansion <= churn)
    gain = rng.lognormal(5, 0.7, n)
    tier = np.asarray(features["tier"])
    labels = {
        "account_id": features["account_id"],
        "as_of": features["as_of"],
        "observed_days": observed,
        "churn_day": pa.array(churn, mask=churn >= observed),
    }
    for target, day in (("expansion", expansion), ("high_value", expansion * 2)):
        came = happened & (day < observed)
        labels[f"{target}_day"] = pa.array(day, mask=~came)
        labels[f"{target}_at_risk"] = tier < (4 if target == "expansion" else 3)
    for h in LABELS.horizons:
        labels[f"increment_{h}"] = np.where(happened & (expansion < h), gain * h / 180, -1.0)
    return pa.table(labels)


def history(accounts: int = 300, months: tuple[date, ...] = MONTHS) -> Dataset:
    """Accounts seen on the first of every month until they close, each month with other figures; how busy an account is
    never changes."""
    rng = np.random.default_rng(5)
    last = rng.integers(3, len(months) + 1, accounts)
    pairs = [(i, m) for i in range(accounts) for m in range(len(months)) if m < last[i]]
    rows = feature_rows(len(pairs), seed=3)
    busy = rng.lognormal(2, 1, accounts)
    own: dict[str, pa.Array] = {
        "account_id": pa.array([f"a{i:05d}" for i, _ in pairs]),
        "as_of": pa.array([months[m] for _, m in pairs], pa.date32()),
    }
    for name in ("users_28d", "user_days_28d", "run_rate"):
        own[name] = pa.array([float(busy[i] * rng.lognormal(0, 0.3)) for i, _ in pairs])
    for name, column in own.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    labels = dataset(len(pairs)).labels
    for name in ("account_id", "as_of"):
        labels = labels.set_column(labels.column_names.index(name), name, own[name])
    return Dataset(rows, labels)


def caused(*causes: str, accounts: int = 300) -> Dataset:
    """Accounts seen on the first of every month, of which the features `causes` stay much the same while all others are
    drawn anew: the higher an account stands in these, the sooner it expands. Long enough for a teacher to foresee."""
    rng, n = np.random.default_rng(4), accounts * len(MONTHS)
    rows, account = feature_rows(n, seed=22), np.repeat(np.arange(accounts), len(MONTHS))
    own: dict[str, pa.Array] = {
        "account_id": pa.array([f"a{i:05d}" for i in account]),
        "as_of": pa.array(list(MONTHS) * accounts, pa.date32()),
    }
    for name in causes:
        own[name] = pa.array((rng.lognormal(1, 1.5, accounts)[account] * rng.lognormal(0, 0.2, n)).round(2))
    for name, column in own.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    place = np.mean([np.asarray(rows[name]).argsort().argsort() / n for name in causes], axis=0)
    day = rng.exponential(900 * np.exp(-5 * (place - 0.5))).astype(int)
    return Dataset(rows, _labels(rows, day, np.full(n, 10_000), rng))


def fit_scorer(
    data: Dataset, definitions: Definitions, labels: LabelParams, params: BoosterParams, seed: int, card: dict[str, Any]
) -> Scorer:
    """The recipe without anything learned from earlier origins: the default learner, not calibrated."""
    return assemble(fit_all(data, labels, params, seed), definitions, labels, card).beside(data.features)


def fitted(seed: int = 0, n: int = 1_500) -> Scorer:
    card = {"trained_as_of": "2025-06-01", "data_fingerprint": "d" * 64, "seed": seed}
    return fit_scorer(dataset(n, seed), DEFINITIONS, LABELS, QUICK, seed, card)


def days_or_never(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return np.where(seen, values, NEVER)
