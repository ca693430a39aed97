"""Stage `train`: features and outcomes -> the candidate bundle, and the held-out rows it is judged by.

At every origin the whole recipe is cooked from facts known before it and scores the accounts of that date; the bundle
that is served is the same recipe on everything known at the end of the data.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from features.catalogue import Definitions, fingerprint
from models.boosting import BoosterParams, gain_shares
from models.encoding import Encoding
from models.hazard import EDGES
from models.scorer import Scorer
from training.checks import Check, fit_check, outcome, tier_floors
from training.contest import SCHEMA, contest, reference_probabilities
from training.dataset import TARGETS, Dataset
from training.errors import TooFewPositives
from training.fit import fit_books_only, fit_scorer
from training.labels import LabelParams, make_labels
from training.plan_check import check_plan
from training.recalibrate import recalibrate
from training.splits import Origin, origin_for, origins
from warehouse import progress
from warehouse.engine import connect
from warehouse.errors import ParamsError
from warehouse.params import Section, read_params, section
from warehouse.store import Workspace, open_warehouse, read_table, write_table


class TrainParams(Section):
    seed: int = 11
    min_positives: int = Field(default=30, ge=2)  # accounts that expanded within the default horizon; else the rule
    booster: BoosterParams = BoosterParams()
    recalibrate: bool = False  # shift the level to the newest matured landmarks; needs several years of history
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Run:
    """All that one training run reads; `until` is the midnight from which nothing is known."""

    definitions: Definitions
    labels: LabelParams
    params: TrainParams
    features: pa.Table
    until: date

    def fit(self, data: Dataset, card: dict[str, Any]) -> Scorer:
        booster, seed = self.params.booster, self.params.seed
        scorer = fit_scorer(data, self.definitions, self.labels, booster, seed, card)
        shift = recalibrate(data, self.labels, booster, seed) if self.params.recalibrate else 0.0
        return replace(scorer, shift=shift)

    def known_at(self, con: duckdb.DuckDBPyConnection, day: date) -> Dataset:
        """Snapshots before `day` with their outcomes as known at `day`."""
        past = self.features.filter(pc.less(self.features["as_of"], pa.scalar(day, pa.date32())))
        books = past.select(["account_id", "as_of", "tier", "run_rate"])
        return Dataset(past, make_labels(con, books, self.definitions, self.labels, day))


def train(workspace: Workspace, definitions: Definitions, labels: LabelParams, params: TrainParams) -> dict[str, Any]:
    """Writes artifacts/candidate/, heldout.parquet and train.json; returns what train.json says.

    Raises:
        TooFewPositives: a single class, or fewer expanding accounts than `train.min_positives`.
    """
    artifacts = workspace.artifacts
    shutil.rmtree(artifacts / "candidate", ignore_errors=True)  # a run that stops must not leave the last one's behind
    if not set(labels.horizons) <= set(EDGES):
        raise ParamsError(
            f"params: labels.horizons {labels.horizons} must be among {EDGES[1:]}, the hazards' intervals."
        )
    for check in params.checks:
        if check.horizon not in labels.horizons:
            raise ParamsError(
                f'params: train.checks "{check.name}" has horizon {check.horizon}, which is not one of labels.horizons '
                f"({', '.join(map(str, labels.horizons))}). Add it there."
            )
    population = json.loads((artifacts / "population.json").read_text())
    accounting = json.loads((workspace.warehouse / "accounting.json").read_text())
    run = Run(
        definitions,
        labels,
        params,
        read_table(artifacts / "features.parquet"),
        date.fromisoformat(population["data_end"]),
    )
    full = Dataset(run.features, read_table(artifacts / "labels.parquet"))
    positives = _require_positives(full, labels, params)
    days = sorted(set(run.features["as_of"].to_pylist()))
    plan = origins(days, labels.horizons, labels.held_days, run.until)
    complete = [h for origin in plan for h in origin.horizons if h <= labels.default_horizon]
    headline = max(complete, default=labels.default_horizon)
    with connect(workspace.warehouse) as con, progress.stage("train") as say:
        open_warehouse(con, workspace.warehouse)
        blocks: list[pa.Table] = []
        for number, origin in enumerate(plan):
            say(f"origin {origin.as_of} ({number + 1} of {len(plan)})")
            blocks += _judge(run, con, full, origin, headline)
        for check in params.checks:
            say(f"check {check.name}")
            blocks += _check(run, con, full, check, days)
        say("the bundle")
        write_table(pa.concat_tables(blocks) if blocks else SCHEMA.empty_table(), artifacts / "heldout.parquet")
        card = {
            "trained_as_of": run.until.isoformat(),
            "data_fingerprint": accounting["fingerprint"],
            "seed": params.seed,
        }
        scorer = run.fit(full, card)
    bundle_id = scorer.save(artifacts / "candidate")
    expansion = scorer.hazards["expansion"].booster
    gain = sorted(gain_shares(expansion).items(), key=lambda item: -item[1]) if expansion else []
    said = {
        **card,
        "fingerprint": fingerprint(definitions),
        "bundle_id": bundle_id,
        "currency": definitions.tiers.currency,
        "default_horizon": labels.default_horizon,
        "horizons": list(labels.horizons),
        "population": {"in": population["in"], "out": population["out"]},
        "origins": [origin.as_of.isoformat() for origin in plan],
        "positives": positives,
        "shift": scorer.shift,
        "gain": [{"feature": name, "share": round(share, 6)} for name, share in gain],
        "params": {
            **definitions.to_params(),
            "labels": labels.model_dump(mode="json"),
            "train": params.model_dump(mode="json"),
        },
    }
    (artifacts / "train.json").write_text(json.dumps(said, indent=1))
    return said


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


def _judge(
    run: Run, con: duckdb.DuckDBPyConnection, full: Dataset, origin: Origin, headline: int
) -> Iterator[pa.Table]:
    """Held-out rows of one origin: every target at every horizon whose labels are first complete there."""
    known = run.known_at(con, origin.as_of)
    labels = run.labels
    for h in labels.horizons:
        for target in TARGETS:
            check_plan(known.features["as_of"], known.outcome(target, h), h + labels.held_days, origin.as_of)
    if not np.nansum(known.outcome("expansion", min(labels.horizons))):
        return
    scorer = run.fit(known, {})
    everyone = full.on(origin.as_of)
    matrix = scorer.encoding.matrix(known.features)
    rows = scorer.encoding.matrix(everyone.features)
    predicted = scorer.predict(rows)
    books: dict[str, np.ndarray] = {}
    if headline in origin.horizons:  # the grade asks for it there, and it costs another fit
        books = fit_books_only(known, everyone, labels, run.params.booster, run.params.seed)
    for target in TARGETS:
        for h in origin.horizons:
            label = full.outcome(target, h)[np.asarray(pc.equal(full.features["as_of"], origin.as_of))]
            held = ~np.isnan(label)
            if not held.any():
                continue
            others = reference_probabilities(matrix, known.outcome(target, h), rows, scorer.encoding.names)
            if target == "expansion" and books:
                others["books_only"] = books[f"expansion_{h}"]
            yield from contest(
                target,
                h,
                origin.as_of,
                everyone.take(held),
                label[held],
                everyone.money(f"increment_{h}")[held],
                (predicted[f"{target}_{h}"][held], predicted[f"increment_{h}"][held]),
                {name: p[held] for name, p in others.items()},
            )


def _check(
    run: Run, con: duckdb.DuckDBPyConnection, full: Dataset, check: Check, days: list[date]
) -> Iterator[pa.Table]:
    """Held-out rows of one outside outcome, at the newest date where it is complete."""
    day = origin_for(days, check.horizon, 0, run.until)
    if day is None:
        return
    known, test = run.known_at(con, day), full.on(day)
    if np.isnan(known.money(f"booked_{check.horizon}")).all():
        return  # no outcome was complete by then: history is too short to learn from
    floors = tier_floors(check, known)
    label, increment = outcome(check, known, floors)
    check_plan(known.features["as_of"], label, check.horizon, day)
    truth, gained = outcome(check, test, floors)
    champion = fit_check(check, known, label, increment, test, run.params.booster, run.params.seed)
    encoding = Encoding.learn(known.features)
    others = reference_probabilities(
        encoding.matrix(known.features), label, encoding.matrix(test.features), encoding.names
    )
    others["expansion_score"] = run.fit(known, {}).predict(encoding.matrix(test.features))[f"expansion_{check.horizon}"]
    yield from contest(check.name, check.horizon, day, test, truth, gained, champion, others)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Stage train: the candidate bundle and its held-out rows.")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--params", type=Path)
    args = parser.parse_args(argv)
    document = read_params(args.params)
    train(
        Workspace(args.workspace),
        Definitions.from_params(document),
        section(document, "labels", LabelParams),
        section(document, "train", TrainParams),
    )


if __name__ == "__main__":
    main()
