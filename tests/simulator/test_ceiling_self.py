"""The ceiling is what it says it is: calibrated on what came, beaten by chance alone, and equal to lives led from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from simulator.accounts import Accounts
from simulator.belief import Belief
from simulator.block import Block, last_day, simulate_block, streams
from simulator.calendar import calendar_of
from simulator.lives import Lives
from simulator.market import REVOKED, SETTLING, Market
from simulator.outlook import Outlook
from simulator.simulate import SimulateParams, simulate
from simulator.truth import Truth, write_values
from tests.simulator.run_rates import first_moves, run_rates, tiers

START, DAYS = date(2024, 1, 1), 731
AS_OF, HORIZON = 517, 180  # 1 June 2025
COPIES = 400

pytestmark = pytest.mark.slow


def ece(said: np.ndarray, happened: np.ndarray) -> float:
    """Over 15 bins of equal mass."""
    order = np.argsort(said, kind="stable")
    parts = np.array_split(order, 15)
    return sum(abs(said[part].mean() - happened[part].mean()) * len(part) for part in parts) / len(said)


def log_loss(said: np.ndarray, happened: np.ndarray) -> np.ndarray:
    return -np.log(np.where(happened > 0, said, 1.0 - said))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """At-risk accounts of 20,000 on the date: what the truth says and what came, counted in the raw revenue."""
    raw = tmp_path_factory.mktemp("plain") / "raw"
    simulate(raw, SimulateParams(accounts=20_000))
    table = pq.read_table(raw / "truth.parquet", filters=[("as_of", "=", date(2025, 6, 1)), ("horizon", "=", HORIZON)])
    table = table.filter(table["expansion"].is_valid())
    rates = run_rates(raw, 1_200)
    none = np.zeros(1_200)
    paid = np.stack([rates.get(account, none) for account in table["account_id"].to_pylist()])
    tier = tiers(paid)
    moved = first_moves(tier[:, AS_OF:].T, HORIZON, tier[:, AS_OF - 1].astype(np.int64) + 1)
    gained = paid[:, AS_OF : AS_OF + HORIZON].sum(axis=1) / 30 - paid[:, AS_OF - 1] * HORIZON / 30
    said = {name: table[name].to_numpy() for name in ("expansion", "clairvoyant_expansion", "increment")}
    return {**said, "happened": (moved < HORIZON).astype(float), "gained": gained}


def test_the_ceiling_is_calibrated(told: dict[str, np.ndarray]) -> None:
    assert ece(told["expansion"], told["happened"]) < 0.003


def test_as_many_expand_and_as_much_comes_in_as_foretold(told: dict[str, np.ndarray]) -> None:
    said, happened = told["expansion"], told["happened"]
    assert abs((happened - said).sum()) < 4 * np.sqrt((said * (1 - said)).sum())
    off = told["gained"] - told["increment"]
    assert abs(off.sum()) < 4 * np.sqrt((off**2).sum())


def test_who_sees_more_says_better(told: dict[str, np.ndarray]) -> None:
    happened = told["happened"]
    base = np.full(len(happened), happened.mean())
    losses = [log_loss(said, happened) for said in (told["clairvoyant_expansion"], told["expansion"], base)]
    for better, worse in zip(losses, losses[1:], strict=False):
        gap = worse - better
        assert gap.sum() > 3 * np.sqrt(gap.var() * len(gap))


class Watched:
    """One block, run to the date with its belief kept."""

    def __init__(self, folder: Path) -> None:
        self.market = Market()
        self.calendar = calendar_of(self.market, START, last_day(DAYS))
        write_values(Outlook(self.market, self.calendar), AS_OF, folder)
        seen: list[tuple[Belief, Lives]] = []
        found = {}

        class Spy(Truth):
            def at(self, as_of: int, belief: Belief, lives: Lives):  # type: ignore[no-untyped-def]
                if as_of != AS_OF:
                    return super().at(AS_OF, belief, lives).slice(0, 0)
                seen.append((belief, lives))
                found["weight"] = belief.weight.copy()
                names = ("stage", "rate", "before", "stepped_on", "back_on", "closed_at", "billed")
                found["lives"] = {name: getattr(lives, name).copy() for name in names}
                found["credits"] = lives._credits.copy()
                found["rows"] = super().at(as_of, belief, lives)
                return found["rows"]

        from simulator import block as module
        from simulator.accounts import draw_accounts

        self.accounts = draw_accounts(np.random.default_rng(3), self.market, self.calendar, 2_500, DAYS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "Truth", Spy)
            block = Block(0, 3, self.market, START, AS_OF, self.accounts, folder / "block", folder)
            simulate_block(block, self.calendar)
        self.weight, self.lives = found["weight"], found["lives"]
        self.credits, self.rows = found["credits"], found["rows"]


def test_futures_drawn_from_the_belief_come_out_as_the_truth_says(tmp_path: Path) -> None:
    """500 accounts, 400 futures each: hidden states drawn from the belief, lives led by the simulator itself."""
    watched = Watched(tmp_path)
    rng = np.random.default_rng(5)
    rows = watched.rows.filter(np.equal(watched.rows["horizon"].to_numpy(), HORIZON))
    rows = rows.filter(rows["expansion"].is_valid())
    number = np.array([int(account[4:]) - 1 for account in rows["account_id"].to_pylist()])
    likely = np.argsort(-rows["expansion"].to_numpy(), kind="stable")
    chosen = np.concatenate([likely[:250], rng.choice(likely[250:], 250, replace=False)])  # half of them interesting
    who = np.repeat(number[chosen], COPIES)
    lives, accounts = _copies(watched, who, rng)
    before = (lives.rate - lives.credited(AS_OF - 1)).copy()
    rates = []
    for day in range(AS_OF, AS_OF + HORIZON + 31):
        if day % 7 == 0:
            lives.turn(day)
        lives.day(day)
        rates.append(lives.rate - lives.credited(day))
    paid = np.array(rates)
    target = tiers(before).astype(np.int64) + 1
    moved = first_moves(tiers(paid), HORIZON, target)
    closed = np.where(lives.closed_at >= 0, lives.closed_at // 86_400 - AS_OF, 10**6)
    outcomes = {
        "expansion": (moved < HORIZON) * 1.0,
        "churn": ((closed < HORIZON) & ~(moved <= closed)) * 1.0,
        "increment": paid[:HORIZON].sum(axis=0) / 30 - before * HORIZON / 30,
    }
    for name, outcome in outcomes.items():
        drawn = outcome.reshape(-1, COPIES)
        said = rows[name].to_numpy()[chosen]
        spread = np.sqrt(said * (1 - said)) if name != "increment" else drawn.std(axis=1)
        total = (drawn.mean(axis=1) - said).sum() / np.sqrt((spread**2).sum() / COPIES)
        assert abs(total) < 4, name
        if name != "increment":  # whose distribution is too heavy-tailed for a score an account
            often = (said * COPIES > 5) & ((1 - said) * COPIES > 5)  # where the count is nearly normal
            score = (drawn.mean(axis=1) - said)[often] / (spread[often] / np.sqrt(COPIES))
            assert often.sum() > 100, name
            assert abs(score.mean()) < 4 / np.sqrt(len(score)), name
            assert 0.85 < score.std() < 1.15, name
            assert np.abs(score).max() < 4.5, name
    assert len(accounts) == 500 * COPIES


def _copies(watched: Watched, who: np.ndarray, rng: np.random.Generator) -> tuple[Lives, Accounts]:
    """Lives at the date with everything hidden drawn anew: type, size, stage, and whether a step will be taken back."""
    market = watched.market
    weight = watched.weight[who].reshape(len(who), -1).cumsum(axis=1)
    state = (rng.random(len(who))[:, None] * weight[:, -1:] > weight).sum(axis=1)
    kind, size, stage = np.unravel_index(state, watched.weight.shape[1:])
    kept = watched.accounts
    billed = watched.lives["billed"][who]
    yearly = np.where(billed, kept.yearly[who], rng.random(len(who)) < market.annual)
    fields = {name: getattr(kept, name)[who] for name in kept.__dataclass_fields__}
    accounts = replace(Accounts(**fields), type=kind, size=size, yearly=yearly)
    lives = Lives(streams(11, 0), market, watched.calendar, accounts)
    for name, values in watched.lives.items():
        setattr(lives, name, values[who].copy())
    lives.stage = stage.astype(np.int64)
    lives._credits = watched.credits[who].copy()
    elapsed = AS_OF - lives.stepped_on
    resolved = (elapsed >= SETTLING) | ((lives.back_on >= 0) & (lives.back_on < AS_OF))
    day = rng.integers(REVOKED[0], REVOKED[1] + 1, size=len(who))
    still = (REVOKED[1] - np.maximum(REVOKED[0], elapsed) + 1) / (REVOKED[1] - REVOKED[0] + 1)
    still = np.clip(still, 0, 1)
    chance = market.revoked * still / (market.revoked * still + 1 - market.revoked)
    taken = (rng.random(len(who)) < chance) & ~resolved
    later = np.maximum(REVOKED[0], elapsed) + (day - REVOKED[0]) % np.maximum(
        REVOKED[1] - np.maximum(REVOKED[0], elapsed) + 1, 1
    )
    lives.back_on = np.where(taken, lives.stepped_on + later, -1)
    return lives, accounts
