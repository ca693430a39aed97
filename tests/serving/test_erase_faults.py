"""What is damaged, odd, linked, lost or still being read when somebody is erased: told, and never passed over."""

# ruff: noqa: F401, F811  the fixtures of another module are asked for by their names
from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving import held, release
from serving.batch import ScoreParams, score
from serving.erase import lines
from tests.serving.nightly import AS_OF, NOW, rule_bundle
from tests.serving.published import open_service
from tests.serving.test_erase import LENIENT, TODAY, USER, WHO, gone, hits, published, space
from warehouse.errors import DataError, Locked, UsageError
from warehouse.ingest import IngestParams, ingest
from warehouse.privacy import hash_of, workspace_key
from warehouse.store import Workspace
from warehouse.tombstones import FILE


def audit(space: Workspace) -> list[dict[str, Any]]:
    path = space.root / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def oldest(space: Workspace) -> Path:
    return min(space.releases.glob("2025-06-30*"))


def left(said: dict[str, Any], word: str) -> str:
    return next((why for why in said["left"] if word in why), "")


@pytest.mark.parametrize(("file", "bytes"), [("scores.parquet", 500), ("scores.parquet", 0), ("bundle/card.json", 1)])
def test_an_old_release_that_cannot_be_read_may_hold_it_and_goes(
    space: Workspace,
    file: str,
    bytes: int,
) -> None:
    old = oldest(space)
    (old / file).write_bytes((old / file).read_bytes()[:bytes])
    would = gone(space, apply=False)
    assert {"place": f"releases/{old.name}", "rows": None} in would["places"]
    assert any("cannot be read" in line for line in lines(would))
    with pytest.raises(UsageError, match=f"cannot be read: releases/{old.name}"):
        gone(space, who="nobody")
    assert not (space.root / FILE).exists()
    gone(space)
    assert not old.exists()
    assert hits(space.root, WHO) == []


