"""A month is told by the first of its nights that is whole."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

from serving.kept import first_of_months
from serving.manifest import MANIFEST
from tests.serving.published import publish


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
    for folder, when in ((first, 1_000), (again, 2_000)):
        os.utime(folder / MANIFEST, (when, when))
    assert first_of_months(workspace / "releases") == ([again], {})
    os.utime(first / MANIFEST, (3_000, 3_000))
    assert first_of_months(workspace / "releases") == ([first], {})


def test_without_releases_there_is_nothing(tmp_path: Path) -> None:
    assert first_of_months(tmp_path / "releases") == ([], {})
