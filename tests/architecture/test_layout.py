"""Where things lie: packages under the root, names that say something, modules one can read in a sitting."""

from __future__ import annotations

import ast
import importlib
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT, modules

DRAWERS = {"utils", "util", "helpers", "helper", "common", "core", "misc", "base"}
LONGEST = 400  # lines of a module
TYPICAL = 200  # lines of the median module


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_the_folder_of_its_name_under_the_root(package: str) -> None:
    """A folder without __init__.py would lose to any regular package of that name installed later."""
    assert Path(str(importlib.import_module(package).__file__)) == ROOT / package / "__init__.py"
    for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
        assert (folder / "__init__.py").is_file(), folder


def test_tests_are_no_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_no_module_is_a_drawer_for_everything() -> None:
    assert not {path for path in modules() if DRAWERS & set(Path(path).with_suffix("").parts)}


def test_every_module_can_be_read_in_a_sitting() -> None:
    lines = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in modules()}
    packages = {path: count for path, count in lines.items() if path != "expansion.py"}
    assert not {path: count for path, count in packages.items() if count > LONGEST}
    assert sorted(lines.values())[len(lines) // 2] <= TYPICAL


def test_the_distribution_lists_exactly_our_packages() -> None:
    said = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("__init__.py")}
    assert set(said["packages"]) == {".".join(folder.parts) for folder in folders}
    assert said["py-modules"] == ["expansion"]


def test_every_module_says_what_it_is_for() -> None:
    assert not {path for path, tree in modules().items() if not ast.get_docstring(tree)}
