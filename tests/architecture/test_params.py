"""Every key of the params is declared, read and spelt right, here and in the examples."""

from __future__ import annotations

import ast
import importlib
import re
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source import ROOT, modules
from warehouse.errors import ParamsError
from warehouse.params import SECTIONS, Section, read_params, section

HOMES = {
    "simulate": ("simulator.simulate", "SimulateParams"),
    "ingest": ("warehouse.ingest", "IngestParams"),
    "tiers": ("features.revenue", "Tiers"),
    "snapshots": ("features.snapshots", "SnapshotParams"),
    "features": ("features.catalogue", "FeatureParams"),
    "labels": ("warehouse.periods", "LabelParams"),
    "train": ("training.recipe", "TrainParams"),
    "leaks": ("training.leaks", "LeakParams"),
    "evaluate": ("training.evaluate", "EvaluateParams"),
    "gate": ("training.gate", "GateParams"),
    "score": ("serving.batch", "ScoreParams"),
}
FILES = sorted([ROOT / "params.yaml", *ROOT.glob("examples/*/params.yaml")])


def section_of(name: str) -> type[Section]:
    module, cls = HOMES[name]
    found: type[Section] = getattr(importlib.import_module(module), cls)
    assert issubclass(found, Section)
    assert found.__module__ == module  # its home, not a module that imports it
    return found


def _nested(kind: Any) -> Iterator[type[Section]]:
    """Section classes inside a field's type."""
    if isinstance(kind, type) and issubclass(kind, Section):
        yield kind
    for inner in typing.get_args(kind):
        yield from _nested(inner)


def _all(holder: str, cls: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    """(name of the field that holds it, class), the section itself first."""
    yield holder, cls
    for name, field in cls.model_fields.items():
        for inner in _nested(field.annotation):
            yield from _all(name, inner)


def test_every_section_has_one_class_and_that_class_one_home() -> None:
    assert set(HOMES) == set(SECTIONS)
    assert len({section_of(name) for name in SECTIONS}) == len(SECTIONS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_every_params_file_parses_to_the_last_key(path: Path) -> None:
    document = read_params(path)
    assert document
    for name in document:
        section(document, name, section_of(name))


def test_the_params_name_the_home_of_each_section() -> None:
    said = dict(re.findall(r"^(\w+): # ([\w/]+)\.py", (ROOT / "params.yaml").read_text(encoding="utf-8"), re.M))
    assert said == {name: module.replace(".", "/") for name, (module, _) in HOMES.items()}


def test_the_examples_are_there() -> None:
    assert {path.parent.name for path in FILES[1:]} | {FILES[0].parent.name} >= {
        "online_retail_ii",
        "free_to_paid_365",
        "ravenstack",
    }


@pytest.mark.parametrize("name", SECTIONS)
def test_a_misspelt_key_is_an_error_that_names_its_place(name: str) -> None:
    with pytest.raises(ParamsError, match=rf'unknown key "{name}\.sead"'):
        section({name: {"sead": 1}}, name, section_of(name))


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_is_read_somewhere(name: str) -> None:
    for holder, cls in _all("", section_of(name)):
        if holder in _dumped():
            continue  # read whole, as a mapping
        unread = set(cls.model_fields) - _read()
        assert not unread, f"{cls.__name__}: nobody reads {sorted(unread)}"


@cache
def _read() -> set[str]:
    """Names read as attributes, and words in a function that reads attributes by name (`getattr(params, name)`)."""
    read = set()
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read.add(node.attr)
            if isinstance(node, ast.FunctionDef) and "getattr" in {
                n.id for n in ast.walk(node) if isinstance(n, ast.Name)
            }:
                read |= {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return read


@cache
def _dumped() -> set[str]:
    """Names of fields of which `x.field.model_dump()` is taken."""
    nodes = [node for tree in modules().values() for node in ast.walk(tree)]
    return {
        node.value.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and node.attr == "model_dump" and isinstance(node.value, ast.Attribute)
    }


def test_a_key_that_appears_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("tiers:\n  spread_days: 30\nscore:\n  capacity: 5\ntiers:\n  currency: EUR\n", encoding="utf-8")
    with pytest.raises(ParamsError, match='line 5: "tiers" already exists in line 1'):
        read_params(path)
    path.write_text("tiers:\n  ladder:\n    - {name: a, floor: 0, name: b}\n", encoding="utf-8")
    with pytest.raises(ParamsError, match='line 3: "name" already exists in line 3'):
        read_params(path)


LADDER = [{"name": "trial", "floor": 0}, {"name": "team", "floor": 5}]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("tiers", "spread_days", True),
        ("tiers", "spread_days", 100_000_000_000),
        ("tiers", "ladder", [*LADDER, {"name": "team", "floor": 9}]),
        ("tiers", "ladder", [*LADDER, {"name": "", "floor": 9}]),
        ("train", "seed", -1),
        ("score", "capacity", False),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_its_place(name: str, key: str, value: Any) -> None:
    with pytest.raises(ParamsError, match=f'"{name}.{key}'):
        section({name: {key: value}}, name, section_of(name))
