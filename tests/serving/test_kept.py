"""A month is told by the first of its nights that is whole."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

from serving.kept import first_of_months, remove, spare, told_until
from serving.manifest import MANIFEST
from serving.release import previous, rollback, verify
from tests.serving.published import AS_OF, publish


def test_a_month_is_told_by_its_first_intact_night_and_damage_is_named(workspace: Path) -> None:
    days = [date(2026, 1, 30), date(2026, 2, 1), date(2026, 2, 2), date(2026, 2, 3), date(2026, 3, 9)]
    nights = {day: publish(workspace, day, seed=number) for number, day in enumerate(days)}
    (nights[days[1]] / "scores.parquet").write_bytes(b"bent")
    taken, refused = first_of_months(workspace / "releases")
    assert taken == [nights[days[0]], nights[days[2]], nights[days[4]]]
    assert list(refused) == [nights[days[1]].name]
    assert "scores.parquet was changed" in refused[nights[days[1]].name]


def test_of_two_releases_of_one_night_the_one_that_was_finished_last_is_what_people_saw(workspace: Path) -> None:
    first, again = publish(workspace, seed=1), publish(workspace, seed=2)
    (workspace / "releases" / "current").unlink()  # which of them is live is lost
    for folder, when in ((first, 1_000), (again, 2_000)):
        os.utime(folder / MANIFEST, (when, when))
    assert first_of_months(workspace / "releases") == ([again], {})
    os.utime(first / MANIFEST, (3_000, 3_000))
    assert first_of_months(workspace / "releases") == ([first], {})


def test_of_two_releases_of_one_night_the_one_that_was_taken_back_is_not_told(workspace: Path) -> None:
    good, bad = publish(workspace, seed=1), publish(workspace, seed=2)
    for folder, when in ((good, 1_000), (bad, 2_000)):
        os.utime(folder / MANIFEST, (when, when))
    assert rollback(workspace / "releases") == good
    assert first_of_months(workspace / "releases") == ([good], {})
    following = publish(workspace, AS_OF + timedelta(days=1))
    assert told_until(following, verify)[0] == [good, following]
    assert first_of_months(workspace / "releases")[0][0] == good


def test_without_releases_there_is_nothing(tmp_path: Path) -> None:
    assert first_of_months(tmp_path / "releases") == ([], {})


def test_what_nothing_reads_is_spare_and_what_is_removed_is_missed_by_nobody(workspace: Path) -> None:
    nights = [date(2025, 11, 28) + timedelta(days=n) for n in range(60)]
    folders = {night: publish(workspace, night) for night in nights}
    releases = workspace / "releases"
    firsts = [folders[date(2025, 11, 28)], folders[date(2025, 12, 1)], folders[date(2026, 1, 1)]]
    kept = [*firsts, *(folders[night] for night in nights[-14:])]
    found = spare(releases)
    assert set(found) == set(folders.values()) - set(kept)
    told, promised = told_until(folders[nights[-1]], verify), first_of_months(releases)
    for folder in found:
        remove(folder)
    assert (told_until(folders[nights[-1]], verify), first_of_months(releases)) == (told, promised)
    assert spare(releases) == []
    assert previous(releases) == folders[nights[-2]]


def test_where_the_first_of_a_month_is_damaged_the_next_one_stays_too(workspace: Path) -> None:
    days = [date(2025, 12, 1), date(2025, 12, 2), date(2025, 12, 3), *(date(2026, 1, 2 + n) for n in range(14))]
    folders = {day: publish(workspace, day) for day in days}
    (folders[days[0]] / "scores.sqlite").write_bytes(b"bent")
    assert spare(workspace / "releases") == [folders[days[0]], folders[days[2]]]


def test_later_nights_taken_back_stay_and_what_tonight_said_before_goes(workspace: Path) -> None:
    days = [date(2026, 1, 2 + n) for n in range(3)]
    first, *_ = [publish(workspace, day) for day in days]
    rollback(workspace / "releases")
    publish(workspace, days[0], seed=9, force=True)
    assert spare(workspace / "releases") == [first]


def test_without_a_live_release_nothing_is_spare(workspace: Path) -> None:
    folder = publish(workspace)
    (workspace / "releases" / "current").unlink()
    assert spare(workspace / "releases") == []
    assert folder.is_dir()
