"""The page of results says what the kept figures say, and a bar is reached only by what lies within it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.bars import LANDMARKS, NOT_MEASURED, Bar, bars
from benchmarks.one_run import ROOT
from benchmarks.results_page import page

KEPT = ROOT / "docs" / "results" / "results.json"


def run(world: str = "plain", seed: int = 7, share: float = 1.0, **changes: Any) -> dict[str, Any]:
    """A run whose champion has `share` of the ceiling's figures and says the truth of the totals."""
    figures = {"roc_auc": 0.94, "pr_auc": 0.4, "lift_5": 12.0, "lift_10": 7.0, "log_loss": 0.08}
    figures |= {"revenue_captured_5": 0.8, "revenue_captured_10": 0.9}
    own = {name: value * share for name, value in figures.items()}
    own |= {"expected": 50.0, "kl": 0.001, "ece": 0.002, "money_expected": 1000.0, "money_gained": 1000.0}
    rival = {name: value / 4 for name, value in figures.items()}
    names = {"champion": own, "ceiling": figures, "logistic": rival, "activity_28d": rival, "spend_lifetime": rival}
    row = {"as_of": "2025-06-01", "candidate": "champion", "n": 1000, "positives": 50, "base_rate": 0.05, "pr_auc": 0.4}
    row |= {"pr_auc_ci": [0.3, 0.5], "expected_over_actual": 1.0}
    return {
        "world": world,
        "accounts": 20_000,
        "seed": seed,
        "grade": {"word": "good", "why": ""},
        "headline": "",
        "dates": ["2025-06-01"],
        "groups": {g: {"n": 1000, "positives": 50, "candidates": names} for g in ("all", *LANDMARKS)},
        "origins": [row],
        "pooled": [row],
        "shape": {"rows": 1000, "falls": 0, "crowded": 0},
        "amounts": {"expanded": 100, "inside": 80},
        **changes,
    }


def judged(*runs: dict[str, Any]) -> dict[str, Bar]:
    return {bar.name: bar for bar in bars({"runs": runs, "real": []})}


def test_the_page_is_what_the_kept_figures_generate() -> None:
    document = json.loads(KEPT.read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == page(document)


def test_every_picture_of_the_page_is_there() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs" / "results").glob("*.png"):
        assert f"(results/{path.name})" in text


def test_who_ranks_as_the_truth_does_reaches_every_bar_that_was_measured() -> None:
    null = run("null", grade={"word": "no skill", "why": ""})
    null["pooled"] = [{**null["pooled"][0], "base_rate": 0.31}]
    found = judged(run(), run(seed=8), run("nonlinear"), run("drift"), run("faulty"), null)
    assert {bar.reached for name, bar in found.items() if "PQL" not in name} == {"stretch"}
    pql = found["PR-AUC over the PQL rule"]
    assert (pql.reached, pql.why) == (NOT_MEASURED, "no candidate pql in these runs")


@pytest.mark.parametrize(("share", "reached"), [(0.85, "no"), (0.92, "must"), (0.96, "stretch")])
def test_the_share_of_the_ceiling_decides_its_bar(share: float, reached: str) -> None:
    assert judged(run(share=share))["PR-AUC over the ceiling's"].reached == reached


def test_one_landmark_below_the_bar_misses_it() -> None:
    weak = run()
    early = run(share=0.8)["groups"]["week 4"]
    weak["groups"] = weak["groups"] | {"week 4": early}
    found = judged(weak)
    assert found["PR-AUC over the ceiling's"].reached == "no"
    assert found["lift at 5 % over the ceiling's"].reached == "no"


def test_a_share_over_seeds_is_that_of_the_means_and_shows_the_spread() -> None:
    shown = judged(run(share=0.9), run(seed=8, share=1.0))["lift at 5 % over the ceiling's"].shown
    assert shown.startswith("week 4 95% (90% to 100%)")


@pytest.mark.parametrize(("word", "base"), [("weak", 0.31), ("no skill", 0.05)])
def test_skill_in_a_world_without_signal_misses_the_bar(word: str, base: float) -> None:
    null = run("null", grade={"word": word, "why": ""})
    null["pooled"] = [{**null["pooled"][0], "base_rate": base}]
    [bar] = [bar for name, bar in judged(null).items() if name.startswith("`null`")]
    assert bar.reached == "no"


def test_one_account_that_breaks_a_law_misses_it() -> None:
    broken = judged(run(shape={"rows": 1000, "falls": 0, "crowded": 1}))
    [bar] = [bar for name, bar in broken.items() if name.startswith("probabilities rise")]
    assert bar.reached == "no"
    assert "1 of 1,000" in bar.shown


def test_nothing_run_is_nothing_measured_and_a_page_all_the_same() -> None:
    assert {bar.reached for bar in judged().values()} == {NOT_MEASURED}
    text = page({"runs": [], "real": [{"name": "ravenstack", "skipped": "data not here"}]})
    assert "**0 reached**" in text
    assert "skipped: data not here" in text


def test_a_vendor_too_small_to_train_on_is_told_and_judged_by_nothing() -> None:
    refused = {"world": "tiny", "seed": 7, "accounts": 2000, "refused": "too few accounts expanded"}
    text = page({"runs": [run(), refused], "real": []})
    assert "refused to train" in text
    assert "too few accounts expanded" in text


def test_no_benchmark_hides_a_package_of_the_product() -> None:
    """`python benchmarks/x.py` looks for modules beside x.py first."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert "training" in packages
    assert not packages & {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
