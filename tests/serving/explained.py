"""Releases by a real model over made-up features: what a night leaves behind, without a warehouse."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa

from models.scorer import Scorer
from serving import release
from serving.batch import ScoreParams, _counts, rank
from serving.scoring import Here
from serving.why import Explained

JUMPED = "a00007"


def night(workspace: Path, bundle: Path, features: pa.Table, as_of: date) -> release.Release:
    """A release of `features` by `bundle`, as the batch makes it but for the warehouse."""
    features = features.set_column(1, "as_of", pa.array([as_of] * len(features), pa.date32()))
    scorer, tonight = Scorer.load(bundle), Here(features)
    scores, kept = tonight.scored(scorer, bundle)
    assert kept is not None
    about = pa.table({name: [None] * len(scores) for name in ("owner", "channel", "country", "industry")})
    params = ScoreParams()
    table = rank(scores, about, params.bands, 180)
    run = {
        "as_of": as_of.isoformat(),
        "bundle_id": scorer.bundle_id,
        "method": "model",
        "accounts": len(table),
        "bands": _counts(table, "band"),
        "band_floors": params.bands,
        "capacity": params.capacity,
    }
    explained = Explained(kept, scorer.card["currency"], tonight.explained)
    folder = release.write(workspace / "releases", table, bundle, run, explained=explained)
    return release.open_release(folder)


def with_values(features: pa.Table, account: str, **values: float) -> pa.Table:
    row = features["account_id"].to_pylist().index(account)
    for name, value in values.items():
        column = features[name].to_pylist()
        column[row] = value
        features = features.set_column(features.column_names.index(name), name, pa.array(column, pa.float64()))
    return features
