"""Spoils raw tables on their way out, as the switches say; the truth stays that of the clean history.

One event through this file: a user of acc-7 builds a report on day 400. acc-7 was merged into acc-3 on day 380, so the
event is acc-3's; the user has the new app, so it is a `report.created`; the user's phone is five hours slow, so it is
stamped five hours early; it comes in six days late, and twice.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from simulator.faults import RENAMES, Bools, Faults, Lots, how_many, put, stream
from simulator.identities import Identities, Moves
from simulator.market import Ints
from simulator.misbilling import Misbilling

DAY = 86_400  # seconds, as all of these
SKEW = 26 * 3_600
ZONE = 3_600
LATE = (2 * DAY, 10 * DAY)
AHEAD = (3_650 * DAY, 7_300 * DAY)
TURNING = ("zone", "renamed")  # faults that begin on one day for all, in the middle half of the simulation


class Spoiler:
    """Spoils the tables of one simulation: `days` days from `start`, with these (clean) `accounts`.

    With every switch off each table comes back as the very object that went in. Each method is a pure function of the
    seed and its arguments, but for `counts`: rows changed, added or removed so far, by `table.switch`.
    `events.not_there_yet` are rows removed by `late`, `revenue.not_there_yet` by `backdated` or `corrected`. The
    counts of spoilers that shared the days between them add up.
    """

    def __init__(self, faults: Faults, accounts: pa.Table, start: date, days: int, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._faults, self._seed = faults, seed
        self._end = np.datetime64(start, "us") + np.timedelta64(days, "D")
        self._identities = Identities(faults, accounts, start, days, seed)
        missing = stream(seed, "missing_days").permutation(days)[: how_many(faults.missing_days, days)]
        self._missing = frozenset(missing.tolist())
        self._from = {fault: int(stream(seed, fault).integers(days // 4, 3 * days // 4 + 1)) for fault in TURNING}
        self._from["schema_change"] = days - how_many(faults.schema_change, days)

    def accounts(self, table: pa.Table) -> pa.Table:
        """The accounts as they stand at the end; those made by a split come last."""
        merged, split, unflagged = self._identities.merged, self._identities.split, self._identities.unflagged
        spoiled = table
        if len(merged.source):
            found = merged.find(table["account_id"])
            self._count("accounts.merged", found >= 0)
            spoiled = put(spoiled, "closed_at", _where(found >= 0, merged.moment(found), table["closed_at"]))
        if len(unflagged):
            own = pc.is_in(table["account_id"], value_set=unflagged).to_numpy()
            self._count("accounts.unflagged", own)
            spoiled = put(spoiled, "is_internal", pc.if_else(pa.array(own), None, table["is_internal"]))
        if len(split.source):
            found = split.find(table["account_id"])
            self._count("accounts.split", found >= 0)
            new, found = table.filter(pa.array(found >= 0)), found[found >= 0]
            new = put(new, "account_id", split.target.take(pa.array(found)))
            spoiled = pa.concat_tables([spoiled, put(new, "created_at", pa.array(split.moment(found)))])
        return spoiled

    def account_users(self, table: pa.Table) -> pa.Table:
        """The stays of users; the second part of a stay that a merger or split cuts in two comes last."""
        split, merged = self._identities.split, self._identities.merged
        if len(split.source):
            table = self._moved_stays("split", table, split, self._leavers(Lots(table["user_id"])))
        if len(merged.source):
            table = self._moved_stays("merged", table, merged, np.ones(table.num_rows, dtype=bool))
        return table

    def revenue(self, table: pa.Table) -> pa.Table:
        """What was booked by the end of the simulation; rows that a fault adds come last."""
        billing = Misbilling(self._faults, self._identities, self._end, self._seed)
        spoiled = billing.spoiled(table)
        self.counts += billing.counts
        return spoiled

    def events(self, day: int, table: pa.Table) -> pa.Table | None:
        """The file of day `day` (days since the start), made of the clean events of that day; None: there is none."""
        if day in self._missing:
            self.counts["events.missing_days"] += table.num_rows
            return None
        users = Lots(table["user_id"])
        spoiled = self._by_account(day, table, users)
        spoiled = self._named(day, spoiled, users)
        spoiled = self._numbered(day, spoiled)
        spoiled = self._stamped(day, spoiled, users)
        spoiled = self._delivered(day, spoiled, table["occurred_at"])
        if day >= self._from["schema_change"]:
            self.counts["events.schema_change"] += spoiled.num_rows
            names = ["ingested_at" if name == "received_at" else name for name in spoiled.column_names]
            spoiled = spoiled.rename_columns(names)
        return spoiled

    def _leavers(self, users: Lots) -> Bools:
        """The users who go to the new account when theirs is split."""
        return users.of(self._seed, "leavers") < 0.5

    def _moved_stays(self, fault: str, table: pa.Table, moves: Moves, movers: Bools) -> pa.Table:
        ids = table["account_id"]
        found = moves.find(ids)
        moment, begins, ends = moves.moment(found), table["valid_from"].to_numpy(), table["valid_to"].to_numpy()
        movers = movers & (found >= 0)
        after = movers & (begins >= moment)
        cut = movers & (begins < moment) & (np.isnat(ends) | (ends > moment))
        self._count(f"account_users.{fault}", after | cut)
        rest = table.filter(pa.array(cut))
        rest = put(rest, "account_id", moves.target.take(pa.array(found[cut])))
        rest = put(rest, "valid_from", pa.array(moment[cut]))
        table = put(table, "account_id", moves.relabelled(ids, found, after))
        table = put(table, "valid_to", _where(cut, moment, table["valid_to"]))
        return pa.concat_tables([table, rest])

    def _by_account(self, day: int, table: pa.Table, users: Lots) -> pa.Table:
        for fault, moves in (("split", self._identities.split), ("merged", self._identities.merged)):
            moves = moves.until(day)
            if not len(moves.source):
                continue
            ids = table["account_id"]
            found = moves.find(ids)
            hit = found >= 0
            if fault == "split":
                hit &= self._leavers(users)
            self._count(f"events.{fault}", hit)
            table = put(table, "account_id", moves.relabelled(ids, found, hit))
        return table

    def _named(self, day: int, table: pa.Table, users: Lots) -> pa.Table:
        rate = self._faults.renamed
        if not rate or day < self._from["renamed"]:
            return table
        names = table["event_name"].combine_chunks()
        found = pc.index_in(names, value_set=pa.array(list(RENAMES), names.type))
        hit = (users.of(self._seed, "renamed") < rate) & found.is_valid().to_numpy(zero_copy_only=False)
        self._count("events.renamed", hit)
        new = pa.array(list(RENAMES.values()), names.type).take(found.filter(pa.array(hit)))
        return put(table, "event_name", pc.replace_with_mask(names, pa.array(hit), new))

    def _numbered(self, day: int, table: pa.Table) -> pa.Table:
        if not self._faults.id_reuse:
            return table
        rng = stream(self._seed, "id_reuse", day)
        hit = rng.random(table.num_rows) < self._faults.id_reuse
        lenders = np.flatnonzero(~hit)  # who borrows does not lend, else two could swap ids and nobody would see it
        if not len(lenders):
            return table
        self._count("events.id_reuse", hit)
        ids = table["event_id"].combine_chunks()
        borrowed = ids.take(pa.array(rng.choice(lenders, size=int(hit.sum()))))
        return put(table, "event_id", pc.replace_with_mask(ids, pa.array(hit), borrowed))

    def _stamped(self, day: int, table: pa.Table, users: Lots) -> pa.Table:
        """The clock of the device."""
        faults, seed = self._faults, self._seed
        ahead = np.zeros(table.num_rows, dtype=np.int64)
        if faults.skewed:
            lot = users.of(seed, "skewed") / faults.skewed  # uniform in [0, 1) for those that are hit
            off = np.where(lot < 1.0, (2.0 * lot - 1.0) * SKEW, 0.0).astype(np.int64)
            self._count("events.skewed", off != 0)
            ahead += off
        if faults.zone and day >= self._from["zone"]:
            moved = users.of(seed, "zone") < faults.zone
            self._count("events.zone", moved)
            ahead += ZONE * moved
        if faults.future:
            ahead += self._delays("future", day, faults.future, AHEAD, table.num_rows)
        if not ahead.any():
            return table
        return put(table, "occurred_at", pa.array(table["occurred_at"].to_numpy() + _seconds(ahead)))

    def _delivered(self, day: int, table: pa.Table, happened: pa.ChunkedArray) -> pa.Table:
        """The clock of the server, and what it has received by the end; `happened`: the true occurred_at."""
        there = np.ones(table.num_rows, dtype=bool)
        if self._faults.late:
            delay = self._delays("late", day, self._faults.late, LATE, table.num_rows)
            received = happened.to_numpy() + _seconds(delay)
            there = (delay == 0) | (received < self._end)
            self._count("events.not_there_yet", ~there)
            table = put(table, "received_at", _where(delay > 0, received, table["received_at"]))
        if self._faults.duplicates:
            twice = stream(self._seed, "duplicates", day).random(table.num_rows) < self._faults.duplicates
            self._count("events.duplicates", twice & there)
            rows = np.append(np.flatnonzero(there), np.flatnonzero(twice & there))
            return table.take(pa.array(rows))
        return table if there.all() else table.filter(pa.array(there))

    def _delays(self, fault: str, day: int, rate: float, between: tuple[int, int], rows: int) -> Ints:
        """Seconds in [between[0], between[1]) for a `rate` of the rows, 0 for the others."""
        rng = stream(self._seed, fault, day)
        hit = rng.random(rows) < rate
        self._count(f"events.{fault}", hit)
        return np.where(hit, rng.integers(*between, size=rows), 0)

    def _count(self, fault: str, hit: Bools) -> None:
        if hit.any():
            self.counts[fault] += int(hit.sum())


def _seconds(count: Ints) -> NDArray[np.timedelta64]:
    return count.astype("timedelta64[s]")


def _where(hit: Bools, moments: NDArray[np.datetime64], otherwise: pa.ChunkedArray) -> Any:
    return pa.array(np.where(hit, moments, otherwise.to_numpy()))
