"""How much of a hazard each feature carries: what the guards against one feature that tells it all look at."""

from __future__ import annotations

from models.average import Average
from models.boosting import gain_shares
from models.files import boosters_of
from models.hazard import Hazard
from models.logistic import LogisticHazard


def shares(hazard: Hazard, names: tuple[str, ...]) -> dict[str, float]:
    """Share by feature, summing to 1: of the split gain of trees, of the absolute weights of a ridge, and of an average
    the mean of its members'. A member that looks at nothing is left out; empty where all do.

    Args:
        names: of the columns of the matrix that the hazard reads.
    """
    if isinstance(hazard, Average):
        told = [(weight, found) for weight, part in hazard.parts if (found := shares(part, names))]
        whole = sum(weight for weight, _ in told)
        out: dict[str, float] = {}
        for weight, found in told:
            for name, share in found.items():
                out[name] = out.get(name, 0.0) + share * weight / whole
        return out
    if isinstance(hazard, LogisticHazard):
        return hazard.logistic.shares(names)
    return gain_shares(boosters_of(hazard))
