"""The invented vendor looks like one: few accounts grow, behaviour foretells which, the tail is heavy."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pytest
from scipy.stats import rankdata

from simulator.market import CHURNED, Market
from simulator.worlds import WORLDS, world_of
from warehouse.errors import UsageError

DAY = 86_400
HORIZON, HELD = 180 * DAY, 30 * DAY
FLOORS = np.array([0, 20, 150, 600, 2500])
AS_OF = ("2024-07-01", "2024-10-01", "2025-01-01", "2025-04-01", "2025-06-01")


@dataclass
class Snapshots:
    """At-risk accounts at all dates of AS_OF: events in the last 28 days, tier, and whether the next tier was reached
    within 180 days and held for 30, by a plain step function of the run-rate."""

    activity: np.ndarray
    tier: np.ndarray
    expanded: np.ndarray


class RunRates:
    """Run-rate of every account as a step function over epoch seconds."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        moves: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        query = "SELECT account_id, amount::DOUBLE, epoch(period_start)::BIGINT, epoch(period_end)::BIGINT FROM revenue"
        for account, amount, start, end in con.execute(query).fetchall():
            rate = amount / ((end - start) / DAY) * 30
            moves[account][start] += rate
            moves[account][end] -= rate
        self.times = {account: np.array(sorted(moments)) for account, moments in moves.items()}
        self.rates = {
            account: np.cumsum([moments[moment] for moment in sorted(moments)]) for account, moments in moves.items()
        }

    def tier(self, account: str, moment: int) -> int:
        if account not in self.times:
            return 0
        place = int(np.searchsorted(self.times[account], moment, side="right")) - 1
        rate = self.rates[account][place] if place >= 0 else 0.0
        return int(np.searchsorted(FLOORS, max(rate, 0.0), side="right")) - 1

    def expands(self, account: str, as_of: int) -> bool:
        tier = self.tier(account, as_of)
        moments = self.times.get(account, np.empty(0))
        within = moments[(moments >= as_of) & (moments < as_of + HORIZON)]
        return any(
            self.tier(account, moment) > tier and self.tier(account, moment + HELD) > tier for moment in within.tolist()
        )


def snapshots(raw: Path) -> Snapshots:
    con = duckdb.connect()
    con.execute(f"CREATE VIEW revenue AS SELECT * FROM '{raw}/revenue.parquet'")
    run_rates = RunRates(con)
    rows: list[tuple[int, int, bool]] = []
    for as_of in AS_OF:
        query = f"""SELECT account_id, count(occurred_at), epoch(TIMESTAMP '{as_of}')::BIGINT
                    FROM '{raw}/accounts.parquet' LEFT JOIN (
                        SELECT account_id, occurred_at FROM '{raw}/events/*.parquet'
                        WHERE occurred_at < '{as_of}' AND occurred_at >= TIMESTAMP '{as_of}' - INTERVAL 28 DAY
                    ) USING (account_id)
                    WHERE NOT is_internal AND created_at <= TIMESTAMP '{as_of}' - INTERVAL 7 DAY
                    AND (closed_at IS NULL OR closed_at > '{as_of}') GROUP BY account_id"""
        for account, events, moment in con.execute(query).fetchall():
            tier = run_rates.tier(account, moment)
            if tier < len(FLOORS) - 1:
                rows.append((events, tier, run_rates.expands(account, moment)))
    return Snapshots(*(np.array(column) for column in zip(*rows, strict=True)))


def auc(score: np.ndarray, label: np.ndarray) -> float:
    positives = label.sum()
    ranks = rankdata(score)[label].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(label) - positives)))


@pytest.fixture(scope="module")
def plain(plain_world: Path) -> Snapshots:
    return snapshots(plain_world)


def test_one_to_five_per_cent_of_snapshots_at_risk_expand(plain: Snapshots) -> None:
    assert 0.01 < plain.expanded.mean() < 0.05


def test_recent_activity_foretells_expansion_without_giving_it_away(plain: Snapshots) -> None:
    assert 0.80 < auc(plain.activity, plain.expanded) < 0.95


