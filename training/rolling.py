"""Several origins of one target and horizon: each alone, all together, and how far a candidate falls behind over them.

An origin is one past day on which the choice would have been made. A figure of one day speaks of other accounts; only
several days speak of other seasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from training.bootstrap import Figures, Scored
from training.heldout import CEILING, HeldOut
from training.measured import Measured, written
from training.ranking import Floats

REGRETTED = ("pr_auc", "revenue_captured_10")


@dataclass(frozen=True)
class Pool:
    """All origins of one target and horizon as one set of rows. `rows` has the newest as_of and origin, the candidates
    that stand at every origin, and one number for an account at all of its dates; `day` (n,) the as_of of each row.

    Scores are the share of the origin's accounts that rank below, so the first tenth of the pool is the first tenth of
    each origin: what a team does that calls equally deep every time. Probabilities are as said.
    """

    rows: HeldOut
    day: npt.NDArray[np.datetime64]
    origins: int


@dataclass(frozen=True)
class Rolled:
    """One target and horizon as judged: each origin alone, oldest first, and all together (of a single origin the very
    same table)."""

    each: list[Measured]
    pool: Pool
    pooled: Measured

    @property
    def newest(self) -> Measured:
        return self.each[-1]


def by_target(heldout: Sequence[HeldOut]) -> Iterator[list[HeldOut]]:
    """The rows of each target and horizon, oldest origin first; `heldout` as `read_heldout` orders it."""
    for _, parts in groupby(heldout, key=lambda rows: (rows.target, rows.horizon)):
        yield list(parts)


def pooled(parts: Sequence[HeldOut]) -> Pool:
    """`parts`: one or more origins of one target and horizon, oldest first."""
    newest = parts[-1]
    accounts = np.concatenate([part.account_id for part in parts])
    label = np.concatenate([part.label for part in parts])
    increment = np.concatenate([part.increment for part in parts])
    everywhere = [name for name in newest.candidates if all(name in part.candidates for part in parts)]
    rows = HeldOut(
        target=newest.target,
        horizon=newest.horizon,
        as_of=newest.as_of,
        origin=newest.origin,
        account_id=accounts,
        account=np.unique(accounts.astype(str), return_inverse=True)[1],
        label=label,
        increment=increment,
        candidates={n: _joined([p.candidates[n] for p in parts], label, increment) for n in everywhere},
        spoiled=any(part.spoiled for part in parts),
        without_truth=sum(part.without_truth for part in parts),
    )
    day = np.concatenate([np.full(len(part.label), np.datetime64(part.as_of)) for part in parts])
    return Pool(rows, day, len(parts))


def _joined(parts: Sequence[Scored], label: Floats, increment: Floats) -> Scored:
    def all_or_none(of: Callable[[Scored], Floats | None]) -> Floats | None:
        found = [values for part in parts if (values := of(part)) is not None]
        return np.concatenate(found) if len(found) == len(parts) else None

    return Scored(
        label,
        increment,
        np.concatenate([_below(part.score) for part in parts]),
        np.concatenate([_below(part.money_score) for part in parts]),
        all_or_none(lambda part: part.probability),
        all_or_none(lambda part: part.expected),
    )


def within(scored: Scored, day: npt.NDArray[np.datetime64]) -> Scored:
    """The same candidate, its scores the share of the rows of the same `day` (n,) that rank below."""
    score, money = np.empty(len(day)), np.empty(len(day))
    for one in np.unique(day):
        own = day == one
        score[own], money[own] = _below(scored.score[own]), _below(scored.money_score[own])
    return replace(scored, score=score, money_score=money)


def _below(score: Floats) -> Floats:
    """Share of the rows that rank below, half of the equal ones included."""
    out: Floats = (rankdata(score) - 0.5) / max(len(score), 1)
    return out


def regret(rolled: Rolled) -> list[dict[str, Any]]:
    """One row a candidate: over the origins where it stands, how far it lay behind the best candidate of that origin in
    PR-AUC and in the money of the top tenth, on average and at worst, and how often it was the best (the choice of DSSG
    Triage's Audition). The ceiling is no candidate for choice."""
    rows, figures = rolled.newest.rows, [table.figures for table in rolled.each]
    out = []
    for name in (one for one in rolled.newest.listed if one != CEILING):
        row: dict[str, Any] = {"target": rows.target, "horizon": rows.horizon, "candidate": name}
        for figure in REGRETTED:
            gaps = [_behind(found, name, figure) for found in figures if name in found]
            known = [gap for gap in gaps if not np.isnan(gap)]
            row["origins"] = len(gaps)
            row[f"{figure}_mean"] = written(float(np.mean(known))) if known else None
            row[f"{figure}_worst"] = written(max(known)) if known else None
            row[f"{figure}_best_at"] = sum(gap == 0 for gap in known)
        out.append(row)
    return out


def _behind(found: dict[str, Figures], name: str, figure: str) -> float:
    """The best candidate's figure less this one's; nan where undefined."""
    known = [one[figure] for other, one in found.items() if other != CEILING and not np.isnan(one[figure])]
    return max(known) - found[name][figure] if known else float("nan")
