"""The ledger: what a version keeps, that a bundle comes back as it went in, and the race to be first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models import registry
from models.errors import BundleRefused
from models.manifest import seal
from models.registry import RegisteredVersion, RunRecord
from tests.training.judged import NOW
from warehouse.errors import UsageError
from warehouse.store import Workspace

ROOT = Path(__file__).parents[2]
EVALUATION = {
    "trained_as_of": "2025-12-31",
    "data_fingerprint": "d" * 64,
    "grade": {"word": "good", "why": ""},
    "headline": "Calling the top 10 % would have held 48% of it.",
    "results": [
        {
            "target": "expansion",
            "horizon": 180,
            "candidate": "champion",
            "roc_auc": 0.8,
            "ece": None,
            "roc_auc_ci": [0.7, 0.9],
        },
        {"target": "expansion", "horizon": 180, "candidate": "spend_90d", "roc_auc": 0.6},
    ],
    "by_origin": [
        {"target": "expansion", "horizon": 180, "candidate": "champion", "as_of": day, "roc_auc": auc}
        for day, auc in (("2025-06-01", 0.8), ("2025-03-01", 0.7))
    ],
}


def _bundle(folder: Path, text: str = "{}") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").write_text(text)
    seal(folder)
    return folder


def _artifacts(folder: Path) -> Path:
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    (folder / "plots" / "expansion_180_gains.png").write_bytes(b"picture")
    (folder / "model_card.md").write_text("# card")
    for name in ("evaluation.json", "leaks.json", "train.json"):
        (folder / name).write_text(json.dumps(EVALUATION))
    return folder


def _register(workspace: Workspace, text: str = "{}", made: Path | None = None) -> RegisteredVersion:
    """`made`: where the bundle and what goes with it are written first; null: in the workspace."""
    made = made or workspace.root
    params = {"train": {"seed": 11, "booster": {"rounds": 100}}, "tiers": {"ladder": [{"name": "trial", "floor": 0}]}}
    trials = [{"number": n, "params": {"num_leaves": 7 + n}, "value": [0.31, 0.29, None][n]} for n in range(3)]
    record = RunRecord(NOW, "abc123", params, EVALUATION, 10, {"bundle_id": "b" * 64}, trials)
    return registry.register(workspace, _bundle(made / "new", text), _artifacts(made / "made"), record)


def _ledger(workspace: Workspace) -> Any:
    from mlflow import MlflowClient

    uri = registry.tracking_uri(workspace)
    return MlflowClient(uri, uri)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two versions; the first is champion, the second challenger."""
    workspace = Workspace(tmp_path_factory.mktemp("registry"))
    _register(workspace, '{"number": 1}')
    registry.move_aliases(workspace, {"champion": 1})
    _register(workspace, '{"number": 2}')
    return workspace


def test_a_new_version_is_challenger_and_leaves_the_champion_alone(filled: Workspace) -> None:
    assert registry.aliases(filled) == {"champion": 1, "challenger": 2}
    assert [(item.version, item.aliases) for item in registry.history(filled)] == [
        (1, ("champion",)),
        (2, ("challenger",)),
    ]


def test_a_version_says_what_it_was_made_of(filled: Workspace) -> None:
    version = registry.version_of(filled, 1)
    assert (version.git_sha, version.data_fingerprint, version.created_at) == ("abc123", "d" * 64, NOW.isoformat())
    assert version.tags["gate"] == "not judged"
    assert version.tags["bundle_id"] == "b" * 64


def test_the_run_holds_params_figures_data_and_papers(filled: Workspace) -> None:
    run = _ledger(filled).get_run(registry.version_of(filled, 1).run_id)
    assert run.data.params["train.booster.rounds"] == "100"
    assert json.loads(run.data.params["tiers.ladder"])[0]["name"] == "trial"
    assert run.data.metrics == {"expansion_180/roc_auc": 0.8, "by_origin/expansion_180/roc_auc": 0.8}
    assert run.info.start_time == int(NOW.timestamp() * 1000)
    folder = registry.run_folder(filled, registry.version_of(filled, 1))
    papers = ("model_card.md", "evaluation.json", "leaks.json", "train.json", "plots/expansion_180_gains.png")
    for name in (*papers, "bundle/manifest.json"):
        assert (folder / name).is_file()


def test_a_figure_of_every_origin_is_a_step_and_the_run_says_which_origin(filled: Workspace) -> None:
    client, run_id = _ledger(filled), registry.version_of(filled, 1).run_id
    history = client.get_metric_history(run_id, "by_origin/expansion_180/roc_auc")
    assert [(one.step, one.value) for one in history] == [(0, 0.7), (1, 0.8)]
    assert client.get_run(run_id).data.tags["origins"] == "2025-03-01, 2025-06-01"


def test_the_data_trained_on_and_judged_on_are_inputs_of_the_run(filled: Workspace) -> None:
    inputs = _ledger(filled).get_run(registry.version_of(filled, 1).run_id).inputs.dataset_inputs
    said = {one.tags[0].value: (one.dataset.name, one.dataset.digest) for one in inputs}
    assert said == {"training": ("warehouse", "d" * 36), "evaluation": ("heldout", "d" * 36)}


