"""The table of worlds: how hard each is, and what share of the ceiling rules of thumb reach there. What the model
reaches is in docs/results.md.

`python -m benchmarks.worlds [--accounts N] [--worlds plain,null] [--json]`: each world is simulated, ingested, trained
on and evaluated by the product itself in a folder of its own, which is removed. Expansion in 180 days at the newest
origin whose labels are complete. `faulty` is ingested with a looser limit on rows in a second currency: by default the
product stops at them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.one_run import LOOSER
from simulator.simulate import SimulateParams, simulate
from simulator.worlds import WORLDS
from training.metrics import pr_auc_of, roc_auc_of
from training.pipeline import train_and_register
from training.ranking import Ladder, Ranking
from warehouse.ingest import IngestParams, ingest_stage
from warehouse.params import read_params, section
from warehouse.store import Workspace

ROOT = Path(__file__).parents[1]
TARGET, HORIZON = "expansion", 180
SHARES = {"activity_28d": "activity", "recency": "recency", "spend_lifetime": "spend"}


def judged(world: str, accounts: int, root: Path) -> dict[str, Any]:
    """Figures of one world; `shares`: PR-AUC over the ceiling's."""
    raw, workspace = root / "raw", Workspace(root / "workspace")
    simulate(raw, SimulateParams(world=world, accounts=accounts))
    document = read_params(ROOT / "params.yaml")
    document["ingest"] = document["ingest"] | LOOSER.get(world, {})
    now = datetime.now(UTC)
    ingest_stage(raw, workspace, section(document, "ingest", IngestParams), now)
    train_and_register(workspace, document, "benchmark", lambda: now, raw)
    evaluation = json.loads((workspace.artifacts / "evaluation.json").read_text(encoding="utf-8"))
    rows = {row["candidate"]: row for row in _here(evaluation["results"])}
    shares = {row["candidate"]: row for row in _here(evaluation["share_of_ceiling"])}
    ceiling = rows["ceiling"]
    return {
        "world": world,
        "as_of": ceiling["as_of"],
        **{name: ceiling[name] for name in ("n", "positives", "base_rate", "roc_auc", "pr_auc", "lift_5", "ece")},
        "revenue_captured_5": ceiling["revenue_captured_5"],
        "clairvoyant": _clairvoyant(raw, workspace, ceiling["as_of"]),
        "shares": {name: shares[name]["pr_auc_share"] for name in SHARES if name in shares},
        "beyond_ceiling": [finding["text"] for finding in evaluation["beyond_ceiling"]],
    }


def _here(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if (row["target"], row["horizon"]) == (TARGET, HORIZON)]


def _clairvoyant(raw: Path, workspace: Workspace, as_of: str) -> dict[str, float]:
    """Figures of who also knows the hidden state; accounts that a fault has made count as unknown and drop out."""
    query = f"""
        SELECT clairvoyant_{TARGET} AS score, label FROM '{raw / "truth.parquet"}'
        JOIN '{workspace.artifacts / "predictions.parquet"}' p USING (account_id, as_of, horizon)
        WHERE target = '{TARGET}' AND horizon = {HORIZON} AND as_of = DATE '{as_of}' AND score IS NOT NULL"""
    found = duckdb.connect().execute(query).fetchnumpy()
    score, label = found["score"], found["label"].astype(float)
    ladder = Ladder.of(Ranking.of(score), label)
    return {"roc_auc": float(roc_auc_of(ladder)), "pr_auc": float(pr_auc_of(ladder))}


def markdown(rows: list[dict[str, Any]]) -> str:
    """One line a world."""
    head = ["world", "at risk", "base rate", "ROC-AUC", "PR-AUC", "lift 5 %", "revenue 5 %", "clairvoyant"]
    head += [f"{name} / ceiling" for name in SHARES.values()]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in rows:
        seer = row["clairvoyant"]
        cells = [row["world"], f"{row['n']:,}", f"{row['base_rate']:.1%}", f"{row['roc_auc']:.3f}"]
        cells += [f"{row['pr_auc']:.3f}", f"{row['lift_5']:.1f}", f"{row['revenue_captured_5']:.0%}"]
        cells += [f"{seer['roc_auc']:.3f} / {seer['pr_auc']:.3f}"]
        cells += [f"{row['shares'][name]:.0%}" if name in row["shares"] else "-" for name in SHARES]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--worlds", default=",".join(WORLDS), help="names, separated by commas")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    for world in asked.worlds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(judged(world, asked.accounts, Path(folder)))
    print(json.dumps(rows, indent=1) if asked.json else markdown(rows))


if __name__ == "__main__":
    main()
