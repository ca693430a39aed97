"""The bars as tables, with what a reader must know beside them; and the cells that all tables of the results share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.bars import (
    LANDMARKS,
    NOT_MEASURED,
    PLAIN,
    Bar,
    Run,
    among_all,
    at_date,
    in_expectation,
    mean,
    of_world,
    over,
    over_seen,
)
from training.heldout import CEILING, CHAMPION

Document = Mapping[str, Any]
Figure = Callable[[Sequence[Run], str], float]  # of runs, of a group of accounts

WORDS = {"stretch": "**yes**, and the stretch", "must": "**yes**", "no": "**no**", NOT_MEASURED: NOT_MEASURED}
LEVEL = "**level**"  # a rival's figure that reads the same
PRICE_CHANGE = "2024-10-01"  # of `drift`: month 9 of a market that opens in 2024-01


def bars_block(document: Document, found: Sequence[Bar]) -> str:
    """The section of the bars."""
    rows = []
    for bar in found:
        shown = finer(bar.shown, bar.figures, bar)
        if shown and bar.name.startswith("`null`"):
            shown += _null_auc(document)
        if shown and _drawn_once(document, bar):
            shown += " (one draw)"
        there = finer(bar.elsewhere, bar.figures_elsewhere, bar)
        rows.append(
            [bar.name, shown or bar.why or "-", there or "-", bar.must, bar.stretch, WORDS[bar.reached],
             WORDS.get(bar.reached_elsewhere, "-")]
        )  # fmt: skip
    head = ["bar", "forward in time", "a vendor never met", "must", "stretch", "reached forward", "never met"]
    blocks = ["## The bars", table(head, rows, right=()), _without_luck(document), _among_all(document),
              _null_below(document), _drift(document, found)]  # fmt: skip
    return "\n\n".join(block for block in blocks if block)


def _without_luck(document: Document) -> str:
    found = [bar for bar in in_expectation(document) if bar.reached != NOT_MEASURED]
    plain = of_world(document, PLAIN)
    if not found:
        return ""
    moved = [f"{sum(run['groups'][g]['positives'] for run in plain) / len(plain):,.0f}" for g in LANDMARKS]
    said = (
        "How much of that is luck? Which accounts moved is one random draw, of about "
        f"{', '.join(moved[:-1])} and {moved[-1]} moves a seed at the landmarks. If each account counts by its true "
        "probability of moving instead of by what it did, these bars can be measured in expectation. This decides none "
        "of the bars above:"
    )
    return f"{said}\n\n{_beside('in expectation', found)}"


def _among_all(document: Document) -> str:
    found = [bar for bar in among_all(document) if bar.reached != NOT_MEASURED]
    if not found:
        return ""
    said = (
        "At a landmark accounts are ranked among those of the same age and date. Ranked among all accounts of the date "
        "(as this page did before; but then accounts that are not judged at the landmark decide too), the bars read:"
    )
    return f"{said}\n\n{_beside('ranked among all ages', found)}"


def _beside(how: str, found: Sequence[Bar]) -> str:
    """Bars that decide nothing."""
    rows = [
        [bar.name, finer(bar.shown, bar.figures, bar), finer(bar.elsewhere, bar.figures_elsewhere, bar) or "-",
         bar.must, WORDS[bar.reached], WORDS.get(bar.reached_elsewhere, "-")]
        for bar in found
    ]  # fmt: skip
    head = [how, "forward in time", "a vendor never met", "must", "would be reached", "never met"]
    return table(head, rows, right=())


def finer(text: str, figures: Mapping[str, float], bar: Bar) -> str:
    """`text` with up to two digits more for each of `figures` that would round onto a bound of the bar without lying on
    it: .8995 beside a bar of .90 reads 0.8995, not 0.90."""
    for place, value in figures.items():
        bounds = _bounds(bar, place)
        head = f"{place} ".lstrip()
        match = re.search(rf"(?:^|; ){re.escape(head)}(-?\d+(?:\.(\d+))?(%?))", text)
        if match is None or any(math.isclose(value, bound) for bound in bounds):
            continue
        least = len(match[2] or "")
        written = [f"{value:.{digits}{match[3] or 'f'}}" for digits in range(least, least + 3)]
        if written[0] == match[1]:  # else it is another figure than the bar's
            apart = (one for one in written if not any(math.isclose(_numbers(one)[0], bound) for bound in bounds))
            text = f"{text[: match.start(1)]}{next(apart, written[-1])}{text[match.end(1) :]}"
    return text


def _bounds(bar: Bar, place: str) -> list[float]:
    """Those that a bar sets the figure of a place: what it asks of each is not asked of the mean, and vice versa."""
    asked = [part for text in (bar.must, bar.stretch) for part in text.split(", ")]
    others = "each" if place == "mean" else "mean"
    return [bound for part in asked if not part.startswith(others) for bound in _numbers(part)]


def _numbers(text: str) -> list[float]:
    """Those in `text`, one in per cent as a fraction."""
    scale = 100 if "%" in text else 1
    return [float(number) / scale for number in re.findall(r"-?\d*\.?\d+", text)]


def _drawn_once(document: Document, bar: Bar) -> bool:
    world = bar.name.split("`")[1] if bar.name.startswith("`") else PLAIN
    return world != PLAIN and len(of_world(document, world)) == 1


def _null_auc(document: Document) -> str:
    """ROC-AUC of the model in `null` over all dates: with its 95 % interval of one vendor, its range over several."""
    runs = of_world(document, "null")
    found = over(runs, lambda some: mean(some, "all", CHAMPION, "roc_auc"))
    if found is None:
        return ""
    [around] = _null_intervals(document) if len(runs) == 1 else [None]
    return f"; ROC-AUC {found.text('.3f')}" + (f" ({around[0]:.3f} to {around[1]:.3f})" if around else "")


def _null_intervals(document: Document) -> list[tuple[float, float] | None]:
    """95 % intervals of the model's ROC-AUC in `null`, by vendor; None where it was not kept."""
    rows = [row for run in of_world(document, "null") for row in run["pooled"] if row["candidate"] == CHAMPION]
    return [None if row.get("roc_auc_ci") is None else tuple(row["roc_auc_ci"]) for row in rows]


