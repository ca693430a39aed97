"""The run ledger, and the only MLflow import: SQLite, one registered model whose version is a whole bundle folder.

Nothing is ever loaded through MLflow: a bundle comes back as a folder, checked against the hash it was registered with,
and `models.scorer` reads it. A version knows its place relative to the workspace, so a workspace can be moved.
MLflow takes seconds to import, so every function here imports it late and a workspace without a registry never does.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.errors import BundleRefused
from models.manifest import verify
from warehouse.errors import Locked, UsageError, is_busy
from warehouse.lock import waiting
from warehouse.store import Workspace

MODEL = "expansion"
EXPERIMENT = "expansion"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
KEPT = (  # of `artifacts/`, each run
    *("evaluation.json", "train.json", "leaks.json", "predictions.parquet", "heldout_accounts.parquet"),
    *("model_card.md", "plots"),
)
ORIGIN = "by_origin/"  # prefix of figures that have one step an origin
BATCH = 100  # params in one request, MLflow's limit
METRICS = 1000  # likewise
PARAM_LENGTH = 6000  # longest param value MLflow takes
TAG_LENGTH = 8000  # longest value of a run's tag; a version's may be longer


@dataclass(frozen=True)
class RunRecord:
    """What a training run was. `params`: the params document; `evaluation`: evaluation.json; `now` without a zone is
    UTC; `rows`: how many rows the model was trained on; `tags`: further tags of the version. `trials`: of the search,
    each with number, params and value (null: it was pruned)."""

    now: datetime
    git_sha: str
    params: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    rows: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    trials: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of the model. `bundle_sha256` is the hash of the bundle's manifest.json; `created_at` is the run's
    `now` in ISO 8601; `aliases` it carries now."""

    version: int
    run_id: str
    bundle_sha256: str
    data_fingerprint: str
    git_sha: str
    created_at: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


def register(workspace: Workspace, bundle: Path, artifacts: Path, record: RunRecord) -> RegisteredVersion:
    """Logs the run, registers `bundle` as the next version and points the alias `challenger` at it.

    Raises:
        BundleRefused: the bundle's files are not those of its manifest.
    """
    sha256 = verify(bundle)
    with _client(workspace) as client:
        run_id = _log_run(client, workspace, bundle, artifacts, record, sha256)
        if not client.search_registered_models(f"name = '{MODEL}'"):
            client.create_registered_model(MODEL, description="Which accounts expand, by when, and by how much.")
        tags = {
            "bundle_sha256": sha256,
            "data_fingerprint": str(record.evaluation["data_fingerprint"]),
            "git_sha": record.git_sha,
            "created_at": record.now.isoformat(),
            "grade": str(record.evaluation["grade"]["word"]),
            "gate": "not judged",
            **record.tags,
        }
        source = f"{client.get_run(run_id).info.artifact_uri}/bundle"
        made = client.create_model_version(MODEL, source=source, run_id=run_id, tags=tags)
        client.set_registered_model_alias(MODEL, CHALLENGER, str(made.version))
    return version_of(workspace, int(made.version))


