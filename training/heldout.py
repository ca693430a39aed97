"""What the train stage leaves for judging, read back and held to its contract: `heldout.parquet` and `train.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from training.bootstrap import Scored
from training.errors import HeldOutBroken
from training.ranking import Floats
from warehouse.store import read_table

CHAMPION = "champion"  # the candidate that is on trial; the others stand beside it
CEILING = "ceiling"  # the simulator's truth: evaluation adds it, no train stage ever writes it
SCHEMA = pa.schema(
    [
        ("account_id", pa.string()),
        ("as_of", pa.date32()),
        ("origin", pa.date32()),
        ("target", pa.string()),
        ("horizon", pa.int16()),
        ("candidate", pa.string()),
        ("score", pa.float64()),
        ("money_score", pa.float64()),
        ("probability", pa.float64()),
        ("expected_increment", pa.float64()),
        ("amount_low", pa.float64()),
        ("amount_high", pa.float64()),
        ("label", pa.int8()),
        ("increment", pa.float64()),
    ]
)
READ = tuple(name for name in SCHEMA.names if name not in ("amount_low", "amount_high"))  # what judging reads
NULLABLE = ("probability", "expected_increment")
TRAIN_KEYS = ("trained_as_of", "data_fingerprint", "fingerprint", "bundle_id", "currency", "default_horizon", "gain")


WORDS = {  # candidate -> what a reader calls it
    CHAMPION: "the model",
    CEILING: "ceiling (the simulator's truth)",
    "logistic": "ridge logistic",
    "books_only": "trees and logistic without usage",
    "position": "place on the ladder and age",
    "base_rate": "base rate for everyone",
    "spend_90d": "spend of the last 90 days",
    "spend_lifetime": "lifetime spend",
    "recency": "most recent invoice",
    "activity_28d": "activity of the last 28 days",
    "pql": "product-qualified-lead points",
    "distilled": "trees taught by a teacher, and logistic",
    "average": "average of trees and logistic",
    "hazard": "boosted hazards",
    "direct": "direct classifier",
    "matured": "classifier of whole windows",
    "tweedie": "the model, money by Tweedie",
    "bg_nbd": "BG/NBD times mean spend",
    "tier_prior": "rate of the tier",
    "rfm": "recency, frequency, money",
    "spend_rate": "lifetime spend by age",
    "expansion_score": "the product's expansion score",
}
NO_BETTER_THAN_TRUE = (  # said where a candidate beats the ceiling beyond chance
    "No honest score does better than the true probabilities: a leak is likely, or the truth was made under other "
    "params."
)


def words(candidate: str) -> str:
    """What a reader calls the candidate; one without words of its own keeps its name."""
    return WORDS.get(candidate, candidate.replace("_", " "))


def marked(candidate: str) -> str:
    """`words` in Markdown: the model in bold, the ceiling in italics."""
    name = words(candidate)
    return f"**{name}**" if candidate == CHAMPION else f"*{name}*" if candidate == CEILING else name


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The held-out rows of one target, horizon (days) and as_of, the same for every candidate, by account.

    `account_id` (n,) and `account` (n,), its number from 0; `origin`: every training label was complete before it.
    `spoiled`, `without_truth`: of the ceiling, see `training.ceiling.with_ceiling`.
    """

    target: str
    horizon: int
    as_of: date
    origin: date
    account_id: npt.NDArray[np.object_]
    account: npt.NDArray[np.intp]
    label: Floats
    increment: Floats
    candidates: dict[str, Scored]
    spoiled: bool = False
    without_truth: int = 0


