"""The champion that a night scores with: the one that the ledger names, checked against audit.jsonl.

A ledger that was lost or emptied names nobody, as that of a vendor who never had a champion does. Only `audit.jsonl`
tells the two apart, and only for the second may a rule publish: else all probabilities would go in one night.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models import registry
from models.registry import CHAMPION
from training.errors import LedgerLost
from warehouse.journal import AUDIT
from warehouse.store import Workspace


def champion_of(workspace: Workspace) -> tuple[Path, dict[str, Any]] | None:
    """The champion's verified bundle folder, with grade and headline of its evaluation; null where there is none.

    Raises:
        LedgerLost: the ledger names none, though the audit tells of one.
        BundleRefused: the bundle is not the one that was registered.
    """
    refuse_lost(workspace)
    return registry.judged_champion(workspace)


def refuse_lost(workspace: Workspace) -> None:
    """Raises LedgerLost where the ledger names no champion, though the audit tells of one."""
    if registry.alias(workspace, CHAMPION) is None and (version := crowned(workspace.root / AUDIT)) is not None:
        raise LedgerLost(
            f"{workspace.root / 'mlflow.db'} names no champion, though {AUDIT} beside it says that version {version} "
            "is one: restore mlflow.db and mlartifacts from the backup, or train and promote again (`expansion train`, "
            "`expansion promote`); the live release stays."
        )


def crowned(audit: Path) -> int | None:
    """The version that the last move in the audit left champion; null: none, or nothing ever moved."""
    champion: int | None = None
    for line in _lines(audit):
        action, version, left = (line.get(name) for name in ("action", "version", "left"))
        if action == "promote":
            champion = version
        elif action in ("rollback", "undo_rollback") and version != left:  # both null: the release alone moved
            champion = version if action == "rollback" else left
    return champion


def _lines(audit: Path) -> Iterator[dict[str, Any]]:
    """Every whole line; one torn by a crash tells nothing, and the night must not stumble over it."""
    text = audit.read_text(encoding="utf-8", errors="replace") if audit.exists() else ""
    for line in text.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict):
            yield told
