"""The night after mlflow.db was lost, through the command line: no list without probabilities, and one sentence why."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import release
from tests.pipeline.terminal import Terminal
from tests.serving.nightly import histories, warehouse_of
from tests.training.judged import NOW, trained
from training.evaluate import EvaluateParams, evaluate
from training.promote import register_candidate
from warehouse.store import Workspace

SAYS = "mlflow.db names no champion"


def at(workspace: Workspace) -> tuple[object, ...]:
    return "--workspace", workspace.root


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A vendor with a warehouse and a champion."""
    workspace = warehouse_of(tmp_path / "workspace", histories())
    trained(workspace.root)
    evaluate(workspace, EvaluateParams(bootstrap=60))
    assert register_candidate(workspace, {"gate": {"bootstrap": 60}}, "abc123", NOW).promoted
    return workspace


def test_a_night_without_its_ledger_is_refused_and_yesterday_stays(workspace: Workspace, terminal: Terminal) -> None:
    assert terminal("score", *at(workspace), "--as-of", "2025-06-30")[0] == 0
    assert terminal("doctor", *at(workspace))[0] == 0
    yesterday = release.current(workspace.releases)
    (workspace.root / "mlflow.db").unlink()
    for verb in ("score", "doctor", "promote"):
        code, _, said = terminal(verb, *at(workspace))
        assert code == 5
        [sentence] = [line for line in said.splitlines() if line.startswith("error:")]
        assert SAYS in sentence
        assert "restore mlflow.db and mlartifacts from the backup" in sentence
    assert release.current(workspace.releases) == yesterday
    assert not (workspace.root / "mlflow.db").exists()


def test_a_bundle_given_by_hand_is_scored_with_whatever_the_ledger_says(
    workspace: Workspace, terminal: Terminal
) -> None:
    (workspace.root / "mlflow.db").unlink()
    bundle = workspace.artifacts / "candidate"
    assert terminal("score", *at(workspace), "--bundle", bundle)[0] == 0


def test_a_vendor_who_never_had_a_champion_is_served_by_the_rule(tmp_path: Path, terminal: Terminal) -> None:
    workspace = warehouse_of(tmp_path / "workspace", histories())
    assert terminal("score", *at(workspace))[0] == 0
    assert terminal("doctor", *at(workspace))[0] == 0


def test_a_ledger_that_is_no_database_is_named_with_its_remedy(workspace: Workspace, terminal: Terminal) -> None:
    assert terminal("score", *at(workspace), "--as-of", "2025-06-30")[0] == 0
    yesterday = release.current(workspace.releases)
    (workspace.root / "mlflow.db").write_bytes(b"no database " * 400)
    for verb in ("score", "doctor"):
        code, _, said = terminal(verb, *at(workspace))
        [sentence] = [line for line in said.splitlines() if line.startswith("error:")]
        assert code == 5
        assert "Restore mlflow.db and mlartifacts from the backup" in sentence
        assert "sqlalche.me" not in said
    assert release.current(workspace.releases) == yesterday
