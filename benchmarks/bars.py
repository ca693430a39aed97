"""The bars that the product set itself before it was measured, and what the runs say to each.

Figures of several seeds: a ratio of two candidates is the ratio of their means over the seeds, and a ratio of expected
to seen is that of the sums; the spread is from the lowest to the highest seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Run = Mapping[str, Any]
LANDMARKS = ("week 4", "week 13", "week 26")
PLAIN = "plain"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Bar:
    """`shown`: the figures as text, with their spread; `reached`: no, must, stretch or not measured; `why` says what
    was not there. `elsewhere`, `reached_elsewhere`: the same of a vendor that the model never met; empty where a bar
    does not ask for one. `figures`, `figures_elsewhere`: by landmark, or "" where there is one, what those texts round.
    `beyond`: what says that no honest score can reach it; empty where nothing does.
    """

    name: str
    must: str
    stretch: str
    shown: str
    reached: str
    why: str = ""
    elsewhere: str = ""
    reached_elsewhere: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    figures_elsewhere: Mapping[str, float] = field(default_factory=dict)
    beyond: str = ""

    @property
    def reached_as_set(self) -> str:
        """By the question by which the bar was set: of a vendor never met where it can be asked there."""
        return self.reached_elsewhere or self.reached


@dataclass(frozen=True)
class Value:
    """One figure over the seeds."""

    value: float
    low: float
    high: float

    def text(self, spec: str) -> str:
        shown = f"{self.value:{spec}}"
        return shown if self.low == self.high else f"{shown} ({self.low:{spec}} to {self.high:{spec}})"


def bars(document: Mapping[str, Any]) -> list[Bar]:
    """Every bar, in the order in which they were set."""
    runs, plain = [run for run in document["runs"] if "groups" in run], of_world(document, PLAIN)
    return [
        *_both(plain, _ranking),
        *_both(plain, _truthful),
        _drift(runs),
        *_both(plain, _money),
        *_both(plain, _rivals),
        _laws(runs),
        _nonlinear(runs),
        _faulty(runs),
        _null(runs),
        _coverage(plain),
    ]


def of_world(document: Mapping[str, Any], world: str) -> list[Run]:
    """Its runs that were not refused."""
    return [run for run in document["runs"] if run["world"] == world and "groups" in run]


def in_expectation(document: Mapping[str, Any]) -> list[Bar]:
    """Those bars of who moves that can be asked without the luck of one draw: every account counts by its true chance
    of moving in the place of what it did. They are told beside the bars and decide none."""
    return _both(of_world(document, PLAIN), _expected)


def among_all(document: Mapping[str, Any]) -> list[Bar]:
    """The bars of ranking with the accounts of a landmark ranked among all accounts of the date, those that are not
    judged there too. They are told beside the bars and decide none."""

    def ranked_so(groups: Mapping[str, Any]) -> dict[str, Any]:
        return {name: {**group, "candidates": group.get("among_all", {})} for name, group in groups.items()}

    plain = [
        {**run, **{part: ranked_so(run[part]) for part in ("groups", "elsewhere") if part in run}}
        for run in of_world(document, PLAIN)
    ]
    return _both(plain, _ranking)


def _both(plain: Sequence[Run], of: Callable[[Sequence[Run]], list[Bar]]) -> list[Bar]:
    """Bars forward in time, each with the same of the vendors never met."""
    apart = [{**run, "groups": run["elsewhere"]} for run in plain if "elsewhere" in run]
    return [_beside(bar, other) for bar, other in zip(of(plain), of(apart), strict=True)]


def over(runs: Sequence[Run], of: Callable[[Sequence[Run]], float]) -> Value | None:
    """`of` all runs together and of each alone; None without runs or where it is undefined."""
    whole = of(runs) if runs else math.nan
    if math.isnan(whole):
        return None
    each = [value for run in runs if not math.isnan(value := of([run]))]
    return Value(whole, min(each, default=whole), max(each, default=whole))


def mean(runs: Sequence[Run], group: str, candidate: str, figure: str) -> float:
    """nan where a run lacks it."""
    found = [run["groups"][group]["candidates"].get(candidate, {}).get(figure) for run in runs]
    return float(np.mean(found)) if found and None not in found else math.nan


def ratio(runs: Sequence[Run], group: str, one: str, other: str, figure: str) -> float:
    above, below = mean(runs, group, one, figure), mean(runs, group, other, figure)
    return above / below if below > 0 else math.nan


def summed(runs: Sequence[Run], group: str, part: str, whole: str) -> float:
    """Sum of the champion's `part` over that of `whole`; `positives` is a count of the group."""

    def total(figure: str) -> float:
        groups = [run["groups"][group] for run in runs]
        found = [g["positives"] if figure == "positives" else g["candidates"]["champion"].get(figure) for g in groups]
        return math.nan if None in found else float(sum(found))

    return total(part) / total(whole) if total(whole) > 0 else math.nan


