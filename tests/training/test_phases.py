"""Hidden phases: what is believed of an account is Bayes' rule, looks at its past alone, and foretells who moves."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from models.hazard import NEVER, STARTS
from tests.models.made_features import MONTHS, dataset, feature_rows, history
from training import phases
from training.dataset import Dataset
from training.months import COUNTS, LEAST_MOVES, PLACE, Months, months_of, pace_of
from training.phases import RATES, STATES, Model, foretold

ACCOUNTS, BUSY = 1_200, 1


@pytest.fixture(scope="module")
def made() -> Vendor:
    return Vendor()


@pytest.fixture(scope="module")
def months(made: Vendor) -> Months:
    found = months_of(made.data)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def model(months: Months) -> Model:
    """One that has learned a little, so that no two of its numbers agree by chance."""
    found = phases.start(months)
    for _ in range(3):
        found = phases.better(months, found)
    return found


class Vendor:
    """Accounts of one user that are quiet or busy for months on end, and move while they are busy: `data` are what they
    show, `use` (accounts, months) the days on which they came."""

    def __init__(self) -> None:
        rng, count = np.random.default_rng(8), len(MONTHS)
        phase = np.zeros((ACCOUNTS, count), np.int64)
        turns = rng.random((ACCOUNTS, count))
        for month in range(1, count):
            stays = turns[:, month] < np.where(phase[:, month - 1] == BUSY, 0.85, 0.93)
            phase[:, month] = np.where(stays, phase[:, month - 1], 1 - phase[:, month - 1])
        use: np.ndarray = rng.poisson(np.where(phase == BUSY, 10.0, 3.0))
        recent = rng.binomial(use, 0.25)
        moves = rng.random((ACCOUNTS, count)) < np.where(phase == BUSY, 0.08, 0.002)
        account, dates = np.repeat(np.arange(ACCOUNTS), count), np.tile(np.arange(count), ACCOUNTS)
        self.data = Dataset(self._features(account, dates, use, recent), self._labels(account, dates, moves, within=14))
        self.use = np.asarray(use)

    @staticmethod
    def _features(account: np.ndarray, month: np.ndarray, use: np.ndarray, recent: np.ndarray) -> pa.Table:
        rows = feature_rows(len(account), seed=4)
        nothing = {
            name: np.zeros(len(account))
            for measure in ("specialist", "configuration", "intent", "events", "plain", "limit_hits")
            for name in (f"{measure}_7d", f"{measure}_28d", f"{measure}_life")
            if name in rows.column_names
        }
        own = {
            **nothing,
            "tenure_days": 30.0 + 30 * month,
            "seats": np.ones(len(account)),
            "users_28d": np.ones(len(account)),
            "tier": np.zeros(len(account)),
            "user_days_28d": use.ravel().astype(float),
            **{f"{name}_7d": recent.ravel().astype(float) for name in ("user_days", "active_days")},
            **{f"{name}_life": use.cumsum(axis=1).ravel().astype(float) for name in ("user_days", "active_days")},
            "account_id": pa.array([f"a{i:05d}" for i in account]),
            "as_of": pa.array([MONTHS[m] for m in month], pa.date32()),
        }
        for name, column in own.items():
            place = rows.column_names.index(name)
            rows = rows.set_column(place, name, column if isinstance(column, pa.Array) else pa.array(column))
        return rows

    @staticmethod
    def _labels(account: np.ndarray, month: np.ndarray, moves: np.ndarray, within: int) -> pa.Table:
        """The first move after each snapshot, seen to the end of the last month but one."""
        count = moves.shape[1]
        day = np.full(moves.shape, NEVER)
        following = np.full(len(moves), NEVER)
        for one in reversed(range(count)):
            following = np.where(following == NEVER, NEVER, following + 30)
            if one < count - 1:  # the use of month m + 1 and the moves after snapshot m are of one phase
                following = np.where(moves[:, one + 1], within, following)
            day[:, one] = following
        ids, dates = pa.array([f"a{i:05d}" for i in account]), pa.array([MONTHS[m] for m in month], pa.date32())
        flat = day.ravel()
        return pa.table(
            {
                "account_id": ids,
                "as_of": dates,
                "observed_days": 30 * (count - 1 - month),
                "churn_day": pa.nulls(len(flat), pa.int64()),
                "expansion_day": pa.array(np.minimum(flat, 10**6), mask=flat == NEVER),
                "expansion_at_risk": np.ones(len(flat), dtype=bool),
            }
        )


def shown(months: Months, model: Model, account: int, step: int) -> np.ndarray:
    """(STATES,) log-likelihood of one step of one account, by the distributions' own names."""
    counts = dict(zip(COUNTS, months.counts[step, account], strict=True))
    if step % 2:
        counts["months"] *= model.ladder[months.tier[step // 2, account]]
    total = np.zeros(STATES)
    for name, rate in RATES.items():
        seen, over = counts[rate.counted], counts[rate.over]
        if over == 0:
            continue
        value = np.maximum(model.rates[name], 1e-9)
        if rate.shape is None:
            total += stats.poisson.logpmf(seen, value * over)
        else:
            total += stats.nbinom.logpmf(seen, rate.shape * over, rate.shape / (value + rate.shape))
    return total


def walked(months: Months, model: Model, account: int) -> tuple[list[np.ndarray], float]:
    """Beliefs of one account step by step, in logs, and the log-likelihood of all that it showed."""
    log = np.log(model.first) + sum(
        np.log(chance[own[account]]) for chance, own in zip(model.traits, months.traits, strict=True)
    )
    log, total, out = log - logsumexp(log), 0.0, []
    for step in range(len(months.counts)):
        if step > 0:
            with np.errstate(divide="ignore"):
                log = logsumexp(log[:, None] + np.log(model.turn[step % 2]), axis=0)
        log = log + shown(months, model, account, step)
        total += logsumexp(log)
        log = log - logsumexp(log)
        out.append(np.exp(log))
    return out, total


def test_belief_is_bayes_rule_taken_step_by_step(months: Months, model: Model) -> None:
    few = months.take(np.arange(0, ACCOUNTS, 200))
    believed = [belief for belief, _ in phases.forward(few, model)]
    for account in range(len(few.first)):
        for step, alone in enumerate(walked(few, model, account)[0]):
            np.testing.assert_allclose(believed[step][account], alone, atol=1e-6)


def test_each_round_makes_what_was_seen_likelier(months: Months) -> None:
    few = months.take(np.arange(0, ACCOUNTS, 30))
    told, found = [], phases.start(few)
    for _ in range(4):
        told.append(sum(walked(few, found, account)[1] for account in range(len(few.first))))
        found = phases.better(few, found)
    assert np.all(np.diff(told) > 0), told


def test_what_comes_after_a_snapshot_changes_nothing_that_is_believed_of_it(months: Months, model: Model) -> None:
    later = months.counts.copy()
    later[10:] = later[10:] * 7 + 3
    wild = replace(months, counts=later)
    for step, ((before, _), (after, _)) in enumerate(
        zip(phases.forward(months, model), phases.forward(wild, model), strict=True)
    ):
        assert np.array_equal(before, after) == (step < 10)


def known_to_who_drew_it(use: np.ndarray) -> np.ndarray:
    """(accounts, months) chance of being busy, by the numbers that the vendor was drawn with, of use up to then."""
    busy, out = np.zeros(ACCOUNTS), []
    for month in range(use.shape[1]):
        busy = busy * 0.85 + (1 - busy) * 0.07 if month else busy
        weight = busy * stats.poisson.pmf(use[:, month], 10.0)
        busy = weight / (weight + (1 - busy) * stats.poisson.pmf(use[:, month], 3.0))
        out.append(busy)
    return np.column_stack(out)


def test_it_foretells_who_moves_as_well_as_who_drew_the_vendor_and_better_than_the_use_of_a_month(
    made: Vendor,
) -> None:
    told = foretold(made.data)
    assert told is not None
    assert told.shape == (len(made.data), len(STARTS))
    known = (made.data.days("observed_days") >= 60) & (np.tile(np.arange(len(MONTHS)), ACCOUNTS) > 3)
    label = (made.data.days("expansion_day")[known] < 60).astype(float)
    exact = known_to_who_drew_it(made.use).ravel()
    mine, best, use = (roc_auc_score(label, score[known]) for score in (told[:, 0], exact, made.use.ravel()))
    assert best - 0.005 < mine
    assert use + 0.01 < mine


def test_the_same_snapshots_foretell_the_same(made: Vendor) -> None:
    first, again = (foretold(made.data) for _ in range(2))
    assert first is not None
    assert np.array_equal(first, again)


def test_an_account_that_closed_and_one_that_came_late_are_foretold_like_any_other() -> None:
    told = foretold(history(accounts=900))
    assert told is not None
    assert np.isfinite(told).all()


def without(data: Dataset, name: str) -> Dataset:
    nothing = pa.array(np.zeros(len(data)))
    return Dataset(data.features.set_column(data.features.column_names.index(name), name, nothing), data.labels)


def test_where_there_is_nothing_to_learn_from_nothing_is_foretold(made: Vendor) -> None:
    assert foretold(dataset(500)) is None, "one date is no history"
    assert foretold(history(accounts=900, months=MONTHS[:3])) is None, "nor are three"
    assert foretold(without(made.data, "user_days_life")) is None, "nobody is seen to use anything"
    day = made.data.labels.column_names.index("expansion_day")
    nobody = made.data.labels.set_column(day, "expansion_day", pa.nulls(len(made.data), pa.int64()))
    assert foretold(Dataset(made.data.features, nobody)) is None, "nobody moved"


def test_months_are_as_long_as_their_dates_are_apart(months: Months) -> None:
    assert months.apart == pytest.approx((date(2024, 3, 1) - date(2024, 2, 1)).days, abs=2)
    assert months.counts[1::2, :, PLACE["moves"]].sum() > LEAST_MOVES


def test_that_older_accounts_use_more_is_no_decline_of_newcomers_and_a_holiday_is_one_of_all() -> None:
    rng, dates, holiday = np.random.default_rng(3), 12, 7
    date, since = (one.ravel() for one in np.meshgrid(np.arange(dates), np.arange(dates), indexing="ij"))
    date, age = (np.repeat(one[since <= date], 200) for one in (date, date - since))
    seat_days = rng.uniform(10, 50, len(date))
    user_days = rng.poisson(seat_days * (0.1 + 0.05 * age) * np.where(date == holiday, 0.5, 1.0))
    everywhere = np.bincount(date, user_days) / np.bincount(date, seat_days)
    assert everywhere[-1] > 2 * everywhere[0], "the vendor's years show in the mean"
    found = pace_of(user_days, seat_days, date, age)
    assert found[holiday] / np.median(found) == pytest.approx(0.5, rel=0.05)
    assert np.delete(found, holiday) == pytest.approx(np.median(found), rel=0.1)
