"""The shape every feature is declared in, and the SQL that makes a table of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from features.measures import CELL, KEYS, Cell, cell, refusal, with_cells
from warehouse.errors import UsageError

Family = Literal["users", "breadth", "depth", "trend", "recency", "billing", "fit", "support"]
TOLD = (  # of an account besides its cells, to be used in expressions
    *("as_of", "tenure_days", "closed", "employees", "industry", "country", "channel"),
    *("peers", "peers_paying", "peers_booked"),
)


@dataclass(frozen=True)
class Feature:
    """One feature, declared in one place; catalogue, docs, fingerprint, encoding, peers and reasons follow.

    name: column name. sql: an expression over cells (features/measures.py), what was told of the account (TOLD),
    features declared before it, and {placeholders} of the vendor's ladder and thresholds. unit and window: for people.
    family: reasons are summed by it. noun: what it is, for people. high, low: how a reason reads when the value is
    above or below that of its peers, which stands beside it; so they compare ("more users") and claim no level. pivot:
    the value that parts them instead, where the words tell of a rise or a fall. none: what a null means, for people;
    empty where it is never null. since: the window lies this many days back; an account that had not signed up before
    it gets null.
    """

    name: str
    sql: str
    unit: str
    window: str
    family: Family
    high: str
    low: str
    none: str = ""
    since: int = 0
    category: bool = False
    pivot: float | None = None
    noun: str = field(kw_only=True)

    def reads(self, value: float, peer: float | None) -> str:
        """The phrase for a value compared with its peers'; null: there is none."""
        against = peer if self.pivot is None else self.pivot
        if against is None or value == against:
            return self.noun
        return self.high if value > against else self.low

    @property
    def null_means(self) -> str:
        if self.since:
            return f"signed up less than {self.since + 1} days before as_of"
        return self.none or ("not told" if self.category else "never null")

    @property
    def cells(self) -> set[Cell]:
        return {cell(found) for found in CELL.finditer(self.sql)}


def refuse_impossible(features: Sequence[Feature]) -> None:
    """Raises UsageError for a name declared twice, a cell that nobody keeps, or an expression that names a feature
    declared after it."""
    names = [feature.name for feature in features]
    for number, feature in enumerate(features):
        if feature.name in names[:number]:
            raise UsageError(f'feature "{feature.name}" is declared twice. Give one of them another name.')
        for one in sorted(feature.cells, key=lambda cell: cell.name):
            if (why := refusal(one)) is not None:
                raise UsageError(f'feature "{feature.name}": {one.name} cannot be told: {why}.')
        later = _referred(re.sub(r"\{\w+\}", "", feature.sql), names[number:])
        if later:
            raise UsageError(
                f'feature "{feature.name}" uses "{later[0]}", which comes later. Declare that one before it.'
            )


def behind(features: Sequence[Feature], name: str, fragments: Mapping[str, str]) -> tuple[Feature, ...]:
    """The feature `name` and those it is made of, in order of their declaration."""
    names = [feature.name for feature in features]
    wanted = {name}
    for feature in reversed(features):  # what a feature refers to is declared before it
        if feature.name in wanted:
            wanted.update(_referred(feature.sql.format_map(fragments), names))
    return tuple(feature for feature in features if feature.name in wanted)


def table_query(features: Sequence[Feature], fragments: Mapping[str, str]) -> str:
    """SQL of the feature table over the stage `cells`: account_id, as_of and every feature in order, sorted by both.
    Features are laid over each other in as few layers as their references need."""
    names = [feature.name for feature in features]
    layers: list[list[str]] = []
    depth: dict[str, int] = {}
    for feature in features:
        sql = feature.sql.format_map(fragments)
        depth[feature.name] = 1 + max((depth[name] for name in _referred(sql, names)), default=-1)
        if depth[feature.name] == len(layers):
            layers.append([])
        layers[depth[feature.name]].append(f"{_value(feature, sql, names)} AS {_column(feature.name)}")
    relation = "cells"
    for number, columns in enumerate(layers):
        listed = ",\n ".join(columns)
        relation = f"(SELECT *,\n {listed}\nFROM {relation}) AS layer_{number}"
    named = ", ".join(f"{_column(name)} AS {name}" for name in names)
    return f"SELECT {KEYS}, {named} FROM {relation} ORDER BY {KEYS}"


_WORD = re.compile(r"'[^']*'|\b[a-z_]\w*\b")  # a quoted text stands for itself


def _column(name: str) -> str:
    return f"f_{name}"


def _referred(sql: str, names: Sequence[str]) -> list[str]:
    """The features among `names` that an expression refers to."""
    words = _WORD.findall(CELL.sub("", sql))
    return [word for word in words if word in names and word not in TOLD]


def _value(feature: Feature, sql: str, names: Sequence[str]) -> str:
    def told(found: re.Match[str]) -> str:
        word = found.group()
        return _column(word) if word in names and word not in TOLD and not word.startswith("c_") else word

    value = _WORD.sub(told, with_cells(sql))
    if feature.since:
        value = f"CASE WHEN tenure_days > {feature.since} THEN {value} END"
    return f"CAST({value} AS {'VARCHAR' if feature.category else 'DOUBLE'})"