def code_commit() -> str:
    """The git commit of this code, `unknown` outside a repository."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


def aliases(workspace: Workspace) -> dict[str, int]:
    """Alias -> version. Empty while nothing is registered."""
    if not _made(workspace):
        return {}
    with _client(workspace) as client:
        found = client.search_registered_models(f"name = '{MODEL}'")
        return {name: int(version) for name, version in found[0].aliases.items()} if found else {}


def alias(workspace: Workspace, name: str) -> int | None:
    """The version that `name` points at, or None."""
    return aliases(workspace).get(name)


def move_aliases(workspace: Workspace, moves: Mapping[str, int | None]) -> None:
    """Points each alias at its version, in order and under one lock; None takes the alias away."""
    with _client(workspace) as client:
        for name, version in moves.items():
            if version is None:
                client.delete_registered_model_alias(MODEL, name)
            else:
                client.set_registered_model_alias(MODEL, name, str(version))


def set_tags(workspace: Workspace, version: int, tags: Mapping[str, str], paper: Path | None = None) -> None:
    """Adds tags to the version and, if not too long for it, to its run, which also keeps the file `paper`."""
    with _client(workspace) as client:
        run_id = client.get_model_version(MODEL, str(version)).run_id
        for key, value in tags.items():
            client.set_model_version_tag(MODEL, str(version), key, value)
            if len(value) <= TAG_LENGTH:
                client.set_tag(run_id, key, value)
        if paper is not None:
            client.log_artifact(run_id, str(paper))


def history(workspace: Workspace) -> list[RegisteredVersion]:
    """All versions, oldest first."""
    if not _made(workspace):
        return []
    named = aliases(workspace)
    with _client(workspace) as client:
        found = list(client.search_model_versions(f"name = '{MODEL}'", max_results=10_000))
    return [_version(item, named) for item in sorted(found, key=lambda item: int(item.version))]


def version_of(workspace: Workspace, version: int) -> RegisteredVersion:
    """One version by number.

    Raises:
        UsageError: there is no such version.
    """
    for item in history(workspace):
        if item.version == version:
            return item
    raise UsageError(f"{MODEL} has no version {version} in {workspace.root}. `expansion train` makes one.")


def fetch_bundle(workspace: Workspace, name: str = CHAMPION) -> Path:
    """The bundle folder of the version that alias `name` points at, checked. It belongs to the registry: copy it, never
    write to it.

    Raises:
        UsageError: nothing carries the alias.
        BundleRefused: the folder is gone, or its files are not those that were registered.
    """
    version = alias(workspace, name)
    if version is None:
        raise UsageError(f"no version of {MODEL} is {name} in {workspace.root}. Run `expansion train` first.")
    registered = version_of(workspace, version)
    folder = run_folder(workspace, registered) / "bundle"
    if verify(folder) != registered.bundle_sha256:
        raise BundleRefused(
            f"{folder}: manifest.json is not the one registered as version {version} "
            f"(expected SHA-256 {registered.bundle_sha256[:12]}). Restore it from a backup or roll back."
        )
    return folder


def judged_champion(workspace: Workspace) -> tuple[Path, dict[str, Any]] | None:
    """The champion's verified bundle folder, with grade and headline of its evaluation; null without a champion.

    Raises:
        BundleRefused: the bundle is not the one that was registered.
    """
    number = alias(workspace, CHAMPION)
    if number is None:
        return None
    kept = run_folder(workspace, version_of(workspace, number)) / "evaluation.json"
    evaluation = json.loads(kept.read_text(encoding="utf-8"))
    return fetch_bundle(workspace), {"grade": evaluation["grade"]["word"], "headline": evaluation["headline"]}


def run_folder(workspace: Workspace, registered: RegisteredVersion) -> Path:
    """Where the registry keeps what the version's run logged: `bundle/` and the files of `KEPT`."""
    return _artifacts(workspace) / registered.run_id / "artifacts"


def tracking_uri(workspace: Workspace) -> str:
    """What MLflow calls the ledger, for `mlflow ui --backend-store-uri`."""
    return f"sqlite:///{_database(workspace)}"


def _database(workspace: Workspace) -> Path:
    return workspace.root.resolve() / "mlflow.db"


def _made(workspace: Workspace) -> bool:
    """Whether there is a ledger; an empty file is none, and to ask MLflow would make one of it."""
    return _database(workspace).is_file() and _database(workspace).stat().st_size > 0


def _artifacts(workspace: Workspace) -> Path:
    return workspace.root.resolve() / "mlartifacts"


@contextmanager
def _client(workspace: Workspace) -> Iterator[Any]:
    """An MLflow client while no other run of ours touches the ledger: SQLite's first touch builds the tables, and of
    several processes that race to do so all but one die.

    Raises:
        Locked: another run, or a program such as `mlflow ui`, kept the ledger to itself for too long.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    from mlflow import MlflowClient  # before the lock is held: it takes seconds

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs at length what it raises
    uri, database = tracking_uri(workspace), _database(workspace)
    with waiting(workspace.root / ".mlflow.lock", f"It works on {database}: wait for it to end, then run it again."):
        try:
            yield MlflowClient(tracking_uri=uri, registry_uri=uri)
        except Exception as error:
            if not is_busy(error):
                raise
            raise Locked(
                f"{database} is locked by another program. Close `mlflow ui`, or whatever else has it open, or wait; "
                "then run it again. Nothing is damaged."
            ) from error


def _log_run(client: Any, workspace: Workspace, bundle: Path, artifacts: Path, record: RunRecord, sha256: str) -> str:
    """One finished run with everything a person compares runs by, its trials nested in it; returns its id."""
    now = record.now if record.now.tzinfo else record.now.replace(tzinfo=UTC)
    millis = int(now.timestamp() * 1000)
    evaluation = record.evaluation
    tags = {"git_sha": record.git_sha, "bundle_sha256": sha256, "headline": evaluation["headline"]}
    tags |= {"data_fingerprint": evaluation["data_fingerprint"], "grade": evaluation["grade"]["word"], **record.tags}
    tags |= {"origins": ", ".join(_origins(evaluation))}
    name = f"train {evaluation['trained_as_of']} {sha256[:8]}"
    experiment = _experiment(client, workspace)
    for dead in client.search_runs([experiment], "attributes.status = 'RUNNING'"):  # of ours none else is at work now
        client.set_terminated(dead.info.run_id, status="KILLED", end_time=millis)
    run = client.create_run(experiment, start_time=millis, tags=tags, run_name=name)
    run_id: str = run.info.run_id
    try:
        _log_params(client, run_id, flat(record.params))
        _log_figures(client, run_id, record, millis)
        _log_datasets(client, run_id, record)
        for kept in KEPT:
            if (artifacts / kept).is_dir():
                client.log_artifacts(run_id, str(artifacts / kept), kept)
            elif (artifacts / kept).exists():
                client.log_artifact(run_id, str(artifacts / kept))
        client.log_artifacts(run_id, str(bundle), "bundle")
        for trial in record.trials:
            _log_trial(client, experiment, run_id, trial, millis)
    except BaseException:
        client.set_terminated(run_id, status="FAILED", end_time=millis)
        raise
    client.set_terminated(run_id, end_time=millis)
    return run_id


def _log_params(client: Any, run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    said = [Param(key, value[:PARAM_LENGTH]) for key, value in sorted(params.items())]
    for start in range(0, len(said), BATCH):
        client.log_batch(run_id, params=said[start : start + BATCH])


def _log_figures(client: Any, run_id: str, record: RunRecord, millis: int) -> None:
    """The champion's figures, and those of every origin with its place in the tag `origins`, oldest 0, as step."""
    from mlflow.entities import Metric

    days, evaluation = _origins(record.evaluation), record.evaluation
    found = [Metric(key, value, millis, 0) for key, value in sorted(champion_figures(evaluation["results"]).items())]
    for step, day in enumerate(days):
        figures = champion_figures([row for row in evaluation["by_origin"] if row["as_of"] == day])
        found += [Metric(f"{ORIGIN}{key}", value, millis, step) for key, value in sorted(figures.items())]
    for start in range(0, len(found), METRICS):
        client.log_batch(run_id, metrics=found[start : start + METRICS])


