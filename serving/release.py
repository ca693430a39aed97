"""Immutable release folders: write, verify, swap, open, go back.

    releases/2026-03-02-1f0c9a3b7d21-8e44d0c2b917/    as_of, bundle, scores
        bundle/  scores.parquet  peers.parquet  season.parquet  scores.sqlite  changes.parquet
        contributions.parquet (a model's)  distributions.json  run.json  manifest.json (last)
    releases/current  -> the one that is served
    releases/previous -> the one before it

A reader sees the old release or the new one, never a mix: the folder is finished, synced and verified under a name of
its own, then `current` is replaced by one rename. The name depends on the bundle, the tables and what people are told
beside them, not on when or where, so publishing the same again finds the folder there and only points `current` at it.
The caller holds the workspace lock.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import threading
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from features.peers import NO_PEERS
from features.season import NO_SEASON
from features.vendor import Vendor
from serving import drift
from serving.changes import compare, rows_before
from serving.database import DATABASE, open_database, write_database
from serving.drift import DISTRIBUTIONS, Watched
from serving.errors import NoRelease, ReleaseRefused
from serving.failpoint import failpoint
from serving.held import hold
from serving.sealing import BUILDING, PEERS, SEASON, is_intact, move_in, name_of, seal, sync, verify
from serving.standing import Replay
from serving.why import Earlier, Explained, columns_kept, explain_change
from warehouse.store import read_table, write_json, write_table

if TYPE_CHECKING:
    from models.scorer import Scorer

CURRENT, PREVIOUS = "current", "previous"
TRIED = 14  # releases verified at most to find one to compare with: after a rule's year, its nights fit no model's


@dataclass(frozen=True)
class Release:
    """One verified release, open for reading. Whoever answers from it keeps it until the answer is out."""

    folder: Path
    as_of: date
    manifest: dict[str, Any]
    run: dict[str, Any]
    scorer: Scorer
    vendor: Vendor
    held: IO[bytes] | None = field(default=None, repr=False, compare=False)  # as long as it is open it is not removed
    _threads: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def card(self) -> dict[str, Any]:
        return self.scorer.card

    @property
    def database(self) -> sqlite3.Connection:
        """This thread's connection to the scores."""
        if not hasattr(self._threads, "connection"):
            self._threads.connection = open_database(self.folder / DATABASE)
        return self._threads.connection  # type: ignore[no-any-return]


