"""Moves the alias `champion`, by the gate's verdict alone. A command, not a stage: it changes the registry, not files.

Every move and every refusal leaves a line in `audit.jsonl` of the workspace, oldest first. An alias moves only after
the verdict is written, and `previous` before `champion`, so a crash in between leaves the old champion live.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from models import registry
from models.canary import prove
from models.registry import CHALLENGER, CHAMPION, PREVIOUS, RegisteredVersion, RunRecord
from training.errors import NothingToPromote, PromotionRefused
from training.evaluate import EvaluateParams, write_json
from training.gate import Verdict, alone, beside, calibrated, headline_rows, incomparable
from warehouse.errors import DataError
from warehouse.params import section
from warehouse.store import Workspace, read_table


@dataclass(frozen=True)
class Registration:
    """A version just registered, the gate's verdict on it, and whether that made it champion."""

    version: RegisteredVersion
    verdict: Verdict
    promoted: bool


@dataclass(frozen=True)
class Rollback:
    """`version` is champion again in the place of `left`."""

    left: int
    version: int


def register_candidate(
    workspace: Workspace, params_document: Mapping[str, Any], git_sha: str, now: datetime
) -> Registration:
    """Registers what train and evaluate left in `artifacts/` as challenger and has the gate judge it. Without a
    champion a challenger that passes becomes the first; one that fails stays challenger and nothing is refused aloud.

    Raises:
        BundleRefused: the candidate's bundle is damaged.
        DataError: the artifacts are not there, or not all of one run.
    """
    artifacts = workspace.artifacts
    evaluation, train = _json(artifacts / "evaluation.json"), _json(artifacts / "train.json")
    if not evaluation["bundle_id"] == train["bundle_id"] == registry.bundle_sha256(artifacts / "candidate"):
        raise DataError(
            f"{artifacts}: evaluation.json, train.json and candidate/ are not of one run "
            f"(bundles {evaluation['bundle_id'][:12]} and {train['bundle_id'][:12]}). Run train, then evaluate."
        )
    record = RunRecord(
        now=now,
        git_sha=git_sha,
        params=params_document,
        evaluation=evaluation,
        rows=int(train.get("population", {}).get("in", 0)),
        tags={"fingerprint": train["fingerprint"], "bundle_id": train["bundle_id"]},
    )
    version = registry.register(workspace, artifacts / "candidate", artifacts, record)
    _audit(workspace, now, "register", version=version.version, bundle_sha256=version.bundle_sha256)
    verdict = judge(workspace, version, section(dict(params_document), "evaluate", EvaluateParams))
    _record(workspace, verdict, now)
    promoted = verdict.champion is None and verdict.passed
    if promoted:
        _crown(workspace, verdict, now)
    return Registration(registry.version_of(workspace, version.version), verdict, promoted)


def promote(workspace: Workspace, params: EvaluateParams, now: datetime) -> Verdict:
    """Judges the challenger and, if it passes, makes it champion; the champion of before becomes `previous`.

    Raises:
        NothingToPromote: there is no challenger.
        PromotionRefused: a rule failed; the aliases are untouched.
    """
    challenger = registry.alias(workspace, CHALLENGER)
    if challenger is None:
        raise NothingToPromote(f"no challenger in {workspace.root}. Run `expansion train` to make one.")
    if challenger == registry.alias(workspace, CHAMPION):
        raise NothingToPromote(f"version {challenger} is champion already. Run `expansion train` to make another.")
    verdict = judge(workspace, registry.version_of(workspace, challenger), params)
    _record(workspace, verdict, now)
    if not verdict.passed:
        _audit(workspace, now, "refuse", version=challenger, champion=verdict.champion, failures=verdict.failures)
        reasons = " ".join(verdict.failures)
        raise PromotionRefused(
            f"version {challenger} is not promoted: {reasons} The champion stays. "
            f"Figures: {workspace.artifacts / 'verdict.json'}.",
            verdict.document(),
        )
    _crown(workspace, verdict, now)
    return verdict


