"""Moves the alias `champion`, by the gate's verdict alone. A command, not a stage: it changes the registry, not files.

Every move and every refusal leaves a line in `audit.jsonl` of the workspace, oldest first; that of a move is written
before it, so none is missing after a crash, which may leave one of a move that was not made. A bundle is tried by its
canary before it is judged, compared with or made champion. An alias moves only after the verdict is written, and
`previous` before `champion`, so a crash in between leaves the old champion live.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from models import registry
from models.canary import prove
from models.errors import BundleRefused
from models.manifest import verify
from models.registry import CHALLENGER, CHAMPION, PREVIOUS, RegisteredVersion, RunRecord
from models.scorer import Scorer
from training.champion import refuse_lost
from training.errors import NothingToPromote, PromotionRefused
from training.gate import GateParams, Verdict, alone, comparison, headline_rows
from training.leaks import LEAKS
from training.same_rows import Duel, Unlike, beside, judged_alike, rescored, unseen
from warehouse.errors import DataError, ExpansionError
from warehouse.journal import AUDIT, append
from warehouse.params import section
from warehouse.store import Workspace, read_table, write_json


@dataclass(frozen=True)
class Registration:
    """A version just registered, the gate's verdict on it, and whether that made it champion."""

    version: RegisteredVersion
    verdict: Verdict
    promoted: bool


@dataclass(frozen=True)
class OlderRelease:
    """The release `name` to go back to from `left`, the live one if any. `verify` refuses a damaged one, `swap` makes
    it live; both are of serving, which training never imports."""

    name: str
    left: str | None
    verify: Callable[[], object]
    swap: Callable[[], object]


@dataclass(frozen=True)
class Rollback:
    """`version` is champion again in the place of `left`, and `release` is live; null: unchanged."""

    left: int | None
    version: int | None
    release: str | None


def register_candidate(
    workspace: Workspace, params_document: Mapping[str, Any], git_sha: str, now: datetime
) -> Registration:
    """Registers what train and evaluate left in `artifacts/` as challenger and has the gate judge it. Without a
    champion a challenger that passes becomes the first; one that fails stays challenger and nothing is refused aloud.

    Raises:
        BundleRefused: the candidate's bundle is damaged, or did not survive its canary; nothing is registered.
        DataError: the artifacts are not there, or not all of one run.
    """
    artifacts = workspace.artifacts
    evaluation, train = _json(artifacts / "evaluation.json"), _json(artifacts / "train.json")
    leaks = _json(artifacts / LEAKS) if (artifacts / LEAKS).exists() else None
    made = {"evaluation.json": evaluation["bundle_id"], "train.json": train["bundle_id"]}
    made |= {"candidate/": verify(artifacts / "candidate")}
    made |= {} if leaks is None else {LEAKS: leaks["bundle_id"]}
    if len(set(made.values())) > 1:
        named = ", ".join(f"{name} of bundle {bundle[:12]}" for name, bundle in made.items())
        raise DataError(f"{artifacts}: not of one run: {named}. Run train, leaks and evaluate again.")
    # before it is registered: as challenger it would displace a sound one
    with _refusal_told(workspace, now, "refuse", version=None, bundle_sha256=made["candidate/"]):
        prove(artifacts / "candidate")
    record = RunRecord(
        now=now,
        git_sha=git_sha,
        params=params_document,
        evaluation=evaluation,
        rows=int(train.get("population", {}).get("in", 0)),
        tags={
            "fingerprint": train["fingerprint"],
            "bundle_id": train["bundle_id"],
            "leak_audit": "absent" if leaks is None else "passed" if leaks["passed"] else "failed",
        },
        trials=_trials(train),
    )
    version = registry.register(workspace, artifacts / "candidate", artifacts, record)
    _audit(workspace, now, "register", version=version.version, bundle_sha256=version.bundle_sha256)
    _prove_challenger(workspace, now)
    verdict = judge(workspace, version, section(dict(params_document), "gate", GateParams))
    _record(workspace, verdict, now)
    promoted = verdict.champion is None and verdict.passed
    if promoted:
        _crown(workspace, verdict, now)
    return Registration(registry.version_of(workspace, version.version), verdict, promoted)


