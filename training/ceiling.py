"""The simulator's truth as one more candidate, the ceiling: how much of what can be known at all a model finds.

The only module that reads the truth, and evaluation the only one that imports it: whatever learns or makes features
never sees the file. The true probability is the best that a score of facts before as_of can state, so a candidate that
does better beyond chance has seen something else; `findings` says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import rel_entr

from training.bootstrap import Difference, Figures, Scored
from training.errors import TruthBroken
from training.grade import THIN
from training.heldout import CEILING, CHAMPION, HeldOut, words
from training.measured import Measured, pair, written
from training.metrics import EDGE
from training.ranking import Floats
from warehouse.errors import DataError
from warehouse.periods import TARGETS
from warehouse.store import read_table

FILE = "truth.parquet"  # of the raw folder that a simulator wrote
COLUMNS: dict[str, pa.DataType] = {
    "account_id": pa.string(),
    "as_of": pa.date32(),
    "horizon": pa.int16(),
    **dict.fromkeys((*TARGETS, "increment"), pa.float64()),
}
SHARES = ("pr_auc", "lift_5", "revenue_captured_5")
REMEDY = "Simulate, ingest and train again with the same params, or take the file away to judge without a ceiling."


def truth_in(raw: Path | None) -> Path | None:
    """Where the raw folder has the truth, if it has one; None without a folder."""
    return None if raw is None else raw / FILE


def with_ceiling(heldout: Sequence[HeldOut], truth: Path | None, floors: Sequence[float] = ()) -> list[HeldOut]:
    """The held-out rows with the candidate `ceiling` beside the others: it states and ranks by the true probability of
    the target, and ranks money by the true expected increment. Unchanged without the file; a check is never given one.

    A truth that calls itself spoiled is that of a history whose tables were then damaged on purpose. It may be silent
    on held-out rows; those stand at the mean of the others and are counted as `HeldOut.without_truth`.

    Args:
        floors: of the ladder that the held-out rows were labelled by; checked where the truth names its own.

    Raises:
        TruthBroken: the file is not readable, lacks a column or has one of the wrong type, is of another ladder, lacks
            a held-out row or has one twice, or has a null or an impossible value where a held-out row needs one.
    """
    if truth is None or not truth.exists():
        return list(heldout)
    try:
        table = read_table(truth)
    except DataError as error:
        raise TruthBroken(f"{error} {REMEDY}") from error
    for name, kind in COLUMNS.items():
        if name not in table.column_names:
            raise TruthBroken(f"{truth}: column {name} is missing. {REMEDY}")
        if (found := table.schema.field(name).type) != kind:
            raise TruthBroken(f"{truth}: column {name} is {found}; it should be {kind}. {REMEDY}")
    notes = table.schema.metadata or {}
    of = json.loads(notes.get(b"ladder", b"null"))
    if of is not None and len(floors) and list(of) != [float(floor) for floor in floors]:
        raise TruthBroken(f"{truth}: is of a ladder with the floors {of}; the params have {list(floors)}. {REMEDY}")
    spoiled, known = notes.get(b"spoiled") == b"true", table.select(list(COLUMNS))
    # a check's outcome is defined elsewhere, and no truth speaks of it
    return [_beside(rows, known, truth, spoiled) if rows.target in TARGETS else rows for rows in heldout]


def truth_figures(rows: HeldOut, scored: Scored) -> Figures:
    """`kl_to_truth` of a candidate on the rows: the mean over accounts of KL(true || said), in nats, nan without a
    probability. It is the log-loss above the ceiling's that is left when the luck of the outcomes is taken out. Empty
    where no ceiling stands."""
    if (ceiling := rows.candidates.get(CEILING)) is None:
        return {}
    true, said = ceiling.probability, scored.probability
    return {"kl_to_truth": float("nan") if true is None or said is None else divergence(true, said)}


def divergence(true: Floats, said: Floats) -> float:
    """Mean KL(true || said) of yes-or-no outcomes, in nats: 0 where the truth is said; a certainty costs no more than
    in `metrics.log_loss`. nan without rows."""
    said = np.clip(said, EDGE, 1 - EDGE)
    return float((rel_entr(true, said) + rel_entr(1 - true, 1 - said)).mean()) if len(true) else float("nan")


def ceiling_document(newest: Sequence[Measured], pooled: Sequence[Measured] = ()) -> dict[str, Any]:
    """What evaluation.json says of the ceiling: `share_of_ceiling` and `beyond_ceiling` at the newest origins, and
    `pooled_share_of_ceiling`. Empty where none stands, so that a vendor without a simulator's truth reads nothing of
    it."""
    judged = [table for table in newest if CEILING in table.rows.candidates]
    if not judged:
        return {}
    beyond = [finding for table in judged for finding in findings(table)]
    return {
        "share_of_ceiling": _all_shares(judged),
        "pooled_share_of_ceiling": _all_shares([table for table in pooled if CEILING in table.rows.candidates]),
        "beyond_ceiling": sorted(beyond, key=lambda finding: finding["candidate"] != CHAMPION),
    }


def _all_shares(tables: Sequence[Measured]) -> list[dict[str, Any]]:
    return [_shares(table, name) for table in tables for name in table.listed if name != CEILING]


def findings(table: Measured) -> list[dict[str, Any]]:
    """Each figure in which a candidate does what no honest score can: log-loss below the ceiling's or, for the
    champion, ROC-AUC above it, the paired interval wholly beyond zero. None is looked for among fewer than `THIN`
    positives: with none at all whoever says less would win. Nor where the tables were spoiled: the outcomes then are
    not quite those that the truth speaks of."""
    if table.rows.label.sum() < THIN or table.rows.spoiled:
        return []
    stating = [name for name in table.listed if table.rows.candidates[name].probability is not None]
    losses = [(name, table.gap(name, CEILING, "log_loss")) for name in stating if name != CEILING]
    out = [_finding(table, name, "log_loss", gap) for name, gap in losses if gap is not None and gap.below_zero]
    ranked = table.gap(CHAMPION, CEILING, "roc_auc")
    if ranked is not None and ranked.above_zero:
        out.append(_finding(table, CHAMPION, "roc_auc", ranked))
    return out


def _beside(rows: HeldOut, truth: pa.Table, path: Path, spoiled: bool) -> HeldOut:
    place = f"{path}: {rows.target} {rows.horizon} days as of {rows.as_of}"
    on_day = pc.equal(truth["as_of"], pa.scalar(rows.as_of, pa.date32()))
    here = truth.filter(pc.and_(on_day, pc.equal(truth["horizon"], pa.scalar(rows.horizon, pa.int16()))))
    if (twice := len(here) - len(here["account_id"].unique())) > 0:
        raise TruthBroken(f"{place}: {twice:,} rows repeat an account; each has one. {REMEDY}")
    asked = pa.array(rows.account_id, pa.string())
    found = pc.index_in(asked, value_set=here["account_id"])
    if found.null_count and not spoiled:
        first = asked.filter(found.is_null())[0]
        raise TruthBroken(
            f'{place}: {found.null_count:,} of {len(asked):,} held-out rows have no truth, account "{first}" first. '
            f"The file must be that of the raw tables that were ingested. {REMEDY}"
        )
    said = {name: here[name].take(found) for name in (rows.target, "increment")}
    for name, column in said.items():
        if column.null_count and not spoiled:
            first = asked.filter(column.combine_chunks().is_null())[0]
            raise TruthBroken(
                f'{place}: {name} is null for {column.null_count:,} held-out rows, account "{first}" first. The '
                f"truth is silent at or above a tier, so the simulator's ladder is not that of the params. {REMEDY}"
            )
    silent = np.logical_or.reduce([column.is_null().to_numpy() for column in said.values()])
    probability, increment = (_with_mean(column.to_numpy(), silent) for column in said.values())
    _possible(place, rows.target, rows, probability, (probability >= 0) & (probability <= 1), "lies outside [0, 1]")
    _possible(place, "increment", rows, increment, np.isfinite(increment), "is not finite")
    ceiling = Scored(rows.label, rows.increment, probability, increment, probability, increment)
    candidates = {**rows.candidates, CEILING: ceiling}
    return replace(rows, candidates=candidates, spoiled=spoiled, without_truth=int(silent.sum()))


def _with_mean(values: Floats, silent: np.ndarray) -> Floats:
    """`values` with the mean of the others where they are `silent`; all zero if all are."""
    others = values[~silent]
    return np.where(silent, others.mean() if len(others) else 0.0, values)


def _possible(place: str, column: str, rows: HeldOut, values: Floats, good: np.ndarray, fault: str) -> None:
    if not good.all():
        first = int(np.flatnonzero(~good)[0])
        raise TruthBroken(
            f"{place}: {column} {fault} for {int((~good).sum()):,} held-out rows, account "
            f'"{rows.account_id[first]}" first ({values[first]}). {REMEDY}'
        )


def _shares(table: Measured, name: str) -> dict[str, Any]:
    """One row of `share_of_ceiling`, every figure but the divergence with its paired interval."""
    figures, top = table.figures[name], table.figures[CEILING]
    out: dict[str, Any] = {"target": table.rows.target, "horizon": table.rows.horizon, "candidate": name}
    below, above = table.gap(CEILING, name, "roc_auc"), table.gap(name, CEILING, "log_loss")
    out["roc_auc_below"] = written(top["roc_auc"] - figures["roc_auc"])
    out["roc_auc_below_ci"] = pair(below.ci if below else None)
    for figure in SHARES:
        share, around = table.share(name, CEILING, figure)
        out |= {f"{figure}_share": written(share), f"{figure}_share_ci": pair(around)}
    out["log_loss_above"] = written(figures["log_loss"] - top["log_loss"])
    out["log_loss_above_ci"] = pair(above.ci if above else None)
    return {**out, "kl_to_truth": written(figures["kl_to_truth"])}


def _finding(table: Measured, name: str, figure: str, gap: Difference) -> dict[str, Any]:
    """One row of `beyond_ceiling`; `text` is a finished sentence."""
    rows = table.rows
    what, side = ("log-loss", "below") if figure == "log_loss" else ("ROC-AUC", "above")
    low, high = sorted(abs(bound) for bound in gap.ci)
    return {
        "target": rows.target,
        "horizon": rows.horizon,
        "candidate": name,
        "figure": figure,
        "lead": written(gap.value),
        "ci": pair(gap.ci),
        "text": (
            f"The {what} of {words(name)} for {rows.target.replace('_', ' ')} within {rows.horizon} days is "
            f"{abs(gap.value):.4f} {side} that of the true probabilities (95 % interval {low:.4f} to {high:.4f})."
        ),
    }
