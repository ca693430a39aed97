"""The model card, written by the run that made the model: a page a stranger can judge it by.

What a sceptical buyer asks first stands first: the finding, the grade, and the model beside what one already has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training import card_tables as tables
from training.bootstrap import OF_MONEY
from training.card_appendix import appendix, whole
from training.card_serving import Boosters, boosters_of, serving
from training.grade import THIN
from training.heldout import NO_BETTER_THAN_TRUE
from warehouse.periods import TARGET

Document = Mapping[str, Any]
TOP_FEATURES = 15
COUNTS_NEAR = (0.8, 1.25)  # positives expected over seen, within which no warning is due
OF_TARGET = ("gains", "calibration", "deciles", "origins")  # pictures of one target and horizon, named by both
PLACES = {  # the section in which a picture stands, by the end of its name; any other stands under the first table
    "calibration": "calibration",
    "deciles": "calibration",
    "capacity": "money",
    "origins": "stability",
    "learning_curve": "data",
    "reasons": "features",
}


def write_card(evaluation: Document, train: Document, plots: Sequence[str], path: Path) -> None:
    """Writes the card beside the `plots` it shows (paths relative to its folder) and the folder of the bundle."""
    path.write_text(card(evaluation, train, plots, boosters_of(path.parent / "candidate")), encoding="utf-8")


def card(evaluation: Document, train: Document, plots: Sequence[str], boosters: Sequence[Boosters] = ()) -> str:
    """The card in Markdown. `boosters`: those of the bundle."""
    shown, others = _placed(plots, f"{TARGET}_{evaluation['headline_horizon']}")

    def pictured(text: str, place: str) -> str:
        return "\n\n".join(block for block in (text, *shown.get(place, ())) if block)

    blocks = [
        _opening(evaluation),
        pictured(tables.first_table(evaluation, train.get("learner")), "first"),
        pictured(tables.calibration(evaluation), "calibration"),
        pictured(tables.money(evaluation), "money"),
        tables.uplift(evaluation),
        tables.sliced(evaluation),
        pictured(tables.stability(evaluation), "stability"),
        whole(evaluation),
        _what(evaluation, train, boosters),
        pictured(_data(evaluation, train), "data"),
        pictured(_features(train), "features"),
        _limits(evaluation),
        _reproduce(evaluation, train),
        appendix(evaluation, others),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _placed(plots: Sequence[str], headline: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The pictures of the body by section, and those of the appendix by target and horizon; `headline`: the target and
    horizon whose pictures stand in the body."""
    body: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    for plot in plots:
        stem = Path(plot).stem
        picture = f"![{stem.replace('_', ' ')}]({plot})"
        place, _, kind = stem.rpartition("_")
        if kind in OF_TARGET and place != headline:
            others.setdefault(place, []).append(picture)
        else:
            section = next((section for end, section in PLACES.items() if stem.endswith(end)), "first")
            body.setdefault(section, []).append(picture)
    return body, others


def _opening(evaluation: Document) -> str:
    """The grade, what must be known before any figure is used, and the finding."""
    grade = evaluation["grade"]
    lines = [
        "# Model card: expansion propensity",
        f"**Grade: {grade['word']}.** {grade['why']}",
        *_warnings(evaluation),
    ]
    if evaluation.get("beyond_ceiling"):
        lines.append(f"**{NO_BETTER_THAN_TRUE}** See the share of the ceiling.")
    return "\n\n".join([*lines, f"> {evaluation['headline']}"])


def _warnings(evaluation: Document) -> list[str]:
    """Where money or positives said by the model are off at the newest date of the headline beyond luck."""
    rows = evaluation["results"]
    own = tables.champion_row([row for row in rows if tables.is_headline(row, evaluation)])
    if own is None:
        return []
    money = _off("Money is", own[OF_MONEY], own.get(f"{OF_MONEY}_ci"), (1.0, 1.0))
    counts = _off("Positives are", own["expected_over_actual"], own.get("expected_over_actual_ci"), COUNTS_NEAR)
    out = [f"**{money}: use its order, not its sum.**"] if money else []
    return [*out, *([f"**{counts}: use the order of the probabilities, not their level.**"] if counts else [])]


def _off(what: str, ratio: float | None, around: Sequence[float | None] | None, near: tuple[float, float]) -> str:
    """In words, that expected over seen is off; empty where its interval meets `near` or nothing is known."""
    if ratio is None or around is None or around[0] is None or around[1] is None:
        return ""
    said = f"({around[0]:.2f} to {around[1]:.2f})"
    if around[0] > near[1]:
        return f"{what} stated {ratio:.2f} times too high at the newest date {said}"
    if around[1] < near[0]:
        return f"{what} stated too low at the newest date, at {ratio:.2f} of what came {said}"
    return ""


