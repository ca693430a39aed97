"""The best possible score of every account at every month start: belief about the hidden state times what that state
holds in store. `truth.parquet` lies beside the raw tables, for evaluation alone; no product code reads it.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from simulator.accounts import Accounts
from simulator.belief import Belief
from simulator.calendar import Calendar
from simulator.lives import NOT_YET, Lives
from simulator.market import HORIZONS, REVOKED, SETTLING, Floats, Ints, Market
from simulator.outlook import LEFTS, QUANTITIES, YOUNG, Outlook, Values, close, fixed, per_rate, reach
from simulator.sales import region

SCORES = ("expansion", "high_value", "churn", "increment")
SCHEMA = pa.schema(
    [
        ("account_id", pa.string()),
        ("as_of", pa.date32()),
        ("horizon", pa.int16()),
        *((name, pa.float64()) for name in SCORES),
        *((f"clairvoyant_{name}", pa.float64()) for name in SCORES),
        ("uplift", pa.float64()),
    ]
)


def write_values(outlook: Outlook, as_of: int, folder: Path) -> None:
    """Values of one landmark at all horizons, as arrays that every block may read."""
    for horizon in HORIZONS:
        values = outlook.values(as_of, horizon)
        for part in fields(values):
            np.save(folder / f"{as_of}-{horizon}-{part.name}.npy", getattr(values, part.name))


def read_values(as_of: int, horizon: int, folder: Path) -> Values:
    parts = (
        np.load(folder / f"{as_of}-{horizon}-{part.name}.npy", mmap_mode="r", allow_pickle=False)
        for part in fields(Values)
    )
    return Values(*parts)


class Truth:
    """Rows of one block of accounts."""

    def __init__(self, market: Market, calendar: Calendar, accounts: Accounts, folder: Path) -> None:
        self._market, self._calendar, self._accounts, self._folder = market, calendar, accounts, folder
        self._region = region(market, accounts) if market.sells else np.zeros(len(accounts), dtype=np.int64)
        self._ids = accounts.ids

    def at(self, as_of: int, belief: Belief, lives: Lives) -> pa.Table:
        """Rows of the midnight that opens day `as_of`, from what was true and seen the evening before.

        Returns:
            SCHEMA, by account and horizon. Scores are null where the account is not at risk.
        """
        there = (lives.stage != NOT_YET) & (lives.closed_at < 0) & ~self._accounts.internal
        who = np.flatnonzero(there & (self._accounts.first_day < as_of))
        rows = [self._rows(as_of, horizon, who, belief, lives) for horizon in HORIZONS]
        order = np.lexsort((np.repeat(HORIZONS, len(who)), np.tile(who, len(HORIZONS))))
        columns = {name: np.concatenate([row[name] for row in rows])[order] for name in rows[0]}
        day = pa.scalar(self._calendar.day(as_of), pa.date32())
        return pa.table(
            {
                "account_id": self._ids.take(pa.array(np.tile(who, len(HORIZONS))[order])),
                "as_of": pa.repeat(day, len(order)),
                "horizon": pa.array(np.repeat(HORIZONS, len(who))[order], pa.int16()),
                **{name: pa.array(values, mask=np.isnan(values)) for name, values in columns.items()},
            },
            schema=SCHEMA,
        )

    def _rows(self, as_of: int, horizon: int, who: Ints, belief: Belief, lives: Lives) -> dict[str, Floats]:
        market = self._market
        values = read_values(as_of, horizon, self._folder)
        rate = lives.rate[who]
        tier = np.searchsorted(market.floors, rate, side="right") - 1
        target = np.minimum(tier + 1, len(market.floors) - 1)
        seen, known, uplift = self._met(as_of, values, who, tier, target, belief, lives)
        off_now = lives.credited(as_of - 1)[who]
        off_later = sum(lives.credited(day)[who] for day in range(as_of, as_of + market.credit_days - 1)) / 30.0
        carried = (rate - off_now) * horizon / 30.0 + off_later
        top, high = tier == len(market.floors) - 1, tier >= market.high_value
        out: dict[str, Floats] = {}
        for prefix, found in (("", seen), ("clairvoyant_", known)):
            out[f"{prefix}expansion"] = np.where(top, np.nan, found[:, 0])
            out[f"{prefix}high_value"] = np.where(high, np.nan, found[:, 1])
            out[f"{prefix}churn"] = found[:, 2]
            out[f"{prefix}increment"] = found[:, 3] - carried
        out["uplift"] = uplift
        return out

    def _met(
        self, as_of: int, values: Values, who: Ints, tier: Ints, target: Ints, belief: Belief, lives: Lives
    ) -> tuple[Floats, Floats, Floats]:
        """(observer, clairvoyant) values of reaching the target, reaching high value, closing, and money, (n, 4) each;
        and the uplift of a contact, null where sales calls nobody."""
        market, accounts = self._market, self._accounts
        left = (market.trial_days[accounts.channel[who]] - (as_of - accounts.first_day[who])).astype(np.int64)
        settling = lives.settling(as_of - 1)[who]
        young = ~settling & (left >= LEFTS[0])
        lane = (self._region[who], lives.assisted[who] * market.sells, lives.looked[who] * market.sells)
        seen, known = np.full((len(who), 4), np.nan), np.full((len(who), 4), np.nan)
        uplift = np.full(len(who), np.nan)
        keys = np.stack([settling, young, np.where(young, left - LEFTS[0], tier), *lane])
        keys[:, settling] = np.stack([np.ones(settling.sum()), *[np.zeros(settling.sum())] * 5])
        for key in np.unique(keys, axis=1).T:
            group = np.flatnonzero((keys == key[:, None]).all(axis=0))
            if key[0]:
                for one in group:
                    seen[one], known[one] = self._settling(as_of, values, who[one], target[one], belief, lives)
                continue
            place = values.young if key[1] else values.free
            table = np.asarray(place[:, key[2], key[3], key[4], key[5]])
            pair = self._look_up(table, bool(key[1]), who[group], target[group], belief, lives)
            seen[group], known[group] = pair
            if market.sells and (key[1] or key[2] < len(market.floors) - 1):
                gains = values.young_gain[0] if key[1] else values.free_gain[key[2]]
                gain = np.asarray(gains[key[2], key[3], key[4], key[5]])
                uplift[group] = belief.weight[who[group]].reshape(len(group), -1) @ gain.reshape(-1)
        return seen, known, uplift

    def _look_up(
        self, table: Floats, young: bool, who: Ints, target: Ints, belief: Belief, lives: Lives
    ) -> tuple[Floats, Floats]:
        """`table`: quantities by (type, size, stage), the same for all of `who`."""
        whole = np.zeros((QUANTITIES, *table.shape[1:]))
        whole[list(YOUNG) if young else slice(None)] = table
        flat = whole.reshape(len(whole), -1)
        weight = belief.weight[who].reshape(len(who), -1)
        state = (self._accounts.type[who], self._accounts.size[who], lives.stage[who])
        yearly = self._yearly(who, lives)
        return (
            _scores(weight @ flat.T, target, lives.rate[who], yearly, self._market.high_value),
            _scores(whole[:, *state].T, target, lives.rate[who], yearly, self._market.high_value),
        )

    def _settling(
        self, as_of: int, values: Values, account: int, target: int, belief: Belief, lives: Lives
    ) -> tuple[Floats, Floats]:
        """One account that settles: its last step may still be taken back."""
        market = self._market
        stepped, rate, before = int(lives.stepped_on[account]), lives.rate[account], lives.before[account]
        elapsed, days = as_of - stepped, stepped + SETTLING - as_of
        back = int(lives.back_on[account])
        ends = np.arange(max(REVOKED[0], elapsed), REVOKED[1] + 1)
        still = len(ends) / (REVOKED[1] - REVOKED[0] + 1)
        chance = market.revoked * still / (market.revoked * still + 1.0 - market.revoked)
        if 0 <= back < as_of:
            chance = 0.0
        paid = float(ends.mean()) - elapsed if len(ends) else 0.0
        table = np.asarray(values.settled[days, :, :, self._region[account]])
        who, at = np.array([account]), np.array([target])
        futures = [(1.0 - chance, rate, days * rate), (chance, before, paid * rate + (days - paid) * before)]
        seen, known = np.zeros(4), np.zeros(4)
        for share, price, money in futures:
            if share == 0.0:
                continue
            tier = int(np.searchsorted(market.floors, price, side="right")) - 1
            state = (self._accounts.type[account], self._accounts.size[account], lives.stage[account])
            flat = table[:, tier].reshape(len(table), -1)
            found = np.stack([belief.weight[account].reshape(-1) @ flat.T, table[:, tier, *state]])
            pair = _scores(found, np.repeat(at, 2), np.repeat(price, 2), self._yearly(who, lives), market.high_value)
            pair[:, 3] += money / 30.0
            seen, known = seen + share * pair[0], known + share * pair[1]
        return seen, known

    def _yearly(self, who: Ints, lives: Lives) -> Floats:
        """Chance of being billed by the year, as known: the first invoice from tier 2 on shows it."""
        prior = np.full(len(who), self._market.annual)
        chance: Floats = np.where(lives.billed[who], self._accounts.yearly[who], prior)
        return chance


def _scores(found: Floats, target: Ints, rate: Floats, yearly: Floats, high: int) -> Floats:
    """The four scores from the sixteen quantities (n, 16)."""
    n = np.arange(len(found))
    closing = [found[n, close(1, way) + 2 * (target - 1)] for way in range(2)]
    money = [found[:, fixed(way)] + found[:, per_rate(way)] * rate for way in range(2)]
    return np.stack(
        [
            found[n, reach(1) + target - 1],
            found[:, reach(high)],
            (1.0 - yearly) * closing[0] + yearly * closing[1],
            (1.0 - yearly) * money[0] + yearly * money[1],
        ],
        axis=1,
    )
