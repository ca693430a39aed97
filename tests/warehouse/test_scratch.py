"""What a run keeps in the system's temporary folder while it works goes with it, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.warehouse.spoilt_files import ROOT
from warehouse.engine import connect
from warehouse.scratch import scratch

NIGHT = """
import sys
from warehouse.engine import connect
from warehouse.scratch import scratch

with connect() as con, scratch("rule") as spare:
    con.execute("CREATE TABLE kept AS SELECT 1")
    (spare / "half").write_text("a bundle")
    print("working", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, of this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def night(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """A process at work, which has a spill and another folder; killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", NIGHT],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        try:
            yield process
        finally:
            process.kill()


def test_what_a_killed_night_left_goes_with_the_next_run_and_one_at_work_keeps_its_own(temporary: Path) -> None:
    with night(temporary) as killed:
        pass
    left = {path.name for path in temporary.iterdir()}
    assert {name.split("-")[1] for name in left} == {"spill", "rule"}
    assert all(f"-{killed.pid}-" in name for name in left)
    with night(temporary) as working:  # the next run, in a process of its own
        held = {path.name for path in temporary.iterdir()}
        assert len(held) == 2
        assert all(f"-{working.pid}-" in name for name in held)
        with connect():
            assert held < {path.name for path in temporary.iterdir()}
        assert held == {path.name for path in temporary.iterdir()}
    with connect(), connect():
        assert len(list(temporary.iterdir())) == 2
    assert not list(temporary.iterdir())


def test_a_reused_process_id_keeps_nothing_and_what_is_not_ours_stays(temporary: Path) -> None:
    (temporary / f"expansion-spill-{os.getpid()}-gone").mkdir()  # of a process that had our id before us
    elsewhere = temporary / "kept"
    elsewhere.mkdir()
    (temporary / "expansion-notes").mkdir()
    (temporary / "expansion-spill-1-link").symlink_to(elsewhere)
    (temporary / "expansion-spill-1-file").write_text("no folder")
    with scratch("check") as folder:
        (folder / "inside").mkdir()
    names = {path.name for path in temporary.iterdir()}
    assert names == {"kept", "expansion-notes", "expansion-spill-1-link", "expansion-spill-1-file"}
