"""Judges the candidate on rows it never saw: its figures and every baseline's, with intervals, a grade and pictures.

Stage `evaluate`: reads `artifacts/heldout.parquet`, `heldout_accounts.parquet` and `train.json`; writes
`artifacts/evaluation.json`, `predictions.parquet`, `model_card.md` and `plots/*.png`. Equal inputs give equal bytes.
Where a raw folder with a simulator's truth is given, the truth stands among the candidates as the ceiling. What
contacting brought is told from the slots in the warehouse (training/uplift.py) and changes nothing else that is said.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from features.catalogue import Definitions
from training.bootstrap import CALLED, bootstrap
from training.capacity import Economics, capacity_view, decision
from training.ceiling import ceiling_document, truth_figures, truth_in, with_ceiling
from training.document import document, judged_first
from training.gate import GateParams
from training.headline import TOP_PERCENT, headline_of, rival_of, strongest_rule
from training.heldout import CEILING, CHAMPION, SCHEMA, HeldOut, read_heldout, read_train
from training.labels import LabelParams
from training.measured import Measured
from training.money_order import MoneyOrder
from training.money_range import money_range
from training.rolling import Rolled, by_target, pooled
from training.slices import ACCOUNTS, read_facts, slices
from training.slots import Slots, read_slots
from training.uplift import Assumed, read_out
from warehouse.command import Call, run
from warehouse.params import Section, section
from warehouse.progress import stage
from warehouse.store import Workspace, write_json, write_table

PREDICTIONS = (
    *("account_id", "as_of", "target", "horizon", "probability"),
    *("expected_increment", "label", "increment", "origin"),
)


class EvaluateParams(Section):
    """`bootstrap`: replicates of every interval. `called`: accounts called in the headline; `capacities`: those of the
    capacity view. `contact_cost` (money), `margin` and `uplift` (share of a gain that a contact brings, an assumption):
    what a call costs and may earn. `random_share`: of the slots, that the vendor's lot has contacted."""

    bootstrap: int = Field(default=500, ge=10)
    seed: int = 5
    called: int = Field(default=CALLED, ge=1)
    capacities: tuple[int, ...] = (25, 50, 100, 200, 400)
    contact_cost: float = Field(default=20.0, ge=0)
    margin: float = Field(default=0.8, gt=0, le=1)
    uplift: float = Field(default=0.1, gt=0, le=1)
    random_share: float = Field(default=0.5, gt=0, lt=1)