def test_a_table_that_cannot_be_read_is_named_before_anything_goes(space: Workspace) -> None:
    for name, content in (
        ("mine.csv", f"account_id,note\n{WHO},caf\xe9\n".encode("latin-1")),
        ("mine.csv", f'account_id,note\n{WHO},"{"x" * 200_000}"\n'.encode()),
        ("mine.json", b"{"),
        ("mine.parquet", b"PAR1"),
    ):
        (space.artifacts / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            gone(space)
        (space.artifacts / name).unlink()
    assert not (space.root / FILE).exists()
    with pytest.raises(UsageError, match="not UTF-8"):
        gone(space, who="\udcff")
    (space.artifacts / ".x.partial").mkdir()
    card = space.artifacts / "candidate" / "card.json"
    card.write_text('{"method": "model"}')
    (space.artifacts / "mine.json").write_text(f'{{"rows": [{{"account_id": "{WHO}"}}, {{"v": NaN}}]}}')
    assert "as of ?" in left(gone(space), "trained")
    assert "NaN" in (space.artifacts / "mine.json").read_text()
    card.write_text("[1")
    with pytest.raises(DataError, match=r"card\.json"):
        gone(space)


def test_files_of_other_forms_are_freed_too_and_what_is_not_read_is_named(
    space: Workspace,
    tmp_path: Path,
) -> None:
    scores = oldest(space) / "scores.parquet"
    bom, semicolon = space.artifacts / "bom.csv", space.root / "plans" / "touches.csv"
    bom.write_text(f"\ufeffaccount_id,note\n{WHO},x\nother,y\n", encoding="utf-8", newline="")
    semicolon.write_text(f"account_id;note\n{WHO};x\nother;y\n", newline="")
    shutil.copy(scores, space.root / "leads.parquet")
    (space.root / ".backup").mkdir()
    (tmp_path / "far").mkdir()
    shutil.copy(scores, tmp_path / "far" / "scores.parquet")
    os.symlink(tmp_path / "far", space.artifacts / "folder")
    os.symlink(tmp_path / "far" / "scores.parquet", space.artifacts / "file.parquet")
    said = gone(space)
    assert bom.read_text(encoding="utf-8") == "\ufeffaccount_id,note\nother,y\n"
    assert semicolon.read_text() == "account_id;note\nother;y\n"
    assert left(said, "not the product's").endswith(": .backup, leads.parquet")
    assert left(said, "links").endswith(": artifacts/file.parquet, artifacts/folder")
    assert (space.artifacts / "file.parquet").is_symlink()
    assert hits(tmp_path / "far", WHO)


def test_an_id_that_is_a_number_is_looked_for_in_cells(space: Workspace) -> None:
    (space.root / "params.yaml").write_text("excluded: [007, '003']\nday: 2025-03-003\n")
    (space.artifacts / "notes.csv").write_text("who;what\n003;called\n")
    (space.artifacts / "notes.json").write_text('{"calls": ["003"]}')
    (space.artifacts / "other.json").write_text('{"calls": ["1003"], "at": "2025-003", "share": 0.003}')
    said = gone(space, who="003")
    assert left(said, "by hand").endswith(": artifacts/notes.csv, artifacts/notes.json, params.yaml")
    assert left(said, "its id is a number")


def test_a_linked_warehouse_is_refused_before_anything(
    space: Workspace,
    published: Path,
    tmp_path: Path,
) -> None:
    for name in ("warehouse", "quarantine"):
        shutil.move(space.root / name, tmp_path / "far")
        os.symlink(tmp_path / "far", space.root / name)
        with pytest.raises(UsageError, match=f"{name} is a link"):
            gone(space)
        with pytest.raises(UsageError, match=f"{name} is a link"):
            ingest(published / "raw", space, LENIENT, NOW)
        assert not (space.root / FILE).exists()
        (space.root / name).unlink()
        shutil.move(tmp_path / "far", space.root / name)


def test_no_delivery_is_taken_once_the_tombstones_are_lost(space: Workspace, published: Path) -> None:
    gone(space)
    lost = (space.root / FILE).read_bytes()
    for _ in range(2):  # after the erasure, and after an ingest
        (space.root / FILE).unlink()
        with pytest.raises(UsageError, match="Restore the newest"):
            ingest(published / "raw", space, LENIENT, NOW, whole=True)
        with pytest.raises(UsageError, match="Restore the newest"):
            gone(space, who="003")
        assert hits(space.root, WHO) == []
        (space.root / FILE).write_bytes(lost)
        ingest(published / "raw", space, LENIENT, NOW)
    (space.root / FILE).unlink()
    shutil.rmtree(space.warehouse)  # the remedy where there is no backup
    assert ingest(published / "raw", space, LENIENT, NOW).counts["accounts"] == 12


def test_an_erasure_leaves_one_line_of_who_did_it_and_never_the_id(space: Workspace) -> None:
    would = gone(space, apply=False)
    assert audit(space) == []
    gone(space)
    [line] = audit(space)
    assert line.pop("by")
    key = workspace_key(space.root)
    expected = {"action": "erase", "kind": "account", "hash": hash_of(WHO, key), "rows": would["rows"]}
    assert line == {"at": TODAY.isoformat(), **expected}
    gone(space)  # there is nothing left
    assert len(audit(space)) == 1


def test_a_release_that_a_service_still_reads_stays_until_it_has_taken_up_the_next(
    space: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held, "WAIT", 0.1)
    service = open_service(space.root, clock=NOW)
    old = release.current(space.releases)
    assert old is not None
    for _ in range(2):  # the same of a run after one that died
        with pytest.raises(Locked, match=f"a service still reads releases/{old.name}"):
            gone(space)
        assert [folder for folder in space.releases.glob("[0-9]*") if hits(folder, WHO)] == [old]
    ended, answered = threading.Event(), Counter[int]()

    def ask() -> None:
        while not ended.is_set():
            for path in ("/v1/leads?limit=1", "/v1/accounts/000", "/v1/accounts/000/history"):
                answered[service.get(path).status_code] += 1

    monkeypatch.setattr(held, "WAIT", 30.0)
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    gone(space)
    ended.set()
    for thread in threads:
        thread.join()
    assert set(answered) == {200}
    assert hits(space.root, WHO) == []


@pytest.mark.parametrize("capacities", [(60, 30), (30, 60)])
def test_after_an_erasure_a_night_is_compared_with_the_list_that_people_saw(
    space: Workspace,
    capacities: tuple[int, int],
) -> None:
    shutil.rmtree(space.releases)
    bundle = rule_bundle(space.artifacts / "candidate")
    for day, capacity in ((1, capacities[0]), (1, capacities[1]), (0, 60)):
        score(space, bundle, AS_OF - timedelta(days=day), {"commit": "a"}, ScoreParams(capacity=capacity))
    gone(space)
    again = score(space, bundle, AS_OF, {"commit": "a"}, ScoreParams(capacity=77))
    compared = json.loads((again / "run.json").read_text())["compared_with"]
    assert json.loads((space.releases / compared / "run.json").read_text())["capacity"] == capacities[1]


def test_what_a_database_still_has_of_the_erased_reaches_no_file(
    space: Workspace,
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import csv

    tables = ("accounts", "events", "revenue", "account_users")
    path = space.root.parent / "vendor.db"
    with sqlite3.connect(path) as con:
        for table in tables:
            rows = list(csv.reader((published / "raw" / f"{table}.csv").open(encoding="utf-8")))
            con.execute(f"CREATE TABLE {table} ({', '.join(rows[0])})")
            con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows[1:])
    con.close()
    monkeypatch.setenv("VENDOR_URL", f"sqlite:///{path}")
    queries = {table: f"SELECT * FROM {table}" for table in tables}
    asked = {"adapter": "database", "database": {"url_env": "VENDOR_URL", **queries}, "max_bad_ratio": 1}
    params = IngestParams.model_validate(asked)
    ingest(published / "raw", space, params, NOW)
    assert "extracted/events.parquet" in {one["place"] for one in gone(space)["places"]}
    gone(space, "user", USER)
    accounting = ingest(published / "raw", space, params, NOW)
    assert accounting.counts["accounts"] == 11
    assert hits(space.root, WHO, USER) == []
