"""The page of results says what the kept figures say, and a bar is reached only by what lies within it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from benchmarks.bars import LANDMARKS, NOT_MEASURED, Bar, bars
from benchmarks.one_run import ROOT
from benchmarks.results import readme_block, with_results
from benchmarks.results_page import page
from benchmarks.results_real import why

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
    row |= {"pr_auc_ci": [0.3, 0.5], "expected_over_actual": 1.0, "expected_over_actual_ci": [0.9, 1.1]}
    return {
        "world": world,
        "accounts": 20_000,
        "seed": seed,
        "grade": {"word": "good", "why": "", "origins": 1, "positives": 50},
        "headline": "",
        "dates": ["2025-06-01"],
        "groups": {g: {"n": 1000, "positives": 50, "candidates": names} for g in ("all", *LANDMARKS)},
        "origins": [row],
        "pooled": [row],
        "deciles": [{"decile": tenth, "expected": 2.0 * tenth, "observed": 1.0 * tenth} for tenth in range(1, 11)],
        "shape": {"rows": 1000, "falls": 0, "crowded": 0},
        "amounts": {"expanded": 100, "inside": 80},
        "learners": [None, "logistic", "average"],
        "money": [
            {"as_of": "2025-06-01", "tier": tier, "n": 500, "positives": 25, "expected": 300.0 * tier, "gained": 200.0}
            for tier in (0, 1)
        ],
        **changes,
    }


def ranked(candidate: str, share: float = 1.0, target: str = "expansion", **changes: Any) -> dict[str, Any]:
    """A row of a real data set: figures are `share` of .8, .4, 4.0 and .5."""
    figures = {"roc_auc": 0.8, "pr_auc": 0.4, "lift_10": 4.0, "revenue_captured_10": 0.5, "brier_skill": 0.1}
    own = {name: value * share for name, value in figures.items()} | {f"{name}_ci": None for name in figures}
    place = {"target": target, "horizon": 180, "as_of": "2011-05-01", "candidate": candidate}
    return {**place, "n": 1000, "positives": 50, "base_rate": 0.05, **own, **changes}


def real(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The wholesaler."""
    grade = {"word": "fair", "why": "It leads.", "origins": 4, "positives": 200}
    return {"name": "online_retail_ii", "grade": grade, "headline": "Calls pay.", "results": list(rows), **changes}


def judged(*runs: dict[str, Any]) -> dict[str, Bar]:
    return {bar.name: bar for bar in bars({"runs": runs, "real": []})}


