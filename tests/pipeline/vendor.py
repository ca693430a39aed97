"""A small simulated vendor, trained and published through the command line, as its users would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SMALL = {"simulate": {"accounts": 1600, "quarters": 7}, "train": {"booster": {"rounds": 40}, "min_positives": 20}}


def run(*args: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`expansion ARGS` in a process of its own."""
    command = [sys.executable, "-m", "expansion", *map(str, args)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **(env or {})}, check=False
    )


def done(*args: str | Path) -> Any:
    """`expansion ARGS --json`, which must succeed."""
    finished = run(*args, "--json")
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def small_params(folder: Path, **changes: Any) -> Path:
    """The shipped params with a small vendor; `changes` replace whole sections."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, values in {**SMALL, **changes}.items():
        document[name] = {**(document.get(name) or {}), **values}
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def live_bytes(workspace: Path) -> dict[str, bytes]:
    """Every file of the live release by name, its name under `""`."""
    live = (workspace / "releases" / "current").resolve()
    files = {str(path.relative_to(live)): path.read_bytes() for path in sorted(live.rglob("*")) if path.is_file()}
    return {"": live.name.encode(), **files}
