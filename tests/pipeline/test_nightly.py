"""The night: whole or not at all, the same twice, and yesterday live when anything fails."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.pipeline.conftest import Vendor
from tests.pipeline.vendor import ROOT, done, live_bytes, run


def bundle(vendor: Vendor) -> Path:
    return vendor.workspace / "artifacts" / "candidate"


def score(vendor: Vendor, *more: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return run("score", "--workspace", vendor.workspace, "--bundle", bundle(vendor), *more, env=env)


def test_scoring_a_day_twice_changes_no_byte(vendor: Vendor) -> None:
    before = live_bytes(vendor.workspace)
    assert score(vendor, "--as-of", vendor.as_of).returncode == 0
    assert live_bytes(vendor.workspace) == before


def test_scoring_from_the_raw_files_anew_gives_the_same_release(vendor: Vendor) -> None:
    before = live_bytes(vendor.workspace)
    shutil.rmtree(vendor.workspace / "releases")
    shutil.rmtree(vendor.workspace / "warehouse")
    assert score(vendor, "--raw", vendor.raw, "--as-of", vendor.as_of).returncode == 0
    after = live_bytes(vendor.workspace)
    assert {name for name in before if before[name] != after.get(name)} == set()


def test_a_bad_delivery_stops_with_code_3_and_leaves_yesterday_live(vendor: Vendor) -> None:
    before = live_bytes(vendor.workspace)
    (vendor.raw / "revenue.parquet").unlink()
    with (vendor.raw / "revenue.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["account_id", "amount", "booked_at"], ["acc-000001", "ten", "2025-01-01"]])
    finished = score(vendor, "--raw", vendor.raw)
    assert finished.returncode == 3
    assert "revenue.csv" in finished.stderr
    assert '"amount"' in finished.stderr
    assert live_bytes(vendor.workspace) == before
    assert (vendor.workspace / "quarantine" / "revenue.parquet").exists()


def test_an_older_delivery_changes_neither_the_list_nor_the_measures(vendor: Vendor) -> None:
    """Yesterday's folder again, or one without its last days: what was live stays, the warehouse too."""
    assert score(vendor, "--raw", vendor.raw).returncode == 0
    before, measures = live_bytes(vendor.workspace), done("incentives", "--workspace", vendor.workspace)
    cut = datetime(2025, 9, 20)  # the data end 2025-10-01
    clocks = {"events": "received_at", "revenue": "booked_at", "accounts": "created_at", "account_users": "valid_from"}
    for path in sorted(vendor.raw.rglob("*.parquet")):
        clock = clocks.get(path.relative_to(vendor.raw).parts[0].removesuffix(".parquet"))
        if clock is not None:
            rows = pq.read_table(path)
            pq.write_table(rows.filter(pc.less(rows[clock], pa.scalar(cut, rows[clock].type))), path)
    finished = score(vendor, "--raw", vendor.raw)
    assert finished.returncode == 3
    assert "an older folder, or one that lacks its last days" in finished.stderr
    assert live_bytes(vendor.workspace) == before
    assert done("incentives", "--workspace", vendor.workspace) == measures
    assert score(vendor, "--raw", vendor.raw, "--force").returncode == 0


def test_a_day_that_has_not_opened_is_refused(vendor: Vendor) -> None:
    before = live_bytes(vendor.workspace)
    finished = score(vendor, "--as-of", "2199-01-01")
    assert finished.returncode == 2
    assert "has not opened" in finished.stderr
    assert live_bytes(vendor.workspace) == before


def test_another_capacity_is_another_release_of_the_same_scores(vendor: Vendor, tmp_path: Path) -> None:
    before = live_bytes(vendor.workspace)
    params = tmp_path / "seven.yaml"
    params.write_text(vendor.params.read_text().replace("capacity: 60", "capacity: 7"))
    assert score(vendor, "--as-of", vendor.as_of, "--params", params).returncode == 0
    after = live_bytes(vendor.workspace)
    assert json.loads(after["run.json"])["capacity"] == 7
    assert after["scores.parquet"] == before["scores.parquet"]
    assert after[""] != before[""]


def test_a_training_that_stops_leaves_the_params_of_the_night(vendor: Vendor, tmp_path: Path) -> None:
    before = (vendor.workspace / "params.yaml").read_bytes()
    params = tmp_path / "typo.yaml"
    params.write_text(vendor.params.read_text().replace("capacity: 60", "capacty: 60"))
    finished = run("train", "--workspace", vendor.workspace, "--params", params)
    assert finished.returncode == 2
    assert "score.capacty" in finished.stderr
    assert (vendor.workspace / "params.yaml").read_bytes() == before


def test_a_run_beside_another_stops_with_code_6_and_names_it(vendor: Vendor) -> None:
    holder = "import sys,time; from pathlib import Path; from warehouse.lock import exclusive\n"
    holder += "with exclusive(Path(sys.argv[1]), 'night'):\n  print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(vendor.workspace)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        finished = score(vendor, "--as-of", vendor.as_of)
        other.kill()
    assert finished.returncode == 6
    assert str(other.pid) in finished.stderr
    assert "night" in finished.stderr


def test_without_a_champion_the_labelled_rule_serves(vendor: Vendor) -> None:
    for name in ("mlflow.db", "mlartifacts", "audit.jsonl"):
        path = vendor.workspace / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    said = done("score", "--workspace", vendor.workspace, "--as-of", "2025-10-01")
    assert said["method"] == "rule"
    first = done("leads", "--workspace", vendor.workspace, "--limit", "1")[0]
    assert first["probability"] is None
    assert "rule" in first["reasons"][0]["text"]


def test_too_few_expansions_stop_training_with_the_counts_and_the_minimum(vendor: Vendor, tmp_path: Path) -> None:
    params = tmp_path / "strict.yaml"
    params.write_text(vendor.params.read_text().replace("min_positives: 20", "min_positives: 5000"))
    finished = run("train", "--workspace", vendor.workspace, "--params", params)
    assert finished.returncode == 3
    assert "5000" in finished.stderr
    assert "accounts expanded" in finished.stderr


class Service:
    """`expansion serve` as a process of its own."""

    def __init__(self, workspace: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.key = run("key", "--workspace", workspace).stdout.strip()
        command = [sys.executable, "-m", "expansion", "serve", "--workspace", str(workspace), "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def get(self, path: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))

    def until(self, wanted: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if self.get("/readyz")["release"] == wanted:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"the service did not serve {wanted} within {seconds} s")

    def stop(self) -> None:
        self.process.terminate()  # BentoML ends its workers, which have sessions of their own; a kill would orphan them
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise


@pytest.mark.slow
def test_a_batch_killed_in_the_middle_leaves_the_old_release_answering_and_the_next_is_picked_up(
    vendor: Vendor,
) -> None:
    yesterday = live_bytes(vendor.workspace)[""].decode()
    service = Service(vendor.workspace)
    try:
        service.until(yesterday)
        for at in ("scores_written", "verified", "link_ready"):
            killed = score(vendor, "--as-of", "2025-10-01", EXPANSION_FAILPOINT=f"{at}:kill")
            assert killed.returncode not in (0, 2, 3, 4, 5, 6)
            answer = service.get("/v1/leads?limit=1")
            assert (answer["release"], len(answer["items"])) == (yesterday, 1)
        assert score(vendor, "--as-of", "2025-10-01").returncode == 0
        today = live_bytes(vendor.workspace)[""].decode()
        assert today != yesterday
        time.sleep(5)  # nobody asks meanwhile, and the first who does has the new release
        assert service.get("/v1/leads?limit=1")["release"] == today
    finally:
        service.stop()
