"""What evaluation.json says: every figure of every candidate at every origin, written once and in one shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from training import metrics
from training.bootstrap import LEVEL, OF_MONEY, PERCENTS
from training.grade import LADDER, NOTHING_HELD_OUT, grade
from training.headline import evidence_of, headline, headline_of
from training.heldout import CEILING, CHAMPION, HeldOut
from training.measured import GAPS, Measured, pair, written
from training.money_order import GAP, MONEY_FIGURES
from training.rolling import Rolled, regret
from warehouse.periods import TARGET

SCHEMA_VERSION = 1
COPIED = ("trained_as_of", "data_fingerprint", "fingerprint", "bundle_id", "currency", "default_horizon")
WITHOUT_INTERVAL = ("kl_to_truth",)  # no chance of outcomes is in a divergence
AMOUNTS = (OF_MONEY, GAP)  # figures of the money stated
DEFINITIONS = {  # for who makes the figures again from predictions.parquet
    "pr_auc": "average precision (no interpolation), its mean over all orders of accounts of equal score",
    "results": "each entry is of the rows whose as_of is its own: the newest origin of its target and horizon",
    "lift_k": "share of the positives that the top k % hold, over k %; of the account at the edge, and of equal scores "
    "there, the part counts that lies within",
    "revenue_captured_k": "share of all increments above 0 that the top k % hold, by expected_increment where money is "
    "stated, else by the score",
    "ece": f"mean gap of probability and rate over {metrics.BINS} bins of equal mass",
    "brier_skill": "1 less the Brier score over that of the base rate of these rows",
    "expected_over_actual": "sum of probabilities over positives",
    "_ci": "95 % interval, accounts resampled",
}
CONDITIONAL = "high_value"  # the money stated beside it is that of an expansion, so its total is not judged here


def judged_first(rolled: Sequence[Rolled], train: Mapping[str, Any]) -> Rolled | None:
    """The target and horizon that the grade and the headline speak of; None when nothing was held out."""
    rows = headline_of([one.newest.rows for one in rolled], TARGET, train)
    return next((one for one in rolled if one.newest.rows is rows), None)


def document(
    rolled: Sequence[Rolled], train: Mapping[str, Any], replicates: int, seed: int, called: int, needed: int
) -> dict[str, Any]:
    """The document without what `ceiling`, `slices` and `capacity` add. `results` is the newest origin of each target
    and horizon; `needed`: positives there that the gate asks for."""
    first = judged_first(rolled, train)
    evidence = NOTHING_HELD_OUT
    if first is not None:
        evidence = evidence_of(first.newest, first.pooled, len(first.each))
    given = grade(evidence, needed)
    newest = [one.newest for one in rolled]
    return {
        "schema_version": SCHEMA_VERSION,
        **{key: train[key] for key in COPIED},
        "headline_horizon": first.newest.rows.horizon if first else None,
        "bootstrap": {"replicates": replicates, "seed": seed, "level": LEVEL, "unit": "account"},
        "called": called,
        "definitions": DEFINITIONS,
        "grade": {
            "word": given.word,
            "why": given.why,
            "origins": evidence.origins,
            "positives": evidence.positives,
            "newest": evidence.newest,
            "needed": needed,
            "thresholds": [{"word": word, "pr_auc_over_rule": lead, "roc_auc": auc} for word, lead, auc in LADDER],
        },
        "headline": headline(first.newest if first else None, called),
        "results": [result(table, name) | detail(table, name) for table in newest for name in table.listed],
        "comparisons": [row for table in newest for row in _comparisons(table)],
        "pooled_comparisons": [] if first is None or len(first.each) < 2 else _comparisons(first.pooled),
        "by_origin": [result(table, name) for one in rolled for table in one.each for name in table.listed],
        "pooled": [
            result(one.pooled, name) | {"origins": one.pool.origins} for one in rolled for name in one.pooled.listed
        ],
        "regret": [row for one in rolled for row in regret(one)],
        "deciles": [row for one in rolled for row in _deciles(one)],
    }


def result(table: Measured, candidate: str) -> dict[str, Any]:
    """One candidate on one table: each figure and its interval, null where undefined or not resampled."""
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
    shown = [figure for figure in figures if figure not in MONEY_FIGURES]
    return out | _written(table, candidate, shown)


def detail(table: Measured, candidate: str) -> dict[str, Any]:
    """The rest of the figures of a candidate: recall with the interval of the lift, and `MONEY_FIGURES`."""
    out: dict[str, Any] = {}
    for percent in PERCENTS:
        around, share = table.interval(candidate, f"lift_{percent}"), percent / 100
        out[f"recall_{percent}"] = written(table.figures[candidate][f"lift_{percent}"] * share)
        out[f"recall_{percent}_ci"] = None if around is None else pair((around[0] * share, around[1] * share))
    return out | _written(table, candidate, MONEY_FIGURES)


def _written(table: Measured, candidate: str, figures: Iterable[str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for figure in figures:
        known = figure not in AMOUNTS or _states_money_of_the_move(table.rows, candidate)
        out[figure] = written(table.figures[candidate][figure]) if known else None
        if figure not in WITHOUT_INTERVAL:
            out[f"{figure}_ci"] = pair(table.interval(candidate, figure)) if known else None
    return out


def _states_money_of_the_move(rows: HeldOut, candidate: str) -> bool:
    return candidate != CEILING and rows.target != CONDITIONAL


def _deciles(one: Rolled) -> list[dict[str, Any]]:
    """Observed and expected positives by decile of the champion's probability, lowest first, over all origins."""
    rows = one.pool.rows
    said = rows.candidates[CHAMPION].probability
    if said is None:
        return []
    place = {"target": rows.target, "horizon": rows.horizon}
    found = metrics.observed_expected(rows.label, said)
    shown = [{key: written(value) for key, value in asdict(part).items()} for part in found]
    return [{**place, "decile": number, **part} for number, part in enumerate(shown, start=1)]


def _comparisons(table: Measured) -> list[dict[str, Any]]:
    """The champion less every other candidate that was resampled, paired, a figure a row; an undefined one is left
    out. Recall at a percent is the lift's times that percent. Absolute gaps have none: resampling adds the most to
    the gap of the candidate whose probabilities spread the most, which the difference would then hold against it."""
    place = {"target": table.rows.target, "horizon": table.rows.horizon}
    return [
        {**place, "candidate": name, "figure": figure, "champion_lead": written(lead.value), "ci": pair(lead.ci)}
        for name in table.listed[1:]
        for figure in table.replicates.get(name, ())
        if figure not in GAPS and (figure not in AMOUNTS or _states_money_of_the_move(table.rows, name))
        if (lead := table.lead(name, figure)) is not None
    ]
