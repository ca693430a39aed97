"""Stage `train`: features and outcomes -> the candidate bundle, and the held-out rows it is judged by.

At every origin the whole recipe is cooked from facts known before it and scores the accounts of that date; the bundle
that is served is the same recipe on everything known at the end of the data.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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
from models.files import boosters_of
from models.hazard import EDGES
from models.logistic import LogisticHazard
from models.reasons import summary
from models.scorer import Scorer
from training.candidates import Bench
from training.checks import Check, fit_check, outcome, tier_floors
from training.contest import ACCOUNTS, SCHEMA, Said, contest, describe, plain_references, stating
from training.dataset import TARGETS, Dataset
from training.errors import TooFewPositives
from training.fit import Fitted, assemble, expanded_accounts, fit_all
from training.labels import LabelParams, make_labels
from training.learning import Point, learning_curve
from training.plan_check import check_plan
from training.splits import Origin, origin_for, origins
from training.trials import SPAN, TREES_FROM, Choice, Trial, choose, matured
from training.tune import Found, SearchParams, search, searched
from warehouse import progress
from warehouse.command import asked
from warehouse.engine import connect
from warehouse.errors import ParamsError
from warehouse.params import Section, section
from warehouse.store import Workspace, open_warehouse, read_table, write_table


class TrainParams(Section):
    seed: int = 11
    min_positives: int = Field(default=30, ge=2)  # accounts that expanded within the default horizon; else the rule
    origins: int = Field(default=4, ge=1)  # a horizon is judged at so many, a quarter apart, as far as history goes
    booster: BoosterParams = BoosterParams()
    search: SearchParams = SearchParams()
    checks: tuple[Check, ...] = ()


@dataclass
class Run:
    """All that one training run reads; `until` is the midnight from which nothing is known. `trials`: what the origins
    judged so far said, for later ones to learn from."""

    definitions: Definitions
    labels: LabelParams
    params: TrainParams
    features: pa.Table
    until: date
    trials: list[Trial] = field(default_factory=list)

    def fit(self, data: Dataset, until: date) -> tuple[Fitted, Choice]:
        """The recipe on what was known at `until`."""
        expanded = expanded_accounts(data)
        fitted = fit_all(data, self.labels, self.params.booster, self.params.seed, trees=expanded >= TREES_FROM)
        return fitted, choose(matured(self.trials, data, until, self.labels.held_days), fitted, expanded)

    def scorer(self, data: Dataset, fitted: Fitted, choice: Choice, card: dict[str, Any]) -> Scorer:
        card = {**card, "chosen": choice.why}
        learner, calibration, amount = choice.learner, choice.calibration, choice.amount
        return assemble(fitted, data, self.definitions, self.labels, card, learner, calibration, amount)

    def known_at(self, con: duckdb.DuckDBPyConnection, day: date) -> Dataset:
        """Snapshots before `day` with their outcomes as known at `day`."""
        past = self.features.filter(pc.less(self.features["as_of"], pa.scalar(day, pa.date32())))
        books = past.select(["account_id", "as_of", "tier", "run_rate"])
        return Dataset(past, make_labels(con, books, self.definitions, self.labels, day))

    def judged(self, test: Dataset) -> np.ndarray:
        """(n,) bool: the accounts that may be judged, which are those that searching never looked at."""
        if not self.params.search.trials:
            return np.ones(len(test), dtype=bool)
        return ~searched(test.features["account_id"], self.params.search.accounts)


def train(workspace: Workspace, definitions: Definitions, labels: LabelParams, params: TrainParams) -> dict[str, Any]:
    """Writes artifacts/candidate/, heldout.parquet, heldout_accounts.parquet, train.json and reasons_summary.json;
    returns what train.json says.

    Raises:
        TooFewPositives: a single class, or fewer expanding accounts than `train.min_positives`.
    """
    artifacts = workspace.artifacts
    shutil.rmtree(artifacts / "candidate", ignore_errors=True)  # a run that stops must not leave the last one's behind
    _checked(labels, params)
    population = json.loads((artifacts / "population.json").read_text())
    accounting = json.loads((workspace.warehouse / "accounting.json").read_text())
    features, until = read_table(artifacts / "features.parquet"), date.fromisoformat(population["data_end"])
    full = Dataset(features, read_table(artifacts / "labels.parquet"))
    positives = _require_positives(full, labels, params)
    days = sorted(set(features["as_of"].to_pylist()))
    plan = origins(days, labels.horizons, labels.held_days, until, params.origins)
    with connect(workspace.warehouse) as con, progress.stage("train") as say:
        open_warehouse(con, workspace.warehouse)
        run = Run(definitions, labels, params, features, until)
        if params.search.trials:
            say(f"searching, {params.search.trials} trials")
        found = _search(run, con, full, days)
        run.params = params.model_copy(update={"booster": found.params})
        heldout = _judge_all(run, con, full, plan, artifacts, say)
        curve = _curve(run, con, full, heldout, say)
        say("the bundle")
        card = {
            "trained_as_of": until.isoformat(),
            "data_fingerprint": accounting["fingerprint"],
            "seed": params.seed,
        }
        fitted, choice = run.fit(full, until)
        scorer = run.scorer(full, fitted, choice, card)
        say(f"the bundle: {choice.learner}; {choice.why}")
    said = {
        **card,
        "fingerprint": fingerprint(definitions),
        "bundle_id": scorer.save(artifacts / "candidate"),
        "currency": definitions.tiers.currency,
        "default_horizon": labels.default_horizon,
        "horizons": list(labels.horizons),
        "population": {"in": population["in"], "out": population["out"]},
        "origins": [{"as_of": origin.as_of.isoformat(), "horizons": list(origin.horizons)} for origin in plan],
        "positives": positives,
        **_told(fitted, choice, found),
        "learning_curve": curve,
        "params": {
            **definitions.to_params(),
            "labels": labels.model_dump(mode="json"),
            "train": params.model_dump(mode="json"),
        },
    }
    (artifacts / "train.json").write_text(json.dumps(said, indent=1))
    explained = scorer.explain(full.on(max(days)).features)
    assert explained is not None, "a model has reasons"
    (artifacts / "reasons_summary.json").write_text(json.dumps(summary(explained.centred), indent=1))
    return said


def _checked(labels: LabelParams, params: TrainParams) -> None:
    """Raises ParamsError where a horizon is asked for that the models cannot tell of."""
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


def _told(fitted: Fitted, choice: Choice, found: Found) -> dict[str, Any]:
    """What train.json says of the models: which serves and why, how it is calibrated, what it looks at, the search."""
    served = fitted.hazards[choice.learner]["expansion"]
    if isinstance(served, LogisticHazard):
        shares = served.logistic.shares(fitted.encoding.names)
    else:
        shares = gain_shares(boosters_of(served))
    gain = sorted(shares.items(), key=lambda item: -item[1])
    return {
        "learner": choice.learner,
        "chosen": choice.why,
        "calibration": {target: calibration.to_json() for target, calibration in choice.calibration.items()},
        "gain": [{"feature": name, "share": round(share, 6)} for name, share in gain],
        "booster": found.params.model_dump(mode="json"),
        "search": found.trials,
    }


def _search(run: Run, con: duckdb.DuckDBPyConnection, full: Dataset, days: list[date]) -> Found:
    """The settings of the boosters: as given, or the best that searching found."""
    params = run.params
    if not params.search.trials:
        return Found(params.booster, [])
    inner = origins(days, (EDGES[1],), run.labels.held_days, run.until, params.search.origins)
    known = {origin.as_of: run.known_at(con, origin.as_of) for origin in inner}
    return search(known, full, params.search, params.booster, params.seed)


def _judge_all(
    run: Run,
    con: duckdb.DuckDBPyConnection,
    full: Dataset,
    plan: list[Origin],
    artifacts: Path,
    say: progress.Report,
) -> pa.Table:
    """Writes heldout.parquet and heldout_accounts.parquet; returns the first."""
    complete = [h for origin in plan for h in origin.horizons if h <= run.labels.default_horizon]
    headline = max(complete, default=run.labels.default_horizon)
    blocks: list[pa.Table] = []
    for number, origin in enumerate(plan):
        say(f"origin {origin.as_of} ({number + 1} of {len(plan)})")
        blocks += _judge(run, con, full, origin, headline)
    for check in run.params.checks:
        say(f"check {check.name}")
        blocks += _check(run, con, full, check)
    heldout = pa.concat_tables(blocks) if blocks else SCHEMA.empty_table()
    write_table(heldout, artifacts / "heldout.parquet")
    judged = sorted(set(heldout["as_of"].to_pylist()))
    tables = []
    for day in judged:
        test = full.on(day)
        before = max((earlier for earlier in judged if earlier < day), default=None)
        tables.append(describe(test.take(run.judged(test)), before))
    write_table(pa.concat_tables(tables) if tables else ACCOUNTS.empty_table(), artifacts / "heldout_accounts.parquet")
    return heldout


def _curve(
    run: Run, con: duckdb.DuckDBPyConnection, full: Dataset, heldout: pa.Table, say: progress.Report
) -> list[Point]:
    """The learning curve at the newest date at which the longest judged horizon up to the default one was judged; empty
    where nothing was."""
    own = heldout.filter((pc.field("candidate") == "champion") & (pc.field("target") == "expansion"))
    own = own.filter(pc.field("horizon") <= run.labels.default_horizon)
    if not len(own):
        return []
    h = pc.max(own["horizon"]).as_py()
    own = own.filter(pc.field("horizon") == h)
    day = pc.max(own["as_of"]).as_py()
    own = own.filter(pc.field("as_of") == pa.scalar(day, pa.date32()))
    say(f"learning curve, as of {day}")
    test = full.on(day).features
    test = test.filter(pc.is_in(test["account_id"], value_set=own["account_id"].combine_chunks()))

    def taught(few: Dataset) -> np.ndarray:
        fitted, choice = run.fit(few, day)
        rows = fitted.encoding.matrix(test)
        return run.scorer(few, fitted, choice, {}).predict(rows)[f"expansion_{h}"]

    label, said = (own[name].to_numpy().astype(np.float64) for name in ("label", "probability"))
    return learning_curve(run.known_at(con, day), label, said, taught)


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
    """Held-out rows of one origin: every target at every horizon judged there."""
    known, labels, day = run.known_at(con, origin.as_of), run.labels, origin.as_of
    for h in labels.horizons:
        for target in TARGETS:
            check_plan(known.features["as_of"], known.outcome(target, h), h + labels.held_days, day)
    if not np.nansum(known.outcome("expansion", min(labels.horizons))):
        return
    fitted, choice = run.fit(known, day)
    everyone = full.on(day)
    rows = fitted.encoding.matrix(everyone.features)
    scorer = run.scorer(known, fitted, choice, {})
    predicted = scorer.predict(rows)
    odds = fitted.log_odds(rows)
    run.trials.append(Trial.of(odds, fitted.amount.expected(rows, SPAN), day, fitted.trees))
    bench = Bench(known, fitted, odds, everyone, rows, labels, run.params.booster, run.params.seed, headline)
    for target in TARGETS:
        for h in origin.horizons:
            label = everyone.outcome(target, h)
            held = ~np.isnan(label) & run.judged(everyone)
            if not held.any():
                continue
            champion = stating(predicted[f"{target}_{h}"], predicted[f"increment_{h}"])
            if target == "expansion":
                amount = scorer.amount.expected(rows, h)
                champion = replace(champion, low=amount * scorer.amount.low, high=amount * scorer.amount.high)
            said = {"champion": champion, **bench.others(target, h, champion)}
            yield from contest(
                target,
                h,
                day,
                everyone.take(held),
                label[held],
                everyone.money(f"increment_{h}")[held],
                {name: one.of(held) for name, one in said.items()},
            )


def _check(run: Run, con: duckdb.DuckDBPyConnection, full: Dataset, check: Check) -> Iterator[pa.Table]:
    """Held-out rows of one outside outcome, at the newest date where it is complete."""
    day = origin_for(run.features["as_of"].unique().to_pylist(), check.horizon, 0, run.until)
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
    rows = encoding.matrix(test.features)
    said = {"champion": stating(*champion)}
    said |= plain_references(encoding, encoding.matrix(known.features), label, rows)
    fitted, choice = run.fit(known, day)
    predicted = run.scorer(known, fitted, choice, {}).predict(rows)
    said["expansion_score"] = stating(predicted[f"expansion_{check.horizon}"])
    held = ~np.isnan(truth) & run.judged(test)
    candidates: dict[str, Said] = {name: one.of(held) for name, one in said.items()}
    yield from contest(check.name, check.horizon, day, test.take(held), truth[held], gained[held], candidates)


def main(argv: list[str] | None = None) -> None:
    workspace, document = asked("Stage train: the candidate bundle and its held-out rows.", argv)
    train(
        workspace,
        Definitions.from_params(document),
        section(document, "labels", LabelParams),
        section(document, "train", TrainParams),
    )


if __name__ == "__main__":
    main()
