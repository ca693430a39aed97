"""The grade, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training.bootstrap import Difference
from training.grade import NOTHING_HELD_OUT, Evidence, Grade
from training.grade import grade as graded

BETTER, SAME, WORSE = Difference(0.1, (0.05, 0.15)), Difference(0.0, (-0.05, 0.05)), Difference(-0.1, (-0.15, -0.05))
AHEAD = {"roc_auc": BETTER, "pr_auc": BETTER}
LEVEL = {"roc_auc": SAME, "pr_auc": SAME}
BEHIND = {"roc_auc": WORSE, "pr_auc": WORSE}
STRONG = Evidence(
    positives=200,
    newest=60,
    roc_auc=0.9,
    roc_auc_ci=(0.86, 0.93),
    pr_auc=0.4,
    best_rule_pr_auc=0.2,
    rules=("spend_90d", "activity_28d"),
    leads={
        "base_rate": {"log_loss": WORSE},
        "books_only": {**AHEAD, "log_loss": WORSE},
        "spend_90d": AHEAD,
        "activity_28d": AHEAD,
    },
)


def grade(evidence: Evidence, needed: int = 30) -> Grade:
    return graded(evidence, needed)


def _with(**leads: object) -> Evidence:
    return replace(STRONG, leads={**STRONG.leads, **leads})  # type: ignore[arg-type]


def test_a_model_far_above_the_best_rule_is_excellent() -> None:
    assert grade(STRONG).word == "excellent"
    assert "2.00 times" in grade(STRONG).why
    assert " needs " not in grade(STRONG).why


def test_a_lower_grade_says_what_the_next_one_asks_for() -> None:
    assert grade(replace(STRONG, roc_auc=0.8)).why.endswith(
        "Excellent needs 1.30 times the best rule's PR-AUC and a ROC-AUC of 0.85."
    )
    assert (
        "Fair needs 1.05 times the best rule's PR-AUC and a ROC-AUC of 0.65." in grade(replace(STRONG, roc_auc=0.6)).why
    )


def test_a_figure_that_misses_a_bound_by_a_hair_does_not_read_like_it() -> None:
    hair = grade(replace(STRONG, roc_auc=0.74968, pr_auc=0.25996))
    assert hair.why.startswith("ROC-AUC is 0.7497 and PR-AUC is 1.2998 times the best rule's.")
    assert grade(replace(STRONG, roc_auc=0.75)).why.startswith("ROC-AUC is 0.750 and")


@pytest.mark.parametrize(
    ("rule", "auc", "word"),
    [
        (0.2, 0.8, "good"),
        (0.34, 0.9, "good"),
        (0.37, 0.9, "fair"),
        (0.2, 0.7, "fair"),
        (0.39, 0.9, "weak"),
        (0.2, 0.6, "weak"),
    ],
)
def test_the_word_falls_with_the_lead_over_the_best_rule_and_with_auc(rule: float, auc: float, word: str) -> None:
    assert grade(replace(STRONG, best_rule_pr_auc=rule, roc_auc=auc)).word == word


def test_few_positives_never_earn_more_than_weak_however_few_the_gate_asks_for() -> None:
    found = grade(replace(STRONG, positives=29, newest=29), needed=10)
    assert found.word == "weak"
    assert "29 positives" in found.why


@pytest.mark.parametrize("figures", [STRONG, _with(base_rate={"log_loss": SAME}), NOTHING_HELD_OUT])
def test_with_fewer_positives_than_the_gate_asks_for_there_is_no_grade_good_or_bad(figures: Evidence) -> None:
    found = grade(replace(figures, newest=12, origins=4))
    assert found.word == "too few to tell"
    assert found.why.startswith(
        "12 positives were held out at the newest of 4 dates; 30 are needed (gate.min_positives)"
    )


def test_what_is_enough_is_what_the_gate_of_the_params_asks_for() -> None:
    assert grade(STRONG, needed=60).word == "excellent"
    assert grade(STRONG, needed=61).word == "too few to tell"
    assert grade(_with(base_rate={"log_loss": SAME}), needed=60).word == "no skill"


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (replace(STRONG, roc_auc_ci=(0.49, 0.93)), "does not lie above .5"),
        (_with(base_rate={"log_loss": SAME}), "base rate"),
        (_with(base_rate={}), "base rate"),
        (_with(books_only=BEHIND), "ranks worse than books_only"),
        (_with(spend_90d=BEHIND), "ranks worse than spend_90d"),
        (_with(books_only=LEVEL, spend_90d=LEVEL), "neither trees and a logistic without usage nor the best rule"),
        (replace(STRONG, roc_auc=None, roc_auc_ci=None), "nothing can be measured"),
    ],
)
def test_no_skill_is_said_with_its_reason(evidence: Evidence, why: str) -> None:
    assert grade(evidence).word == "no skill"
    assert why in grade(evidence).why


def test_worse_on_one_figure_and_better_on_the_other_is_not_losing() -> None:
    assert grade(_with(spend_90d={"roc_auc": WORSE, "pr_auc": BETTER})).word == "excellent"


def test_a_model_level_with_the_books_but_above_every_rule_keeps_its_grade_and_says_so() -> None:
    found = grade(_with(books_only=LEVEL))
    assert found.word == "excellent"
    assert "do not show that behaviour adds" in found.why


def test_a_model_above_one_rule_only_does_not_beat_the_best_rule() -> None:
    assert grade(_with(books_only=LEVEL, activity_28d=LEVEL)).word == "no skill"


def test_without_any_rule_or_books_the_first_two_conditions_decide() -> None:
    bare = replace(STRONG, rules=(), best_rule_pr_auc=None, leads={"base_rate": {"log_loss": WORSE}})
    assert grade(bare).word == "excellent"
