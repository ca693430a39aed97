"""Stage `train`: features and outcomes -> the candidate bundle, and the held-out rows it is judged by.

At every origin the whole recipe is fitted on the facts known before it and scores the accounts of that date. The bundle
that is served is the same recipe, fitted on everything known at the end of the data.
"""

from __future__ import annotations

import json
import shutil
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from features.catalogue import Definitions, fingerprint
from models.hazard import EDGES
from models.reasons import summary
from models.shares import shares
from training.dataset import Dataset
from training.errors import TooFewPositives
from training.fit import Fitted, same_sums
from training.judging import curve_of, judge_all
from training.labels import LabelParams, labelled, outcomes_end
from training.recipe import Run, TrainParams, asked_for
from training.splits import origin_for, origins
from training.trials import Choice
from training.tune import Found, refuse_outside, search
from warehouse import progress
from warehouse.accounting import ingested_on
from warehouse.command import Call, run
from warehouse.engine import connect
from warehouse.errors import ParamsError
from warehouse.params import section
from warehouse.periods import TARGETS
from warehouse.store import Workspace, open_warehouse, read_table, write_json

SUMMARISED = 5_000  # accounts of the newest snapshots whose reasons are summed up


@same_sums
def train(workspace: Workspace, definitions: Definitions, labels: LabelParams, params: TrainParams) -> dict[str, Any]:
    """Writes artifacts/candidate/, heldout.parquet, heldout_accounts.parquet, train.json and reasons_summary.json;
    returns what train.json says.

    Raises:
        TooFewPositives: a single class, or fewer expanding accounts than `train.min_positives`.
    """
    artifacts = workspace.artifacts
    shutil.rmtree(artifacts / "candidate", ignore_errors=True)  # a run that stops must not leave the last one's behind
    refuse_untellable(labels, params)
    population = json.loads((artifacts / "population.json").read_text(encoding="utf-8"))
    accounting = json.loads((workspace.warehouse / "accounting.json").read_text(encoding="utf-8"))
    features = read_table(artifacts / "features.parquet")
    full = Dataset(features, read_table(artifacts / "labels.parquet"))
    positives = _require_positives(full, labels, params)
    days = sorted(features["as_of"].unique().to_pylist())
    with connect(workspace.warehouse) as con, progress.stage("train") as say:
        open_warehouse(con, workspace.warehouse)
        until = outcomes_end(con, ingested_on(workspace.warehouse))
        lead = labels.default_horizon
        plan = origins(days, labels.horizons, labels.maturing_days, until, params.origins, lead)
        run = Run(definitions, labels, params, features, until)
        if params.search.trials:
            say(f"searching, {params.search.trials} trials")
        found = _search(run, con, full, days)
        run.params = params.model_copy(update={"booster": found.params})
        heldout = judge_all(run, con, full, plan, artifacts, say)
        curve = curve_of(run, con, full, heldout, say)
        say("the bundle")
        card = {
            "trained_as_of": population["data_end"],
            "data_fingerprint": accounting["fingerprint"],
            "seed": params.seed,
        }
        fitted, choice = run.fit(full, until)
        scorer = run.scorer(fitted, choice, card).beside(full.features)
        say(f"the bundle: {choice.learner}; {choice.why}")
    matured = origin_for(days, labels.default_horizon, labels.maturing_days, until)
    served = {trial.day: trial.learner for trial in run.trials}
    said = {
        **card,
        "fingerprint": fingerprint(definitions),
        "bundle_id": scorer.save(artifacts / "candidate"),
        "currency": definitions.tiers.currency,
        "default_horizon": labels.default_horizon,
        "horizons": list(labels.horizons),
        "population": {
            "in": population["in"],
            "out": population["out"],
            "labels": _labelled(full, definitions, labels),
        },
        "origins": [
            {"as_of": one.as_of.isoformat(), "horizons": list(one.horizons), "learner": served.get(one.as_of)}
            for one in plan
        ],
        "positives": positives,
        **_told(fitted, choice, found),
        "learning_curve": curve,
        "matured_to": matured and matured.isoformat(),
        "snapshots": population["params"],
        "params": asked_for(definitions, labels, params),
    }
    write_json(said, artifacts / "train.json")
    newest = full.on(max(days)).features
    some = np.random.default_rng(params.seed).permutation(len(newest))[:SUMMARISED]
    explained = scorer.explain(newest.take(np.sort(some)))
    assert explained is not None, "a model has reasons"
    write_json(summary(explained.centred), artifacts / "reasons_summary.json")
    return said


