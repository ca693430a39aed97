"""F17 of docs/input-faults.md: features that are all constant or all null teach nothing, and nothing breaks on them.

That a single class or too few expansions stop training: test_train.py. That a model without skill is not promoted:
test_promote.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.models.made_features import DEFINITIONS, LABELS, QUICK, dataset, fit_scorer


@pytest.mark.parametrize("empty", [False, True], ids=["F17-constant", "F17-null"])
def test_features_that_tell_nobody_apart_give_everybody_the_same_probability(empty: bool) -> None:
    data = dataset(600)
    table = data.features
    for place, name in enumerate(table.column_names):
        if name not in ("account_id", "as_of"):
            said = None if empty else next((one for one in table[name].to_pylist() if one is not None), None)
            table = table.set_column(place, name, pa.array([said] * len(table), table[name].type))
    scorer = fit_scorer(replace(data, features=table), DEFINITIONS, LABELS, QUICK, 0, {})
    said = scorer.predict(scorer.encoding.matrix(table))["expansion_180"]
    assert np.isfinite(said).all()
    assert np.ptp(said) == 0
    assert 0 < said[0] < 1
