"""The pictures of the simulated vendor show what the raw tables hold, and the life that the rule picks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from simulator.accounts import Accounts
from simulator.market import MUSHROOM, Market
from simulator.portrait import draw_concentration, draw_life, draw_seasons
from simulator.simulate import SimulateParams, simulate
from simulator.tally import HELD, WINDOW, Steps, read_steps, read_wallets
from simulator.tracing import GROUPS, Trace, trace, typical_mushroom
from warehouse.errors import UsageError
from warehouse.store import read_table, write_table

PARAMS = SimulateParams(accounts=1_200, quarters=2, seed=3)
DAYS = 182  # 1 January to 1 July 2024
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Vendor:
    """A small world as simulated, as traced, and as counted for the pictures."""

    raw: Path
    traced: Trace
    steps: Steps


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Vendor:
    folder = tmp_path_factory.mktemp("vendor")
    simulate(folder / "raw", PARAMS, workers=1)
    traced = trace(Market(), PARAMS.start, DAYS, PARAMS.accounts, PARAMS.seed, folder / "values")
    return Vendor(folder / "raw", traced, read_steps(folder / "raw", Market(), PARAMS.start))


def tier_paths(traced: Trace) -> np.ndarray:
    return np.searchsorted(traced.market.floors, traced.rate, side="right") - 1


def test_the_lives_that_are_traced_are_those_of_the_raw_tables(vendor: Vendor) -> None:
    for name in ("accounts", "revenue", "account_users", "truth"):
        assert vendor.traced.tables[name].equals(read_table(vendor.raw / f"{name}.parquet")), name
    named = sum(
        np.isin(read_table(file)["event_name"].to_numpy(zero_copy_only=False), np.concatenate(list(GROUPS.values())))
        .sum()
        for file in (vendor.raw / "events").iterdir()
    )  # fmt: skip
    assert vendor.traced.events.sum() == named > 0


def test_a_life_holds_its_own_users_invoices_and_chances_and_nobody_elses(vendor: Vendor) -> None:
    payer = int(np.argmax(vendor.traced.rate[-1]))
    life = vendor.traced.life(payer, 180)
    own = vendor.traced.tables["revenue"].to_pandas().query("account_id == @life.account_id")
    assert [amount for _, amount, _ in life.invoices] == own["amount"].astype(float).tolist() != []
    assert (life.stage[: life.signed_up] == -1).all()
    assert (life.stage[life.signed_up :] >= 0).all()
    truth = (
        read_table(vendor.raw / "truth.parquet").to_pandas().query("account_id == @life.account_id & horizon == 180")
    )
    assert [seen for _, seen, _ in life.chances] == truth["expansion"].tolist()
    assert [known for _, _, known in life.chances] == truth["clairvoyant_expansion"].tolist()


def test_steps_counted_from_invoices_are_the_steps_that_lives_took_and_kept(vendor: Vendor) -> None:
    tier, weeks = tier_paths(vendor.traced), (DAYS - HELD) // 7
    kept = [
        (day, account)
        for day, account in np.argwhere(np.diff(tier, axis=0, prepend=0) > 0).tolist()
        if day < 7 * weeks and tier[day : day + HELD, account].min() > (tier[day - 1, account] if day else 0)
    ]
    assert len(kept) > 5
    assert vendor.steps.moved.tolist() == np.bincount([day // 7 for day, _ in kept], minlength=weeks).tolist()
    landmark = int(vendor.steps.landmarks[-1])
    within = {account for day, account in kept if landmark <= day < landmark + WINDOW}
    before = vendor.traced.accounts.first_day < landmark
    at_risk = vendor.steps.came[-1] and sum(before[account] for account in within) / vendor.steps.came[-1]
    assert at_risk == pytest.approx(round(at_risk))
    assert vendor.steps.landmarks.tolist() == [31, 60]  # later ones have not seen all of their window


def test_at_risk_are_those_who_signed_up_before_and_neither_closed_nor_reached_the_top(vendor: Vendor) -> None:
    traced, closed = vendor.traced, read_table(vendor.raw / "accounts.parquet")["closed_at"].to_pylist()
    gone = np.array([DAYS if moment is None else (moment.date() - PARAMS.start).days for moment in closed])
    for week, day in ((1, 7), (20, 140)):
        top = tier_paths(traced)[day - 1] == len(traced.market.floors) - 1
        here = (traced.accounts.first_day < day) & (gone >= day) & ~traced.accounts.internal & ~top
        assert vendor.steps.at_risk[week] == here.sum()


def test_who_holds_the_revenue_is_read_from_the_first_invoice_and_all_of_them(tmp_path: Path) -> None:
    ids = [f"acc-{number}" for number in range(20)]
    write_table(pa.table({"account_id": ids, "is_internal": [False] * 19 + [True]}), tmp_path / "accounts.parquet")
    rows = [  # account, amount, first day, after the last, booked
        ("acc-1", 30.0, 2, 12, 2),
        ("acc-0", 60.0, 32, 62, 32),  # the second invoice stands first
        ("acc-0", 20.0, 1, 31, 1),
        ("acc-1", -10.0, 5, 12, 5),
    ]
    when = [date(2024, 1, 1).toordinal() + day for day in range(100)]
    moments = [[datetime.fromordinal(when[row[place]]) for row in rows] for place in (2, 3, 4)]
    columns = dict(zip(("period_start", "period_end", "booked_at"), moments, strict=True))
    revenue = pa.table({"account_id": [row[0] for row in rows], "amount": [row[1] for row in rows], **columns})
    write_table(revenue, tmp_path / "revenue.parquet")
    wallets = read_wallets(tmp_path)
    assert dict(zip(wallets.total, wallets.first, strict=True)) == pytest.approx({20.0: 90.0, 80.0: 20.0})
    assert wallets.accounts == 19
    assert wallets.held_by(100 / 19) == pytest.approx(0.8)
    assert (wallets.since, wallets.until) == (date(2024, 1, 2), date(2024, 2, 2))


def climbers(paths: dict[int, list[int]], **changed: object) -> Trace:
    """A trace of mushrooms with room for 18, of which each went to tiers 1, 2, ... on the days given; negative: down.
    All signed up on day 0 of 100."""
    market, count = Market(), len(paths)
    rate = np.zeros((100, count))
    for account, days in paths.items():
        level = 0
        for day in days:
            level += 1 if day > 0 else -1
            rate[abs(day) :, account] = 1.1 * market.floors[level] if level else 0.0
    zeros = np.zeros(count, dtype=np.int64)
    names = ("number", "type", "size", "signed_up", "channel", "industry", "country", "owner", "employees")
    columns = {name: zeros for name in names} | {"type": zeros + MUSHROOM, "size": zeros + 2}
    flags = {name: zeros.astype(bool) for name in ("internal", "yearly")}
    accounts = replace(Accounts(**columns, **flags, robot=zeros.astype(float)), **changed)  # type: ignore[arg-type]
    return Trace(market, accounts, date(2024, 1, 1), zeros, zeros, rate, zeros, {})


def test_the_mushroom_of_the_picture_took_the_median_time_of_those_that_went_up_tier_by_tier() -> None:
    slow, swift, typical, other = [10, 20, 90], [10, 20, 30], [10, 20, 50], [10, 20, 60, 70]
    fell, stayed = [10, 20, 40, -45, 55], [10, 20]
    found = climbers({0: slow, 1: swift, 2: fell, 3: typical, 4: stayed, 5: other})
    assert typical_mushroom(found) == 3
    small = np.array([2, 1, 2, 2, 2, 2])  # the swift one has no room for users
    assert typical_mushroom(replace(found, accounts=replace(found.accounts, size=small))) == 5
    kinds = np.array([MUSHROOM, MUSHROOM, 0, 0, 0, 0])
    assert typical_mushroom(replace(found, accounts=replace(found.accounts, type=kinds))) == 1


def test_without_such_a_mushroom_there_is_no_picture() -> None:
    with pytest.raises(UsageError, match="Simulate more accounts"):
        typical_mushroom(climbers({0: [10, 20], 1: [10, 20, 40, -45]}))


def test_every_picture_is_drawn_and_equal_worlds_give_equal_bytes(vendor: Vendor, tmp_path: Path) -> None:
    life = vendor.traced.life(int(np.argmax(vendor.traced.rate[-1])), 180)
    for name, draw in (
        ("life", lambda path: draw_life(life, vendor.traced.market, path)),
        ("revenue", lambda path: draw_concentration(read_wallets(vendor.raw), path)),
        ("seasons", lambda path: draw_seasons(vendor.steps, path)),
    ):
        first, second = tmp_path / f"{name}.png", tmp_path / f"{name} again.png"
        draw(first)
        draw(second)
        assert first.read_bytes()[:8] == PNG
        assert first.read_bytes() == second.read_bytes()