def refuse_untellable(labels: LabelParams, params: TrainParams) -> None:
    """Raises ParamsError where a horizon is asked for that the models cannot tell of."""
    if not set(labels.horizons) <= set(EDGES):
        raise ParamsError(
            f"params: labels.horizons {labels.horizons} must be among {EDGES[1:]}, the hazards' intervals."
        )
    if params.search.trials:
        refuse_outside(params.booster)
    for check in params.checks:
        if check.horizon not in labels.horizons:
            raise ParamsError(
                f'params: train.checks "{check.name}" has horizon {check.horizon}, which is not one of labels.horizons '
                f"({', '.join(map(str, labels.horizons))}). Add it there."
            )


def _told(fitted: Fitted, choice: Choice, found: Found) -> dict[str, Any]:
    """What train.json says of the models: which serves and why, how it is calibrated, what it looks at, the search."""
    told = shares(fitted.hazards[choice.learner]["expansion"], fitted.encoding.names)
    gain = sorted(told.items(), key=lambda item: -item[1])
    return {
        "learner": choice.learner,
        "chosen": choice.why,
        "calibration": {target: calibration.to_json() for target, calibration in choice.calibration.items()},
        "gain": [{"feature": name, "share": round(share, 6)} for name, share in gain],
        "booster": found.params.model_dump(mode="json"),
        "search": found.trials,
        "search_ended_by": found.ended_by,
    }


def _search(run: Run, con: duckdb.DuckDBPyConnection, full: Dataset, days: list[date]) -> Found:
    """The settings of the boosters: as given, or the best that searching found."""
    params = run.params
    if not params.search.trials:
        return Found(params.booster, [])
    inner = origins(days, (EDGES[1],), run.labels.maturing_days, run.until, params.search.origins)
    known = {origin.as_of: run.known_at(con, origin.as_of) for origin in inner}
    return search(known, full, params.search, params.booster, params.seed)


def _require_positives(full: Dataset, labels: LabelParams, params: TrainParams) -> dict[str, int]:
    """Snapshots that expanded, by target and horizon; stops where the default horizon has too little to learn from."""
    h = labels.default_horizon
    label = full.outcome("expansion", h)
    expanded = len(set(full.features["account_id"].filter(pa.array(label == 1)).to_pylist()))
    told, negative = int((~np.isnan(label)).sum()), int((label == 0).sum())
    if expanded < params.min_positives or negative == 0:
        raise TooFewPositives(
            f"expansion within {h} days: {expanded:,} accounts expanded and {negative:,} of {told:,} complete "
            f"snapshots did not; training needs {params.min_positives} accounts that did "
            f"(train.min_positives) and both classes. "
            "Add history, lower the tier floors, or let `expansion score` serve the rule."
        )
    return {f"{t}_{h}": int(np.nansum(full.outcome(t, h))) for t in TARGETS for h in labels.horizons}


def _labelled(full: Dataset, definitions: Definitions, labels: LabelParams) -> list[dict[str, Any]]:
    """Snapshots with a label, and without by reason, of every target and horizon."""
    return [
        {"target": target, "horizon": h, "in": told.taken, "out": told.out}
        for target in TARGETS
        for h in labels.horizons
        for told in [labelled(full.labels, full.features["tier"], definitions.tiers, target, h)]
    ]


def main(argv: list[str] | None = None) -> int:
    def called(call: Call) -> None:
        train(
            call.workspace,
            Definitions.from_params(call.document),
            section(call.document, "labels", LabelParams),
            section(call.document, "train", TrainParams),
        )

    return run(called, "Stage train: the candidate bundle and its held-out rows.", argv)


if __name__ == "__main__":
    raise SystemExit(main())
