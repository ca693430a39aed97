"""dvc.yaml: a stage reruns when anything it is made of changes, because DVC hashes only what a stage lists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from tests.architecture.source import PACKAGES, ROOT, dotted, modules
from warehouse.params import SECTIONS, read_params

STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FROM_DEFINITIONS = {"tiers", "features"}


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def _module(stage: str) -> str:
    found = re.match(r"python -m ([\w.]+) ", STAGES[stage]["cmd"])
    assert found, STAGES[stage]["cmd"]
    return found[1]


def _file(module: str) -> str:
    path = Path(*module.split("."))
    return (path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")).as_posix()


def closure(module: str) -> set[str]:
    """Files that run when `module` does: what it imports at any depth, and every package around them."""
    reached = {module, *_graph().find_upstream_modules(module)}
    around = {name.rsplit(".", depth)[0] for name in reached for depth in range(1, name.count(".") + 1)}
    return {_file(name) for name in reached | around}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_everything_its_module_imports(stage: str) -> None:
    deps = STAGES[stage]["deps"]
    uncovered = {path for path in closure(_module(stage)) if not any(f"{path}/".startswith(f"{d}/") for d in deps)}
    assert not uncovered


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_no_code_it_does_not_run(stage: str) -> None:
    """Else a change to the page's code would retrain the model."""
    reached = closure(_module(stage))
    for dep in STAGES[stage]["deps"]:
        if dep.split("/")[0] in PACKAGES:
            assert any(f"{path}/".startswith(f"{dep}/") for path in reached), dep


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_params_its_module_reads(stage: str) -> None:
    tree = modules()[_file(_module(stage))]
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    read = set()
    for node in ast.walk(main):
        if isinstance(node, ast.Call) and dotted(node.func) == "section" and isinstance(node.args[1], ast.Constant):
            read.add(node.args[1].value)
        if isinstance(node, ast.Call) and dotted(node.func) == "Definitions.from_params":
            read |= FROM_DEFINITIONS
    assert read == set(STAGES[stage]["params"])
    assert set(STAGES[stage]["params"]) <= set(read_params(ROOT / "params.yaml"))


def test_stage_and_section_share_their_name() -> None:
    for stage, said in STAGES.items():
        if stage in SECTIONS:
            assert stage in said["params"], stage
        assert stage in (*SECTIONS, "rollup"), f"stage {stage} has no section of its name"


def test_every_input_is_raw_code_or_the_output_of_one_stage() -> None:
    made: dict[str, str] = {}
    for stage, said in STAGES.items():
        for item in [*said.get("outs", ()), *said.get("metrics", ())]:
            path = item if isinstance(item, str) else next(iter(item))
            assert made.setdefault(path, stage) == stage
    for said in STAGES.values():
        for dep in said["deps"]:
            assert dep in made or (ROOT / dep).exists(), dep


def test_bytecode_is_no_dependency() -> None:
    assert "__pycache__" in (ROOT / ".dvcignore").read_text().split()
