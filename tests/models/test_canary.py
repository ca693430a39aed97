"""A bundle is tried in a process that may die of it: 600 damaged and re-sealed bundles, and the caller lives."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from models import canary
from models.errors import BundleRefused
from models.golden import check_golden
from models.hazard import Never
from models.increment import Amount
from models.manifest import seal
from models.scorer import Scorer, rule_scorer
from models.trees import to_text
from tests.models.made_features import DEFINITIONS, LABELS, QUICK, dataset, feature_rows, fitted
from training.fit import assemble, fit_all

MUTATIONS = 600
BATCH = 150
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed") / "bundle"
    fitted().save(folder)
    return folder


@pytest.fixture(scope="module")
def ridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a tree: of JSON alone."""
    data, folder = dataset(400), tmp_path_factory.mktemp("ridge") / "bundle"
    alone = replace(fit_all(data, LABELS, QUICK, 0, trees=False), churn=Never(), amount=Amount(None, 1.0, 1.0, 1.0))
    assemble(alone, DEFINITIONS, LABELS, {}, "logistic").beside(data.features).save(folder)
    assert not any(folder.glob("*.lgb.txt"))
    return folder


@pytest.fixture
def bundle(sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(canary, "_proven", set())
    return shutil.copytree(sealed, tmp_path / "bundle")


def mutate(folder: Path, seed: int) -> str:
    """Damages one file of the bundle and seals the damage, so that no hash can tell; returns what was done."""
    rng = np.random.default_rng(seed)
    kind = ("flip", "digit", "cut", "doubled line", "lost line", "swap", "json", "leaf values")[seed % 8]
    models = sorted(folder.glob("*.lgb.txt"))
    path = models[int(rng.integers(len(models)))]
    if kind == "json":
        path = folder / str(rng.choice(["model.json", "encoding.json", "peers.json", "card.json", "golden.json"]))
    data = bytearray(path.read_bytes())
    place = int(rng.integers(len(data)))
    lines = data.split(b"\n")
    told = [i for i, line in enumerate(lines) if line.startswith((b"leaf_value=", b"threshold=", b"left_child="))]
    if kind == "flip":
        data[place] ^= 1 << int(rng.integers(8))
    elif kind in ("digit", "json"):
        digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
        at = digits[int(rng.integers(len(digits)))] if digits else place
        data[at] = 48 + int(rng.integers(10))
    elif kind == "cut":
        del data[place:]
    elif kind == "swap":
        other = models[(models.index(path) + 1) % len(models)]
        swapped = other.read_bytes()
        other.write_bytes(bytes(data))
        data = bytearray(swapped)
    else:
        line = told[int(rng.integers(len(told)))]
        if kind == "doubled line":
            lines.insert(line, lines[line])
        elif kind == "lost line":
            del lines[line]
        else:
            values = [i for i in told if lines[i].startswith(b"leaf_value=")]
            line = values[int(rng.integers(len(values)))]
            lines[line] = lines[line] + b"\n" + lines[line].replace(b"=", b"=9", 1)
        data = bytearray(b"\n".join(lines))
    path.write_bytes(bytes(data))
    seal(folder)
    return f"{kind} in {path.name}"


@pytest.mark.slow
def test_of_600_damaged_and_resealed_bundles_none_ends_the_caller_and_what_passes_predicts_the_golden_values(
    sealed: Path, tmp_path: Path
) -> None:
    refused = 0
    for first in range(0, MUTATIONS, BATCH):
        folders = [shutil.copytree(sealed, tmp_path / str(n)) for n in range(first, first + BATCH)]
        told = [mutate(folder, first + n) for n, folder in enumerate(folders)]
        answers = canary.send(folders, seconds=3)
        assert len(answers) == BATCH
        for folder, mutation, answer in zip(folders, told, answers, strict=True):
            if answer["refused"] is None:
                check_golden(Scorer.load(folder), folder)  # here, in the process that must not die
            else:
                refused += 1
                assert folder.name in answer["refused"], mutation
            shutil.rmtree(folder)
    assert refused >= MUTATIONS / 2, "hardly anything was damaged, so nothing was shown"


def test_a_sound_bundle_is_proven_once_and_not_again(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle_id = canary.prove(bundle)
    assert bundle_id == Scorer.load(bundle).bundle_id
    monkeypatch.setattr(canary, "send", lambda folders: pytest.fail("a second canary for a bundle already proven"))
    assert canary.prove(bundle) == bundle_id


def test_a_rule_is_proven(tmp_path: Path) -> None:
    rule_scorer(DEFINITIONS, (90, 180), 180, "few").save(tmp_path / "rule")
    assert canary.prove(tmp_path / "rule") == Scorer.load(tmp_path / "rule").bundle_id


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda design: design["unit"].pop(), "not readable"),
        (lambda design: design["numeric"].__setitem__(0, 999), "not readable"),
        (lambda design: design["scale"].__setitem__(0, 0.0), "golden rows"),
        (lambda design: design["mean"].__setitem__(0, math.nan), "golden rows"),
    ],
    ids=["a unit too few", "a place that is none", "a scale of 0", "a mean that is no number"],
)
def test_a_damaged_ridge_is_refused_though_no_tree_is_in_the_bundle(
    ridge: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], object], why: str
) -> None:
    bundle = shutil.copytree(ridge, tmp_path / "bundle")
    model = json.loads((bundle / "model.json").read_text())
    damage(model["hazards"]["expansion"]["design"])
    (bundle / "model.json").write_text(json.dumps(model))
    seal(bundle)
    with pytest.raises(BundleRefused, match=why):
        canary.prove(bundle)