def _null_below(document: Document) -> str:
    known = [one for one in _null_intervals(document) if one is not None]
    below = sum(one[1] < 0.5 for one in known)
    if not below:
        return ""
    truth = mean(of_world(document, "null"), "all", CEILING, "roc_auc")
    lies = "the interval of ROC-AUC lies wholly below .5"
    if len(known) > 1:
        above = sum(one[0] > 0.5 for one in known)
        return (
            f"In `null` {lies} for {below} of {len(known)} vendors, wholly above for {above or 'none'} (the truth "
            f"itself has {truth:.3f}). Chance alone does either to one vendor in forty; no skill is claimed of any."
        )
    return (
        f"In `null` {lies} (the truth itself has {truth:.3f}): on this one vendor the labels rank slightly against the "
        "model. Chance alone does that to one vendor in forty, and a single vendor cannot tell it from a fault; no "
        "skill is claimed."
    )


def _drift(document: Document, found: Sequence[Bar]) -> str:
    """Expected over seen at every date of `drift`, of which its bar asks the newest alone."""
    runs = of_world(document, "drift")
    bar = next((bar for bar in found if bar.name.startswith("`drift`")), None)
    days = sorted({day for run in runs for day in run["dates"]})
    if not days or bar is None:
        return ""
    low, high = _numbers(bar.must)
    rows = [
        [day, _moved(runs, day), *(_told_over_seen(runs, day, candidate) for candidate in (CHAMPION, CEILING))]
        for day in days
    ]
    after = [day for day in days[:-1] if day >= PRICE_CHANGE and not math.isnan(over_seen(runs, day))]
    outside = [day for day in after if not low <= over_seen(runs, day) <= high]
    said = (
        f"The bar of `drift` is about the newest date only. Of the {len(after)} dates between the price change of "
        f"{PRICE_CHANGE} and that one, {len(outside) or 'none'} {'lie' if len(outside) > 1 else 'lies'} outside "
        f"{bar.must}{': ' if outside else ''}{' and '.join(outside)}."
    )
    head = ["`drift`, as of", "moved", "expected over seen, the model", "the truth"]
    return f"{said}\n\n" + table(head, rows, (2,))


