"""The verdict in one word, from figures alone. Every threshold of it stands here.

With fewer positives held out than the gate asks for there is no grade: "too few to tell", whatever the figures are. "No
skill" is the resting place: the word moves only when the held-out rows speak against chance (ROC-AUC), against the base
rate (log-loss) and against every way of ranking that looks at no behaviour. How good it then is depends on how far
it leads the strongest rule of thumb, because a buyer already owns the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from training.bootstrap import Difference

NO_SKILL = "no skill"
TOO_FEW = "too few to tell"
UNSHOWN = (NO_SKILL, TOO_FEW)  # words of which no version is let through the gate
BOOKS = "books_"  # candidates of this prefix learn from the books (money, tenure, firmographics) and see no usage
BASE_RATE = "base_rate"
POSITION = "position"  # knows only the place on the ladder and the age: what a tier rule or a calendar would tell
THIN = 30  # positives below which no grade above weak is given, however few the gate asks for
LADDER = (  # word, least PR-AUC relative to the best rule's, least ROC-AUC; from the best word down
    ("excellent", 1.30, 0.85),
    ("good", 1.15, 0.75),
    ("fair", 1.05, 0.65),
)


@dataclass(frozen=True)
class Evidence:
    """The champion at the headline. `leads` maps a candidate to the champion's paired difference over it by figure
    (`roc_auc`, `pr_auc`: higher is better; `log_loss`: lower is better), an undefined one left out. `rules` are the
    candidates that only rank; `best_rule_pr_auc` is the highest PR-AUC among them, None without any. `origins`: how
    many held-out dates the figures are of; `newest`: of the `positives`, those at the newest date, which are those that
    the gate counts."""

    positives: int
    newest: int
    roc_auc: float | None
    roc_auc_ci: tuple[float, float] | None
    pr_auc: float | None
    best_rule_pr_auc: float | None
    rules: tuple[str, ...]
    leads: Mapping[str, Mapping[str, Difference]]
    origins: int = 1


NOTHING_HELD_OUT = Evidence(0, 0, None, None, None, None, (), {})


@dataclass(frozen=True)
class Grade:
    """`word`: too few to tell, no skill, weak, fair, good or excellent; `why`: finished sentences."""

    word: str
    why: str


def grade(evidence: Evidence, needed: int) -> Grade:
    """The grade, and why in words. `needed`: positives at the newest date that the gate asks for."""
    if evidence.newest < needed:
        return Grade(TOO_FEW, _too_few(evidence, needed))
    faults = no_skill(evidence)
    if faults or evidence.roc_auc is None or evidence.pr_auc is None:
        return Grade(NO_SKILL, " ".join(faults))
    rival = evidence.best_rule_pr_auc
    ratio = evidence.pr_auc / rival if rival else float("inf")
    times = _apart(ratio, 2, (lead for _, lead, _ in LADDER))
    auc_shown = _apart(evidence.roc_auc, 3, (auc for *_, auc in LADDER))
    beside = f"PR-AUC is {times} times the best rule's" if rival else "there is no rule of thumb to compare with"
    over = f", over {evidence.origins} origins together" if evidence.origins > 1 else ""
    why = [f"ROC-AUC is {auc_shown} and {beside}{over}."]
    word = next((name for name, lead, auc in LADDER if ratio >= lead and evidence.roc_auc >= auc), "weak")
    why += _next(word)
    if evidence.positives < THIN and word != "weak":
        word = "weak"
        why.append(
            f"Only {evidence.positives} positives were held out; with fewer than {THIN} the grade is at most weak."
        )
    books = [name for name in evidence.leads if name.startswith(BOOKS)]
    if books and not any(beats(evidence.leads[name]) for name in books):
        why.append(
            "Trees and a logistic without usage do as well, so these rows do not show that behaviour adds anything."
        )
    return Grade(word, " ".join(why))


def _too_few(evidence: Evidence, needed: int) -> str:
    dated = f" at the newest of {evidence.origins} dates" if evidence.origins > 1 else ""
    count = f"{evidence.newest} positive{' was' if evidence.newest == 1 else 's were'} held out{dated}"
    return f"{count}; {needed} are needed (gate.min_positives). Until then the figures may be luck, good or bad."


def _apart(value: float, digits: int, bounds: Iterable[float]) -> str:
    """`value` with up to two digits more where it would read like a bound that it is not."""
    others = [bound for bound in bounds if bound != value]
    written = [f"{value:.{digits + more}f}" for more in range(3)]
    return next((text for text in written if float(text) not in others), written[-1])


def _next(word: str) -> list[str]:
    """What the next better grade needs; empty for the best one."""
    names = [name for name, *_ in LADDER]
    place = names.index(word) if word in names else len(names)
    return [
        f"{name.capitalize()} needs {lead:.2f} times the best rule's PR-AUC and a ROC-AUC of {auc:.2f}."
        for name, lead, auc in LADDER[max(place - 1, 0) : place]
    ]


def no_skill(evidence: Evidence) -> list[str]:
    """Each reason for the grade no skill, as a sentence; empty when there is none."""
    if evidence.roc_auc is None or evidence.roc_auc_ci is None:
        return [f"{evidence.positives} positives were held out: nothing can be measured."]
    out = []
    low, high = evidence.roc_auc_ci
    if not low > 0.5:
        out.append(f"The 95 % interval of ROC-AUC, {low:.3f} to {high:.3f}, does not lie above .5.")
    loss = evidence.leads.get(BASE_RATE, {}).get("log_loss")
    if loss is None or not loss.below_zero:
        out.append("Its log-loss is not shown to beat predicting the base rate for everyone.")
    books = tuple(name for name in evidence.leads if name.startswith(BOOKS))
    worse = [name for name in (*books, *evidence.rules) if loses(evidence.leads.get(name, {}))]
    if worse:
        out.append(f"It ranks worse than {', '.join(sorted(worse))}, which {_look(worse)} no model of behaviour.")
    position = evidence.leads.get(POSITION)
    if position is not None and not ranks_above(position):
        out.append("These rows do not show that it ranks better than the place on the ladder and the age alone.")
    if books and not any(beats(evidence.leads[name]) for name in books) and not beats_best_rule(evidence):
        out.append("It beats neither trees and a logistic without usage nor the best rule of thumb.")
    return out


def beats(lead: Mapping[str, Difference]) -> bool:
    """Significantly better on at least one figure."""
    return ranks_above(lead) or ("log_loss" in lead and lead["log_loss"].below_zero)


def ranks_above(lead: Mapping[str, Difference]) -> bool:
    """Significantly better on at least one rank figure."""
    return any(lead[figure].above_zero for figure in ("roc_auc", "pr_auc") if figure in lead)


def loses(lead: Mapping[str, Difference]) -> bool:
    """Significantly worse on one rank figure and significantly better on none."""
    known = [lead[figure] for figure in ("roc_auc", "pr_auc") if figure in lead]
    return any(one.below_zero for one in known) and not any(one.above_zero for one in known)


def beats_best_rule(evidence: Evidence) -> bool:
    """Significantly above, on one rank figure, the rule that is strongest on that very figure. True without rules."""
    rules = [evidence.leads[name] for name in evidence.rules if name in evidence.leads]
    for figure in ("roc_auc", "pr_auc"):
        known = [lead[figure] for lead in rules if figure in lead]
        if known and min(known, key=lambda lead: lead.value).above_zero:
            return True
    return not rules


def _look(names: list[str]) -> str:
    return "needs" if len(names) == 1 else "need"
