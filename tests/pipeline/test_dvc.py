"""`dvc repro` and `expansion train` are two doors to the same stages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.vendor import ROOT, small_params

CODE = ("warehouse", "features", "models", "training", "serving", "simulator", "expansion.py", "dvc.yaml", ".dvcignore")


@pytest.mark.slow
def test_dvc_repro_gives_the_metrics_of_expansion_train(tmp_path: Path) -> None:
    house = tmp_path / "house"
    house.mkdir()
    for name in CODE:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, house / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}))
    small_params(tmp_path).rename(house / "params.yaml")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "true"}

    def call(*command: str) -> str:
        finished = subprocess.run(command, cwd=house, env=env, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    call("git", "init", "-q")
    call(sys.executable, "-m", "dvc", "init", "-q")
    call(sys.executable, "-m", "dvc", "repro", "-q")
    raw, other = house / "build" / "raw", tmp_path / "workspace"
    call(sys.executable, "-m", "expansion", "train", "--raw", str(raw), "--workspace", str(other))
    for name in ("evaluation.json", "model_card.md"):
        assert (house / "build" / "artifacts" / name).read_bytes() == (other / "artifacts" / name).read_bytes()
    assert json.loads((other / "artifacts" / "evaluation.json").read_text())["results"]
    assert "didn't change" in call(sys.executable, "-m", "dvc", "repro")
