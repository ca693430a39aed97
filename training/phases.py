"""The hidden phase of every account, month by month, learned from what all of them do and when some of them moved.

A hidden Markov model, as it is used of customers since Netzer, Lattin & Srinivasan (2008), fitted by Baum-Welch. An
account is of one kind and one size, which nobody sees and which never change, and in a phase, which does. The phase of
a kind says how often users come, what they do, how many join, and how likely the next move up the ladder is; the size
says how many can join, and bears on the move by a factor, as the tier does, which is seen. Some hundred accounts that
moved could not teach all that. What every account does teaches nearly all of it, so few numbers are left for the moves.

Training only: what it foretells of a snapshot is one more thing that the teacher knows (`teacher.py`). It sees the
snapshots and labels of a `Dataset` and nothing else, and believes of each snapshot what those up to it tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from scipy.special import logit

from models.hazard import EDGES
from training.dataset import Dataset
from training.months import COUNTS, PLACE, Months, column, months_of

KINDS, SIZES, PHASES = 4, 3, 5
STATES = KINDS * SIZES * PHASES
SCHEDULE = ((12, 5_000), (6, 40_000))  # rounds of Baum-Welch, each by so many of the accounts at most
WORST = -40.0  # log-likelihood beside the best state's: nothing that one step shows rules a state out for good
LEAST = 1e-12  # chance of a state, likewise
HELD = 20.0  # moves by which a tier's factor is held to the others'

KIND = np.repeat(np.arange(KINDS), SIZES * PHASES)
SIZE = np.tile(np.repeat(np.arange(SIZES), PHASES), KINDS)
PHASE = np.tile(np.arange(PHASES), KINDS * SIZES)
OF_KIND = KIND * PHASES + PHASE  # what a state shares with those of other sizes
SAME = (KIND[:, None] == KIND) & (SIZE[:, None] == SIZE)

# where they start, in logs of what is usual; kinds that start near each other learn the same
PHASES_FROM, KINDS_FROM, SIZES_FROM = (
    np.linspace(-3, 1.2, PHASES),
    np.linspace(-1.8, 1.8, KINDS),
    np.linspace(-1, 1, SIZES),
)


@dataclass(frozen=True)
class Rate:
    """`counted` over `over`. `apart`: how much of where phases and kinds start shows in it, `room`: of where sizes do.
    `shape`: of a negative binomial; null: Poisson."""

    counted: str
    over: str
    apart: float
    room: float = 0.0
    shape: float | None = None


RATES = {
    "use": Rate("user_days", "seat_days", 1.0),
    "everyday": Rate("plain", "user_days", 0.2, shape=0.6),
    "specialist": Rate("specialist", "user_days", 0.5, shape=0.3),
    "configuration": Rate("configuration", "active_days", 0.5),
    "limits": Rate("limits", "limit_days", 0.5),
    "joining": Rate("joined", "crowd_days", 0.8, room=1.5),
    "intent": Rate("intent", "days", 0.5),
    "move": Rate("moves", "months", 1.5, room=0.3),
}


def foretold(data: Dataset) -> np.ndarray | None:
    """(n, intervals) log-odds of a move in each interval of the hazards, given that none came before it, of every
    snapshot. Null where the history is too short, nobody is seen to use anything, or too few moved."""
    months = months_of(data)
    if months is None:
        return None
    model = start(months)
    for rounds, most in SCHEDULE:
        some = months.some(most)
        for _ in range(rounds):
            model = better(some, model)
    alive = np.empty((len(data), len(EDGES)))
    tier = column(data, "tier").astype(np.int64)
    ahead = np.stack([_survival(model, one, months.apart) for one in range(months.tiers)])

    for part in months.parts():
        for step, (belief, _) in enumerate(forward(part, model)):
            if step % 2:
                here = part.row[step // 2, : len(belief)]
                own = here[here >= 0]
                alive[own] = np.einsum("ns,nse->ne", belief[here >= 0], ahead[tier[own]])
    hazard = np.clip(1 - alive[:, 1:] / alive[:, :-1], 1e-7, 0.95)
    return np.asarray(np.round(logit(hazard), 4))  # beyond which machines may differ


@dataclass(frozen=True)
class Model:
    """rates: (STATES,) each; `room` (SIZES,) and `ladder` (tiers,): factors on the hazard of a move; `turn`: chances of
    the next state, (STATES, STATES) each, from one snapshot to the older days of the next, and from those to its recent
    ones; `first` (STATES,) and `traits`, (levels, STATES) each: chances at the first snapshot."""

    rates: dict[str, np.ndarray]
    room: np.ndarray
    ladder: np.ndarray
    turn: tuple[np.ndarray, np.ndarray]
    first: np.ndarray
    traits: tuple[np.ndarray, ...]


def start(months: Months) -> Model:
    total = dict(zip(COUNTS, months.counts.sum(axis=(0, 1)), strict=True))
    rates = {
        name: max(total[rate.counted] / max(total[rate.over], 1.0), 1e-8)
        * np.exp(rate.apart * (PHASES_FROM[PHASE] + KINDS_FROM[KIND]) + rate.room * SIZES_FROM[SIZE])
        for name, rate in RATES.items()
    }
    turn = np.where(np.eye(STATES, dtype=bool), 0.8, 0.2 / (PHASES - 1)) * SAME
    traits = tuple(np.full((levels, STATES), 1.0 / levels) for levels in months.levels)
    return Model(rates, np.ones(SIZES), np.ones(months.tiers), (turn, turn), np.full(STATES, 1.0 / STATES), traits)


def _weights(rates: dict[str, np.ndarray]) -> np.ndarray:
    """(COUNTS, STATES): counts times these are log-likelihoods, but for what is the same in every state."""
    out = np.zeros((len(COUNTS), STATES))
    for name, rate in RATES.items():
        value, counted, over = np.maximum(rates[name], 1e-9), PLACE[rate.counted], PLACE[rate.over]
        if rate.shape is None:
            out[counted] += np.log(value)
            out[over] -= value
        else:
            out[counted] += np.log(value / (value + rate.shape))
            out[over] += rate.shape * np.log(rate.shape / (value + rate.shape))
    return out


def forward(part: Months, model: Model) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """By step: belief (accounts there, STATES) once the step is seen, and what it weighs in each state."""
    weights = _weights(model.rates)
    log = np.log(model.first) + sum(np.log(c)[own] for c, own in zip(model.traits, part.traits, strict=True))
    first = np.exp(log - log.max(axis=1, keepdims=True))
    first /= first.sum(axis=1, keepdims=True)
    belief = first[:0]
    for step in range(len(part.counts)):
        there, old = _there(part, step)
        said = first[:there].copy()
        seen = (part.row[step // 2, :old] >= 0)[:, None]
        said[:old] = np.where(seen, belief[:old] @ model.turn[step % 2], belief[:old])
        log = _counts(part, model, step, there) @ weights
        shown = np.exp(np.maximum(log - log.max(axis=1, keepdims=True), WORST))
        belief = np.maximum(said, LEAST) * shown
        belief /= belief.sum(axis=1, keepdims=True)
        yield belief, shown


def _counts(part: Months, model: Model, step: int, there: int) -> np.ndarray:
    """(there, COUNTS) of the step; a month on a tier from which accounts move more often counts for more."""
    counts = part.counts[step, :there]
    if step % 2:
        counts = counts.copy()
        counts[:, PLACE["months"]] *= model.ladder[part.tier[step // 2, :there]]
    return np.asarray(counts)


def _there(part: Months, step: int) -> tuple[int, int]:
    """Accounts that the step sees, and how many of them the one before saw, too; they come first."""
    there = int(np.searchsorted(part.first, step // 2, side="right"))
    return there, there if step % 2 else int(np.searchsorted(part.first, step // 2, side="left"))


def better(months: Months, model: Model) -> Model:
    """One round of Baum-Welch."""
    of = reduce(Expected.__add__, (_expected(part, model) for part in months.parts()))
    ladder = model.ladder * (of.moved + HELD) / (of.awaited + HELD)
    ladder /= (ladder @ of.moved) / of.moved.sum()
    turned = [sums * chance for sums, chance in zip(of.turned, model.turn, strict=True)]
    return _learned(replace(model, ladder=ladder), of.totals, turned, of.first, of.traits)


@dataclass
class Expected:
    """Sums of what accounts show and are believed to be, all of it seen: `totals` (STATES, COUNTS) by state; `first`
    (STATES,) and `traits`, (levels, STATES) each, at the first snapshot; `turned` (2, STATES, STATES), to be taken
    times the chances of a turn; `moved`, `awaited` (tiers,): moves, and how many the hazards say."""

    totals: np.ndarray
    first: np.ndarray
    traits: list[np.ndarray]
    turned: np.ndarray
    moved: np.ndarray
    awaited: np.ndarray

    def __add__(self, other: Expected) -> Expected:
        return Expected(
            self.totals + other.totals,
            self.first + other.first,
            [mine + yours for mine, yours in zip(self.traits, other.traits, strict=True)],
            self.turned + other.turned,
            self.moved + other.moved,
            self.awaited + other.awaited,
        )


def _expected(part: Months, model: Model) -> Expected:
    of = Expected(
        np.zeros((STATES, len(COUNTS))),
        np.zeros(STATES),
        [np.zeros_like(chance) for chance in model.traits],
        np.zeros((2, STATES, STATES)),
        np.zeros_like(model.ladder),
        np.zeros_like(model.ladder),
    )
    past = list(forward(part, model))
    later = np.ones((len(part.first), STATES))
    for step in reversed(range(len(past))):
        (belief, shown), (there, old), half = past[step], _there(part, step), step % 2
        now = belief * later[:there]
        now /= now.sum(axis=1, keepdims=True)
        counts = _counts(part, model, step, there)
        of.totals += now.T @ counts
        if half:
            tier = part.tier[step // 2, :there]
            of.moved += np.bincount(tier, counts[:, PLACE["moves"]], len(of.moved))
            expected = counts[:, PLACE["months"]] * (now @ model.rates["move"])
            of.awaited += np.bincount(tier, expected, len(of.awaited))
        if old < there:
            of.first += now[old:].sum(axis=0)
            for sums, own in zip(of.traits, part.traits, strict=True):
                sums += (np.arange(len(sums))[:, None] == own[old:there]) @ now[old:]
        if old:
            seen, ahead = (part.row[step // 2, :old] >= 0)[:, None], shown[:old] * later[:old]
            before = past[step - 1][0][:old]
            back = ahead @ model.turn[half].T
            scale = (before * back).sum(axis=1, keepdims=True)
            of.turned[half] += (before * seen).T @ (ahead / scale)
            later = np.where(seen, back, later[:old])
            later = np.maximum(later / later.max(axis=1, keepdims=True), LEAST)
    return of


def _learned(
    model: Model, totals: np.ndarray, turned: list[np.ndarray], first: np.ndarray, traits: list[np.ndarray]
) -> Model:
    """The model that what is expected of the states makes most likely, held to what is usual by about one event."""
    rates, room = {}, model.room
    for name, rate in RATES.items():
        counted, over = totals[:, PLACE[rate.counted]], totals[:, PLACE[rate.over]]
        usual = max(counted.sum() / max(over.sum(), 1e-9), 1e-9)
        if name == "move":  # a hazard of the phase of a kind, times a factor of the size
            hazard = _by(OF_KIND, counted, over * room[SIZE], usual)
            room = (np.bincount(SIZE, counted) + 3.0) / (np.bincount(SIZE, over * hazard) + 3.0)
            room = room / room.mean()
            rates[name] = hazard * room[SIZE]
        else:
            rates[name] = _by(np.arange(STATES) if name == "joining" else OF_KIND, counted, over, usual)
    share = first + 0.5
    turn = _turn(turned[0]), _turn(turned[1])
    return Model(rates, room, model.ladder, turn, share / share.sum(), tuple(map(_shares, traits)))


def _by(group: np.ndarray, counted: np.ndarray, over: np.ndarray, usual: float) -> np.ndarray:
    return np.asarray(((np.bincount(group, counted) + 1.0) / (np.bincount(group, over) + 1.0 / usual))[group])


def _turn(turned: np.ndarray) -> np.ndarray:
    """Phases turn alike in all sizes of a kind."""
    of_kind = np.einsum("kspksq->kpq", turned.reshape((KINDS, SIZES, PHASES) * 2)) + 0.5 + 2.0 * np.eye(PHASES)
    of_kind /= of_kind.sum(axis=2, keepdims=True)
    return np.asarray(of_kind[KIND[:, None], PHASE[:, None], PHASE[None, :]] * SAME)


def _shares(sums: np.ndarray) -> np.ndarray:
    held = sums + 0.5 * sums.sum(axis=1, keepdims=True) / sums.sum() + 0.02
    return np.asarray(held / held.sum(axis=0))


def _survival(model: Model, tier: int, apart: float) -> np.ndarray:
    """(STATES, intervals + 1) chances of an account on that tier of no move before each edge of the intervals."""
    still, month = np.exp(-model.rates["move"] * model.ladder[tier]), model.turn[0] @ model.turn[1]
    ends = [max(1, round(edge / apart)) for edge in EDGES[1:]]
    out = [alive := np.ones(STATES)]
    for step in range(1, ends[-1] + 1):
        alive = month @ (still * alive)
        out += [alive] * ends.count(step)
    return np.column_stack(out)
