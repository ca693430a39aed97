"""What the model card says of the models that serve: the learner, the boosters as they lie in the bundle, and what a
search for settings did and did not decide."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.boosting import BoosterParams
from training.card_tables import table_of
from training.teacher import PUPIL

Document = Mapping[str, Any]
TAUGHT = "distilled"  # the learner whose trees have settings of their own (training/teacher.py)
AVERAGE = "It judged trees averaged with a ridge, taught by outcomes"
TUNED = {  # what the search tuned beside what serves, by learner that serves; any other is fitted with what it found
    TAUGHT: f"{AVERAGE}: the learner `average`, which competes, not the trees that serve.",
    "logistic": f"{AVERAGE}; the ridge that serves has none of these settings.",
    "": f"{AVERAGE}; what serves is fitted with what it found.",
}


@dataclass(frozen=True)
class Boosters:
    """Those of one model of a bundle: how many, `rounds` of the longest, `leaves` of the largest tree, the learning
    rate, and their `share` of the log-odds, in [0, 1]; null: they say no log-odds."""

    model: str
    count: int
    rounds: int
    leaves: int
    rate: float
    share: float | None


def boosters_of(bundle: Path) -> list[Boosters]:
    """The boosters in the folder of a bundle, read from LightGBM's text, by model; none of a rule or without it."""
    files: dict[str, list[str]] = {}
    for path in sorted(bundle.glob("*.lgb.txt")):
        files.setdefault(path.name.split(".")[0], []).append(path.read_text(encoding="utf-8"))
    told = json.loads((bundle / "model.json").read_text(encoding="utf-8"))["hazards"] if files else {}
    return [
        Boosters(
            model=model,
            count=len(texts),
            rounds=max(len(re.findall(r"^Tree=", text, re.M)) for text in texts),
            leaves=max((int(n) for text in texts for n in re.findall(r"^num_leaves=(\d+)", text, re.M)), default=0),
            # a first tree that holds the mean is not shrunk, so the last one tells
            rate=float((re.findall(r"^shrinkage=(\S+)", texts[0], re.M) or ["nan"])[-1]),
            share=_share(told[model]) if model in told else None,
        )
        for model, texts in files.items()
    ]


def _share(hazard: Document) -> float:
    """Of the log-odds of a hazard, that of its boosters."""
    if hazard["kind"] == "average":
        return float(sum(weight * _share(part) for weight, part in hazard["parts"]))
    return float(hazard["kind"] == "boosted")


def serving(train: Document, boosters: Sequence[Boosters]) -> list[str]:
    """Paragraphs: what serves, why, how it was calibrated, its boosters, and the search; none if train.json does not
    say which learner serves."""
    if "learner" not in train:
        return []
    curves = [
        f"{target.replace('_', ' ')} with a = {told['a']:.2f}, b = {told['b']:.2f}, c = {told['c']:+.2f}"
        for target, told in train.get("calibration", {}).items()
    ]
    calibrated = "; ".join(curves) or "not, as no calibration had helped at later dates beyond luck"
    out = [f"The learner `{train['learner']}` serves ({train['chosen']}). Calibrated: {calibrated}."]
    return [*out, *_boosters(train, boosters), *_settings(train), *_search(train)]


def _boosters(train: Document, boosters: Sequence[Boosters]) -> list[str]:
    if not boosters:
        return []
    head = ["boosters of", "number", "rounds", "leaves, at most", "learning rate", "share of the log-odds"]
    rows = [
        [one.model.replace("_", " "), str(one.count), f"{one.rounds:,}", str(one.leaves), f"{one.rate:.3g}",
         "-" if one.share is None else f"{one.share:.0%}"]
        for one in boosters
    ]  # fmt: skip
    seeds = f", from seed {train['seed']} on" if "seed" in train else ""
    return [
        f"The boosters that serve, as they lie in the bundle; those of one model differ in seed alone{seeds}. The rest "
        "of the log-odds is a ridge's. *churn* is the hazard of closing, *amount* the money of a move.",
        table_of(head, rows),
    ]


def _settings(train: Document) -> list[str]:
    """What `train.booster` is for where the trees that serve have settings of their own."""
    if train["learner"] != TAUGHT:
        return []
    theirs = ", ".join(f"`{name}`" for name in BoosterParams.model_fields if name not in PUPIL)
    return [
        "`train.booster` under *How to reproduce* is of the teacher, the other learners, closing and the amount. The "
        "trees that serve learn the teacher's chances with settings of their own and take from it no more than "
        f"{theirs}."
    ]


def _search(train: Document) -> list[str]:
    asked = train.get("params", {}).get("train", {}).get("search")
    if asked is None:
        return []
    if not asked.get("trials"):
        return [
            "No search for settings ran. Nothing was selected by folds of accounts, so the leak audit's check "
            "`account_overlap` was not asked."
        ]
    return [
        f"{_found(train, asked)} {TUNED[train['learner'] if train['learner'] in TUNED else '']}",
        f"The accounts that the search may look at, {asked['accounts']:.0%} of all and told by their id alone, are "
        "left out of the judged ones, which is why fewer accounts are judged than are scored (docs/adr/0030).",
    ]


def _found(train: Document, asked: Document) -> str:
    """How many trials were made, what ended them, and the settings of the best."""
    trials: list[Document] = train.get("search", [])
    if not trials:
        return "A search for settings found no fold in which anybody expanded, so the settings stay as given."
    done = [one for one in trials if one["value"] is not None]
    ended = {
        "trials": "; it ended with their number",
        "seconds": f"; its {asked['seconds']:g} seconds ended it, so another machine may find other settings",
    }.get(train.get("search_ended_by", ""), "")
    best, given = min(done, key=lambda one: one["value"]), trials[0]
    made = f"{len(trials):,} of {asked['trials']:,} trials, {len(trials) - len(done):,} given up early"
    out = f"A search made {made}{ended}."
    if best["number"] == given["number"]:
        return f"{out} None was better than the settings as given."
    found = ", ".join(f"`{name}` {value:.3g} ({given['params'][name]:.3g})" for name, value in best["params"].items())
    better = f"{best['value']:.5f} in place of {given['value']:.5f}"
    return f"{out} It found, as given in brackets: {found}; mean log-loss and one standard error {better}."