def evaluate(
    workspace: Workspace,
    params: EvaluateParams,
    truth: Path | None = None,
    slots: Slots | None = None,
    needed: int = GateParams().min_positives,
) -> dict[str, Any]:
    """Runs the stage and returns what it wrote to evaluation.json. `truth`: the simulator's, where `truth_in` expects
    it; without a file there, there is no ceiling. `slots`: those of the warehouse, for what contacting brought; without
    them that is not estimable. `needed`: positives at the newest date that the gate asks for; with fewer there is no
    grade.

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
    groups = list(by_target(heldout))
    headlines = [headline_of(heldout, target, train) for target in sorted({rows.target for rows in heldout})]
    rolled = [_rolled(parts, params, parts[-1] in headlines) for parts in groups]
    said = document(rolled, train, params.bootstrap, params.seed, params.called, needed)
    said |= _at_headline(judged_first(rolled, train), artifacts, [str(tier["name"]) for tier in ladder], params)
    said["money_range"] = money_range(artifacts / "heldout.parquet", params.bootstrap, params.seed)
    said["uplift"] = _uplift(slots, judged_first(rolled, train), params, said["currency"])
    said |= ceiling_document([one.newest for one in rolled], [one.pooled for one in rolled])
    write_table(predictions(heldout), artifacts / "predictions.parquet")
    shown = [one for one in rolled if one.newest.rows in headlines]
    plots = draw(shown, said, train, artifacts)
    write_card(said, train, plots, artifacts / "model_card.md")
    write_json(said, artifacts / "evaluation.json")
    return said


def measure(rows: HeldOut, params: EvaluateParams, drawn: Collection[str] | None = None) -> Measured:
    """All figures of all candidates on the rows as they are, and in each replicate of those `drawn` (None: of all)."""
    figures = {
        name: {**scored.figures(params.called), **truth_figures(rows, scored)}
        for name, scored in rows.candidates.items()
    }
    resampled = {name: scored for name, scored in rows.candidates.items() if drawn is None or name in drawn}
    replicates = bootstrap(resampled, rows.account, params.bootstrap, params.seed, params.called)
    return Measured(rows, figures, replicates)


def with_money(table: Measured, params: EvaluateParams) -> Measured:
    """`table`, of which every candidate was resampled, with `MONEY_FIGURES` among its figures."""
    order = MoneyOrder(table.rows.candidates)
    drawn = order.bootstrap(table.rows.account, params.bootstrap, params.seed)
    figures = {name: own | table.figures[name] for name, own in order.figures().items()}
    return Measured(table.rows, figures, {name: table.replicates[name] | own for name, own in drawn.items()})


def _rolled(parts: Sequence[HeldOut], params: EvaluateParams, headline: bool) -> Rolled:
    """Every candidate is resampled at the newest origin, and at a headline over all origins together; elsewhere the
    champion and, at a headline, whom it is held against: resampling is what judging costs."""
    pool, newest = pooled(parts), with_money(measure(parts[-1], params), params)
    rivals = {strongest_rule(newest, "pr_auc"), rival_of(newest, f"revenue_captured_{TOP_PERCENT}"), CEILING}
    few = {CHAMPION, *(rivals if headline else ())} - {None}
    older = [measure(rows, params, few) for rows in parts[:-1]]
    together = measure(pool.rows, params, None if headline else {CHAMPION, CEILING}) if older else newest
    return Rolled([*older, newest], pool, together)


def _at_headline(first: Rolled | None, artifacts: Path, tiers: Sequence[str], params: EvaluateParams) -> dict[str, Any]:
    """Slices, capacity view and decision of the target and horizon that speaks for the model."""
    if first is None:
        return {"slices": [], "capacity": [], "decision": None}
    rows, rule = first.newest.rows, strongest_rule(first.pooled, "pr_auc")
    beside = {rival_of(first.newest, f"revenue_captured_{TOP_PERCENT}"), rule, CEILING}
    named = [name for name in first.newest.listed if name == CHAMPION or name in beside]
    counts = sorted({*params.capacities, params.called})
    economics = Economics(params.contact_cost, params.margin, params.uplift)
    facts, drawing = read_facts(artifacts / ACCOUNTS, first.pool), (params.bootstrap, params.seed)
    return {
        "slices": slices(first.pool, facts, tiers, rule, *drawing),
        "capacity": capacity_view(rows, named, counts, economics, *drawing),
        "decision": decision(rows, economics, *drawing),
    }


def _uplift(slots: Slots | None, first: Rolled | None, params: EvaluateParams, currency: str) -> dict[str, Any]:
    """The effect of contacting, as measured and as the capacity view assumes it."""
    rows = None if first is None else first.newest.rows
    seen = None if rows is None else (float(rows.label.mean()), rows.horizon)
    return read_out(slots, Assumed(params.uplift, params.random_share), currency, seen, params.bootstrap, params.seed)


def predictions(heldout: Iterable[HeldOut]) -> pa.Table:
    """The champion's prediction for each held-out row and what happened; null where it predicts nothing."""
    schema = pa.schema([SCHEMA.field(name) for name in PREDICTIONS])
    parts = [schema.empty_table()]
    for rows in heldout:
        said = rows.candidates[CHAMPION]
        n = len(rows.label)
        values = {
            "account_id": pa.array(rows.account_id, pa.string()),
            "as_of": pa.array([rows.as_of] * n, pa.date32()),
            "target": pa.array([rows.target] * n, pa.string()),
            "horizon": pa.array([rows.horizon] * n, pa.int16()),
            "probability": pa.nulls(n, pa.float64()) if said.probability is None else pa.array(said.probability),
            "expected_increment": pa.nulls(n, pa.float64()) if said.expected is None else pa.array(said.expected),
            "label": pa.array(rows.label.astype(np.int8)),
            "increment": pa.array(rows.increment),
            "origin": pa.array([rows.origin] * n, pa.date32()),
        }
        parts.append(pa.table(values, schema=schema))
    return pa.concat_tables(parts).combine_chunks()


def main(argv: list[str] | None = None) -> int:
    def called(call: Call) -> None:
        document = call.document
        params = section(document, "evaluate", EvaluateParams)
        needed = section(document, "gate", GateParams).min_positives
        definitions, labels = Definitions.from_params(document), section(document, "labels", LabelParams)
        with stage("evaluate") as report:
            slots = read_slots(call.workspace, definitions, labels)
            said = evaluate(call.workspace, params, truth_in(call.raw), slots, needed)
            report(f"grade: {said['grade']['word']}")
        print(said["headline"], file=sys.stderr)

    return run(called, "Stage evaluate: how good the candidate is; a truth in --raw gives a ceiling.", argv, "optional")


if __name__ == "__main__":
    raise SystemExit(main())
