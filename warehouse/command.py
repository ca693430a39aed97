"""How dvc.yaml calls a stage: `python -m <stage> --workspace DIR [--raw DIR] [--params FILE]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse.errors import exit_code, in_words
from warehouse.params import read_params
from warehouse.store import Workspace


@dataclass(frozen=True)
class Call:
    """What a stage was asked for. `document`: the params; `raw`: the folder of raw files, null where none was named."""

    workspace: Workspace
    document: dict[str, Any]
    raw: Path | None


def run(stage: Callable[[Call], None], description: str, argv: list[str] | None, raw: str = "") -> int:
    """Calls the stage and returns its exit code. argv: null means the process's own arguments. raw: "required",
    "optional", or empty for a stage that reads no raw files."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--params", type=Path)
    if raw:
        parser.add_argument("--raw", type=Path, required=raw == "required", help="folder of raw files")
    asked = parser.parse_args(argv)

    def called() -> None:
        stage(Call(Workspace(asked.workspace), read_params(asked.params), getattr(asked, "raw", None)))

    return ended(called)


def ended(stage: Callable[[], None]) -> int:
    """The exit code of what is called; an error meant for people is told on stderr as every verb tells it."""
    try:
        stage()
    except Exception as error:
        if (code := exit_code(error)) is None:
            raise
        print(in_words(error), file=sys.stderr)
        return code
    return 0
