"""What the pictures count in a simulated raw folder: who pays how much, and who steps up when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulator.calendar import Calendar, calendar_of
from simulator.market import Flags, Floats, Ints, Market
from warehouse.store import read_table

HELD = 30  # days that a step must last to count, as in the product's labels
WINDOW = 90  # days, the shortest horizon of the truth


@dataclass(frozen=True, eq=False)
class Wallets:
    """What each paying account paid, arrays (payers,). `first`: run-rate of its first invoice, money per 30 days;
    `total`: revenue in all; `accounts`: how many there are, payers or not; `since`, `until`: days of the first and last
    booking."""

    first: Floats
    total: Floats
    accounts: int
    since: date
    until: date

    def curve(self) -> tuple[Floats, Floats]:
        """Share of all accounts, most revenue first, and the share of revenue they hold, both up to 1."""
        held = np.sort(self.total)[::-1].cumsum()
        share = np.arange(1, len(held) + 1) / self.accounts
        return np.append(share, 1.0), np.append(held / held[-1], 1.0)

    def held_by(self, percent: float) -> float:
        """Share of revenue that the top `percent` % of accounts hold."""
        return float(np.interp(percent / 100, *self.curve()))

    def top_tenth(self, values: Floats) -> Flags:
        """The tenth of the payers with the largest `values`, rounded down, but at least one."""
        flags = np.zeros(len(values), dtype=bool)
        flags[np.argsort(-values, kind="stable")[: max(1, len(values) // 10)]] = True
        return flags


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps week by week: `moved` accounts of those `at_risk` as the week opened, and `signed_up`, each (weeks,); and
    at each of `landmarks` (days since the start) the share of the accounts at risk that stepped up within `window`
    days (`came`), and the mean of the chances that the observer gave (`said`)."""

    calendar: Calendar
    days: int
    moved: Ints
    at_risk: Ints
    signed_up: Ints
    window: int
    landmarks: Ints
    came: Floats
    said: Floats


def read_wallets(raw: Path) -> Wallets:
    """From the raw tables; internal accounts never pay."""
    accounts, revenue = read_table(raw / "accounts.parquet"), read_table(raw / "revenue.parquet")
    ids, payer = _numbered(revenue["account_id"])
    amount, begins, ends, booked = _rows(revenue)
    order = np.argsort(booked, kind="stable")[::-1]
    first = np.zeros(len(ids))
    first[payer[order]] = (amount / (ends - begins) * 30)[order]  # the earliest is written last
    total = np.zeros(len(ids))
    np.add.at(total, payer, amount)
    count = pc.sum(pc.invert(accounts["is_internal"])).as_py()
    bookings = pc.min_max(revenue["booked_at"].cast(pa.date32(), safe=False)).as_py()
    return Wallets(first, total, count, bookings["min"], bookings["max"])


def read_steps(raw: Path, market: Market, start: date) -> Steps:
    """From the raw tables and the truth beside them."""
    truth = read_table(raw / "truth.parquet", ["as_of", "horizon", "expansion"])
    last = pc.max(truth["as_of"]).as_py()
    days = (last - start).days
    calendar = calendar_of(market, start, days + HELD)
    accounts = read_table(raw / "accounts.parquet")
    accounts = accounts.filter(pc.invert(accounts["is_internal"]))
    revenue = read_table(raw / "revenue.parquet")
    tier, moves, ids = _ladder(revenue, market, start, days)
    born, closed = (_days(accounts[name], start) for name in ("created_at", "closed_at"))
    closed = np.where(closed < 0, days + 1, closed)
    weeks = (days - HELD) // 7  # later steps cannot be told from such as are taken back
    opens = 7 * np.arange(weeks)
    alive = ((born[:, None] < opens) & (closed[:, None] >= opens)).sum(axis=0)
    top = (tier[:, np.maximum(opens - 1, 0)] == len(market.floors) - 1).sum(axis=0)
    landmarks, came, said = [], [], []
    truth = truth.filter(pc.and_(pc.equal(truth["horizon"], WINDOW), pc.is_valid(truth["expansion"])))
    where = pc.index_in(ids, value_set=accounts["account_id"]).to_numpy()
    signed = born[where]
    for day in calendar.month_starts(days - WINDOW - HELD):
        here = truth.filter(pc.equal(truth["as_of"], pa.scalar(calendar.day(day), pa.date32())))["expansion"].to_numpy()
        stepped = (
            moves[:, day : day + WINDOW].any(axis=1) & (signed < day) & (tier[:, day - 1] < len(market.floors) - 1)
        )
        landmarks.append(day)
        came.append(stepped.sum() / len(here))
        said.append(here.mean())
    return Steps(
        calendar=calendar,
        days=days,
        moved=moves[:, : 7 * weeks].reshape(len(moves), weeks, 7).any(axis=2).sum(axis=0),
        at_risk=alive - top,
        signed_up=np.bincount(born // 7, minlength=weeks),
        window=WINDOW,
        landmarks=np.array(landmarks),
        came=np.array(came),
        said=np.array(said),
    )


def _ladder(revenue: pa.Table, market: Market, start: date, days: int) -> tuple[Ints, Flags, pa.Array]:
    """Tier of each payer on each day (payers, days), whether it stepped up on that day and held it, and its id."""
    ids, payer = _numbered(revenue["account_id"])
    amount, begins, ends, _ = _rows(revenue)
    zero = (start - date(1970, 1, 1)).days
    change = np.zeros((len(ids), days + 1))
    per_day = amount / (ends - begins)
    np.add.at(change, (payer, np.clip(begins - zero, 0, days)), per_day)
    np.add.at(change, (payer, np.clip(ends - zero, 0, days)), -per_day)
    rate = 30 * change[:, :days].cumsum(axis=1)
    tier = np.searchsorted(market.floors, rate + 1e-6, side="right") - 1
    tier = np.maximum(tier, 0)
    before = np.concatenate([np.zeros((len(ids), 1), dtype=np.int64), tier[:, :-1]], axis=1)
    held = np.full(tier.shape, False)
    for day in range(days - HELD):
        up = tier[:, day] > before[:, day]
        held[up, day] = tier[up, day : day + HELD].min(axis=1) > before[up, day]
    return tier, held, ids


def _numbered(column: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    coded = column.combine_chunks().dictionary_encode()
    return coded.dictionary, coded.indices.to_numpy()


def _rows(revenue: pa.Table) -> tuple[Floats, Ints, Ints, Ints]:
    """Amount, first day and day after the last served (days since 1970), and second of booking, of each row."""
    days = (revenue[name].cast(pa.date32()).cast(pa.int32()).to_numpy() for name in ("period_start", "period_end"))
    begins, ends = (column.astype(np.int64) for column in days)
    booked = revenue["booked_at"].cast(pa.timestamp("s"), safe=False).cast(pa.int64()).to_numpy()
    return revenue["amount"].cast(pa.float64()).to_numpy(), begins, ends, booked


def _days(moments: pa.ChunkedArray, start: date) -> Ints:
    """Days since `start`; hugely negative for null."""
    days: Ints = (moments.to_numpy().astype("datetime64[D]") - np.datetime64(start, "D")).astype(np.int64)
    return days
