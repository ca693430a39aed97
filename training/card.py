"""The model card, written by the run that made the model: a page a stranger can judge it by."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.bootstrap import PERCENTS
from training.grade import THIN
from training.heldout import CHAMPION, NO_BETTER_THAN_TRUE, words

Document = Mapping[str, Any]
TOP_FEATURES = 15
CEILING_READING = (
    "The *ceiling* states the true probability given all that can be seen before as_of, which only a simulator knows; "
    "no honest score does better except by chance. A share is the figure over the ceiling's on the same accounts, the "
    "model's with its paired 95 % interval. *KL* is how far the probabilities said lie from the true ones, 0 being the "
    "truth itself. The ceiling ranks money by the true expected increment; losses do not count against the money "
    "gained, so a share of revenue somewhat above 100 % is no fault."
)

SPOILED = (
    "The tables were spoiled on purpose after the truth was taken. So this ceiling is that of the clean history; "
    "held-out rows on which it is silent ({most:,} at most) stand at its mean, and doing better than it is no leak."
)


def write_card(evaluation: Document, train: Document, plots: Sequence[str], path: Path) -> None:
    """Writes the card beside the `plots` it shows (paths relative to its folder)."""
    path.write_text(card(evaluation, train, plots), encoding="utf-8")


def card(evaluation: Document, train: Document, plots: Sequence[str]) -> str:
    """The card in Markdown."""
    blocks = [
        _opening(evaluation),
        _what(evaluation, train),
        _data(evaluation, train),
        *_results(evaluation),
        *_ceiling(evaluation),
        _pictures(plots),
        _features(train),
        _limits(evaluation),
        _reproduce(evaluation, train),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _opening(evaluation: Document) -> str:
    grade = evaluation["grade"]
    lines = [
        "# Model card: expansion propensity",
        f"**Grade: {grade['word']}.** {grade['why']}",
        f"> {evaluation['headline']}",
    ]
    if evaluation.get("beyond_ceiling"):
        lines.append(f"**{NO_BETTER_THAN_TRUE}** See the share of the ceiling.")
    return "\n\n".join(lines)


def _what(evaluation: Document, train: Document) -> str:
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
    return "\n\n".join(lines)


def _data(evaluation: Document, train: Document) -> str:
    tested = sorted({(r["horizon"], r["as_of"], r["origin"]) for r in evaluation["results"]})
    lines = [
        "## Data",
        f"Fitted on everything known before {evaluation['trained_as_of']}. For the figures below the same recipe was "
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
    return "\n\n".join(lines)


def _results(evaluation: Document) -> list[str]:
    out = ["## Results", _reading()]
    groups: dict[tuple[str, int], list[Document]] = {}
    for row in evaluation["results"]:
        groups.setdefault((row["target"], row["horizon"]), []).append(row)
    return ["\n\n".join(out), *(_table(target, horizon, rows) for (target, horizon), rows in groups.items())]


def _reading() -> str:
    percents = "/".join(str(p) for p in PERCENTS)
    return (
        "Each figure with its 95 % interval (accounts resampled). *Lift* and *revenue* are read at the top "
        f"{percents} % of accounts; revenue is the share of all money gained that those accounts hold, ranked by "
        "expected increment. *Brier skill* 0 is no better than the base rate. *E/A*: positives expected over "
        "positives seen. A dash is a figure that is not defined."
    )


def _table(target: str, horizon: int, rows: Sequence[Document]) -> str:
    first = rows[0]
    lines = [
        f"### {target.replace('_', ' ')}, {horizon} days",
        f"{first['positives']:,} of {first['n']:,} accounts ({first['base_rate']:.2%}), as of {first['as_of']}.",
    ]
    if first["positives"] < THIN:
        lines.append(f"> **Thin:** fewer than {THIN} positives. Read the intervals, not the figures.")
    head = ["ranked by", "ROC-AUC", "PR-AUC", "lift 1 %", "lift 5 %", "lift 10 %", "revenue 1 %", "revenue 5 %"]
    head += ["revenue 10 %", "Brier skill", "ECE", "E/A"]
    table = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    table += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n\n".join([*lines, "\n".join(table)])


def _cells(row: Document) -> list[str]:
    shown = [_with_interval(row, "roc_auc", ".3f"), _with_interval(row, "pr_auc", ".3f")]
    shown += [_with_interval(row, f"lift_{p}", ".1f") for p in PERCENTS]
    shown += [_with_interval(row, f"revenue_captured_{p}", ".0%") for p in PERCENTS]
    shown += [_with_interval(row, "brier_skill", ".3f"), _number(row["ece"], ".4f")]
    shown += [_with_interval(row, "expected_over_actual", ".2f")]
    name = words(row["candidate"])
    return [f"**{name}**" if row["candidate"] == CHAMPION else name, *shown]


def _ceiling(evaluation: Document) -> list[str]:
    """What share each candidate has of what the truth itself would have found; nothing without a ceiling."""
    if not evaluation.get("share_of_ceiling"):
        return []
    out = ["## Share of the ceiling", CEILING_READING]
    if beyond := "\n".join(f"- {finding['text']}" for finding in evaluation["beyond_ceiling"]):
        out += [f"**{NO_BETTER_THAN_TRUE}**", beyond]
    if silent := [row["without_truth"] for row in evaluation["results"] if "without_truth" in row]:
        out.append(SPOILED.format(most=max(silent)))
    groups: dict[tuple[str, int], list[Document]] = {}
    for row in evaluation["share_of_ceiling"]:
        groups.setdefault((row["target"], row["horizon"]), []).append(row)
    head = ["ranked by", "ROC-AUC below the ceiling", "PR-AUC / ceiling", "lift at 5 % / ceiling"]
    head += ["revenue in top 5 % / ceiling", "KL to truth, nats"]
    for (target, horizon), rows in groups.items():
        table = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
        table += ["| " + " | ".join(_shares(row)) + " |" for row in rows]
        out.append(f"**{target.replace('_', ' ')}, {horizon} days**\n\n" + "\n".join(table))
    return out


def _shares(row: Document) -> list[str]:
    """Intervals for the model alone: a column of shares is read at a glance."""
    champion = row["candidate"] == CHAMPION
    shown = _with_interval if champion else lambda found, figure, spec: _number(found[figure], spec)
    cells = [shown(row, "roc_auc_below", ".3f"), shown(row, "pr_auc_share", ".0%"), shown(row, "lift_5_share", ".0%")]
    cells += [shown(row, "revenue_captured_5_share", ".0%"), _number(row["kl_to_truth"], ".4f")]
    name = words(row["candidate"])
    return [f"**{name}**" if champion else name, *cells]


def _with_interval(row: Document, figure: str, spec: str) -> str:
    around = row.get(f"{figure}_ci")
    value = _number(row[figure], spec)
    return value if around is None else f"{value} ({around[0]:{spec}} to {around[1]:{spec}})"


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else f"{value:{spec}}"


def _pictures(plots: Sequence[str]) -> str:
    if not plots:
        return ""
    return "\n\n".join(["## Pictures", *(f"![{Path(p).stem.replace('_', ' ')}]({p})" for p in plots)])


def _features(train: Document) -> str:
    gain = sorted(train["gain"], key=lambda row: (-row["share"], row["feature"]))[:TOP_FEATURES]
    if not gain:
        return ""
    rows = [f"| {row['feature']} | {row['share']:.1%} |" for row in gain]
    return "\n".join(["## What it looks at", "", "| feature | share of gain |", "|---|---:|", *rows])


def _limits(evaluation: Document) -> str:
    thin = sorted({(r["target"], r["horizon"]) for r in evaluation["results"] if r["positives"] < THIN})
    lines = [
        "- One as_of date a horizon: the intervals speak of other accounts, not of other seasons.",
        "- Accounts that sales already worked may have grown for that reason; without random contacts the two "
        "cannot be told apart.",
        "- An account younger than the youngest trained on is scored with low confidence.",
        "- Reasons are associations within the model, never causes.",
    ]
    if thin:
        named = ", ".join(f"{target.replace('_', ' ')} at {horizon} days" for target, horizon in thin)
        lines.append(f"- Too few positives (under {THIN}) to judge: {named}.")
    return "## Limits\n\n" + "\n".join(lines)


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
