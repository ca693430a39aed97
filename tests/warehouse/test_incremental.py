"""A delivery on top of others gives what a first ingest of the whole folder would give, and touches no more than it
must."""

from __future__ import annotations

import os
import pkgutil
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.builders import Row, account, event, invoice, write_file, write_raw
from tests.dying import Died, dying
from warehouse.accounting import Audit
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams, ingest, ingest_stage
from warehouse.store import Workspace

NOW = datetime(2024, 6, 1, tzinfo=UTC)
LENIENT = IngestParams(never_empty=(), max_bad_ratio=1, max_ratio={"unknown_account": 1})
COLUMNS = ["event_id", "account_id", "user_id", "event_name", "occurred_at", "received_at", "quantity"]


def write_day(raw: Path, file: str, rows: list[Row], format: str = "parquet") -> Path:
    path = raw / "events" / f"{file}.{format}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "parquet":
        write_typed(path, rows)
    else:
        write_file(path, COLUMNS, rows)
    return path


def write_typed(path: Path, rows: list[Row]) -> None:
    """Parquet with real timestamps, so that months are picked out by its statistics."""
    import pyarrow as pa

    def moments(name: str) -> pa.Array:
        given = [row.get(name) for row in rows]
        return pa.array([datetime.fromisoformat(v) if v else None for v in given], pa.timestamp("us", "UTC"))

    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in COLUMNS[:4]}
    quantity = pa.array([str(row.get("quantity", 1)) for row in rows], pa.string())
    clocks = {name: moments(name) for name in ("occurred_at", "received_at")}
    pq.write_table(pa.table(columns | clocks | {"quantity": quantity}), path)


def state(workspace: Workspace) -> dict[str, list[Row]]:
    """Every row of every table and everything set aside, in order, by file."""
    found = sorted(workspace.warehouse.rglob("*.parquet"))
    return {str(path.relative_to(workspace.warehouse)): pq.read_table(path).to_pylist() for path in found}


def same_as_whole(raw: Path, workspace: Workspace, now: datetime = NOW, params: IngestParams = LENIENT) -> None:
    """A whole ingest of `raw` beside `workspace`, with its key, must agree in every row and every count."""
    with TemporaryDirectory() as folder:
        fresh = Workspace(Path(folder) / "w")
        fresh.root.mkdir()
        shutil.copy2(workspace.root / ".privacy-key", fresh.root / ".privacy-key")
        live = ingest(raw, workspace, params, now)  # a no-op that tells the accounting
        whole = ingest(raw, fresh, params, now)
        assert state(workspace) == state(fresh)
        assert live.files == whole.files
        assert (live.fingerprint, live.data_end, live.sums) == (whole.fingerprint, whole.data_end, whole.sums)


MOMENTS = [
    "2024-01-05T00:00:00",
    "2024-02-01T00:00:00",
    "2024-02-29T23:59:59",
    "2024-04-01T00:00:00",
    "2024-06-01T06:00:00",
    "1970-01-01T00:00:00",
]
FACTS = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["e1", "e2", "e3", "e4", None]),
        "account_id": st.sampled_from(["a1", "a2", "a3", "late"]),
        "user_id": st.sampled_from(["u1", "u2", None]),
        "event_name": st.just("seen"),
        "occurred_at": st.sampled_from([f"{moment}Z" for moment in MOMENTS]),
        "received_at": st.sampled_from(["2024-05-01T00:00:00Z", "2024-05-02T00:00:00Z", None]),
        "quantity": st.sampled_from(["1", "2", "nonsense"]),
    }
)
DELIVERIES = st.lists(
    st.tuples(st.sampled_from(["d1", "d2", "d3"]), st.lists(FACTS, max_size=6), st.sampled_from(["parquet", "csv"])),
    min_size=2,
    max_size=4,
)
MARKETS = st.lists(st.sampled_from(["2024-01-01T00:00:00Z", "2024-02-15T00:00:00Z", None]), min_size=3, max_size=3)


