"""`expansion rollback` as a whole: champion and release go back together or nothing moves, and either is told."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from models import registry
from models.registry import CHALLENGER, CHAMPION, PREVIOUS, RunRecord
from models.scorer import rule_scorer
from serving import release
from tests.models.made_features import DEFINITIONS
from tests.pipeline.terminal import Terminal
from tests.serving.published import publish
from tests.training.judged import NOW
from warehouse.store import Workspace

EVALUATION = {"trained_as_of": "2025-12-31", "data_fingerprint": "d" * 64, "grade": {"word": "good"}, "headline": ""}
OLD, NEW = date(2026, 3, 1), date(2026, 3, 2)


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two registered versions, the second champion and the first `previous`; two releases, the second live."""
    workspace = Workspace(tmp_path_factory.mktemp("nights") / "workspace")
    workspace.artifacts.mkdir(parents=True)
    record = RunRecord(NOW, "abc123", {}, {**EVALUATION, "results": [], "by_origin": []})
    for number in (1, 2):
        bundle = workspace.root / f"bundle{number}"
        rule_scorer(DEFINITIONS, (90, 180), 180, f"this is test {number}").save(bundle)
        registry.register(workspace, bundle, workspace.artifacts, record)
    registry.move_aliases(workspace, {CHAMPION: 2, PREVIOUS: 1, CHALLENGER: None})
    publish(workspace.root, OLD)
    publish(workspace.root, NEW)
    return workspace.root


@pytest.fixture
def workspace(two_nights: Path, tmp_path: Path) -> Workspace:
    """A copy that a test may harm."""
    return Workspace(shutil.copytree(two_nights, tmp_path / "workspace", symlinks=True))


def went_back(terminal: Terminal, workspace: Workspace) -> tuple[int, str, str]:
    return terminal("rollback", "--workspace", workspace.root, "--json")


def _live(workspace: Workspace) -> str:
    folder = release.current(workspace.releases)
    assert folder is not None
    return folder.name[:10]


def _told(workspace: Workspace) -> list[dict[str, Any]]:
    """The audit's lines, a release by its day."""
    path = workspace.root / "audit.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    days = ("release", "left_release")
    return [{key: value and value[:10] if key in days else value for key, value in line.items()} for line in lines]


def _facts(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line[key] for key in ("action", "version", "left", "release", "left_release"))


def test_champion_and_release_go_back_together_and_one_line_names_both(
    workspace: Workspace, terminal: Terminal
) -> None:
    code, out, _ = went_back(terminal, workspace)
    assert code == 0
    assert json.loads(out)["champion"] == 1
    assert json.loads(out)["release"].startswith(str(OLD))
    assert registry.aliases(workspace) == {"champion": 1}
    assert _live(workspace) == str(OLD)
    assert [_facts(line) for line in _told(workspace)] == [("rollback", 1, 2, str(OLD), str(NEW))]


def test_without_a_previous_champion_the_release_alone_goes_back_and_the_line_says_so(
    workspace: Workspace, terminal: Terminal
) -> None:
    registry.move_aliases(workspace, {PREVIOUS: None})
    code, out, _ = went_back(terminal, workspace)
    assert (code, json.loads(out)["champion"]) == (0, None)
    assert registry.aliases(workspace) == {"champion": 2}
    assert _live(workspace) == str(OLD)
    assert [_facts(line) for line in _told(workspace)] == [("rollback", None, None, str(OLD), str(NEW))]


def test_without_an_older_release_the_champion_alone_goes_back_and_then_there_is_nowhere_to_go(
    workspace: Workspace, terminal: Terminal
) -> None:
    before = release.previous(workspace.releases)
    assert before is not None
    shutil.rmtree(before)
    assert went_back(terminal, workspace)[0] == 0
    assert registry.aliases(workspace) == {"champion": 1}
    assert [_facts(line) for line in _told(workspace)] == [("rollback", 1, 2, None, None)]
    code, _, err = went_back(terminal, workspace)
    assert code == 2
    assert "neither an earlier release nor a previous champion" in err
    assert (registry.aliases(workspace), _live(workspace)) == ({"champion": 1}, str(NEW))
    assert len(_told(workspace)) == 1


def test_a_damaged_older_release_is_refused_in_one_sentence_and_neither_it_nor_the_champion_moves(
    workspace: Workspace, terminal: Terminal
) -> None:
    before = release.previous(workspace.releases)
    assert before is not None
    (before / "run.json").write_text("{}")
    code, out, err = went_back(terminal, workspace)
    assert registry.aliases(workspace) == {"champion": 2, "previous": 1}
    assert _live(workspace) == str(NEW)
    assert (code, list(json.loads(out))) == (4, ["error"])
    assert len(err.strip().splitlines()) == 1
    assert f"release {before.name} is refused: run.json was changed" in err
    assert f"`expansion score --as-of {OLD} --force`" in err
    assert "expansion rollback" not in err, "what was just refused is no remedy"
    [line] = _told(workspace)
    assert _facts(line) == ("refuse_rollback", 1, 2, str(OLD), str(NEW))
    assert "run.json was changed" in line["failures"][0]