def _log_trial(client: Any, experiment: str, parent: str, trial: Mapping[str, Any], millis: int) -> None:
    """One trial of the search as a run nested in its training run."""
    from mlflow.entities import Metric
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    tags = {MLFLOW_PARENT_RUN_ID: parent}
    run = client.create_run(experiment, start_time=millis, tags=tags, run_name=f"trial {trial['number']}")
    _log_params(client, run.info.run_id, flat(trial["params"]))
    if trial["value"] is not None:
        client.log_batch(run.info.run_id, metrics=[Metric("value", float(trial["value"]), millis, 0)])
    client.set_terminated(run.info.run_id, end_time=millis)


def _experiment(client: Any, workspace: Workspace) -> str:
    """MLflow fixes an experiment's folder for ever, so a workspace that was moved goes on in another experiment."""
    location = _artifacts(workspace).as_uri()
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None and found.artifact_location == location:
        return str(found.experiment_id)
    if found is None:
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))
    moved = f"{EXPERIMENT} {hashlib.sha256(location.encode()).hexdigest()[:8]}"
    again = client.get_experiment_by_name(moved)
    return str(again.experiment_id if again else client.create_experiment(moved, artifact_location=location))


def _log_datasets(client: Any, run_id: str, record: RunRecord) -> None:
    """What was trained on and what was judged on, by digest alone: MLflow would otherwise want a frame in memory to
    hash again. Both are made of one warehouse, whose fingerprint is their digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    evaluation = record.evaluation
    judged = {f"{row['target']}_{row['horizon']}": row.get("n") for row in _champions(evaluation["results"])}
    inputs = []
    for name, context, profile in (
        ("warehouse", "training", {"num_rows": record.rows, "trained_as_of": evaluation["trained_as_of"]}),
        ("heldout", "evaluation", {"rows": judged, "origins": _origins(evaluation)}),
    ):
        dataset = Dataset(
            name=name,
            digest=str(evaluation["data_fingerprint"])[:36],  # as long as MLflow takes
            source_type="local",
            source=json.dumps({"data_fingerprint": evaluation["data_fingerprint"]}),
            profile=json.dumps(profile),
        )
        inputs.append(DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, context)]))
    client.log_inputs(run_id, inputs)


def _champions(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["candidate"] == "champion"]


def _origins(evaluation: Mapping[str, Any]) -> list[str]:
    """Dates at which the champion was judged, oldest first."""
    return sorted({str(row["as_of"]) for row in _champions(evaluation["by_origin"])})


def champion_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """`target_horizon/figure` -> value for every figure of the model that is a number; intervals stay in the file."""
    out = {}
    for row in _champions(rows):
        for key, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and key != "horizon":
                out[f"{row['target']}_{row['horizon']}/{key}"] = float(value)
    return out


def flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested params as `section.key` -> text; a list becomes JSON."""
    out: dict[str, str] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = json.dumps(value, default=str) if isinstance(value, list) else str(value)
    return out


def _version(item: Any, named: Mapping[str, int]) -> RegisteredVersion:
    tags = dict(item.tags)
    return RegisteredVersion(
        version=int(item.version),
        run_id=item.run_id,
        bundle_sha256=tags.get("bundle_sha256", ""),
        data_fingerprint=tags.get("data_fingerprint", ""),
        git_sha=tags.get("git_sha", ""),
        created_at=tags.get("created_at", ""),
        aliases=tuple(sorted(name for name, version in named.items() if version == int(item.version))),
        tags=tags,
    )
