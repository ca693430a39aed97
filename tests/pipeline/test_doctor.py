"""What the next night or the service would stumble over is told before it does."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serving.keys import create_key
from tests.pipeline.terminal import Terminal
from tests.pipeline.vendor import run
from tests.serving.nightly import histories, warehouse_of
from warehouse.store import Workspace


@pytest.fixture
def workspace(tmp_path: Path, terminal: Terminal) -> Workspace:
    workspace = warehouse_of(tmp_path / "workspace", histories())
    assert terminal("score", "--workspace", workspace.root)[0] == 0
    create_key(workspace.root / "keys.json", "crm", ("read",), datetime.now(UTC))
    return workspace


def test_of_a_sound_workspace_nothing_is_blocked(workspace: Workspace, terminal: Terminal) -> None:
    code, out, _ = terminal("doctor", "--workspace", workspace.root, "--json")
    said = json.loads(out)
    assert (code, said["blocked"]) == (0, [])
    assert "days ago; facts to 2025-" in said["as_of"]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("a key file that others may read", "can be read by other users. Run: chmod 600"),
        ("a key file that is none", "is not a key file"),
        ("params with a typo", "train.seedz"),
        ("no warehouse", "warehouse is not there"),
    ],
)
def test_what_blocks_the_next_night_or_the_service_is_told_with_code_5(
    workspace: Workspace, terminal: Terminal, harm: str, says: str
) -> None:
    if harm == "a key file that others may read":
        (workspace.root / "keys.json").chmod(0o644)
    elif harm == "a key file that is none":
        (workspace.root / "keys.json").write_text("{")
    elif harm == "params with a typo":
        (workspace.root / "params.yaml").write_text("train: {seedz: 1}\n")
    else:
        shutil.rmtree(workspace.warehouse)
    code, out, _ = terminal("doctor", "--workspace", workspace.root, "--json")
    [why] = json.loads(out)["blocked"]
    assert code == 5
    assert says in why


def test_a_night_that_was_refused_is_seen_the_next_morning_and_the_last_good_one_too(
    workspace: Workspace, terminal: Terminal
) -> None:
    assert terminal("score", "--workspace", workspace.root, "--as-of", "2024-01-01")[0] == 4
    code, out, err = terminal("doctor", "--workspace", workspace.root, "--json")
    told = json.loads(out)["night"]
    assert (code, told["state"]) == (0, "failed")
    assert (told["last_failure"]["exit_code"], told["last_failure"]["as_of"]) == (4, "2024-01-01")
    assert told["last_success"]["release"] == json.loads(out)["release"]["name"]
    assert told["last_success"]["rows_out"] == 12
    assert "night: failed" in err
    out = terminal("doctor", "--workspace", workspace.root)[1]
    assert "as of 2024-01-01: exit code 4, refused by a check (ReleaseRefused)" in out
    assert f"{told['last_success']['release']}, " in out


def test_a_first_night_that_failed_is_seen_though_nothing_is_live(tmp_path: Path, terminal: Terminal) -> None:
    assert terminal("score", "--workspace", tmp_path, "--raw", tmp_path / "nowhere")[0] == 3
    code, _, err = terminal("doctor", "--workspace", tmp_path)
    assert code == 2
    assert "night: failed; last failure: " in err
    assert "exit code 3, bad data (ContractBroken)" in err


def test_a_night_that_was_killed_is_seen_the_next_morning_and_the_next_good_one_ends_the_alarm(
    workspace: Workspace, terminal: Terminal
) -> None:
    killed = run("score", "--workspace", workspace.root, env={"EXPANSION_FAILPOINT": "scores_written"})
    assert killed.returncode == 137
    code, out, err = terminal("doctor", "--workspace", workspace.root, "--json")
    told = json.loads(out)["night"]
    assert (code, told["state"], told["last_failure"]["exit_code"], told["started"]) == (0, "failed", 137, None)
    assert "it never ended: it was killed, or the machine went down" in err
    assert terminal("score", "--workspace", workspace.root)[0] == 0
    told = json.loads(terminal("doctor", "--workspace", workspace.root, "--json")[1])["night"]
    assert (told["state"], told["last_failure"]["exit_code"]) == ("ok", 137)
