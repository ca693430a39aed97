"""A teacher who sees more than a bundle may, and the trees that learn from it.

The teacher is the mean chance of a ridge and of trees on features and foreseen surrogates, and of trees on the
surrogates alone. With hidden phases (`phases.py`) what those foretell stands beside the surrogates, and in the place of
the ridge. It could not serve: it needs models of its own for what it foresees, and its reasons would be about
forecasts. Its chances, told of snapshots whose outcome is not known yet as well, are the soft labels by which trees on
the features of the day are taught (distillation: Hinton, Vinyals & Dean 2015). So what is served, the mean of those
trees and of the ridge on the features of the day, is a hazard like any other, with the same files and exact reasons.
Measured in docs/adr/0025 and 0028.
"""

from __future__ import annotations

import numpy as np

from models.average import average
from models.boosted import fit_boosted
from models.boosting import BoosterParams
from models.hazard import EDGES, STARTS, Fit, Hazard, Never, PersonPeriods, chance, said_of
from models.logistic import CLOCK, fit_logistic_hazard

SNAPSHOTS = 80_000  # that the teacher is asked about, each in one interval
PUPIL = {
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_data_in_leaf": 30,
    "lambda_l2": 5.0,
    "feature_fraction": 0.3,
    "seeds": 2,
}  # soft labels have hardly any noise, so trees may follow them closely, and for two thirds more rounds
PART = 2 / 3  # of the pupil in what serves; the rest is the ridge's
ALONE = {"seeds": 1, "feature_fraction": 0.3, "monotone": ()}  # trees on surrogates, of which there are a dozen


def drawn(at_risk: np.ndarray, seed: int) -> np.ndarray:
    """Those of the places `at_risk`, whether their outcome is known or not, that the teacher is asked about. Of two
    targets mostly the same ones, each of which costs a forecast."""
    lot = np.random.default_rng([seed, SNAPSHOTS]).random(int(at_risk.max(initial=0)) + 1)[at_risk]
    return np.asarray(np.sort(at_risk[np.argsort(lot, kind="stable")[:SNAPSHOTS]]))


def soft(
    both: np.ndarray,
    taught: PersonPeriods,
    asked: np.ndarray,
    params: BoosterParams,
    seed: int,
    names: list[str],
    categories: list[int],
    accounts: np.ndarray,
    hidden: np.ndarray | None = None,
) -> PersonPeriods:
    """The teacher's chances of one event, of each snapshot asked about in one interval: labels for the pupil.

    Args:
        both: the features `names` of the day and beside them the surrogates of all snapshots that teach or are asked
            about, see `surrogates.foresee`; and what hidden phases foretell, where they are learned.
        asked: places of the snapshots of which the pupil is told, see `drawn`.
        accounts: (n,) number of each snapshot's account.
        hidden: (n, intervals) log-odds of this event by hidden phases, see `phases.foretold`; null: none are learned,
            or they speak of another event.
    """
    interval = np.random.default_rng([seed, len(STARTS)]).permutation(len(asked)) % len(STARTS)
    chances = np.zeros(len(asked))
    if taught.label.sum() > 0:
        foreseen = both[:, len(names) :]
        more = [f"foreseen_{k}" for k in range(foreseen.shape[1])]
        ridge: Hazard = Never()
        if hidden is None:
            ridge = fit_logistic_hazard(both, taught, categories, names=[*names, *more], accounts=accounts).hazard
        few = params.model_copy(update={"seeds": 1 if hidden is None else 2})
        trees = fit_boosted(both, taught, few, seed, [*names, *more], categories).hazard
        alone = fit_boosted(foreseen, taught, params.model_copy(update=ALONE), seed, more, []).hazard
        for k in np.unique(interval):
            place = np.flatnonzero(interval == k)
            rows = both[asked[place]]
            third = ridge.at(rows, int(k)) if hidden is None else hidden[asked[place], k]
            members = (third, trees.at(rows, int(k)), alone.at(foreseen[asked[place]], int(k)))
            chances[place] = np.mean([chance(one) for one in members], axis=0)
    return PersonPeriods(asked, interval, chances, (np.diff(EDGES) / 30)[interval], np.ones(len(asked)))


def distilled(
    matrix: np.ndarray,
    told: PersonPeriods,
    taught: PersonPeriods,
    linear: Fit,
    params: BoosterParams,
    seed: int,
    names: list[str],
    categories: list[int],
) -> Hazard:
    """Fits one cause-specific hazard on the snapshots of `matrix`: the mean of the pupil, `PART` of it, and of
    `linear`, the ridge on the rows of `taught`. `told`: what the pupil learns, see `soft`."""
    if taught.label.sum() == 0:
        return Never()
    pupil = params.model_copy(update={**PUPIL, "rounds": params.rounds * 5 // 3})
    fit = fit_boosted(matrix, told, pupil, seed, names, categories, objective="cross_entropy", base=taught.base)
    trees = fit.hazard
    members = (Fit(trees, said_of(trees, matrix, taught)), linear)
    clock = names.index(CLOCK)
    age = matrix[taught.row, clock]
    return average(taught, *members, weights=(PART, 1 - PART), age=age, clock=clock)
