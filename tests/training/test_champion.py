"""A ledger that is lost is told from a vendor who never had a champion: by the audit that lies beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models import registry
from tests.training.judged import NOW, heldout_rows
from tests.training.promoting import Train
from training.champion import champion_of, crowned
from training.errors import LedgerLost
from training.promote import OlderRelease, rollback
from warehouse.store import Workspace

Lose = Callable[[Path, Path], object]
LOST: dict[str, Lose] = {
    "deleted": lambda ledger, _: ledger.unlink(),
    "no byte left": lambda ledger, _: ledger.write_bytes(b""),
    "made anew": lambda ledger, empty: shutil.copy(empty, ledger),
}


@pytest.mark.parametrize("how", LOST)
def test_a_ledger_that_lost_its_champion_is_no_vendor_without_one(
    workspace: Workspace, train: Train, empty_ledger: Path, how: str
) -> None:
    assert train().promoted
    assert champion_of(workspace) is not None
    ledger = workspace.root / "mlflow.db"
    LOST[how](ledger, empty_ledger)
    left = ledger.read_bytes() if ledger.exists() else None
    with pytest.raises(LedgerLost, match=r"mlflow\.db names no champion, .* version 1 .*backup, or train and") as lost:
        champion_of(workspace)
    assert lost.value.exit_code == 5
    assert (ledger.read_bytes() if ledger.exists() else None) == left, "who reads must not make a ledger"


def test_a_vendor_who_never_had_a_champion_has_none(workspace: Workspace, train: Train) -> None:
    assert champion_of(workspace) is None
    assert not train(heldout_rows(skill=0.0)).promoted
    assert champion_of(workspace) is None


def test_training_anew_after_the_loss_ends_it(workspace: Workspace, train: Train, empty_ledger: Path) -> None:
    train()
    shutil.copy(empty_ledger, workspace.root / "mlflow.db")
    assert train().promoted
    assert champion_of(workspace) is not None


def test_a_release_that_goes_back_alone_does_not_excuse_the_loss(workspace: Workspace, train: Train) -> None:
    train()
    (workspace.root / "mlflow.db").unlink()
    rollback(workspace, NOW, OlderRelease("older", "live", lambda: None, lambda: None))
    with pytest.raises(LedgerLost):
        champion_of(workspace)


PROMOTED: dict[str, Any] = {"action": "promote", "version": 2, "champion": 1}


@pytest.mark.parametrize(
    ("after", "champion"),
    [
        ([], 2),
        ([{"action": "register", "version": 3}, {"action": "refuse", "version": 3, "champion": 2}], 2),
        ([{"action": "rollback", "version": 1, "left": 2}], 1),
        ([{"action": "rollback", "version": None, "left": 2}], None),
        ([{"action": "rollback", "version": None, "left": None}], 2),
        ([{"action": "rollback", "version": 1, "left": 2}, {"action": "undo_rollback", "version": 1, "left": 2}], 2),
        (["a line torn by a cra", 7], 2),
    ],
)
def test_the_last_move_tells_who_was_left_champion(tmp_path: Path, after: list[Any], champion: int | None) -> None:
    audit = tmp_path / "audit.jsonl"
    lines = [json.dumps(PROMOTED), *(line if isinstance(line, str) else json.dumps(line) for line in after)]
    audit.write_text("\n".join(lines))
    assert crowned(audit) == champion


def test_reading_a_workspace_without_a_ledger_makes_none(tmp_path: Path) -> None:
    assert registry.aliases(Workspace(tmp_path)) == {}
    assert registry.history(Workspace(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
