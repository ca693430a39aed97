"""What the pages name is there: modules, functions, tests and keys of the params."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT, modules
from tests.architecture.test_params import HOMES, section_of
from warehouse.params import Section

TOLD = [
    page
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if page.name != "CHANGELOG.md" and "\nSuperseded by" not in page.read_text(encoding="utf-8")
]  # what was, may be gone
OURS = "|".join((*PACKAGES, "benchmarks"))
FILE_ENDINGS = {"py", "md", "json", "parquet"}


@cache
def _paths() -> set[str]:
    """The modules, the benchmarks and the tests."""
    others = [path for folder in ("benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")]
    return {*modules(), *(path.relative_to(ROOT).as_posix() for path in others)}


@cache
def _tests() -> set[str]:
    """Names of test functions and of test files."""
    paths = [ROOT / path for path in _paths() if path.startswith("tests/")]
    defined = [re.findall(r"\bdef (test_\w+)", path.read_text(encoding="utf-8")) for path in paths]
    return {path.stem for path in paths}.union(*defined)


def _is_there(dotted: str) -> bool:
    """Whether `package.module` is, or `package.module.name` is defined at the top of its module."""
    module, _, name = dotted.rpartition(".")
    path = f"{module.replace('.', '/')}.py"
    if path not in _paths():
        return f"{dotted.replace('.', '/')}.py" in _paths()
    defined = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            defined |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return name in defined


def _is_a_key(dotted: str) -> bool:
    """Whether the params have that key; below a mapping any name may stand."""
    name, *keys = dotted.split(".")
    fields = section_of(name).model_fields if name in HOMES else {}
    for key in keys:
        if key not in fields:
            return False
        kind = fields[key].annotation
        if not (isinstance(kind, type) and issubclass(kind, Section)):
            return True
        fields = kind.model_fields
    return bool(keys)


def _missing(text: str) -> Iterator[str]:
    """What a page names that is not there; a name after `:` is somebody else's."""
    for path in re.findall(r"(?<![\w/.-])((?:\w+/)*\w+\.py)\b", text):
        if not any(known == path or known.endswith(f"/{path}") for known in _paths()):
            yield path
    dotted = re.findall(rf"(?<![\w/.-])((?:{OURS})(?:\.\w+)+)", text)
    keys = re.findall(rf"`((?:{'|'.join(HOMES)})\.[a-z_.]+\w)[`: ]", text)
    for name in {*dotted, *keys}:
        if name.rsplit(".", 1)[1] not in FILE_ENDINGS and not _is_there(name) and not _is_a_key(name):
            yield name
    for test, more in re.findall(r"(?<![:\w])(test_\w+)(\*?)", text):
        if test not in _tests() and not (more and any(name.startswith(test) for name in _tests())):
            yield test


@pytest.mark.parametrize("page", TOLD, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_is_there(page: Path) -> None:
    assert not sorted(set(_missing(page.read_text(encoding="utf-8"))))


def test_the_rooms_hold_the_modules_that_the_architecture_lists_and_no_others() -> None:
    rooms = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## Rooms")[1].split("\n## ")[0]
    room, listed = "", set()
    for first, names in re.findall(r"^\| (\w*) ?\| (`.+?) \| ", rooms, re.M):
        room = first or room
        listed |= {f"{room}/{name}" for name in re.findall(r"`([\w./]+)`", names)}
    assert room == "simulator"
    assert not [path for path in listed if not (ROOT / path).exists()]
    folders = tuple(path for path in listed if path.endswith("/"))
    there = {path for path in modules() if "/" in path and not path.endswith(("__init__.py", "errors.py"))}
    assert not sorted(path for path in there - listed if not path.startswith(folders))
