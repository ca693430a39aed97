"""Each fault of events hits what it says, as often as it says, and nothing else; all together add up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from simulator.faults import FAULTY, RENAMES, Faults, Lots
from simulator.spoiling import Spoiler
from tests.simulator.spoilt_vendor import (
    ACCOUNTS,
    DAYS,
    DRIVEN,
    END,
    HOUR,
    SEED,
    START,
    TABLES,
    Vendor,
    alone,
    as_often_as,
    clean,
    differ,
    events_beside,
    spoil,
    spoiler,
    together,
    users_hit,
    values,
)
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace, write_table

CLEAN_ID = len("r-0000")  # faults add to ids
EVERYWHERE = {"accounts", "events", "revenue", "account_users"}
HITS = {  # which tables a fault changes; the others: events
    **{fault: EVERYWHERE for fault in ("merged", "split")},
    **{fault: {"revenue"} for fault in ("currency", "backdated", "corrected")},
    "unflagged": {"accounts"},
}
COLUMN = {  # the only one that a fault changes in the rows of events
    **dict.fromkeys(("skewed", "future", "zone"), "occurred_at"),
    **dict.fromkeys(("merged", "split"), "account_id"),
    "renamed": "event_name",
    "id_reuse": "event_id",
}


def test_with_every_fault_off_the_very_tables_come_back() -> None:
    vendor, worker = spoil(Faults())
    assert all(vendor.tables[name] is clean().tables[name] for name in TABLES)
    assert all(after is before for after, before in zip(vendor.days, clean().days, strict=True))
    assert not worker.counts


def test_every_fault_is_on_in_the_faulty_world() -> None:
    assert all(getattr(FAULTY, name) > 0 for name in Faults.model_fields)


@pytest.mark.parametrize("fault", Faults.model_fields)
def test_a_fault_changes_its_tables_and_no_other(fault: str) -> None:
    vendor, worker = alone(fault)
    changed = {name for name in TABLES if not vendor.tables[name].equals(clean().tables[name])}
    changed |= {"events"} if any(a is not b for a, b in zip(vendor.days, clean().days, strict=True)) else set()
    assert changed == HITS.get(fault, {"events"})
    assert {key.split(".")[0] for key in worker.counts} == changed


@pytest.mark.parametrize(("fault", "column"), COLUMN.items())
def test_in_the_rows_of_events_one_column_is_changed(fault: str, column: str) -> None:
    before, after, _ = events_beside(fault)
    assert after.drop_columns(column).equals(before.drop_columns(column))
    assert alone(fault)[1].counts[f"events.{fault}"] == differ(before, after, column).sum() > 0


def test_days_give_the_same_bytes_in_any_order_and_the_counts_of_workers_add_up() -> None:
    vendor, whole = together()
    early, late = spoiler(DRIVEN), spoiler(DRIVEN)
    for day in reversed(range(DAYS)):
        worker, given = early if day < 80 else late, clean().days[day]
        assert given is not None
        in_pieces = pa.concat_tables([given.slice(0, 9), given.slice(9)])
        again, table = worker.events(day, in_pieces), vendor.days[day]
        assert again is table is None or again.equals(table)
    both = early.counts + late.counts
    assert both == {key: count for key, count in whole.counts.items() if key.startswith("events.")}


def test_what_one_fault_hits_does_not_depend_on_the_others() -> None:
    few = ("skewed", "future", "zone", "renamed", "id_reuse")
    all_on = spoil(Faults(**{fault: getattr(DRIVEN, fault) for fault in few}))[0].events
    before = values(clean().events, "occurred_at")
    shifts = [values(alone(fault)[0].events, "occurred_at") - before for fault in few[:3]]
    assert (values(all_on, "occurred_at") - before == sum(shifts[1:], shifts[0])).all()
    assert all_on["event_name"].equals(alone("renamed")[0].events["event_name"])
    assert all_on["event_id"].equals(alone("id_reuse")[0].events["event_id"])
    accounts = together()[0].tables["accounts"]
    assert accounts["closed_at"][:ACCOUNTS].equals(alone("merged")[0].tables["accounts"]["closed_at"])
    assert accounts["account_id"].equals(alone("split")[0].tables["accounts"]["account_id"])
    assert accounts["is_internal"][:ACCOUNTS].equals(alone("unflagged")[0].tables["accounts"]["is_internal"])
    both, one = (vendor.tables["revenue"].to_pylist() for vendor in (together()[0], alone("currency")[0]))
    euros = [{row["revenue_id"][:CLEAN_ID] for row in rows if row["currency"] == "EUR"} for rows in (both, one)]
    assert euros[0] == euros[1] & {row["revenue_id"][:CLEAN_ID] for row in both}


def test_faults_of_one_day_hit_events_independently_and_otherwise_with_another_seed() -> None:
    def stamped(fault: str, column: str, seed: int = SEED) -> set[str]:
        worker = Spoiler(Faults(**{fault: 0.3}), clean().tables["accounts"], START, DAYS, seed)
        day = clean().days[100]
        after = worker.events(100, day)
        assert day is not None
        assert after is not None
        return set(values(day.filter(pa.array(differ(day, after, column))), "event_id"))

    future = stamped("future", "occurred_at")
    for other in (stamped("late", "received_at"), stamped("future", "occurred_at", SEED + 1)):
        assert as_often_as(0.3, len(other & future), len(future))
    accounts, revenue = clean().tables["accounts"], clean().tables["revenue"]
    for fault in HITS.keys() - {"unflagged"}:
        one, two = (Spoiler(Faults(**{fault: 0.1}), accounts, START, DAYS, seed).revenue(revenue) for seed in (1, 2))
        assert not one.equals(two), fault


def test_with_all_faults_on_columns_keep_their_types_and_rows_add_up() -> None:
    vendor, worker = together()
    for name in TABLES:
        assert vendor.tables[name].schema == clean().tables[name].schema
    renamed = 15  # days
    events = [day for day in vendor.days[:-renamed] if day is not None]
    assert all(day.schema == clean().events.schema for day in events)
    rows = sum(day.num_rows for day in vendor.days if day is not None)
    counts = worker.counts
    lost = counts["events.missing_days"] + counts["events.not_there_yet"]
    assert rows == clean().events.num_rows + counts["events.duplicates"] - lost
    added = 2 * counts["revenue.corrected"] + counts["revenue.split"] - counts["revenue.not_there_yet"]
    assert vendor.tables["revenue"].num_rows == clean().tables["revenue"].num_rows + added
    assert vendor.tables["accounts"].num_rows == ACCOUNTS + counts["accounts.split"]


def test_late_events_come_in_two_to_ten_days_later_if_there_was_time() -> None:
    vendor, worker = alone("late")
    before, after = clean().events, vendor.events
    kept = pc.is_in(before["event_id"], value_set=after["event_id"].combine_chunks()).to_numpy()
    there = before.filter(pa.array(kept))
    assert there.drop_columns("received_at").equals(after.drop_columns("received_at"))
    late = differ(there, after, "received_at")
    delay = (values(after, "received_at") - values(after, "occurred_at"))[late]
    assert delay.min() >= 48 * HOUR
    assert 239 * HOUR < delay.max() < 240 * HOUR
    assert (values(after, "received_at")[late] < END).all()
    lost = values(before, "occurred_at")[~kept]
    assert len(lost) == worker.counts["events.not_there_yet"] > 0
    assert (lost + 240 * HOUR > END).all()
    assert worker.counts["events.late"] == late.sum() + len(lost)
    assert as_often_as(0.1, late.sum() + len(lost), before.num_rows)


def test_a_duplicate_is_a_whole_copy_at_the_end_of_its_file() -> None:
    vendor, worker = alone("duplicates")
    for before, after in zip(clean().days, vendor.days, strict=True):
        assert before is not None
        assert after is not None
        assert after.slice(0, before.num_rows).equals(before)
        copies = after.slice(before.num_rows)
        twice = pc.is_in(before["event_id"], value_set=copies["event_id"].combine_chunks())
        assert before.filter(twice).equals(copies)
    assert as_often_as(0.1, worker.counts["events.duplicates"], clean().events.num_rows)


def test_a_skewed_device_is_always_off_by_the_same_up_to_26_hours() -> None:
    before, after, _ = events_beside("skewed")
    off = values(after, "occurred_at") - values(before, "occurred_at")
    hit, others = users_hit(before, off != np.timedelta64(0))
    assert not hit & others
    assert as_often_as(0.1, len(hit), len(hit | others))
    offsets = set(zip(before["user_id"].to_pylist(), off.astype(np.int64).tolist(), strict=True))
    assert len(offsets) == len({user for user, _ in offsets})
    assert (None, 0) in offsets  # machines have no such clock
    assert -26 * HOUR <= off.min() < -24 * HOUR
    assert 24 * HOUR < off.max() <= 26 * HOUR


def test_a_future_stamp_is_ten_to_twenty_years_ahead() -> None:
    before, after, _ = events_beside("future")
    ahead = values(after, "occurred_at") - values(before, "occurred_at")
    hit = ahead != np.timedelta64(0)
    assert as_often_as(0.1, hit.sum(), len(hit))
    years = ahead[hit] / np.timedelta64(365, "D")
    assert 10 <= years.min() < 10.1
    assert 19.9 < years.max() < 20


@pytest.mark.parametrize(("fault", "column"), [("zone", "occurred_at"), ("renamed", "event_name")])
def test_from_one_day_on_a_share_of_users_writes_otherwise(fault: str, column: str) -> None:
    before, after, day = events_beside(fault)
    could = pc.is_in(before["event_name"], value_set=pa.array(list(RENAMES))).to_numpy() | (fault == "zone")
    hit = differ(before, after, column)
    turn = day[hit].min()
    assert DAYS // 4 <= turn <= 3 * DAYS // 4
    later = could & (day >= turn)
    some, others = users_hit(before.filter(pa.array(later)), hit[later])
    assert not some & others
    assert as_often_as(0.1, len(some), len(some | others))
    if fault == "zone":
        assert set(values(after, column)[hit] - values(before, column)[hit]) == {HOUR}
    else:
        pairs = set(zip(values(before, column)[hit], values(after, column)[hit], strict=True))
        assert pairs == set(RENAMES.items())


def test_a_reused_id_is_that_of_another_event_of_the_day() -> None:
    before, after, day = events_beside("id_reuse")
    hit = differ(before, after, "event_id")
    assert as_often_as(0.1, hit.sum(), len(hit))
    own = list(zip(day, values(after, "event_id"), strict=True))
    keepers = {own[row] for row in np.flatnonzero(~hit)}
    assert all(own[row] in keepers for row in np.flatnonzero(hit))


def test_missing_days_leave_no_file_and_the_others_whole() -> None:
    vendor, worker = alone("missing_days")
    gone = [before.num_rows for before, after in zip(clean().days, vendor.days, strict=True) if after is None]
    assert len(gone) == 3
    assert sum(gone) == worker.counts["events.missing_days"]


def test_after_the_schema_change_one_column_has_another_name() -> None:
    vendor, _ = alone("schema_change")
    for day, (before, after) in enumerate(zip(clean().days, vendor.days, strict=True)):
        assert before is not None
        names = {"received_at": "ingested_at"} if day >= DAYS - 15 else {}
        assert after is not None
        assert after.equals(before.rename_columns([names.get(name, name) for name in before.column_names]))


def test_lots_are_even_their_own_for_each_fault_and_never_drawn_by_machines() -> None:
    ids = pa.chunked_array([pa.array([f"u-{i:08d}" for i in range(20_000)]), pa.array([None, "ü"])])
    one, other = (Lots(ids).of(SEED, fault) for fault in ("skewed", "zone"))
    assert one[20_000] == 1.0
    assert np.abs(np.sort(one[:20_000]) - np.linspace(0, 1, 20_000)).max() < 0.015  # Kolmogorov-Smirnov
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    assert (Lots(ids.slice(7, 9)).of(SEED, "zone") == other[7:16]).all()


def written(vendor: Vendor, folder: Path) -> Path:
    for name, table in vendor.tables.items():
        write_table(table, folder / f"{name}.parquet")
    for column in ("received_at", "ingested_at"):
        days = [day for day in vendor.days if day is not None and column in day.column_names]
        if days:
            write_table(pa.concat_tables(days), folder / "events" / f"{column}.parquet")
    return folder


@pytest.mark.parametrize("fault", Faults.model_fields)
def test_the_rules_of_ingest_find_the_faults_that_leave_a_trace_in_a_row(fault: str, tmp_path: Path) -> None:
    vendor, worker = alone(fault)
    params, now = IngestParams(max_bad_ratio=1.0), datetime(2026, 1, 1, tzinfo=UTC)
    found = ingest(written(vendor, tmp_path / "raw"), Workspace(tmp_path / "w"), params, now, stop=False)
    aside = {name: found.quarantined(name) for name in (*TABLES, "events") if found.quarantined(name)}
    if fault == "skewed":
        assert set(aside) == {"events"}
        assert set(aside["events"]) == {"before_signup"}
        return
    counts = worker.counts
    if fault == "corrected":  # half of the cancellations are credits, the others invoices below zero
        assert set(aside) == {"revenue"}
        assert set(aside["revenue"]) == {"wrong_sign"}
        assert 0.4 < aside["revenue"]["wrong_sign"] / counts["revenue.corrected"] < 0.6
        return
    expected = {
        "future": {"events": {"future": counts["events.future"]}},
        "id_reuse": {"events": {"conflicting_duplicate": counts["events.id_reuse"]}},
        "currency": {"revenue": {"mixed_currency": counts["revenue.currency"]}},
    }
    assert aside == expected.get(fault, {})
    assert found.duplicate("events") == counts["events.duplicates"]
    assert found.extra_columns == ({"events": ["ingested_at"]} if fault == "schema_change" else {})
