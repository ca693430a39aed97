"""Releases are whole or absent: what is damaged is refused, what died is swept, yesterday stays live."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from serving import release
from serving.errors import NoRelease, ReleaseRefused
from serving.failpoint import FAILPOINTS, KILLED, FailpointHit, failpoint
from serving.manifest import check_manifest
from tests.serving.published import AS_OF, make_bundle, make_scores, publish, ranked
from warehouse.errors import UsageError
from warehouse.store import read_table

ROOT = Path(__file__).parents[2]
YESTERDAY = date(2026, 3, 1)
PUBLISH = """
import sys
from datetime import date
from pathlib import Path
from tests.serving.published import publish
publish(Path(sys.argv[1]), date(2026, 3, 2), seed=2)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_release_holds_exactly_the_files_of_the_contract(workspace: Path) -> None:
    folder = publish(workspace)
    expected = {"bundle/card.json", "scores.parquet", "scores.sqlite", "changes.parquet", "run.json", "manifest.json"}
    assert contents(folder).keys() == expected
    assert folder.name.startswith(f"2026-03-02-{'a' * 12}-")
    assert release.current(workspace / "releases") == folder


def test_the_same_content_published_twice_is_the_same_release(workspace: Path) -> None:
    first = publish(workspace)
    before = contents(first)
    stamps = {name: (first / name).stat().st_mtime_ns for name in before}
    assert publish(workspace) == first
    assert contents(first) == before
    assert {name: (first / name).stat().st_mtime_ns for name in before} == stamps


def test_two_workspaces_get_byte_identical_releases(tmp_path: Path) -> None:
    assert contents(publish(tmp_path / "a")) == contents(publish(tmp_path / "b"))


def test_when_the_facts_end_is_no_part_of_the_name(tmp_path: Path) -> None:
    names = {publish(tmp_path / end, data_end=end).name for end in ("2026-03-01", "2026-03-02")}
    assert names == {publish(tmp_path / "untold").name}