@pytest.mark.parametrize("leaf", [b"leaf_value=", b"threshold="])
def test_a_file_cut_in_the_middle_of_a_tree_kills_the_canary_and_is_refused_here(bundle: Path, leaf: bytes) -> None:
    """LightGBM ends the process on such a file: no exception could be caught."""
    data = (bundle / "expansion.0.lgb.txt").read_bytes()
    (bundle / "expansion.0.lgb.txt").write_bytes(data[: data.index(leaf) + 30])
    seal(bundle)
    with pytest.raises(BundleRefused, match=r"bundle: (loading it killed a trial process|not readable)"):
        canary.prove(bundle)


def test_a_file_that_loads_and_predicts_something_else_is_refused_with_what_differs(bundle: Path) -> None:
    text = (bundle / "expansion.0.lgb.txt").read_text()
    line = next(line for line in text.split("\n") if line.startswith("leaf_value="))
    changed = " ".join(str(float(value) + 0.001) for value in line.removeprefix("leaf_value=").split())
    # LightGBM trusts the sizes of the trees before the text: without them it reads the other values
    kept = "\n".join(row for row in text.split("\n") if not row.startswith("tree_sizes="))
    other = lgb.Booster(model_str=kept.replace(line, f"leaf_value={changed}"))
    (bundle / "expansion.0.lgb.txt").write_text(to_text(other))
    seal(bundle)
    Scorer.load(bundle)  # the hashes hold and nothing raises
    with pytest.raises(BundleRefused, match=r"expansion_180.*golden rows are not what was sealed"):
        canary.prove(bundle)


def test_a_file_that_is_not_read_as_it_stands_is_refused_though_it_predicts_the_same(bundle: Path) -> None:
    path = bundle / "expansion.0.lgb.txt"
    text = path.read_text()
    line = next(line for line in text.split("\n") if line.startswith("leaf_count="))
    path.write_text(text.replace(line, line + " 7"))
    seal(bundle)
    with pytest.raises(BundleRefused, match=r"expansion\.lgb\.txt: LightGBM reads something else|killed|not readable"):
        canary.prove(bundle)