def settled(workspace: Workspace) -> int | None:
    """The champion's version where no challenger waits; null where one does, or there is no champion."""
    challenger, champion = registry.alias(workspace, CHALLENGER), registry.alias(workspace, CHAMPION)
    return champion if challenger in (None, champion) else None


def promote(workspace: Workspace, params: GateParams, now: datetime) -> Verdict:
    """Judges the challenger and, if it passes, makes it champion; the champion of before becomes `previous`.

    Raises:
        NothingToPromote: there is no challenger.
        LedgerLost: there is neither, though the audit tells of a champion.
        BundleRefused: its bundle is damaged or did not survive its canary; not judged, the aliases are untouched.
        PromotionRefused: a rule failed; the aliases are untouched.
    """
    challenger = registry.alias(workspace, CHALLENGER)
    if challenger is None:
        refuse_lost(workspace)
        raise NothingToPromote(f"no challenger in {workspace.root}. Run `expansion train` to make one.")
    if challenger == registry.alias(workspace, CHAMPION):
        raise NothingToPromote(f"version {challenger} is champion already. Run `expansion train` to make another.")
    _prove_challenger(workspace, now)
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


def rollback(workspace: Workspace, now: datetime, older: OlderRelease | None = None) -> Rollback:
    """Makes the previous champion, where there is one, champion again, and the `older` release live: both or neither.
    One step: after it there is no `previous`.

    Raises:
        NothingToPromote: there is neither.
        ExpansionError: as `older.verify` has it, or BundleRefused of the previous champion; nothing moved.
    """
    named = registry.aliases(workspace)  # of a lost ledger none: the release goes back alone
    version = named.get(PREVIOUS)
    if version == named.get(CHAMPION):  # a promotion was killed between its two moves
        version = None
    left = None if version is None else named.get(CHAMPION)
    if version is None and older is None:
        raise NothingToPromote(
            f"{workspace.root} has neither an earlier release nor a previous champion to go back to."
        )
    release, left_release = (None, None) if older is None else (older.name, older.left)
    facts = {"version": version, "left": left, "release": release, "left_release": left_release}
    with _refusal_told(workspace, now, "refuse_rollback", **facts):
        if older is not None:
            older.verify()
        if version is not None:
            prove(registry.fetch_bundle(workspace, PREVIOUS))
    _audit(workspace, now, "rollback", **facts)
    try:  # the alias first: after a kill in between, a second call finds no `previous` and moves the release alone
        if version is not None:
            registry.move_aliases(workspace, {CHAMPION: version, PREVIOUS: None})
        if older is not None:
            older.swap()
    except BaseException:
        if version is not None:
            registry.move_aliases(workspace, {CHAMPION: left, PREVIOUS: version})
        _audit(workspace, now, "undo_rollback", **facts)
        raise
    return Rollback(left, version, release)


def judge(workspace: Workspace, challenger: RegisteredVersion, params: GateParams) -> Verdict:
    """The gate's verdict from what the registry keeps of both versions; moves nothing."""
    folder = registry.run_folder(workspace, challenger)
    evaluation, train = _json(folder / "evaluation.json"), _json(folder / "train.json")
    leaks = _json(folder / LEAKS) if (folder / LEAKS).exists() else None
    rules = alone(evaluation, train, leaks, params)
    number = registry.alias(workspace, CHAMPION)
    compared, basis = False, "There is no champion yet, so the challenger is judged alone."
    if number is not None and number != challenger.version:
        rows = headline_rows(read_table(folder / "predictions.parquet"), evaluation["headline_horizon"])
        duel = _duel(workspace, challenger, registry.version_of(workspace, number), rows, evaluation, params)
        if isinstance(duel, str):
            basis = f"Not compared with champion {number}: {duel}."
            rules.append(comparison(duel, number, isinstance(duel, Unlike), params))
        else:
            compared, basis = True, f"Compared with champion {number}: {duel.basis}."
            slices = folder / "heldout_accounts.parquet"
            rules += beside(duel, read_table(slices) if slices.exists() else None, params)
    return Verdict(
        passed=all(rule.passed for rule in rules),
        version=challenger.version,
        champion=number,
        compared=compared,
        basis=basis,
        rules=tuple(rules),
    )


