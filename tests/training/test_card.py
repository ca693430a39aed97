"""The model card: what is said first, who is told once, what serves, and what stands in the appendix."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest

from tests.training.judged import heldout_rows, train_document, trained
from training.card import card, write_card
from training.card_serving import Boosters, boosters_of
from training.evaluate import EvaluateParams, evaluate

QUICK = EvaluateParams(bootstrap=20)
TRIALS = [
    {"number": 0, "params": {"rounds": 150, "num_leaves": 11}, "value": 0.06},
    {"number": 1, "params": {"rounds": 90, "num_leaves": 5}, "value": None},
    {"number": 2, "params": {"rounds": 197, "num_leaves": 4}, "value": 0.059},
]
BUNDLE = [Boosters("expansion", 2, 328, 15, 0.1, 2 / 3), Boosters("amount", 1, 197, 7, 0.053, None)]


def _again(rows: pa.Table, name: str, money: float = 1.0) -> pa.Table:
    """The champion's rows under another name; with `money` other than 1 accounts are ordered by it the other way."""
    own = rows.filter(pa.compute.equal(rows["candidate"], "champion"))
    own = own.set_column(own.column_names.index("candidate"), "candidate", pa.array([name] * len(own)))
    other = pa.array(own["money_score"].to_numpy() ** money)
    return own.set_column(own.column_names.index("money_score"), "money_score", other)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    own = heldout_rows(n=600)
    twins = [_again(own, "distilled"), _again(own, "tweedie", money=-1.0)]
    heldout = pa.concat_tables([own, *twins, heldout_rows(n=600, horizon=90), heldout_rows(n=600, target="high_value")])
    return evaluate(trained(tmp_path_factory.mktemp("card"), heldout), QUICK)


def _own(said: dict[str, Any], **figures: Any) -> dict[str, Any]:
    """`said` with other figures of the model at the headline."""
    out = copy.deepcopy(said)
    place = ("champion", "expansion", 180)
    [row] = [r for r in out["results"] if (r["candidate"], r["target"], r["horizon"]) == place]
    row |= figures
    return out


def _first(text: str) -> list[str]:
    """Whom the first table names, in its order."""
    table = text.split("| ranked by |")[1].split("\n\n")[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]]


@pytest.mark.parametrize(
    ("ratio", "around", "words"),
    [
        (1.85, [1.38, 2.67], "**Money is stated 1.85 times too high at the newest date (1.38 to 2.67): use its order,"),
        (0.5, [0.4, 0.99], "**Money is stated too low at the newest date, at 0.50 of what came (0.40 to 0.99): use"),
        (1.2, [0.99, 1.6], None),
        (1.2, [1.0, 1.6], None),
        (0.8, None, None),
    ],
)
def test_money_that_is_off_beyond_luck_is_told_under_the_grade(
    said: dict[str, Any], ratio: float, around: Any, words: str | None
) -> None:
    figures = {"money_expected_over_actual": ratio, "money_expected_over_actual_ci": around}
    calm = {"expected_over_actual": 1.0, "expected_over_actual_ci": [0.9, 1.1]}
    top = card(_own(said, **figures, **calm), train_document(), []).split("| ranked by")[0]
    assert ("Money is stated" in top) == (words is not None)
    assert "Positives" not in top
    if words:
        assert top.index("**Grade:") < top.index(words) < top.index("> Calling")


@pytest.mark.parametrize(
    ("around", "word"),
    [([1.26, 1.9], "too high"), ([1.2, 1.9], None), ([0.5, 0.79], "too low"), ([0.5, 0.81], None)],
)
def test_positives_are_told_only_where_their_interval_leaves_the_band(
    said: dict[str, Any], around: list[float], word: str | None
) -> None:
    changed = _own(said, expected_over_actual=sum(around) / 2, expected_over_actual_ci=around)
    top = card(changed, train_document(), []).split("| ranked by")[0]
    assert ("**Positives are stated" in top) == (word is not None)
    assert word is None or word in top.split("**Positives are stated")[1].split("**")[0]


def test_the_model_stands_once_in_the_first_table_with_the_name_of_its_learner(said: dict[str, Any]) -> None:
    before = copy.deepcopy(said)
    text = card(said, train_document(learner="distilled", chosen="x"), [])
    assert said == before, "the card changes nothing that evaluation.json says"
    named = _first(text)
    assert "**the model** (trees taught by a teacher, and logistic)" in named
    assert not {"trees taught by a teacher, and logistic", "the model, money by Tweedie"} & set(named)
    assert {"lifetime spend", "activity of the last 28 days", "base rate for everyone"} <= set(named)
    money = text.split("## Money and capacity")[1].split("\n## ")[0]
    assert "| the model, money by Tweedie |" in money
    assert "learner that serves today" not in text


