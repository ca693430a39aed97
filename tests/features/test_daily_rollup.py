"""The roll-up on disk: brought up night by night it says what the raw rows say, and touches only days that changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import daily
from features.build import build_features, features_at, open_vendor
from features.rollup_stage import bring_up, update
from tests.features.histories import (
    AS_OFS,
    DAY,
    DEFINITIONS,
    History,
    account,
    at,
    event,
    histories,
    invoice,
    spine,
    spine_of,
    warehouse,
)
from tests.features.nights import land, rollup_files
from tests.features.test_point_in_time import bytes_of
from tests.warehouse.spoilt_files import flip
from warehouse import delivery
from warehouse.errors import ExpansionError
from warehouse.store import Workspace

NIGHTS = [date(2024, 1, 20), date(2024, 2, 27), date(2024, 3, 1), date(2024, 3, 2), date(2024, 4, 20)]


def in_memory(history: History, day: date) -> bytes:
    with warehouse(history) as con:
        return bytes_of(build_features(con, spine_of(history, [day]), DEFINITIONS))


def on_disk(history: History, workspace: Workspace, day: date) -> bytes:
    assert daily.ready(workspace, DEFINITIONS) is not None
    with open_vendor(workspace) as con:
        return bytes_of(features_at(con, workspace, spine_of(history, [day]), DEFINITIONS))


@settings(max_examples=10, deadline=None, derandomize=True)
@given(histories(), st.lists(st.sampled_from(NIGHTS), max_size=3, unique=True))
def test_nights_in_any_number_come_to_what_the_raw_rows_say(history: History, nights: list[date]) -> None:
    """Late rows, ties, days and months that open between two nights; dates before and after the fold."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        for night in sorted(nights):
            update(land(history.cut(night), workspace), DEFINITIONS)
        update(land(history, workspace), DEFINITIONS)
        for day in AS_OFS:
            assert on_disk(history, workspace, day) == in_memory(history, day), day


OLD = History(
    [account("a1"), account("a2")],
    [
        event(at("2023-11-05") + n * DAY, name, who, user_id=user)
        for n in range(0, 110, 3)
        for name, who, user in (("api_called", "a1", "u1"), ("page_seen", "a2", "u2"))
    ],
    [invoice("2023-12-01", 60)],
)
FEBRUARY = at("2024-02-24T10:00:00")


@pytest.fixture
def rolled(tmp_path: Path) -> Workspace:
    workspace = land(OLD, Workspace(tmp_path))
    update(workspace, DEFINITIONS)
    return workspace


def test_a_new_day_rolls_up_that_day_alone(rolled: Workspace) -> None:
    before = rollup_files(rolled)
    land(OLD.plus(History([], [event(FEBRUARY, "limit_hit", user_id="u9")])), rolled)
    after, changed = bring_up(rolled, DEFINITIONS)
    assert (changed.rolled, changed.gone) == (1, 0)
    files = rollup_files(rolled)
    assert {name for name in files if files[name] != before.get(name)} == {
        name for name in files if "2024-02-24" in name
    }
    assert after.folded == date(2024, 2, 1)


def test_a_late_row_rolls_up_the_day_it_happened_on_and_keeps_the_fold(rolled: Workspace) -> None:
    late = event("2023-11-06T09:00:00", "role_assigned", user_id="u7", received_at=FEBRUARY)
    history = OLD.plus(History([], [late]))
    before = rollup_files(rolled)
    _, changed = bring_up(land(history, rolled), DEFINITIONS)
    files = rollup_files(rolled)
    touched = {name for name in files if files[name] != before.get(name)}
    assert changed.rolled == 1
    assert touched
    assert all("2023-11-06" in name for name in touched)
    assert on_disk(history, rolled, date(2024, 3, 1)) == in_memory(history, date(2024, 3, 1))


@pytest.mark.parametrize("what", ["a corrected event", "an event taken back", "another sign-up day"])
def test_a_correction_of_what_was_folded_makes_the_fold_anew(rolled: Workspace, what: str) -> None:
    history = {
        "a corrected event": History(OLD.accounts, [OLD.events[0] | {"user_id": "u5"}, *OLD.events[1:]], OLD.revenue),
        "an event taken back": History(OLD.accounts, OLD.events[1:], OLD.revenue),
        "another sign-up day": History([account("a1", "2023-08-20"), account("a2")], OLD.events, OLD.revenue),
    }[what]
    before = rollup_files(rolled)
    if what == "another sign-up day":  # no event changed: the roll-up of the days stands, the accounts do not
        history = history.plus(History([], [event(FEBRUARY, user_id="u1")]))
    bring_up(land(history, rolled), DEFINITIONS)
    assert rollup_files(rolled)[daily.ACCOUNTS] != before[daily.ACCOUNTS]
    assert on_disk(history, rolled, date(2024, 3, 1)) == in_memory(history, date(2024, 3, 1))


