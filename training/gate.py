"""The rules a challenger must pass before anybody is served by it. Pure: documents and rows in, rules with figures out.

Alone, a challenger must show skill on enough positives and must not look like a leak; where a simulator's truth is
known, doing better than that looks like one. Beside a champion judged on the same rows it must also hold no less of the
money and put no worse probabilities on what happened, each beyond doubt; and its total must be about right. On
different rows a comparison would compare the rows, so none is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.bootstrap import Scored, bootstrap, difference
from training.evaluate import CALLED, TARGET, EvaluateParams
from training.grade import NO_SKILL
from training.heldout import CHAMPION, NO_BETTER_THAN_TRUE

Document = Mapping[str, Any]
NOT_JUDGED: Document = {"roc_auc": None, "positives": 0, "expected_over_actual": None}
MONEY = f"revenue_captured_{CALLED}"


@dataclass(frozen=True)
class Rule:
    """One rule as it went. `value` None: undefined; `text`: a finished sentence with value and bound."""

    name: str
    passed: bool
    value: float | str | None
    text: str


@dataclass(frozen=True)
class Verdict:
    """`version` was judged, beside `champion` when there is one. `compared`: on the same rows as the champion;
    `basis` says why, or why not."""

    passed: bool
    version: int
    champion: int | None
    compared: bool
    basis: str
    rules: tuple[Rule, ...]

    @property
    def failures(self) -> list[str]:
        return [rule.text for rule in self.rules if not rule.passed]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "rules": [asdict(rule) for rule in self.rules]}


def alone(evaluation: Document, train: Document, params: EvaluateParams) -> list[Rule]:
    """The rules every challenger must pass."""
    row, word = headline_row(evaluation) or NOT_JUDGED, evaluation["grade"]["word"]
    none: dict[str, Any] = {"feature": "none", "share": 0.0}
    top = max(train["gain"], key=lambda item: item["share"], default=none)
    auc, positives = row["roc_auc"], row["positives"]
    place = f"{TARGET} at {evaluation['headline_horizon'] or evaluation['default_horizon']} days"
    rules = [
        Rule("skill", word != NO_SKILL, word, f"The grade is {word}; it must not be {NO_SKILL}."),
        Rule(
            "positives",
            positives >= params.min_positives,
            positives,
            f"{positives} positives were held out for {place}; {params.min_positives} are needed.",
        ),
        Rule(
            "one_feature",
            top["share"] <= params.max_gain_share,
            top["share"],
            f"{top['feature']} has {top['share']:.0%} of all gain; above {params.max_gain_share:.0%} a leak is likely.",
        ),
        Rule(
            "too_good",
            auc is not None and auc <= params.suspicious_auc,
            auc,
            f"ROC-AUC for {place} is {_shown(auc)}; above {params.suspicious_auc} a leak is likely.",
        ),
    ]
    return rules + ([beyond_ceiling(evaluation)] if "beyond_ceiling" in evaluation else [])


def beyond_ceiling(evaluation: Document) -> Rule:
    """Nothing that was judged, at any target and horizon, may do better than a simulator's truth. Only asked where
    there was one."""
    found = evaluation["beyond_ceiling"]
    text = "No candidate does better than the true probabilities."
    if found:
        more = f" {len(found) - 1} further figures say so too; see the model card." if len(found) > 1 else ""
        text = f"{found[0]['text']}{more} {NO_BETTER_THAN_TRUE}"
    return Rule("beyond_ceiling", not found, len(found), text)


def calibrated(evaluation: Document, params: EvaluateParams) -> Rule:
    """Expected over actual positives within the allowed range."""
    ratio = (headline_row(evaluation) or NOT_JUDGED)["expected_over_actual"]
    passed = ratio is not None and params.calibration_low <= ratio <= params.calibration_high
    allowed = f"{params.calibration_low} to {params.calibration_high}"
    text = f"Expected over actual positives is {_shown(ratio)}; allowed is {allowed}."
    return Rule("calibration", passed, ratio, text)


def beside(challenger: pa.Table, champion: pa.Table, params: EvaluateParams) -> list[Rule]:
    """Challenger against champion on the same rows (`headline_rows` of both), paired over accounts."""
    account = np.unique(challenger["account_id"].to_numpy(), return_inverse=True)[1]
    both = {"challenger": _scored(challenger), "champion": _scored(champion)}
    found = bootstrap(both, account, params.bootstrap, params.seed)
    value = {name: scored.figures() for name, scored in both.items()}
    rules = []
    for name, figure, words, sign in (
        ("money", MONEY, f"money held by the top {CALLED} %", 1),
        ("log_loss", "log_loss", "log-loss", -1),
    ):
        gap = value["challenger"][figure] - value["champion"][figure]
        lead = difference(found["challenger"][figure], found["champion"][figure], gap)
        if lead is None:
            rules.append(Rule(name, True, None, f"The {words} is undefined on these rows."))
            continue
        worse = lead.below_zero if sign > 0 else lead.above_zero
        around = f"{lead.value:+.4f} (95 % interval {lead.ci[0]:+.4f} to {lead.ci[1]:+.4f})"
        rules.append(Rule(name, not worse, round(lead.value, 8), f"Challenger less champion in {words}: {around}."))
    return rules


def headline_row(evaluation: Document) -> Document | None:
    """The model's figures at the headline; None when nothing was held out."""
    place = (TARGET, evaluation["headline_horizon"], CHAMPION)
    rows = evaluation["results"]
    return next((row for row in rows if (row["target"], row["horizon"], row["candidate"]) == place), None)


def headline_rows(predictions: pa.Table, horizon: int) -> pa.Table:
    """The rows of predictions.parquet at the headline, by account."""
    mask = pc.and_(pc.equal(predictions["target"], TARGET), pc.equal(predictions["horizon"], horizon))
    return predictions.filter(mask).sort_by([("account_id", "ascending"), ("as_of", "ascending")])


def incomparable(challenger: pa.Table, champion: pa.Table) -> str | None:
    """Why the two cannot be compared row by row; None when they can."""
    if not len(challenger) or not len(champion):
        return "one of the two was not judged at this horizon"
    for column in ("account_id", "as_of", "label", "increment"):
        if not challenger[column].equals(champion[column]):
            return f"the two were judged on different rows (column {column})"
    if challenger["probability"].null_count or champion["probability"].null_count:
        return "one of the two states no probability"
    return None


def _scored(rows: pa.Table) -> Scored:
    probability = rows["probability"].to_numpy()
    money = pc.coalesce(rows["expected_increment"], rows["probability"]).to_numpy()
    label = rows["label"].to_numpy().astype(np.float64)
    return Scored(label, rows["increment"].to_numpy(), probability, money, probability)


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