def test_the_page_is_what_the_kept_figures_generate() -> None:
    document = json.loads(KEPT.read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == page(document)


def test_the_readme_says_what_the_kept_figures_generate() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == with_results(readme, json.loads(KEPT.read_text(encoding="utf-8")))


def test_the_readme_outside_its_marks_is_left_alone() -> None:
    document = {"runs": [run()], "real": []}
    readme = "above\n<!-- results -->\nold \\1\n<!-- /results -->\nbelow\n"
    assert with_results(readme, document) == readme.replace("old \\1\n", readme_block(document))
    with pytest.raises(ValueError, match="0 blocks"):
        with_results("no marks", document)


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


def test_what_the_truth_does_not_reach_is_said_to_be_out_of_reach() -> None:
    one = run()
    for number, group in enumerate(one["groups"].values()):  # all accounts, then the landmarks
        pql = {"pr_auc": 0.2 if number < 3 else 0.25}
        group["candidates"] = {**group["candidates"], "pql": pql}
    text = page({"runs": [one], "real": []})
    assert "Missed: PR-AUC over the PQL rule (out of reach: the truth itself has 1.60 at week 26)." in text


def test_bars_are_counted_by_both_questions() -> None:
    plain = run(share=0.85)
    plain["elsewhere"] = run()["groups"]
    text = " ".join(page({"runs": [plain], "real": []}).split())
    assert "**7 reached**, 7 of them" in text
    assert (
        "reaches 9 of the 9 bars that can be measured there; with the others that makes 11 of 16, 11 of them with"
        in text
    )


def test_a_world_run_on_fewer_seeds_than_the_bars_ask_for_is_a_trial() -> None:
    plain = [run(seed=seed) for seed in range(5)]
    assert "read them as a trial" not in page({"runs": plain, "real": []})
    assert "fewer seeds: 1 of `drift`. With fewer accounts" in page({"runs": [*plain, run("drift")], "real": []})


def test_a_bar_that_a_landmark_does_not_tell_is_not_measured() -> None:
    untold = run()
    champion = untold["groups"]["week 4"]["candidates"]["champion"]
    untold["groups"]["week 4"]["candidates"] = {
        **untold["groups"]["week 4"]["candidates"],
        "champion": {**champion, "kl": None},
    }
    assert judged(untold)["mean KL to the true probability, nats"].reached == NOT_MEASURED


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


def test_runs_of_several_versions_or_of_none_that_was_kept_are_said_to_be() -> None:
    def told(*runs: dict[str, Any]) -> str:
        return page({"runs": runs, "real": []})

    one, other, lost = (run(commit=name, seed=seed) for seed, name in enumerate(("abc", "def", "abc-dirty"), start=7))
    assert "Not all runs are of one version" not in told(one, one)
    assert "Made with the code of commit `abc`." in told(one, one)
    assert "one version that was kept: plain 7 with `abc`; plain 8 with `def`." in told(one, other)
    assert "plain 9 and 9 with `abc-dirty`." in told(lost, lost)
    assert "plain 7 to 9 with `abc`; plain 4 with `def`." in told(
        *(run(commit="abc", seed=seed) for seed in (7, 8, 9)), run(commit="def", seed=4)
    )
    assert "with `unknown`." in told(run())


def test_no_benchmark_hides_a_package_of_the_product_or_of_python() -> None:
    """`python benchmarks/x.py` looks for modules beside x.py first."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} | sys.stdlib_module_names
    assert {"training", "http"} <= packages
    assert not packages & {path.stem for path in (ROOT / "benchmarks").glob("*.py")}


def test_the_readme_claims_a_lead_only_where_the_figures_read_so() -> None:
    rows = [ranked("champion"), ranked("logistic", 0.9), ranked("spend_lifetime", 0.8, revenue_captured_10=0.502)]
    text = " ".join(readme_block({"runs": [], "real": [real(*rows)]}).split())
    assert "rule of thumb in ROC-AUC, PR-AUC and lift at 10 %, not in money in the top 10 %." in text


def test_the_readme_leads_nowhere_without_skill() -> None:
    grade = {"word": "no skill", "why": "It ranks worse than rfm, which needs no model of behaviour.", "origins": 2}
    one = real(ranked("champion"), ranked("logistic", 0.5), grade={**grade, "positives": 90})
    text = " ".join(readme_block({"runs": [], "real": [one]}).split())
    served = "no skill (90 moves at 2 dates), so a rule of thumb is served."
    assert f"{served} It ranks worse than *recency, frequency, money*" in text
    assert "above" not in text


def test_the_reasons_of_a_grade_call_candidates_as_the_tables_do() -> None:
    told = "Before. It ranks worse than bg_nbd, rfm, which need no model of behaviour. After recency, rfm, which."
    said = why(real(grade={"why": told}))
    assert "than *BG/NBD times mean spend*; *recency, frequency, money*, which need no model" in said
    assert said.startswith("Before. ")
    assert said.endswith("After recency, rfm, which.")


def test_the_page_names_the_dates_of_real_data_and_the_learner_where_figures_tell_it() -> None:
    rows = [ranked("champion"), ranked("hazard"), ranked("logistic", 0.9), ranked("champion", 0.9, "moved_up")]
    text = page({"runs": [], "real": [real(*rows)]})
    assert "held out: expansion, 180 days from 2011-05-01; moved up, 180 days from 2011-05-01." in text
    assert "The grade looks at 4 dates together. The model of expansion on that day: *boosted hazards*." in text


def test_the_headline_names_the_rule_that_holds_most_and_lifetime_spend() -> None:
    strong = run()
    for group in strong["groups"].values():
        group["candidates"] = group["candidates"] | {"activity_28d": {"revenue_captured_10": 0.8, "pr_auc": 0.1}}
    text = page({"runs": [strong], "real": []})
    assert "against 80% by activity of the last 28 days, the rule of thumb that holds most, and 22% by lifetime" in text


def test_what_is_gained_over_the_ridge_is_told_seed_by_seed() -> None:
    text = page({"runs": [run(), run(seed=8, share=0.5)], "real": []})
    assert "Its PR-AUC minus the ridge's is +0.2000 (by seed +0.1000 to +0.3000)" in text


def test_beside_the_picture_stand_the_lowest_tenths_and_the_dates() -> None:
    early = run(seed=8)
    early["origins"] = [{**early["origins"][0], "expected_over_actual": 1.5}]
    text = page({"runs": [run(), early], "real": []})
    assert "In the lowest seven tenths 112 moves were expected and 56 seen, in the others 108 and 54." in text
    assert "by date: 2025-06-01 1.25 (1.00 to 1.50)." in text


def test_the_page_says_which_learner_was_the_model_at_how_many_dates() -> None:
    text = page({"runs": [run(), run("tiny", learners=["logistic", "logistic", None])], "real": []})
    assert "by world, and at how many dates of all seeds: `plain` ridge logistic 1, average of trees" in text
    assert "; `tiny` ridge logistic 2." in text


def test_money_is_told_by_tier_and_date_with_the_moves_behind_it() -> None:
    text = page({"runs": [run(), run(seed=8)], "real": []})
    assert "| 1 | 1.50 (50) | 1.50 (50) |" in text
    assert "| 0 | 0.00 (50) | 0.00 (50) |" in text
