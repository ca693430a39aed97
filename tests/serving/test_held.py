"""A release that is read stays, and whoever has put it down, an idle service too, keeps it from nobody."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving import held
from serving.kept import remove
from serving.watcher import ReleaseWatcher
from tests.serving.published import AS_OF, publish
from warehouse.errors import Locked


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "WAIT", 0.1)


def _left_in_a_cycle(watcher: ReleaseWatcher) -> None:
    """As an answer leaves it."""
    answer: list[Any] = [watcher.get()]
    answer.append(answer)


def test_a_service_that_took_up_the_next_release_lets_go_of_the_one_before(workspace: Path) -> None:
    old = publish(workspace)
    watcher = ReleaseWatcher(workspace / "releases", seconds=3_600)
    _left_in_a_cycle(watcher)
    publish(workspace, AS_OF + timedelta(days=1))
    with pytest.raises(Locked, match=f"a service still reads releases/{old.name}"):
        remove(old)
    watcher.refresh()
    watcher.let_go()
    remove(old)
    assert not old.exists()


def test_a_process_that_answers_nobody_keeps_no_release(workspace: Path) -> None:
    live = publish(workspace)
    watcher = ReleaseWatcher(workspace / "releases", seconds=0, load=False)
    with held.unread(live):
        pass
    watcher.refresh()
    assert (watcher.get() or pytest.fail("it is taken up again")).name == live.name