def _ranking(plain: Sequence[Run]) -> list[Bar]:
    shares = {f: _each(plain, _share_of_ceiling(f)) for f in ("pr_auc", "revenue_captured_5")}
    pr_auc = shares["pr_auc"]
    average = float(np.mean([v.value for v in pr_auc.values()])) if len(pr_auc) == len(LANDMARKS) else math.nan
    must = bool(pr_auc) and min(v.value for v in pr_auc.values()) >= 0.86 and average >= 0.90
    verdict = (
        NOT_MEASURED if math.isnan(average) else "stretch" if must and average >= 0.95 else "must" if must else "no"
    )
    shown = f"{_listed(pr_auc, '.0%')}; mean {average:.0%}"
    return [
        _below(plain, "roc_auc"),
        Bar("PR-AUC over the ceiling's", "each 86 %, mean 90 %", "mean 95 %", shown, verdict,
            figures=_figures(pr_auc) | {"mean": average}),
        _lift(plain, "lift_5"),
        _bar("money in the top 5 % over the ceiling's", shares["revenue_captured_5"], ".0%", (0.96, 9), (0.99, 9),
             "96 %", "99 %"),
    ]  # fmt: skip


def _truthful(plain: Sequence[Run]) -> list[Bar]:
    kl = _each(plain, lambda runs, group: mean(runs, group, "champion", "kl"))
    gap, own = (
        _each(plain, lambda runs, group, n=name: mean(runs, group, n, "ece")) for name in ("champion", "ceiling")
    )
    ece = _bar("ECE, 15 equal bins", gap, ".4f", (0, 0.005), (0, 0.0025), "at most .005", "at most .0025")
    if gap and own:  # of so few accounts as a landmark has the truth's own is not zero
        ece = replace(ece, shown=f"{ece.shown} (the truth itself: {', '.join(f'{v.value:.4f}' for v in own.values())})")
    return [
        _bar("mean KL to the true probability, nats", kl, ".4f", (0, 0.0030), (0, 0.0018), "at most .0030", ".0018"),
        ece,
        _level(plain, "seen", lambda runs, group: summed(runs, group, "expected", "positives")),
    ]


def _expected(plain: Sequence[Run]) -> list[Bar]:
    def level(runs: Sequence[Run], group: str) -> float:
        return ratio(runs, group, "champion", "ceiling", "expected")

    return [_below(plain, "roc_auc_of_truth"), _lift(plain, "lift_5_of_truth"), _level(plain, "true", level)]


def _below(plain: Sequence[Run], figure: str) -> Bar:
    found = _each(plain, lambda runs, g: mean(runs, g, "ceiling", figure) - mean(runs, g, "champion", figure))
    bounds = (-1, 0.012), (-1, 0.006)
    return _bar("ROC-AUC below the ceiling", found, ".3f", *bounds, "at most .012", "at most .006")


def _lift(plain: Sequence[Run], figure: str) -> Bar:
    found = _each(plain, _share_of_ceiling(figure))
    return _bar("lift at 5 % over the ceiling's", found, ".0%", (0.94, 9), (0.97, 9), "94 %", "97 %")


def _level(plain: Sequence[Run], over_what: str, of: Callable[[Sequence[Run], str], float]) -> Bar:
    bounds = (0.90, 1.10), (0.95, 1.05)
    return _bar(f"positives expected over {over_what}", _each(plain, of), ".2f", *bounds, ".90 to 1.10", ".95 to 1.05")


