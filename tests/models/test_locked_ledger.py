"""A ledger that somebody else holds is waited for, then told as locked and never as damaged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow.store.db import utils as ledger

from models import registry
from tests.pipeline.terminal import Terminal
from warehouse import lock
from warehouse.errors import Locked
from warehouse.store import Workspace

ROOT = Path(__file__).parents[2]
RUN_OF_OURS = """
import sys, time
from pathlib import Path
from warehouse.lock import waiting
with waiting(Path(sys.argv[1]) / ".mlflow.lock", ""):
    print("held", flush=True)
    time.sleep(60)
"""
OTHER_PROGRAM = """
import sqlite3, sys, time
ledger = sqlite3.connect(sys.argv[1] + "/mlflow.db", isolation_level=None)
ledger.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """With a ledger that names nobody."""
    workspace = Workspace(tmp_path)
    with registry._client(workspace) as client:
        client.search_registered_models()
    return workspace


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


@contextmanager
def held_by(program: str, workspace: Workspace) -> Iterator[int]:
    """The process id of the program that holds the ledger until the block ends."""
    command = [sys.executable, "-c", program, str(workspace.root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_ledger_that_another_run_holds_is_waited_for_and_then_the_holder_is_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WAIT", 0.2)
    with held_by(RUN_OF_OURS, workspace) as holder, pytest.raises(Locked) as told:
        registry.aliases(workspace)
    assert f"held for 0.2 s by process {holder} on" in str(told.value)
    assert "wait for it to end" in str(told.value)
    assert registry.aliases(workspace) == {}  # the kernel lets go of what a killed holder had


def test_a_ledger_that_another_program_holds_ends_the_verb_with_6_and_says_what_to_close(
    workspace: Workspace, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ledger.sql.text
    monkeypatch.setattr(ledger.sql, "text", lambda said: whole(said.replace("20000", "200")))  # ms that MLflow waits
    with held_by(OTHER_PROGRAM, workspace):
        code, _, told = terminal("rollback", "--workspace", workspace.root)
    assert code == 6
    assert "mlflow.db is locked by another program. Close `mlflow ui`" in told
    assert "backup" not in told
    assert "Traceback" not in told


def test_a_ledger_that_is_damaged_is_no_locked_one(workspace: Workspace, terminal: Terminal) -> None:
    (workspace.root / "mlflow.db").write_bytes(b"no ledger" * 1_000)
    code, _, told = terminal("rollback", "--workspace", workspace.root)
    assert code == 5
    assert "Restore mlflow.db and mlartifacts from the backup" in told