def _what(evaluation: Document, train: Document, boosters: Sequence[Boosters]) -> str:
    params = train.get("params", {})
    tiers, labels = params.get("tiers", {}), params.get("labels", {})
    held = labels.get("held_days", 30)
    horizons = ", ".join(str(h) for h in train.get("horizons", sorted({r["horizon"] for r in evaluation["results"]})))
    lines = [
        "## What it predicts",
        f"For each account at risk as of a date (midnight UTC), over [as_of, as_of + h) for h in {horizons} days "
        f"(default {evaluation['default_horizon']}):",
        f"- **expansion**: the first move to the next tier, in money per 30 days, still held {held} days later;\n"
        f"- **high_value**: the same for the tier {_quoted(tiers.get('high_value', 'named high_value'))};\n"
        "- **increment**: revenue of the horizon less the run-rate at as_of carried forward, signed, in "
        f"{evaluation['currency']}.",
    ]
    if ladder := tiers.get("ladder"):
        steps = ["| tier | run-rate floor |", "|---|---:|", *(f"| {t['name']} | {t['floor']:,} |" for t in ladder)]
        lines.append("\n".join(steps))
    lines.append("It says who is *likely* to grow. It does not say whom a call would *make* grow.")
    return "\n\n".join([*lines, *serving(train, boosters)])


def _data(evaluation: Document, train: Document) -> str:
    tested = sorted({(r["horizon"], r["as_of"], r["origin"]) for r in evaluation["by_origin"]})
    lines = [
        "## Data",
        f"Fitted on everything known before {evaluation['trained_as_of']}. For the card's figures the same recipe was "
        "fitted on labels complete before an earlier date, then scored the accounts of a date it had not seen:",
        "\n".join(
            ["| horizon | scored as of | labels complete before |", "|---:|---|---|"]
            + [f"| {horizon} | {as_of} | {origin} |" for horizon, as_of, origin in tested]
        ),
    ]
    if population := train.get("population"):
        out = population.get("out", {})
        left = "; ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in out.items()) or "none"
        lines.append(f"Accounts and dates in: {population.get('in', 0):,}. Left out: {left}.")
        if labels := population.get("labels"):
            lines.append(_labels(labels))
    return "\n\n".join(lines)


def _labels(counts: list[Document]) -> str:
    """A line a target and horizon: those with a label, and those without by reason."""
    reasons = list(counts[0]["out"])
    lines = [
        f"| target | horizon | labelled | {' | '.join(reasons)} |",
        "|---|---:|---:|" + "---:|" * len(reasons),
        *(
            f"| {one['target']} | {one['horizon']} | {one['in']:,} | "
            + " | ".join(f"{one['out'][reason]:,}" for reason in reasons)
            + " |"
            for one in counts
        ),
    ]
    return "\n".join(lines)


def _features(train: Document) -> str:
    gain = sorted(train["gain"], key=lambda row: (-row["share"], row["feature"]))[:TOP_FEATURES]
    if not gain:
        return ""
    rows = [f"| {row['feature']} | {row['share']:.1%} |" for row in gain]
    reading = "Share of the split gain of trees, of the absolute weights of a ridge, the mean of both where both serve."
    return "\n".join(["## What it looks at", "", reading, "", "| feature | share |", "|---|---:|", *rows])


def _limits(evaluation: Document) -> str:
    thin = sorted({(r["target"], r["horizon"]) for r in evaluation["results"] if r["positives"] < THIN})
    lines = [
        _seasons(evaluation),
        "- Accounts that sales already worked may have grown for that reason: no score tells the two apart.",
        "- An account younger than the youngest trained on is scored with low confidence.",
        "- Reasons are associations within the model, never causes.",
    ]
    if thin:
        named = ", ".join(f"{target.replace('_', ' ')} at {horizon} days" for target, horizon in thin)
        lines.append(f"- Too few positives (under {THIN}) to judge: {named}.")
    return "## Limits\n\n" + "\n".join(lines)


def _seasons(evaluation: Document) -> str:
    """How many dates stand behind the figures."""
    origins = max((row["origins"] for row in evaluation["pooled"]), default=1)
    if origins == 1:
        return "- One as_of date a horizon: the intervals speak of other accounts, not of other seasons."
    return (
        f"- {origins} as_of dates at most: the interval of one date speaks of other accounts, the spread over dates of "
        "other seasons, and dates closer together than the horizon see partly the same outcomes."
    )


def _reproduce(evaluation: Document, train: Document) -> str:
    names = ("trained_as_of", "data_fingerprint", "fingerprint", "bundle_id")
    marks = "\n".join(f"{name}: {evaluation[name]}" for name in names)
    params = json.dumps(train.get("params", {}), indent=1, sort_keys=True, ensure_ascii=False)
    return (
        "## How to reproduce\n\n"
        "Put the params below, with the sections `ingest` and `snapshots` of the workspace's params.yaml, in a file "
        "(JSON is YAML) and run on the same raw tables:\n\n"
        "```\nexpansion train --raw DIR --workspace DIR --params FILE\n```\n\n"
        f"The run must give these marks again:\n\n```\n{marks}\n```\n\n```json\n{params}\n```"
    )


def _quoted(name: str) -> str:
    return f'"{name}"'