def test_every_trial_of_the_search_is_a_run_nested_in_its_training_run(filled: Workspace) -> None:
    client, run_id = _ledger(filled), registry.version_of(filled, 1).run_id
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_runs(
        [experiment], f"tags.`mlflow.parentRunId` = '{run_id}'", order_by=["attributes.run_name"]
    )
    assert [run.info.run_name for run in found] == ["trial 0", "trial 1", "trial 2"]
    assert [run.data.params["num_leaves"] for run in found] == ["7", "8", "9"]
    assert [run.data.metrics.get("value") for run in found] == [0.31, 0.29, None]
    assert {run.info.status for run in found} == {"FINISHED"}


def test_a_tag_too_long_for_a_run_stays_on_the_version_and_its_paper_with_the_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    version = _register(workspace)
    paper = tmp_path / "verdict.json"
    paper.write_text("{}")
    registry.set_tags(workspace, 1, {"verdict": "x" * 9000, "gate": "failed"}, paper)
    assert len(registry.version_of(workspace, 1).tags["verdict"]) == 9000
    tags = _ledger(workspace).get_run(version.run_id).data.tags
    assert (tags["gate"], "verdict" in tags) == ("failed", False)
    assert (registry.run_folder(workspace, version) / "verdict.json").read_text() == "{}"


def test_each_alias_brings_back_its_own_bundle(filled: Workspace) -> None:
    for alias, number in (("champion", 1), ("challenger", 2)):
        assert json.loads((registry.fetch_bundle(filled, alias) / "card.json").read_text()) == {"number": number}


def test_a_relative_workspace_is_found_from_another_folder(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(filled.root.parent)
    relative = Workspace(Path(filled.root.name))
    assert registry.fetch_bundle(relative, "champion") == registry.fetch_bundle(filled, "champion")


def test_a_workspace_that_was_moved_still_answers_and_still_registers(tmp_path: Path) -> None:
    _register(Workspace(tmp_path / "old"))
    (tmp_path / "old").rename(tmp_path / "new")
    moved = Workspace(tmp_path / "new")
    assert registry.fetch_bundle(moved, "challenger").is_relative_to(moved.root)
    assert _register(moved, '{"number": 2}').version == 2
    assert json.loads((registry.fetch_bundle(moved, "challenger") / "card.json").read_text()) == {"number": 2}
    assert not (tmp_path / "old").exists()


def test_a_bundle_changed_in_the_registry_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    version = _register(workspace)
    folder = registry.run_folder(workspace, version) / "bundle"
    (folder / "card.json").write_text('{"number": 9}')
    with pytest.raises(BundleRefused):
        registry.fetch_bundle(workspace, "challenger")
    seal(folder)  # a manifest made to match does not help: the version knows the old one
    with pytest.raises(BundleRefused, match="registered as version 1"):
        registry.fetch_bundle(workspace, "challenger")


def test_a_damaged_bundle_is_not_registered(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path / "new")
    (bundle / "card.json").write_text("changed")
    with pytest.raises(BundleRefused):
        registry.register(Workspace(tmp_path), bundle, tmp_path, RunRecord(NOW, "abc", {}, EVALUATION))
    assert registry.aliases(Workspace(tmp_path)) == {}


def test_a_workspace_without_a_registry_says_so_and_gets_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "none")
    assert registry.aliases(workspace) == {}
    assert registry.history(workspace) == []
    with pytest.raises(UsageError, match="expansion train"):
        registry.fetch_bundle(workspace)
    assert not workspace.root.exists()


def test_a_run_that_was_killed_while_it_was_logged_is_no_version_and_the_next_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    monkeypatch.setattr(registry, "_log_params", lambda *_: os._exit(137))
    if (child := os.fork()) == 0:
        try:
            _register(workspace, made=tmp_path)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 137
    monkeypatch.undo()
    assert registry.history(workspace) == []
    made = _register(workspace, made=tmp_path)
    with registry._client(workspace) as client:
        experiment = registry._experiment(client, workspace)
        told = {run.info.run_id: run.info.status for run in client.search_runs([experiment])}
    assert told.pop(made.run_id) == "FINISHED"
    assert sorted(told.values()) == ["FINISHED", "FINISHED", "FINISHED", "KILLED"]  # three trials


def test_importing_the_registry_does_not_import_mlflow() -> None:
    code = "import sys, models.registry; sys.exit('mlflow' in sys.modules or 'lightgbm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_three_processes_may_make_the_registry_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.models.test_registry import _register\n"
        "from warehouse import lock; from warehouse.store import Workspace\n"
        "lock.WAIT = 200  # how long one waits is tested elsewhere; a slow machine takes longer to make a registry\n"
        "print(_register(Workspace(Path(sys.argv[1])), made=Path(sys.argv[2])).version)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "workspace")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen([*command, str(tmp_path / name)], env=env, stdout=subprocess.PIPE, text=True)
        for name in ("one", "two", "three")
    ]
    assert sorted(process.communicate(timeout=240)[0].strip() for process in started) == ["1", "2", "3"]
    assert [process.returncode for process in started] == [0, 0, 0]
