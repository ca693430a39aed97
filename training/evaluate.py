"""Judges the candidate on rows it never saw: every figure beside every baseline, with intervals, a grade and pictures.

Stage `evaluate`: reads `artifacts/heldout.parquet` and `artifacts/train.json`; writes `artifacts/evaluation.json`,
`predictions.parquet`, `model_card.md` and `plots/*.png`. Equal inputs give equal bytes. Where a raw folder with a
simulator's truth is given, the truth stands among the candidates as the ceiling.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from training import metrics
from training.bootstrap import LEVEL, Scored, bootstrap
from training.ceiling import ceiling_document, truth_figures, truth_in, with_ceiling
from training.grade import NOTHING_HELD_OUT, Evidence, grade
from training.heldout import CEILING, CHAMPION, COLUMNS, HeldOut, read_heldout, read_train, words
from training.measured import Measured, pair, written
from warehouse.params import Section, read_params, section
from warehouse.progress import stage
from warehouse.store import Workspace, write_table

SCHEMA_VERSION = 1
TARGET = "expansion"  # the product's own target, which the grade and the headline speak of
CALLED = 10  # per cent of the accounts called in the headline sentence
LIFETIME = "spend_lifetime"  # the rule of thumb that the headline is held against, where it stands in the table
# resampling only adds to an absolute gap, and no chance of outcomes is in a divergence: an interval would mislead
WITHOUT_INTERVAL = ("ece", "kl_to_truth")
COMPARED = ("roc_auc", "pr_auc", "lift_10", "revenue_captured_10", "brier_skill", "log_loss")
PREDICTIONS = (
    *("account_id", "as_of", "target", "horizon", "probability"),
    *("expected_increment", "label", "increment", "origin"),
)


class EvaluateParams(Section):
    """`bootstrap`: replicates of every interval, drawn from `seed`."""

    bootstrap: int = Field(default=300, ge=10)
    seed: int = 5


def evaluate(workspace: Workspace, params: EvaluateParams, truth: Path | None = None) -> dict[str, Any]:
    """Runs the stage and returns what it wrote to evaluation.json. `truth`: the simulator's, where `truth_in` expects
    it; without a file there, there is no ceiling.

    Raises:
        HeldOutBroken: what the train stage left breaks its contract; nothing is written then.
        TruthBroken: the truth breaks its own, or is not that of the held-out rows; likewise.
    """
    from training.card import write_card
    from training.plots import draw

    artifacts = workspace.artifacts
    train = read_train(artifacts / "train.json")
    ladder = train.get("params", {}).get("tiers", {}).get("ladder", [])
    floors = [float(tier["floor"]) for tier in ladder]
    heldout = with_ceiling(read_heldout(artifacts / "heldout.parquet"), truth, floors)
    tables = [measure(rows, params) for rows in heldout]
    document = _document(tables, train, params)
    write_table(predictions(heldout), artifacts / "predictions.parquet")
    shown = [headline_of(heldout, target, train) for target in targets(heldout)]
    plots = draw([rows for rows in shown if rows is not None], artifacts)
    write_card(document, train, plots, artifacts / "model_card.md")
    write_json(document, artifacts / "evaluation.json")
    return document


def measure(rows: HeldOut, params: EvaluateParams) -> Measured:
    """All figures of all candidates on the rows, once as they are and once a replicate."""
    figures = {
        name: {**scored.figures(), "ece": _ece(scored), **truth_figures(rows, scored)}
        for name, scored in rows.candidates.items()
    }
    return Measured(rows, figures, bootstrap(rows.candidates, rows.account, params.bootstrap, params.seed))


def targets(heldout: Sequence[HeldOut]) -> list[str]:
    return sorted({rows.target for rows in heldout})


def headline_of(heldout: Sequence[HeldOut], target: str, train: Mapping[str, Any]) -> HeldOut | None:
    """The rows by which `target` is judged: the default horizon, else the longest below it, else the shortest. None
    when nothing of that target was held out."""
    found = sorted((rows for rows in heldout if rows.target == target), key=lambda rows: rows.horizon)
    within = [rows for rows in found if rows.horizon <= train["default_horizon"]]
    return within[-1] if within else next(iter(found), None)


def evidence_of(table: Measured) -> Evidence:
    """What the grade looks at."""
    champion, rules = table.figures[CHAMPION], table.rules
    leads = {
        name: {f: lead for f in ("roc_auc", "pr_auc", "log_loss") if (lead := table.lead(name, f)) is not None}
        for name in table.rows.candidates
        if name not in (CHAMPION, CEILING)  # the ceiling is no rival: a model owes it nothing
    }
    best = [table.figures[name]["pr_auc"] for name in rules]
    return Evidence(
        positives=int(table.rows.label.sum()),
        roc_auc=_known(champion["roc_auc"]),
        roc_auc_ci=table.interval(CHAMPION, "roc_auc"),
        pr_auc=_known(champion["pr_auc"]),
        best_rule_pr_auc=_known(max(best)) if best else None,
        rules=rules,
        leads=leads,
    )


def headline(table: Measured | None) -> str:
    """The finding in one sentence a buyer understands; None: nothing was held out."""
    if table is None:
        return "The history is too short to hold any account out, so nothing was judged."
    figure, horizon = f"revenue_captured_{CALLED}", table.rows.horizon
    value, around = table.figures[CHAMPION][figure], table.interval(CHAMPION, figure)
    if math.isnan(value) or around is None:
        return f"No expansion revenue fell in the {horizon} days that were held out, so none could be captured."
    strongest = max(table.rules, key=lambda name: table.figures[name][figure], default=None)
    rival = LIFETIME if LIFETIME in table.figures else strongest
    against = ""
    if rival is not None:
        against = f", against {table.figures[rival][figure]:.0%} by {words(rival)}"
    return (
        f"Calling the top {CALLED} % would have held {value:.0%} of the expansion revenue of the next {horizon} days "
        f"(95 % interval {around[0]:.0%} to {around[1]:.0%}){against}."
    )


def predictions(heldout: Sequence[HeldOut]) -> pa.Table:
    """What the champion said of each held-out row beside what happened; null where it says nothing."""
    schema = pa.schema([(name, COLUMNS[name]) for name in PREDICTIONS])
    parts = [schema.empty_table()]
    for rows in heldout:
        said = rows.candidates[CHAMPION].probability
        n = len(rows.label)
        values = {
            "account_id": pa.array(rows.account_id, pa.string()),
            "as_of": pa.array([rows.as_of] * n, pa.date32()),
            "target": pa.array([rows.target] * n, pa.string()),
            "horizon": pa.array([rows.horizon] * n, pa.int16()),
            "probability": pa.nulls(n, pa.float64()) if said is None else pa.array(said, from_pandas=True),
            "expected_increment": pa.array(rows.expected, from_pandas=True),
            "label": pa.array(rows.label.astype(np.int8)),
            "increment": pa.array(rows.increment),
            "origin": pa.array([rows.origin] * n, pa.date32()),
        }
        parts.append(pa.table(values, schema=schema))
    return pa.concat_tables(parts).combine_chunks()


def write_json(document: Mapping[str, Any], path: Path) -> None:
    """Whole or not at all; no NaN, which is not JSON."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def _document(tables: Sequence[Measured], train: Mapping[str, Any], params: EvaluateParams) -> dict[str, Any]:
    rows = headline_of([table.rows for table in tables], TARGET, train)
    judged = next((table for table in tables if table.rows is rows), None)
    given = grade(evidence_of(judged) if judged else NOTHING_HELD_OUT)
    copied = ("trained_as_of", "data_fingerprint", "fingerprint", "bundle_id", "currency", "default_horizon")
    return {
        "schema_version": SCHEMA_VERSION,
        **{key: train[key] for key in copied},
        "headline_horizon": rows.horizon if rows else None,
        "bootstrap": {"replicates": params.bootstrap, "seed": params.seed, "level": LEVEL, "unit": "account"},
        "grade": {"word": given.word, "why": given.why},
        "headline": headline(judged),
        "results": [_result(table, name) for table in tables for name in table.listed],
        "comparisons": [row for table in tables for name in table.listed[1:] for row in _comparisons(table, name)],
        **ceiling_document(tables),
    }


