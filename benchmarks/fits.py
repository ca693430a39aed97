"""How long the train stage takes, against the bare calls of lgb.train that it contains; and with a search.

`python -m benchmarks.fits --workspace DIR [--params FILE] [--trials N] [--json FILE]`

DIR is a workspace taken as far as its labels, by `expansion train` or `dvc repro`; its candidate is made anew, twice.
`wall` is the whole stage as shipped: labels as known at an origin, hidden phases, ridges, baselines, predictions,
explanation of peers, files; two things at a time (`models.side_by_side`). `bare` is the wall time of the same fits
called one by one, each with two threads of LightGBM's own and a binning of its own; `ratio` is wall / bare. `shared` is
the same where boosters of the same rows share a binning, as the stage lets them. `packed` is half of what processors
spend on fits where two go on side by side: two cores that did nothing else could not do with less. Without --trials the
search is off. How dear LightGBM's own threads are hangs on OMP_WAIT_POLICY: unset, they spin while they wait; PASSIVE,
as `expansion` sets it, they sleep.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightgbm as lgb
import numpy as np

from features.catalogue import Definitions
from models import boosting, side_by_side
from training.labels import LabelParams
from training.recipe import TrainParams
from training.train import train
from warehouse.params import read_params, section
from warehouse.store import Workspace, read_table


def timed(stage: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], float, list[float]]:
    """What the stage says, its wall time, and the processor time of each call of lgb.train by its thread."""
    spent: list[float] = []
    real = lgb.train

    def call(*args: Any, **kwargs: Any) -> lgb.Booster:
        own = time.thread_time()
        try:
            return real(*args, **kwargs)
        finally:
            spent.append(time.thread_time() - own)

    with patch.object(lgb, "train", call):
        started = time.perf_counter()
        said = stage()
        return said, time.perf_counter() - started, spent


def one_by_one(stage: Callable[[], dict[str, Any]]) -> tuple[float, float, float]:
    """Wall time of the stage where nothing is done beside anything else and no binning is shared; of its fits; and of
    their binnings that would be shared."""
    fits, again = [], []
    binned: list[lgb.Dataset] = []
    real = lgb.train

    def call(chosen: dict[str, Any], rows: lgb.Dataset, **kwargs: Any) -> lgb.Booster:
        started = time.perf_counter()
        own = lgb.Dataset(
            rows.data,
            rows.label,
            weight=rows.weight,
            init_score=rows.init_score,
            feature_name=rows.feature_name,
            categorical_feature=rows.categorical_feature,
            params=chosen,
        ).construct()
        there = time.perf_counter()
        booster = real(chosen, own, **kwargs)
        fits.append(time.perf_counter() - started)
        if binned[-1:] == [rows]:
            again.append(there - started)
        binned[:] = [rows]
        return booster

    def in_turn(*_: object, **__: object) -> side_by_side.InTurn:
        return side_by_side.InTurn()

    two = patch.dict(boosting.FIXED, num_threads=side_by_side.THREADS)
    with patch.object(lgb, "train", call), patch.object(side_by_side, "ThreadPoolExecutor", in_turn), two:
        started = time.perf_counter()
        stage()
        return time.perf_counter() - started, sum(fits), sum(again)


def measured(workspace: Workspace, document: dict[str, Any], trials: int) -> dict[str, Any]:
    """Seconds and counts of the stage, run twice.

    Raises:
        RuntimeError: held-out probabilities of the two runs differ by more than rounding.
    """
    params = section(document, "train", TrainParams)
    params = params.model_copy(update={"search": params.search.model_copy(update={"trials": trials})})

    def stage() -> dict[str, Any]:
        return train(workspace, Definitions.from_params(document), section(document, "labels", LabelParams), params)

    def heldout() -> np.ndarray:
        return read_table(workspace.artifacts / "heldout.parquet", ["probability"])["probability"].to_numpy()

    said, wall, spent = timed(stage)
    together = heldout()
    wall_in_turn, bare, again = one_by_one(stage)
    if not np.allclose(together, heldout(), rtol=1e-9, atol=1e-12, equal_nan=True):
        raise RuntimeError("fits: side by side and one by one, the stage says different probabilities.")
    packed = sum(spent) / side_by_side.THREADS
    return {
        "snapshots": read_table(workspace.artifacts / "features.parquet", ["account_id"]).num_rows,
        "origins": len(said["origins"]),
        "trials": len(said["search"]),
        "fits": len(spent),
        "wall_seconds": round(wall, 1),
        "bare_seconds": round(bare, 1),
        "ratio": round(wall / bare, 2),
        "shared_seconds": round(bare - again, 1),
        "wall_over_shared": round(wall / (bare - again), 2),
        "wall_one_by_one_seconds": round(wall_in_turn, 1),
        "packed_seconds": round(packed, 1),
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
