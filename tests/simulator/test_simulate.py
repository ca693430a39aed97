from __future__ import annotations

import hashlib
from datetime import date, timedelta
from pathlib import Path

import pytest

from simulator.block import SIZE
from simulator.simulate import SimulateParams, main, simulate
from simulator.spoiling import Spoiler
from warehouse.errors import UsageError

SMALL = SimulateParams(accounts=120, quarters=1)
SILENT = SMALL.model_copy(update={"truth": False})


def fingerprints(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = simulate(tmp_path / "a", SMALL), simulate(tmp_path / "b", SMALL)
    assert first == second
    assert fingerprints(tmp_path / "a") == fingerprints(tmp_path / "b")


@pytest.mark.parametrize("world", [pytest.param("assisted", marks=pytest.mark.slow), "faulty"])
def test_any_number_of_processes_gives_the_same_bytes(tmp_path: Path, world: str) -> None:
    params = SimulateParams(world=world, accounts=2 * SIZE + 100, quarters=1)
    summaries = [simulate(tmp_path / str(workers), params, workers=workers) for workers in (1, 2)]
    assert summaries[0] == summaries[1]
    assert fingerprints(tmp_path / "1") == fingerprints(tmp_path / "2")


def test_another_seed_gives_another_vendor(tmp_path: Path) -> None:
    params = SMALL.model_copy(update={"accounts": 2_000})  # so that something happens on every day
    simulate(tmp_path / "a", params)
    simulate(tmp_path / "b", params.model_copy(update={"seed": 8}))
    a, b = fingerprints(tmp_path / "a"), fingerprints(tmp_path / "b")
    assert all(a[name] != b[name] for name in a)


def test_the_truth_can_be_left_out_and_changes_nothing_else(tmp_path: Path) -> None:
    simulate(tmp_path / "with", SMALL)
    simulate(tmp_path / "without", SILENT)
    told, silent = fingerprints(tmp_path / "with"), fingerprints(tmp_path / "without")
    assert told.pop("truth.parquet")
    assert told == silent


def test_events_come_as_one_file_a_day_of_occurrence(tmp_path: Path) -> None:
    simulate(tmp_path / "raw", SILENT.model_copy(update={"start": date(2024, 1, 15)}))
    names = sorted(path.stem for path in (tmp_path / "raw" / "events").iterdir())
    days = (date(2024, 4, 15) - date(2024, 1, 15)).days
    assert names == [str(date(2024, 1, 15) + timedelta(days=day)) for day in range(days)]


def test_a_folder_that_holds_something_is_left_alone_without_force(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"not empty.*--force"):
        simulate(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_force_replaces_the_folder_whole(tmp_path: Path) -> None:
    out = tmp_path / "raw"
    out.mkdir()
    (out / "notes.txt").write_text("old")
    simulate(out, SILENT, force=True)
    assert not (out / "notes.txt").exists()
    assert (out / "accounts.parquet").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_failed_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("simulator.simulate.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        simulate(tmp_path / "raw", SILENT)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_midway_leaves_the_folder_it_was_to_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "raw"
    simulate(out, SILENT)
    before = fingerprints(out)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Spoiler, "revenue", fail)  # by then the events are written
    with pytest.raises(OSError, match="disk full"):
        simulate(out, SILENT.model_copy(update={"seed": 8}), force=True)
    assert fingerprints(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_an_unknown_world_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'"wild".*plain, nonlinear, .*, tiny'):
        simulate(tmp_path / "raw", SimulateParams(world="wild"))
    assert not (tmp_path / "raw").exists()


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        simulate(tmp_path / "raw", SMALL)


def test_the_tiny_world_stays_at_two_thousand_accounts(tmp_path: Path) -> None:
    summary = simulate(tmp_path / "raw", SimulateParams(world="tiny", accounts=12_000, quarters=1))
    assert summary["accounts"] == 2_000


def test_one_account_is_a_world_too(tmp_path: Path) -> None:
    summary = simulate(tmp_path / "raw", SimulateParams(accounts=1, quarters=1))
    assert summary["accounts"] == 1
    assert summary["events"] >= 1


def test_the_stage_reads_its_section_of_the_params(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("simulate: {accounts: 5, quarters: 1}\n")
    main(["--out", str(tmp_path / "raw"), "--params", str(params)])
    assert (tmp_path / "raw" / "revenue.parquet").exists()


def test_no_accounts_at_all_is_a_params_error_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("simulate: {accounts: 0}\n")
    assert main(["--out", str(tmp_path / "raw"), "--params", str(params)]) == 2
    assert "simulate.accounts" in capsys.readouterr().err
