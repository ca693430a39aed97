"""Every key of the params is declared, read and spelt right, here and in the examples."""

from __future__ import annotations

import ast
import importlib
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
    "labels": ("training.labels", "LabelParams"),
    "train": ("training.recipe", "TrainParams"),
    "leaks": ("training.leaks", "LeakParams"),
    "evaluate": ("training.evaluate", "EvaluateParams"),
    "gate": ("training.gate", "GateParams"),
    "score": ("serving.batch", "ScoreParams"),
}
FILES = sorted([ROOT / "params.yaml", *ROOT.glob("examples/*/params.yaml")])


def _class(name: str) -> type[Section]:
    module, cls = HOMES[name]
    found: type[Section] = getattr(importlib.import_module(module), cls)
    assert issubclass(found, Section)
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
    assert len({_class(name) for name in SECTIONS}) == len(SECTIONS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_every_params_file_parses_to_the_last_key(path: Path) -> None:
    document = read_params(path)
    assert document
    for name in document:
        section(document, name, _class(name))


def test_the_examples_are_there() -> None:
    assert {path.parent.name for path in FILES[1:]} | {FILES[0].parent.name} >= {
        "online_retail_ii",
        "free_to_paid_365",
        "ravenstack",
    }


@pytest.mark.parametrize("name", SECTIONS)
def test_a_misspelt_key_is_an_error_that_names_its_place(name: str) -> None:
    with pytest.raises(ParamsError, match=rf'unknown key "{name}\.sead"'):
        section({name: {"sead": 1}}, name, _class(name))


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_is_read_somewhere(name: str) -> None:
    for holder, cls in _all("", _class(name)):
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
