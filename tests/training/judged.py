"""Builders of what the train stage leaves behind: held-out rows with a chosen skill, train.json and a sealed bundle;
and of the truth that a simulator would have written of those rows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.scorer import rule_scorer
from tests.models.made_features import DEFINITIONS
from warehouse.store import Workspace, write_table

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AS_OF, ORIGIN = date(2025, 6, 1), date(2025, 6, 1)


def candidate_rows(
    name: str,
    label: np.ndarray,
    increment: np.ndarray,
    score: np.ndarray,
    *,
    probability: bool = False,
    target: str = "expansion",
    horizon: int = 180,
    money: np.ndarray | None = None,
) -> pa.Table:
    n = len(label)
    return pa.table(
        {
            "account_id": [f"account-{i:05d}" for i in range(n)],
            "as_of": pa.array([AS_OF] * n, pa.date32()),
            "origin": pa.array([ORIGIN] * n, pa.date32()),
            "target": [target] * n,
            "horizon": pa.array([horizon] * n, pa.int16()),
            "candidate": [name] * n,
            "score": pa.array(score, pa.float64()),
            "money_score": pa.array(score if money is None else money, pa.float64()),
            "probability": pa.array(score) if probability else pa.nulls(n, pa.float64()),
            "expected_increment": pa.nulls(n, pa.float64()) if money is None else pa.array(money, pa.float64()),
            "amount_low": pa.nulls(n, pa.float64()),
            "amount_high": pa.nulls(n, pa.float64()),
            "label": pa.array(label.astype(np.int8)),
            "increment": pa.array(increment, pa.float64()),
        }
    )


def heldout_rows(
    n: int = 1500, skill: float = 2.0, seed: int = 0, target: str = "expansion", horizon: int = 180, base: float = -3.0
) -> pa.Table:
    """One target and horizon: a model that knows `skill` of the 2.0 in the log-odds, the learner without usage, the
    base rate, and two rules: lifetime spend is noise and activity half knows. The truth depends on `seed` alone."""
    rng, behaviour, noise = _drawn(n, seed, horizon)
    chance = _chance(base, behaviour)
    label = (rng.random(n) < chance).astype(float)
    increment = np.where(label == 1, rng.lognormal(4, 1, n), np.round(noise[0], 1))
    said = 1 / (1 + np.exp(-(base + skill * behaviour + (2.0 - skill) * noise[1])))
    books = np.clip(label.mean() * np.exp(0.3 * noise[2]), 0, 1)
    place = {"target": target, "horizon": horizon}
    return pa.concat_tables(
        [
            candidate_rows("champion", label, increment, said, probability=True, money=said * 80, **place),
            candidate_rows("books_only", label, increment, books, probability=True, **place),
            candidate_rows("base_rate", label, increment, np.full(n, label.mean()), probability=True, **place),
            candidate_rows("spend_lifetime", label, increment, np.round(noise[3] * 3), **place),
            candidate_rows("activity_28d", label, increment, np.round(behaviour + 1.5 * noise[2]), **place),
        ]
    )


def truth_rows(
    n: int = 1500, seed: int = 0, horizon: int = 180, base: float = -3.0, high_base: float = -4.0
) -> pa.Table:
    """The truth of `heldout_rows` of both targets, the increments those of the target `expansion`. Accounts come in
    another order than the held-out rows have, and one more stands there that was not held out."""
    behaviour = np.append(_drawn(n, seed, horizon)[1], 0.0)
    chance, high = _chance(base, behaviour), _chance(high_base, behaviour)
    rows = {name: pa.array(values) for name, values in (("expansion", chance), ("high_value", high))}
    rows |= {"churn": pa.array(0.1 * (1 - chance)), "increment": pa.array(chance * np.exp(4.5))}
    rows |= {f"clairvoyant_{name}": values for name, values in rows.items()}
    names = [f"account-{i:05d}" for i in range(n + 1)]
    days, horizons = pa.array([AS_OF] * (n + 1), pa.date32()), pa.array([horizon] * (n + 1), pa.int16())
    table = pa.table({"account_id": names, "as_of": days, "horizon": horizons, **rows, "uplift": pa.nulls(n + 1)})
    return table.take(pa.array(np.arange(n + 1)[::-1]))


def with_truth(root: Path, *tables: pa.Table) -> Path:
    """A raw folder under `root` that holds the truth; returns the file."""
    path = root / "raw" / "truth.parquet"
    write_table(pa.concat_tables(tables or [truth_rows()]), path)
    return path


def _drawn(n: int, seed: int, horizon: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, horizon])
    return rng, rng.normal(size=n), rng.normal(size=(4, n))


def _chance(base: float, behaviour: np.ndarray) -> np.ndarray:
    chance: np.ndarray = 1 / (1 + np.exp(-(base + 2.0 * behaviour)))
    return chance


def train_document(**changes: Any) -> dict[str, Any]:
    return {
        "trained_as_of": "2025-12-31",
        "data_fingerprint": "d" * 64,
        "fingerprint": "f" * 64,
        "bundle_id": "b" * 64,
        "currency": "USD",
        "default_horizon": 180,
        "horizons": [90, 180, 270, 360],
        "population": {"in": 1500, "out": {"internal": 3, "too_young": 20}},
        "origins": [{"as_of": "2025-06-01", "horizons": [90, 180]}],
        "positives": {"expansion_180": 200},
        "gain": [{"feature": "users_28d", "share": 0.31}, {"feature": "events_28d", "share": 0.2}],
        "params": {
            "train": {"seed": 11},
            "labels": {"held_days": 30},
            "tiers": {
                "currency": "USD",
                "ladder": [{"name": "trial", "floor": 0}, {"name": "team", "floor": 150}],
                "high_value": "team",
            },
        },
        "seconds": {"fit": 2.5},
        **changes,
    }


def audited(bundle_id: str, **failed: str) -> dict[str, Any]:
    """leaks.json of an audit in which the probes named in `failed` failed, each with its sentence."""
    probes = {"future_rows": "No feature changes a bit.", "shuffled_labels": "Mean ROC-AUC is 0.5010.", **failed}
    asked = [
        {"name": name, "passed": name not in failed, "value": 0.0, "bound": 0.0, "sentence": sentence}
        for name, sentence in probes.items()
    ]
    return {"schema_version": 1, "bundle_id": bundle_id, "passed": not failed, "probes": asked}


def trained(root: Path, heldout: pa.Table | None = None, **train: Any) -> Workspace:
    """A workspace as the train stage leaves it, with a leak audit that passed."""
    workspace = Workspace(root)
    artifacts = workspace.artifacts
    artifacts.mkdir(parents=True, exist_ok=True)
    write_table(heldout_rows() if heldout is None else heldout, artifacts / "heldout.parquet")
    rule = rule_scorer(DEFINITIONS, (90, 180), 180, "this is a test")
    card = rule.card | {"trained": train, "rows": (heldout or heldout_rows()).num_rows}
    document = train_document(**{"bundle_id": replace(rule, card=card).save(artifacts / "candidate"), **train})
    (artifacts / "train.json").write_text(json.dumps(document))
    (artifacts / "leaks.json").write_text(json.dumps(audited(document["bundle_id"])))
    return workspace