def _duel(
    workspace: Workspace,
    challenger: RegisteredVersion,
    champion: RegisteredVersion,
    rows: pa.Table,
    evaluation: Mapping[str, Any],
    params: GateParams,
) -> Duel | str:
    """Both on the same rows, the champion's bundle before its recipe; or why not, for both."""
    anew = _by_bundle(workspace, challenger, champion, rows, evaluation, params)
    if isinstance(anew, Duel):
        return anew
    try:
        kept = read_table(registry.run_folder(workspace, champion) / "predictions.parquet")
    except DataError as error:
        return f"{anew}; and its stored predictions cannot be read ({error})"
    alike = judged_alike(rows, headline_rows(kept, evaluation["headline_horizon"]), params)
    if isinstance(alike, Duel):
        return alike
    return type(alike)(f"{anew}; and {alike}")


def _by_bundle(
    workspace: Workspace,
    challenger: RegisteredVersion,
    champion: RegisteredVersion,
    rows: pa.Table,
    evaluation: Mapping[str, Any],
    params: GateParams,
) -> Duel | str:
    if champion.tags["fingerprint"] != challenger.tags["fingerprint"]:
        return "its bundle was made for other features or another ladder"
    trained = _json(registry.run_folder(workspace, champion) / "train.json")["trained_as_of"]
    late = unseen(rows, date.fromisoformat(trained), params)
    if isinstance(late, str):
        return late
    try:
        if _json(workspace.artifacts / "train.json")["bundle_id"] != challenger.tags["bundle_id"]:
            return "the features of the challenger's run are no longer there"
        features = read_table(workspace.artifacts / "features.parquet")
        bundle = registry.fetch_bundle(workspace, CHAMPION)
        prove(bundle)
        scorer = Scorer.load(bundle)
    except (BundleRefused, DataError) as error:
        return f"its bundle cannot score the features of today ({error})"
    return rescored(late, features, scorer, evaluation["headline_horizon"])


def _trials(train: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The trials that train.json tells of, as `search` or as `search.trials`; none without a search."""
    found = train.get("search") or ()
    return found.get("trials", ()) if isinstance(found, Mapping) else found


def _prove_challenger(workspace: Workspace, now: datetime) -> None:
    """Raises BundleRefused unless the registry's copy is what was registered and a canary survives it."""
    named = registry.aliases(workspace)
    with _refusal_told(workspace, now, "refuse", version=named[CHALLENGER], champion=named.get(CHAMPION)):
        try:
            prove(registry.fetch_bundle(workspace, CHALLENGER))
        except BundleRefused:  # whatever an earlier verdict said
            registry.set_tags(workspace, named[CHALLENGER], {"gate": "bundle refused"})
            raise


def _crown(workspace: Workspace, verdict: Verdict, now: datetime) -> None:
    """Of a version whose bundle was proven before it was judged."""
    _audit(workspace, now, "promote", version=verdict.version, champion=verdict.champion, basis=verdict.basis)
    moves: dict[str, int | None] = {} if verdict.champion is None else {PREVIOUS: verdict.champion}
    registry.move_aliases(workspace, {**moves, CHAMPION: verdict.version, CHALLENGER: None})


def _record(workspace: Workspace, verdict: Verdict, now: datetime) -> None:
    """The verdict beside the artifacts and on the version, before anything moves."""
    document = {**verdict.document(), "judged_at": now.isoformat()}
    workspace.artifacts.mkdir(parents=True, exist_ok=True)
    write_json(document, workspace.artifacts / "verdict.json")
    tags = {"gate": "passed" if verdict.passed else "failed", "verdict": json.dumps(document, allow_nan=False)}
    registry.set_tags(workspace, verdict.version, tags, workspace.artifacts / "verdict.json")


@contextmanager
def _refusal_told(workspace: Workspace, now: datetime, action: str, **facts: Any) -> Iterator[None]:
    """What is refused inside leaves a line with the reason, as a failed gate does."""
    try:
        yield
    except ExpansionError as refused:
        _audit(workspace, now, action, **facts, failures=[str(refused)])
        raise


def _audit(workspace: Workspace, now: datetime, action: str, **facts: Any) -> None:
    append(workspace.root / AUDIT, now, action=action, **facts)


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}). Run train and evaluate first.") from error
