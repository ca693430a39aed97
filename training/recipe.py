"""The recipe of every origin and of the bundle: from facts known before a date to fitted models and the choice among
them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from features.catalogue import Definitions
from models.boosting import BoosterParams
from models.scorer import Scorer
from training.checks import Check
from training.dataset import Dataset
from training.fit import Fitted, assemble, expanded_accounts, fit_all
from training.labels import LabelParams, make_labels
from training.plan_check import refuse_later
from training.trials import TREES_FROM, Choice, Trial, choose, matured
from training.tune import SearchParams, searched
from warehouse.params import Section


class TrainParams(Section):
    """`min_positives`: accounts that must have expanded within the default horizon; with fewer the rule serves.
    `origins`: the number of past dates at which each horizon is judged, where history has them; all but the newest
    open a quarter. `teacher`: the trees that serve are fitted to the probabilities of a teacher, which comes nearer to
    the truth and takes twice the time (adr/0025). `phases`: that teacher uses hidden phases (adr/0052)."""

    seed: int = Field(default=11, ge=0)
    min_positives: int = Field(default=30, ge=2)
    origins: int = Field(default=4, ge=1)
    teacher: bool = True
    phases: bool = True
    booster: BoosterParams = BoosterParams()
    search: SearchParams = SearchParams()
    checks: tuple[Check, ...] = ()


@dataclass
class Run:
    """All that one training run reads; `until` is the midnight from which no outcome is known. `trials`: what the
    origins judged so far said, for later ones to learn from."""

    definitions: Definitions
    labels: LabelParams
    params: TrainParams
    features: pa.Table
    until: date
    trials: list[Trial] = field(default_factory=list)

    def fit(self, data: Dataset, until: date, outcomes: Dataset | None = None) -> tuple[Fitted, Choice]:
        """The recipe on what was known at `until`. `outcomes`: of all accounts, for earlier origins to be held against,
        where `data` are those of a part; null: `data`.

        Raises:
            PlanBroken: outcomes of `data` or `outcomes` were told from facts of `until` or later.
        """
        for given in (data, outcomes):
            if given is not None:
                refuse_later(given.labels, self.labels.maturing_days, until)
        expanded = expanded_accounts(data)
        params, trees = self.params, expanded >= TREES_FROM
        fitted = fit_all(
            data, self.labels, params.booster, params.seed, trees=trees, teacher=params.teacher, phases=params.phases
        )
        return fitted, choose(
            matured(self.trials, data if outcomes is None else outcomes, until, self.labels.maturing_days),
            fitted,
            expanded,
        )

    def scorer(self, fitted: Fitted, choice: Choice, card: dict[str, Any]) -> Scorer:
        """Without peers, which judging does not ask for."""
        card = {**card, "chosen": choice.why}
        learner, calibration, amount = choice.learner, choice.calibration, choice.amount
        return assemble(fitted, self.definitions, self.labels, card, learner, calibration, amount)

    def known_at(self, con: duckdb.DuckDBPyConnection, day: date) -> Dataset:
        """Snapshots before `day` with their outcomes as known at `day`."""
        past = self.features.filter(pc.less(self.features["as_of"], pa.scalar(day, pa.date32())))
        books = past.select(["account_id", "as_of", "tier", "run_rate"])
        return Dataset(past, make_labels(con, books, self.definitions, self.labels, day))

    def judged(self, test: Dataset) -> np.ndarray:
        """(n,) bool: the accounts that may be judged, which are those that searching never looked at."""
        if not self.params.search.trials:
            return np.ones(len(test), dtype=bool)
        return ~searched(test.features["account_id"], self.params.search.accounts)


def asked_for(definitions: Definitions, labels: LabelParams, params: TrainParams) -> dict[str, Any]:
    """The params that a training follows, as train.json keeps them."""
    told = {"labels": labels.model_dump(mode="json"), "train": params.model_dump(mode="json")}
    return {**definitions.to_params(), **told}
