"""Re-derives, independently of the splitter, that no training label reaches past the first test score."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.errors import PlanBroken


def check_plan(as_of: pa.ChunkedArray, label: np.ndarray, span_days: int, test_as_of: date) -> None:
    """Holds every training row that carries a label to `as_of + span_days <= test_as_of`.

    Args:
        as_of: (n,) DATE of the training rows. label: (n,), NaN where the row teaches nothing.
        span_days: horizon plus `labels.maturing_days`.

    Raises:
        PlanBroken: naming the newest row that knows too much.
    """
    taught = as_of.filter(pa.array(~np.isnan(label)))
    newest = pc.max(taught).as_py()
    if newest is not None and newest + timedelta(days=span_days) > test_as_of:
        raise PlanBroken(
            f"a training label of {newest} ends {newest + timedelta(days=span_days)}, after the first test score at "
            f"{test_as_of}. Every training label must be complete by then; see training/splits.py."
        )
