"""The stages of dvc.yaml in order, then the registry: what `expansion train` runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from features.build import features_stage
from features.catalogue import Definitions
from features.rollup_stage import rollup_stage
from features.snapshots import SnapshotParams, snapshots_stage
from training.evaluate import EvaluateParams, evaluate, truth_in
from training.gate import GateParams
from training.labels import LabelParams, labels_stage
from training.leaks import LeakParams, audit
from training.promote import register_candidate
from training.recipe import TrainParams
from training.slots import read_slots
from training.train import refuse_untellable, train
from warehouse import progress
from warehouse.params import section
from warehouse.store import Workspace


def train_and_register(
    workspace: Workspace, document: dict[str, Any], git_sha: str, clock: Callable[[], datetime], raw: Path | None = None
) -> dict[str, Any]:
    """From the ingested warehouse to a registered challenger.

    Args:
        clock: asked once it is trained, which takes minutes: when it was registered.
        raw: the folder that was ingested, in which evaluation, and no stage before it, looks for a simulator's truth.

    Returns:
        headline and grade of the evaluation, and what `register` says.
    """
    definitions, labels = Definitions.from_params(document), section(document, "labels", LabelParams)
    fitting = section(document, "train", TrainParams)
    judging, auditing = section(document, "evaluate", EvaluateParams), section(document, "leaks", LeakParams)
    needed = section(document, "gate", GateParams).min_positives
    prepare(workspace, document)
    train(workspace, definitions, labels, fitting)
    audit(workspace, definitions, labels, auditing)
    evaluation = evaluate(workspace, judging, truth_in(raw), read_slots(workspace, definitions, labels), needed)
    judged = {name: evaluation[name] for name in ("headline", "grade")}
    return judged | register(workspace, document, git_sha, clock())


def refuse_wrong(document: dict[str, Any]) -> None:
    """Reads every section of the params that training needs, so that a typo costs no minutes.

    Raises:
        ParamsError: an unknown key, a wrong value, or a horizon that the models cannot tell of.
    """
    Definitions.from_params(document)
    refuse_untellable(section(document, "labels", LabelParams), section(document, "train", TrainParams))
    for name, kind in (("snapshots", SnapshotParams), ("evaluate", EvaluateParams), ("leaks", LeakParams)):
        section(document, name, kind)
    section(document, "gate", GateParams)


def prepare(workspace: Workspace, document: dict[str, Any]) -> None:
    """The stages from the ingested warehouse to features and labels."""
    definitions, labels = Definitions.from_params(document), section(document, "labels", LabelParams)
    snapshots = section(document, "snapshots", SnapshotParams)
    rollup_stage(workspace, definitions)
    snapshots_stage(workspace, snapshots)
    features_stage(workspace, definitions)
    labels_stage(workspace, definitions, labels)


def register(workspace: Workspace, document: Mapping[str, Any], git_sha: str, now: datetime) -> dict[str, Any]:
    """Registers what lies in artifacts/.

    Returns:
        version, promoted, the gate's verdict, and `registered`: all of it in one sentence.
    """
    with progress.stage("register"):
        done = register_candidate(workspace, document, git_sha, now)
    number = done.version.version
    if done.promoted:
        said = f"version {number} is champion: the first to pass the gate"
    elif done.verdict.passed:
        said = f"version {number} is challenger and passes the gate: `expansion promote` makes it champion"
    else:
        said = f"version {number} is challenger and fails the gate: {' '.join(done.verdict.failures)}"
    return {"registered": said, "version": number, "promoted": done.promoted, "verdict": done.verdict.document()}
