"""A file that only grows: whole lines, whoever writes and however one of them died."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from warehouse.journal import append

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from warehouse.journal import append
for n in range(100):
    append(Path(sys.argv[1]), datetime(2026, 3, 2, tzinfo=UTC), n=n, padding="x" * 10_000)
"""


def test_lines_written_at_once_are_all_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert sorted(json.loads(line)["n"] for line in path.read_text().splitlines()) == sorted([*range(100)] * 2)


def test_a_line_torn_by_a_crash_takes_no_other_with_it_and_nobody_else_may_read(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    append(path, NOW, action="promote")
    assert path.stat().st_mode & 0o777 == 0o640
    path.write_text(path.read_text() + '{"at": "2026-')
    append(path, NOW, action="rollback")
    first, _, last = path.read_text().splitlines()
    assert json.loads(first) == {"at": "2026-03-02T09:00:00+00:00", "action": "promote"}
    assert json.loads(last)["action"] == "rollback"
