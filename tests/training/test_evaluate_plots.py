"""What the pictures are drawn from."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training import plot_capacity, plots
from training.bootstrap import Scored
from training.heldout import HeldOut, words
from training.metrics import gains, observed_expected, wilson
from training.plots import calibration_parts


def test_a_gains_curve_runs_from_nothing_to_everything_and_ties_are_straight() -> None:
    called, found = gains(np.array([1.0, 1.0, 0.0, 0.0]), np.array([3.0, 2.0, 2.0, 1.0]))
    assert called.tolist() == [0, 0.25, 0.75, 1]
    assert found.tolist() == [0, 0.5, 1, 1]


def test_wilson_interval_is_the_published_one_and_never_leaves_the_rates() -> None:
    assert wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0, 50)[0] == pytest.approx(0)
    assert wilson(50, 50)[1] == pytest.approx(1)


def test_calibration_bins_hold_every_account_once_and_are_fewer_when_positives_are() -> None:
    rng = np.random.default_rng(0)
    said = rng.random(1000)
    many, few = (rng.random(1000) < said).astype(float), np.zeros(1000)
    assert sum(len(part) for part in calibration_parts(many, said)) == 1000
    assert len(calibration_parts(many, said)) == 10
    assert len(calibration_parts(few, said)) == 2
    parts = observed_expected(many, said)
    assert sum(part.n for part in parts) == 1000
    assert all(abs(part.expected - part.observed) < 0.15 * part.n for part in parts)


def _kept(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[Any]:
    """The figures that `module` saves, with what stands under their titles."""
    kept: list[Any] = []
    monkeypatch.setattr(module, "save", lambda figure, title, detail, path: kept.append((figure, title, detail)))
    return kept


def test_the_gains_show_rules_of_thumb_and_no_relative_with_more_money(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    label = (rng.random(200) < 0.2).astype(float)
    poor, rich = (Scored(label, label * 9, score, score) for score in (rng.random(200), label + rng.random(200)))
    there = dict.fromkeys(("hazard", "average", "distilled", "tweedie", "direct", "champion"), rich)
    there |= dict.fromkeys(("pql", "spend_lifetime", "activity_28d", "base_rate"), poor) | {"logistic": rich}
    account, ids = np.arange(200), np.array([f"a{i}" for i in range(200)], dtype=object)
    day = date(2025, 6, 1)
    kept = _kept(monkeypatch, plots)
    expected = ["champion", "logistic", "activity_28d", "spend_lifetime", "pql"]
    for ceiling in ({}, {"ceiling": rich}):
        rows = HeldOut("expansion", 180, day, day, ids, account, label, label * 9, there | ceiling)
        plots._gains(rows, Path("unused"))
        wanted = [expected[0], *ceiling, *expected[1:]]
        assert plots.drawn(rows) == wanted
        for axis in kept[-1][0].axes:
            lines = [line for line in axis.lines if not line.get_label().startswith("_")][: len(wanted)]
            assert [line.get_label() for line in lines] == [words(name) for name in wanted]
            looks = {(str(line.get_linestyle()), line._unscaled_dash_pattern, line.get_color()) for line in lines}
            assert len(looks) == len(wanted), "two lines that look alike"
            assert lines[0].get_linewidth() > max(line.get_linewidth() for line in lines[1:])
            assert lines[0].get_zorder() < min(line.get_zorder() for line in lines[1:])


def test_the_learning_curve_starts_at_0_with_bars_and_tells_the_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _kept(monkeypatch, plot_capacity)
    moved = (("logistic", 20), ("logistic", 60), ("distilled", 200))
    curve = [
        {"accounts": 10 * n, "positives": n, "learner": learner, "pr_auc": 0.3, "pr_auc_ci": [0.2, 0.5],
         "log_loss": 0.08, "log_loss_ci": [0.07, 0.1]}
        for learner, n in moved
    ]  # fmt: skip
    plot_capacity.learning_picture(curve, 180, 30, Path("unused"))
    plot_capacity.learning_picture(
        [{k: v for k, v in row.items() if "ci" not in k} for row in curve], 180, 30, Path("x")
    )
    (figure, title, detail), (_, _, without) = kept
    assert "expansion within 180 days" in title
    assert "Bars: 95 % intervals" in detail
    assert "Bars" not in without
    for axis, high in zip(figure.axes, (0.5, 0.1), strict=True):
        assert axis.get_ylim()[0] == 0
        assert axis.get_ylim()[1] > high
        assert [text.get_text() for text in axis.texts] == [
            "20 moved\nridge\nthe rule would serve", "60 moved\nridge", "200 moved\ntrees"
        ]  # fmt: skip
        faces = [bar.lines[0].get_markerfacecolor() for bar in axis.containers]
        assert faces == ["white", "white", plot_capacity.CHAMPION_COLOUR]
        assert all(len(bar.lines[2]) == 1 for bar in axis.containers)