def _result(table: Measured, candidate: str) -> dict[str, Any]:
    rows, figures = table.rows, table.figures[candidate]
    positives = int(rows.label.sum())
    out: dict[str, Any] = {
        "target": rows.target,
        "horizon": rows.horizon,
        "as_of": rows.as_of.isoformat(),
        "origin": rows.origin.isoformat(),
        "candidate": candidate,
        "n": len(rows.label),
        "positives": positives,
        "base_rate": written(positives / len(rows.label)),
    }
    if candidate == CEILING and rows.spoiled:
        out["without_truth"] = rows.without_truth
    for figure, value in figures.items():
        out[figure] = written(value)
        if figure not in WITHOUT_INTERVAL:
            out[f"{figure}_ci"] = pair(table.interval(candidate, figure))
    return out


def _comparisons(table: Measured, candidate: str) -> list[dict[str, Any]]:
    """The champion less `candidate`, a figure a row; an undefined one is left out."""
    found = [(figure, table.lead(candidate, figure)) for figure in COMPARED]
    place = {"target": table.rows.target, "horizon": table.rows.horizon, "candidate": candidate}
    return [
        {**place, "figure": figure, "champion_lead": written(lead.value), "ci": pair(lead.ci)}
        for figure, lead in found
        if lead is not None
    ]


def _ece(scored: Scored) -> float:
    return math.nan if scored.probability is None else metrics.ece(scored.label, scored.probability)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def main(argv: list[str] | None = None) -> int:
    """The stage for `dvc repro`: `python -m training.evaluate --workspace DIR [--raw DIR] [--params FILE]`."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--raw", type=Path, help="folder of raw files; a simulator's truth there gives a ceiling")
    parser.add_argument("--params", type=Path)
    args = parser.parse_args(argv)
    params = section(read_params(args.params), "evaluate", EvaluateParams)
    with stage("evaluate") as report:
        document = evaluate(Workspace(args.workspace), params, truth_in(args.raw))
        report(f"grade: {document['grade']['word']}")
    print(document["headline"], file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
