"""Rolling origins: at each the recipe learns from facts known before it and scores the accounts of that date, beside
every other candidate. What is held out here is all that evaluation looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.encoding import Encoding
from training.candidates import Bench
from training.checks import Check, fit_check, outcome, tier_floors
from training.contest import ACCOUNTS, Said, contest, describe, plain_references, stating
from training.dataset import Dataset
from training.heldout import SCHEMA
from training.learning import Point, Taught, learning_curve
from training.plan_check import check_plan
from training.recipe import Run
from training.splits import Origin, origin_for
from training.trials import SPAN, Trial
from warehouse import progress
from warehouse.periods import TARGETS
from warehouse.store import write_table


def judge_all(
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
    judged = sorted(heldout["as_of"].unique().to_pylist())
    tables = []
    for day in judged:
        test = full.on(day)
        before = max((earlier for earlier in judged if earlier < day), default=None)
        tables.append(describe(test.take(run.judged(test)), before))
    write_table(pa.concat_tables(tables) if tables else ACCOUNTS.empty_table(), artifacts / "heldout_accounts.parquet")
    return heldout


def curve_of(
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

    known = run.known_at(con, day)

    def taught(few: Dataset) -> Taught:
        fitted, choice = run.fit(few, day, known)
        rows = fitted.encoding.matrix(test)
        return run.scorer(fitted, choice, {}).predict(rows)[f"expansion_{h}"], choice.learner

    label, said = (own[name].to_numpy().astype(np.float64) for name in ("label", "probability"))
    learner = next(trial.learner for trial in run.trials if trial.day == day)
    return learning_curve(known, label, (said, learner), taught, run.params.seed)


def _judge(
    run: Run, con: duckdb.DuckDBPyConnection, full: Dataset, origin: Origin, headline: int
) -> Iterator[pa.Table]:
    """Held-out rows of one origin: every target at every horizon judged there."""
    known, labels, day = run.known_at(con, origin.as_of), run.labels, origin.as_of
    for h in labels.horizons:
        for target in TARGETS:
            check_plan(known.features["as_of"], known.outcome(target, h), h + labels.maturing_days, day)
    if not np.nansum(known.outcome("expansion", min(labels.horizons))):
        return
    fitted, choice = run.fit(known, day)
    everyone = full.on(day)
    rows = fitted.encoding.matrix(everyone.features)
    scorer, odds = run.scorer(fitted, choice, {}), fitted.log_odds(rows)
    predicted = scorer.predict(rows, odds[choice.learner])
    run.trials.append(Trial.of(odds, fitted.amount.expected(rows, SPAN), day, fitted.trees, choice.learner))
    params = run.params
    bench = Bench(known, fitted, odds, scorer.amount, everyone, rows, labels, params.booster, params.seed, headline)
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
    lag = run.labels.invoice_lag_days  # nothing is held in what was booked
    day = origin_for(run.features["as_of"].unique().to_pylist(), check.horizon, lag, run.until)
    if day is None:
        return
    known, test = run.known_at(con, day), full.on(day)
    if np.isnan(known.money(f"booked_{check.horizon}")).all():
        return  # no outcome was complete by then: history is too short to learn from
    floors = tier_floors(check, known)
    label, increment = outcome(check, known, floors)
    check_plan(known.features["as_of"], label, check.horizon + lag, day)
    truth, gained = outcome(check, test, floors)
    champion = fit_check(check, known, label, increment, test, run.params.booster, run.params.seed)
    encoding = Encoding.learn(known.features)
    rows = encoding.matrix(test.features)
    said = {"champion": stating(*champion)}
    said |= plain_references(encoding, encoding.matrix(known.features), label, rows)
    fitted, choice = run.fit(known, day)
    predicted = run.scorer(fitted, choice, {}).predict(rows)
    said["expansion_score"] = stating(predicted[f"expansion_{check.horizon}"])
    held = ~np.isnan(truth) & run.judged(test)
    candidates: dict[str, Said] = {name: one.of(held) for name, one in said.items()}
    yield from contest(check.name, check.horizon, day, test.take(held), truth[held], gained[held], candidates)
