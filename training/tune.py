"""Search for the boosters' settings: Optuna on grouped rolling origins. Training only.

A fold is an origin and a half of the searching accounts: the boosters learn from the other half what was known at the
origin, and say the chance of expanding in the first interval of the accounts of their half, averaged with the ridge. A
trial's value is the mean log-loss over folds and one standard error of it; one that after some folds does worse than
half of the trials before it did there is given up. No account that searching looks at is judged at an outer origin
(`searched`), and the shipped settings are the first trial: they stay unless another does better. Other accounts, but no
other time: origins of the search may lie after an outer one. With `train.teacher` the settings found are those of the
teacher, of closing and of the amount; the pupil's own are fixed (`teacher.PUPIL`), its rounds aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from models.average import average
from models.boosted import fit_boosted
from models.boosting import BoosterParams
from models.calibration import losses
from models.encoding import Encoding
from models.hazard import EDGES, Fit, PersonPeriods
from models.logistic import fit_logistic_hazard
from models.side_by_side import THREADS, side_by_side
from training.dataset import Dataset
from training.fit import taught_by
from training.splits import PLACES, place_of
from warehouse.errors import ParamsError
from warehouse.params import Section

if TYPE_CHECKING:
    import optuna

HALVES = 2
SPAN = EDGES[1]  # days
FIRST = 5  # trials of which none is given up


class SearchParams(Section):
    """Section `train.search`. The budget ends with whichever comes first; ended by `trials` the result is the same for
    the same seed, ended by `seconds` it depends on the machine."""

    trials: int = Field(default=0, ge=0)  # 0: no search
    seconds: float = Field(default=180.0, gt=0)
    origins: int = Field(default=3, ge=1)
    accounts: float = Field(default=0.5, gt=0, lt=1)  # share that searching may look at; the others are judged


@dataclass(frozen=True)
class Fold:
    """What one fold teaches and asks; `steady`: the ridge, which no trial changes."""

    matrix: np.ndarray
    taught: PersonPeriods
    encoding: Encoding
    steady: Fit
    rows: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class Found:
    """The settings to train with, and every trial: number, params and value (nats; null: it was given up). `ended_by`:
    the part of the budget that was used up, "trials" or "seconds"; null: nothing was tried."""

    params: BoosterParams
    trials: list[dict[str, Any]]
    ended_by: str | None = None


def refuse_outside(shipped: BoosterParams) -> None:
    """Raises ParamsError where the settings that are to be tried first lie outside what is searched."""
    for name, (low, high, _) in _SPACE.items():
        if not low <= getattr(shipped, name) <= high:
            raise ParamsError(
                f"params: train.booster.{name} is {getattr(shipped, name):g}; a search tries {low:g} to {high:g} and "
                "begins with it. Change it, or set train.search.trials to 0."
            )


def searched(accounts: pa.ChunkedArray, share: float) -> np.ndarray:
    """(n,) bool: the accounts that searching may look at, told by their id alone."""
    return place_of(accounts) < share * PLACES


def search(
    known: Mapping[date, Dataset], full: Dataset, params: SearchParams, shipped: BoosterParams, seed: int
) -> Found:
    """The best of `params.trials` settings.

    Args:
        known: by inner origin, the snapshots before it with their outcomes as known there.
        full: all snapshots with all outcomes; asked on the inner origins alone.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    per_origin = side_by_side(lambda one: _folds(one[1], full.on(one[0]), params.accounts, seed), known.items())
    folds = [fold for few in per_origin for fold in few]
    if not folds:
        return Found(shipped, [])
    worse_than_half = optuna.pruners.MedianPruner(n_startup_trials=FIRST, n_warmup_steps=1)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=worse_than_half)
    study.enqueue_trial({name: getattr(shipped, name) for name in _SPACE})
    one = shipped.model_copy(update={"seeds": 1})

    def value(trial: optuna.Trial) -> float:
        each: list[float] = []
        for loss in _losses(folds, one.model_copy(update=_suggest(trial)), seed):
            each.append(loss)
            trial.report(float(np.mean(each)), len(each))
            if len(each) < len(folds) and trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(each) + np.std(each) / np.sqrt(len(each)))

    study.optimize(value, n_trials=params.trials, timeout=params.seconds)
    whole = {trial.number for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])}
    told = [
        {"number": trial.number, "params": trial.params, "value": trial.value if trial.number in whole else None}
        for trial in study.trials
    ]
    ended_by = "trials" if len(told) >= params.trials else "seconds"
    return Found(shipped.model_copy(update=study.best_params), told, ended_by)


def _losses(folds: Sequence[Fold], params: BoosterParams, seed: int) -> Iterator[float]:
    """Log-loss of the average on each fold, in nats; who asks for no more spares the rest, but for the one beside."""

    def loss(fold: Fold) -> float:
        names, categories = list(fold.encoding.names), fold.encoding.category_columns
        boosted = fit_boosted(fold.matrix, fold.taught, params, seed, names, categories)
        said = average(fold.taught, boosted, fold.steady).log_odds(fold.rows)[:, 0]
        return float(losses(said, fold.label).mean())

    for first in range(0, len(folds), THREADS):
        yield from side_by_side(loss, folds[first : first + THREADS])


_SPACE: dict[str, tuple[float, float, bool]] = {  # low, high, on a log scale
    "num_leaves": (4, 24, True),
    "min_data_in_leaf": (20, 400, True),
    "lambda_l2": (1.0, 200.0, True),
    "feature_fraction": (0.1, 0.6, False),
    "learning_rate": (0.02, 0.1, True),
    "rounds": (60, 300, True),
}


def _suggest(trial: optuna.Trial) -> dict[str, Any]:
    whole = {name for name, field in BoosterParams.model_fields.items() if field.annotation is int}
    return {
        name: trial.suggest_int(name, int(low), int(high), log=log)
        if name in whole
        else trial.suggest_float(name, low, high, log=log)
        for name, (low, high, log) in _SPACE.items()
    }


def _folds(past: Dataset, there: Dataset, share: float, seed: int) -> list[Fold]:
    """Two folds an origin: each half of the searching accounts is asked about, the other teaches. A fold in which
    nobody expanded says nothing and is left out."""
    out = []
    place, asked_place = place_of(past.features["account_id"]), place_of(there.features["account_id"])
    label = there.outcome("expansion", SPAN)
    for half in range(HALVES):
        others = (place < share * PLACES) & (place % HALVES != half)
        asked = (asked_place < share * PLACES) & (asked_place % HALVES == half) & ~np.isnan(label)
        data = past.take(others)
        taught = taught_by(data, "expansion").thinned(seed)
        if taught.label.sum() == 0 or np.nansum(label[asked]) == 0:
            continue
        encoding = Encoding.learn(data.features)
        matrix = encoding.matrix(data.features)
        names, accounts = list(encoding.names), data.account_numbers()
        steady = fit_logistic_hazard(matrix, taught, encoding.category_columns, names=names, accounts=accounts)
        rows = encoding.matrix(there.take(asked).features)
        out.append(Fold(matrix, taught, encoding, steady, rows, label[asked]))
    return out
