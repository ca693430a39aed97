"""Metrics against scalar twins, against every order of the ties, and where nothing is defined."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training import scalar_twins as twins
from training import metrics

SCORES = st.one_of(st.integers(0, 6).map(lambda tenth: tenth / 6), st.floats(0, 1, allow_subnormal=False))
ROWS = st.lists(st.tuples(st.integers(0, 1), SCORES, st.floats(-50, 100)), min_size=0, max_size=40)
PERCENT = st.sampled_from([1.0, 5.0, 10.0, 33.3, 100.0])


def _columns(rows: list[tuple[int, float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _listed(twin: Callable[..., Any]) -> Callable[..., Any]:
    return lambda wanted, score, count: twin(list(wanted), list(score), min(count, len(score)))


def _same(vectorised: float, scalar: float) -> None:
    assert vectorised == pytest.approx(scalar, rel=1e-12, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", ["roc_auc", "pr_auc", "brier_skill", "log_loss", "ece", "expected_over_actual"])
@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_metric_agrees_with_its_scalar_twin(name: str, rows: list[tuple[int, float, float]]) -> None:
    label, score, _ = _columns(rows)
    _same(getattr(metrics, name)(label, score), getattr(twins, name)(list(label), list(score)))


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, percent=PERCENT)
def test_lift_recall_and_revenue_agree_with_their_scalar_twin(
    rows: list[tuple[int, float, float]], percent: float
) -> None:
    label, score, money = _columns(rows)
    share = twins.share_in_top(list(label), list(score), percent)
    _same(metrics.recall(label, score, percent=percent), share)
    _same(metrics.lift(label, score, percent=percent), share * 100 / percent)
    captured = twins.share_in_top(list(money), list(score), percent)
    _same(metrics.revenue_captured(money, score, percent=percent), captured)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, count=st.integers(1, 50))
def test_figures_of_the_first_accounts_agree_with_their_scalar_twins(
    rows: list[tuple[int, float, float]], count: int
) -> None:
    label, score, money = _columns(rows)
    gain = np.maximum(money, 0.0)
    held = twins.held_by_first(list(label), list(score), count)
    _same(metrics.recall_at(label, score, count=count), held / label.sum() if label.sum() else math.nan)
    ours, theirs = (f(gain, score, count) for f in (metrics.tie_range, _listed(twins.tie_range)))
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    worst, expected, best = ours
    assert worst <= expected + 1e-9 <= best + 2e-9
    economics = (count, 3.0, 0.8, 0.1)
    profit = twins.profit_at(list(money), list(score), *economics)
    assert metrics.profit_at(money, score, *economics) == pytest.approx(profit, rel=1e-9, abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_figures_of_money_agree_with_their_scalar_twins(rows: list[tuple[int, float, float]]) -> None:
    _, score, money = _columns(rows)
    for name in ("gini", "spearman", "decile_mape"):
        twin = getattr(twins, name)(list(money), list(score))
        assert getattr(metrics, name)(money, score) == pytest.approx(twin, rel=1e-7, abs=1e-7, nan_ok=True), name


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
@given(rows=ROWS, weights=st.lists(st.integers(0, 4), min_size=40, max_size=40), percent=PERCENT)
def test_a_weight_is_the_row_written_that_often(
    rows: list[tuple[int, float, float]], weights: list[int], percent: float
) -> None:
    label, score, money = _columns(rows)
    weight = np.array(weights[: len(rows)], dtype=float)
    again = np.repeat(np.arange(len(rows)), weight.astype(int))
    for name in ("roc_auc", "pr_auc", "brier", "brier_skill", "log_loss", "ece", "expected_over_actual"):
        metric = getattr(metrics, name)
        _same(metric(label, score, weight), metric(label[again], score[again]))
        if name != "ece":
            both = metric(label, score, np.column_stack([weight, np.ones(len(rows))]))
            assert both == pytest.approx([metric(label[again], score[again]), metric(label, score)], nan_ok=True)
    for name in ("gini", "spearman"):
        metric = getattr(metrics, name)
        both = metric(money, score, np.column_stack([weight, np.ones(len(rows))]))
        apart = [metric(money[again], score[again]), metric(money, score)]
        assert both == pytest.approx(apart, rel=1e-7, abs=1e-7, nan_ok=True), name
        _same(metric(money, score, weight), both[0])
    for metric, what in ((metrics.lift, label), (metrics.revenue_captured, money)):
        _same(metric(what, score, weight, percent=percent), metric(what[again], score[again], percent=percent))


@pytest.mark.parametrize("label", [(1, 0, 0, 1, 0), (1, 1, 0, 0, 0), (0, 1, 1, 1, 0)])
@pytest.mark.parametrize("score", [(3, 3, 3, 3, 3), (2, 2, 1, 1, 1), (3, 2, 2, 2, 1)])
def test_ties_are_the_mean_over_every_order_of_the_tied_rows(label: tuple[int, ...], score: tuple[int, ...]) -> None:
    found: dict[str, list[float]] = {"pr_auc": [], "lift": [], "roc_auc": []}
    for order in itertools.permutations(range(5)):
        strict = np.array([s + place / 10 for s, place in zip(score, order, strict=True)])
        found["pr_auc"].append(metrics.pr_auc(np.array(label, float), strict))
        found["roc_auc"].append(metrics.roc_auc(np.array(label, float), strict))
        found["lift"].append(metrics.lift(np.array(label, float), strict, percent=40))
    tied = np.array(label, float), np.array(score, float)
    _same(metrics.pr_auc(*tied), float(np.mean(found["pr_auc"])))
    _same(metrics.roc_auc(*tied), float(np.mean(found["roc_auc"])))
    _same(metrics.lift(*tied, percent=40), float(np.mean(found["lift"])))


def test_a_figure_the_rows_do_not_define_is_nan() -> None:
    none, zeros, ones = np.zeros(0), np.zeros(3), np.ones(3)
    score = np.array([0.1, 0.2, 0.3])
    for label in (none, zeros, ones):
        said = score[: len(label)]
        assert math.isnan(metrics.roc_auc(label, said))
        assert math.isnan(metrics.brier_skill(label, said))
        assert all(math.isnan(one) for one in metrics.calibration_line(label, said))
    for label in (none, zeros):
        said = score[: len(label)]
        assert math.isnan(metrics.pr_auc(label, said))
        assert math.isnan(metrics.lift(label, said, percent=10))
        assert math.isnan(metrics.expected_over_actual(label, said))
        assert math.isnan(metrics.revenue_captured(label, said, percent=10))
    assert math.isnan(metrics.log_loss(none, none))
    assert math.isnan(metrics.ece(none, none))


def test_a_loss_counts_as_no_money_gained() -> None:
    money, score = np.array([-500.0, 80.0, 20.0, 0.0]), np.array([4.0, 3.0, 2.0, 1.0])
    assert metrics.revenue_captured(money, score, percent=50) == pytest.approx(0.8)


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
    assert metrics.brier_skill(label, said) == pytest.approx(0)
    assert metrics.ece(label, said) == pytest.approx(0)
    assert metrics.lift(label, said, percent=10) == pytest.approx(1)
    assert metrics.roc_auc(label, said) == pytest.approx(0.5)
