"""A vendor to measure by: simulated, trained and published by the product's own `expansion demo`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from warehouse.scratch import scratch
from warehouse.store import Workspace

ROOT = Path(__file__).parents[1]


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


def into_page(page: Path, mark: str, block: str) -> None:
    """Puts `block` between `<!-- mark -->` and `<!-- /mark -->` of the page.

    Raises:
        ValueError: it has no such marks, or more than one pair.
    """
    text = page.read_text(encoding="utf-8")
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"{page.name} needs one {start.strip()} and one {end}.")
    before, _, rest = text.partition(start)
    page.write_text(f"{before}{start}{block.strip()}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
