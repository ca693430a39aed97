"""Every feature there is, in order, with the fingerprint that a model and the data it scores must share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from features import engagement, journey, peers, revenue, seats, usage
from features.feature import Feature, refuse_impossible, table_query
from features.measures import Cell
from features.revenue import Tiers
from features.windows import Column, Layout, life_columns, stages
from warehouse.params import Section, section


class FeatureParams(Section):
    """Event names with a meaning of their own, and the thresholds of the journey."""

    specialist: tuple[str, ...] = ()
    configuration: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    ticket: tuple[str, ...] = ()
    intent: tuple[str, ...] = ()  # signs of buying: a look at the price list, say
    dormant_days: int = 60  # no event and no invoice for this long
    uptake_users: int = 5  # active users in 28 days
    commitment_steps: int = 3  # specialist uses and configuration steps since sign-up

    def kinds(self) -> dict[str, tuple[str, ...]]:
        return {
            "specialist": self.specialist,
            "configuration": self.configuration,
            "limit": self.limit,
            "ticket": self.ticket,
            "intent": self.intent,
        }


@dataclass(frozen=True)
class Definitions:
    """What gives the features their meaning beside the code: the ladder and the vendor's event names."""

    tiers: Tiers
    features: FeatureParams

    @classmethod
    def from_params(cls, document: dict[str, Any]) -> Definitions:
        return cls(section(document, "tiers", Tiers), section(document, "features", FeatureParams))

    def to_params(self) -> dict[str, Any]:
        return {"tiers": self.tiers.model_dump(mode="json"), "features": self.features.model_dump(mode="json")}

    def sql_fragments(self) -> dict[str, str]:
        thresholds = ("dormant_days", "uptake_users", "commitment_steps")
        return self.tiers.sql() | {name: str(getattr(self.features, name)) for name in thresholds}


CATALOGUE: tuple[Feature, ...] = (*journey.FEATURES[:-1], *usage.FEATURES, *engagement.FEATURES, *seats.FEATURES,
                                  *revenue.FEATURES, *peers.FEATURES, *journey.FEATURES[-1:])  # fmt: skip
refuse_impossible(CATALOGUE)

FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in CATALOGUE)
CATEGORIES: tuple[str, ...] = tuple(feature.name for feature in CATALOGUE if feature.category)


def cells_of(features: Sequence[Feature]) -> set[Cell]:
    return {cell for feature in features for cell in feature.cells}


def life_of(features: Sequence[Feature], layout: Layout) -> list[Column]:
    """What a fold keeps of each account for these features."""
    asked = sorted(c for c in cells_of(features) if c.high is None and not c.of.anew)
    return life_columns(asked, layout)


def fingerprint(definitions: Definitions) -> str:
    """64 hex digits that change when any feature's SQL, its order, the ladder or an event's meaning changes; the words
    of reasons are free to change, and so is the number of event names a vendor has."""
    plan = [tuple(stage) for stage in stages(cells_of(CATALOGUE), Layout())]
    query = table_query(CATALOGUE, definitions.sql_fragments())
    said = {"stages": plan, "query": query, "definitions": definitions.to_params()}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