def read_train(path: Path) -> dict[str, Any]:
    """train.json as written.

    Raises:
        HeldOutBroken: it is missing, is not JSON, or lacks a key that judging needs.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HeldOutBroken(f"{path} cannot be read ({error}).") from error
    missing = [key for key in TRAIN_KEYS if key not in document]
    if missing:
        raise HeldOutBroken(f"{path} lacks {', '.join(missing)}.")
    return dict(document)


def read_heldout(path: Path) -> list[HeldOut]:
    """heldout.parquet by target, horizon and as_of, in that order, so the newest of the rolling origins of a target and
    horizon is the last of them; empty when nothing could be held out. A candidate may be absent from some of them.

    Raises:
        HeldOutBroken: a column is missing or of the wrong type, a value is null or not finite, a candidate lacks rows
            that another has, the champion is absent, or the ceiling is there. The message names the place and the rule.
    """
    table = read_table(path)
    columns = {name: _column(table, name, path) for name in READ}
    if not len(table):
        return []
    for key in ("target", "horizon", "candidate", "account_id"):
        columns[f"{key}#"] = np.unique(columns[key], return_inverse=True)[1]
    keys = ("account_id#", "candidate#", "as_of", "horizon#", "target#")
    order = np.lexsort([columns[key] for key in keys])
    columns = {name: values[order] for name, values in columns.items()}
    new = [columns[key][1:] != columns[key][:-1] for key in ("target#", "horizon#", "as_of")]
    edges = np.flatnonzero(np.logical_or.reduce(new)) + 1
    bounds = zip(np.append(0, edges), np.append(edges, len(order)), strict=True)
    return [_group({name: values[a:b] for name, values in columns.items()}, path) for a, b in bounds]


def _column(table: pa.Table, name: str, path: Path) -> npt.NDArray[Any]:
    if name not in table.column_names:
        raise HeldOutBroken(f"{path}: column {name} is missing.")
    kind = SCHEMA.field(name).type
    try:
        column = table[name].cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise HeldOutBroken(f"{path}: column {name} should be {kind} ({error}).") from error
    if name not in NULLABLE and column.null_count:
        raise HeldOutBroken(f"{path}: column {name} has {column.null_count} nulls; it may have none.")
    if kind == pa.date32():
        return np.asarray(column.to_numpy().astype("datetime64[D]"))
    values = (pc.fill_null(column, np.nan) if name in NULLABLE else column).to_numpy()
    if name not in NULLABLE and values.dtype.kind == "f" and not np.isfinite(values).all():
        raise HeldOutBroken(
            f"{path}: column {name} has {int((~np.isfinite(values)).sum())} values that are not finite."
        )
    return np.asarray(values)


def _group(rows: dict[str, npt.NDArray[Any]], path: Path) -> HeldOut:
    target, horizon = str(rows["target"][0]), int(rows["horizon"][0])
    place = f"{path}: {target} {horizon} days as of {rows['as_of'][0]}"
    edges = np.flatnonzero(np.diff(rows["candidate#"])) + 1
    bounds = list(zip(np.append(0, edges), np.append(edges, len(rows["label"])), strict=True))
    named = {str(rows["candidate"][a]): slice(a, b) for a, b in bounds}
    if CHAMPION not in named:
        raise HeldOutBroken(f'{place}: no candidate "{CHAMPION}" among {", ".join(named)}.')
    if CEILING in named:
        raise HeldOutBroken(f'{place}: "{CEILING}" is a candidate; evaluation alone adds it.')
    own = {name: values[named[CHAMPION]] for name, values in rows.items()}
    for name, part in named.items():
        for key in ("account_id", "label", "increment"):
            if not np.array_equal(rows[key][part], own[key]):
                raise HeldOutBroken(f"{place}: {key} of candidate {name} differs from the champion's; rows must agree.")
    if len(found := np.unique(rows["origin"])) > 1:
        raise HeldOutBroken(f"{place}: {len(found)} values of origin; one is allowed.")
    if own["origin"][0] > own["as_of"][0]:
        raise HeldOutBroken(
            f"{place}: origin {own['origin'][0]} is later than as_of; a model learns only from labels complete by then."
        )
    if odd := int((~np.isin(own["label"], (0, 1))).sum()):
        raise HeldOutBroken(f"{place}: {odd:,} labels of {len(own['label']):,} are neither 0 nor 1.")
    if again := len(own["label"]) - len(np.unique(own["account_id#"])):
        raise HeldOutBroken(f"{place}: {again:,} rows more than accounts; each account may have one.")
    label, increment = own["label"].astype(np.float64), own["increment"].astype(np.float64)
    return HeldOut(
        target=target,
        horizon=horizon,
        as_of=own["as_of"][0].item(),
        origin=own["origin"][0].item(),
        account_id=own["account_id"],
        account=np.unique(own["account_id#"], return_inverse=True)[1],
        label=label,
        increment=increment,
        candidates={name: _scored(rows, part, label, increment, place) for name, part in named.items()},
    )


def _scored(rows: dict[str, npt.NDArray[Any]], part: slice, label: Floats, increment: Floats, place: str) -> Scored:
    probability: Floats | None = rows["probability"][part]
    if probability is not None and np.isnan(probability).all():
        probability = None
    if probability is not None and not ((probability >= 0) & (probability <= 1)).all():
        name = rows["candidate"][part][0]
        raise HeldOutBroken(f"{place}: a probability of {name} is null or outside [0, 1]; give all or none.")
    expected: Floats | None = rows["expected_increment"][part]
    if expected is not None and not np.isfinite(expected).all():
        expected = None  # money is stated for all or judged for none
    return Scored(label, increment, rows["score"][part], rows["money_score"][part], probability, expected)