@settings(max_examples=20, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    deliveries=DELIVERIES,
    markets=st.lists(MARKETS, min_size=4, max_size=4),
    hours=st.lists(st.integers(0, 12), min_size=4, max_size=4),
)
def test_any_sequence_of_deliveries_ends_where_one_ingest_of_the_folder_would(
    deliveries: list[tuple[str, list[Row], str]], markets: list[list[str | None]], hours: list[int]
) -> None:
    with TemporaryDirectory() as folder:
        raw, workspace = Path(folder) / "raw", Workspace(Path(folder) / "w")
        now = NOW
        for (file, rows, format), market, passed in zip(deliveries, markets, hours, strict=False):
            write_raw(raw, [account("a1"), *[account(f"a{n + 2}", at) for n, at in enumerate(market) if at]])
            (raw / "events.csv").unlink(missing_ok=True)
            for old in (raw / "events").glob(f"{file}.*"):
                old.unlink()
            write_day(raw, file, rows, format)
            now += timedelta(hours=passed)
            ingest(raw, workspace, LENIENT, now)
        same_as_whole(raw, workspace, now)


@pytest.fixture
def vendor(tmp_path: Path) -> tuple[Path, Workspace]:
    """Three months of days, ingested."""
    raw = tmp_path / "raw"
    write_raw(raw, [account("a1"), account("a2")], (), [invoice("a1"), invoice("a2", booked_at="2024-03-05T00:00:00Z")])
    (raw / "events.csv").unlink()
    for day in ("2024-02-01", "2024-02-02", "2024-03-01", "2024-04-01"):
        rows = [event(who, f"{day}T0{hour}:00:00Z") for who in ("a1", "a2") for hour in range(5)]
        write_day(raw, day, rows)
    workspace = Workspace(tmp_path / "w")
    ingest(raw, workspace, LENIENT, NOW)
    return raw, workspace


def inodes(workspace: Workspace) -> dict[str, int]:
    found = workspace.warehouse.rglob("*.parquet")
    return {str(path.relative_to(workspace.warehouse)): path.stat().st_ino for path in found}


def test_a_new_day_touches_the_month_it_falls_in_and_no_other_file(vendor: tuple[Path, Workspace]) -> None:
    raw, workspace = vendor
    before = inodes(workspace)
    write_day(raw, "2024-04-02", [event("a1", "2024-04-02T09:00:00Z")])
    accounting = ingest(raw, workspace, LENIENT, NOW)
    after = inodes(workspace)
    assert {file for file in after if before.get(file) != after[file]} == {"events/2024-04.parquet"}
    assert accounting.written == {"events": ["2024-04"]}
    assert accounting.audit == {"events": Audit(added=1, late=0, corrected=0, removed=0)}
    same_as_whole(raw, workspace)


def test_a_late_row_touches_its_own_month_and_is_counted_as_late(vendor: tuple[Path, Workspace]) -> None:
    raw, workspace = vendor
    write_day(raw, "2024-04-02", [event("a1", "2024-02-20T09:00:00Z", received_at="2024-04-02T00:00:00Z")])
    accounting = ingest(raw, workspace, LENIENT, NOW)
    assert accounting.written == {"events": ["2024-02"]}
    assert accounting.audit == {"events": Audit(added=1, late=1, corrected=0, removed=0)}
    same_as_whole(raw, workspace)


def test_a_corrected_file_corrects_its_rows_and_says_how_many(vendor: tuple[Path, Workspace]) -> None:
    raw, workspace = vendor
    rows = [
        event("a1", "2024-04-02T09:00:00Z"),
        event("a2", "2024-04-02T09:00:00Z"),
        event("a2", "2024-04-02T10:00:00Z"),
    ]
    path = write_day(raw, "2024-04-02", rows)
    ingest(raw, workspace, LENIENT, NOW)
    write_day(raw, "2024-04-02", [rows[0], rows[1] | {"quantity": 7}, event("a1", "2024-04-02T11:00:00Z")])
    os.utime(path, (1, 1))
    accounting = ingest(raw, workspace, LENIENT, NOW)
    assert accounting.audit == {"events": Audit(added=1, late=1, corrected=1, removed=1)}
    same_as_whole(raw, workspace)


