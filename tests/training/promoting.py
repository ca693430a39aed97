"""Training, registering and promoting on invented held-out rows: what the tests of both share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from training.evaluate import EvaluateParams
from training.gate import GateParams
from training.promote import Registration
from warehouse.store import Workspace

PARAMS, GATE = EvaluateParams(bootstrap=60), GateParams(bootstrap=60)
DOCUMENT = {"gate": {"bootstrap": 60}, "train": {"seed": 11}}
Train = Callable[..., Registration]


def lines(workspace: Workspace) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workspace.root / "audit.jsonl").read_text().splitlines()]


def audit(workspace: Workspace) -> list[tuple[str, int]]:
    return [(line["action"], line["version"]) for line in lines(workspace)]
