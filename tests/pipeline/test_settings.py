"""A setting out of its range stops before any work, naming its place."""

from __future__ import annotations

from typing import Any

import pytest

from features.revenue import Tiers
from features.snapshots import SnapshotParams
from serving.batch import ScoreParams
from training.evaluate import EvaluateParams
from training.recipe import TrainParams
from warehouse.errors import ParamsError
from warehouse.params import Section, section
from warehouse.periods import LabelParams

BAD: list[tuple[str, type[Section], dict[str, Any], str]] = [
    ("labels", LabelParams, {"held_days": -5}, "labels.held_days"),  # a shorter span would let labels pass the origin
    ("labels", LabelParams, {"invoice_lag_days": -1}, "labels.invoice_lag_days"),
    ("labels", LabelParams, {"default_horizon": 120}, "default_horizon must be one of horizons"),
    ("labels", LabelParams, {"horizons": [180, 90]}, "ascending"),
    ("tiers", Tiers, {"spread_days": 0}, "tiers.spread_days"),
    ("tiers", Tiers, {"ladder": [{"name": "a", "floor": 0}, {"name": "b", "floor": float("nan")}]}, "tiers.ladder"),
    ("tiers", Tiers, {"high_value": "trial"}, "not a paid tier"),
    ("snapshots", SnapshotParams, {"every_months": 0}, "snapshots.every_months"),
    ("train", TrainParams, {"booster": {"num_leaves": 1}}, "train.booster.num_leaves"),
    ("evaluate", EvaluateParams, {"bootstrap": 0}, "evaluate.bootstrap"),
    ("score", ScoreParams, {"capacity": -5}, "score.capacity"),
    ("score", ScoreParams, {"capacty": 5}, 'did you mean "capacity"'),
]


@pytest.mark.parametrize(("name", "cls", "values", "said"), BAD, ids=[f"{b[0]}-{next(iter(b[2]))}" for b in BAD])
def test_a_setting_out_of_range_is_refused(name: str, cls: type[Section], values: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        section({name: values}, name, cls)
