"""The tables of the model card, all of its headline: the target and horizon that the grade speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.bootstrap import OF_MONEY
from training.fit import LEARNERS
from training.grade import THIN
from training.heldout import CHAMPION, marked, words
from warehouse.periods import TARGET

Document = Mapping[str, Any]
SHOWN_FIRST = ("pr_auc", "roc_auc", "lift_10", "revenue_captured_10", "revenue_captured_called")
OF_STATED = ("log_loss", "brier_skill", "expected_over_actual", "ece", "calibration_intercept", "calibration_slope")
OF_REGRET = ("pr_auc_mean", "pr_auc_worst", "revenue_captured_10_mean", "revenue_captured_10_worst")
TWEEDIE = "tweedie"  # the model's order of accounts with money of its own


def first_table(evaluation: Document, serving: str | None = None) -> str:
    """The headline's candidates side by side: what a buyer asks first, whether it beats what one already has.
    `serving`: the learner that serves; null: not told."""
    rows = [row for row in evaluation["results"] if is_headline(row, evaluation)]
    if not rows:
        return ""
    learner = same_learner(rows, serving)
    told = [row for row in distinct(rows, SHOWN_FIRST) if not (row["candidate"] == TWEEDIE and _same_order(row, rows))]
    ordered = sorted(told, key=lambda row: -(row["pr_auc"] or 0.0))
    first, called = rows[0], evaluation["called"]
    head = ["ranked by", "PR-AUC", "the model's lead", "ROC-AUC", "lift at 10 %", "money in top 10 %"]
    leads = _leads(evaluation["comparisons"], evaluation)
    cells = [_beside(row, leads) for row in ordered]
    for row, shown in zip(ordered, cells, strict=True):
        if row["candidate"] == CHAMPION and learner is not None:
            shown[0] += f" ({words(learner)})"
    lines = [table_of([*head, f"money in top {called}"], cells)]
    if serving is not None and learner != serving:
        lines.append(f"The learner that serves today: {words(serving)}.")
    lines.append(
        f"{first['positives']:,} of {first['n']:,} accounts made the move ({first['base_rate']:.2%}) within "
        f"{first['horizon']} days of {first['as_of']}. A random order has a PR-AUC of {first['base_rate']:.3f}, a "
        "ROC-AUC of .5 and a lift of 1. Brackets: 95 % interval, accounts resampled. The lead is the model's PR-AUC "
        "less that of the row, on the same resamples."
    )
    return "\n\n".join(lines)


def distinct(rows: Sequence[Document], figures: Sequence[str]) -> list[Document]:
    """`rows` of one target and horizon without the model told again: a learner, or the model with other money, whose
    `figures` are all the model's own."""
    own = champion_row(rows)
    return [row for row in rows if row["candidate"] not in (*LEARNERS, TWEEDIE) or not _equal(row, own, figures)]


def same_learner(rows: Sequence[Document], serving: str | None) -> str | None:
    """The learner whose figures are the model's own: the one that serves, if it is among several; null: none is."""
    own = champion_row(rows)
    found = [row["candidate"] for row in rows if row["candidate"] in LEARNERS and _equal(row, own, SHOWN_FIRST)]
    # where so few accounts expanded that every learner is the ridge, the ridge is its name
    return next((name for name in (serving, "logistic", *found) if name in found), None)


def champion_row(rows: Sequence[Document]) -> Document | None:
    """The model's among rows of one target and horizon."""
    return next((row for row in rows if row["candidate"] == CHAMPION), None)


def _equal(row: Document, own: Document | None, figures: Sequence[str]) -> bool:
    """Whether all `figures` are those of `own`, the first of them defined."""
    return own is not None and own[figures[0]] is not None and all(row[name] == own[name] for name in figures)


def _same_order(row: Document, rows: Sequence[Document]) -> bool:
    return _equal(row, champion_row(rows), ("pr_auc",))


def _leads(comparisons: Sequence[Document], evaluation: Document) -> dict[tuple[str, str], Document]:
    """The champion's leads at the headline, by candidate and figure."""
    return {(row["candidate"], row["figure"]): row for row in comparisons if is_headline(row, evaluation)}


def _lead(leads: Mapping[tuple[str, str], Document], candidate: str, figure: str, spec: str) -> str:
    row = leads.get((candidate, figure))
    return "-" if row is None else f"{row['champion_lead']:{spec}} ({between(row['ci'], spec)})"