def test_a_learner_with_figures_of_its_own_is_told_and_so_is_who_serves_today(said: dict[str, Any]) -> None:
    text = card(_own(said, pr_auc=0.99), train_document(learner="distilled", chosen="x"), [])
    named = _first(text)
    assert "**the model**" in named
    assert {"trees taught by a teacher, and logistic", "the model, money by Tweedie"} <= set(named)
    assert "The learner that serves today: trees taught by a teacher, and logistic." in text


def _serves(learner: str, **told: Any) -> str:
    search = {"trials": 3, "seconds": 60.0, "accounts": 0.5, "origins": 3} | told.pop("asked", {})
    document = train_document(learner=learner, chosen="x", seed=11, search=TRIALS, **told)
    document["params"]["train"] = {"search": search}
    evaluation = {"grade": {"word": "g", "why": ""}, "headline": "", "results": [], "capacity": [], "slices": []}
    evaluation |= {"uplift": {"sentence": "", "horizons": []}, "by_origin": [], "pooled": [], "headline_horizon": None}
    evaluation |= {"deciles": [], "decision": None, "currency": "USD", "default_horizon": 180}
    evaluation |= {name: "m" for name in ("trained_as_of", "data_fingerprint", "fingerprint", "bundle_id")}
    return card(evaluation, document, [], BUNDLE)


def test_the_boosters_told_are_those_of_the_bundle_and_not_what_was_searched() -> None:
    text = _serves("distilled", search_ended_by="trials")
    assert "| expansion | 2 | 328 | 15 | 0.1 | 67% |" in text
    assert "| amount | 1 | 197 | 7 | 0.053 | - |" in text
    assert "from seed 11 on" in text
    assert "take from it no more than `rounds`, `bagging_fraction`, `monotone`." in text
    assert "A search made 3 of 3 trials, 1 given up early; it ended with their number." in text
    assert "`rounds` 197 (150), `num_leaves` 4 (11); mean log-loss and one standard error 0.05900 in place" in text
    assert "the learner `average`, which competes, not the trees that serve" in text
    assert "50% of all and told by their id alone, are left out of the judged ones" in text
    assert "docs/adr/0030" in text
    assert "account_overlap" not in text


def test_a_search_that_its_seconds_ended_says_so_and_what_serves_may_be_what_it_tuned() -> None:
    text = _serves("average", search_ended_by="seconds", asked={"trials": 40})
    assert "A search made 3 of 40 trials, 1 given up early; its 60 seconds ended it" in text
    assert "what serves is fitted with what it found" in text
    assert "settings of their own" not in text
    assert "the ridge that serves has none of these settings" in _serves("logistic")


def test_without_a_search_the_card_says_what_the_audit_could_not_ask() -> None:
    text = _serves("distilled", asked={"trials": 0})
    assert "No search for settings ran." in text
    assert "`account_overlap` was not asked" in text
    assert "left out of the judged ones" not in text


def test_boosters_are_read_from_the_folder_of_the_bundle(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, bundle = rng.normal(size=(400, 2)), tmp_path / "candidate"
    bundle.mkdir()
    for number, rounds in enumerate((7, 9)):
        settings = {"num_leaves": 6, "learning_rate": 0.2, "min_data_in_leaf": 5, "verbosity": -1, "seed": number}
        lgb.train(settings, lgb.Dataset(x, x[:, 0] * x[:, 1]), rounds).save_model(
            bundle / f"expansion.{number}.lgb.txt"
        )
    hazard = {"kind": "average", "parts": [[0.75, {"kind": "boosted"}], [0.25, {"kind": "logistic"}]]}
    (bundle / "model.json").write_text(json.dumps({"hazards": {"expansion": hazard}}))
    assert boosters_of(bundle) == [Boosters("expansion", 2, 9, 6, 0.2, 0.75)]
    assert boosters_of(tmp_path / "none") == []


def test_other_targets_and_horizons_stand_with_their_pictures_at_the_end(said: dict[str, Any], tmp_path: Path) -> None:
    plots = [f"plots/{t}_180_{kind}.png" for t in ("expansion", "high_value") for kind in ("gains", "origins")]
    write_card(said, train_document(), plots, tmp_path / "model_card.md")
    text = (tmp_path / "model_card.md").read_text()
    body, end = text.split("## Appendix: other targets and horizons")
    assert body.index("## How to reproduce") < len(body)
    for words in (
        "### high value, 180 days",
        "### expansion, 90 days",
        "high_value_180_gains",
        "high_value_180_origins",
    ):
        assert (words in end, words in body) == (True, False)
    for words in ("## Every figure", "expansion_180_gains", "expansion_180_origins"):
        assert (words in end, words in body) == (False, True)
    assert "\n## " not in end
