"""How long the train stage takes, against the bare calls of lgb.train that it contains; and with a search.

`python -m benchmarks.fits --workspace DIR [--params FILE] [--trials N] [--json FILE]`

DIR is a workspace taken as far as its labels, by `expansion train` or `dvc repro`; its candidate is made anew. `bare`
is the wall time inside lgb.train, where the boosters are fitted; `wall` that of the whole stage: labels as known at an
origin, ridges, baselines, predictions, explanation of peers, files. `ratio` is wall / bare. Without --trials the search
is off.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import lightgbm as lgb

from features.catalogue import Definitions
from training.labels import LabelParams
from training.recipe import TrainParams
from training.train import train
from warehouse.params import read_params, section
from warehouse.store import Workspace, read_table


def measured(workspace: Workspace, document: dict[str, Any], trials: int) -> dict[str, Any]:
    """Seconds and counts of one run of the stage."""
    params = section(document, "train", TrainParams)
    params = params.model_copy(update={"search": params.search.model_copy(update={"trials": trials})})
    bare: list[float] = []
    real = lgb.train

    def timed(*args: Any, **kwargs: Any) -> lgb.Booster:
        started = time.perf_counter()
        try:
            return real(*args, **kwargs)
        finally:
            bare.append(time.perf_counter() - started)

    lgb.train = timed
    started = time.perf_counter()
    try:
        labels = section(document, "labels", LabelParams)
        said = train(workspace, Definitions.from_params(document), labels, params)
    finally:
        lgb.train = real
    wall = time.perf_counter() - started
    return {
        "snapshots": read_table(workspace.artifacts / "features.parquet", ["account_id"]).num_rows,
        "origins": len(said["origins"]),
        "trials": len(said["search"]),
        "fits": len(bare),
        "wall_seconds": round(wall, 1),
        "bare_seconds": round(sum(bare), 1),
        "ratio": round(wall / sum(bare), 2),
        "learner": said["learner"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the train stage against the fits it contains.")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--params", type=Path)
    parser.add_argument("--trials", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    said = json.dumps(measured(Workspace(args.workspace), read_params(args.params), args.trials), indent=1)
    print(said)
    if args.json:
        args.json.write_text(said + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
