"""How long reasons for 100,000 accounts take with the bundle of a workspace, and whether they add up.

`python benchmarks/reasons.py --workspace DIR [--bundle DIR] [--accounts N] [--json FILE]`

Rows are the workspace's own training snapshots, repeated up to N with every numeric cell nudged by up to 1 %, so that
no value is worded from memory more often than among real accounts. predict: the raw scores of the same rows by the
same boosters, for the ratio. explain: exact TreeSHAP of the explained log-odds against peers. tell: sentences as JSON.
additivity: the largest difference between a row's contributions and its log-odds less those of its peers.
The bar: explain and tell within 10 minutes on 2 cores, additivity below 1e-6.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from features.catalogue import CATALOGUE
from models.peers import age_band
from models.reasons import summary, tell
from models.scorer import Scorer
from warehouse.store import read_table

BAR_SECONDS, BAR_ADDITIVITY = 600.0, 1e-6


def accounts(snapshots: pa.Table, n: int) -> pa.Table:
    """`n` feature rows made of `snapshots`, their numbers nudged; nulls, zeros and categories stay."""
    rng = np.random.default_rng(0)
    table = snapshots.take(pa.array(np.arange(n) % snapshots.num_rows)).combine_chunks()
    for feature in CATALOGUE:
        if not feature.category and feature.name not in ("tier", "tenure_days"):
            values = np.asarray(table[feature.name].to_numpy(zero_copy_only=False), dtype=np.float64)
            nudged = pa.array(values * rng.uniform(0.99, 1.01, n), from_pandas=True)
            table = table.set_column(table.column_names.index(feature.name), feature.name, nudged)
    return table


def measure(scorer: Scorer, table: pa.Table) -> dict[str, Any]:
    started = time.perf_counter()
    scorer.explained.raw(scorer.encoding.matrix(table))
    predicted = time.perf_counter()
    explanation = scorer.explain(table)
    assert explanation is not None, "a rule gives no reasons to measure"
    explained = time.perf_counter()
    told = tell(explanation.centred, table, scorer.peers, scorer.card["currency"])
    ended = time.perf_counter()
    peers = np.array(scorer.peers.log_odds)[age_band(table)]
    gap = explanation.centred.sum(axis=1) - (explanation.log_odds - peers)
    return {
        "bundle_id": scorer.bundle_id,
        "accounts": table.num_rows,
        "trees": {name: booster.num_trees() for name, booster in scorer.boosters.items()},
        "seconds": {
            "predict": round(predicted - started, 2),
            "explain": round(explained - predicted, 2),
            "tell": round(ended - explained, 2),
        },
        "reasons_an_account": round(sum(len(json.loads(line)) for line in told) / len(told), 2),
        "additivity": float(np.abs(gap).max()),
        "within_bars": bool(ended - predicted <= BAR_SECONDS and np.abs(gap).max() < BAR_ADDITIVITY),
        "summary": summary(explanation.centred)["families"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds for the reasons of many accounts.")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, help="default: artifacts/candidate of the workspace")
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    artifacts = args.workspace / "artifacts"
    scorer = Scorer.load(args.bundle or artifacts / "candidate")
    said = measure(scorer, accounts(read_table(artifacts / "features.parquet"), args.accounts))
    text = json.dumps(said, indent=1)
    if args.json is not None:
        args.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
