"""Re-derives, independently of the splitter, that no training label reaches past the first test score, and from the
labels themselves up to when they were told."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.errors import PlanBroken

EPOCH = date(1970, 1, 1)  # day 0 of an Arrow date


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


def refuse_later(labels: pa.Table, maturing_days: int, until: date) -> None:
    """Holds every snapshot, whether it carries a label or not, to facts known before the midnight `until`: labels say
    of each for how many days it was observed, and so up to when facts were read, as_of + observed_days +
    maturing_days.

    Args:
        labels: as_of, observed_days (training.labels.make_labels).

    Raises:
        PlanBroken: naming the snapshot of which most is known.
    """
    days = np.asarray(labels["as_of"].cast(pa.int32()).to_numpy(), dtype=np.int64)
    told = days + labels["observed_days"].to_numpy().astype(np.int64) + maturing_days
    if not len(told) or told.max() <= (until - EPOCH).days:
        return
    newest = int(told.argmax())
    raise PlanBroken(
        f"outcomes of the snapshot of {labels['as_of'][newest].as_py()} were told from facts known before "
        f"{EPOCH + timedelta(days=int(told[newest]))}, and a model of {until} is to learn from them. Only facts known "
        "before its date may teach it: make its labels by Run.known_at; see training/recipe.py."
    )
