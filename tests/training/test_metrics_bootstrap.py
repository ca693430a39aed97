"""The account bootstrap: weights stand for resampled rows, pairs are pairs, intervals cover."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training import scalar_twins as twins
from training import metrics
from training.bootstrap import Scored, bootstrap, difference, interval, reflected, replicate_weights
from training.money_order import MoneyOrder


def _scored(rng: np.random.Generator, n: int, skill: float = 1.0, probability: bool = True) -> Scored:
    label = (rng.random(n) < 0.2).astype(float)
    score = np.round(1 / (1 + np.exp(-(skill * label + rng.normal(size=n)))), 2)
    return Scored(label, rng.normal(0, 30, n), score, score * rng.random(n), score if probability else None)


def _rows(scored: Scored, rows: np.ndarray) -> Scored:
    """`scored` at the rows of these numbers alone."""
    columns = scored.label, scored.increment, scored.score, scored.money_score, scored.probability, scored.expected
    return Scored(*(None if column is None else column[rows] for column in columns))


def _samples(account: np.ndarray, replicates: int, seed: int) -> list[np.ndarray]:
    """The weight of each row, one sample after the other."""
    return [column for block in replicate_weights(account, replicates, seed) for column in block.T]


def test_a_replicate_equals_the_resampled_rows_written_out() -> None:
    rng = np.random.default_rng(0)
    scored, account = _scored(rng, 300), rng.integers(0, 90, 300)
    account = np.unique(account, return_inverse=True)[1]
    found = bootstrap({"it": scored}, account, 20, seed=9)["it"]
    for number, weight in enumerate(_samples(account, 20, seed=9)):
        again = np.repeat(np.arange(300), weight.astype(int))
        written_out = _rows(scored, again).figures()
        for name in ("roc_auc", "pr_auc", "lift_5", "revenue_captured_10", "log_loss", "brier_skill"):
            assert found[name][number] == pytest.approx(written_out[name], rel=1e-9), name


def test_the_calibration_line_of_a_replicate_is_that_of_its_rows_as_near_as_an_interval_needs() -> None:
    rng, account = np.random.default_rng(3), np.arange(2000)
    said = 1 / (1 + np.exp(-rng.normal(-2, 1.5, 2000)))
    label = (rng.random(2000) < said).astype(float)
    scored = Scored(label, label, said, said, said**0.7)
    found, whole = bootstrap({"it": scored}, account, 40, seed=9)["it"], scored.figures()
    assert (whole["calibration_intercept"], whole["calibration_slope"]) == pytest.approx(
        metrics.calibration_line(label, said**0.7), rel=1e-9
    )
    again = [metrics.calibration_line(label, said**0.7, weight) for weight in _samples(account, 40, seed=9)]
    for name, line in (
        ("calibration_intercept", [one[0] for one in again]),
        ("calibration_slope", [o[1] for o in again]),
    ):
        assert np.abs(found[name] - line).mean() < 0.1 * np.std(line)


def test_money_expected_is_held_against_the_money_of_those_who_moved_in_every_replicate() -> None:
    label, gained = np.array([1.0, 1.0, 0.0, 0.0]), np.array([100.0, -20.0, 50.0, 0.0])
    scored = Scored(label, gained, label, label, expected=np.array([60.0, 30.0, 20.0, 10.0]))
    assert scored.figures()["money_expected_over_actual"] == pytest.approx(120 / 100)
    found = bootstrap({"it": scored}, np.arange(4), 30, seed=9)["it"]["money_expected_over_actual"]
    for value, weight in zip(found, _samples(np.arange(4), 30, seed=9), strict=True):
        none = not weight[0]
        assert np.isnan(value) == none
        assert none or value == pytest.approx(weight @ scored.expected / (100 * weight[0]))


def test_gaps_of_a_replicate_are_those_of_its_rows_in_the_bins_of_all() -> None:
    rng = np.random.default_rng(4)
    scored = _scored(rng, 300)  # of 300 rows some 60 scores differ: bins divide runs of equal ones
    scored = Scored(scored.label, scored.increment, scored.score, scored.money_score, scored.score, 20 * scored.score)
    assert scored.figures()["ece"] == pytest.approx(twins.ece(list(scored.label), list(scored.score)), rel=1e-9)
    other = Scored(scored.label, scored.increment, scored.money_score, scored.money_score)
    order = MoneyOrder({"it": scored, "other": other})
    drawn, money = bootstrap({"it": scored}, np.arange(300), 20, seed=9)["it"], order.bootstrap(np.arange(300), 20, 9)
    seen = scored.label * np.maximum(scored.increment, 0)
    assert order.figures()["it"]["decile_mape"] == pytest.approx(twins.decile_mape(list(seen), list(scored.expected)))
    place = np.empty(300)
    place[np.argsort(-scored.score, kind="stable")] = np.arange(300)
    for number, weight in enumerate(_samples(np.arange(300), 20, seed=9)):
        gaps = [0.0] * 15
        for value in np.unique(scored.score):  # of a run every bin takes what fits
            run = scored.score == value
            for bin_ in range(15):
                low, high = max(place[run].min(), 20 * bin_), min(place[run].max() + 1, 20 * bin_ + 20)
                share = max(high - low, 0) / run.sum()
                gaps[bin_] += share * (weight[run] @ (scored.score - scored.label)[run])
        assert drawn["ece"][number] == pytest.approx(sum(map(abs, gaps)) / 300)
        parts = metrics.equal_parts(scored.expected, 10)
        off = sum(abs(weight[part] @ (scored.expected - seen)[part]) for part in parts)
        assert money["it"]["decile_mape"][number] == pytest.approx(off / (weight @ seen))
        again = np.repeat(np.arange(300), weight.astype(int))
        for name, one in (("it", scored), ("other", other)):
            written_out = MoneyOrder({"": _rows(one, again)}).figures()[""]
            for figure in ("gini", "spearman"):
                assert money[name][figure][number] == pytest.approx(written_out[figure])
    assert np.isnan(money["other"]["decile_mape"]).all()


@pytest.mark.parametrize("slope", [1.0, 0.6])
def test_the_interval_of_a_gap_covers_the_true_one_where_replicates_alone_would_not(slope: float) -> None:
    """A sample of 600 seems .04 off where nothing is off: what resampling adds must be taken off again."""
    rng, found, plain = np.random.default_rng(6), [], []
    x = rng.normal(-2, 1.2, 200_000)
    told, right = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-slope * x))
    bins = np.array_split(np.argsort(told), metrics.BINS)
    truth = sum(abs((told - right)[inside].sum()) for inside in bins) / len(x)
    for _ in range(60):
        rows = rng.integers(0, len(x), 600)
        label = (rng.random(600) < right[rows]).astype(float)
        scored = Scored(label, label, told[rows], told[rows], told[rows])
        drawn, value = bootstrap({"it": scored}, np.arange(600), 100, 3)["it"]["ece"], scored.figures()["ece"]
        for kept, around in ((found, reflected(drawn, value)), (plain, interval(drawn, value))):
            assert around is not None
            assert around[0] <= value <= around[1]
            kept.append(around[0] <= truth <= around[1])
    assert sum(found) >= 51
    assert sum(plain) < 20 or slope < 1


def test_a_gap_that_is_small_by_luck_has_no_narrow_interval() -> None:
    """A rate of .03 told to all as .036: of 3,000 accounts a sample may well see 108 positives."""
    rng, covered = np.random.default_rng(7), 0
    said = np.full(3_000, 0.036)
    for _ in range(40):
        label = (rng.random(3_000) < 0.03).astype(float)
        scored = Scored(label, label, said, said, said)
        around = reflected(bootstrap({"it": scored}, np.arange(3_000), 100, 3)["it"]["ece"], scored.figures()["ece"])
        assert around is not None
        covered += around[0] <= 0.006 <= around[1]
    assert covered >= 35


def test_rows_of_one_account_rise_and_fall_together() -> None:
    account = np.array([0, 0, 1, 1, 2])
    for weight in _samples(account, 50, seed=1):
        assert weight[0] == weight[1]
        assert weight[2] == weight[3]
        assert weight[0] + weight[2] + weight[4] == 3


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others() -> None:
    scored = _scored(np.random.default_rng(2), 200)
    runs = [bootstrap({"it": scored}, np.arange(200), 30, seed)["it"]["pr_auc"] for seed in (4, 4, 5)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_a_candidate_does_not_differ_from_itself() -> None:
    scored = _scored(np.random.default_rng(2), 200)
    found = bootstrap({"one": scored, "same": scored}, np.arange(200), 30, 4)
    lead = difference(found["one"]["roc_auc"], found["same"]["roc_auc"], 0.0)
    assert lead is not None
    assert lead.ci == (0.0, 0.0)
    assert not lead.above_zero
    assert not lead.below_zero


def test_an_interval_holds_its_value_and_is_absent_where_the_value_is() -> None:
    assert interval(np.array([0.4, 0.5, 0.6]), 0.9) == (pytest.approx(0.405), 0.9)
    assert interval(np.array([0.4, 0.5]), float("nan")) is None
    assert interval(np.array([np.nan, np.nan, 0.4]), 0.4) is None


def test_a_ranking_has_no_figures_of_probability() -> None:
    figures = _scored(np.random.default_rng(2), 200, probability=False).figures()
    assert np.isnan(figures["log_loss"])
    assert np.isnan(figures["brier_skill"])
    assert figures["roc_auc"] > 0.5


def test_intervals_cover_the_true_auc_about_as_often_as_they_say() -> None:
    rng, covered, truth = np.random.default_rng(5), 0, 0.7602499  # Phi(1 / sqrt 2), of N(1, 1) against N(0, 1)
    for _ in range(60):
        label = (rng.random(400) < 0.3).astype(float)
        score = label + rng.normal(size=400)
        scored = Scored(label, label, score, score)
        around = interval(
            bootstrap({"it": scored}, np.arange(400), 100, 3)["it"]["roc_auc"], scored.figures()["roc_auc"]
        )
        assert around is not None
        covered += around[0] <= truth <= around[1]
    assert covered >= 51
