"""A job may ask for training as often as it likes: it trains where labels matured, or what was asked for changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from models import registry
from tests.pipeline.conftest import Vendor
from tests.pipeline.vendor import done
from training.retrain import nothing_new
from warehouse.store import Workspace


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def test_where_no_label_has_matured_nothing_is_trained_and_nothing_moves(vendor: Vendor) -> None:
    artifacts, versions = vendor.workspace / "artifacts", registry.history(Workspace(vendor.workspace))
    before = stamps(artifacts)
    said = done("train", "--raw", vendor.raw, "--workspace", vendor.workspace, "--if-matured")
    assert said["trained"] is False
    assert "no label has matured since version 1 was trained" in said["why"]
    assert stamps(artifacts) == before
    assert registry.history(Workspace(vendor.workspace)) == versions


@pytest.mark.parametrize("change", ["nothing", "an_older_version", "another_seed", "another_ladder", "another_grid"])
def test_it_is_trained_where_labels_matured_or_something_else_is_asked_for(vendor: Vendor, change: str) -> None:
    space, document = Workspace(vendor.workspace), yaml.safe_load(vendor.params.read_text(encoding="utf-8"))
    if change == "an_older_version":
        taught = registry.run_folder(space, registry.version_of(space, 1)) / "train.json"
        told = json.loads(taught.read_text(encoding="utf-8"))
        taught.write_text(json.dumps(told | {"matured_to": "2024-01-01"}), encoding="utf-8")
    elif change == "another_seed":
        document["train"]["seed"] += 1
    elif change == "another_grid":
        document["snapshots"]["min_age_days"] += 30
    elif change == "another_ladder":
        document["tiers"]["ladder"][-1]["floor"] += 1
    assert (nothing_new(space, document) is None) == (change != "nothing")