@pytest.mark.parametrize("name", ["scores.sqlite", "scores.parquet", "run.json", "bundle/card.json", "manifest.json"])
def test_one_flipped_byte_is_refused_before_anything_is_parsed(
    workspace: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish(workspace)
    monkeypatch.setattr(release, "load_scorer", lambda bundle: pytest.fail("parsed a damaged release"))
    data = (folder / name).read_bytes()
    for place in (0, len(data) // 2, len(data) - 1):
        (folder / name).write_bytes(data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :])
        with pytest.raises(ReleaseRefused):
            release.open_release(folder)


def test_extra_missing_linked_and_renamed_content_is_refused(workspace: Path, tmp_path: Path) -> None:
    folder = publish(workspace)
    (folder / "bundle" / "extra.pkl").write_bytes(b"x")
    with pytest.raises(ReleaseRefused, match=r"extra\.pkl is not in its manifest"):
        release.verify(folder)
    (folder / "bundle" / "extra.pkl").unlink()
    (folder / "changes.parquet").rename(tmp_path / "aside")
    with pytest.raises(ReleaseRefused, match=r"changes\.parquet is missing"):
        release.verify(folder)
    (folder / "changes.parquet").symlink_to(tmp_path / "aside")
    with pytest.raises(ReleaseRefused, match="is a link"):
        release.verify(folder)
    (folder / "changes.parquet").unlink()
    (tmp_path / "aside").rename(folder / "changes.parquet")
    release.verify(folder)
    renamed = folder.rename(folder.with_name("2026-03-03-" + "b" * 12 + "-" + "c" * 12))
    with pytest.raises(ReleaseRefused, match="its manifest names"):
        release.verify(renamed)


def test_a_release_of_a_later_schema_is_refused_with_its_version(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.manifest.SCHEMA_VERSION", 2)
    folder = publish(workspace)
    monkeypatch.setattr("serving.manifest.SCHEMA_VERSION", 1)
    with pytest.raises(ReleaseRefused, match="schema version 2"):
        release.verify(folder)


def test_a_damaged_release_is_replaced_when_its_content_is_published_again(workspace: Path) -> None:
    folder = publish(workspace)
    whole = contents(folder)
    (folder / "scores.sqlite").write_bytes(b"broken")
    assert publish(workspace) == folder
    assert contents(folder) == whole
    assert not list((workspace / "releases").glob(".building-*"))


def test_a_link_in_the_bundle_is_not_followed(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    bundle = make_bundle(tmp_path / "bundle")
    (bundle / "more.json").symlink_to(tmp_path / "secret")
    run = {"as_of": "2026-03-02", "bundle_id": "a" * 64}
    with pytest.raises(ReleaseRefused, match=r"more\.json is a link"):
        release.write(workspace / "releases", ranked(make_scores()), bundle, run)
    assert release.current(workspace / "releases") is None


def test_an_older_day_is_published_only_by_force(workspace: Path) -> None:
    today = publish(workspace)
    with pytest.raises(ReleaseRefused, match="lies before 2026-03-02"):
        publish(workspace, YESTERDAY)
    assert release.current(workspace / "releases") == today
    assert publish(workspace, YESTERDAY, force=True) == release.current(workspace / "releases")


def test_changes_name_the_accounts_that_moved_and_when(workspace: Path) -> None:
    publish(workspace, YESTERDAY, seed=1)
    folder = publish(workspace, AS_OF, seed=2)
    before = {r["account_id"]: r for r in ranked(make_scores(as_of=YESTERDAY, seed=1)).to_pylist()}
    after = {r["account_id"]: r for r in ranked(make_scores(seed=2)).to_pylist()}
    names = ("band", "tier", "stage", "rank")
    expected = {a for a in after if any(before[a][n] != after[a][n] for n in names)}
    changes = read_table(folder / "changes.parquet").to_pylist()
    assert {row["account_id"] for row in changes} == expected
    for row in changes:
        assert (row["old_band"], row["new_rank"]) == (
            before[row["account_id"]]["band"],
            after[row["account_id"]]["rank"],
        )
    opened = release.open_release(folder)
    for account in after:
        query = "SELECT changed_on FROM scores WHERE account_id = ?"
        changed_on = opened.database.execute(query, (account,)).fetchone()[0]
        kept = all(before[account][n] == after[account][n] for n in names[:3])
        assert changed_on == ("2026-03-01" if kept else "2026-03-02")


def test_scoring_a_day_again_still_compares_with_the_night_before(workspace: Path) -> None:
    publish(workspace, YESTERDAY, seed=1)
    publish(workspace, AS_OF, seed=2)
    again = publish(workspace, AS_OF, seed=3)
    assert release.open_release(again).run["compared_with"].startswith("2026-03-01")


def test_rollback_swaps_back_and_forth(workspace: Path) -> None:
    with pytest.raises(NoRelease):
        release.rollback(workspace / "releases")
    old, new = publish(workspace, YESTERDAY), publish(workspace, AS_OF)
    assert release.previous(workspace / "releases") == old
    assert release.rollback(workspace / "releases") == old == release.current(workspace / "releases")
    assert release.rollback(workspace / "releases") == new == release.current(workspace / "releases")


def test_rollback_to_a_damaged_release_changes_nothing(workspace: Path) -> None:
    old, new = publish(workspace, YESTERDAY), publish(workspace, AS_OF)
    (old / "run.json").write_text("{}")
    with pytest.raises(ReleaseRefused):
        release.rollback(workspace / "releases")
    assert release.current(workspace / "releases") == new


def test_a_link_that_leads_out_of_the_folder_is_no_release(workspace: Path) -> None:
    publish(workspace)
    link = workspace / "releases" / "current"
    link.unlink()
    os.symlink("../../elsewhere", link)
    assert release.current(workspace / "releases") is None


@pytest.mark.slow
def test_a_kill_at_any_point_leaves_yesterday_live_and_a_re_run_converges(tmp_path: Path) -> None:
    intended = tmp_path / "intended"
    publish(intended, YESTERDAY, seed=1)
    goal = publish(intended, AS_OF, seed=2)
    for name in FAILPOINTS:
        workspace = tmp_path / name
        yesterday = publish(workspace, YESTERDAY, seed=1)
        environment = {**os.environ, "EXPANSION_FAILPOINT": f"{name}:kill"}
        command = [sys.executable, "-c", PUBLISH, str(workspace)]
        died = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
        assert died.returncode == KILLED, (name, died.stderr.decode())
        live = release.current(workspace / "releases")
        assert live is not None
        assert live.name == (goal.name if name == "current_moved" else yesterday.name), name
        check_manifest(live)
        assert release.previous(workspace / "releases") in (None, yesterday), name
        again = publish(workspace, AS_OF, seed=2)
        assert contents(again) == contents(goal), name
        assert release.current(workspace / "releases") == again
        assert release.previous(workspace / "releases") == yesterday, name
        assert not list((workspace / "releases").glob(".*")), name


@pytest.mark.parametrize("action", ["raise", "enospc"])
@pytest.mark.parametrize("name", FAILPOINTS[:-1])
def test_a_fault_at_any_point_cleans_up_after_itself(
    workspace: Path, name: str, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = publish(workspace, YESTERDAY)
    monkeypatch.setenv("EXPANSION_FAILPOINT", f"{name}:{action}")
    with pytest.raises((FailpointHit, OSError), match=name) as fault:
        publish(workspace, AS_OF)
    assert getattr(fault.value, "errno", None) == (errno.ENOSPC if action == "enospc" else None)
    assert release.current(workspace / "releases") == yesterday
    assert not list((workspace / "releases").glob(".building-*"))


def test_a_failpoint_that_no_sweep_would_reach_is_an_error() -> None:
    with pytest.raises(ValueError, match="not listed"):
        failpoint("made_up")


def test_a_failpoint_that_sleeps_goes_on(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setenv("EXPANSION_FAILPOINT", "renamed:sleep")
    assert publish(workspace, AS_OF) == release.current(workspace / "releases")
    assert slept == [2.0]


@pytest.mark.parametrize("armed", ["renamed:explode", "renamed:", "made_up:kill", "made_up", ":kill"])
def test_an_armed_failpoint_that_does_not_exist_is_refused_at_the_first_one(
    workspace: Path, armed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPANSION_FAILPOINT", armed)
    with pytest.raises(UsageError, match=r"Names: publish_start, .* Actions: kill, raise, enospc, sleep"):
        publish(workspace, AS_OF)
    assert release.current(workspace / "releases") is None
