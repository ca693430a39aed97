"""The catalogue of spoilt input, F16 to F19: what is wrong with whole tables, their accounts and their columns.

The table of the catalogue is docs/input-faults.md; `Live` is in spoilt_files.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import account, event
from tests.warehouse.spoilt_files import (
    EVENTS,
    Live,
    delivery,
    events_file,
    good,
    lines,
    with_events,
)
from warehouse.ingest import IngestParams

# F16: too little of something


def test_F16_no_account_refuses_the_delivery_in_one_message(tmp_path: Path, live: Live) -> None:
    live.stops(delivery(tmp_path / "raw", accounts=[]), "accounts", "no account", "no_accounts")


def test_F16_one_account_is_enough_and_accounts_may_be_silent(tmp_path: Path, live: Live) -> None:
    one = {table: [row for row in rows if row["account_id"] == "a1"] for table, rows in good().items()}
    assert live.takes(delivery(tmp_path / "one", **one), IngestParams()).counts["accounts"] == 1
    silent = delivery(tmp_path / "silent", accounts=[*good()["accounts"], *(account(f"s{n}") for n in range(50))])
    assert live.takes(silent, IngestParams()).counts["accounts"] == 52


def test_F16_no_event_is_a_broken_feed_unless_the_params_say_otherwise(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw", events=[])
    live.stops(raw, "events.csv: 0 rows of events are left of 0 (rule no_rows)", "ingest.never_empty")
    assert live.takes(raw, IngestParams(never_empty=("revenue",))).counts["events"] == 0


@pytest.mark.parametrize(("share", "stops"), [(0.01, False), (0.5, True)], ids=["F16-unknown-1%", "F16-unknown-50%"])
def test_events_of_unknown_accounts_are_counted_and_more_than_two_in_a_hundred_stop(
    share: float, stops: bool, tmp_path: Path, live: Live
) -> None:
    body, ghosts = lines(2_000), int(2_000 * share)
    for n in range(ghosts):
        body[n * (2_000 // ghosts)] = body[n * (2_000 // ghosts)].replace("a1", "ghost", 1)
    raw = with_events(tmp_path / "raw", "\n".join([EVENTS, *body]) + "\n")
    if stops:
        live.stops(raw, 'column "account_id"', f"{ghosts:,} of 2,000 rows name no accepted account", "unknown_account",
                   "ingest.max_ratio.unknown_account to change the 2 % limit")  # fmt: skip
    else:
        live.takes(raw, IngestParams())
    assert live.booked().quarantined("events") == {"unknown_account": ghosts}


# F17, F18: learning (tests/training); what of it can be stopped at the door


def test_F17_a_column_given_twice_is_refused(tmp_path: Path, live: Live) -> None:
    raw = with_events(tmp_path / "raw", f"{EVENTS},Event_Name\na1,seen,2024-02-01,x\n")
    live.stops(raw, "events.csv: column Event_Name, event_name is in the header more than once")


def test_F18_a_column_that_gives_the_outcome_away_never_enters(tmp_path: Path, live: Live) -> None:
    leaky = [row | {"will_expand": 1} for row in good()["accounts"]]
    assert live.takes(delivery(tmp_path / "raw", accounts=leaky)).extra_columns == {"accounts": ["will_expand"]}
    assert "will_expand" not in pq.read_schema(live.workspace.warehouse / "accounts/all.parquet").names


# F19: drift of the schema


def test_F19_a_new_column_is_ignored_and_named_once(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw")
    (raw / "events.csv").unlink()
    for n, row in enumerate(good()["events"]):
        events_file(raw / f"events/{n}.csv", [row | {"colour": "red"}])
    accounting = live.takes(raw, IngestParams())
    assert sum("colour" in line for line in accounting.lines()) == 1


def test_F19_an_optional_column_that_is_gone_takes_its_default(tmp_path: Path, live: Live) -> None:
    bare = [{name: row[name] for name in EVENTS.split(",")} for row in good()["events"]]
    live.takes(delivery(tmp_path / "raw", events=bare), IngestParams())
    assert [(row["quantity"], row["event_id"]) for row in live.rows("events")] == [(1, None)] * 2


def test_F19_ids_are_text_for_ever_with_their_zeros(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw", accounts=[*good()["accounts"], account("007"), account("7")])
    (raw / "events.csv").unlink()
    events_file(raw / "events/1.csv", [event("007"), event("7"), event("a1")])
    (raw / "events/2.parquet").parent.mkdir(exist_ok=True)
    numbers = {"account_id": pa.array([7, 7]), "event_name": ["x", "y"], "occurred_at": ["2024-02-01"] * 2}
    pq.write_table(pa.table(numbers), raw / "events/2.parquet")  # the same column, once text and once a number
    live.takes(raw, IngestParams())
    assert Counter(row["account_id"] for row in live.rows("events")) == {"007": 1, "7": 3, "a1": 1}
