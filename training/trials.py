"""What earlier origins teach about a learner, a level and a total: their models are held against what came after.

At each origin every learner scores the accounts of that date; once the first interval's labels are complete, a later
origin may look how that went. It chooses the learner, calibrates the targets and moves the total of the money, from
facts known before it, by models that had not seen those outcomes. Nothing is fitted for it: the models are those that
the rolling origins need anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from models.calibration import BETA_FROM, Calibration, beyond_luck, fit_calibration, helps, losses
from models.hazard import EDGES
from models.increment import Amount
from training.dataset import Dataset
from training.fit import Fitted, LogOdds
from warehouse.periods import TARGETS

SPAN = EDGES[1]  # days: the first interval, whose hazard is the probability by then
TREES_FROM = 120  # accounts that expanded; with fewer only the logistic may serve
LEAST_POSITIVES = 30  # in a window; fewer say too little about a learner, a level or a total


@dataclass(frozen=True)
class Trial:
    """What the models of one origin said of its accounts: log-odds of the first interval, (n,), by learner and target;
    `expected`: money gained in it by an account that expands. `trees`: whether trees were learned, or the ridge alone.
    `learner`: the one that was on trial there."""

    day: date
    log_odds: dict[str, dict[str, np.ndarray]]
    expected: np.ndarray
    trees: bool = True
    learner: str = ""

    @classmethod
    def of(cls, said: LogOdds, expected: np.ndarray, day: date, trees: bool, learner: str) -> Trial:
        first = {learner: {target: odds[:, 0] for target, odds in of.items()} for learner, of in said.items()}
        return cls(day, first, expected, trees, learner)


@dataclass(frozen=True)
class Window:
    """A trial whose outcomes are known: `label[target]` (n,) 0/1 or NaN, `gained` (n,) money, `account` (n,) ids."""

    trial: Trial
    label: dict[str, np.ndarray]
    gained: np.ndarray
    account: np.ndarray

    def told(self, learner: str, target: str) -> tuple[np.ndarray, np.ndarray]:
        """Log-odds and labels of the accounts whose outcome is known, where the event was thought possible at all."""
        known = self._known(learner, target)
        return self.trial.log_odds[learner][target][known], self.label[target][known]

    def losses(self, learner: str) -> tuple[np.ndarray, np.ndarray]:
        """Log-loss on expansion, and the account, of each row that `told` holds."""
        return losses(*self.told(learner, "expansion")), self.account[self._known(learner, "expansion")]

    def _known(self, learner: str, target: str) -> np.ndarray:
        known: np.ndarray = ~np.isnan(self.label[target]) & np.isfinite(self.trial.log_odds[learner][target])
        return known


@dataclass(frozen=True)
class Choice:
    """What earlier origins speak for. `why`: in words."""

    learner: str
    calibration: dict[str, Calibration] = field(default_factory=dict)
    amount: Amount | None = None
    why: str = ""


def matured(trials: Sequence[Trial], known: Dataset, until: date, maturing_days: int) -> list[Window]:
    """The trials whose labels are complete by `until`, oldest first, with the outcomes known then."""
    done = [trial for trial in trials if trial.day + timedelta(days=SPAN + maturing_days) <= until]
    windows = []
    for trial in sorted(done, key=lambda one: one.day):
        there = known.on(trial.day)
        labels = {target: there.outcome(target, SPAN) for target in TARGETS}
        gained = there.money(f"increment_{SPAN}") if f"increment_{SPAN}" in there.labels.column_names else None
        if np.nansum(labels["expansion"]) >= LEAST_POSITIVES:
            nothing = np.full(len(there), np.nan)
            accounts = np.asarray(there.features["account_id"].to_numpy(zero_copy_only=False))
            windows.append(Window(trial, labels, nothing if gained is None else gained, accounts))
    return windows


def choose(windows: Sequence[Window], fitted: Fitted, expanded: int) -> Choice:
    """By the number of accounts that `expanded` in training, and by how earlier origins fared whose models were of the
    same kind: the level of a ridge on a few dozen expansions says nothing of that of trees on hundreds."""
    windows = [window for window in windows if window.trial.trees == (expanded >= TREES_FROM)]
    if expanded < TREES_FROM:
        learner, why = "logistic", f"{expanded} accounts expanded, fewer than {TREES_FROM}"
    else:
        learner, why = _best(windows, list(fitted.hazards))
    calibration = {}
    for target in TARGETS:
        found = _calibrate([window.told(learner, target) for window in windows if learner in window.trial.log_odds])
        if found != Calibration():
            calibration[target] = found
    return Choice(learner, calibration, _total(windows, fitted.amount), why)


def _best(windows: Sequence[Window], learners: list[str]) -> tuple[str, str]:
    """The one of `learners` of the least log-loss on expansion in the newest two windows in which the first of them had
    its say; the first unless another is better beyond luck, an account that is in both windows counted once."""
    default = learners[0]
    recent = [window for window in windows if default in window.trial.log_odds][-2:]
    if not recent:
        return default, "no earlier origin to choose by"
    rows = {learner: [window.losses(learner) for window in recent] for learner in learners}
    told = {learner: np.concatenate([loss for loss, _ in each]) for learner, each in rows.items()}
    best = min(learners, key=lambda learner: told[learner].mean())
    accounts = np.unique(np.concatenate([account for _, account in rows[default]]), return_inverse=True)[1]
    if not beyond_luck(np.bincount(accounts, weights=told[default] - told[best])):
        best = default
    figures = ", ".join(f"{learner} {told[learner].mean():.5f}" for learner in learners)
    return best, f"log-loss at earlier origins: {figures}"


def _calibrate(windows: list[tuple[np.ndarray, np.ndarray]]) -> Calibration:
    """Fitted on the newest window, if what the one before it would have taught had helped there, in the same form."""
    if len(windows) < 2 or any(label.sum() == 0 for _, label in windows[-2:]):
        return Calibration()
    (before, before_label), (newest, newest_label) = windows[-2:]
    slopes = min(before_label.sum(), newest_label.sum()) >= BETA_FROM
    if not helps(fit_calibration(before, before_label, slopes), newest, newest_label):
        return Calibration()
    return fit_calibration(newest, newest_label, slopes)


def _total(windows: Sequence[Window], amount: Amount) -> Amount:
    """The amount with its total and range held against the newest window."""
    if not windows:
        return amount
    newest = windows[-1]
    came = (newest.label["expansion"] == 1) & ~np.isnan(newest.gained)
    return amount.brought_into_line(newest.trial.expected[came], newest.gained[came])
