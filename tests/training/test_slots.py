"""Who was in which arm, and what became of them, by hand; and a planted vendor whose sales call growers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tests.features.histories import DAY, DEFINITIONS, History, Row, account, at, invoice, warehouse
from training.lots import Arms
from training.slots import BOTH, LATER, TOO_SOON, Slots, slots_of
from training.uplift import MORE, NOT_ESTIMABLE, Assumed, read_out
from warehouse.periods import LabelParams
from warehouse.raw import HELD_OUT, RANDOM

LABELS = LabelParams()
UNTIL = date(2025, 1, 1)
ASSUMED = Assumed(uplift=0.1, share=0.5)
SLOT = date(2024, 3, 4)


def touch(account_id: str, moment: str | datetime | date, kind: str | None) -> Row:
    return {"account_id": account_id, "occurred_at": at(moment), "kind": kind}


@contextmanager
def vendor(
    accounts: Sequence[Row], revenue: Sequence[Row], touches: Sequence[Row]
) -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse(History(accounts, (), revenue)) as con:
        columns = {name: [row[name] for row in touches] for name in ("account_id", "occurred_at", "kind")}
        types = (pa.string(), pa.timestamp("us"), pa.string())
        given = pa.table({n: pa.array(values, t) for (n, values), t in zip(columns.items(), types, strict=True)})
        con.register("given", given)
        con.execute("CREATE TABLE touches AS SELECT * FROM given")
        yield con


def slots(accounts: Sequence[Row], revenue: Sequence[Row], touches: Sequence[Row], until: date = UNTIL) -> Slots:
    with vendor(accounts, revenue, touches) as con:
        return slots_of(con, DEFINITIONS, LABELS, until)


def buys(account_id: str, day: date, booked: date | None = None) -> Row:
    """60 per 30 days for 60 days: from the trial onto the first paid tier, and held."""
    start = at(day) + timedelta(hours=9)
    return invoice(booked or start, 120, account_id, period_start=start, period_end=at(day + 60 * DAY))


OUTCOMES: dict[str, tuple[date | None, date | None, float]] = {  # day of the move, day on which it is booked, moved
    "on the day, as of whose opening midnight nothing had happened": (SLOT, None, 1.0),
    "on the last day": (SLOT + 89 * DAY, None, 1.0),
    "on the day after it": (SLOT + 90 * DAY, None, 0.0),
    "the day before, known by then, so the next tier would be the move": (SLOT - DAY, None, 0.0),
    "the day before, told later, so nobody was there to be moved": (SLOT - DAY, SLOT + 5 * DAY, np.nan),
    "never": (None, None, 0.0),
}


def test_a_slot_has_the_outcome_of_a_snapshot_of_its_day() -> None:
    """All through one warehouse, so that none can disturb another."""
    revenue = [buys(name, move, booked) for name, (move, booked, _) in OUTCOMES.items() if move is not None]
    touches = [touch(name, "2024-03-04 15:00", RANDOM) for name in OUTCOMES]
    found = slots([account(name) for name in OUTCOMES], revenue, touches)
    assert set(found.books["as_of"].to_pylist()) == {SLOT}
    said = dict(zip(found.books["account_id"].to_pylist(), found.data.outcome("expansion", 90).tolist(), strict=True))
    assert {name: said[name] for name in OUTCOMES} == pytest.approx(
        {name: moved for name, (*_, moved) in OUTCOMES.items()}, nan_ok=True
    )


def test_every_slot_counts_once_or_has_a_reason() -> None:
    accounts = [
        account("twice"),
        account("both"),
        account("new", "2024-03-04 08:00"),
        account("closed", closed_at=at("2024-01-01")),
        account("ours") | {"is_internal": True},
        account("recent"),
        account("chosen"),
    ]
    touches = [
        touch("twice", "2024-03-04 23:59", HELD_OUT),
        touch("twice", "2024-03-04 10:00", HELD_OUT),
        touch("twice", "2024-05-01", RANDOM),
        touch("both", SLOT, RANDOM),
        touch("both", SLOT, HELD_OUT),
        touch("new", "2024-03-04 09:00", RANDOM),
        touch("closed", SLOT, RANDOM),
        touch("ours", SLOT, RANDOM),
        touch("recent", UNTIL + 3 * DAY, RANDOM),  # after the end of what is known
        touch("chosen", SLOT, "contacted"),
        touch("chosen", "2024-03-05", None),
    ]
    found = slots(accounts, [invoice("2024-02-01", 10, "chosen")], touches)
    assert found.books.select(["account_id", "as_of", "arm"]).to_pylist() == [
        {"account_id": "recent", "as_of": UNTIL + 3 * DAY, "arm": RANDOM},
        {"account_id": "twice", "as_of": SLOT, "arm": HELD_OUT},
    ]
    assert found.left_out == {LATER: 1, BOTH: 1, TOO_SOON: 1, "closed": 1, "internal": 1}
    assert found.touches == {"contacted": 2, RANDOM: 6, HELD_OUT: 2}
    assert found.not_at_risk(180) == ({}, 1)
    told = read_out(found, ASSUMED, "USD", None, 50, 5)
    assert told["horizons"][-1]["waiting"] == 1
    assert "1 more are not complete yet: wait 180 days" in told["sentence"]
    assert found.books.equals(slots(accounts[::-1], [invoice("2024-02-01", 10, "chosen")], touches[::-1]).books)


def test_run_rate_and_tier_are_those_known_before_the_day() -> None:
    """What is booked on the day is not, though the outcome begins with that day."""
    year = invoice("2024-01-01", 730, "a1", period_start="2024-01-01", period_end="2024-12-31")
    found = slots([account("a1")], [year, buys("a1", SLOT)], [touch("a1", "2024-03-04 15:00", RANDOM)])
    [row] = found.books.to_pylist()
    assert (row["tier"], row["run_rate"]) == (1, pytest.approx(60))
    assert row["tenure_days"] == (SLOT - date(2023, 1, 1)).days


def planted(seed: int, factor: float, count: int = 6000) -> tuple[list[Row], list[Row], list[Row], dict[str, float]]:
    """Half of the accounts are drawn, half of these contacted. Of the others sales contact eight growers in ten and one
    in twenty of the rest. A grower moves within 180 days with a chance of .2, another account with .04; a contact
    multiplies that by `factor`. Three in ten pay already. `naive`: share that moved of those whom sales chose, less
    that of those nobody decided about; `planted`: what a contact adds."""
    rng = np.random.default_rng(seed)
    grower, drawn, lot, pays = rng.random((4, count)) < np.array([[0.2], [0.5], [0.5], [0.3]])
    chosen = ~drawn & (rng.random(count) < np.where(grower, 0.8, 0.05))
    called = np.where(drawn, lot, chosen)
    chance = np.where(grower, 0.2, 0.04)
    moved = rng.random(count) < chance * np.where(called, factor, 1.0)
    accounts, revenue, touches = [], [], []
    for n in range(count):
        name, day = f"a{n:04}", SLOT + int(rng.integers(0, 60)) * DAY
        accounts.append(account(name, "2023-06-01"))
        if pays[n]:
            revenue.append(invoice("2023-06-01", 60 * 24, name, period_start="2023-06-01", period_end="2025-05-21"))
        if moved[n]:
            when = at(day + int(rng.integers(0, 180)) * DAY)
            revenue.append(invoice(when, 400, name, period_start=when, period_end=when + 90 * DAY))
        kind = (RANDOM if lot[n] else HELD_OUT) if drawn[n] else "contacted"
        if drawn[n] or chosen[n]:
            touches.append(touch(name, at(day) + timedelta(hours=10), kind))
    left = ~drawn & ~chosen
    truth = {"naive": moved[chosen].mean() - moved[left].mean(), "planted": (factor - 1) * chance.mean()}
    return accounts, revenue, touches, truth


def test_the_lot_finds_what_was_planted_where_whom_sales_choose_would_mislead() -> None:
    *rows, truth = planted(seed=3, factor=2.0)
    found = read_out(slots(*rows), ASSUMED, "USD", None, 200, 5)["horizons"][-1]
    low, high = found["difference_ci"]
    assert low < truth["planted"] < high
    assert truth["naive"] > high + 0.1
    assert found["verdict"] == MORE
    low, high = found["relative_ci"]
    assert low < 1.0 < high
    low, high = found["gain_difference_ci"]
    assert 0 < low < found["gain_difference"] < high


def test_a_lot_that_favours_the_large_is_refused() -> None:
    accounts, revenue, touches, _ = planted(seed=4, factor=1.0, count=1500)
    large = {row["account_id"] for row in revenue if row["booked_at"] < at(SLOT)}
    rigged = [
        row | {"kind": RANDOM if row["account_id"] in large or number % 2 else HELD_OUT}
        for number, row in enumerate(touches)
        if row["kind"] != "contacted"
    ]
    found = read_out(slots(accounts, revenue, rigged), Assumed(0.1, _share(rigged)), "USD", None, 50, 5)
    assert {at["verdict"] for at in found["horizons"]} == {NOT_ESTIMABLE}
    assert "run-rate" in found["sentence"]
    assert "difference" not in found["horizons"][-1]


def _share(touches: Sequence[Row]) -> float:
    return float(np.mean([row["kind"] == RANDOM for row in touches]))


def test_an_account_enters_once_and_in_the_arm_of_its_first_slot() -> None:
    accounts, revenue, touches, _ = planted(seed=5, factor=1.0, count=600)
    again = [row | {"occurred_at": row["occurred_at"] + 30 * DAY, "kind": RANDOM} for row in touches]
    once, twice = (Arms.of(slots(accounts, revenue, rows), 180) for rows in (touches, [*again, *touches]))
    drawn = [row for row in touches if row["kind"] != "contacted"]
    assert len(once.moved) == len(drawn)
    fewer = slots(accounts, revenue, [*again, *touches]).books
    first = {row["account_id"]: row["kind"] for row in drawn}
    assert all(first.get(row["account_id"], RANDOM) == row["arm"] for row in fewer.to_pylist())
    assert len(twice.moved) == len({row["account_id"] for row in touches})