SIZES = ["account_id", "created_at", "employees", "plan"]


def sizes(workspace: Workspace) -> dict[str, int]:
    rows = pq.read_table(workspace.warehouse / "accounts").to_pylist()
    return {row["account_id"]: row["employees"] for row in rows}


def told_in(raw: Path, file: str, *rows: Row) -> None:
    (raw / "accounts.csv").unlink(missing_ok=True)
    write_file(raw / "accounts" / file, SIZES, rows)


def test_a_further_file_tells_an_account_anew_and_its_size_at_sign_up_stays(
    vendor: tuple[Path, Workspace], capsys: pytest.CaptureFixture[str]
) -> None:
    raw, workspace = vendor
    told_in(raw, "day1.csv", account("a1", employees=8), account("a2", employees=9))
    ingest(raw, workspace, LENIENT, NOW)
    told_in(raw, "day2.csv", account("a1", employees=4000, plan="pro"))
    accounting = ingest_stage(raw, workspace, LENIENT, NOW)
    assert sizes(workspace) == {"a1": 8, "a2": 9}
    assert accounting.audit == {"accounts": Audit(added=0, late=0, corrected=1, removed=0)}
    assert "rows tell another" not in capsys.readouterr().err
    same_as_whole(raw, workspace)


def test_a_rewritten_file_that_tells_another_size_is_believed_counted_and_named(
    vendor: tuple[Path, Workspace], capsys: pytest.CaptureFixture[str]
) -> None:
    raw, workspace = vendor
    told_in(raw, "all.csv", account("a1", employees=8), account("a2", employees=9))
    ingest(raw, workspace, LENIENT, NOW)
    told_in(raw, "all.csv", account("a1", employees=4000), account("a2", employees=9, plan="pro"))
    accounting = ingest_stage(raw, workspace, LENIENT, NOW)
    assert sizes(workspace) == {"a1": 4000, "a2": 9}
    assert accounting.audit == {"accounts": Audit(added=0, late=0, corrected=2, removed=0, retold=1)}
    assert "2 corrected (1 retold)" in "\n".join(accounting.lines())
    assert (
        "accounts: 1 rows tell another created_at or industry or country or employees or channel"
        in capsys.readouterr().err
    )
    same_as_whole(raw, workspace)


def test_the_same_delivery_twice_writes_nothing_whatever_its_file_times_say(vendor: tuple[Path, Workspace]) -> None:
    raw, workspace = vendor
    before = inodes(workspace)
    for path in raw.rglob("*.parquet"):
        os.utime(path, (1, 1))
    accounting = ingest(raw, workspace, LENIENT, NOW)
    assert (accounting.written, accounting.audit) == ({}, {})
    assert inodes(workspace) == before


def test_rows_of_an_account_that_comes_later_are_taken_back_from_the_quarantine(vendor: tuple[Path, Workspace]) -> None:
    raw, workspace = vendor
    write_day(raw, "2024-03-02", [event("newcomer", "2024-03-02T09:00:00Z")])
    assert ingest(raw, workspace, LENIENT, NOW).quarantined("events") == {"unknown_account": 1}
    write_file(raw / "accounts.csv", ["account_id", "created_at"], [account("a1"), account("a2"), account("newcomer")])
    accounting = ingest(raw, workspace, LENIENT, NOW)
    assert accounting.quarantined("events") == {}
    assert accounting.written == {"accounts": ["all"], "events": ["2024-03"]}
    same_as_whole(raw, workspace)


