"""Files of one table that type a column differently: each is read by its own types, so neighbours change nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.builders import account, write_file, write_raw
from tests.warehouse.test_incremental import same_as_whole
from warehouse.accounting import Accounting
from warehouse.ingest import IngestParams, ingest
from warehouse.params import section
from warehouse.store import Workspace

NOW = datetime(2024, 6, 1, tzinfo=UTC)
NOON = datetime(2024, 2, 1, 12)
LARGE = 1_700_000_000_000_000_001  # a sound id of 64 bits
LENIENT = {"never_empty": (), "max_bad_ratio": 1, "max_ratio": {"unknown_account": 1}}
BERLIN = section({"ingest": LENIENT | {"timezone": "Europe/Berlin"}}, "ingest", IngestParams)


def vendor(folder: Path, *accounts: Any) -> Path:
    """A raw folder without a row of events yet."""
    raw = write_raw(folder / "raw", [account(str(one)) for one in accounts or ("a1",)])
    (raw / "events.csv").unlink()
    (raw / "events").mkdir()
    return raw


def acts(raw: Path, file: str, users: pa.Array, at: pa.Array | None = None, **columns: pa.Array) -> None:
    """A Parquet file of acts of account a1, one a user."""
    n = len(users)
    filled = {"account_id": pa.array(["a1"] * n), "event_name": pa.array(["seen"] * n)}
    clock = {"occurred_at": pa.array([NOON] * n, pa.timestamp("us", "UTC")) if at is None else at}
    pq.write_table(pa.table(filled | clock | {"user_id": users} | columns), raw / "events" / f"{file}.parquet")


def night(raw: Path, workspace: Workspace, **params: Any) -> Accounting:
    return ingest(raw, workspace, section({"ingest": LENIENT | params}, "ingest", IngestParams), NOW)


def column(workspace: Workspace, table: str, name: str) -> list[Any]:
    return sorted(row[name] for row in pq.read_table(workspace.warehouse / table).to_pylist() if row[name] is not None)


@pytest.mark.parametrize("first", ["whole", "float", "text"])
def test_one_user_is_one_user_whatever_type_a_file_gives_his_number(first: str, tmp_path: Path) -> None:
    raw, workspace = vendor(tmp_path), Workspace(tmp_path / "w")
    users = {"whole": pa.array([7, 8]), "float": pa.array([7.0, np.nan]), "text": pa.array(["7", None])}
    stay = {"account_id": "a1", "user_id": "7", "valid_from": "2024-01-02"}
    write_file(raw / "account_users.csv", list(stay), [stay])
    for number, kind in enumerate([first, *(kind for kind in users if kind != first)]):
        # another minute a file, or the same act would be there twice
        at = pa.array([NOON + timedelta(minutes=number)] * 2, pa.timestamp("us", "UTC"))
        acts(raw, f"d{number}", users[kind], at)
        night(raw, workspace)
        same_as_whole(raw, workspace)
    assert len(set(column(workspace, "events", "user_id"))) == 2, "7 and 8"
    assert column(workspace, "account_users", "user_id")[0] in column(workspace, "events", "user_id")
    assert night(raw, workspace).counts["events"] == 6, "who has no number is a machine, and no row is lost"


def test_sound_ids_of_64_bits_survive_a_file_of_floats_beside_them(tmp_path: Path) -> None:
    raw, workspace = vendor(tmp_path), Workspace(tmp_path / "w")
    acts(raw, "a", pa.array(["u"] * 2), event_id=pa.array([LARGE, LARGE + 1]))
    acts(raw, "b", pa.array(["u"]), event_id=pa.array([7.0]))
    accounting = night(raw, workspace)
    assert column(workspace, "events", "event_id") == [str(LARGE), str(LARGE + 1), "7"]
    assert (accounting.duplicate("events"), accounting.quarantined("events")) == (0, {})


@pytest.mark.parametrize("beside", [pa.array(["u1"]), pa.array([1]), None], ids=["text", "integers", "alone"])
def test_a_float_that_may_be_another_id_is_refused_row_by_row(beside: pa.Array | None, tmp_path: Path) -> None:
    raw, workspace = vendor(tmp_path), Workspace(tmp_path / "w")
    acts(raw, "a", pa.array([7.5, float(LARGE), -np.inf, 2.0**53, None, 7.0]))
    if beside is not None:
        acts(raw, "b", beside)
    accounting = night(raw, workspace)
    refused = pq.read_table(workspace.quarantine / "events.parquet").to_pylist()
    assert [(row["line"], row["rule"], row["column"]) for row in refused] == [
        (line, "wrong_type", "user_id") for line in (1, 2, 3)
    ]
    assert accounting.counts["events"] == (3 if beside is None else 4)


def test_an_account_without_a_whole_number_is_refused_and_one_without_any_is_blank(tmp_path: Path) -> None:
    raw, workspace = vendor(tmp_path, 7), Workspace(tmp_path / "w")
    acts(raw, "a", pa.array(["u"] * 3), account_id=pa.array([7.0, 7.5, None]))
    assert night(raw, workspace).quarantined("events") == {"null_key": 1, "wrong_type": 1}
    assert column(workspace, "events", "account_id") == ["7"]


def test_a_naive_file_is_in_the_declared_zone_though_its_neighbour_has_one(tmp_path: Path) -> None:
    raw, workspace = vendor(tmp_path), Workspace(tmp_path / "w")
    acts(raw, "aware", pa.array(["u1"]), pa.array([NOON], pa.timestamp("us", "UTC")))
    acts(raw, "naive", pa.array(["u2"]), pa.array([NOON], pa.timestamp("us")))
    acts(raw, "nanos", pa.array(["u3"]), pa.array([NOON], pa.timestamp("ns")))
    acts(raw, "day", pa.array(["u4"]), pa.array([NOON.date()], pa.date32()))
    night(raw, workspace, timezone="Europe/Berlin")
    assert [at.hour for at in column(workspace, "events", "occurred_at")] == [0, 11, 11, 12]


def test_a_file_that_is_refused_alone_for_its_lack_of_a_zone_is_refused_beside_another_too(tmp_path: Path) -> None:
    raw = vendor(tmp_path)
    acts(raw, "naive", pa.array(["u1"]), pa.array([NOON], pa.timestamp("us")))
    assert night(raw, Workspace(tmp_path / "alone"), timezone=None).quarantined("events") == {"naive_timestamp": 1}
    acts(raw, "aware", pa.array(["u2"]), pa.array([NOON], pa.timestamp("us", "UTC")))
    both = night(raw, Workspace(tmp_path / "both"), timezone=None)
    assert (both.counts["events"], both.quarantined("events")) == (1, {"naive_timestamp": 1})


IDS = {"int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64(), "text": pa.string()}
CLOCKS = {
    "naive": pa.timestamp("us"),
    "nanos": pa.timestamp("ns"),
    "zoned": pa.timestamp("us", "UTC"),
    "zoned_nanos": pa.timestamp("ns", "Asia/Tokyo"),
    "day": pa.date32(),
    "text": pa.string(),
}
NUMBERS = {"int64": pa.int64(), "float32": pa.float32(), "float64": pa.float64(), "text": pa.string()}


def typed(kind: str, values: list[Any], types: dict[str, pa.DataType]) -> pa.Array:
    if kind == "text":
        values = [None if value is None else str(value) for value in values]
    elif kind == "day":
        values = [value.date() for value in values]
    return pa.array(values, types[kind])


ROWS = st.lists(
    st.tuples(
        st.sampled_from([7, 8, None]),
        st.sampled_from([7, 8, 2**30]),
        st.sampled_from([NOON, datetime(2024, 3, 31, 23, 30), datetime(2024, 5, 1)]),
        st.sampled_from([1, 2]),
    ),
    min_size=1,
    max_size=4,
)
FILES = st.lists(
    st.tuples(ROWS, *(st.sampled_from(sorted(kinds)) for kinds in (IDS, IDS, CLOCKS, NUMBERS))), min_size=2, max_size=4
)


@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(files=FILES)
def test_files_one_by_one_end_where_all_at_once_do_whatever_their_types(files: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        raw, workspace = vendor(Path(folder), 7), Workspace(Path(folder) / "w")
        for number, (rows, key, user, clock, quantity) in enumerate(files):
            keys, users, moments, quantities = (list(values) for values in zip(*rows, strict=True))
            acts(
                raw,
                f"d{number}",
                typed(user, users, IDS),
                typed(clock, moments, CLOCKS),
                event_id=typed(key, keys, IDS),
                account_id=pa.array([7.0] * len(rows)) if number == 3 else pa.array([7] * len(rows)),
                quantity=typed(quantity, quantities, NUMBERS),
            )
            ingest(raw, workspace, BERLIN, NOW)
        same_as_whole(raw, workspace, params=BERLIN)


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_text_files_beside_parquet_leave_its_types_alone(format: str, tmp_path: Path) -> None:
    raw, workspace = vendor(tmp_path), Workspace(tmp_path / "w")
    acts(raw, "a", pa.array([7.0, None]), pa.array([NOON] * 2, pa.timestamp("us")))
    said = {"csv": "account_id,event_name,occurred_at,user_id\na1,seen,2024-02-01T12:30Z,7\n"}
    said["jsonl"] = '{"account_id": "a1", "event_name": "seen", "occurred_at": "2024-02-01T12:30Z", "user_id": 7}\n'
    (raw / f"events/b.{format}").write_text(said[format])
    night(raw, workspace, timezone="Europe/Berlin")
    assert len(column(workspace, "events", "user_id")) == 2
    assert len(set(column(workspace, "events", "user_id"))) == 1
    assert [at.hour for at in column(workspace, "events", "occurred_at")] == [11, 11, 12]


SELECT = 'SELECT org AS account_id, what AS event_name, "at" AS occurred_at, who AS user_id'
MAPPED = {"account_id": "org", "event_name": "what", "occurred_at": "at", "user_id": "who"}
ADAPTERS = {
    "columns": {"columns": {"events": {"files": "log", "columns": MAPPED, "keep": {"live": [1]}}}},
    "mapping": {"mapping": {"events": f"{SELECT}, live * 2 AS quantity FROM log"}},
    "segment": {"segment": {"tracks": "log", "accounts": False}},
    "posthog": {"posthog": {"files": "log", "group_index": 0}},
    "amplitude": {"amplitude": {"files": "log"}},
}  # fmt: skip
NAMES = {
    "segment": {"org": "context_group_id", "what": "event", "at": "timestamp", "who": "user_id"},
    "posthog": {"org": "$group_0", "what": "event", "at": "timestamp", "who": "distinct_id", "n": "uuid"},
    "amplitude": {"what": "event_type", "at": "event_time", "who": "user_id", "n": "uuid"},
}


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_every_adapter_reads_each_file_by_its_own_types(adapter: str, tmp_path: Path) -> None:
    """Noon in a file without a zone: UTC by contract of the vendors, else in the declared zone."""
    raw, workspace = vendor(tmp_path, 7), Workspace(tmp_path / "w")
    (raw / "events").rmdir()
    (raw / "log").mkdir()
    kinds = [
        (pa.array([7]), pa.array([NOON], pa.timestamp("us", "UTC")), pa.array([1])),
        (pa.array([7.0]), pa.array([NOON], pa.timestamp("us")), pa.array([1.0])),
    ]
    for number, (who, at, live) in enumerate(kinds):
        row = {
            "org": who,
            "what": pa.array(["seen"]),
            "at": at,
            "who": who,
        }
        row |= {"live": live, "n": pa.array([f"n{number}"])}
        row |= {"id": row["n"]} if adapter == "segment" else {}
        row |= {"groups": pa.array(['{"company": "7"}'])} if adapter == "amplitude" else {}
        named = {NAMES.get(adapter, {}).get(name, name): values for name, values in row.items()}
        pq.write_table(pa.table(named), raw / "log" / f"{number}.parquet")
    night(raw, workspace, adapter=[adapter, "tables"], timezone="Europe/Berlin", **ADAPTERS[adapter])
    assert column(workspace, "events", "account_id") == ["7", "7"]
    vendor_says_utc = adapter in NAMES
    assert [at.hour for at in column(workspace, "events", "occurred_at")] == ([12, 12] if vendor_says_utc else [11, 12])
    assert len(set(column(workspace, "events", "user_id"))) == 1


def test_the_account_of_a_payer_is_found_though_its_number_is_a_float(tmp_path: Path) -> None:
    raw, workspace = vendor(tmp_path, 7), Workspace(tmp_path / "w")
    line = '{"id": "il_1", "amount": 1299, "currency": "usd", "period": {"start": 1704067200, "end": 1706745600}}'
    (raw / "revenue.csv").unlink()
    (raw / "invoices.jsonl").write_text(
        '{"id": "in_1", "customer": "cus_1", "status": "paid", "currency": "usd", "created": 1704110400, '
        f'"lines": {{"data": [{line}], "has_more": false}}}}\n'
    )
    pq.write_table(pa.table({"payer": ["cus_1", "cus_2"], "org": [7.0, None]}), raw / "link.parquet")
    acts(raw, "a", pa.array([7]), account_id=pa.array([7]))
    linked = {"account_metadata": None, "mapping": {"file": "link", "customer": "payer", "account": "org"}}
    night(raw, workspace, adapter=["stripe", "tables"], stripe=linked)
    assert column(workspace, "revenue", "account_id") == ["7"]


def test_hundreds_of_files_of_two_types_are_read_as_two_scans(tmp_path: Path) -> None:
    raw, workspace = vendor(tmp_path), Workspace(tmp_path / "w")
    for number in range(300):
        at = pa.array([NOON + timedelta(minutes=number)], pa.timestamp("us", "UTC"))
        acts(raw, f"d{number:03}", pa.array([number] if number % 2 else [float(number)]), at)
    began = perf_counter()
    assert night(raw, workspace).counts["events"] == 300
    assert perf_counter() - began < 30
    assert len(set(column(workspace, "events", "user_id"))) == 300
