"""Nothing is built on a warehouse that is not what ingest wrote, and telling so costs nothing as long as it is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.catalogue import Definitions
from features.rollup_stage import rollup_stage
from tests.builders import event, write_file
from tests.warehouse.spoilt_files import ANY, NOON, contents, delivery, flip
from warehouse import delivery as delivered
from warehouse import manifest
from warehouse.errors import DataError
from warehouse.ingest import ingest
from warehouse.manifest import refuse_changed
from warehouse.store import Workspace

REVENUE = "revenue/2024-02.parquet"
REMEDY = r"{} is not what `expansion ingest` wrote: `expansion ingest --whole --raw DIR .*backup"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return delivery(tmp_path / "raw")


@pytest.fixture
def live(raw: Path, tmp_path: Path) -> Workspace:
    ingest(raw, Workspace(tmp_path / "w"), ANY, NOON)
    return Workspace(tmp_path / "w")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read for their hash from here on."""
    read: list[str] = []
    real = delivered._sha256

    def noting(path: Path) -> str:
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(delivered, "_sha256", noting)
    return read


def tenfold(path: Path) -> None:
    """Valid Parquet in which everybody paid ten times as much."""
    rows = pq.read_table(path)
    amounts = pc.cast(pc.multiply(pc.cast(rows["amount"], pa.float64()), 10), rows["amount"].type)
    pq.write_table(rows.set_column(rows.column_names.index("amount"), "amount", amounts), path)


HARMS: dict[str, Callable[[Path], None]] = {
    "ten times the money": tenfold,
    "a flipped byte": lambda path: flip(path, path.stat().st_size // 2),
    "a month too many": lambda path: shutil.copy(path, path.with_name("2024-07.parquet")) and None,
}


def next_day(raw: Path) -> Path:
    write_file(raw / "events" / "next.csv", ["account_id", "event_name", "occurred_at"], [event("a1")])
    (raw / "events.csv").rename(raw / "events" / "first.csv")
    return raw


@pytest.mark.parametrize("harm", HARMS)
def test_no_run_takes_money_that_ingest_did_not_write_and_a_whole_one_heals(
    harm: str, raw: Path, live: Workspace
) -> None:
    true = contents(live.warehouse / "revenue")
    HARMS[harm](live.warehouse / REVENUE)
    named = REMEDY.format("2024-07.parquet" if harm == "a month too many" else REVENUE)
    with pytest.raises(DataError, match=named) as idle:
        ingest(raw, live, ANY, NOON)
    assert idle.value.exit_code == 3
    with pytest.raises(DataError, match=named):  # training, and DVC's first stage after ingest
        rollup_stage(live, Definitions.from_params({}))
    with pytest.raises(DataError, match=named):
        ingest(next_day(raw), live, ANY, NOON)
    ingest(raw, live, ANY, NOON, whole=True)
    assert contents(live.warehouse / "revenue") == true
    assert refuse_changed(live.warehouse, every=True)


@pytest.mark.parametrize("file", [REVENUE, "accounting.json", "manifest.json"])
def test_a_file_that_is_gone_or_cut_short_is_named(file: str, live: Workspace) -> None:
    os.truncate(live.warehouse / file, 40)
    with pytest.raises(DataError, match=REMEDY.format(file)):
        refuse_changed(live.warehouse)
    if file != "manifest.json":
        (live.warehouse / file).unlink()
        with pytest.raises(DataError, match=REMEDY.format(file)):
            refuse_changed(live.warehouse)


def test_a_warehouse_as_it_was_written_is_not_read_and_a_new_day_costs_its_own_month(
    raw: Path, live: Workspace, reads: list[str]
) -> None:
    refuse_changed(live.warehouse)
    ingest(raw, live, ANY, NOON)
    assert not [name for name in reads if name.endswith(".parquet")]
    ingest(next_day(raw), live, ANY, NOON)
    assert "2024-02.parquet" in reads  # of events; those of revenue and the accounts were carried over
    assert "all.parquet" not in reads


def test_rot_that_moves_no_clock_is_found_by_whoever_reads_every_file(live: Workspace) -> None:
    path = live.warehouse / REVENUE
    was = path.stat()
    flip(path, was.st_size // 2)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    refuse_changed(live.warehouse)
    with pytest.raises(DataError, match=REMEDY.format(REVENUE)):
        refuse_changed(live.warehouse, every=True)


def test_a_copied_workspace_is_read_found_equal_and_read_no_more_once_it_took_a_day(
    raw: Path, live: Workspace, reads: list[str], tmp_path: Path
) -> None:
    copy = Workspace(tmp_path / "elsewhere")
    shutil.copytree(live.root, copy.root, copy_function=shutil.copy)  # clocks of now
    assert refuse_changed(copy.warehouse) == len(reads) > 5
    ingest(next_day(raw), copy, ANY, NOON)
    reads.clear()
    refuse_changed(copy.warehouse)
    assert not reads
    tenfold(copy.warehouse / REVENUE)
    with pytest.raises(DataError, match=REMEDY.format(REVENUE)):
        refuse_changed(copy.warehouse)


def test_without_links_a_day_is_carried_over_as_it_was_noted(
    raw: Path, live: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("warehouse.store.os.link", no_links)
    path = live.warehouse / REVENUE
    was = path.stat()
    flip(path, was.st_size // 2)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    ingest(next_day(raw), live, ANY, NOON)
    with pytest.raises(DataError, match=REMEDY.format(REVENUE)):  # the damage was not sealed again
        refuse_changed(live.warehouse, every=True)


def test_a_warehouse_of_an_earlier_version_works_and_is_held_against_what_its_next_day_noted(
    raw: Path, live: Workspace
) -> None:
    said = json.loads((live.warehouse / manifest.FILE).read_text())["manifest"]
    del said["written"]
    text = json.dumps({"sha256": manifest._digest(said), "manifest": said})
    (live.warehouse / manifest.FILE).write_text(text)
    assert refuse_changed(live.warehouse, every=True) is None
    ingest(raw, live, ANY, NOON)
    ingest(next_day(raw), live, ANY, NOON)
    assert refuse_changed(live.warehouse)
    tenfold(live.warehouse / REVENUE)
    with pytest.raises(DataError, match=REMEDY.format(REVENUE)):
        refuse_changed(live.warehouse)


def test_a_day_that_lands_while_somebody_looks_refuses_nothing(
    raw: Path, live: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, beside = manifest._beside, []

    def meanwhile(warehouse: Path) -> dict[str, Path]:
        if not beside:
            beside.append(warehouse)
            ingest(next_day(raw), live, ANY, NOON)
        return real(warehouse)

    monkeypatch.setattr(manifest, "_beside", meanwhile)
    assert refuse_changed(live.warehouse, every=True)