def rollback(workspace: Workspace, now: datetime) -> Rollback:
    """Makes the previous champion champion again. One step: after it there is no `previous`.

    Raises:
        NothingToPromote: there is no previous champion.
    """
    named = registry.aliases(workspace)
    if PREVIOUS not in named or CHAMPION not in named:
        raise NothingToPromote(f"no previous champion in {workspace.root} to go back to.")
    done = Rollback(left=named[CHAMPION], version=named[PREVIOUS])
    registry.move_aliases(workspace, {CHAMPION: done.version, PREVIOUS: None})
    _audit(workspace, now, "rollback", version=done.version, left=done.left)
    return done


def judge(workspace: Workspace, challenger: RegisteredVersion, params: EvaluateParams) -> Verdict:
    """The gate's verdict from what the registry keeps of both versions; moves nothing."""
    folder = registry.run_folder(workspace, challenger)
    evaluation, train = _json(folder / "evaluation.json"), _json(folder / "train.json")
    rules = alone(evaluation, train, params)
    number = registry.alias(workspace, CHAMPION)
    compared, basis = False, "There is no champion yet, so the challenger is judged alone."
    if number is not None and number != challenger.version:
        rules.append(calibrated(evaluation, params))
        champion = registry.version_of(workspace, number)
        reason = _unlike(workspace, challenger, champion, evaluation["headline_horizon"])
        if isinstance(reason, str):
            basis = f"Not compared with champion {number}: {reason}. The challenger is judged alone."
        else:
            compared, basis = True, f"Compared with champion {number} on the same {len(reason[0]):,} rows."
            rules += beside(*reason, params)
    return Verdict(
        passed=all(rule.passed for rule in rules),
        version=challenger.version,
        champion=number,
        compared=compared,
        basis=basis,
        rules=tuple(rules),
    )


def _unlike(
    workspace: Workspace, challenger: RegisteredVersion, champion: RegisteredVersion, horizon: int
) -> str | tuple[Any, Any]:
    """The held-out rows of both, or why they cannot be compared."""
    if challenger.data_fingerprint != champion.data_fingerprint:
        return "it was judged on other data"
    try:
        both = [
            headline_rows(read_table(registry.run_folder(workspace, version) / "predictions.parquet"), horizon)
            for version in (challenger, champion)
        ]
    except DataError as error:
        return f"its stored predictions cannot be read ({error})"
    return incomparable(*both) or (both[0], both[1])


def _crown(workspace: Workspace, verdict: Verdict, now: datetime) -> None:
    """Raises BundleRefused, and moves nothing, if the version's bundle does not survive its canary."""
    prove(registry.run_folder(workspace, registry.version_of(workspace, verdict.version)) / "bundle")
    moves: dict[str, int | None] = {} if verdict.champion is None else {PREVIOUS: verdict.champion}
    registry.move_aliases(workspace, {**moves, CHAMPION: verdict.version, CHALLENGER: None})
    _audit(workspace, now, "promote", version=verdict.version, champion=verdict.champion, basis=verdict.basis)


def _record(workspace: Workspace, verdict: Verdict, now: datetime) -> None:
    """The verdict beside the artifacts and on the version, before anything moves."""
    document = {**verdict.document(), "judged_at": now.isoformat()}
    workspace.artifacts.mkdir(parents=True, exist_ok=True)
    write_json(document, workspace.artifacts / "verdict.json")
    tags = {"gate": "passed" if verdict.passed else "failed", "verdict": json.dumps(document, allow_nan=False)}
    registry.set_tags(workspace, verdict.version, tags)


def _audit(workspace: Workspace, now: datetime, action: str, **facts: Any) -> None:
    """One line, on disk before the caller goes on."""
    line = json.dumps({"at": now.isoformat(), "action": action, **facts}, ensure_ascii=False)
    with (workspace.root / "audit.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}). Run train and evaluate first.") from error