def write(
    releases: Path,
    scores: pa.Table,
    bundle: Path,
    run: dict[str, Any],
    force: bool = False,
    vendor: Vendor | None = None,
    explained: Explained | None = None,
    watched: Watched | None = None,
    replay: Replay | None = None,
) -> Path:
    """Publishes `scores` (one row an account, in rank order, one as_of) with the `bundle` folder that made them, and
    with what the `vendor` of them all tells, beside which single histories are set when they are scored by request.

    `run` becomes run.json; it needs `as_of` (YYYY-MM-DD) and `bundle_id`, and for `watched` also `method`, `capacity`.
    `explained` is null for a rule. `watched` null: how tonight is distributed is neither kept nor compared. `replay`:
    see serving.standing.stage_since. Returns the folder that is current now. If an intact release of the same content
    is there already, it stays as it is.

    Raises:
        ReleaseRefused: the live release has a later as_of and `force` is not set, or the bundle holds a link.
    """
    as_of = date.fromisoformat(run["as_of"])
    releases.mkdir(parents=True, exist_ok=True)
    sweep(releases)
    refuse_step_back(releases, as_of, force)
    failpoint("publish_start")
    work = Path(tempfile.mkdtemp(prefix=BUILDING, dir=releases))
    try:
        _copy_bundle(bundle, work / "bundle")
        failpoint("bundle_copied")
        write_table(scores, work / "scores.parquet")
        if vendor is not None:
            write_table(vendor.peers, work / PEERS)
            write_table(vendor.season, work / SEASON)
        failpoint("scores_written")
        name = name_of(work, run)
        if not is_intact(releases / name):
            _finish(work, name, scores, run, explained, watched, replay)
            move_in(work, releases / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    activate(releases, name)
    return releases / name


def open_release(folder: Path) -> Release:
    """Verifies `folder`, then parses it.

    Raises:
        ReleaseRefused: verification failed; nothing was parsed.
    """
    held = hold(folder)
    manifest = verify(folder)
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    scorer = load_scorer(folder / "bundle")
    told = ((PEERS, NO_PEERS), (SEASON, NO_SEASON))
    vendor = Vendor(*(read_table(folder / file) if (folder / file).is_file() else none for file, none in told))
    return Release(folder, date.fromisoformat(manifest["as_of"]), manifest, run, scorer, vendor, held)


def open_current(releases: Path) -> Release:
    """The live release of `releases`, verified.

    Raises:
        NoRelease: there is none yet.
    """
    live = current(releases)
    if live is None:
        raise NoRelease(f"{releases} holds no live release. Run `expansion score` first.")
    return open_release(live)


def load_scorer(bundle: Path) -> Scorer:
    """The scorer of a bundle folder, loaded once a canary process has survived it.

    Raises:
        BundleRefused: it is damaged, or was made for other features.
    """
    from models.canary import prove
    from models.scorer import Scorer

    prove(bundle)
    return Scorer.load(bundle)


def current(releases: Path) -> Path | None:
    """The folder `current` points at, whether or not it is intact; None before the first release."""
    return _target(releases, CURRENT)


def previous(releases: Path) -> Path | None:
    """The release that was live before the current one; None if there is none left."""
    live, before = _target(releases, CURRENT), _target(releases, PREVIOUS)
    if before is not None and before != live and before.is_dir():
        return before
    # A crash between the two renames of `activate` leaves both links on one folder.
    older = [f for f in releases.glob("[0-9]*") if f.is_dir() and live is not None and f.name[:10] < live.name[:10]]
    return max(older, key=lambda folder: folder.name, default=None)


def verify_previous(releases: Path) -> Path:
    """The release to go back to, intact.

    Raises:
        NoRelease: there is nothing to go back to.
        ReleaseRefused: it is damaged; the current one stays.
    """
    before = previous(releases)
    if before is None:
        raise NoRelease(f"{releases} holds no release before the current one. Nothing was changed.")
    try:
        verify(before)
    except ReleaseRefused as error:
        why = str(error).partition(" Run `")[0]  # its remedy would be to go back, which is what was asked for
        again = f"publish that day again: `expansion score --as-of {before.name[:10]} --force`"
        raise ReleaseRefused(f"{why} Nothing moved. Restore it from a backup, or {again}.") from error
    return before


def rollback(releases: Path) -> Path:
    """Swaps `current` and `previous`; returns the folder that is current now. Raises what `verify_previous` does."""
    before = verify_previous(releases)
    activate(releases, before.name)
    return before


def activate(releases: Path, name: str) -> None:
    """Points `current` at the finished release `name`, and `previous` at the one it replaces."""
    live = _target(releases, CURRENT)
    if live is not None and live.name == name:
        return
    if live is not None:
        _point(releases, PREVIOUS, live.name)
    failpoint("previous_moved")
    _point(releases, CURRENT, name)
    failpoint("current_moved")


def repoint(releases: Path, old: str, new: str) -> None:
    """Points the links that name the release `old` at its successor `new`."""
    for link in (CURRENT, PREVIOUS):
        target = _target(releases, link)
        if target is not None and target.name == old:
            _point(releases, link, new)


def sweep(releases: Path) -> None:
    """Removes what runs that died left behind. No published release is touched."""
    for folder in releases.glob(f"{BUILDING}*"):
        shutil.rmtree(folder)
    for link in releases.glob(".link-*"):
        link.unlink()


def _finish(
    work: Path,
    name: str,
    scores: pa.Table,
    run: dict[str, Any],
    explained: Explained | None,
    watched: Watched | None,
    replay: Replay | None,
) -> None:
    """Everything after the scores: changes, database, drift, run, and the manifest last; synced and verified."""
    as_of = date.fromisoformat(run["as_of"])
    earlier = _earlier(work.parent, as_of)
    if explained is not None:
        write_table(explained.contributions, work / "contributions.parquet")
    why = explain_change(scores, explained, _as_explained(earlier, run["bundle_id"]))
    moved, history = compare(scores, rows_before(earlier), as_of, why, replay)
    write_table(moved, work / "changes.parquet")
    failpoint("changes_written")
    write_database(scores, history, work / DATABASE)
    failpoint("database_written")
    document = {**run, "moved": moved.num_rows, "compared_with": None if earlier is None else earlier.name}
    document["drift"] = None if watched is None else _drift(work, scores, run, watched)
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
    (work / "run.json").write_text(text + "\n", encoding="utf-8")
    failpoint("run_written")
    seal(work, name, run)


def _drift(work: Path, scores: pa.Table, run: dict[str, Any], watched: Watched) -> dict[str, Any] | None:
    """Keeps how tonight is distributed, and compares it; null: there is nothing to compare with yet."""
    features = watched.rows()
    tonight = drift.profile(features, scores, watched.score, run)
    write_json(tonight, work / DISTRIBUTIONS)
    before = _week_before(work.parent, run["as_of"], tonight)
    return None if before is None else drift.compare(before, tonight, features, scores, run["capacity"])


def _copy_bundle(bundle: Path, target: Path) -> None:
    target.mkdir()
    for path in sorted(bundle.iterdir()):
        if path.is_symlink() or not path.is_file():
            raise ReleaseRefused(f"bundle {bundle}: {path.name} is a link or no regular file. Train again.")
        shutil.copyfile(path, target / path.name)


def refuse_step_back(releases: Path, as_of: date, force: bool) -> None:
    """Raises ReleaseRefused for a day before that of the live release, unless `force`."""
    live = current(releases)
    if live is not None and not force and str(as_of) < live.name[:10]:
        raise ReleaseRefused(
            f"as_of {as_of} lies before {live.name[:10]}, the live release. Give a later --as-of, or --force it."
        )


def _earlier(releases: Path, as_of: date) -> Path | None:
    """The intact release of an earlier day to compare with: the live one, or, where the live one is of the same day,
    the one it was compared with, so that scoring a day twice does not hide what moved overnight."""
    live = current(releases)
    candidates = [live] if live is not None else []
    if live is not None and is_intact(live):
        compared = json.loads((live / "run.json").read_text(encoding="utf-8")).get("compared_with")
        candidates += [named(releases, compared)] if compared else []
    candidates += sorted(releases.glob("[0-9]*"), key=lambda folder: folder.name, reverse=True)
    return next((folder for folder in candidates if folder.name[:10] < str(as_of) and is_intact(folder)), None)


def named(releases: Path, name: str) -> Path:
    """The release that is called `name`, or was before accounts were taken out of it."""
    if not (releases / name).is_dir():
        for run in releases.glob(f"{name[:10]}-*/run.json"):
            try:
                if name in json.loads(run.read_text(encoding="utf-8")).get("was", ()):
                    return run.parent
            except (ValueError, AttributeError, TypeError):  # damaged: whoever takes it verifies it
                continue
    return releases / name


def _week_before(releases: Path, as_of: str, tonight: dict[str, Any]) -> drift.Before | None:
    """The first intact release that can be compared with, of the best by `drift.in_order`; None: there is none."""
    kept = [path.parent.name for path in releases.glob(f"????-??-??-*/{DISTRIBUTIONS}")]
    for name in drift.in_order(kept, as_of, tonight["bundle_id"])[:TRIED]:
        if is_intact(releases / name):
            document = json.loads((releases / name / DISTRIBUTIONS).read_text(encoding="utf-8"))
            if drift.comparable(document, tonight):
                ranked = read_table(releases / name / "scores.parquet", ["account_id"])["account_id"].to_pylist()
                compared = json.loads((releases / name / "run.json").read_text(encoding="utf-8"))["drift"] or {}
                return drift.Before(name, document, ranked, frozenset(compared.get("drifted", ())))
    return None


def _as_explained(folder: Path | None, bundle_id: str) -> Earlier | None:
    """What the intact release `folder` kept of its explanations, beside tonight's `bundle_id`."""
    if folder is None:
        return None
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    kept = folder / "contributions.parquet"
    table = read_table(kept) if kept.exists() else None
    return Earlier(
        as_of=date.fromisoformat(run["as_of"]),
        bundle=folder / "bundle",
        same_bundle=run["bundle_id"] == bundle_id,
        method=run.get("method", "model"),
        contributions=table if table is not None and columns_kept(table.column_names) else None,
    )


def _target(releases: Path, link: str) -> Path | None:
    try:
        name = os.readlink(releases / link)
    except OSError:  # no such link, or a folder in its place
        return None
    # Only a plain name of a folder beside the link: a link that leads elsewhere is no release.
    return releases / name if name == Path(name).name and not name.startswith(".") else None


def _point(releases: Path, link: str, name: str) -> None:
    fresh = releases / f".link-{link}"
    fresh.unlink(missing_ok=True)
    os.symlink(name, fresh)
    if link == CURRENT:
        failpoint("link_ready")
    os.replace(fresh, releases / link)
    sync(releases)
