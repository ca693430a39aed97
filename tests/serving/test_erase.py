"""Whoever is erased is in no byte of the workspace, everybody else stays as they were, and what is live stays live."""

from __future__ import annotations

import csv
import gc
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.build import build_features, features_of, open_history, open_vendor
from features.catalogue import Definitions
from features.rollup_stage import update
from features.snapshots import everyone
from serving import erase as verb
from serving import kept, plan, release
from serving.batch import ScoreParams, score
from serving.erase import erase, places
from serving.errors import ReleaseRefused
from tests.dying import Died, dying
from tests.serving.nightly import AS_OF, NOW, histories, rule_bundle, warehouse_of
from tests.serving.published import Service, open_service
from warehouse.accounting import Accounting
from warehouse.errors import DataError, UsageError
from warehouse.ingest import IngestParams, ingest
from warehouse.journal import AUDIT
from warehouse.manifest import refuse_changed
from warehouse.privacy import hash_of, workspace_key
from warehouse.store import Workspace, read_table, write_table
from warehouse.subject import Subject
from warehouse.tombstones import FILE

WHO, USER = "zz-gone-7f3a", "zz-left-7f3a"
TODAY = datetime(2025, 7, 2, 4, tzinfo=UTC)
LENIENT = IngestParams(max_bad_ratio=1)
DEFINITIONS = Definitions.from_params({})


def sent() -> list[dict[str, Any]]:
    """Twelve histories; WHO is the second of them, and USER acts for the first beside the users it has."""
    found = histories()
    found[1]["account"]["account_id"] = WHO
    for event in found[0]["events"][::3]:
        event["user_id"] = USER
    found[0]["account_users"].append({"user_id": USER, "valid_from": "2025-02-01 00:00:00"})
    found[1]["events"].append(found[1]["events"][0] | {"event_id": "bad", "quantity": "none"})
    found[1]["revenue"].append(found[1]["revenue"][0] | {"revenue_id": "bad", "amount": "-1"})
    return found


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the vendor's `raw` and its workspace `w`: two nights, the second twice, a plan, a table in
    artifacts. Never changed by a test."""
    folder = tmp_path_factory.mktemp("erase")
    good = [{**one, "events": [e for e in one["events"] if e["event_id"] != "bad"]} for one in sent()]
    for one in good:
        one["revenue"] = [row for row in one["revenue"] if row["revenue_id"] != "bad"]
    space = warehouse_of(folder / "w", good)
    shutil.move(space.root / "raw", folder / "raw")
    for table in ("events", "revenue"):
        write(folder / "raw" / f"{table}.csv", rows_of(sent(), table))
    ingest(folder / "raw", space, LENIENT, NOW)
    bundle = rule_bundle(space.artifacts / "candidate")
    for day, capacity in ((AS_OF - timedelta(days=1), 60), (AS_OF, 60), (AS_OF, 7)):
        score(space, bundle, day, {"commit": "abc"}, ScoreParams(capacity=capacity))
    plan.plan_week(release.open_current(space.releases), space.root, 10, 0.2)
    write_table(read_table(_scores(space)), space.artifacts / "features.parquet")
    return folder


def rows_of(found: list[dict[str, Any]], table: str) -> list[dict[str, Any]]:
    return [row | {"account_id": one["account"]["account_id"]} for one in found for row in one[table]]


def _scores(space: Workspace) -> Path:
    live = release.current(space.releases)
    assert live is not None
    return live / "scores.parquet"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def space(published: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(published / "w", tmp_path / "w", symlinks=True)
    return Workspace(tmp_path / "w")


def gone(space: Workspace, kind: str = "account", who: str = WHO, apply: bool = True) -> dict[str, Any]:
    gc.collect()  # services of this process that nobody asks any more read nothing
    return erase(space, kind, who, {}, TODAY, apply)


def hits(root: Path, *words: str) -> list[str]:
    """Files with one of the words in their bytes or, for Parquet, in a value."""
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.name != FILE):
        values = str(pq.ParquetFile(path).read().to_pylist()) if path.suffix == ".parquet" else ""
        found += [str(path)] if any(w.encode() in path.read_bytes() or w in values for w in words) else []
    return found


def scores_of_others(space: Workspace) -> pa.Table:
    table = read_table(_scores(space))
    return table.filter(pc.not_equal(table["account_id"], WHO))


def answers(space: Workspace, accounts: list[str]) -> list[bytes]:
    service = open_service(space.root, clock=NOW)
    asked = [service.get(f"/v1/accounts/{account}") for account in accounts]
    assert all(one.status_code == 200 for one in asked)
    return [json.dumps({k: v for k, v in one.json().items() if k != "release"}).encode() for one in asked]


@contextmanager
def looking(service: Service) -> Iterator[None]:
    """A service that has answered all the while takes up a new release, as one that runs does."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            service.refresh()

    thread = threading.Thread(target=look)
    thread.start()
    yield
    ended.set()
    thread.join()
    service.refresh()


