"""Measures the product against the bars it set itself and writes docs/results.md, and README's block of results:
`python -m benchmarks.results`.

Every vendor is simulated (or read), ingested, trained on and evaluated by the product itself in a folder that is
removed afterwards. The figures of a finished run lie in --keep DIR, one JSON each, and are not computed again, so a
killed command continues where it stopped. Delete one to repeat it; after a change of the product delete all of them.
`--page-only` rewrites page and block from docs/results/results.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.bars import PLAIN, mean, of_world
from benchmarks.one_run import HORIZON, ROOT, run_real, run_world
from benchmarks.pages import with_block
from benchmarks.results_bars import Document, around, spread, table
from benchmarks.results_page import beside_ridge, page
from benchmarks.results_plots import draw
from benchmarks.results_real import kept, why
from models.baselines import RULES
from training.grade import UNSHOWN
from training.heldout import CEILING, CHAMPION, words
from warehouse.store import write_json

WORLDS = ("plain", "nonlinear", "drift", "faulty", "null", "tiny")
REAL = ("online_retail_ii", "free_to_paid_365", "ravenstack")
FIRST_SEED = 7
KEPT = ROOT / "docs" / "results"
README = ROOT / "README.md"
IN_README = (CHAMPION, "logistic", "activity_28d", "spend_lifetime")
FIGURES = {"roc_auc": ("ROC-AUC", ".3f"), "pr_auc": ("PR-AUC", ".3f"), "lift_10": ("lift at 10 %", ".1f"),
           "revenue_captured_10": ("money in the top 10 %", ".0%")}  # fmt: skip
TITLES = {"online_retail_ii": "Online Retail II (a wholesaler)", "ravenstack": "RavenStack"}
Work = tuple[str, Callable[..., dict[str, Any]], tuple[Any, ...]]  # name of a run, what makes it, of what


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=5, help="of every world")
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
        write_json(measured(asked), source)
    document = json.loads(source.read_text(encoding="utf-8"))
    draw(document, KEPT)
    (ROOT / "docs" / "results.md").write_text(page(document), encoding="utf-8")
    README.write_text(with_results(README.read_text(encoding="utf-8"), document), encoding="utf-8")
    log(f"written: {ROOT / 'docs' / 'results.md'} and the results in {README}")


def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """The document of all runs, those kept and those made now."""
    asked.keep.mkdir(parents=True, exist_ok=True)
    seeds = range(FIRST_SEED, FIRST_SEED + asked.seeds)
    worlds = [(world, asked.accounts, seed) for world in asked.worlds.split(",") for seed in seeds]
    names = ["-".join(map(str, one)) for one in worlds]
    work: list[Work] = [(name, run_world, args) for name, args in zip(names, worlds, strict=True)]
    real = [name for name in asked.real.split(",") if name]
    work += [(name, run_real, (name, asked.data)) for name in real if (asked.data / name).is_dir()]
    missing, commit = [item for item in work if not (asked.keep / f"{item[0]}.json").exists()], code_state()
    log(f"{len(work)} runs, {len(work) - len(missing)} of them kept in {asked.keep}; this is {commit}")
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting: dict[Future[float], str] = {pool.submit(once, asked.keep, commit, *item): item[0] for item in missing}
        for number, done in enumerate(as_completed(waiting), start=1):
            log(f"{waiting[done]} ({number} of {len(waiting)}): {done.result():.0f} s")
    kept = {name: json.loads((asked.keep / f"{name}.json").read_text(encoding="utf-8")) for name, *_ in work}
    skipped = {"skipped": "data not here"}
    return {
        "schema_version": 1,
        "runs": [kept[name] for name in names],
        "real": [kept.get(name, {"name": name, **skipped}) for name in real],
    }


def code_state() -> str:
    """The commit of this code, `-dirty` behind it where files differ from it; `unknown` outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