def _beside(row: Document, leads: Mapping[tuple[str, str], Document]) -> list[str]:
    shown = [with_interval(row, "pr_auc", ".3f"), _lead(leads, row["candidate"], "pr_auc", "+.3f")]
    shown += [with_interval(row, "roc_auc", ".3f")]
    shown += [with_interval(row, "lift_10", ".1f"), with_interval(row, "revenue_captured_10", ".0%")]
    return [named(row), *shown, with_interval(row, "revenue_captured_called", ".0%")]


def calibration(evaluation: Document) -> str:
    """Whether probabilities mean what they say: of all candidates that state one, then by decile of the model's."""
    rows = [row for row in evaluation["results"] if is_headline(row, evaluation) and row["log_loss"] is not None]
    if not rows:
        return ""
    rows = distinct(rows, OF_STATED)
    head = ["stated by", "log-loss", "Brier skill", "E/A", "ECE", "intercept", "slope"]
    cells = [
        [
            named(row),
            with_interval(row, "log_loss", ".4f"),
            with_interval(row, "brier_skill", ".3f"),
            with_interval(row, "expected_over_actual", ".2f"),
            with_interval(row, "ece", ".4f"),
            with_interval(row, "calibration_intercept", ".2f"),
            with_interval(row, "calibration_slope", ".2f"),
        ]
        for row in rows
    ]
    out = [
        "## Calibration",
        "*E/A*: positives expected over seen, 1 is right. Intercept 0 and slope 1 are right; a slope below 1 says that "
        "high probabilities are too high and low ones too low. *ECE*: mean gap over 15 bins of equal size.",
        table_of(head, cells),
    ]
    if deciles := [row for row in evaluation["deciles"] if is_headline(row, evaluation)]:
        bins = [
            [str(row["decile"]), f"{row['n']:,.0f}", f"{row['expected']:,.1f}", f"{row['observed']:,.0f}",
             f"{row['low']:,.1f} to {row['high']:,.1f}"]
            for row in deciles
        ]  # fmt: skip
        out.append(
            "By tenth of the model's probability, lowest first, all origins together (interval: Wilson's, as if "
            "no account stood at several dates):"
        )
        out.append(table_of(["tenth", "accounts", "expected", "seen", "95 % interval"], bins))
    return "\n\n".join(out)


def money(evaluation: Document) -> str:
    """What a team that calls N accounts would have had, and whether a call pays."""
    if not evaluation["capacity"]:
        return ""
    currency = evaluation["currency"]
    rows = [
        [named(row), f"{row['called']:,}", _tied(row, "hits", ".0f"), between(row["hits_ci"], ".0f"),
         f"{row['misses']:,.0f}", _tied(row, "lift", ".1f"), _tied(row, "money", ",.0f"),
         _tied(row, "revenue_captured", ".0%"), between(row["revenue_captured_ci"], ".0%"),
         f"{row['profit']:,.0f}", between(row["profit_ci"], ",.0f")]
        for row in evaluation["capacity"]
    ]  # fmt: skip
    sure = "95 % interval"
    head = ["ranked by", "called", "hits", sure, "misses", "lift", f"money gained, {currency}", "share of it", sure]
    head += ["profit", sure]
    out = [
        "## Money and capacity",
        "What the first N accounts held over the horizon at the newest origin. Brackets: the worst and the best order "
        "of accounts of equal score, where the score leaves a choice. Intervals: accounts resampled.",
        table_of(head, rows),
    ]
    return "\n\n".join([*out, *_stated_money(evaluation), *_decision(evaluation)])


