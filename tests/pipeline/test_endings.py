"""However a verb ends, a person gets a sentence and a program gets one document."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from errno import ENOSPC
from pathlib import Path
from typing import Any

import duckdb
import pytest

import expansion
from serving.keys import KeyRing
from tests import builders as raw
from tests.pipeline.vendor import ROOT, done
from warehouse.lock import exclusive


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`expansion ARGS`: its exit code, stdout and stderr."""

    def call(*args: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["expansion", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ending:
            expansion.main()
        return (int(ending.value.code or 0), *capsys.readouterr())

    return call


def spoilt(folder: Path) -> Path:
    """Three thousand events, of which a hundred and fifty have no time."""
    events = [raw.event(occurred_at="soon" if n % 20 == 0 else "2024-02-01T09:00:00Z") for n in range(3_000)]
    return raw.write_raw(folder, [raw.account()], events, [raw.invoice()])


@pytest.mark.parametrize(
    ("args", "code", "kind", "says"),
    [
        (["explain", "a1", "--workspace", "nowhere"], 2, "NoRelease", "holds no live release"),
        (["ingest", "--raw", "nowhere", "--workspace", "w"], 3, "ContractBroken", "nowhere is not a folder"),
        (["ingest"], 2, "MissingParameter", "Missing option '--raw'"),
        (["leads", "--limit", "500"], 2, "BadParameter", "200"),
        (["promote", "--workspace", "w"], 2, "NothingToPromote", "expansion train"),
        (["features", "--raw", ".", "--as-of", "2024-02-02", "--out", "."], 2, "UsageError", "is a folder"),
        (["key", "--workspace", "typo"], 2, "UsageError", "typo is not there"),
        (["check", "--raw", ".", "--html", "."], 2, "UsageError", "is a folder"),
        *[
            (["incentives", "--workspace", "w", "--as-of", day], 2, "UsageError", f'"{day}" is not a date')
            for day in ("20250601", "2025-W01-1", "2025-6-1", "")
        ],
        *[
            (["key", "--workspace", ".", "--days", days], 2, "KeysRefused", "give more than 0 and at most 36,500")
            for days in ("nan", "inf", "1e12", "0", "-1")
        ],
        *[
            ([*verb, "--workspace", "a-file"], 2, "BadParameter", "'a-file' is a file")
            for verb in (["score"], ["leads"], ["serve"], ["prune"], ["key"], ["doctor"], ["explain", "a1"])
        ],
        (["nosuch"], 2, "UsageError", "nosuch"),
    ],
)
def test_an_error_is_a_sentence_and_on_demand_a_document(
    ended: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], code: int, kind: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    plain = ended(*args)
    assert plain[:2] == (code, "")
    assert says in plain[2].splitlines()[-1]
    told = ended(*args, "--json")
    error = json.loads(told[1])["error"]
    assert (told[0], error["exit_code"], error["kind"]) == (code, code, kind)
    assert says in error["message"]


def test_a_refused_delivery_tells_what_became_of_every_row(ended: Any, tmp_path: Path) -> None:
    folder = spoilt(tmp_path / "raw")
    code, out, err = ended("ingest", "--raw", folder, "--workspace", tmp_path / "w", "--json")
    error = json.loads(out)["error"]
    assert code == 3
    assert error["accounting"]["tables"]["events"] == {
        "read": 3_000, "accepted": 2_850, "duplicate": 0, "quarantined": {"wrong_type": 150}
    }  # fmt: skip
    assert "events: 3,000 read = 2,850 accepted + 0 duplicate + 150 quarantined" in err
    assert len(error["problems"]) == 1


def test_who_holds_the_workspace_is_named(ended: Any, tmp_path: Path) -> None:
    with exclusive(tmp_path, "train"):
        code, out, err = ended("rollback", "--workspace", tmp_path, "--json")
    assert (code, json.loads(out)["error"]["kind"]) == (6, "Locked")
    assert "in use by `expansion train`, process" in err
    assert "{" not in err


def test_without_a_verb_the_help_says_it_all(ended: Any) -> None:
    code, out, err = ended()
    assert code == 2
    assert "Usage" in out
    assert "error" not in err


def test_a_key_that_is_revoked_opens_nothing(ended: Any, tmp_path: Path) -> None:
    made = json.loads(ended_well(ended, "key", "--workspace", tmp_path, "--json"))
    keys = KeyRing(tmp_path / "keys.json", lambda: datetime.now(UTC))
    assert keys.find(made["key"]) is not None
    told = json.loads(ended_well(ended, "key", "--workspace", tmp_path, "--revoke", made["id"], "--json"))
    assert told["id"] == made["id"]
    assert KeyRing(tmp_path / "keys.json", lambda: datetime.now(UTC)).find(made["key"]) is None
    assert ended("key", "--workspace", tmp_path, "--revoke", "nosuch")[0] == 2


def test_the_keys_can_be_listed_and_one_without_an_end_is_told_when_it_is_made(ended: Any, tmp_path: Path) -> None:
    assert "no key" in ended_well(ended, "key", "--workspace", tmp_path, "--list")
    code, text, err = ended("key", "--workspace", tmp_path, "--name", "crm", "--scope", "read")
    assert code == 0
    assert "has no end" in err
    assert "has no end" not in ended("key", "--workspace", tmp_path, "--name", "crm", "--days", "30")[2]
    [endless, _] = json.loads(ended_well(ended, "key", "--workspace", tmp_path, "--list", "--json"))
    assert (endless["name"], endless["scopes"], endless["state"]) == ("crm", ["read"], "valid")
    listed = ended_well(ended, "key", "--workspace", tmp_path, "--list")
    assert f"{endless['id']}  valid    crm  read  made" in listed
    assert text.strip() not in listed


def ended_well(ended: Any, *args: str | Path) -> str:
    code, out, err = ended(*args)
    assert code == 0, err
    return str(out)


def test_what_is_written_is_closed_to_others(tmp_path: Path) -> None:
    done("simulate", "--accounts", "300", "--quarters", "4", "--out", tmp_path / "raw")
    done("ingest", "--raw", tmp_path / "raw", "--workspace", tmp_path / "w")
    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "w").rglob("*") if not path.is_symlink()}
    assert [path for path, mode in modes.items() if mode & 0o027] == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a file's size are set the Linux way")
def test_a_full_disk_is_no_fault_of_the_files(tmp_path: Path) -> None:
    done("simulate", "--accounts", "300", "--quarters", "4", "--out", tmp_path / "raw")
    command = f"ulimit -f 16; exec {sys.executable} -m expansion ingest --json"  # 16 KiB a file
    finished = subprocess.run(
        ["bash", "-c", f"{command} --raw {tmp_path}/raw --workspace {tmp_path}/w"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 5, finished.stderr
    assert json.loads(finished.stdout)["error"]["message"].startswith("there is no room left to write")


@pytest.mark.parametrize(
    "full",
    [
        OSError(ENOSPC, "No space left on device"),
        sqlite3.OperationalError("database or disk is full"),
        duckdb.IOException("IO Error: Could not write: No space left on device"),
    ],
    ids=["the system", "SQLite", "DuckDB"],
)
def test_a_full_disk_ends_with_5_whichever_library_meets_it(
    ended: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: Exception
) -> None:
    def raising(*_: Any, **__: Any) -> Any:
        raise full

    monkeypatch.setattr("serving.night.publish", raising)
    code, _, err = ended("score", "--workspace", tmp_path)
    assert code == 5
    assert "there is no room left to write" in err
