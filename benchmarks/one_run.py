"""One vendor, invented or real, through the product's own functions, and every figure that the results page needs.

`groups` are the accounts of the dates held out, each judged by a model that was fitted on what was known then.
`elsewhere` are those of another vendor of the same world, judged by the bundle at the same dates: it has seen all eight
quarters of its own vendor and not one account of this one, which is how the bars were first measured.

An account's age at the held-out dates makes the landmarks: dates are the first of a month, so hardly any account is
seen on the very day it is 4, 13 or 26 weeks old. Week 4 is an age of [14, 56) days, week 13 of [56, 126), week 26 of
[126, 252); all rows of all held-out dates of that age count, and `all` is every account at risk.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.bars import PLAIN
from models.scorer import Scorer
from simulator.simulate import SimulateParams, simulate
from training import metrics
from training.bootstrap import Scored
from training.ceiling import divergence, truth_in, with_ceiling
from training.contest import contest, stating
from training.dataset import Dataset
from training.errors import TooFewPositives
from training.heldout import CEILING, CHAMPION, read_heldout
from training.pipeline import prepare, train_and_register
from training.ranking import Ladder, Ranking
from training.rolling import Pool, by_target, pooled, within
from training.slices import part_of
from warehouse.ingest import IngestParams, ingest_stage
from warehouse.params import read_params, section
from warehouse.store import Workspace, read_table, write_table

ROOT = Path(__file__).parents[1]
TARGET, HORIZON = "expansion", 180
ELSEWHERE = 1_000  # added to the seed: the other vendor
LOOSER = {"faulty": {"max_ratio": {"mixed_currency": 0.05, "wrong_sign": 0.05}}}  # by default ingest stops there
LANDMARKS = {"week 4": (14, 56), "week 13": (56, 126), "week 26": (126, 252)}  # age in days, [from, to)
DEPTHS = (0, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 40, 60, 80, 100)  # % of the accounts, of the gains curves
KEPT = ("roc_auc", "pr_auc", "lift_5", "lift_10", "revenue_captured_5", "revenue_captured_10", "log_loss")
DIGITS = 6


def run_world(world: str, accounts: int, seed: int, folder: Path) -> dict[str, Any]:
    """Simulates, ingests, trains and judges in `folder`. A vendor too small to train on, or to be
    judged, says so: `refused`."""
    raw, workspace = folder / "raw", Workspace(folder / "workspace")
    invented = simulate(raw, SimulateParams(world=world, accounts=accounts, seed=seed))
    document = read_params(ROOT / "params.yaml")
    document["ingest"] = document["ingest"] | LOOSER.get(world, {})
    about = {"world": world, "accounts": invented["accounts"], "seed": seed}
    try:
        evaluation = _trained(raw, workspace, document)
    except TooFewPositives as error:
        return {**about, "refused": str(error)}
    if not any((row["target"], row["horizon"]) == (TARGET, HORIZON) for row in evaluation["results"]):
        return {**about, "refused": f"no date could be held out for {TARGET} within {HORIZON} days"}
    judged = _judged(raw, workspace, evaluation, document)
    if world == PLAIN:
        other = SimulateParams(world=world, accounts=accounts, seed=seed + ELSEWHERE)
        judged["elsewhere"] = _elsewhere(other, workspace, judged["dates"], document, folder / "elsewhere")
    return {**about, **judged}


def run_real(name: str, data: Path, folder: Path) -> dict[str, Any]:
    """A public data set with the params that ship for it: each candidate at every target and horizon."""
    workspace = Workspace(folder / "workspace")
    evaluation = _trained(data / name, workspace, read_params(ROOT / "examples" / name / "params.yaml"))
    figures = ("n", "positives", "base_rate", "roc_auc", "pr_auc", "lift_10", "revenue_captured_10", "brier_skill")
    intervals = tuple(f"{figure}_ci" for figure in figures[3:])
    place = ("target", "horizon", "as_of", "candidate")
    kept = [{key: row[key] for key in (*place, *figures, *intervals)} for row in evaluation["results"]]
    return {"name": name, "grade": evaluation["grade"], "headline": evaluation["headline"], "results": kept}


def _trained(raw: Path, workspace: Workspace, document: dict[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC)
    ingest_stage(raw, workspace, section(document, "ingest", IngestParams), now)
    train_and_register(workspace, document, "benchmark", lambda: now, raw)
    return dict(json.loads((workspace.artifacts / "evaluation.json").read_text(encoding="utf-8")))


def _judged(raw: Path, workspace: Workspace, evaluation: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    path = workspace.artifacts / "heldout.parquet"
    pool = _pool(path, raw, document)
    train = json.loads((workspace.artifacts / "train.json").read_text(encoding="utf-8"))
    return {
        "grade": evaluation["grade"],
        "headline": evaluation["headline"],
        "learners": [one["learner"] for one in train["origins"] if HORIZON in one["horizons"]],
        "dates": sorted(str(day) for day in np.unique(pool.day)),
        "groups": _groups(pool, workspace),
        "origins": _here(evaluation["by_origin"], (CHAMPION, CEILING, "activity_28d", "spend_lifetime")),
        "pooled": _here(evaluation["pooled"], (CHAMPION,)),
        "deciles": [row for row in evaluation["deciles"] if (row["target"], row["horizon"]) == (TARGET, HORIZON)],
        "gains": {name: _gains(scored) for name, scored in pool.rows.candidates.items()},
        "shape": _shape(workspace),
        "amounts": next((row for row in evaluation["money_range"] if row["horizon"] == HORIZON), None),
        "money": _money(pool, workspace),
    }


def _elsewhere(
    other: SimulateParams, taught: Workspace, dates: list[str], document: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """The groups of another vendor, scored by the bundle in `taught` at the `dates`."""
    raw, workspace = folder / "raw", Workspace(folder / "workspace")
    simulate(raw, other)
    ingest_stage(raw, workspace, section(document, "ingest", IngestParams), datetime.now(UTC))
    prepare(workspace, document)
    full = Dataset(*(read_table(workspace.artifacts / f"{name}.parquet") for name in ("features", "labels")))
    scorer = Scorer.load(taught.artifacts / "candidate")
    blocks: list[pa.Table] = []
    for day in map(date.fromisoformat, dates):
        there = full.on(day)
        there = there.take(~np.isnan(there.outcome(TARGET, HORIZON)))
        said = scorer.predict(scorer.encoding.matrix(there.features))
        champion = {CHAMPION: stating(said[f"{TARGET}_{HORIZON}"], said[f"increment_{HORIZON}"])}
        label, increment = there.outcome(TARGET, HORIZON), there.money(f"increment_{HORIZON}")
        blocks += contest(TARGET, HORIZON, day, there, label, increment, champion)
    path = workspace.artifacts / "heldout.parquet"
    write_table(pa.concat_tables(blocks), path)
    return _groups(_pool(path, raw, document), workspace)


def _pool(heldout: Path, raw: Path, document: dict[str, Any]) -> Pool:
    """All held-out rows of the target and horizon, beside the truth in `raw`."""
    floors = [float(tier["floor"]) for tier in document["tiers"]["ladder"]]
    groups = by_target(with_ceiling(read_heldout(heldout), truth_in(raw), floors))
    return next(pooled(parts) for parts in groups if (parts[0].target, parts[0].horizon) == (TARGET, HORIZON))


def _groups(pool: Pool, workspace: Workspace) -> dict[str, Any]:
    age = _feature(workspace, pool, "tenure_days")
    masks = {"all": np.ones(len(age), bool)}
    masks |= {name: (age >= low) & (age < high) for name, (low, high) in LANDMARKS.items()}
    return {name: _group(pool, inside) for name, inside in masks.items()}


def _feature(workspace: Workspace, pool: Pool, name: str) -> np.ndarray:
    """The feature of each row of the pool, (n,)."""
    features = read_table(workspace.artifacts / "features.parquet").select(["account_id", "as_of", name])
    day = pa.array(pool.day.astype("datetime64[D]"))
    rows = pa.table({"account_id": pa.array(pool.rows.account_id, pa.string()), "as_of": day, "place": range(len(day))})
    found = rows.join(features, ["account_id", "as_of"]).sort_by("place")
    return np.asarray(found[name].to_numpy(), dtype=np.float64)


def _group(pool: Pool, inside: np.ndarray) -> dict[str, Any]:
    """n, positives, and the figures of every candidate on the rows, ranked among those of the same date; `among_all`:
    model and ceiling ranked among all accounts of the date, those outside the group too."""
    among_all = {name: part_of(scored, inside) for name, scored in pool.rows.candidates.items()}
    own = {name: within(scored, pool.day[inside]) for name, scored in among_all.items()}
    true = own[CEILING].probability
    return {
        "n": int(inside.sum()),
        "positives": int(own[CHAMPION].label.sum()),
        "candidates": {name: _figures(name, scored, true) for name, scored in own.items()},
        "among_all": {name: _figures(name, among_all[name], true) for name in (CHAMPION, CEILING)},
    }


def _figures(name: str, scored: Scored, true: np.ndarray | None) -> dict[str, float | None]:
    figures = scored.figures()
    out = {figure: figures[figure] for figure in KEPT}
    if (said := scored.probability) is not None:
        out |= {"expected": float(said.sum()), "ece": figures["ece"]}
        out["kl"] = divergence(true, said) if true is not None else float("nan")
    if true is not None:  # who moves is one draw of it
        ladder = Ladder.of(Ranking.of(scored.score), true)
        out["roc_auc_of_truth"] = float(metrics.roc_auc_of(ladder))
        out["lift_5_of_truth"] = float(metrics.share_of(ladder, 5)) * 20
    if scored.expected is not None and name != CEILING:  # of the accounts that expand, as the product states it
        out["money_expected"] = float(scored.expected.sum())
        out["money_gained"] = float((scored.label * np.maximum(scored.increment, 0.0)).sum())
    return {figure: None if np.isnan(value) else round(value, DIGITS) for figure, value in out.items()}


def _gains(scored: Scored) -> dict[str, list[float]]:
    """Share of the positives and of the money that the first `DEPTHS` % hold."""
    out = {}
    wants = (("accounts", scored.label, scored.score), ("money", np.maximum(scored.increment, 0), scored.money_score))
    for what, wanted, score in wants:
        ladder = Ladder.of(Ranking.of(score), wanted)
        out[what] = [round(float(metrics.share_of(ladder, depth)), 4) for depth in DEPTHS]
    return out


def _here(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    figures = ("roc_auc", "pr_auc", "lift_10", "revenue_captured_10", "expected_over_actual")
    keys = ("as_of", "candidate", "n", "positives", "base_rate", *figures, *(f"{figure}_ci" for figure in figures))
    own = [row for row in rows if (row["target"], row["horizon"]) == (TARGET, HORIZON) and row["candidate"] in names]
    return [{key: row[key] for key in keys} for row in own]


def _shape(workspace: Workspace) -> dict[str, int]:
    """Rows of the newest date that the bundle scores, and how many of them break a law: a probability that falls as
    the horizon grows, or expansion and churn together above 1."""
    features = read_table(workspace.artifacts / "features.parquet")
    newest = features.filter(pc.equal(features["as_of"], pc.max(features["as_of"])))
    scorer = Scorer.load(workspace.artifacts / "candidate")
    scores = scorer.score(newest)

    def columns(kind: str) -> np.ndarray:
        return np.column_stack([scores[f"{kind}_{h}"].to_numpy() for h in sorted(scorer.horizons)]).astype(float)

    expansion, churn = columns("probability"), columns("churn")
    falls = [
        np.nan_to_num(np.diff(columns(kind), axis=1)).min(axis=1) < -1e-12 for kind in ("probability", "high_value")
    ]
    crowded = (np.nan_to_num(expansion) + np.nan_to_num(churn)).max(axis=1) > 1 + 1e-9
    return {"rows": len(newest), "falls": int((falls[0] | falls[1]).sum()), "crowded": int(crowded.sum())}


def _money(pool: Pool, workspace: Workspace) -> list[dict[str, Any]]:
    """Date by date and tier by tier: the money that the model expected of who expands, and what they gained."""
    tier, own = _feature(workspace, pool, "tier"), pool.rows.candidates[CHAMPION]
    if own.expected is None:
        return []
    gained, out = own.label * np.maximum(own.increment, 0.0), []
    for day in np.unique(pool.day):
        for step in np.unique(tier[pool.day == day]):
            inside = (pool.day == day) & (tier == step)
            sums = {"expected": own.expected[inside].sum(), "gained": gained[inside].sum()}
            counts = {"n": int(inside.sum()), "positives": int(own.label[inside].sum())}
            out.append(
                {"as_of": str(day), "tier": int(step), **counts, **{k: round(float(v), 2) for k, v in sums.items()}}
            )
    return out
