"""How a night ended stands in the workspace the next morning, however it ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest

from serving import status
from serving.errors import NothingToScore
from serving.status import night, read
from tests.serving.published import open_service, publish
from warehouse.errors import Locked
from warehouse.lock import exclusive

ROOT = Path(__file__).parents[2]
TONIGHT = datetime(2026, 3, 2, 2, 15, tzinfo=UTC)
ROWS = {"read": 12, "accepted": 9, "duplicate": 1, "quarantined": {"wrong_type": 2}}
ACCOUNTING = {"tables": {"events": ROWS, "accounts": ROWS}}
DYING = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from serving.status import night
night(Path(sys.argv[1]), "2026-03-01", lambda: datetime(2026, 3, 2, 2, 15, tzinfo=UTC), lambda: os.kill(os.getpid(), 9))
"""


def well(workspace: Path) -> dict[str, Any]:
    (workspace / "warehouse").mkdir(exist_ok=True)
    (workspace / "warehouse" / "accounting.json").write_text(json.dumps(ACCOUNTING))
    return {"release": publish(workspace).name}


def ill() -> dict[str, Any]:
    raise NothingToScore("account acme is not to be told")


def on(day: int) -> Any:
    return lambda: TONIGHT + timedelta(days=day)


def test_a_night_that_published_says_what_went_in_and_what_came_out(workspace: Path) -> None:
    said = night(workspace, None, on(0), lambda: well(workspace))
    told = json.loads((workspace / "status.json").read_text())
    assert told["last_success"] == {
        "when": "2026-03-02T02:15:00+00:00",
        "as_of": "2026-03-02",
        "release": said["release"],
        "version": "a" * 12,
        "rows_in": {"read": 24, "accepted": 18, "duplicate": 2, "quarantined": 4},
        "rows_out": 120,
    }
    assert (told["last_failure"], told["started"]) == (None, None)
    assert read(workspace).state == "ok"


def test_a_night_that_failed_is_told_without_values_and_takes_the_last_success_from_nobody(workspace: Path) -> None:
    night(workspace, None, on(0), lambda: well(workspace))
    good = read(workspace).last_success
    with pytest.raises(NothingToScore):
        night(workspace, "2026-03-03", on(1), ill)
    nights = read(workspace)
    assert (nights.state, nights.last_success) == ("failed", good)
    assert nights.last_failure == {
        "when": "2026-03-03T02:15:00+00:00",
        "exit_code": 3,
        "message": "bad data (NothingToScore)",
        "as_of": "2026-03-03",
    }
    assert "acme" not in (workspace / "status.json").read_text()


def test_a_night_that_publishes_again_leaves_the_failure_to_be_read(workspace: Path) -> None:
    with pytest.raises(NothingToScore):
        night(workspace, None, on(0), ill)
    night(workspace, None, on(1), lambda: well(workspace))
    nights = read(workspace)
    assert nights.state == "ok"
    assert nights.last_failure is not None


def test_a_night_that_finds_the_workspace_held_is_told_beside_the_one_at_work(workspace: Path) -> None:
    def refused() -> dict[str, Any]:
        with pytest.raises(Locked):
            night(workspace, None, on(0), ill)
        assert read(workspace).state == "running"
        return well(workspace)

    night(workspace, None, on(0), refused)
    nights = read(workspace)
    assert (nights.last_failure or {})["exit_code"] == 6
    assert nights.last_success is not None


def test_a_night_that_was_killed_is_found_dead_also_by_the_next_one(workspace: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", DYING, str(workspace)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert json.loads((workspace / "status.json").read_text())["started"]["as_of"] == "2026-03-01"
    dead = {"when": "2026-03-02T02:15:00+00:00", "exit_code": 137, "message": status.MEANS[137], "as_of": "2026-03-01"}
    assert read(workspace).state == "failed"
    assert read(workspace).last_failure == dead
    with exclusive(workspace, "train"):  # another run is at work, not that night
        assert read(workspace).state == "failed"
    night(workspace, None, on(1), lambda: well(workspace))
    assert read(workspace).state == "ok"
    assert read(workspace).last_failure == dead


def test_a_status_that_somebody_wrote_over_stops_no_night(workspace: Path) -> None:
    workspace.mkdir()
    (workspace / "status.json").write_text("{")
    assert read(workspace).state == "unknown"
    night(workspace, None, on(0), lambda: well(workspace))
    assert read(workspace).state == "ok"


def test_a_status_that_cannot_be_written_does_not_hide_why_the_night_failed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(ENOSPC, "No space left on device")

    def fill() -> dict[str, Any]:
        monkeypatch.setattr(status, "write_json", full)
        return ill()

    with pytest.raises(NothingToScore):
        night(workspace, None, on(0), fill)
    assert "status.json could not be written" in capsys.readouterr().err


def test_monitoring_sees_when_a_night_last_published_and_what_the_last_failure_was(workspace: Path) -> None:
    publish(workspace)
    service = open_service(workspace)
    assert "expansion_night" not in service.get("/metrics").text
    night(workspace, None, on(0), lambda: well(workspace))
    with pytest.raises(NothingToScore):
        night(workspace, None, on(1), ill)
    told = dict(
        line.split() for line in service.get("/metrics").text.splitlines() if line.startswith("expansion_night")
    )
    assert float(told["expansion_night_succeeded_seconds"]) == TONIGHT.timestamp()
    assert float(told["expansion_night_failed_seconds"]) == (TONIGHT + timedelta(days=1)).timestamp()
    assert float(told["expansion_night_failed_exit_code"]) == 3
    assert "expansion_night_started_seconds" not in told


def test_another_run_of_the_same_process_number_does_not_keep_a_dead_night_alive(workspace: Path) -> None:
    """In containers the number comes again."""
    with exclusive(workspace, "score"):
        began = {"when": TONIGHT.isoformat(), "as_of": None, "pid": os.getpid(), "host": socket.gethostname()}
        told = {"schema_version": 1, "last_success": None, "last_failure": None, "started": began}
        (workspace / "status.json").write_text(json.dumps(told))
        assert read(workspace).state == "running"
    with exclusive(workspace, "train"):
        assert read(workspace).state == "failed"


def test_a_night_that_ends_between_two_looks_is_not_called_killed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(workspace, None, on(0), lambda: well(workspace))
    path = workspace / "status.json"
    over = path.read_text()
    began = {"when": TONIGHT.isoformat(), "as_of": None, "pid": 1, "host": "elsewhere"}
    path.write_text(json.dumps(json.loads(over) | {"started": began}))

    def ends_meanwhile(_: Path) -> None:
        path.write_text(over)

    monkeypatch.setattr(status, "holder", ends_meanwhile)
    assert read(workspace).state == "ok"