def test_an_erased_account_is_in_no_byte_and_others_answer_as_before(space: Workspace, published: Path) -> None:
    service = open_service(space.root, clock=NOW)
    others = scores_of_others(space)["account_id"].to_pylist()
    before, told = scores_of_others(space), answers(space, others)
    assert service.get(f"/v1/accounts/{WHO}").status_code == 200
    would = gone(space, apply=False)
    assert not would["applied"]
    assert {one["place"].split("/")[0] for one in would["places"]} == {
        *("warehouse", "quarantine", "rollup", "releases", "artifacts", "plans"),
    }
    assert not (space.root / FILE).exists()
    with looking(service):
        done = gone(space)
    assert (done["rows"], done["erased_on"]) == (would["rows"], "2025-07-02")
    assert hits(space.root, WHO) == []
    assert len(list(space.releases.glob("[0-9]*"))) == 3
    for folder in space.releases.glob("[0-9]*"):
        release.verify(folder)
    assert scores_of_others(space).equals(before)
    assert answers(space, others) == told
    for path in (f"/v1/accounts/{WHO}", f"/v1/accounts/{WHO}/history", f"/accounts/{WHO}"):
        assert service.get(path).status_code == 404
    assert len(service.get(f"/v1/accounts/{others[0]}/history").json()["nights"]) == 2
    assert refuse_changed(space.warehouse, every=True)
    again = gone(space)
    assert (again["places"], again["erased_on"]) == ([], "2025-07-02")
    assert "nothing of it is left" in verb.lines(again)[0]
    accounting = ingest(published / "raw", space, LENIENT, NOW)  # the same folder: it is all there
    assert hits(space.root, WHO) == []
    assert accounting.quarantined("accounts") == {"erased": 1}
    assert accounting.quarantined("events")["erased"] > 80
    whole = Accounting.from_json(json.loads((space.quarantine / "accounting.json").read_text()))
    assert whole.files == accounting.files  # whose every file adds up, or it could not be made
    assert score(space, space.artifacts / "candidate", AS_OF + timedelta(days=1), {}, ScoreParams()).is_dir()
    assert hits(space.root, WHO) == []


def test_what_was_left_in_the_warehouse_is_what_an_ingest_of_the_others_gives(space: Workspace, tmp_path: Path) -> None:
    gone(space)
    fresh = Workspace(tmp_path / "fresh")
    fresh.root.mkdir()
    shutil.copy2(space.root / ".privacy-key", fresh.root)
    others = [one for one in sent() if one["account"]["account_id"] != WHO]
    raw = tmp_path / "raw"
    raw.mkdir()
    write(raw / "accounts.csv", [one["account"] for one in others])
    for table in ("events", "revenue", "account_users"):
        write(raw / f"{table}.csv", rows_of(others, table))
    ingest(raw, fresh, LENIENT, NOW)
    for table in ("accounts", "events", "revenue", "account_users", "touches"):
        found = [sorted((one.warehouse / table).glob("*.parquet")) for one in (space, fresh)]
        assert [path.name for path in found[0]] == [path.name for path in found[1]]
        left, expected = ([read_table(path).to_pylist() for path in paths] for paths in found)
        assert left == expected


