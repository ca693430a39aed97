"""What is said of two arms: intervals that hold what was planted, refusals with a remedy in numbers, plan and power."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.judged import heldout_rows, trained
from training.evaluate import EvaluateParams, evaluate
from training.lots import LEAST_MOVES, Arms, refusal
from training.proportions import accounts_needed, difference_interval, least_uplift, ratio_interval
from training.uplift import (
    FEWER,
    LESS_THAN_ASSUMED,
    MORE,
    NOT_ESTIMABLE,
    NOT_TOLD,
    Assumed,
    estimate,
    plan,
    read_out,
)

ASSUMED = Assumed(uplift=0.1, share=0.5)
MONEY = 100.0  # gained by whoever moves


def arms(moves: int, called: int, moved: int, alone: int) -> Arms:
    """So many of so many; alike in what was known."""
    contacted = np.arange(called + alone) < called
    label = np.concatenate([np.arange(called) < moves, np.arange(alone) < moved]).astype(float)
    return Arms(contacted, label, label * MONEY, {"tenure_days": np.arange(called + alone) % 7.0})


def told(*counts: int, assumed: Assumed = ASSUMED) -> dict:
    return estimate(arms(*counts), 180, 0, assumed, "USD", 200, 5)


@pytest.mark.parametrize(("rate", "uplift", "n"), [(0.03, 0.0, 1000), (0.03, 1.0, 700), (0.15, 0.5, 200)])
def test_intervals_hold_the_truth_nineteen_times_in_twenty(rate: float, uplift: float, n: int) -> None:
    rng = np.random.default_rng(11)
    drawn = [d for d in rng.binomial(n, [[rate * (1 + uplift), rate]] * 4000).tolist() if min(d) >= LEAST_MOVES]
    assert len(drawn) > 3500
    held = [difference_interval(x, n, y, n) for x, y in drawn]
    assert np.mean([low <= rate * uplift <= high for low, high in held]) == pytest.approx(0.95, abs=0.012)
    ratio = [ratio_interval(x, n, y, n) for x, y in drawn]
    assert np.mean([low <= 1 + uplift <= high for low, high in ratio]) == pytest.approx(0.95, abs=0.015)


def test_the_interval_is_the_published_one() -> None:
    """Newcombe (1998), table II, method 10: 56/70 less 48/80."""
    assert difference_interval(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_an_honest_lot_is_hardly_ever_refused() -> None:
    rng, refused = np.random.default_rng(2), 0
    for _ in range(200):
        known = {
            "tier": rng.choice(4, 600, p=[0.9, 0.07, 0.02, 0.01]).astype(float),
            "run_rate": np.where(rng.random(600) < 0.1, rng.lognormal(4, 1, 600), 0.0),
            "tenure_days": rng.exponential(200, 600),
        }
        moved = (rng.random(600) < 0.2).astype(float)
        refused += refusal(Arms(rng.random(600) < 0.5, moved, moved, known), 180, 0, 0.5) is not None
    assert refused <= 3  # 2 in 1,000 are to be expected


def test_money_an_account_is_told_from_thirty_moves_on_with_its_interval() -> None:
    found = told(60, 1000, 40, 1000)
    assert found["gain_difference"] == pytest.approx(0.02 * MONEY)
    low, high = found["gain_difference_ci"]
    assert low / MONEY == pytest.approx(found["difference_ci"][0], abs=0.003)
    assert high / MONEY == pytest.approx(found["difference_ci"][1], abs=0.003)
    assert told(29, 1000, 40, 1000)["gain_difference"] is None


def test_one_account_of_a_fortune_does_not_decide_about_the_money() -> None:
    usual = arms(60, 1000, 40, 1000)
    gain = usual.gain.copy()
    gain[0] = 1e6
    rich = estimate(Arms(usual.contacted, usual.moved, gain, usual.known), 180, 0, ASSUMED, "USD", 200, 5)
    assert rich["gain_difference"] == pytest.approx(0.02 * MONEY)
    assert rich["gain_cap"] == MONEY


@pytest.mark.parametrize(
    ("counts", "verdict", "words"),
    [
        ((144, 1500, 72, 1500), MORE, "The 10% assumed (evaluate.uplift) is less."),
        ((60, 1500, 120, 1500), FEWER, "The 10% assumed (evaluate.uplift) is more."),
        ((50, 1500, 45, 1500), NOT_TOLD, "seeing 10% (evaluate.uplift) would take 53,211 slots an arm; these slots"),
        ((5_960, 20_000, 6_000, 20_000), LESS_THAN_ASSUMED, "The 10% assumed (evaluate.uplift) is more."),
    ],
)
def test_the_verdict_is_by_the_interval(counts: tuple[int, ...], verdict: str, words: str) -> None:
    found = told(*counts)
    assert found["verdict"] == verdict
    assert words in found["sentence"]
    low, high = found["difference_ci"]
    assert low < found["difference"] < high
    assert f"{100 * low:+.1f} to {100 * high:+.1f}" in found["sentence"]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((0, 0, 30, 900), "no account contacted by lot has a complete outcome"),
        ((30, 900, 0, 0), "no account left alone by lot has a complete outcome"),
        ((30, 900, 9, 900), "10 in each are needed"),
        ((9, 900, 30, 900), "30 of 900 left alone by lot moved up within 180 days, 10 in each are needed"),
        ((0, 900, 0, 900), "Draw more slots"),
        ((60, 1200, 30, 600), "are not what a lot of 50% draws"),
    ],
)
def test_what_cannot_be_told_is_not_told_and_says_why(counts: tuple[int, ...], words: str) -> None:
    found = told(*counts)
    assert found["verdict"] == NOT_ESTIMABLE
    assert words in found["sentence"]
    assert "difference" not in found


def test_a_lot_that_contacts_two_in_three_says_so() -> None:
    assert told(60, 1200, 30, 600, assumed=Assumed(0.1, 2 / 3))["verdict"] != NOT_ESTIMABLE


def test_without_a_lot_one_sentence_says_what_it_would_take() -> None:
    found = read_out(None, ASSUMED, "USD", (0.03, 180), 50, 5)
    assert found["horizons"] == []
    assert found["sentence"] == (
        "What a contact brings is not estimable: no account was contacted or left alone by lot (touches of kind random "
        "and held_out). Where 3.0% move up within 180 days, slots an arm to see an uplift with 80% power: 53,211 for "
        "one of 10%, 9,100 for one of 25%, 2,518 for one of 50%, 749 for one of 100%."
    )
    assert read_out(None, ASSUMED, "USD", None, 50, 5)["sentence"].endswith("(touches of kind random and held_out).")


@pytest.mark.parametrize(("rate", "uplift"), [(0.06, 0.5), (0.03, 1.0), (0.2, 0.25), (0.3, -0.3)])
def test_so_many_accounts_see_the_uplift_four_times_in_five(rate: float, uplift: float) -> None:
    """By drawing arms of that size and asking whether the interval that is told leaves 0 out."""
    n = accounts_needed(rate, uplift)
    assert n is not None
    drawn = np.random.default_rng(7).binomial(n, [[rate * (1 + uplift), rate]] * 4000).tolist()
    seen = [low > 0 or high < 0 for low, high in (difference_interval(x, n, y, n) for x, y in drawn)]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.025)


def test_the_plan_is_that_of_the_books() -> None:
    assert accounts_needed(0.06, 0.5) == 1209
    assert [one["uplift"] for one in plan(0.03, 0.1)] == [0.1, 0.25, 0.5, 1.0]
    assert plan(0.6, 0.1)[-1]["slots_an_arm"] is None  # 120 % cannot move
    assert [accounts_needed(*impossible) for impossible in ((0, 0.5), (0.1, 0), (0.6, 1))] == [None, None, None]
    for rate, n in ((0.03, 500), (0.1, 2000)):
        least = least_uplift(rate, n)
        assert least is not None
        assert accounts_needed(rate, least) in (n, n + 1)
    assert least_uplift(0.5, 3) is None


def test_the_read_out_stands_on_the_card_and_changes_nothing_else(tmp_path: Path) -> None:
    workspace = trained(tmp_path, heldout_rows(n=300))
    said = evaluate(workspace, EvaluateParams(bootstrap=20))
    other = evaluate(workspace, EvaluateParams(bootstrap=20, random_share=0.3))
    assert said["uplift"].pop("random_share") != other["uplift"].pop("random_share")
    assert said == other
    card = (workspace.artifacts / "model_card.md").read_text()
    assert f"## What contacting brings\n\n{said['uplift']['sentence']}" in card
    assert json.loads((workspace.artifacts / "evaluation.json").read_text())["uplift"]["assumed"] == 0.1
