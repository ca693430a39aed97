"""How dvc.yaml calls a stage: `python -m <stage> --workspace DIR [--params FILE]`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from warehouse.params import read_params
from warehouse.store import Workspace


def asked(description: str, argv: list[str] | None) -> tuple[Workspace, dict[str, Any]]:
    """The workspace and the params document of a call; argv: null means the process's own arguments.

    Raises:
        ParamsError: the params file cannot be read.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--params", type=Path)
    args = parser.parse_args(argv)
    return Workspace(args.workspace), read_params(args.params)
