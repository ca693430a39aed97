"""Every figure of a target and horizon, and its share of the ceiling: the headline's in the body of the model card, all
others in its appendix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.bootstrap import PERCENTS
from training.card_tables import distinct, grouped, is_headline, named, number, table_of, with_interval
from training.grade import THIN
from training.heldout import CHAMPION, NO_BETTER_THAN_TRUE

Document = Mapping[str, Any]
APPENDIX = "## Appendix: other targets and horizons"
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
FIGURES = ("roc_auc", "pr_auc", *(f"{figure}_{p}" for figure in ("lift", "revenue_captured") for p in PERCENTS))
STATED = ("brier_skill", "ece", "expected_over_actual")
OF_CEILING = ("roc_auc_below", "pr_auc_share", "lift_5_share", "revenue_captured_5_share", "kl_to_truth")


def whole(evaluation: Document) -> str:
    """Every figure of the headline's candidates, then their share of the ceiling where there is one."""
    rows = [row for row in evaluation["results"] if is_headline(row, evaluation)]
    shares = [row for row in evaluation.get("share_of_ceiling", ()) if is_headline(row, evaluation)]
    out = ["## Every figure", _reading(), *_figures(rows)] if rows else []
    if evaluation.get("share_of_ceiling"):
        out += ["## Share of the ceiling", CEILING_READING]
        if beyond := "\n".join(f"- {finding['text']}" for finding in evaluation["beyond_ceiling"]):
            out += [f"**{NO_BETTER_THAN_TRUE}**", beyond]
        if silent := [row["without_truth"] for row in evaluation["results"] if "without_truth" in row]:
            out.append(SPOILED.format(most=max(silent)))
        out += _of_ceiling(shares)
    return "\n\n".join(out)


def appendix(evaluation: Document, pictures: Mapping[str, Sequence[str]]) -> str:
    """The tables of all other targets and horizons, newest origin, each with its `pictures`, by target_horizon."""
    results = grouped([row for row in evaluation["results"] if not is_headline(row, evaluation)])
    shares = grouped([row for row in evaluation.get("share_of_ceiling", ()) if not is_headline(row, evaluation)])
    out: list[str] = []
    for (target, horizon), rows in results.items():
        out.append(f"### {target.replace('_', ' ')}, {horizon} days")
        out += [*_figures(rows), *_of_ceiling(shares.get((target, horizon), []))]
        out += pictures.get(f"{target}_{horizon}", ())
    reading = f"Read as *Every figure*{' and *Share of the ceiling*' if shares else ''} above."
    return "\n\n".join([APPENDIX, reading, *out]) if out else ""


def _reading() -> str:
    percents = "/".join(str(p) for p in PERCENTS)
    return (
        "Each figure with its 95 % interval (accounts resampled). *Lift* and *revenue* are read at the top "
        f"{percents} % of accounts; revenue is the share of all money gained that those accounts hold, ranked by "
        "expected increment. *Brier skill* 0 is no better than the base rate. *E/A*: positives expected over "
        "positives seen. A dash is a figure that is not defined. A learner whose figures are all the model's is not "
        "told again."
    )


def _figures(rows: Sequence[Document]) -> list[str]:
    first = rows[0]
    lines = [f"{first['positives']:,} of {first['n']:,} accounts ({first['base_rate']:.2%}), as of {first['as_of']}."]
    if first["positives"] < THIN:
        lines.append(f"> **Thin:** fewer than {THIN} positives. Read the intervals, not the figures.")
    head = ["ranked by", "ROC-AUC", "PR-AUC", *(f"lift {p} %" for p in PERCENTS), *(f"revenue {p} %" for p in PERCENTS)]
    told = distinct(rows, (*FIGURES, *STATED))
    return [*lines, table_of([*head, "Brier skill", "ECE", "E/A"], [_cells(row) for row in told])]


def _cells(row: Document) -> list[str]:
    shown = [with_interval(row, "roc_auc", ".3f"), with_interval(row, "pr_auc", ".3f")]
    shown += [with_interval(row, f"lift_{p}", ".1f") for p in PERCENTS]
    shown += [with_interval(row, f"revenue_captured_{p}", ".0%") for p in PERCENTS]
    shown += [with_interval(row, "brier_skill", ".3f"), with_interval(row, "ece", ".4f")]
    return [named(row), *shown, with_interval(row, "expected_over_actual", ".2f")]


def _of_ceiling(rows: Sequence[Document]) -> list[str]:
    """A table of shares; nothing where there is no ceiling."""
    if not rows:
        return []
    head = ["ranked by", "ROC-AUC below the ceiling", "PR-AUC / ceiling", "lift at 5 % / ceiling"]
    head += ["revenue in top 5 % / ceiling", "KL to truth, nats"]
    return [table_of(head, [_shares(row) for row in distinct(rows, OF_CEILING)])]


def _shares(row: Document) -> list[str]:
    """Intervals for the model alone: a column of shares is read at a glance."""
    champion = row["candidate"] == CHAMPION
    shown = with_interval if champion else lambda found, figure, spec: number(found[figure], spec)
    cells = [shown(row, "roc_auc_below", ".3f"), shown(row, "pr_auc_share", ".0%"), shown(row, "lift_5_share", ".0%")]
    cells += [shown(row, "revenue_captured_5_share", ".0%"), number(row["kl_to_truth"], ".4f")]
    return [named(row), *cells]