def test_a_changed_golden_value_is_refused_too(bundle: Path) -> None:
    said = json.loads((bundle / "golden.json").read_text())
    said["predictions"]["expansion_180"][3] += 1e-9
    (bundle / "golden.json").write_text(json.dumps(said))
    seal(bundle)
    with pytest.raises(BundleRefused, match="expansion_180 of the golden rows"):
        canary.prove(bundle)


def test_what_the_hash_can_tell_is_refused_before_any_process_is_started(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / "churn.0.lgb.txt").write_bytes(b"tree\n")
    monkeypatch.setattr(canary, "send", lambda folders: pytest.fail("a canary for a bundle that fails its hash"))
    with pytest.raises(BundleRefused, match=r"churn\.0\.lgb\.txt: not the file that was sealed"):
        canary.prove(bundle)


def test_the_command_says_a_line_a_bundle_in_their_order(sealed: Path, bundle: Path) -> None:
    model = bundle / "model.json"
    model.write_bytes(model.read_bytes()[:-2])
    seal(bundle)
    command = [sys.executable, "-m", "models.canary", "--seconds", "30", str(sealed), str(bundle)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    good, damaged = (json.loads(line) for line in ended.stdout.splitlines())
    assert good == {"bundle_id": Scorer.load(sealed).bundle_id, "refused": None}
    assert damaged["bundle_id"] is None
    assert str(bundle) in damaged["refused"]


@pytest.mark.parametrize("asked", [["bundle"], ["--seconds", "30"]], ids=["no-seconds", "no-folder"])
def test_the_command_says_how_it_is_called(asked: list[str]) -> None:
    ended = subprocess.run([sys.executable, "-m", "models.canary", *asked], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "--seconds SECONDS FOLDER [FOLDER ...]" in ended.stderr


def test_a_canary_that_hangs_is_ended_in_time_and_its_bundle_refused(bundle: Path) -> None:
    [said] = canary.send([bundle], seconds=0.0)
    assert "did not end within 0 seconds" in said["refused"]


def test_the_golden_rows_part_at_the_splits_of_every_booster(sealed: Path) -> None:
    """A damaged leaf that no golden row reaches would go unnoticed: most leaves must be reached."""
    scorer = Scorer.load(sealed)
    rows = np.array(json.loads((sealed / "golden.json").read_text())["rows"], dtype=float)
    for name, booster in scorer.boosters.items():
        columns = rows if name == "amount" else np.column_stack([rows, np.full(len(rows), 90.0)])
        leaves = np.asarray(booster.predict(columns, pred_leaf=True))
        reached = sum(len(np.unique(column)) for column in leaves.T)
        total = sum(tree["num_leaves"] for tree in booster.dump_model()["tree_info"])
        assert reached >= 0.6 * total, name


BLOCKED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"sklearn", "pandas", "mlflow", "matplotlib", "optuna", "dvc"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from pathlib import Path
import pyarrow.ipc
from models.scorer import Scorer
scores = Scorer.load(Path(sys.argv[1])).score(pyarrow.ipc.open_file(sys.argv[2]).read_all())
with pyarrow.ipc.new_file(sys.argv[3], scores.schema) as out:
    out.write_table(scores)
"""


def test_a_bundle_scores_the_same_where_no_training_tool_is_installed(sealed: Path, tmp_path: Path) -> None:
    import pyarrow.ipc as ipc

    tonight = feature_rows(50, seed=3)
    with ipc.new_file(tmp_path / "rows.arrow", tonight.schema) as out:
        out.write_table(tonight)
    places: list[Any] = [sealed, tmp_path / "rows.arrow", tmp_path / "scores.arrow"]
    subprocess.run([sys.executable, "-c", BLOCKED, *places], cwd=ROOT, check=True, timeout=120)
    assert ipc.open_file(tmp_path / "scores.arrow").read_all().equals(Scorer.load(sealed).score(tonight))
