"""The recipe: one dataset in, one scorer out. Every origin and the final bundle are fitted by it, so what is judged is
what is served."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from features import journey, revenue
from features.catalogue import Definitions, fingerprint
from models.average import Average, average
from models.boosted import fit_boosted
from models.boosting import BoosterParams
from models.calibration import Calibration
from models.encoding import Encoding
from models.hazard import Fit, Hazard, PersonPeriods, chance, incidence, person_periods
from models.increment import Amount, fit_amount
from models.logistic import fit_logistic_hazard
from models.peers import Peers
from models.scorer import Scorer
from models.side_by_side import workers
from training.dataset import Dataset
from training.labels import LabelParams
from training.phases import foretold
from training.surrogates import foresee
from training.teacher import distilled, drawn, soft
from warehouse.periods import TARGET, TARGETS

BOOKS = frozenset(f.name for f in (*revenue.FEATURES, *journey.FEATURES)) - {"stage"}
LEARNERS = ("distilled", "average", "hazard", "logistic")  # what may serve; the first fitted, unless another did better


# a sum's last digits, hence a bundle's id, must not depend on how many cores a machine has
same_sums = threadpool_limits.wrap(limits=1, user_api="blas")
LogOdds = dict[str, dict[str, np.ndarray]]  # (n, intervals) by learner and target


@dataclass(frozen=True)
class Fitted:
    """All that one dataset taught: the hazard of each target by learner, of closing, and the amount.

    `matrix`: of the snapshots it was taught by, in the columns of `encoding`. `hazards`: in the order of `LEARNERS`;
    without a teacher, or where nothing could be foreseen, none is distilled. `trees`: false where every learner is the
    logistic.
    """

    encoding: Encoding
    matrix: np.ndarray
    hazards: dict[str, dict[str, Hazard]]
    churn: Hazard
    amount: Amount
    trees: bool

    @property
    def default(self) -> str:
        """The learner that serves where nothing speaks for another."""
        return next(iter(self.hazards))

    def log_odds(self, rows: np.ndarray) -> LogOdds:
        """Of every learner and target, by interval; a hazard that several learners share is asked once."""
        said: dict[int, np.ndarray] = {}

        def of(hazard: Hazard) -> np.ndarray:
            if isinstance(hazard, Average):
                return hazard.of([of(part) for _, part in hazard.parts], rows)
            if id(hazard) not in said:
                said[id(hazard)] = hazard.log_odds(rows)
            return said[id(hazard)]

        return {
            learner: {target: of(hazard) for target, hazard in hazards.items()}
            for learner, hazards in self.hazards.items()
        }

    def predict_closing(self, rows: np.ndarray) -> np.ndarray:
        """(n, intervals) hazards."""
        return chance(self.churn.log_odds(rows))


@same_sums
def fit_all(
    data: Dataset,
    labels: LabelParams,
    params: BoosterParams,
    seed: int,
    trees: bool = True,
    teacher: bool = False,
    phases: bool = False,
) -> Fitted:
    """Fits every model on `data`. Without `trees`, for data too small to learn them from, the logistic stands in for
    the average and the hazard. `teacher`: also fits trees to the probabilities of a teacher; `phases`: that teacher
    uses hidden phases."""
    encoding = Encoding.learn(data.features)
    matrix = encoding.matrix(data.features)
    names, categories, accounts = list(encoding.names), encoding.category_columns, data.account_numbers()
    taught = {target: taught_by(data, target).thinned(seed) for target in TARGETS}
    closing = person_periods(data.days("churn_day"), data.days("expansion_day"), data.days("observed_days"))
    one = params.model_copy(update={"seeds": 1, "monotone": ()})

    told: dict[str, Future[PersonPeriods]] = {}
    grown: dict[str, Future[Fit]] = {}

    def distil(target: str) -> Hazard:
        lesson, linear = told[target].result(), ridge[target].result()
        return distilled(matrix, lesson, taught[target], linear, params, seed, names, categories)

    with workers() as pool:  # each waits for none but what was given before it
        ridge = {
            target: pool.submit(fit_logistic_hazard, matrix, rows, categories, names=names, accounts=accounts)
            for target, rows in taught.items()
        }
        if trees and teacher:
            asked = {target: drawn(np.flatnonzero(data.flag(f"{target}_at_risk")), seed) for target in TARGETS}
            needed = np.unique(np.concatenate([*(rows.row for rows in taught.values()), *asked.values()]))
            hidden = pool.submit(lambda: foretold(data) if phases else None)
            foreseen = foresee(pool, data, encoding, matrix, needed, seed)
            if foreseen is not None:
                own = hidden.result()
                both = np.column_stack([matrix, foreseen, *([] if own is None else [own])])
                for target, rows in taught.items():
                    moves = own if target == TARGET else None
                    told[target] = pool.submit(
                        soft, both, rows, asked[target], params, seed, names, categories, accounts, moves
                    )
        if trees:
            for target, rows in taught.items():
                grown[target] = pool.submit(fit_boosted, matrix, rows, params, seed, names, categories)
        churn = pool.submit(fit_boosted, matrix, closing.thinned(seed), one, seed, names, categories)
        amount = pool.submit(fit_amount, matrix, _gains(data, labels), params, seed, names, categories, accounts)
        pupil = {target: pool.submit(distil, target) for target in told}

    hazards: dict[str, dict[str, Hazard]] = {learner: {} for learner in LEARNERS}
    for target, rows in taught.items():
        linear = ridge[target].result()
        boosted = grown[target].result() if trees else linear
        hazards["logistic"][target], hazards["hazard"][target] = linear.hazard, boosted.hazard
        hazards["average"][target] = average(rows, boosted, linear) if trees else linear.hazard
        if pupil:
            hazards["distilled"][target] = pupil[target].result()
    hazards = {learner: found for learner, found in hazards.items() if found}
    return Fitted(encoding, matrix, hazards, churn.result().hazard, amount.result(), trees)


def assemble(
    fitted: Fitted,
    definitions: Definitions,
    labels: LabelParams,
    card: dict[str, Any],
    learner: str | None = None,
    calibration: dict[str, Calibration] | None = None,
    amount: Amount | None = None,
) -> Scorer:
    """The bundle of one learner. `card` says what the run knows (grade, trained_as_of, data_fingerprint, ...); learner,
    horizons, tiers, currency and fingerprint are added. `amount` takes the place of the fitted one. It has no peers
    yet, so it scores and gives no reasons: see `Scorer.beside`."""
    learner = learner or fitted.default
    said = {
        "method": "model",
        "learner": learner,
        "horizons": list(labels.horizons),
        "default_horizon": labels.default_horizon,
        "tiers": [tier.model_dump() for tier in definitions.tiers.ladder],
        "currency": definitions.tiers.currency,
        "fingerprint": fingerprint(definitions),
        **card,
    }
    hazards = {**fitted.hazards[learner], "churn": fitted.churn}
    return Scorer(said, definitions, fitted.encoding, Peers(), hazards, amount or fitted.amount, calibration or {})


@same_sums
def fit_books_only(
    data: Dataset, fitted: Fitted, rows: np.ndarray, labels: LabelParams, params: BoosterParams, seed: int
) -> dict[str, np.ndarray]:
    """The average of trees and a ridge, blind to behaviour: money, tenure and firmographics alone.

    Args:
        fitted: what the whole of `data` taught, of which the encoding and the matrix are used.
        rows: (n, features) to predict, in the columns of that encoding.

    Returns:
        P(expansion by h) of `rows`, as `expansion_{h}`.
    """
    encoding = fitted.encoding
    seen = [i for i, name in enumerate(encoding.names) if name in BOOKS]
    names = [encoding.names[i] for i in seen]
    categories = [seen.index(i) for i in encoding.category_columns if i in seen]
    matrix = fitted.matrix[:, seen]
    taught, one = taught_by(data, "expansion").thinned(seed), params.model_copy(update={"seeds": 1})
    boosted = fit_boosted(matrix, taught, one, seed, names, categories)
    linear = fit_logistic_hazard(matrix, taught, categories, names=names, accounts=data.account_numbers())
    hazard = average(taught, boosted, linear)
    hazards = chance(hazard.log_odds(rows[:, seen]))
    expand, _ = incidence(hazards, np.zeros_like(hazards), labels.horizons)
    return {f"expansion_{h}": p for h, p in expand.items()}


def taught_by(data: Dataset, target: str) -> PersonPeriods:
    """Rows that teach the hazard of the target; their `row` is the place in `data`."""
    at_risk = np.flatnonzero(data.flag(f"{target}_at_risk"))
    found = person_periods(
        data.days(f"{target}_day")[at_risk], data.days("churn_day")[at_risk], data.days("observed_days")[at_risk]
    )
    return PersonPeriods(at_risk[found.row], found.interval, found.label, found.months, found.weight)


def expanded_accounts(data: Dataset) -> int:
    """Accounts seen to expand in the rows that teach."""
    taught = taught_by(data, "expansion")
    return len(set(data.features["account_id"].take(pa.array(taught.row[taught.label == 1])).to_pylist()))


def _gains(data: Dataset, labels: LabelParams) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    gains = {}
    for h in labels.horizons:
        money = data.money(f"increment_{h}")
        rows = np.flatnonzero((data.outcome("expansion", h) == 1) & ~np.isnan(money))
        if len(rows):
            gains[h] = (rows, money[rows])
    return gains
