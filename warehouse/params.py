"""params.yaml, read once and closed: one section a stage, an unknown key is an error that lists the known ones.

The class of a section stands at the top of the module whose stage it steers and carries the defaults, so a params file
says only what differs. Nothing here depends on the environment.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from warehouse.errors import ParamsError


class Section(BaseModel):
    """A frozen, closed section of params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (int, float):
            raise ValueError("true and false are no numbers")
        return value


KEPT = "params.yaml"  # of a workspace: what it was trained with

S = TypeVar("S", bound=Section)
SECTIONS = (
    "simulate",
    "ingest",
    "tiers",
    "snapshots",
    "features",
    "labels",
    "train",
    "leaks",
    "evaluate",
    "gate",
    "score",
)


def read_params(path: Path | None) -> dict[str, Any]:
    """The params file as a mapping of section name to raw values.

    None means the file `params.yaml` of the working directory if there is one, else all defaults.

    Raises:
        ParamsError: the file is missing, is not YAML, says a key twice, or has a section nobody reads.
    """
    if path is None:
        path = Path("params.yaml")
        if not path.exists():
            return {}
    if not path.is_file():
        raise ParamsError(f"params file {path} does not exist. Give an existing file to --params.")
    text = path.read_text(encoding="utf-8")
    try:
        _refuse_said_twice(yaml.compose(text, Loader=yaml.SafeLoader), path)
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML ({error}).") from error
    if not isinstance(document, dict):
        raise ParamsError(f"{path}: expected sections ({', '.join(SECTIONS)}), found {type(document).__name__}.")
    for name in document:
        if name not in SECTIONS:
            raise ParamsError(f'{path}: unknown section "{name}"{_nearest(str(name), SECTIONS)}.')
    return document


def _refuse_said_twice(node: yaml.Node | None, path: Path) -> None:
    """Raises ParamsError where a mapping has a key twice: YAML would take the last one and forget the first."""
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            said, line = str(key.value), key.start_mark.line + 1
            if said in first:
                raise ParamsError(
                    f'{path}: line {line}: "{said}" already exists in line {first[said]}. Keep one of them.'
                )
            first[said] = line
            _refuse_said_twice(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_said_twice(value, path)


def workspace_params(root: Path, path: Path | None) -> dict[str, Any]:
    """The params of a run in workspace `root`: the file named, else those it was trained with, else ./params.yaml."""
    kept = root / KEPT
    return read_params(path if path is not None else kept if kept.exists() else None)


def keep_params(root: Path, document: dict[str, Any]) -> None:
    """Keeps `document` so that the nightly batch reads the same params without being told."""
    partial = root / f".{KEPT}.partial"
    partial.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    os.replace(partial, root / KEPT)


def section(document: dict[str, Any], name: str, cls: type[S]) -> S:
    """One section of the params as its frozen class; absent keys take the class defaults.

    Raises:
        ParamsError: an unknown key or a value of the wrong type, named with its place.
    """
    try:
        return cls.model_validate(document.get(name) or {})
    except ValidationError as error:
        lines = []
        for item in error.errors():
            place = ".".join(str(part) for part in (name, *item["loc"]))
            if item["type"] == "extra_forbidden":
                lines.append(f'params: unknown key "{place}"{_nearest(str(item["loc"][-1]), tuple(cls.model_fields))}.')
            else:
                lines.append(f'params: "{place}" is {_shown(item["input"])}: {item["msg"]}.')
        raise ParamsError("\n".join(lines)) from error


def _shown(value: Any) -> str:
    return "an address, not shown as it may hold a password" if "://" in str(value) else repr(value)


def _nearest(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    hint = f'; did you mean "{close[0]}"?' if close else ";"
    return f"{hint} Known: {', '.join(known)}"
