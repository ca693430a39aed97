"""Segment and RudderStack warehouse tables: whose event it was is told by the history of group calls."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.warehouse.adapted import Adapted, adapt, at, only, write
from warehouse.adapters.segment import SegmentParams, sources
from warehouse.errors import ContractBroken

TRACKS = "id,event,event_text,user_id,anonymous_id,timestamp,received_at"
GROUPS = "id,user_id,anonymous_id,group_id,timestamp,received_at,industry,employees,name"


def track(id: str, user: str, happened: str, received: str | None = None, event: str = "report_built") -> str:
    return f"{id},{event},Report Built,{user},anon,{happened},{received or happened}"


def group(
    user: str, account: str, happened: str, received: str | None = None, industry: str = "", size: str = ""
) -> str:
    return f"g-{user}-{happened},{user},anon,{account},{happened},{received or happened},{industry},{size},A Name"


def deliver(raw: Path, tracks: list[str], groups: list[str], **params: object) -> Adapted:
    write(raw / "tracks.csv", TRACKS, *tracks)
    write(raw / "groups.csv", GROUPS, *groups)
    return adapt(sources, raw, SegmentParams.model_validate(params), timezone=None)


def accounts_of(found: Adapted) -> dict[str, str]:
    return {row["event_id"]: row["account_id"] for row in found.rows["events"]}


def test_the_golden_sample(tmp_path: Path) -> None:
    found = deliver(
        tmp_path,
        [
            track("m1", "u1", "2024-01-01 09:00:00"),  # before the first group call
            track("m2", "u1", "2024-01-01 11:00:00", "2024-01-01 11:00:01"),
            track("m3", "u1", "2024-01-03 11:00:00", "2024-01-08 07:00:00"),  # five days late, of the old account
            track("m4", "u1", "2024-01-05 11:00:00"),
            track("m4", "u1", "2024-01-05 11:00:00"),  # delivered twice
            track("m5", "", "2024-01-05 12:00:00"),  # an anonymous visitor
            track("m6", "u2", "someday", "2024-01-05 12:00:00"),
        ],
        [
            group("u1", "acme", "2024-01-01 10:00:00", industry="retail"),
            group("u1", "acme", "2024-01-02 10:00:00", industry="banking", size="40"),
            group("u1", "beta", "2024-01-04 10:00:00"),
            group("u2", "acme", "2024-01-03 10:00:00"),
            group("", "gamma", "2024-01-06 10:00:00"),
        ],
    )
    columns = ("event_id", "account_id", "user_id", "event_name", "occurred_at", "received_at")
    assert only(found.rows["events"], *columns) == [
        ("m2", "acme", "u1", "report_built", at("2024-01-01 11:00"), at("2024-01-01 11:00:01")),
        ("m3", "acme", "u1", "report_built", at("2024-01-03 11:00"), at("2024-01-08 07:00")),
        ("m4", "beta", "u1", "report_built", at("2024-01-05 11:00"), at("2024-01-05 11:00")),
    ]
    assert found.aside["events"] == {"excluded:no_group|": 2, "duplicate": 1, "wrong_type|occurred_at": 1}
    assert only(found.rows["accounts"], "account_id", "created_at", "industry", "employees") == [
        ("acme", at("2024-01-01 10:00"), "retail", 40),
        ("beta", at("2024-01-04 10:00"), None, None),
        ("gamma", at("2024-01-06 10:00"), None, None),
    ]
    assert only(found.rows["account_users"], "account_id", "user_id", "valid_from", "valid_to") == [
        ("acme", "u1", at("2024-01-01 10:00"), at("2024-01-04 10:00")),
        ("acme", "u2", at("2024-01-03 10:00"), None),
        ("beta", "u1", at("2024-01-04 10:00"), None),
    ]
    assert found.aside["account_users"] == {"excluded:same_group|": 1, "excluded:no_user|": 1}
    assert found.sources["account_users"].extra == ("anonymous_id", "id", "name")
    assert not any(source.by_file for source in found.sources.values())
    assert set(found.sources["events"].paths) == {"tracks.csv", "groups.csv"}  # new calls make events be read anew


def test_latest_state_tables_are_not_even_opened(tmp_path: Path) -> None:
    known = []
    for plan in ("free", "enterprise"):
        for table in ("users", "accounts"):
            write(tmp_path / f"{table}.csv", "id,group_id,plan,created_at", f"acme,zeta,{plan},1999-01-01")
        write(tmp_path / "identifies.csv", "")
        tracks = [track("m1", "u1", "2024-01-01 11:00:00")]
        known.append(deliver(tmp_path, tracks, [group("u1", "acme", "2024-01-01 10:00:00")]).rows)
    assert known[0] == known[1]
    assert only(known[0]["accounts"], "account_id", "created_at", "plan") == [("acme", at("2024-01-01 10:00"), None)]


def test_a_group_call_that_came_after_the_event_was_known_changes_nothing(tmp_path: Path) -> None:
    first, late = (
        group("u1", "acme", "2024-01-01 10:00:00"),
        group("u1", "beta", "2024-01-02 10:00:00", "2024-01-20 10:00:00"),
    )
    tracks = [
        track("m1", "u1", "2024-01-03 10:00:00"),
        track("m2", "u1", "2024-01-04 10:00:00", "2024-01-20 10:00:00"),  # the same phone, back online
        track("m3", "u1", "2024-01-21 10:00:00"),
    ]
    assert accounts_of(deliver(tmp_path, tracks, [first])) == {"m1": "acme", "m2": "acme", "m3": "acme"}
    assert accounts_of(deliver(tmp_path, tracks, [first, late])) == {"m1": "acme", "m2": "beta", "m3": "beta"}


def test_nobody_joins_an_account_or_leaves_it_before_that_was_known(tmp_path: Path) -> None:
    tracks = [track("m1", "u1", "2024-01-03 10:00:00")]
    timely = [
        group("u1", "acme", "2024-01-01 10:00:00"),
        group("u2", "acme", "2024-01-01 10:00:00"),
        group("u2", "beta", "2024-03-01 10:00:00"),
    ]
    late = [
        group("u3", "acme", "2024-01-03 10:00:00", "2024-06-01 10:00:00"),
        group("u1", "beta", "2024-02-01 10:00:00", "2024-06-01 10:00:00"),
        group("u2", "gamma", "2024-02-01 10:00:00", "2024-06-01 10:00:00"),  # of one who was in beta by then
    ]
    before = only(deliver(tmp_path, tracks, timely).rows["account_users"], "account_id", "user_id", "valid_from")
    found = deliver(tmp_path, tracks, timely + late)
    told = only(found.rows["account_users"], "account_id", "user_id", "valid_from", "valid_to")
    june = at("2024-06-01 10:00")
    assert sorted(row[:3] for row in told if row[2] < june) == sorted(before)
    assert sorted(row[:3] for row in told if row[2] >= june) == [("acme", "u3", june), ("beta", "u1", june)]
    assert {row[:2]: row[3] for row in told if row[3]} == {("acme", "u1"): june, ("acme", "u2"): at("2024-03-01 10:00")}
    assert found.aside["account_users"] == {"excluded:late_group|": 1}


def test_a_group_call_received_moments_later_counts_and_the_event_is_known_with_it(tmp_path: Path) -> None:
    calls = [group("u1", "acme", "2024-01-01 10:00:00", "2024-01-01 10:05:00")]
    tracks = [track("m1", "u1", "2024-01-01 10:00:01", "2024-01-01 10:00:02")]
    found = deliver(tmp_path, tracks, calls)
    assert only(found.rows["events"], "account_id", "received_at") == [("acme", at("2024-01-01 10:05"))]
    found = deliver(tmp_path, tracks, calls, late_group_minutes=1)
    assert found.aside["events"] == {"excluded:no_group|": 1}


def test_the_account_agrees_with_a_plain_search_through_the_calls(tmp_path: Path) -> None:
    # every mix of hours: calls of three accounts, some received late, and an event at each hour, some received late
    calls = [
        (happened, received, "abc"[(happened + received) % 3])
        for happened, received in [(1, 1), (2, 7), (3, 3), (5, 6)]
    ]
    events = [(happened, happened + late) for happened in range(0, 8) for late in (0, 1, 4)]
    stamp = "2024-01-01 {:02d}:00:00".format
    found = deliver(
        tmp_path,
        [track(f"m{i}", "u1", stamp(h), stamp(r)) for i, (h, r) in enumerate(events)],
        [group("u1", account, stamp(h), stamp(r)) for h, r, account in calls],
        late_group_minutes=0,
    )
    expected = {}
    for i, (happened, received) in enumerate(events):
        heard = [call for call in calls if call[0] <= happened and call[1] <= received]
        if heard:
            expected[f"m{i}"] = max(heard)[2]
    assert accounts_of(found) == expected


def test_traits_told_long_after_sign_up_are_not_known_at_sign_up(tmp_path: Path) -> None:
    calls = [
        group("u1", "acme", "2024-01-01 10:00:00", size="many"),
        group("u1", "acme", "2024-01-01 18:00:00", industry="retail"),
        group("u1", "acme", "2024-02-01 10:00:00", industry="banking"),
        group("u2", "beta", "2024-01-01 10:00:00", industry="retail"),
        group("u2", "beta", "2024-02-01 10:00:00", size="40"),
    ]
    found = deliver(tmp_path, [track("m1", "u1", "2024-01-02 10:00:00")], calls)
    assert only(found.rows["accounts"], "account_id", "industry", "employees") == [("beta", "retail", None)]
    assert found.aside["accounts"] == {"wrong_type|employees": 1}
    found = deliver(tmp_path, [track("m1", "u2", "2024-01-02 10:00:00")], calls[3:], traits_within_days=60)
    assert only(found.rows["accounts"], "employees") == [(40,)]


def test_a_later_delivery_leaves_what_was_known_as_it_was(tmp_path: Path) -> None:
    tracks = [track("m1", "u1", "2024-01-02 10:00:00"), track("m2", "u2", "2024-01-02 10:00:00")]
    calls = [group("u1", "acme", "2024-01-01 10:00:00"), group("u2", "beta", "2024-01-01 10:00:00", industry="retail")]
    more = [
        group("u1", "beta", "2024-03-01 10:00:00", industry="banking"),
        group("u2", "acme", "2024-03-01 10:00:00", size="9"),
    ]
    early, both = (deliver(tmp_path, tracks, given) for given in (calls, calls + more))
    assert early.rows["events"] == both.rows["events"]
    assert early.rows["accounts"] == both.rows["accounts"]


def test_a_redelivery_keeps_the_first_arrival(tmp_path: Path) -> None:
    tracks = [track("m1", "u1", "2024-01-02 10:00:00", f"2024-01-0{day} 10:00:00") for day in (4, 2, 3)]
    found = deliver(tmp_path, tracks, [group("u1", "acme", "2024-01-01 10:00:00")])
    assert only(found.rows["events"], "event_id", "received_at") == [("m1", at("2024-01-02 10:00"))]


def test_events_that_carry_their_account_need_no_groups(tmp_path: Path) -> None:
    write(
        tmp_path / "tracks.jsonl",
        '{"id": "m1", "event": "opened", "timestamp": "2024-01-01T10:00:00Z", "context_group_id": "acme"}',
        '{"id": "m2", "event": "opened", "timestamp": "2024-01-01T10:00:00+02:00", "context_group_id": null}',
        '{"id": "m3", "event": "opened", "timest',
    )
    found = adapt(sources, tmp_path, SegmentParams(), {"acme": "2023-01-01"})
    assert only(found.rows["events"], "event_id", "account_id", "received_at") == [
        ("m1", "acme", at("2024-01-01 10:00"))
    ]
    assert found.aside["events"] == {"excluded:no_group|": 1, "malformed": 1}
    assert found.sources["events"].by_file
    refused = adapt(sources, tmp_path, SegmentParams(ungrouped="refuse"), {"acme": "2023-01-01"})
    assert refused.aside["events"] == {"null_key|account_id": 1, "malformed": 1}


def test_the_account_on_the_event_goes_before_the_group_of_the_user(tmp_path: Path) -> None:
    write(tmp_path / "tracks.csv", f"{TRACKS},context_group_id", track("m1", "u1", "2024-01-02 10:00:00") + ",beta")
    write(tmp_path / "groups.csv", GROUPS, *(group("u1", a, "2024-01-01 10:00:00") for a in ("acme", "beta")))
    assert accounts_of(adapt(sources, tmp_path, SegmentParams())) == {"m1": "beta"}


def test_tables_in_capitals_and_typed_parquet(tmp_path: Path) -> None:
    moment = pa.array([datetime(2024, 1, 2, 10)])
    one = {"ID": ["m1"], "EVENT": ["opened"], "USER_ID": pa.array([7]), "TIMESTAMP": moment, "RECEIVED_AT": moment}
    pq.write_table(pa.table(one), tmp_path / "tracks.parquet")
    call = {"USER_ID": pa.array([7]), "GROUP_ID": pa.array([42]), "TIMESTAMP": moment, "EMPLOYEES": pa.array([12])}
    pq.write_table(pa.table(call), tmp_path / "groups.parquet")
    # the vendor's clocks are UTC, whatever zone other tables of the folder are in
    found = adapt(sources, tmp_path, SegmentParams(), timezone="America/New_York")
    assert only(found.rows["events"], "account_id", "user_id", "occurred_at", "received_at") == [
        ("42", "7", at("2024-01-02 10:00"), at("2024-01-02 10:00"))
    ]
    assert only(found.rows["accounts"], "account_id", "employees") == [("42", 12)]


def test_accounts_may_come_from_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "tracks.csv", TRACKS, track("m1", "u1", "2024-01-02 10:00:00"))
    write(tmp_path / "groups.csv", GROUPS, group("u1", "acme", "2024-01-01 10:00:00"))
    found = adapt(sources, tmp_path, SegmentParams(accounts=False), {"acme": "2023-01-01"})
    assert set(found.rows) == {"events", "account_users"}
    assert accounts_of(found) == {"m1": "acme"}


@pytest.mark.parametrize(
    ("tracks", "groups", "words"),
    [
        (None, GROUPS, r"tracks is missing \(ingest\.segment\.tracks\)"),
        ("id,evnt,timestamp,user_id", GROUPS, r'tracks\.csv: required column "event" \(nearest found: "evnt"\)'),
        (TRACKS, "user_id,timestamp", r'groups\.csv: required column "group_id"'),
        (TRACKS, None, r"nothing tells the account of an event .* Export the table groups too"),
        ("id,event,timestamp", GROUPS, "nothing tells the account of an event .* and no user_id"),
    ],
)
def test_what_is_missing_is_named(tracks: str | None, groups: str | None, words: str, tmp_path: Path) -> None:
    for table, header in (("tracks", tracks), ("groups", groups)):
        if header is not None:
            write(tmp_path / f"{table}.csv", header)
    with pytest.raises(ContractBroken, match=words):
        adapt(sources, tmp_path, SegmentParams())


def test_a_damaged_groups_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "tracks.csv", TRACKS)
    calls = {"user_id": ["u1"], "group_id": ["acme"], "timestamp": ["2024-01-01 10:00:00"]}
    path = tmp_path / "groups.parquet"
    pq.write_table(pa.table(calls), path, compression="none", use_dictionary=False)
    path.write_bytes(path.read_bytes()[:4] + bytes(40) + path.read_bytes()[44:])  # the footer stays whole
    with pytest.raises(ContractBroken, match=r"groups\.parquet: cannot be read"):
        adapt(sources, tmp_path, SegmentParams())