def at_date(runs: Sequence[Run], day: str | None = None, candidate: str = "champion") -> list[Mapping[str, Any]]:
    """The row of the candidate in each run at one date; null: at the newest of each run."""
    return [
        row
        for run in runs
        for row in run["origins"]
        if (row["as_of"], row["candidate"]) == (day or run["dates"][-1], candidate)
    ]


def over_seen(runs: Sequence[Run], day: str | None = None, candidate: str = "champion") -> float:
    """Positives that the candidate expected over those seen at one date; null: at the newest of each run."""
    rows = [row for row in at_date(runs, day, candidate) if row["positives"]]
    seen = sum(row["positives"] for row in rows)
    return sum(row["expected_over_actual"] * row["positives"] for row in rows) / seen if seen else math.nan


def _drift(runs: Sequence[Run]) -> Bar:
    found = over([run for run in runs if run["world"] == "drift"], over_seen)
    name = "`drift`: the same at the newest date, eight months after hazards fell to .6"
    return _bar(name, _all(found), ".2f", (0.85, 1.15), (0.92, 1.08), ".85 to 1.15", ".92 to 1.08")


def _money(plain: Sequence[Run]) -> list[Bar]:
    found = _each(plain, lambda runs, group: summed(runs, group, "money_expected", "money_gained"))
    return [_bar("money expected over gained", found, ".2f", (0.85, 1.15), (0.95, 1.05), ".85 to 1.15", ".95 to 1.05")]


def _beside(bar: Bar, other: Bar) -> Bar:
    if other.reached == NOT_MEASURED:
        return bar
    return replace(bar, elsewhere=other.shown, reached_elsewhere=other.reached, figures_elsewhere=other.figures)


def _rivals(plain: Sequence[Run]) -> list[Bar]:
    return [
        _against("PR-AUC over activity of the last 28 days", plain, "activity_28d", 1.15, 1.3),
        _against("PR-AUC over the PQL rule", plain, "pql", 1.8, 2.1),
    ]


def _against(name: str, plain: Sequence[Run], rival: str, must: float, stretch: float) -> Bar:
    found = _each(plain, lambda runs, group: ratio(runs, group, "champion", rival, "pr_auc"))
    why = f"no candidate {rival} in these runs" if plain and not found else ""
    bar = _bar(name, found, ".2f", (must, 99), (stretch, 99), f"{must} times", f"{stretch} times", why)
    truth = _each(plain, lambda runs, group: ratio(runs, group, "ceiling", rival, "pr_auc"))
    if not (found and truth):
        return bar
    shown = f"{bar.shown} (the truth itself: {', '.join(f'{v.value:.2f}' for v in truth.values())})"
    below = [f"{v.value:.2f} at {group}" for group, v in truth.items() if v.value < must]
    beyond = f"out of reach: the truth itself has {' and '.join(below)}" if below else ""
    return replace(bar, shown=shown, beyond=beyond)


def _laws(runs: Sequence[Run]) -> Bar:
    rows = sum(run["shape"]["rows"] for run in runs)
    broken = sum(run["shape"]["falls"] + run["shape"]["crowded"] for run in runs)
    shown = f"{broken:,} of {rows:,} accounts break it" if rows else ""
    reached = NOT_MEASURED if not rows else "no" if broken else "stretch"
    return Bar("probabilities rise with the horizon; expansion + churn at most 1", "100 %", "100 %", shown, reached)


def _nonlinear(runs: Sequence[Run]) -> Bar:
    own = [run for run in runs if run["world"] == "nonlinear"]
    found = over(own, lambda some: ratio(some, "all", "champion", "logistic", "pr_auc"))
    name = "`nonlinear`: PR-AUC over the logistic's"
    return _bar(name, _all(found), ".2f", (1.05, 99), (1.15, 99), "1.05 times", "1.15 times")


def _faulty(runs: Sequence[Run]) -> Bar:
    """On seeds and sizes that were run both clean and faulty."""
    clean = {(run["seed"], run["accounts"]): run for run in runs if run["world"] == PLAIN}
    both = [run for run in runs if run["world"] == "faulty" and (run["seed"], run["accounts"]) in clean]

    def share(chosen: Sequence[Run]) -> float:
        twins = [clean[run["seed"], run["accounts"]] for run in chosen]
        return mean(chosen, "all", "champion", "pr_auc") / mean(twins, "all", "champion", "pr_auc")

    found = over(both, share)
    return _bar("`faulty`: PR-AUC over the clean world's", _all(found), ".2f", (0.97, 9), (0.99, 9), "97 %", "99 %")


