"""Models as text: boosters in files of their own, the rest as JSON, and how models are read from both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb

from models.average import Average
from models.boosted import Boosted
from models.errors import BundleRefused
from models.hazard import Hazard, Never
from models.increment import TOLD, Amount
from models.logistic import LogisticHazard


def boosters_of(hazard: Hazard) -> tuple[lgb.Booster, ...]:
    """In the order in which they are numbered; a hazard has boosters in one place at most."""
    if isinstance(hazard, Average):
        return tuple(booster for _, part in hazard.parts for booster in boosters_of(part))
    return hazard.boosters if isinstance(hazard, Boosted) else ()


def hazard_from_json(said: dict[str, Any], name: str, boosters: Mapping[str, lgb.Booster]) -> Hazard:
    """The hazard that `to_json` told of; its boosters are `boosters` of the name `<name>.<number>`.

    Raises:
        BundleRefused: a kind or a booster that is not known.
    """
    kind = said.get("kind")
    if kind == "never":
        return Never()
    if kind == "logistic":
        return LogisticHazard.from_json(said)
    if kind == "average":
        parts = tuple((weight, hazard_from_json(part, name, boosters)) for weight, part in said["parts"])
        return Average(parts, said["level"], said["youth"], said["clock"], tuple(said["first"]))
    if kind == "boosted":
        wanted = [f"{name}.{number}" for number in range(said["seeds"])]
        if missing := [label for label in wanted if label not in boosters]:
            raise BundleRefused(f"bundle lacks the boosters {', '.join(missing)}. Fetch or train it again.")
        return Boosted(tuple(boosters[label] for label in wanted), said["base"])
    raise BundleRefused(
        f'model.json: {name} is of the kind "{kind}", which this version does not know. Train it again.'
    )


def amount_from_json(said: dict[str, Any], boosters: Mapping[str, lgb.Booster]) -> Amount:
    """The amount that `to_json` told of; its booster is that of the name `amount`, if there is one.

    Raises:
        BundleRefused: written by a version with another format of amounts.
    """
    if said.keys() != set(TOLD):
        raise BundleRefused(
            f"model.json: amount is told by {', '.join(sorted(said))}, unlike this version. Train it again."
        )
    return Amount(boosters.get("amount"), **said | {name: tuple(said[name]) for name in ("step", "by_tier")})