def test_of_two_releases_of_a_night_the_same_one_is_told_after_as_before(space: Workspace) -> None:
    (space.releases / "current").unlink()
    before = [folder.name[:23] for folder in kept.first_of_months(space.releases)[0]]
    capacity = [json.loads((f / "run.json").read_text())["capacity"] for f in kept.first_of_months(space.releases)[0]]
    gone(space)
    after = kept.first_of_months(space.releases)[0]
    assert [folder.name[:23] for folder in after] == before
    assert [json.loads((folder / "run.json").read_text())["capacity"] for folder in after] == capacity


def features_now(space: Workspace) -> pa.Table:
    with open_vendor(space) as con:
        layout = open_history(con, space, DEFINITIONS, AS_OF, AS_OF)
        return build_features(con, everyone(con, AS_OF), DEFINITIONS, layout)


def test_an_erased_user_leaves_the_features_of_a_folder_without_it(
    space: Workspace, published: Path, tmp_path: Path
) -> None:
    update(space, DEFINITIONS)
    key = workspace_key(space.root)
    would = gone(space, "user", USER, apply=False)
    assert [one["place"] for one in would["places"]] == ["warehouse/events", "warehouse/account_users", "rollup"]
    live = release.current(space.releases)
    gone(space, "user", USER)
    assert hits(space.root, USER) == []
    assert hits(space.root, hash_of(USER, key)) == [str(space.root / AUDIT)]
    assert release.current(space.releases) == live
    raw = tmp_path / "raw"
    shutil.copytree(published / "raw", raw)
    for table in ("events", "account_users"):
        rows = list(csv.DictReader((raw / f"{table}.csv").open(encoding="utf-8")))
        write(raw / f"{table}.csv", [row for row in rows if row["user_id"] != USER])
    expected = features_of(raw, AS_OF, LENIENT, DEFINITIONS, datetime(2025, 7, 2, tzinfo=UTC))
    assert features_now(space).equals(expected)
    accounting = ingest(published / "raw", space, LENIENT, NOW)
    assert accounting.quarantined("account_users") == {"erased": 1}
    assert hits(space.root, USER) == []
    assert hits(space.root, hash_of(USER, key)) == [str(space.root / AUDIT)]
    update(space, DEFINITIONS)
    assert features_now(space).equals(expected)


def test_who_is_not_there_and_what_is_damaged_is_told_before_anything_goes(space: Workspace) -> None:
    with pytest.raises(UsageError, match='user "nobody" is nowhere'):
        gone(space, "user", "nobody")
    events = next((space.warehouse / "events").glob("*.parquet"))
    whole = events.read_bytes()
    events.write_bytes(whole[:-9] + b"x" + whole[-8:])
    with pytest.raises(DataError):
        gone(space)
    events.write_bytes(whole)
    (_scores(space).parent / "run.json").write_text("{}")
    with pytest.raises(ReleaseRefused):
        gone(space)
    assert not (space.root / FILE).exists()
    assert hits(space.root, WHO)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "every"), [("replace", 1), ("rename", 1), ("link", 19)])
def test_a_run_that_dies_at_any_step_leaves_the_live_release_whole_and_the_next_one_completes(
    step: str, every: int, space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scores_of_others(space)
    died = 0
    for place in range(1, 60 * every, every):
        trial = Workspace(tmp_path / f"{step}-{place}")
        shutil.copytree(space.root, trial.root, symlinks=True)
        with monkeypatch.context() as patch:
            patch.setattr(os, step, dying(getattr(os, step), place))
            try:
                gone(trial)
            except Died:
                died += 1
            else:
                break
        live = release.open_current(trial.releases)
        live.database.execute("SELECT count(*) FROM scores").fetchall()
        del live  # or it would be read still
        assert scores_of_others(trial).equals(before)
        if (trial.root / FILE).exists():  # from here on no delivery brings it back; before, nothing has gone
            assert gone(trial)["erased_on"] == "2025-07-02"
        else:
            assert hits(trial.root, WHO)
            gone(trial)
        assert hits(trial.root, WHO) == []
        assert scores_of_others(trial).equals(before)
        release.open_current(trial.releases)
        assert refuse_changed(trial.warehouse)
        assert not places(trial, Subject("account", WHO, workspace_key(trial.root)))
        shutil.rmtree(trial.root)
    else:
        raise AssertionError("the step is taken more often than the sweep goes")
    assert died > 3