def test_a_name_corrected_to_another_of_the_second_word_makes_the_fold_anew(tmp_path: Path) -> None:
    """70 names fill one word of 63 bits and a part of the next; both names below stand in the next."""
    named = [event(at("2023-11-05") + n * DAY / 24, f"name_{n:02}") for n in range(70)]
    history = History(OLD.accounts, [*named, *OLD.events])
    workspace = land(history, Workspace(tmp_path))
    words = update(workspace, DEFINITIONS).vocabulary.words
    assert words == 2
    corrected = History(OLD.accounts, [*named[:68], named[68] | {"event_name": "name_69"}, *named[69:], *OLD.events])
    names = [sorted({row["event_name"] for row in one.events}) for one in (history, corrected)]
    assert set(names[0]) - set(names[1]) == {"name_68"}
    update(land(corrected, workspace), DEFINITIONS)
    day = date(2024, 3, 1)
    assert on_disk(corrected, workspace, day) == in_memory(corrected, day)


def test_the_same_warehouse_again_writes_nothing(rolled: Workspace) -> None:
    before = rollup_files(rolled)
    update(land(OLD, rolled), DEFINITIONS)
    assert rollup_files(rolled) == before


HARMED = {"a rotten fold": daily.ACCOUNTS, "rotten users": daily.USERS, "a rotten day": "days/day=2024-01-04/*.parquet"}


@pytest.mark.parametrize(
    "harm", ["a lost day", "a day told twice", "a damaged manifest", "other meanings of names", *HARMED]
)
def test_what_the_roll_up_cannot_vouch_for_is_made_again(rolled: Workspace, harm: str) -> None:
    definitions = DEFINITIONS
    if harm == "a lost day":
        next(rolled.rollup.rglob("day=2024-01-04/*.parquet")).unlink()
    elif harm in HARMED:
        [path] = rolled.rollup.glob(HARMED[harm])
        flip(path, path.stat().st_size // 2)
    elif harm == "a day told twice":
        [path] = rolled.rollup.glob("days/day=2024-01-04/*.parquet")
        shutil.copy(path, path.with_name("again.parquet"))
    elif harm == "a damaged manifest":
        (rolled.rollup / daily.FILE).write_text("{")
    else:
        meanings = DEFINITIONS.features.model_copy(update={"specialist": ("page_seen",)})
        definitions = type(DEFINITIONS)(DEFINITIONS.tiers, meanings)
    assert daily.ready(rolled, definitions) is None
    update(rolled, definitions)
    rows = spine(("a1", date(2024, 3, 1)), ("a2", date(2024, 3, 1)))
    with open_vendor(rolled) as con, warehouse(OLD) as raw:
        assert features_at(con, rolled, rows, definitions).equals(build_features(raw, rows, definitions))


def test_a_roll_up_as_it_was_written_is_not_read_and_a_copied_one_is_read_and_kept(
    rolled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Workspace(tmp_path / "elsewhere")
    shutil.copytree(rolled.root, copy.root, copy_function=shutil.copy)  # clocks of now
    reads: list[Path] = []
    real = delivery._sha256
    monkeypatch.setattr(delivery, "_sha256", lambda path: reads.append(path) or real(path))
    assert daily.ready(rolled, DEFINITIONS) is not None
    assert not reads
    assert daily.ready(copy, DEFINITIONS) is not None
    assert len(reads) == len(rollup_files(copy))


@pytest.mark.parametrize("harm", HARMED)
def test_rot_that_moves_no_clock_ends_with_the_file_and_the_remedy(rolled: Workspace, harm: str) -> None:
    [path] = rolled.rollup.glob(HARMED[harm])
    was = path.stat()
    path.write_bytes(b"\0" * was.st_size)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    spine_then = spine_of(OLD, [date(2024, 3, 1) if path.name in (daily.ACCOUNTS, daily.USERS) else date(2024, 1, 20)])
    named = rf"{path.name} is damaged: remove .*rollup, which is made anew from the warehouse"
    with pytest.raises(ExpansionError, match=named), open_vendor(rolled) as con:
        features_at(con, rolled, spine_then, DEFINITIONS)
    if harm != "a rotten day":  # the next night, to which March opens, moves the fold forward
        march = History([], [event(at("2024-03-05"), user_id="u1")])
        with pytest.raises(ExpansionError, match=named):
            update(land(OLD.plus(march), rolled), DEFINITIONS)
    shutil.rmtree(rolled.rollup)
    update(rolled, DEFINITIONS)
    with open_vendor(rolled) as con:
        assert features_at(con, rolled, spine_then, DEFINITIONS).num_rows


def test_more_names_than_a_word_holds_are_still_counted_exactly(tmp_path: Path) -> None:
    many = [event(at("2024-02-01") + n * DAY / 10, f"name_{n:03}", user_id="u1") for n in range(200)]
    workspace = land(OLD, Workspace(tmp_path))
    update(workspace, DEFINITIONS)
    history = OLD.plus(History([], many))
    update(land(history, workspace), DEFINITIONS)
    with open_vendor(workspace) as con:
        [row] = features_at(con, workspace, spine(("a1", date(2024, 3, 1))), DEFINITIONS).to_pylist()
    assert (row["breadth_28d"], row["breadth_life"]) == (200 - 10 + 1, 201)  # ten lie on 1 February; api_called
