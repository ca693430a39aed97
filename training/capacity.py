"""What a team of a given size would have had: hits, misses and money of the first N accounts, and what a call is worth.

Money is what was gained over the horizon by the accounts called. That a call *brings* a part of it is an assumption
(`evaluate.uplift`); what came of contacts made by lot (training/uplift.py) stands beside it, and not in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training import metrics
from training.bootstrap import interval, replicate_weights
from training.heldout import CHAMPION, HeldOut
from training.measured import pair, written
from training.ranking import Floats, Ladder, Ranking


@dataclass(frozen=True)
class Economics:
    """`cost` of one contact and the money it may bring: `uplift` (share of the gain that a contact causes) times
    `margin` times the gain."""

    cost: float
    margin: float
    uplift: float


def capacity_view(
    rows: HeldOut, names: Sequence[str], counts: Sequence[int], economics: Economics, replicates: int, seed: int
) -> list[dict[str, Any]]:
    """One row for each candidate and number of accounts called that there are: hits (accounts that made the move),
    misses, lift, money gained by those called and its share, each in the worst, a random and the best order of equal
    scores, and the expected profit. Hits are by score, money and profit by money_score. Intervals are of other
    accounts, equal scores in random order."""
    gain = np.maximum(rows.increment, 0.0)
    total, n = float(gain.sum()), len(rows.label)
    counts = [count for count in counts if count <= n]
    drawn = _resampled(rows, names, counts, economics, replicates, seed)
    out = []
    for name in names:
        scored = rows.candidates[name]
        for count in counts:
            hits = metrics.tie_range(rows.label, scored.score, count)
            money = metrics.tie_range(gain, scored.money_score, count)
            rate = float(rows.label.mean())
            lift = [float(metrics.ratio(hit / count, rate)) for hit in hits]
            share = [float(metrics.ratio(held, total)) for held in money]
            profit = metrics.profit_at(rows.increment, scored.money_score, count, *_of(economics))
            row: dict[str, Any] = {"candidate": name, "called": count}
            for figure, found in (("hits", hits), ("lift", lift), ("money", money), ("revenue_captured", share)):
                worst, expected, best = (written(one) for one in found)
                row |= {figure: expected, f"{figure}_worst": worst, f"{figure}_best": best}
            row |= {"misses": written(count - hits[1]), "recall": written(float(metrics.ratio(hits[1], n * rate)))}
            row["profit"] = written(profit)
            around = {
                f"{figure}_ci": pair(interval(values, np.nan if row[figure] is None else row[figure]))
                for figure, values in drawn[name, count].items()
            }
            out.append(row | around)
    return out


def _resampled(
    rows: HeldOut, names: Sequence[str], counts: Sequence[int], economics: Economics, replicates: int, seed: int
) -> dict[tuple[str, int], dict[str, Floats]]:
    """Figure -> its value in each replicate, by candidate and number of accounts called."""
    cost, margin, uplift = _of(economics)
    gain = np.maximum(rows.increment, 0.0)
    blocks: dict[tuple[str, int], list[dict[str, Floats]]] = {(name, count): [] for name in names for count in counts}
    for weight in replicate_weights(rows.account, replicates, seed):
        for name in names:
            scored = rows.candidates[name]
            events = Ladder.of(Ranking.of(scored.score), rows.label, weight)
            money = Ladder.of(Ranking.of(scored.money_score), gain, weight)
            for count in counts:
                recall, held = metrics.share_at(events, count), money.first(count)
                found = {
                    "hits": events.first(count),
                    "lift": recall * events.mass / count,
                    "money": held,
                    "revenue_captured": metrics.share_at(money, count),
                    "recall": recall,
                    "profit": uplift * margin * held - cost * count,
                }
                blocks[name, count].append(found)
    return {
        place: {figure: np.concatenate([block[figure] for block in found]) for figure in found[0]}
        for place, found in blocks.items()
    }


def decision(rows: HeldOut, economics: Economics, replicates: int, seed: int) -> dict[str, Any] | None:
    """Whether acting on the probability pays: the cost threshold at the mean gain of the accounts that made the move,
    and the net benefit an account of contacting everyone above it, by candidate, beside contacting all. None where
    nobody who made the move gained money."""
    moved = rows.label > 0
    gain = float(np.maximum(rows.increment, 0.0)[moved].mean()) if moved.any() else 0.0
    threshold = metrics.cost_threshold(*_of(economics), gain)
    if not threshold < 1:  # undefined, or no account is worth a contact
        return None
    stated = {name: s.probability for name, s in rows.candidates.items() if s.probability is not None}
    ordered = sorted(stated, key=lambda name: (name != CHAMPION, name))
    benefit = {name: written(metrics.net_benefit(rows.label, stated[name], threshold)) for name in ordered}
    everyone = metrics.net_benefit(rows.label, np.ones(len(rows.label)), threshold)
    worth = rows.label - (1 - rows.label) * threshold / (1 - threshold)  # of calling each account
    brought = np.stack([(stated[name] >= threshold) * worth for name in ordered])
    drawn = [brought @ weight / weight.sum(axis=0) for weight in replicate_weights(rows.account, replicates, seed)]
    around = {
        name: pair(interval(values, float(of.mean())))
        for name, of, values in zip(ordered, brought, np.concatenate(drawn, axis=1), strict=True)
    }
    return {
        "contact_cost": economics.cost,
        "margin": economics.margin,
        "uplift": economics.uplift,
        "mean_gain": written(gain),
        "threshold": written(threshold),
        "above_threshold": {name: int((stated[name] >= threshold).sum()) for name in ordered},
        "net_benefit": benefit,
        "net_benefit_ci": around,
        "net_benefit_of_contacting_all": written(everyone),
    }


def _of(economics: Economics) -> tuple[float, float, float]:
    return economics.cost, economics.margin, economics.uplift
