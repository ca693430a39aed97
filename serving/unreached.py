"""What no erasure takes out, said each time: what lies elsewhere, what is nobody's row, and what is to be done by hand.

Nothing here raises for what cannot be read: it is named instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from warehouse.erasure import KEPT_IN, KILLED
from warehouse.privacy import KEY_FILE
from warehouse.store import Workspace
from warehouse.subject import Subject, files, links

TEXT = frozenset({".json", ".jsonl", ".yaml", ".yml", ".md", ".csv", ".tsv", ".txt", ".log", ".html", ".db"})
OWN = ("warehouse", "quarantine", "rollup", "releases", *KEPT_IN)


def unreached(workspace: Workspace, subject: Subject, going: Collection[str] = ()) -> Iterator[str]:
    """What is not taken out, and what ends it. going: places that are still to be freed."""
    root, kind = workspace.root, subject.kind
    if trained := _trained(root):
        yield (
            f"trained models, which hold no row of anybody: of those trained as of {', '.join(trained)}, any that knew "
            f"the {kind} learned from it; `expansion train` makes one that did not"
        )
    if kind == "user":
        yield (
            "scores, features and labels already made tell of accounts, and counted the user's events: the next night "
            "and the next training make them without"
        )
    yield (
        "sums and figures of many accounts: evaluation.json, the model card, counts of run.json and of the books, and "
        "those of what was promised"
    )
    yield (
        "raw files, which are the vendor's: which of them still hold it cannot be known without reading them; an "
        "ingest leaves it out (rule erased), and the next one reads everything once"
    )
    yield (
        "backups of the workspace: let them expire; after one was restored put back the newest erased.json and "
        ".privacy-key and erase again, which ends what it brought back"
    )
    yield "DVC, where it ran the stages: `dvc repro --force`, then `dvc gc --workspace`; its cache has the old rows"
    yield "copies made elsewhere: downloads, exports, what `send` sent, `features --out`, logs of the command line"
    if strange := sorted(path.name for path in root.iterdir() if not _is_own(path)):
        yield f"files and folders of the workspace that are not the product's, and were not read: {', '.join(strange)}"
    if elsewhere := list(_elsewhere(root)):
        yield f"what these links lead to, which was not read: {', '.join(elsewhere)}"
    if subject.id.isdigit():
        yield "text that names it within a sentence: its id is a number, which was looked for in cells and values alone"
    if mentions := [path for path in _mentions(root, subject) if path not in going]:
        yield f"files that name it in their text, to look at by hand: {', '.join(mentions)}"


def _is_own(path: Path) -> bool:
    """Whether a file or folder of the workspace is the product's, or text, which is searched."""
    if path.is_dir():
        return path.name in (*OWN, *KILLED)
    return path.suffix in (*TEXT, ".lock") or path.name in (KEY_FILE, ".lock") or path.name.startswith("mlflow.db")


def _elsewhere(root: Path) -> Iterator[str]:
    """Links that nobody follows: those below the folders that are searched, and releases."""
    found = [path for kept in KEPT_IN for path in links(root / kept)]
    found += [path for path in (root / "releases").glob("????-??-??-*") if path.is_symlink()]
    yield from (path.relative_to(root).as_posix() for path in found)


def _trained(root: Path) -> list[str]:
    """The days that the workspace's models were trained as of; "?" for one whose card does not say."""
    found = set()
    for kept in ("artifacts", "mlartifacts", "releases"):
        for path in (root / kept).glob("**/card.json"):
            try:
                card = json.loads(path.read_text(encoding="utf-8"))
                found |= {card.get("trained_as_of", "?")} if card.get("method") == "model" else set()
            except (OSError, ValueError, AttributeError, TypeError):
                found.add("?")
    return sorted(map(str, found))


def _mentions(root: Path, subject: Subject) -> Iterator[str]:
    """Text files with the id as a word of its own; of a number, which stands in any file, as a cell or a value."""
    word = re.escape(subject.id.encode())
    asked = re.compile(rb"(?<![\w-])" + word + rb"(?![\w-])")
    if subject.id.isdigit():
        begins, ends = rb"(?:^|[,;|\t\"'\[{(]|\":|[:-] ) *", rb" *(?:\r?$|[,;|\t\"'\]})]| #)"
        asked = re.compile(begins + word + ends, re.MULTILINE)
    for path in sorted({*root.iterdir(), *(path for kept in KEPT_IN for path in files(root / kept))}):
        try:
            if path.suffix in TEXT and path.is_file() and asked.search(path.read_bytes()):
                yield path.relative_to(root).as_posix()
        except OSError as error:
            yield f"{path.relative_to(root).as_posix()} (not read: {type(error).__name__})"
