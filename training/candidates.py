"""What the champion is compared with at an origin: other learners, challengers, and candidates without behaviour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from models.bg_nbd import BgNbd
from models.boosting import BoosterParams
from models.direct import Weigh, censored, fit_direct, matured
from models.hazard import chance, incidence
from models.increment import Amount, fit_tweedie
from models.logistic import PLAIN_PENALTY, fit_logistic_hazard
from models.side_by_side import side_by_side, threads
from training.contest import Said, position_columns, reference_probabilities, repeat_money, repeat_purchases, stating
from training.dataset import Dataset
from training.fit import Fitted, LogOdds, fit_books_only, taught_by
from training.labels import LabelParams
from warehouse.periods import TARGETS


@dataclass(frozen=True)
class Bench:
    """One origin being judged: what was known there, what it taught, and the accounts it scores.

    `odds`: what every learner says of `test`, not calibrated. `amount`: the champion's, by which every learner expects
    money. `rows`: the matrix of `test`. `headline`: the horizon of the grade, at which the challengers are fitted as
    well.
    """

    known: Dataset
    fitted: Fitted
    odds: LogOdds
    amount: Amount
    test: Dataset
    rows: np.ndarray
    labels: LabelParams
    params: BoosterParams
    seed: int
    headline: int

    def others(self, target: str, horizon: int, champion: Said) -> dict[str, Said]:
        """Every candidate but the champion and the rules of thumb."""
        out = self._rates(target, horizon)
        if out:
            placed = self._placed[target]
            out["position"] = stating(incidence(placed, np.zeros_like(placed), (horizon,))[0][horizon])
        amount = self.amount.expected(self.rows, horizon)
        for learner in self.odds:
            expanding = self._said(learner, "expansion", horizon)  # that is what an amount goes with, at any target
            out[learner] = stating(self._said(learner, target, horizon), expanding * amount)
        if self._repeat is not None:
            out["bg_nbd"] = repeat_money(self._repeat, self.test, horizon)
        if target == "expansion" and horizon == self.headline:
            out |= self._challengers(horizon, champion)
        return out

    def _rates(self, target: str, horizon: int) -> dict[str, Said]:
        """`reference_probabilities`. Where no label of `horizon` has both outcomes yet, as in a short history, those of
        the longest shorter one that has, as if what it taught went on: 1 - (1 - P(h))^(horizon / h)."""
        for h in sorted((h for h in self.labels.horizons if h <= horizon), reverse=True):
            told = self.known.outcome(target, h)
            found = reference_probabilities(self.fitted.matrix, told, self.rows, self.fitted.encoding.names)
            if found:
                return {name: stating(1 - (1 - p) ** (horizon / h)) for name, p in found.items()}
        return {}

    def _said(self, learner: str, target: str, horizon: int) -> np.ndarray:
        """(n,) P(target by horizon)."""
        hazards = chance(self.odds[learner][target])
        return incidence(hazards, self._closing, (horizon,))[0][horizon]

    @cached_property
    def _placed(self) -> dict[str, np.ndarray]:
        """`position`: hazards (n, intervals) by target, by place on the ladder and age, taught as the champion is.
        At an early origin hardly a label of a long horizon is complete, and a reference that knew only those would be
        beaten by anything."""
        names = self.fitted.encoding.names
        before, there = (position_columns(rows, names) for rows in (self.fitted.matrix, self.rows))
        taught = {target: taught_by(self.known, target).thinned(self.seed) for target in TARGETS}
        return {
            target: chance(fit_logistic_hazard(before, rows, [], PLAIN_PENALTY).hazard.log_odds(there))
            for target, rows in taught.items()
        }

    @cached_property
    def _repeat(self) -> BgNbd | None:
        return repeat_purchases(self.known)

    @cached_property
    def _closing(self) -> np.ndarray:
        return self.fitted.predict_closing(self.rows)

    def _challengers(self, horizon: int, champion: Said) -> dict[str, Said]:
        """The learner blind to usage, the direct classifiers, and Tweedie's money under the champion's probability."""
        each: tuple[Callable[[int], dict[str, Said]], ...]
        direct = (partial(self._direct, "direct", censored), partial(self._direct, "matured", matured))
        each = (self._books_only, *direct, partial(self._tweedie, champion))
        return {name: said for told in side_by_side(lambda one: one(horizon), each) for name, said in told.items()}

    def _books_only(self, horizon: int) -> dict[str, Said]:
        books = fit_books_only(self.known, self.fitted, self.rows, self.labels, self.params, self.seed)
        return {"books_only": stating(books[f"expansion_{horizon}"])}

    def _direct(self, name: str, weigh: Weigh, horizon: int) -> dict[str, Said]:
        """Nothing where the horizon could not be learned."""
        at_risk = self.known.flag("expansion_at_risk")
        encoding, horizons = self.fitted.encoding, tuple(h for h in self.labels.horizons if h <= horizon)
        fitted = fit_direct(
            self.fitted.matrix[at_risk],
            self.known.days("expansion_day")[at_risk],
            self.known.days("observed_days")[at_risk],
            horizons,
            self.params,
            self.seed,
            list(encoding.names),
            encoding.category_columns,
            weigh,
        )
        if horizon not in fitted.boosters:  # no whole window was known: it would tell of a shorter horizon
            return {}
        said = fitted.by_horizon(self.rows, horizons)[horizon]
        return {name: stating(said, said * self.amount.expected(self.rows, horizon))}

    def _tweedie(self, champion: Said, horizon: int) -> dict[str, Said]:
        """Nothing where no gain was ever seen."""
        money = self.known.money(f"increment_{horizon}")
        told = np.flatnonzero(~np.isnan(money) & ~np.isnan(self.known.outcome("expansion", horizon)))
        gain = np.maximum(money[told], 0.0)
        if not gain.any():
            return {}
        encoding = self.fitted.encoding
        names, categories = list(encoding.names), encoding.category_columns
        booster = fit_tweedie(self.fitted.matrix[told], gain, self.params, self.seed, names, categories)
        money = np.asarray(booster.predict(self.rows, num_threads=threads()))
        return {"tweedie": Said(champion.score, money, champion.probability, money)}
