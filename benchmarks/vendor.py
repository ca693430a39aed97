"""A vendor to measure by: simulated, trained and published by the product's own `expansion demo`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.pages import into_page
from warehouse.scratch import scratch
from warehouse.store import Workspace

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"


@contextmanager
def published(workspace: Path | None, accounts: int) -> Iterator[Workspace]:
    """The workspace given, which holds a live release of a model; null: one made for the block, with the shipped params
    and so many accounts."""
    if workspace is not None:
        yield Workspace(workspace.resolve())
        return
    with scratch("bench") as folder:
        document = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        document["simulate"] |= {"accounts": accounts}
        params = folder / "params.yaml"
        params.write_text(yaml.safe_dump(document), encoding="utf-8")
        made = folder / "workspace"
        command = [sys.executable, "-m", "expansion", "demo", "--workspace", str(made), "--params", str(params)]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        yield Workspace(made)


def hand_out(found: dict[str, Any], block: str, mark: str, file: Path | None, page: bool) -> None:
    """Prints the `block` of what was `found`; writes that to `file`, and the block into docs/scale.md, where asked."""
    print(block)
    if file:
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if page:
        into_page(PAGE, mark, block)
