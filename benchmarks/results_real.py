"""The page's part on data that nobody invented for it: each data set's grade, finding and candidates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.results_bars import Document, around, table
from models.baselines import RULES
from training.fit import LEARNERS
from training.grade import NO_SKILL
from training.heldout import CHAMPION, marked, words


def real_first(document: Document) -> list[str]:
    """What a buyer asks first: each real data set in a sentence."""
    said = [sentence for one in document["real"] if "results" in one and (sentence := _in_a_sentence(one))]
    return ["On public data:", "\n".join(said)] if said else []


def _in_a_sentence(one: Document) -> str:
    held = {row["candidate"]: row for row in kept(one) if row["target"] == "expansion"}
    rule = max(
        (name for name in RULES if name in held), key=lambda n: held[n]["revenue_captured_10"] or 0, default=None
    )
    if CHAMPION not in held or rule is None:
        return ""
    shares = [around(held[name], "revenue_captured_10", ".0%") for name in (CHAMPION, rule)]
    return (
        f"- **{one['name']}**: {one['grade']['word']}. The top 10 % by the model hold {shares[0]} of the expansion "
        f"revenue, by {words(rule)}, the rule of thumb that holds most, {shares[1]}."
    )


def real(document: Document) -> list[str]:
    out = ["## Real and public data"] if document["real"] else []
    for one in document["real"]:
        if "skipped" in one:
            out.append(f"**{one['name']}**: skipped: {one['skipped']}.")
            continue
        out.append(f"### {one['name']}\n\nGrade: **{one['grade']['word']}**. {why(one)}\n\n> {_said(one)}")
        out += [_dates(one), _table(one)]
    return out


def _said(one: Document) -> str:
    """The headline, which sells nothing where no skill was shown."""
    if one["grade"]["word"] != NO_SKILL:
        return str(one["headline"])
    return f"No skill was shown, so a rule of thumb serves and nobody should rank by the model. {one['headline']}"


def why(one: Document) -> str:
    """The reasons of the grade, candidates by the words that the tables have for them."""

    def named(match: re.Match[str]) -> str:
        return "; ".join(f"*{words(name)}*" for name in match[0].split(", "))

    return re.sub(r"(?<=It ranks worse than ).+?(?=, which needs? )", named, one["grade"]["why"])


def _dates(one: Document) -> str:
    """What day the table and the headline are of, what the grade is of, and which learner the model was that day."""
    rows = kept(one)
    if not rows:
        return ""
    days = dict.fromkeys(f"{_outcome(row)} from {row['as_of']}" for row in rows)
    dates = one["grade"].get("origins", 1)
    graded = f"The grade looks at {dates} dates together" if dates > 1 else "The grade looks at that date"
    own = {row["candidate"]: row for row in rows if row["target"] == "expansion"}
    learner = next(
        (n for n in reversed(LEARNERS) if own and same_figures(own, n, ("roc_auc", "pr_auc", "brier_skill"))), None
    )
    served = f" The model of expansion on that day: *{words(learner)}*." if learner else ""
    return f"Headline and table are of the newest date held out: {'; '.join(days)}. {graded}.{served}"


def kept(one: Document) -> list[Document]:
    """The rows that are shown: the product's own target at the longest horizon up to 180 days, and the outcome defined
    elsewhere where there is one."""
    own = [row for row in one["results"] if row["target"] == "expansion" and row["horizon"] <= 180]
    longest = max((row["horizon"] for row in own), default=0)
    shown = [row for row in own if row["horizon"] == longest]
    return shown + [row for row in one["results"] if row["target"] not in ("expansion", "high_value")]


def _outcome(row: Document) -> str:
    return f"{row['target'].replace('_', ' ')}, {row['horizon']} days"


def _table(one: Document) -> str:
    rows = [
        [_outcome(row), marked(row["candidate"]),
         f"{row['positives']:,} of {row['n']:,}", around(row, "roc_auc", ".3f"), around(row, "pr_auc", ".3f"),
         around(row, "lift_10", ".1f"), around(row, "revenue_captured_10", ".0%")]
        for row in kept(one)
    ]  # fmt: skip
    head = ["outcome", "ranked by", "moved", "ROC-AUC", "PR-AUC", "lift at 10 %", "money in top 10 %"]
    return table(head, rows, (3,)) if rows else "Nothing could be held out."


def same_figures(candidates: Mapping[str, Mapping[str, Any]], name: str, figures: Sequence[str]) -> bool:
    return name in candidates and all(candidates[name][f] == candidates[CHAMPION][f] for f in figures)
