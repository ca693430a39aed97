"""What the truth believes of the hidden is what the raw files tell, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simulator.belief import Belief
from simulator.lives import BACK, CREDIT, SEATS, STEP, STOP, Lives
from simulator.market import CHURNED, Market
from simulator.simulate import SimulateParams, simulate
from simulator.truth import SCHEMA, Truth
from simulator.worlds import WORLDS, World
from tests.simulator.observer import believe, histories
from tests.simulator.one_state import calendar
from tests.simulator.run_rates import START


def eventful() -> Market:
    """Everything that may happen, happens here to some of forty accounts within half a year. Prices are in a currency
    so small that a cent of rounding tells nothing."""
    market = WORLDS["assisted"].market()
    moves = market.moves.copy()
    moves[:, :CHURNED] *= 0.95
    moves[:, :CHURNED, CHURNED] += 0.05
    return replace(
        market,
        moves=moves,
        type_share=np.array([0.2, 0.3, 0.25, 0.25]),
        mix_share=np.array([0.4, 0.2, 0.2, 0.2]),
        mix_month=1,
        launch_month=3,
        launch_specialist=1.5,
        double_month=4,
        price_month=2,
        price_steps=0.8,
        robots=0.3,
        step=market.step * 25,
        floors=market.floors * 1e7,
        revoked=0.3,
        annual=0.5,
        credit=0.8,
        seats_up=market.seats_up * 4,
        seats_down=market.seats_down * 4,
        close=0.05,
        internal_share=0.05,
        early_weight=20.0,
        early_share=0.4,
        random_slots=0.1,
    )


@dataclass
class Observed:
    """`weights`: by landmark and account, as the truth was computed with them; `causes`: of changes of money."""

    folder: Path
    weights: dict[int, dict[str, np.ndarray]]
    causes: set[int]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    found = Observed(tmp_path_factory.mktemp("eventful") / "raw", {}, set())

    def spy(_: Truth, as_of: int, belief: Belief, lives: Lives) -> pa.Table:
        accounts = lives._accounts
        there = lives.open & ~accounts.internal & (accounts.first_day < as_of)
        ids = accounts.ids.to_pylist()
        found.weights[as_of] = {ids[one]: belief.weight[one].copy() for one in np.flatnonzero(there)}
        found.causes.update(change.cause for changes in lives.changes for change in changes)
        return SCHEMA.empty_table()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Truth, "at", spy)
        patch.setattr("simulator.simulate.write_values", lambda *_: None)
        patch.setitem(WORLDS, "eventful", World("for this test", eventful))
        simulate(found.folder, SimulateParams(world="eventful", accounts=45, quarters=2, seed=1), workers=1)
    return found


def test_a_scalar_observer_of_the_raw_files_believes_the_same(observed: Observed) -> None:
    market = eventful()
    found = histories(observed.folder)
    for as_of, weights in list(observed.weights.items())[1::2]:
        for account, weight in weights.items():
            twin = np.zeros_like(weight)
            for state, value in believe(market, calendar(market), found[account], as_of).items():
                twin[state] = value
            where = f"{account} on {START + timedelta(days=as_of)}"
            np.testing.assert_allclose(weight, twin, rtol=1e-6, atol=1e-12, err_msg=where)


def test_and_it_was_put_to_the_test(observed: Observed) -> None:
    """Those accounts did all that an account can do."""
    found = histories(observed.folder).values()
    assert observed.causes == {STEP, SEATS, BACK, STOP, CREDIT}
    assert len(observed.weights[182]) > 30
    assert any(end - start > 31 for history in found for start, end, *_ in history.money)
    assert any(history.calls for history in found)
    assert any(history.closed < 182 for history in found)
    for name in ("forecast_run", "pricing_viewed", "limit_hit"):
        assert any(counts[name] for history in found for counts in history.counts.values()), name
    roles = set(pq.read_table(observed.folder / "account_users.parquet")["role"].to_pylist())
    assert roles == {"admin", "member", "service"}