def test_in_the_null_world_activity_and_tier_foretell_nothing(null_world: Path) -> None:
    null = snapshots(null_world)
    assert 0.01 < null.expanded.mean() < 0.05
    # Some 60 accounts expand here: four standard errors of the AUC are about .15.
    assert abs(auc(null.activity, null.expanded) - 0.5) < 0.15
    assert abs(auc(null.tier, null.expanded) - 0.5) < 0.15


def test_accounts_have_several_users_and_most_are_small(plain_world: Path) -> None:
    query = f"SELECT count(*) FROM '{plain_world}/account_users.parquet' GROUP BY account_id"
    users = np.array([row[0] for row in duckdb.connect().execute(query).fetchall()])
    assert users.mean() > 3
    assert np.median(users) <= 3
    assert users.max() > 40


def test_five_per_cent_of_accounts_hold_most_of_the_events_and_money(plain_world: Path) -> None:
    top = 3_000 // 20
    for measure, files in (("count(*)", "events/*"), ("sum(amount)::DOUBLE", "revenue")):
        query = f"SELECT {measure} AS v FROM '{plain_world}/{files}.parquet' GROUP BY account_id ORDER BY v DESC"
        values = np.array([row[0] for row in duckdb.connect().execute(query).fetchall()])
        assert values[:top].sum() > 0.5 * values.sum(), files


def test_most_who_pay_stay_small_and_a_handful_reach_the_top(plain_world: Path) -> None:
    con = duckdb.connect()
    con.execute(f"CREATE VIEW revenue AS SELECT * FROM '{plain_world}/revenue.parquet'")
    run_rates = RunRates(con)
    best = [max(run_rates.tier(account, moment) for moment in times) for account, times in run_rates.times.items()]
    reached = np.bincount(best, minlength=len(FLOORS))
    assert reached[1] > reached[2:].sum()
    assert reached[3:].sum() >= 5


def test_accounts_that_come_to_pay_first_take_up_specialist_functions_and_then_users(plain_world: Path) -> None:
    query = f"""
        WITH lives AS (
            SELECT user_id, event_name, date_diff('day', created_at, occurred_at) // 91 AS quarter
            FROM '{plain_world}/events/*.parquet' JOIN '{plain_world}/accounts.parquet' USING (account_id)
            WHERE account_id IN (SELECT account_id FROM '{plain_world}/revenue.parquet')
              AND created_at < '2025-03-01')
        SELECT count(*) FILTER (event_name IN ('report_built', 'automation_run', 'dashboard_shared', 'api_called')),
               count(DISTINCT user_id) FROM lives WHERE quarter < 3 GROUP BY quarter ORDER BY quarter"""
    (trial, users_1), (commitment, users_2), (_, users_3) = duckdb.connect().execute(query).fetchall()
    assert commitment > 2 * trial
    assert users_3 > users_2 > users_1


@pytest.mark.parametrize("world", WORLDS)
def test_every_chance_is_one(world: str) -> None:
    market = WORLDS[world].market()
    tables = (market.type_share, market.mix_share, market.size_share, market.channel_share, market.country_share)
    for shares in (*tables, market.moves, market.settled_moves()):
        assert np.allclose(shares.sum(axis=-1), 1.0)
        assert (shares >= 0).all()


def test_nobody_comes_back_from_churn_or_buys_after_it() -> None:
    market = Market()
    assert (market.moves[:, CHURNED, CHURNED] == 1.0).all()
    assert (market.step_hazard()[:, :, CHURNED] == 0.0).all()


def test_the_null_hazards_are_the_same_for_every_living_state() -> None:
    market = world_of("null").market()
    alive = slice(0, CHURNED)
    assert np.unique(market.step_hazard()[:, :, alive]).size == 1
    assert np.allclose(market.moves[:, alive, CHURNED], market.moves[0, 0, CHURNED])


def test_an_unknown_world_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="Known: plain, nonlinear, drift, faulty, assisted, null, tiny"):
        world_of("flat")
