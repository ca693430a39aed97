"""The simulator's truth is named by who writes it and by evaluation; nothing that learns comes near it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator

import pytest
import yaml

from tests.architecture.source import ROOT, importers, modules

NAMES = re.compile(r"truth\W*parquet|^truth$", re.IGNORECASE)
READER, WRITER = "training/ceiling.py", "simulator/"
MAY_REACH_IT = {  # evaluation, and what runs after it
    *("ceiling", "evaluate", "promote", "pipeline"),
    *("realised", "realised_report"),
}


def _named(tree: ast.Module) -> Iterator[int]:
    """Lines of every string, docstrings included, that names the file or is its stem."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAMES.search(node.value):
            yield node.lineno


def test_the_file_is_named_only_where_it_is_written_and_where_it_is_read() -> None:
    places = {path: list(_named(tree)) for path, tree in modules().items() if not path.startswith(WRITER)}
    assert {path for path, lines in places.items() if lines} == {READER}


@pytest.mark.parametrize(
    "text", ['x = raw / "truth.parquet"', 'f"{raw}/truth.parquet"', 'for t in ("events", "truth"): ...']
)
def test_the_search_for_its_name_finds_it(text: str) -> None:
    assert list(_named(ast.parse(text)))


def test_every_module_of_training_is_held_away_from_the_truth_or_runs_after_evaluation() -> None:
    """A new module must be put on one side."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = next(c for c in contracts if c["type"] == "forbidden" and c["forbidden_modules"] == ["training.ceiling"])
    assert not held.get("allow_indirect_imports")
    assert {"warehouse", "features", "models", "serving", "simulator"} <= set(held["source_modules"])
    ours = {path.removesuffix(".py").replace("/", ".") for path in modules() if path.startswith("training/")}
    outside = ours - set(held["source_modules"]) - {"training.__init__"}
    assert outside == {f"training.{name}" for name in MAY_REACH_IT}


def test_who_runs_after_evaluation_is_run_by_nothing_that_learns() -> None:
    for name in MAY_REACH_IT - {"ceiling"}:
        allowed = {"expansion.py", *(f"training/{other}.py" for other in MAY_REACH_IT)}
        assert importers(f"training.{name}") <= allowed


def test_only_the_stage_evaluate_is_given_the_raw_folder_after_ingest() -> None:
    """`--raw` on a later stage would be the way to the truth."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert {stage for stage, said in stages.items() if "--raw" in said["cmd"]} == {"ingest", "evaluate"}