def once(keep: Path, commit: str, name: str, run: Callable[..., dict[str, Any]], args: tuple[Any, ...]) -> float:
    """Makes one run and keeps its figures and the commit, whole or not at all; returns its seconds."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        figures = {"commit": commit, **run(*args, Path(folder))}
    write_json(figures, keep / f"{name}.json")
    return time.perf_counter() - started


def with_results(readme: str, document: Document) -> str:
    """README with a new block between its marks."""
    return with_block(readme, "results", readme_block(document), README.name)


def readme_block(document: Document) -> str:
    """One row for each data set and outcome, and the figures in words; nothing that does not follow from them."""
    plain = of_world(document, PLAIN)
    reals = [one for one in document["real"] if "results" in one]
    rows = [_plain_row(plain)] if plain else []
    rows += [_row(one, target, by) for one in reals for target, by in _by_outcome(one).items()]
    head = ["data, outcome in 180 days, scored as of", "moved", "grade", *(words(name) for name in IN_README)]
    said = [_of_plain(plain)] if plain else []
    said += [_of_real(one) for one in reals]
    blocks = [
        _filled(
            "Each cell gives ROC-AUC, then the share of the money gained that the top 10 % of the accounts hold, at "
            "dates that no training label reaches. Square brackets: 95 % interval, accounts resampled; round brackets: "
            "lowest and highest seed. All candidates, more figures and every bar, reached or not: "
            "[docs/results.md](docs/results.md) (`make results`)."
        ),
        table(head, rows, (3,)),
        "\n".join(_filled(one, "- ") for one in said),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _filled(text: str, mark: str = "") -> str:
    indent = " " * len(mark)
    return textwrap.fill(mark + text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _plain_row(plain: Sequence[Mapping[str, Any]]) -> list[str]:
    dates = sorted({day for run in plain for day in run["dates"]})
    group = [run["groups"]["all"] for run in plain]
    cells = [
        "; ".join(
            spread(plain, lambda runs, n=name, f=figure: mean(runs, "all", n, f), FIGURES[figure][1])
            for figure in ("roc_auc", "revenue_captured_10")
        )
        for name in IN_README
    ]
    return [
        f"simulated vendor, world `{PLAIN}`, {len(plain)} {'seed' if len(plain) == 1 else 'seeds'}: `expansion`, "
        f"{len(dates)} dates to {dates[-1]}",
        f"{sum(one['positives'] for one in group):,} of {sum(one['n'] for one in group):,}",
        ", ".join(dict.fromkeys(run["grade"]["word"] for run in plain)),
        *cells,
    ]


def _by_outcome(one: Document) -> dict[str, dict[str, Document]]:
    """Outcome -> candidate -> its row."""
    out: dict[str, dict[str, Document]] = {}
    for row in kept(one):
        out.setdefault(row["target"], {})[row["candidate"]] = row
    return out


def _row(one: Document, target: str, by: Mapping[str, Document]) -> list[str]:
    own = by[CHAMPION]
    cells = [
        "; ".join(around(by[name], figure, FIGURES[figure][1]) for figure in ("roc_auc", "revenue_captured_10"))
        if name in by
        else "-"
        for name in IN_README
    ]
    grade = one["grade"]["word"] if target == "expansion" else "-"
    within = "" if own["horizon"] == HORIZON else f" in {own['horizon']} days"
    what = f"{_title(one)}: `{target}`{within}, {own['as_of']}"
    return [what, f"{own['positives']:,} of {own['n']:,}", grade, *cells]


def _title(one: Document) -> str:
    return TITLES.get(one["name"], str(one["name"]))


def _of_plain(plain: Sequence[Mapping[str, Any]]) -> str:
    def shown(name: str) -> str:
        return " and ".join(f"{mean(plain, 'all', name, figure):.3f}" for figure in ("roc_auc", "pr_auc"))

    return (
        f"Simulated vendor: without luck, no honest score exceeds a ROC-AUC and PR-AUC of {shown(CEILING)}. The model "
        f"has {shown(CHAMPION)}, the ridge {shown('logistic')}. {beside_ridge(plain)}".rstrip()
    )


def _of_real(one: Document) -> str:
    """The grade's own reasons where there is no skill, else by which figures the model leads."""
    grade, outcomes = one["grade"], _by_outcome(one)
    looked = f"{grade['word']} ({grade['positives']:,} moves at {grade['origins']} dates)"
    if grade["word"] in UNSHOWN:
        return f"{_title(one)}: {looked}, so a rule of thumb is served. {why(one)}"
    said = [f"{_title(one)}: {looked}.", *(_leads(target, by) for target, by in outcomes.items())]
    checked = outcomes.get("moved_up", {})
    if "expansion_score" in checked and "spend_lifetime" in checked:
        score, spend = checked["expansion_score"], checked["spend_lifetime"]
        money = [f"{row['revenue_captured_10']:.0%}" for row in (score, spend)]
        level = " (level)" if money[0] == money[1] else ""
        said.append(
            f"The score that the product serves ranks `moved_up` with ROC-AUC {around(score, 'roc_auc', '.3f')}; its "
            f"top 10 % hold {money[0]} of the money, lifetime spend's {money[1]}{level}."
        )
    return " ".join(said)


def _leads(target: str, by: Mapping[str, Document]) -> str:
    """The figures, as they are shown, by which the model stands above ridge and every rule of thumb, and the others."""
    rivals = [by[name] for name in ("logistic", *RULES) if name in by]
    above: dict[bool, list[str]] = {True: [], False: []}
    for figure, (name, spec) in FIGURES.items():
        own, best = by[CHAMPION][figure], max(row[figure] for row in rivals)
        above[own > best and f"{own:{spec}}" != f"{best:{spec}}"].append(name)
    but = f", not in {_listed(above[False], 'or')}" if above[False] and above[True] else ""
    return (
        f"On `{target}` the model is above the ridge and every rule of thumb in "
        f"{_listed(above[True], 'and') or 'nothing'}{but}."
    )


def _listed(names: Sequence[str], last: str) -> str:
    return f" {last} ".join([part for part in (", ".join(names[:-1]), *names[-1:]) if part])


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