def _stated_money(evaluation: Document) -> list[str]:
    """Whether the money said is what came, and how it orders accounts, beside Tweedie's where that is the model with
    other money."""
    rows = [row for row in evaluation["results"] if is_headline(row, evaluation)]
    own = champion_row(rows)
    if own is None or own[OF_MONEY] is None:
        return []
    out = [
        "Money expected over money gained by the accounts that made the move: "
        f"**{with_interval(own, OF_MONEY, '.2f')}**. Normalised Gini of "
        f"the money {with_interval(own, 'gini', '.2f')}, rank correlation with it "
        f"{with_interval(own, 'spearman', '.2f')}, gap by tenths "
        f"{with_interval(own, 'decile_mape', '.0%')} of the money."
    ]
    out += [
        f"The 80 % range of the money held {with_interval(row, 'share', '.0%')} of the {row['expanded']:,} gains of "
        "accounts that made the move, all origins together."
        for row in evaluation["money_range"]
        if row["horizon"] == own["horizon"] and own["target"] == row["target"]
    ]
    other = [row for row in rows if row["candidate"] == TWEEDIE and _same_order(row, rows)]
    if other:
        called = f"money in top {evaluation['called']}"
        head = ["money stated by", "money in top 10 %", called, "expected over gained", "Gini", "rank correlation"]
        specs = {"revenue_captured_10": ".0%", "revenue_captured_called": ".0%", OF_MONEY: ".2f", "gini": ".2f"}
        specs["spearman"] = ".2f"
        cells = [[named(row), *(with_interval(row, f, spec) for f, spec in specs.items())] for row in (own, *other)]
        out.append(table_of(head, cells))
    return out


def _decision(evaluation: Document) -> list[str]:
    found, currency = evaluation["decision"], evaluation["currency"]
    if found is None:
        return []
    benefit = "; ".join(
        f"{words(name)} {value:+.4f}"
        + (f" (95 % interval {between(found['net_benefit_ci'][name], '+.4f')})" if name == CHAMPION else "")
        for name, value in found["net_benefit"].items()
        if name not in LEARNERS or value != found["net_benefit"].get(CHAMPION)
    )
    return [
        f"Profit assumes that a contact costs {found['contact_cost']:g} {currency} and brings {found['uplift']:.0%} of "
        f"the money gained at a margin of {found['margin']:.0%} (`evaluate` in the params): the {found['uplift']:.0%} "
        "is an assumption (see *What contacting brings*). A contact then pays above a probability of "
        f"{found['threshold']:.1%}, where the net benefit an account is: {benefit}; contacting all "
        f"{found['net_benefit_of_contacting_all']:+.4f}, nobody 0."
    ]


def uplift(evaluation: Document) -> str:
    """Accounts contacted by lot compared with those left alone by lot, or why they cannot be compared."""
    found = evaluation["uplift"]
    out = ["## What contacting brings", found["sentence"]]
    rows = [
        [f"{at['horizon']}", arm["arm"].replace("_", " "), f"{arm['slots']:,}", f"{arm['moved']:,}",
         with_interval(arm, "rate", ".1%"), at["verdict"]]
        for at in found["horizons"]
        for arm in at["arms"]
    ]  # fmt: skip
    if not rows:
        return "\n\n".join(out)
    out.append(table_of(["days", "slots", "complete", "moved up", "share", "verdict"], rows, words_first=2))
    left = "; ".join(f"{n:,} {reason}" for reason, n in found["left_out"].items()) or "none"
    waiting = "; ".join(f"{at['waiting']:,} at {at['horizon']} days" for at in found["horizons"])
    out.append(
        f"The first slot of each account alone. Left out: {left}. Not complete yet: {waiting}. Money: gains cut at the "
        f"95 % point of those above 0. The {found['touches']['contacted']:,} contacts that sales chose enter nothing: "
        "sales call whom they expect to grow. Neither score, grade nor gate looks at this."
    )
    return "\n\n".join(out)


def _tied(row: Document, figure: str, spec: str) -> str:
    value, worst, best = (row[f"{figure}{end}"] for end in ("", "_worst", "_best"))
    shown = number(value, spec)
    return shown if value is None or worst == best else f"{shown} ({worst:{spec}} to {best:{spec}})"


def sliced(evaluation: Document) -> str:
    """The champion by slice, all origins together."""
    if not evaluation["slices"]:
        return ""
    rows = [
        [row["axis"], row["slice"], f"{row['n']:,}", f"{row['positives']:,}", with_interval(row, "pr_auc", ".3f"),
         with_interval(row, "roc_auc", ".3f"), with_interval(row, "lift_10", ".1f"),
         with_interval(row, "expected_over_actual", ".2f"), with_interval(row, "ece", ".4f"),
         "*thin*" if row["thin"] else row["verdict"]]
        for row in evaluation["slices"]
    ]  # fmt: skip
    head = ["by", "slice", "rows", "moved", "PR-AUC", "ROC-AUC", "lift at 10 %", "E/A", "ECE", "verdict"]
    return "\n\n".join(
        [
            "## Slices",
            "The model by slice of the accounts, all origins together. PR-AUC rises with the base rate, so read it "
            f"within an axis with care. *Thin*: fewer than {THIN} moved, or all, and no verdict. *Worse than the rule* "
            "and *not distinguishable from the rule*: the interval of the lead in PR-AUC lies below 0, or contains 0. "
            "*Expects too many* or *too few*: off by more than a quarter, and the interval of E/A excludes 1.",
            table_of(head, rows, words_first=2),
        ]
    )


