"""Measures the product against the bars it set itself and writes docs/results.md: `python -m benchmarks.results`.

Every vendor is simulated (or read), ingested, trained on and evaluated by the product itself in a folder that is
removed afterwards. The figures of a run that is done lie in --keep DIR, one JSON each, and are not made again, so a
killed command goes on where it was. Delete one to repeat it, all of them after a change of the product. `--page-only`
makes the page anew from docs/results/results.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.one_run import ROOT, run_real, run_world
from benchmarks.results_page import page
from benchmarks.results_plots import draw

WORLDS = ("plain", "nonlinear", "drift", "faulty", "null", "tiny")
REAL = ("online_retail_ii", "free_to_paid_365", "ravenstack")
FIRST_SEED = 7
KEPT = ROOT / "docs" / "results"
Work = tuple[str, Callable[..., dict[str, Any]], tuple[Any, ...]]  # name of a run, what makes it, of what


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=5, help="of the world plain; the others are run on one")
    parser.add_argument("--worlds", default=",".join(WORLDS), help="names, separated by commas")
    parser.add_argument("--real", default=",".join(REAL), help="data sets, separated by commas; empty for none")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "results", help="where runs that are done lie")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--page-only", action="store_true", help="the page and its pictures from results.json")
    asked = parser.parse_args()
    source = KEPT / "results.json"
    if not asked.page_only:
        KEPT.mkdir(parents=True, exist_ok=True)
        source.write_text(json.dumps(measured(asked), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    document = json.loads(source.read_text(encoding="utf-8"))
    draw(document, KEPT)
    (ROOT / "docs" / "results.md").write_text(page(document), encoding="utf-8")
    log(f"written: {ROOT / 'docs' / 'results.md'}")


def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """The document of all runs, those kept and those made now."""
    asked.keep.mkdir(parents=True, exist_ok=True)
    seeds = {w: range(FIRST_SEED, FIRST_SEED + (asked.seeds if w == "plain" else 1)) for w in asked.worlds.split(",")}
    names = [f"{world}-{asked.accounts}-{seed}" for world, some in seeds.items() for seed in some]
    worlds = [(world, asked.accounts, seed) for world, some in seeds.items() for seed in some]
    work: list[Work] = [(name, run_world, args) for name, args in zip(names, worlds, strict=True)]
    real = [name for name in asked.real.split(",") if name]
    work += [(name, run_real, (name, asked.data)) for name in real if (asked.data / name).is_dir()]
    missing = [item for item in work if not (asked.keep / f"{item[0]}.json").exists()]
    log(f"{len(work)} runs, {len(work) - len(missing)} of them kept in {asked.keep}")
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting: dict[Future[float], str] = {pool.submit(once, asked.keep, *item): item[0] for item in missing}
        for number, done in enumerate(as_completed(waiting), start=1):
            log(f"{waiting[done]} ({number} of {len(waiting)}): {done.result():.0f} s")
    kept = {name: json.loads((asked.keep / f"{name}.json").read_text(encoding="utf-8")) for name, *_ in work}
    skipped = {"skipped": "data not here"}
    return {
        "schema_version": 1,
        "runs": [kept[name] for name in names],
        "real": [kept.get(name, {"name": name, **skipped}) for name in real],
    }


def once(keep: Path, name: str, run: Callable[..., dict[str, Any]], args: tuple[Any, ...]) -> float:
    """Makes one run and keeps its figures, whole or not at all; returns its seconds."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        figures = run(*args, Path(folder))
    partial = keep / f".{name}.partial"
    partial.write_text(json.dumps(figures, allow_nan=False), encoding="utf-8")
    partial.replace(keep / f"{name}.json")
    return time.perf_counter() - started


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
