"""A bundle is tried by its canary before it is judged, compared with, made champion or gone back to."""

from __future__ import annotations

import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models import registry
from models.errors import BundleRefused
from models.manifest import seal, verify
from models.scorer import Scorer
from tests.models.made_features import fitted
from tests.training.judged import NOW, heldout_rows, trained
from tests.training.promoting import DOCUMENT, GATE, PARAMS, Train, audit, lines
from training.errors import PromotionRefused
from training.evaluate import evaluate
from training.promote import OlderRelease, promote, register_candidate, rollback
from warehouse.store import Workspace, write_table

KILLED = r"loading it killed a trial process"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose seal is sound and whose first booster ends the process that parses it."""
    folder = tmp_path_factory.mktemp("hostile") / "bundle"
    fitted(n=600).save(folder)
    booster = folder / "expansion.0.lgb.txt"
    booster.write_bytes(booster.read_bytes().split(b"leaf_value=")[0] + b"leaf_value=")
    seal(folder)
    return folder


@pytest.fixture
def never_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle parsed in this process fails the test: otherwise it would end the test run."""
    monkeypatch.setattr(Scorer, "load", lambda folder: pytest.fail(f"{folder} was parsed in the process that promotes"))


def put_in_place_of(workspace: Workspace, number: int, bundle: Path) -> None:
    """The registry holds `bundle` as version `number`, hash and all: sealed and registered by whoever damaged it."""
    kept = registry.run_folder(workspace, registry.version_of(workspace, number)) / "bundle"
    shutil.rmtree(kept)
    shutil.copytree(bundle, kept)
    registry.set_tags(workspace, number, {"bundle_sha256": verify(bundle)})


@pytest.mark.usefixtures("never_parsed")
def test_a_champions_bundle_that_kills_who_parses_it_is_refused_and_said_to_be(
    workspace: Workspace, train: Train, hostile: Path
) -> None:
    train(trained_as_of="2025-06-01")
    train(heldout_rows(seed=4), trained_as_of="2025-06-01")
    keys = heldout_rows(seed=4).slice(0, 1500).select(["account_id", "as_of"])
    write_table(keys, workspace.artifacts / "features.parquet")
    put_in_place_of(workspace, 1, hostile)
    with pytest.raises(PromotionRefused, match=rf"its bundle cannot score the features of today \(.*{KILLED}"):
        promote(workspace, GATE, NOW)
    assert registry.aliases(workspace) == {"champion": 1, "challenger": 2}


@pytest.mark.usefixtures("never_parsed")
def test_a_challenger_whose_bundle_kills_who_parses_it_is_refused_before_it_is_judged(
    workspace: Workspace, train: Train, hostile: Path
) -> None:
    train(heldout_rows(skill=1.6))
    train(heldout_rows(skill=2.0))
    before, stored = registry.aliases(workspace), (workspace.artifacts / "verdict.json").read_bytes()
    put_in_place_of(workspace, 2, hostile)
    with pytest.raises(BundleRefused, match=KILLED):
        promote(workspace, GATE, NOW + timedelta(hours=1))
    assert registry.aliases(workspace) == before == {"champion": 1, "challenger": 2}
    assert (workspace.artifacts / "verdict.json").read_bytes() == stored
    tags = registry.version_of(workspace, 2).tags
    assert tags["gate"] == "bundle refused"
    assert json.loads(tags["verdict"])["judged_at"] == NOW.isoformat()
    last = lines(workspace)[-1]
    assert (last["action"], last["version"], last["champion"]) == ("refuse", 2, 1)
    assert re.search(KILLED, last["failures"][0])


@pytest.mark.usefixtures("never_parsed")
def test_a_candidate_whose_bundle_kills_who_parses_it_is_not_registered(
    workspace: Workspace, train: Train, hostile: Path
) -> None:
    train(heldout_rows(skill=0.0))
    bundle_id = verify(hostile)
    trained(workspace.root, bundle_id=bundle_id)
    shutil.rmtree(workspace.artifacts / "candidate")
    shutil.copytree(hostile, workspace.artifacts / "candidate")
    evaluate(workspace, PARAMS)
    with pytest.raises(BundleRefused, match=KILLED):
        register_candidate(workspace, DOCUMENT, "abc123", NOW)
    assert registry.aliases(workspace) == {"challenger": 1}, "the challenger of before can still be promoted"
    assert [version.version for version in registry.history(workspace)] == [1]
    last = lines(workspace)[-1]
    assert (last["action"], last["version"], last["bundle_sha256"]) == ("refuse", None, bundle_id)
    assert re.search(KILLED, last["failures"][0])


def test_a_bundle_torn_on_its_way_into_the_registry_becomes_no_champion(
    workspace: Workspace, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = registry.register

    def torn(*told: Any) -> registry.RegisteredVersion:
        version = whole(*told)
        (registry.run_folder(workspace, version) / "bundle" / "model.json").write_text("{")
        return version

    monkeypatch.setattr(registry, "register", torn)
    with pytest.raises(BundleRefused, match=r"model\.json: not the file that was sealed"):
        train()
    assert registry.aliases(workspace) == {"challenger": 1}
    assert registry.version_of(workspace, 1).tags["gate"] == "bundle refused"
    assert audit(workspace) == [("register", 1), ("refuse", 1)]


@pytest.mark.usefixtures("never_parsed")
def test_rollback_moves_neither_alias_nor_release_where_one_of_them_cannot_go(
    workspace: Workspace, train: Train, hostile: Path
) -> None:
    def full() -> None:
        raise OSError("no space left on device")

    train(heldout_rows(skill=1.6))
    train(heldout_rows(skill=2.0))
    promote(workspace, GATE, NOW)
    before, told = registry.aliases(workspace), audit(workspace)
    with pytest.raises(OSError, match="no space"):
        rollback(workspace, NOW, OlderRelease("2025-06-01-a-b", "2025-06-02-a-b", verify=lambda: None, swap=full))
    assert registry.aliases(workspace) == before == {"champion": 2, "previous": 1}
    assert audit(workspace) == [*told, ("rollback", 1), ("undo_rollback", 1)]
    put_in_place_of(workspace, 1, hostile)
    swapped = lambda: pytest.fail("the release went back without its champion")  # noqa: E731
    with pytest.raises(BundleRefused, match=KILLED):
        rollback(workspace, NOW, OlderRelease("2025-06-01-a-b", "2025-06-02-a-b", verify=lambda: None, swap=swapped))
    assert registry.aliases(workspace) == before
    assert audit(workspace)[-1] == ("refuse_rollback", 1)