def stability(evaluation: Document) -> str:
    """The champion at every origin of the headline, all of them together, and the regret of every candidate."""
    rows = [row for row in evaluation["by_origin"] if is_headline(row, evaluation) and row["candidate"] == CHAMPION]
    if len(rows) < 2:
        return ""
    rows += [row for row in evaluation["pooled"] if is_headline(row, evaluation) and row["candidate"] == CHAMPION]
    cells = [
        [f"all {row['origins']} together" if "origins" in row else row["as_of"], f"{row['n']:,}",
         f"{row['positives']:,}", f"{row['base_rate']:.2%}", with_interval(row, "pr_auc", ".3f"),
         with_interval(row, "roc_auc", ".3f"),
         with_interval(row, "lift_10", ".1f"), with_interval(row, "revenue_captured_10", ".0%"),
         with_interval(row, "expected_over_actual", ".2f")]
        for row in rows
    ]  # fmt: skip
    head = ["scored as of", "accounts", "moved", "base rate", "PR-AUC", "ROC-AUC", "lift at 10 %", "money in top 10 %"]
    beside = distinct([row for row in evaluation["regret"] if is_headline(row, evaluation)], OF_REGRET)
    regrets = sorted(beside, key=lambda row: row["pr_auc_mean"] or 0.0)
    behind = [
        [named(row), str(row["origins"]), number(row["pr_auc_mean"], ".3f"), number(row["pr_auc_worst"], ".3f"),
         number(row["revenue_captured_10_mean"], ".0%"), number(row["revenue_captured_10_worst"], ".0%")]
        for row in regrets
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## Stability",
            "The same recipe at several past dates, each time knowing only what was known then.",
            table_of([*head, "E/A"], cells),
            "How far each way of ranking lay behind the best one of each date (0: it was the best every time):",
            table_of(["ranked by", "dates", "PR-AUC, mean", "worst", "money in top 10 %, mean", "worst"], behind),
            *_together(evaluation),
        ]
    )


def _together(evaluation: Document) -> list[str]:
    """The champion less each candidate over all origins: what the grade is given by."""
    leads = _leads(evaluation["pooled_comparisons"], evaluation)
    specs = {"pr_auc": "+.3f", "roc_auc": "+.3f", "revenue_captured_10": "+.1%", "log_loss": "+.5f"}
    apart = {name for (name, figure), row in leads.items() if figure in specs and any(row["ci"])}  # the rest: the model
    cells = [
        [words(name), *(_lead(leads, name, figure, spec) for figure, spec in specs.items())]
        for name in dict.fromkeys(name for name, _ in leads)
        if name in apart
    ]
    if not cells:
        return []
    head = ["the model less", "PR-AUC", "ROC-AUC", "money in top 10 %", "log-loss (below 0 is better)"]
    return ["The model less each other, all dates together, on the same resamples:", table_of(head, cells)]


def grouped(rows: Sequence[Document]) -> dict[tuple[str, int], list[Document]]:
    out: dict[tuple[str, int], list[Document]] = {}
    for row in rows:
        out.setdefault((row["target"], row["horizon"]), []).append(row)
    return out


def is_headline(row: Document, evaluation: Document) -> bool:
    return (row["target"], row["horizon"]) == (TARGET, evaluation["headline_horizon"])


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]], words_first: int = 1) -> str:
    """A Markdown table; all but the first columns stand to the right."""
    rule = "|---" * words_first + "|---:" * (len(head) - words_first) + "|"
    return "\n".join(["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)])


def named(row: Document) -> str:
    return marked(row["candidate"])


def with_interval(row: Document, figure: str, spec: str) -> str:
    around = row.get(f"{figure}_ci")
    value = number(row[figure], spec)
    return value if around is None else f"{value} ({between(around, spec)})"


def between(around: Sequence[float] | None, spec: str) -> str:
    return "-" if around is None else f"{around[0]:{spec}} to {around[1]:{spec}}"


def number(value: float | None, spec: str) -> str:
    return "-" if value is None else f"{value:{spec}}"
