"""`expansion erase` on a trained vendor: killed and run again, and after the next delivery, nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from serving import release
from tests.pipeline.conftest import Vendor
from tests.pipeline.vendor import ROOT, done, run
from warehouse.manifest import refuse_changed


def erase(vendor: Vendor, account: str, *more: str) -> Any:
    return done("erase", "--workspace", vendor.workspace, "--account", account, *more)


def hits(root: Path, account: str) -> list[str]:
    """Files with the id in their bytes or, for Parquet, in a value."""
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        there = account.encode() in path.read_bytes()
        if path.suffix == ".parquet" and not there:
            table = pq.ParquetFile(path).read()
            texts = [table[name] for name in table.column_names if pa.types.is_string(table.schema.field(name).type)]
            there = any(pc.any(pc.match_substring(column, account)).as_py() for column in texts)
        found += [str(path.relative_to(root))] if there else []
    return found


def scores(vendor: Vendor, account: str) -> tuple[pa.Table, list[Any]]:
    """Of all others, as the live release, verified, has them: its table, and the rows the API reads."""
    live = release.open_current(vendor.workspace / "releases")
    table = pq.read_table(live.folder / "scores.parquet")
    rows = live.database.execute("SELECT * FROM scores WHERE account_id <> ? ORDER BY rank", (account,)).fetchall()
    return table.filter(pc.not_equal(table["account_id"], account)), [tuple(row) for row in rows]


@pytest.mark.slow
def test_an_account_erased_from_a_trained_vendor_is_in_no_file_and_no_delivery_brings_it_back(vendor: Vendor) -> None:
    bundle = vendor.workspace / "artifacts" / "candidate"
    done("score", "--workspace", vendor.workspace, "--as-of", "2025-09-08", "--bundle", bundle)
    account = done("plan", "--workspace", vendor.workspace)["rows"][0]["account_id"]
    assert {Path(file).parts[0] for file in hits(vendor.workspace, account)} >= {
        *("warehouse", "rollup", "artifacts", "releases", "mlartifacts", "plans"),
    }
    others = scores(vendor, account)
    before = {path: path.stat().st_mtime_ns for path in vendor.workspace.rglob("*") if path.name != ".lock"}
    would = erase(vendor, account)
    assert would["rows"] > 1000
    assert {path: path.stat().st_mtime_ns for path in vendor.workspace.rglob("*") if path.name != ".lock"} == before
    said = erase(vendor, account, "--apply")
    assert said["places"] == would["places"]
    assert any("trained as of 2025-10-01" in why for why in said["left"])
    assert not any("by hand" in why for why in said["left"])
    assert hits(vendor.workspace, account) == []
    assert scores(vendor, account) == others
    assert run("explain", account, "--workspace", vendor.workspace).returncode == 2
    assert done("doctor", "--workspace", vendor.workspace)["release"]
    assert erase(vendor, account, "--apply")["places"] == []
    assert run("erase", "--workspace", vendor.workspace, "--account", "nobody").returncode == 2
    accounting = done("ingest", "--raw", vendor.raw, "--workspace", vendor.workspace)
    for table in accounting["tables"].values():
        assert table["read"] == table["accepted"] + table["duplicate"] + sum(table["quarantined"].values())
    assert accounting["tables"]["accounts"]["quarantined"] == {"erased": 1}
    done("score", "--workspace", vendor.workspace, "--as-of", "2025-09-15", "--bundle", bundle)
    assert hits(vendor.workspace, account) == []
    assert json.loads((vendor.workspace / "erased.json").read_text())["erased"][0]["kind"] == "account"


@pytest.mark.slow
def test_a_killed_erasure_leaves_the_live_release_whole_and_the_next_one_completes(vendor: Vendor) -> None:
    account = done("plan", "--workspace", vendor.workspace)["rows"][0]["account_id"]
    others = scores(vendor, account)
    command = ["erase", "--workspace", str(vendor.workspace), "--account", account, "--apply"]
    for at in ("manifest_written", "renamed", "link_ready"):
        assert run(*command, env={"EXPANSION_FAILPOINT": f"{at}:kill"}).returncode == 137
        assert scores(vendor, account) == others
    for place in ("warehouse", "rollup", "artifacts/features.parquet"):  # killed as soon as that one has begun to go
        with subprocess.Popen(
            [sys.executable, "-m", "expansion", *command], cwd=ROOT, stderr=subprocess.DEVNULL
        ) as one:
            path, stamp = vendor.workspace / place, (vendor.workspace / place).stat().st_ino
            while one.poll() is None and path.exists() and path.stat().st_ino == stamp:
                time.sleep(0.005)
            os.kill(one.pid, signal.SIGKILL)
        assert one.returncode == -signal.SIGKILL
        assert scores(vendor, account) == others
    assert erase(vendor, account, "--apply")["rows"] > 0
    assert hits(vendor.workspace, account) == []
    assert scores(vendor, account) == others
    assert refuse_changed(vendor.workspace / "warehouse", every=True)
