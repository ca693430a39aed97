"""The figures that are stated, against scalar twins, other libraries and every order of the ties."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from tests.training import scalar_twins as twins
from training import metrics
from training.bootstrap import PERCENTS, Scored
from training.money_order import MoneyOrder

SCORES = st.one_of(st.integers(0, 6).map(lambda tenth: tenth / 6), st.floats(0, 1, allow_subnormal=False))
ROWS = st.lists(st.tuples(st.integers(0, 1), SCORES, st.floats(-50, 100)), min_size=0, max_size=40)
SOME = ROWS.filter(bool)  # figures are stated of rows that there are


def _columns(rows: list[tuple[int, float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _listed(twin: Callable[..., Any]) -> Callable[..., Any]:
    return lambda wanted, score, count: twin(list(wanted), list(score), min(count, len(score)))


def _same(vectorised: float, scalar: float) -> None:
    assert vectorised == pytest.approx(scalar, rel=1e-12, abs=1e-12, nan_ok=True)


def _figures(label: np.ndarray, score: np.ndarray, money: np.ndarray, called: int = 100) -> dict[str, float]:
    """What production states of one candidate whose `score` ranks all, and is its probability and its money, too."""
    scored = Scored(label, money, score, score, score, score)
    return scored.figures(called) | MoneyOrder({"it": scored}).figures()["it"]


@pytest.mark.parametrize("name", ["roc_auc", "pr_auc", "brier_skill", "log_loss", "ece", "expected_over_actual"])
@settings(max_examples=150, deadline=None)
@given(rows=SOME)
def test_a_figure_of_the_event_agrees_with_its_scalar_twin(name: str, rows: list[tuple[int, float, float]]) -> None:
    label, score, money = _columns(rows)
    _same(_figures(label, score, money)[name], getattr(twins, name)(list(label), list(score)))


@settings(max_examples=150, deadline=None)
@given(rows=SOME)
def test_figures_of_the_event_agree_with_those_of_scikit_learn(rows: list[tuple[int, float, float]]) -> None:
    label, score, money = _columns(rows)
    assume(0 < label.sum() < len(label))
    found = _figures(label, score, money)
    _same(found["roc_auc"], roc_auc_score(label, score))
    _same(found["log_loss"], log_loss(label, np.clip(score, 1e-15, 1 - 1e-15)))
    rate = np.full(len(label), label.mean())
    _same(found["brier_skill"], 1 - brier_score_loss(label, score) / brier_score_loss(label, rate))
    if len(set(score)) == len(score):  # scikit-learn counts ties as one step
        _same(found["pr_auc"], average_precision_score(label, score))


@settings(max_examples=150, deadline=None)
@given(rows=SOME, called=st.integers(1, 50))
def test_what_the_first_accounts_hold_agrees_with_its_scalar_twin(
    rows: list[tuple[int, float, float]], called: int
) -> None:
    label, score, money = _columns(rows)
    found = _figures(label, score, money, called)
    for percent in PERCENTS:
        share = twins.share_in_top(list(label), list(score), percent)
        _same(found[f"lift_{percent}"], share * 100 / percent)
        _same(found[f"revenue_captured_{percent}"], twins.share_in_top(list(money), list(score), percent))
    for figure, wanted in (("recall_called", label), ("revenue_captured_called", np.maximum(money, 0.0))):
        held = twins.held_by_first(list(wanted), list(score), called)
        _same(found[figure], held / wanted.sum() if wanted.sum() > 0 else math.nan)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, count=st.integers(1, 50))
def test_ranges_and_profits_of_the_first_accounts_agree_with_their_scalar_twins(
    rows: list[tuple[int, float, float]], count: int
) -> None:
    _, score, money = _columns(rows)
    gain = np.maximum(money, 0.0)
    ours, theirs = (f(gain, score, count) for f in (metrics.tie_range, _listed(twins.tie_range)))
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    worst, expected, best = ours
    assert worst <= expected + 1e-9 <= best + 2e-9
    economics = (count, 3.0, 0.8, 0.1)
    profit = twins.profit_at(list(money), list(score), *economics)
    assert metrics.profit_at(money, score, *economics) == pytest.approx(profit, rel=1e-9, abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(rows=SOME)
def test_figures_of_money_agree_with_their_scalar_twins_and_scipy(rows: list[tuple[int, float, float]]) -> None:
    label, score, money = _columns(rows)
    found = _figures(label, score, money)
    gained = list(label * np.maximum(money, 0.0))
    expected = {
        "gini": twins.gini(list(money), list(score)),
        "spearman": twins.spearman(list(money), list(score)),
        "decile_mape": twins.decile_mape(gained, list(score)),
        "money_expected_over_actual": twins.expected_over_actual(gained, list(score)),
    }
    for name, twin in expected.items():
        assert found[name] == pytest.approx(twin, rel=1e-7, abs=1e-7, nan_ok=True), name
    if not math.isnan(expected["spearman"]):
        assert found["spearman"] == pytest.approx(spearmanr(money, score).statistic, rel=1e-7, abs=1e-7)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, threshold=st.sampled_from([0.0, 0.1, 0.5, 0.9]))
def test_net_benefit_and_observed_against_expected_agree_with_their_scalar_twins(
    rows: list[tuple[int, float, float]], threshold: float
) -> None:
    label, score, _ = _columns(rows)
    _same(metrics.net_benefit(label, score, threshold), twins.net_benefit(list(label), list(score), threshold))
    parts = twins.parts(list(score), 10)
    found = metrics.observed_expected(label, score)
    assert [part.n for part in found] == [len(part) for part in parts]
    for ours, theirs in zip(found, parts, strict=True):
        _same(ours.observed, sum(label[i] for i in theirs))
        _same(ours.expected, sum(score[i] for i in theirs))
        around = [bound * len(theirs) for bound in twins.wilson(ours.observed, len(theirs))]
        assert (ours.low, ours.high) == pytest.approx(around, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS)
def test_the_calibration_line_is_where_the_likelihood_is_flat(rows: list[tuple[int, float, float]]) -> None:
    label, score, _ = _columns(rows)
    said = np.clip(score, 0.01, 0.99)
    intercept, slope = metrics.calibration_line(label, said)
    if math.isnan(intercept):
        return
    assert twins.calibration_gradient(list(label), list(said), intercept, slope) == pytest.approx((0, 0), abs=1e-6)


def test_gains_are_what_each_number_of_calls_holds() -> None:
    label, score = np.array([1.0, 0, 1, 0, 1]), np.array([0.9, 0.5, 0.5, 0.2, 0.1])
    called, held = metrics.gains(label, score)
    for x, y in zip(called, held, strict=True):
        assert y == pytest.approx(twins.held_by_first(list(label), list(score), 5 * x) / 3)


def test_a_contact_pays_where_the_money_it_may_bring_exceeds_its_cost() -> None:
    assert metrics.cost_threshold(cost=20, margin=0.8, uplift=0.1, gain=1000) == pytest.approx(0.25)
    assert metrics.cost_threshold(cost=20, margin=0.8, uplift=0.1, gain=100) == 1
    assert math.isnan(metrics.cost_threshold(cost=20, margin=0.8, uplift=0.1, gain=0))


@settings(max_examples=60, deadline=None)
@given(rows=SOME, weights=st.lists(st.integers(0, 4), min_size=40, max_size=40))
def test_a_weight_is_the_row_written_that_often(rows: list[tuple[int, float, float]], weights: list[int]) -> None:
    label, score, money = _columns(rows)
    weight = np.array(weights[: len(rows)], dtype=float)
    again = np.repeat(np.arange(len(rows)), weight.astype(int))
    whole, written_out = (Scored(label[i], money[i], score[i], score[i], score[i]) for i in (slice(None), again))
    both = whole.resampled(np.column_stack([weight, np.ones(len(rows))]))
    apart = [written_out.figures(), whole.figures()]
    for name, found in both.items():
        if name == "ece" or name.startswith("calibration"):  # made by the bins and the line of all rows
            continue
        assert found == pytest.approx([one[name] for one in apart], rel=1e-9, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize("label", [(1, 0, 0, 1, 0), (1, 1, 0, 0, 0), (0, 1, 1, 1, 0)])
@pytest.mark.parametrize("score", [(3, 3, 3, 3, 3), (2, 2, 1, 1, 1), (3, 2, 2, 2, 1)])
def test_ties_are_the_mean_over_every_order_of_the_tied_rows(label: tuple[int, ...], score: tuple[int, ...]) -> None:
    came = np.array(label, float)
    orders = [
        np.array([s + place / 10 for s, place in zip(score, order, strict=True)])
        for order in itertools.permutations(range(5))
    ]
    told = [Scored(came, came, strict, strict).figures(2) for strict in orders]
    tied = Scored(came, came, np.array(score, float), np.array(score, float)).figures(2)
    for name in ("pr_auc", "roc_auc", "lift_20", "recall_called"):
        _same(tied[name], float(np.mean([one[name] for one in told])))


def test_a_figure_the_rows_do_not_define_is_nan() -> None:
    score, none = np.array([0.1, 0.2, 0.3]), np.zeros(0)
    of_both = {"roc_auc", "brier_skill", "calibration_intercept", "calibration_slope", "gini", "spearman"}
    of_positives = {"pr_auc", "lift_10", "recall_called", "revenue_captured_10", "expected_over_actual", "decile_mape"}
    for label, undefined in ((np.zeros(3), of_both | of_positives), (np.ones(3), of_both)):
        found = _figures(label, score, label)
        assert {name for name, value in found.items() if math.isnan(value)} >= undefined
    assert math.isnan(metrics.pr_auc(none, none))
    assert math.isnan(metrics.log_loss(none, none))
    assert all(math.isnan(one) for one in metrics.calibration_line(none, none))


def test_a_loss_counts_as_no_money_gained() -> None:
    money, score = np.array([-500.0, 80.0, 20.0, 0.0]), np.array([0.4, 0.3, 0.2, 0.1])
    assert _figures(np.ones(4), score, money, called=2)["revenue_captured_called"] == pytest.approx(0.8)


def test_calibration_line_finds_the_distortion_that_was_put_in() -> None:
    rng = np.random.default_rng(3)
    log_odds = rng.normal(-1, 1.5, 60_000)
    label = (rng.random(60_000) < 1 / (1 + np.exp(-(0.5 + 0.7 * log_odds)))).astype(float)
    intercept, slope = metrics.calibration_line(label, 1 / (1 + np.exp(-log_odds)))
    assert intercept == pytest.approx(0.5, abs=0.05)
    assert slope == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(("total", "slope"), [(0.6, 0.6), (0.5, 0.6), (1.0, 0.5)])
def test_a_calibration_line_is_found_where_whole_steps_of_newton_overshoot(total: float, slope: float) -> None:
    rng = np.random.default_rng(1)
    raw = rng.normal(-3, 3, 12_000)
    true = 1 / (1 + np.exp(-slope * raw))
    label = (rng.random(12_000) < true).astype(float)
    said = np.clip(1 / (1 + np.exp(-raw)) * total, 1e-9, 1 - 1e-9)
    found = metrics.calibration_line(label, said)
    assert np.isfinite(found).all()
    assert twins.calibration_gradient(list(label), list(said), *found) == pytest.approx((0, 0), abs=1e-4)


def test_saying_the_base_rate_to_everyone_has_no_skill_and_no_calibration_gap() -> None:
    label = np.array([1.0, 0, 0, 0, 1, 0, 0, 0, 0, 0])
    said = np.full(10, 0.2)
    found = _figures(label, said, label)
    assert found["brier_skill"] == pytest.approx(0)
    assert found["ece"] == pytest.approx(0)
    assert found["lift_10"] == pytest.approx(1)
    assert found["roc_auc"] == pytest.approx(0.5)
