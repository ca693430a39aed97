"""What a release promised for its accounts on its night, read back to be compared with what happened.

Its folder was verified by whoever names it here. Only its tables and JSON are read: no model is loaded, so releases of
versions whose bundles this one refuses still count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import Definitions
from features.revenue import Tiers
from warehouse.params import section
from warehouse.store import read_table

A_RULE = "made by a rule, which promises nothing"
HINDSIGHT = "its model had learned from days after it"
COLUMNS = ("account_id", "tier", "run_rate", "tenure_days", "score", "rank", "band")


@dataclass(frozen=True)
class Promise:
    """One release. `said`: one row an account that it gave a chance of moving up, by account_id: account_id, as_of,
    tier (index, the trial 0), run_rate, tenure_days, score, rank, band, and by horizon probability_{h}, increment_{h}
    (expected money). `top`: accounts on the highest tier, of which it promised nothing. `learned_to`: the midnight from
    which its model knows nothing."""

    name: str
    as_of: date
    learned_to: date
    bundle_id: str
    horizons: tuple[int, ...]
    default_horizon: int
    capacity: int
    currency: str
    tiers: Tiers
    said: pa.Table
    top: int

    def definitions(self, here: Definitions) -> Definitions:
        """The vendor's with the ladder that the promise was made by."""
        return Definitions(self.tiers, here.features)

    def numbers(self, column: str) -> np.ndarray:
        """(n,) float64 of a column of `said`."""
        return np.asarray(self.said[column].to_numpy(zero_copy_only=False), dtype=np.float64)


def read_promise(folder: Path) -> Promise | str:
    """The promise of the release in `folder`; where it made none that can be judged, why."""
    card, definitions = (_json(folder / "bundle" / f"{name}.json") for name in ("card", "definitions"))
    run = _json(folder / "run.json")
    if card["method"] == "rule":
        return A_RULE
    as_of, learned_to = date.fromisoformat(run["as_of"]), date.fromisoformat(card["trained_as_of"])
    if as_of < learned_to:
        return HINDSIGHT
    tiers, horizons = section(definitions, "tiers", Tiers), tuple(int(h) for h in card["horizons"])
    names = [f"{what}_{h}" for h in horizons for what in ("probability", "increment")]
    scores = read_table(folder / "scores.parquet", [*COLUMNS, *names])
    below = scores.filter(pc.is_valid(scores[f"probability_{card['default_horizon']}"])).sort_by("account_id")
    place = {tier.name: number for number, tier in enumerate(tiers.ladder)}
    below = below.set_column(
        below.column_names.index("tier"), "tier", pa.array([place[name] for name in below["tier"].to_pylist()])
    )
    return Promise(
        name=folder.name,
        as_of=as_of,
        learned_to=learned_to,
        bundle_id=run["bundle_id"],
        horizons=horizons,
        default_horizon=int(card["default_horizon"]),
        capacity=int(run["capacity"]),
        currency=card["currency"],
        tiers=tiers,
        said=below.append_column("as_of", pa.array([as_of] * len(below), pa.date32())),
        top=len(scores) - len(below),
    )


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
