"""How long a night takes once its features are there: scores and reasons of 100,000 accounts, in one run.

`python -m benchmarks.night [--workspace DIR] [--accounts N] [--repeats N] [--page] [--json FILE]`

Rows are the workspace's own training snapshots, repeated up to N with every numeric cell nudged by up to 1 % (as in
benchmarks/reasons.py). By turns, so that a noisy neighbour meets both:

floor    the raw `Booster.predict` calls that these scores need, on a matrix that is there already: every booster of
         each hazard once an interval, that of the amount once
scores   the product's own `Scorer.score` without its sentences: feature table to matrix, hazards, calibration, chances
         by horizon, increments and ranges; then ranks, percentiles and bands
write    the scores as Parquet, and as the SQLite file that is served
reasons  exact TreeSHAP of the explained log-odds against peers, and the sentences as JSON, once, in a process of its
         own that reads the rows, explains, scores and writes as a night does; memory is its peak resident set

The bar of the ratio was set for a million accounts; it is told of N, for floor and scores both grow with the rows.
Without --workspace a vendor is simulated and trained first. --page puts the table into docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from benchmarks.answers import conditions
from benchmarks.reasons import accounts
from benchmarks.results_bars import table
from benchmarks.vendor import ROOT, hand_out, published
from models.files import boosters_of
from models.hazard import STARTS
from models.reasons import Explanation, tell
from models.scorer import Scorer
from models.side_by_side import threads
from serving.batch import ACCOUNT_COLUMNS, ScoreParams, floors, rank
from serving.database import CHANGE_COLUMNS, write_database
from serving.why import keep
from warehouse.scratch import scratch
from warehouse.store import Workspace, read_table, write_table

BAR_RATIO, BAR_REASONS, BAR_MIB = 1.5, 600.0, 4096


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def vendor_of(snapshots: pa.Table, n: int) -> pa.Table:
    """`n` feature rows, each of an account of its own."""
    rows = accounts(snapshots, n)
    place = rows.column_names.index("account_id")
    return rows.set_column(place, "account_id", pa.array([f"a{number:07d}" for number in range(n)]))


def floor(scorer: Scorer, rows: np.ndarray) -> None:
    """What LightGBM itself must do for these scores. `rows`: the matrix, and a last column for the interval."""
    for hazard in scorer.hazards.values():
        for start in STARTS:
            rows[:, -1] = start
            for booster in boosters_of(hazard):
                booster.predict(rows, num_threads=threads(), raw_score=True)
    if scorer.amount.booster is not None:
        scorer.amount.booster.predict(rows[:, :-1], num_threads=threads())


def scores(scorer: Scorer, features: pa.Table) -> pa.Table:
    """The scores, without reasons."""
    nothing = Explanation(np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0)))

    def silent(*_: object) -> list[str]:
        return ["[]"] * features.num_rows

    with patch("models.scorer.tell", silent):
        return scorer.score(features, nothing)


def ranked(scorer: Scorer, made: pa.Table) -> pa.Table:
    about = pa.table({name: pa.nulls(made.num_rows, pa.string()) for name in ACCOUNT_COLUMNS})
    return rank(made, about, floors(scorer.card, ScoreParams()), int(scorer.card["default_horizon"]))


def write(made: pa.Table, folder: Path) -> None:
    """Both files; nobody has moved since the night before."""
    write_table(made, folder / "scores.parquet")
    (folder / "scores.sqlite").unlink(missing_ok=True)
    unmoved = dict.fromkeys(made["account_id"].to_pylist(), (None,) * len(CHANGE_COLUMNS))
    write_database(made, unmoved, folder / "scores.sqlite")


def measure(bundle: Path, features: pa.Table, repeats: int) -> dict[str, Any]:
    scorer = Scorer.load(bundle)
    rows = np.column_stack([scorer.encoding.matrix(features), np.zeros(features.num_rows)])
    found: dict[str, Any] = {
        "conditions": conditions(),
        "accounts": features.num_rows,
        "features": len(scorer.encoding.names),
        "learner": scorer.card.get("learner"),
        "boosters": {name: booster.num_trees() for name, booster in scorer.boosters.items()},
    }
    taken: dict[str, list[float]] = {"floor": [], "scores": [], "rank": [], "write": []}
    spent = {"floor": 0.0, "scores": 0.0}
    made: dict[str, pa.Table] = {}

    def score() -> None:
        made["scores"] = scores(scorer, features)

    def order() -> None:
        made["ranked"] = ranked(scorer, made["scores"])

    with scratch("bench") as folder:
        for _ in range(repeats):
            began = time.process_time()
            taken["floor"].append(timed(lambda: floor(scorer, rows)))
            between = time.process_time()
            taken["scores"].append(timed(score))
            taken["rank"].append(timed(order))
            spent["floor"] += between - began
            spent["scores"] += time.process_time() - between
            taken["write"].append(timed(lambda: write(made["ranked"], folder)))
            print({name: round(each[-1], 2) for name, each in taken.items()}, file=sys.stderr, flush=True)
    ratios = [(s + r) / f for f, s, r in zip(taken["floor"], taken["scores"], taken["rank"], strict=True)]
    written = [ratio + w / f for ratio, w, f in zip(ratios, taken["write"], taken["floor"], strict=True)]
    found["seconds"] = {name: round(statistics.median(each), 2) for name, each in taken.items()}
    found["ratio"] = [round(value, 2) for value in (statistics.median(ratios), min(ratios), max(ratios))]
    found["ratio_processor"] = round(spent["scores"] / spent["floor"], 2)
    found["ratio_written"] = [round(value, 2) for value in (statistics.median(written), min(written), max(written))]
    return found


def whole(bundle: Path, rows: Path) -> dict[str, float]:
    """What this process takes for all that a night does with feature rows, its reasons timed; peak MiB."""
    scorer, features = Scorer.load(bundle), read_table(rows)
    started = time.perf_counter()
    explanation = scorer.explain(features)
    assert explanation is not None, "a rule gives no reasons to measure"
    explained = time.perf_counter()
    tell(explanation.centred, features, scorer.peers, scorer.card["currency"])
    told = time.perf_counter()
    made, kept = scorer.score(features, explanation), keep(features, explanation)
    with scratch("bench") as folder:
        write(ranked(scorer, made), folder)
        write_table(kept, folder / "contributions.parquet")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"explain_s": round(explained - started, 1), "tell_s": round(told - explained, 1), "peak_mib": peak}


def run(workspace: Workspace, bundle: Path | None, n: int, repeats: int) -> dict[str, Any]:
    bundle = bundle or workspace.releases / "current" / "bundle"
    features = vendor_of(read_table(workspace.artifacts / "features.parquet"), n)
    found = measure(bundle, features, repeats)
    with scratch("bench") as folder:
        write_table(features, folder / "rows.parquet")
        del features
        command = [
            sys.executable,
            "-m",
            "benchmarks.night",
            "--one",
            str(folder / "rows.parquet"),
            "--bundle",
            str(bundle),
        ]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    found["reasons"] = json.loads(done.stdout)
    found["conditions"]["load_after"] = round(os.getloadavg()[0], 2)
    return found


def block(found: dict[str, Any]) -> str:
    """The section of docs/scale.md: a table, and which bars are reached, in words that follow from the figures."""
    took, reasons, about = found["seconds"], found["reasons"], found["conditions"]
    all_reasons = reasons["explain_s"] + reasons["tell_s"]

    def spread(value: list[float]) -> str:
        return f"{value[0]:.2f} ({value[1]:.2f}, {value[2]:.2f})"

    rows = [
        ["floor: the raw `Booster.predict` calls", f"{took['floor']:.1f} s", "1"],
        [
            "**scores: matrix, hazards, calibration, increments, rank, band** (bar: 1.5)",
            f"{took['scores'] + took['rank']:.1f} s",
            f"**{spread(found['ratio'])}**",
        ],
        ["the same, and both files written", "{:.1f} s".format(took["scores"] + took["rank"] + took["write"]),
         spread(found["ratio_written"])],
        [f"reasons: TreeSHAP {reasons['explain_s']:.0f} s, sentences {reasons['tell_s']:.0f} s (bar: 600 s)",
         f"{all_reasons:.0f} s", ""],
        ["peak memory, all of it in one process (bar: 4 GiB)", f"{reasons['peak_mib'] / 1024:.1f} GiB", ""],
    ]  # fmt: skip
    told = {
        f"scores within {BAR_RATIO} times the floor": found["ratio"][0] <= BAR_RATIO,
        "reasons within 10 minutes": all_reasons <= BAR_REASONS,
        "peak memory under 4 GiB": reasons["peak_mib"] < BAR_MIB,
    }
    reached, missed = ([name for name, good in told.items() if good is wanted] for wanted in (True, False))
    model = (
        f"{len(found['boosters'])} boosters, {sum(found['boosters'].values()):,} trees, {found['features']} features"
    )
    words = (
        f"*{about['cores']} cores, load {about['load_before']:.1f} before the start, {about['load_after']:.1f} after "
        f"the end; {model}; medians, with the lowest and the highest ratio of a turn.* In processor time, which hangs "
        f"least on what else the machine does, the scores take {found['ratio_processor']:.2f} times the floor. The bar "
        "of 1.5 is meant for a million accounts, which was not run: both sides grow with the rows. "
        f"Bars reached: {'; '.join(reached) or 'none'}. Not reached: {'; '.join(missed) or 'none'}."
    )
    filled = textwrap.fill(words, 120, break_long_words=False, break_on_hyphens=False)
    head = [f"{found['accounts']:,} accounts", "", "over the floor"]
    return f"{table(head, rows)}\n\n{filled}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, help="of a trained vendor; absent: one is made for the run")
    parser.add_argument("--bundle", type=Path, help="default: that of the live release")
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true", help="put the table into docs/scale.md")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(whole(options.bundle, options.one)))
        return
    with published(options.workspace, 12_000) as workspace:
        found = run(workspace, options.bundle, options.accounts, options.repeats)
    hand_out(found, block(found), "night", options.json, options.page)


if __name__ == "__main__":
    main()
