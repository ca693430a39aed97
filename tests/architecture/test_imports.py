"""Who may import whom. The contracts stand in pyproject.toml; the single importers here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT, dotted, importers, imports, modules

LINT = (
    "import sys; from importlinter.cli import lint_imports_command as lint; sys.exit(lint(['--no-cache', '--no-logo']))"
)


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True)


def test_data_flows_one_way() -> None:
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("name", "only"),
    [
        ("mlflow", {"models/registry.py"}),
        ("bentoml", {"serving/service.py"}),
        ("pyarrow.parquet", {"warehouse/store.py", "warehouse/delivery.py", "warehouse/adapters/database.py"}),
        ("warehouse.asof.outcomes_after", {"training/labels.py"}),
        ("training.ceiling", {"training/evaluate.py"}),
        ("simulator", {"expansion.py"}),
    ],
)
def test_one_module_alone_imports_it(name: str, only: set[str]) -> None:
    assert {path for path in importers(name) if not path.startswith(f"{name}/")} == only


def test_the_door_to_the_future_is_opened_nowhere_by_another_name() -> None:
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "outcomes_after":
                pytest.fail(f"{path}:{node.lineno} reaches outcomes_after through its module")


@pytest.mark.parametrize("banned", ["pickle", "cloudpickle", "joblib", "skops", "dill", "shelve", "marshal"])
def test_nothing_of_ours_unpickles(banned: str) -> None:
    assert importers(banned) == set()


def test_nothing_runs_text_as_code_and_yaml_is_read_safely() -> None:
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = dotted(node.func)
                assert called not in ("eval", "exec", "compile", "yaml.load", "yaml.unsafe_load", "os.system"), (
                    f"{path}:{node.lineno} calls {called}"
                )
                assert not any(k.arg == "shell" for k in node.keywords), f"{path}:{node.lineno} opens a shell"


def test_learning_libraries_for_training_alone_are_imported_inside_functions() -> None:
    """models/ is served where scikit-learn, Optuna, pandas and MLflow are not installed."""
    heavy = {"sklearn", "pandas", "optuna", "mlflow", "dvc", "matplotlib"}
    for path, tree in modules().items():
        if path.startswith(("models/", "features/", "warehouse/", "serving/")):
            top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
            assert not {name.split(".")[0] for name in imports(top)} & heavy, path


def test_the_command_line_comes_up_without_any_of_our_packages_or_a_heavy_library() -> None:
    heavy = (
        *("numpy", "scipy", "pyarrow", "duckdb", "lightgbm", "sklearn", "pandas", "mlflow", "bentoml", "dvc"),
        *("optuna", "matplotlib", "fastapi", "starlette", "pydantic", "yaml", "jinja2"),
    )
    code = "import sys, expansion; print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "expansion" in loaded
    assert not loaded & {*heavy, *PACKAGES}