def _null(runs: Sequence[Run]) -> Bar:
    """Every vendor is to be graded so, and every interval to cover its base rate."""
    own = [run for run in runs if run["world"] == "null"]
    rows = [(run["grade"]["word"], row) for run in own for row in run["pooled"] if row["pr_auc_ci"]]
    honest = [word == "no skill" for word, _ in rows]
    covered = [row["pr_auc_ci"][0] <= row["base_rate"] <= row["pr_auc_ci"][1] for _, row in rows]
    if len(rows) > 1:
        shown = (
            f"{_of_all(honest)} are graded so, the intervals of {_of_all(covered)} cover; PR-AUC "
            f"{_values(rows, 'pr_auc')}, base rate {_values(rows, 'base_rate')}"
        )
    else:
        shown = "".join(
            f"{word}, PR-AUC {row['pr_auc']:.3f} ({row['pr_auc_ci'][0]:.3f} to {row['pr_auc_ci'][1]:.3f}), base rate "
            f"{row['base_rate']:.3f}"
            for word, row in rows
        )
    reached = NOT_MEASURED if not rows else "stretch" if all(honest) and all(covered) else "no"
    return Bar("`null`: graded no skill, PR-AUC interval covers the base rate", "yes", "yes", shown, reached)


def _of_all(which: Sequence[bool]) -> str:
    return f"{'all' if all(which) else sum(which)} of {len(which)}"


def _values(rows: Sequence[tuple[str, Mapping[str, Any]]], figure: str) -> str:
    each = [row[figure] for _, row in rows]
    return Value(float(np.mean(each)), min(each), max(each)).text(".3f")


def _coverage(plain: Sequence[Run]) -> Bar:
    def inside(runs: Sequence[Run]) -> float:
        told = [run["amounts"] for run in runs if run["amounts"]]
        expanded = sum(one["expanded"] for one in told)
        return sum(one["inside"] for one in told) / expanded if expanded else math.nan

    found, why = over(plain, inside), "the held-out rows carry no range of the amount"
    name = "increments inside the 80 % range told, of accounts that expanded"
    return _bar(name, _all(found), ".0%", (0.76, 0.84), (0.78, 0.82), "76 to 84 %", "78 to 82 %", "" if found else why)


def _share_of_ceiling(figure: str) -> Callable[[Sequence[Run], str], float]:
    return lambda runs, group: ratio(runs, group, "champion", "ceiling", figure)


def _each(plain: Sequence[Run], of: Callable[[Sequence[Run], str], float]) -> dict[str, Value]:
    """At each landmark; empty where it is not defined at all of them."""
    found = {group: over(plain, lambda runs, group=group: of(runs, group)) for group in LANDMARKS}  # type: ignore[misc]
    known = {group: value for group, value in found.items() if value is not None}
    return known if len(known) == len(found) else {}


def _all(value: Value | None) -> dict[str, Value]:
    return {} if value is None else {"": value}


def _figures(values: Mapping[str, Value]) -> dict[str, float]:
    return {group: value.value for group, value in values.items()}


def _listed(values: Mapping[str, Value], spec: str) -> str:
    return "; ".join(f"{group} {value.text(spec)}".strip() for group, value in values.items())


def _bar(
    name: str,
    values: Mapping[str, Value],
    spec: str,
    must: tuple[float, float],
    stretch: tuple[float, float],
    must_text: str,
    stretch_text: str,
    why: str = "",
) -> Bar:
    """Reached where every one of `values` lies within the bounds, unrounded."""

    def within(bounds: tuple[float, float]) -> bool:
        return all(bounds[0] <= value.value <= bounds[1] for value in values.values())

    reached = NOT_MEASURED if not values else "stretch" if within(stretch) else "must" if within(must) else "no"
    return Bar(name, must_text, stretch_text, _listed(values, spec), reached, why, figures=_figures(values))
