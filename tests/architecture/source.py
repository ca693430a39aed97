"""What the architecture tests read: every module of the packages, parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("warehouse", "features", "models", "training", "serving", "simulator")


@cache
def modules() -> dict[str, ast.Module]:
    """Path from the root (`models/scorer.py`) -> its syntax tree; expansion.py included."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    named = {path.relative_to(ROOT).as_posix(): path for path in [*paths, ROOT / "expansion.py"]}
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in named.items()}


def imports(tree: ast.Module) -> Iterator[str]:
    """Every dotted name imported anywhere in the module: `from a.b import c` gives a.b and a.b.c."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(name: str) -> set[str]:
    """Modules that import `name` or anything below it."""
    return {
        path
        for path, tree in modules().items()
        if any(found == name or found.startswith(f"{name}.") for found in imports(tree))
    }


def dotted(node: ast.expr) -> str:
    """`datetime.now` of the expression `datetime.now`; empty for anything that is not a plain dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""