def _moved(runs: Sequence[Run], day: str) -> str:
    rows = at_date(runs, day)
    return f"{sum(row['positives'] for row in rows):,} of {sum(row['n'] for row in rows):,}"


def _told_over_seen(runs: Sequence[Run], day: str, candidate: str) -> str:
    """Of one vendor with its interval, of several with their range."""
    rows = at_date(runs, day, candidate)
    if len(rows) == 1:
        return around(rows[0], "expected_over_actual", ".2f")
    return spread(runs, lambda some: over_seen(some, day, candidate), ".2f")


def wholesaler(document: Document) -> str:
    """The bars of the real data."""
    found = next((one for one in document["real"] if one["name"] == "online_retail_ii" and "results" in one), None)
    rows = {} if found is None else {r["candidate"]: r for r in found["results"] if r["target"] == "moved_up"}
    try:
        own, served, rival = rows[CHAMPION], rows["expansion_score"], rows["spend_lifetime"]
    except KeyError:
        return ""
    money = "revenue_captured_10"
    checks = [
        ("moved up: ROC-AUC", "roc_auc", ".3f", 0.77, ".77"),
        ("moved up: lift at 10 %", "lift_10", ".1f", 3.0, "3"),
        ("increment held by the top 10 %", money, ".0%", rival[money],
         f"lifetime spend's, {around(rival, money, '.0%')}"),
    ]  # fmt: skip

    def reached(row: Document, figure: str, spec: str, least: float) -> str:
        if figure == money and f"{row[figure]:{spec}}" == f"{least:{spec}}":
            return LEVEL
        return WORDS["must" if row[figure] >= least else "no"]

    lines = [
        [name, around(own, figure, spec), text, reached(own, figure, spec, least), around(served, figure, spec),
         reached(served, figure, spec, least)]
        for name, figure, spec, least, text in checks
    ]  # fmt: skip
    head = (
        "**online_retail_ii** (real: a wholesaler's invoices), accounts that moved to a higher tier in 180 days from "
        f"{own['as_of']}. The model is fitted to this outcome, not the product's target; beside it is the score that "
        "the product serves"
    )
    titles = ["bar", "model of this outcome", "must", "reached", "the product's score", "reached"]
    top = (
        "The product's score is 0 at the top of its ladder, where there is no next tier: it does not rank what such "
        "customers add."
    )
    return f"{head}:\n\n{table(titles, lines, right=())}\n\n{top}"


def spread(runs: Sequence[Run], of: Any, spec: str) -> str:
    """`of` all runs and, where there are several, its range over them."""
    found = over(runs, of)
    return "-" if found is None else found.text(spec)


def around(row: Document, figure: str, spec: str) -> str:
    """The figure and its 95 % interval."""
    value, interval = row[figure], row[f"{figure}_ci"]
    shown = "-" if value is None else f"{value:{spec}}"
    return shown if interval is None else f"{shown} [{interval[0]:{spec}} to {interval[1]:{spec}}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: tuple[int, ...] = (1,)) -> str:
    """`right`: the column from which on figures stand to the right; none if empty."""
    first = right[0] if right else len(head)
    rule = "|---" * first + "|---:" * (len(head) - first) + "|"
    return "\n".join(["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)])