def test_the_earliest_known_of_two_conflicting_rows_wins_across_months(vendor: tuple[Path, Workspace]) -> None:
    raw, workspace = vendor
    first = event("a1", "2024-02-20T09:00:00Z", event_id="twice", received_at="2024-02-20T09:00:00Z")
    write_day(
        raw, "2024-04-02", [first | {"occurred_at": "2024-04-02T00:00:00Z", "received_at": "2024-04-02T00:00:00Z"}]
    )
    ingest(raw, workspace, LENIENT, NOW)
    write_day(raw, "2024-04-03", [first])
    accounting = ingest(raw, workspace, LENIENT, NOW)
    assert accounting.quarantined("events") == {"conflicting_duplicate": 1}
    assert accounting.written == {"events": ["2024-02", "2024-04"]}
    kept = pq.read_table(workspace.warehouse / "events", filters=[("event_id", "=", "twice")]).to_pylist()
    assert [row["occurred_at"].month for row in kept] == [2]
    same_as_whole(raw, workspace)
    (raw / "events" / "2024-04-03.parquet").unlink()  # the winner goes, the other one is the fact again
    assert ingest(raw, workspace, LENIENT, NOW).quarantined("events") == {}
    same_as_whole(raw, workspace)


def test_a_broken_night_does_not_hide_behind_two_good_years(tmp_path: Path) -> None:
    raw, workspace = tmp_path / "raw", Workspace(tmp_path / "w")
    write_raw(raw, [account("a1")], (), [invoice("a1")])
    (raw / "events.csv").unlink()
    write_day(raw, "2024-02-01", [event("a1", "2024-02-01T00:00:00Z", event_id=f"g{n}") for n in range(30_000)])
    ingest(raw, workspace, IngestParams(), NOW)
    good = [event("a1", "2024-02-02T00:00:00Z") for _ in range(40)]
    write_day(raw, "2024-02-02", good + [event("a1", "2024-02-02T00:00:00Z", quantity="x") for _ in range(10)])
    ingest(raw, workspace, IngestParams(), NOW)  # ten rows may be wrong whatever their share
    before = state(workspace)
    write_day(raw, "2024-02-03", good + [event("a1", "2024-02-03T00:00:00Z", quantity="x") for _ in range(11)])
    with pytest.raises(ContractBroken, match="11 of 51 rows are not finite numbers"):
        ingest(raw, workspace, IngestParams(), NOW)
    assert before == state(workspace)


STEPS: list[tuple[str, str]] = [
    ("warehouse.landing", "copy_to_parquet"),
    ("warehouse.build", "copy_to_parquet"),
    ("warehouse.build", "link"),
    ("warehouse.store.os", "replace"),
    ("warehouse.ingest", "_write_json"),
    ("warehouse.ingest", "written"),
    ("warehouse.manifest.Manifest", "write"),
    ("warehouse.store.shutil", "rmtree"),
]


@pytest.mark.parametrize(("owner", "step"), STEPS)
def test_a_crash_at_any_step_leaves_old_or_new_and_the_next_run_converges(
    owner: str, step: str, vendor: tuple[Path, Workspace], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raw, workspace = vendor
    old = state(workspace)
    write_day(raw, "2024-04-02", [event("a1", "2024-04-02T09:00:00Z"), event("a2", "2024-02-02T09:00:00Z")])
    write_file(raw / "accounts.csv", ["account_id", "created_at"], [account("a1"), account("a2"), account("a3")])
    shutil.copytree(workspace.root, tmp_path / "reference")
    ingest(raw, Workspace(tmp_path / "reference"), LENIENT, NOW)
    new = state(Workspace(tmp_path / "reference"))
    assert old != new
    crashed = 0
    for place in range(1, 60):
        trial = Workspace(tmp_path / f"trial-{place}")
        shutil.copytree(workspace.root, trial.root)
        with monkeypatch.context() as patch:
            patch.setattr(f"{owner}.{step}", dying(pkgutil.resolve_name(f"{owner}.{step}"), place))
            try:
                ingest(raw, trial, LENIENT, NOW)
            except Died:
                crashed += 1
            else:
                break
        if trial.warehouse.exists():  # else between two renames: the next run puts the old one back
            assert state(trial) in (old, new)
        ingest(raw, trial, LENIENT, NOW)
        assert state(trial) == new
    else:
        raise AssertionError("the step is called more often than the sweep goes")
    assert crashed
