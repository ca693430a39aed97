"""The rules a challenger must pass before anybody is served by it. Pure: documents and rows in, rules with figures out.

Every challenger, the first one too, must show skill on enough positives, must not be far from calibrated beyond doubt,
and must not look like a leak: its leak audit has passed, no feature carries it alone, and where a simulator's truth is
known it does no better than that. Beside a champion, on rows that both can be scored on (`training.same_rows`), it must
also put better probabilities on what happened beyond doubt, hold no less of the money, and fail no segment. On other
rows a comparison would compare the rows, so none is made, and the champion stays unless the params say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from training.bootstrap import OF_MONEY
from training.grade import UNSHOWN
from training.heldout import CHAMPION, NO_BETTER_THAN_TRUE
from warehouse.params import Section
from warehouse.periods import TARGET

Document = Mapping[str, Any]
NOT_JUDGED: Document = {"roc_auc": None, "positives": 0}


class GateParams(Section):
    """The numbers of the rules. Alone: positives that must be held out, the largest share of gain one feature may
    have, the ROC-AUC that is too good to be honest, and the ranges that the 95 % intervals of expected over actual
    positives, of money expected over gained and of the calibration slope must reach into. Beside a champion: below
    `few_positives` the log-loss must win in its 90 % interval, else in its 95 % one; the share of the money held may
    not be more than `max_money_loss` lower beyond doubt; a segment with `segment_positives` may have at most
    `max_segment_loss` more log-loss than under the champion. `unlike`: a challenger that shares too few rows or labels
    with the champion to be compared, such as after a change of the ladder, may take its place by the rules it passes
    alone."""

    min_positives: int = Field(default=30, ge=1)
    max_gain_share: float = Field(default=0.6, gt=0, le=1)
    suspicious_auc: float = Field(default=0.99, gt=0.5, le=1)
    calibration_low: float = Field(default=0.5, gt=0)
    calibration_high: float = Field(default=2.0, gt=0)
    money_low: float = Field(default=0.5, gt=0)
    money_high: float = Field(default=2.0, gt=0)
    slope_low: float = Field(default=0.5, gt=0)
    slope_high: float = Field(default=2.0, gt=0)
    few_positives: int = Field(default=200, ge=1)
    max_money_loss: float = Field(default=0.0, ge=0)
    segment_positives: int = Field(default=30, ge=1)
    max_segment_loss: float = Field(default=0.1, ge=0)
    unlike: bool = False
    bootstrap: int = Field(default=500, ge=10)
    seed: int = 5


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


def alone(evaluation: Document, train: Document, leaks: Document | None, params: GateParams) -> list[Rule]:
    """The rules every challenger must pass. `leaks`: leaks.json; None: there is none."""
    row, word = headline_row(evaluation) or NOT_JUDGED, evaluation["grade"]["word"]
    none: dict[str, Any] = {"feature": "none", "share": 0.0}
    top = max(train["gain"], key=lambda item: item["share"], default=none)
    auc, positives = row["roc_auc"], row["positives"]
    place = f"{TARGET} at {evaluation['headline_horizon'] or evaluation['default_horizon']} days"
    rules = [
        Rule("skill", word not in UNSHOWN, word, f"The grade is {word}; skill must be shown."),
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
        leak_audit(leaks),
        *calibrated(evaluation, params),
    ]
    return rules + ([beyond_ceiling(evaluation)] if "beyond_ceiling" in evaluation else [])


def comparison(why: str, champion: int, unlike: bool, params: GateParams) -> Rule:
    """There is a champion that the challenger could not be held against; `why`, as the end of a sentence. `unlike`:
    because they tell of different rows or outcomes, which alone the params may allow."""
    text = f"Not compared with champion {champion}: {why}."
    if unlike and not params.unlike:
        text += " Where no comparison can be had, as after a change of the ladder, allow it with gate.unlike: true."
    return Rule("comparison", unlike and params.unlike, None, text)


def beyond_ceiling(evaluation: Document) -> Rule:
    """Nothing that was judged, at any target and horizon, may do better than a simulator's truth. Only asked where
    there was one."""
    found = evaluation["beyond_ceiling"]
    text = "No candidate does better than the true probabilities."
    if found:
        more = f" {len(found) - 1} further figures say so too; see the model card." if len(found) > 1 else ""
        text = f"{found[0]['text']}{more} {NO_BETTER_THAN_TRUE}"
    return Rule("beyond_ceiling", not found, len(found), text)


def leak_audit(leaks: Document | None) -> Rule:
    """Every probe of leaks.json passed. A version without one has not been audited, so nobody is served by it."""
    if leaks is None:
        text = "The version has no leaks.json, so it was not audited. Run `expansion train`, which audits."
        return Rule("leak_audit", False, None, text)
    failed = [probe for probe in leaks["probes"] if not probe["passed"]]
    said = " ".join(f"{probe['name']}: {probe['sentence']}" for probe in failed)
    text = f"{len(failed)} of {len(leaks['probes'])} probes of the leak audit failed; 0 may. {said}".rstrip()
    return Rule("leak_audit", not failed, len(failed), text)


def calibrated(evaluation: Document, params: GateParams) -> list[Rule]:
    """Totals of the probabilities and of the money, and the spread of the probabilities, of all origins together, not
    beyond doubt out of their ranges: few positives make wide intervals. Below `few_positives` the money decides
    nothing: of so few gains one may be most of the sum, and an interval of them does not know what it has not seen."""
    row = headline_row(evaluation, "pooled") or {}
    total, money = (params.calibration_low, params.calibration_high), (params.money_low, params.money_high)
    spread = (params.slope_low, params.slope_high)
    return [
        _reaching("calibration", "Expected over actual positives", row, "expected_over_actual", total),
        _money_reaching(row, money, params.few_positives),
        _reaching("calibration_slope", "The calibration slope", row, "calibration_slope", spread),
    ]


def headline_row(evaluation: Document, where: str = "results") -> Document | None:
    """The model's figures at the headline, of the newest origin or, from "pooled", of all together; None when nothing
    was held out."""
    place = (TARGET, evaluation["headline_horizon"], CHAMPION)
    rows = evaluation[where]
    return next((row for row in rows if (row["target"], row["horizon"], row["candidate"]) == place), None)


def headline_rows(predictions: pa.Table, horizon: int) -> pa.Table:
    """The rows of predictions.parquet at the headline, by account."""
    mask = pc.and_(pc.equal(predictions["target"], TARGET), pc.equal(predictions["horizon"], horizon))
    return predictions.filter(mask).sort_by([("account_id", "ascending"), ("as_of", "ascending")])


def _money_reaching(row: Document, allowed: tuple[float, float], few: int) -> Rule:
    rule = _reaching("calibration_money", "Money expected over gained", row, OF_MONEY, allowed)
    positives = row.get("positives", 0)
    if rule.passed or positives >= few:
        return rule
    return replace(rule, passed=True, text=f"{rule.text} Of {positives} moves, fewer than {few}, it decides nothing.")


def _reaching(name: str, words: str, row: Document, figure: str, allowed: tuple[float, float]) -> Rule:
    """The interval of the figure reaches into what is allowed; an undefined figure does not."""
    value, (low, high) = row.get(figure), allowed
    if value is None:
        return Rule(name, False, None, f"{words}: undefined; allowed is {low} to {high}.")
    least, most = row[f"{figure}_ci"] or (value, value)
    told = f"{words}: {value:.3f} (95 % interval {least:.3f} to {most:.3f}, all origins together)"
    return Rule(name, least <= high and most >= low, value, f"{told}; it must reach into {low} to {high}.")


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
