"""Golden predictions: rows sealed in a bundle with the predictions of its model when it was saved.

A model file can be damaged so that it still loads and predicts something else, and a new version of a library could do
the same to a sound one. Whoever loads a bundle first (`models.canary`) makes it say these predictions again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np

from features.catalogue import FEATURE_NAMES
from models.encoding import Encoding
from models.errors import BundleRefused
from models.peers import AGE_BANDS
from models.reasons import by_family
from models.trees import thresholds, to_text

if TYPE_CHECKING:
    from models.scorer import Scorer

ROWS = 128
ABSENT = 0.05  # share of cells that are null
VAST = 1e300  # a threshold beyond it parts null from all numbers
TOLERANCE = 1e-12  # of the prediction, or absolute below 1


def golden(scorer: Scorer) -> dict[str, Any]:
    """Rows and predictions as JSON; none for a rule, which has nothing to damage but its text."""
    if not scorer.hazards:
        return {"rows": [], "predictions": {}}
    rows = golden_rows(scorer.encoding, scorer.boosters.values())
    predictions = {name: values.tolist() for name, values in _predictions(scorer, rows).items()}
    return {
        "rows": [[None if np.isnan(cell) else cell for cell in row] for row in rows.tolist()],
        "predictions": predictions,
    }


def check_golden(scorer: Scorer, folder: Path) -> None:
    """Raises BundleRefused unless `scorer`, loaded from `folder`, is what its files say and predicts what is sealed
    there. A model file that LightGBM would write otherwise than it stands was misread, however well it predicts: what
    was missing was taken from memory that may hold something else in the next process."""
    for name, booster in scorer.boosters.items():
        if to_text(booster) != (folder / f"{name}.lgb.txt").read_text(encoding="utf-8"):
            raise BundleRefused(
                f"{folder / name}.lgb.txt: LightGBM reads something else than is written there. The bundle is damaged: "
                "fetch or train it again."
            )
    if scorer.hazards and set(scorer.encoding.names) != set(FEATURE_NAMES):
        raise BundleRefused(f"{folder / 'encoding.json'}: names features that do not exist. Fetch or train it again.")
    said = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    expected = {name: np.array(values, dtype=np.float64) for name, values in said["predictions"].items()}
    if not scorer.hazards and not expected:
        return
    rows = np.array(said["rows"], dtype=np.float64)  # null becomes NaN
    found = _predictions(scorer, rows)
    wrong = [name for name in found.keys() | expected.keys() if not _same(found.get(name), expected.get(name))]
    if wrong:
        raise BundleRefused(
            f"{folder}: {', '.join(sorted(wrong))} of the golden rows are not what was sealed (within {TOLERANCE:g}). "
            "The bundle is damaged, or this machine computes otherwise. Fetch or train it again."
        )


def golden_rows(encoding: Encoding, boosters: Iterable[lgb.Booster]) -> np.ndarray:
    """(ROWS, features): each cell lies between two thresholds of its column, so that rows part at every split."""
    rng = np.random.default_rng(0)
    cuts: dict[int, np.ndarray] = {}
    for booster in boosters:
        for column, values in thresholds(booster).items():
            finite = values[np.abs(values) < VAST]
            cuts[column] = np.union1d(cuts.get(column, []), finite)
    rows = np.zeros((ROWS, len(encoding.names)))
    for column, name in enumerate(encoding.names):
        if name in encoding.levels:
            rows[:, column] = rng.integers(0, len(encoding.levels[name]) + 1, ROWS)
        elif len(cuts.get(column, [])):
            ends = np.concatenate([[cuts[column][0] - 1], cuts[column], [cuts[column][-1] + 1]])
            rows[:, column] = rng.choice((ends[1:] + ends[:-1]) / 2, ROWS).round(6)
        else:  # no tree splits there, but a linear sum may well read it
            rows[:, column] = rng.lognormal(1, 1.5, ROWS).round(6)
    rows[rng.random(rows.shape) < ABSENT] = np.nan
    return rows


def _predictions(scorer: Scorer, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What scores and reasons are made of; the rows take the age bands of their peers in turn."""
    bands = np.arange(len(rows)) % len(AGE_BANDS)
    centred = scorer.peers.centre(scorer.explained.contributions(rows), bands)
    return {**scorer.predict(rows), "log_odds": scorer.explained.raw(rows), "reasons": by_family(centred)}


def _same(found: np.ndarray | None, expected: np.ndarray | None) -> bool:
    if found is None or expected is None or found.shape != expected.shape:
        return False
    return bool((np.abs(found - expected) <= TOLERANCE * np.maximum(1.0, np.abs(expected))).all())
