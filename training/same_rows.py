"""Champion and challenger on the same held-out rows, and the rules that only such a comparison can ask.

Two bases, the first that holds:

bundle: the champion's own bundle scores the challenger's held-out accounts anew. Honest only at dates on or after the
midnight from which the champion knew nothing; earlier ones lie in its training.
recipe: both were judged strictly at the same account and date when they were trained, each by its own recipe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.scorer import Scorer
from training import metrics
from training.bootstrap import LEVEL, Difference, Scored, bootstrap, difference
from training.gate import GateParams, Rule
from training.headline import TOP_PERCENT
from training.probe import KEYS
from training.ranking import Floats
from training.rolling import within
from training.slices import NOT_TOLD, SIZE, TENURE, banded
from warehouse.periods import TARGET

MONEY = f"revenue_captured_{TOP_PERCENT}"
FEW_LEVEL = 0.9  # of the interval of the log-loss where positives are few
AGREE = 0.9  # share of the rows positive for either that must be so for both; corrections come late
BANDS = {"tenure_days": TENURE, "employees": SIZE}
OWN = ("probability", "expected_increment")
Said = tuple[Floats, Floats]  # (n,) probability and (n,) score that ranks money


@dataclass(frozen=True)
class Duel:
    """`rows`: account_id, as_of, label (0/1), increment; what both say of them; `basis`: how, as a sentence."""

    rows: pa.Table
    challenger: Said
    champion: Said
    basis: str

    @property
    def label(self) -> Floats:
        return np.asarray(self.rows["label"].to_numpy()).astype(np.float64)

    def scored(self, said: Said) -> Scored:
        """Ranks are taken within each date, as evaluation takes them: a level that moves from date to date would else
        rank whole dates against each other."""
        probability, money = said
        whole = Scored(self.label, self.rows["increment"].to_numpy(), probability, money, probability)
        return within(whole, self.rows["as_of"].to_numpy())


class Unlike(str):
    """Why two versions were not compared that tell of different rows or outcomes, as after a change of the ladder; any
    other reason is a fault that should be mended."""


def unseen(rows: pa.Table, trained_as_of: date, params: GateParams) -> pa.Table | str:
    """Those of the challenger's headline `rows` that lie on or after `trained_as_of`, the midnight from which the
    champion knew nothing; or why they are too few."""
    late = rows.filter(pc.greater_equal(rows["as_of"], pa.scalar(trained_as_of, pa.date32())))
    positives = int(pc.sum(late["label"]).as_py() or 0)
    if positives >= params.min_positives:
        return late.sort_by([(name, "ascending") for name in KEYS])
    return (
        f"it was trained on data to {trained_as_of}, and {positives} positives were held out from then on "
        f"({params.min_positives} are needed)"
    )


def rescored(rows: pa.Table, features: pa.Table, champion: Scorer, horizon: int) -> Duel | str:
    """By basis `bundle`, or why not.

    Args:
        rows: what `unseen` returns. features: the feature rows of at least these.
    """
    found = features.join(rows.select(list(KEYS)), keys=list(KEYS), join_type="left semi")
    found = found.sort_by([(name, "ascending") for name in KEYS])
    if not all(found[name].equals(rows[name]) for name in KEYS):
        return "features.parquet does not hold the held-out rows"
    said = champion.predict(champion.encoding.matrix(found))
    if f"{TARGET}_{horizon}" not in said:
        return f"its bundle says nothing at {horizon} days"
    own = said[f"{TARGET}_{horizon}"], said[f"increment_{horizon}"]
    return Duel(
        rows, _said(rows), own, f"its bundle scored the same {len(rows):,} held-out rows anew, all unseen by it"
    )


def judged_alike(challenger: pa.Table, champion: pa.Table, params: GateParams) -> Duel | str:
    """By basis `recipe`, or why not. Both: rows of predictions.parquet at the headline."""
    theirs = champion.select([*KEYS, "label", *OWN]).rename_columns([*KEYS, *(f"own_{n}" for n in ("label", *OWN))])
    both = challenger.join(theirs, keys=list(KEYS), join_type="inner").sort_by([(n, "ascending") for n in KEYS])
    positives = int(pc.sum(both["label"]).as_py() or 0)
    if positives < params.min_positives:
        needed = f"{positives} positives in common, {params.min_positives} are needed"
        return Unlike(f"the two were judged on different rows ({needed})")
    mine, own = both["label"].to_numpy(), both["own_label"].to_numpy()
    same = float(np.mean((mine == own)[(mine == 1) | (own == 1)]))  # of all rows it would hide what few positives tell
    if same < AGREE:
        return Unlike(f"the two were judged on different rows ({1 - same:.0%} of the positives have another label)")
    if both["probability"].null_count or both["own_probability"].null_count:
        return "one of the two states no probability"
    champions = both.select([f"own_{name}" for name in OWN]).rename_columns(list(OWN))
    basis = f"each one's recipe scored the same {len(both):,} rows, knowing only what came before them"
    return Duel(both, _said(both), _said(champions), basis)


def beside(duel: Duel, slices: pa.Table | None, params: GateParams) -> list[Rule]:
    """Challenger against champion, paired over accounts. `slices`: heldout_accounts.parquet of the challenger; null: it
    keeps none, and fails the rule that asks for it."""
    account = np.unique(np.array(duel.rows["account_id"].to_pylist()), return_inverse=True)[1]
    both = {"challenger": duel.scored(duel.challenger), "champion": duel.scored(duel.champion)}
    drawn = bootstrap(both, account, params.bootstrap, params.seed)
    value = {name: scored.figures() for name, scored in both.items()}
    positives = int(duel.label.sum())

    def lead(figure: str, level: float) -> Difference | None:
        gap = value["challenger"][figure] - value["champion"][figure]
        return difference(drawn["challenger"][figure], drawn["champion"][figure], gap, level)

    level = FEW_LEVEL if positives < params.few_positives else LEVEL
    return [
        _money(lead(MONEY, LEVEL), params.max_money_loss),
        _log_loss(lead("log_loss", level), level, positives),
        segments(duel, slices, params),
    ]


def _money(lead: Difference | None, loss: float) -> Rule:
    words = f"Challenger less champion in money held by the top {TOP_PERCENT} %"
    if lead is None:
        return Rule("money", True, None, f"{words} is undefined: no money was gained on these rows.")
    text = f"{words}: {_around(lead, LEVEL)}; it may not lie wholly below {-loss or 0:g}."
    return Rule("money", lead.ci[1] >= -loss, round(lead.value, 8), text)


def _log_loss(lead: Difference | None, level: float, positives: int) -> Rule:
    words = f"Challenger less champion in log-loss on {positives} positives"
    if lead is None:
        return Rule("log_loss", False, None, f"{words} is undefined.")
    text = f"{words}: {_around(lead, level)}; it must lie wholly below 0."
    return Rule("log_loss", lead.below_zero, round(lead.value, 8), text)


def _around(lead: Difference, level: float) -> str:
    return f"{lead.value:+.4f} ({100 * level:.0f} % interval {lead.ci[0]:+.4f} to {lead.ci[1]:+.4f})"


def segments(duel: Duel, slices: pa.Table | None, params: GateParams) -> Rule:
    """No segment with enough positives may have much more log-loss than under the champion."""
    if slices is None:
        text = "The version keeps no heldout_accounts.parquet, so no segments were compared; each must be."
        return Rule("segments", False, None, f"{text} Run `expansion train`, which keeps one.")
    worst, place, count = -np.inf, "", 0
    for name, own in _segments(duel.rows, slices):
        label = duel.label[own]
        if label.sum() < params.segment_positives:
            continue
        mine, theirs = (float(metrics.log_loss(label, said[0][own])) for said in (duel.challenger, duel.champion))
        count += 1
        if (more := mine / theirs - 1) > worst:
            worst, place = more, name
    if not count:
        text = f"No segment has {params.segment_positives} positives, so none was compared."
        return Rule("segments", True, None, text)
    text = (
        f"Of {count} segments {place} fares worst: {worst:+.1%} log-loss against the champion; "
        f"{params.max_segment_loss:+.0%} is allowed."
    )
    return Rule("segments", bool(worst <= params.max_segment_loss), round(float(worst), 8), text)


def _segments(rows: pa.Table, slices: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """Name and (n,) mask of every segment of the rows; null is a segment of its own."""
    keyed = rows.select(list(KEYS)).append_column("place", pa.array(np.arange(len(rows))))
    found = keyed.join(slices, keys=list(KEYS), join_type="left outer").sort_by("place")
    for column in slices.column_names:
        if column in KEYS:
            continue
        if column in BANDS:
            named = banded(found[column].to_numpy(), BANDS[column])
        else:
            named = np.array([NOT_TOLD if value is None else str(value) for value in found[column].to_pylist()])
        for name in np.unique(named):
            yield f"{column} {name}", named == name


def _said(rows: pa.Table) -> Said:
    probability = rows["probability"].to_numpy()
    return probability, pc.coalesce(rows["expected_increment"], rows["probability"]).to_numpy()
