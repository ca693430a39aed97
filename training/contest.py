"""The held-out rows: at each origin the champion and every baseline score the same accounts, with truth beside."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pyarrow as pa

from features.catalogue import CATEGORIES
from models.baselines import RULES
from models.logistic import fit_logistic
from training.dataset import Dataset

SCHEMA = pa.schema(
    [
        ("account_id", pa.string()),
        ("as_of", pa.date32()),
        ("origin", pa.date32()),
        ("target", pa.string()),
        ("horizon", pa.int16()),
        ("candidate", pa.string()),
        ("score", pa.float64()),
        ("money_score", pa.float64()),
        ("probability", pa.float64()),
        ("expected_increment", pa.float64()),
        ("label", pa.int8()),
        ("increment", pa.float64()),
    ]
)


def contest(
    target: str,
    horizon: int,
    origin: date,
    test: Dataset,
    label: np.ndarray,
    increment: np.ndarray,
    champion: tuple[np.ndarray, np.ndarray],
    others: dict[str, np.ndarray],
) -> Iterator[pa.Table]:
    """One block of rows a candidate, all over the same accounts.

    Args:
        test: held-out snapshots, all of one as_of.
        label: (n,) 0/1. increment: (n,) realised signed money.
        champion: (n,) probability and (n,) expected increment.
        others: (n,) probability by candidate that states one; the rules of thumb are added here.
    """
    probability, expected = champion
    rows: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]]
    rows = {"champion": (probability, expected, probability, expected)}
    rows |= {name: (p, p, p, None) for name, p in others.items()}
    rows |= {name: (s, s, None, None) for name, s in ((n, rule(test.features)) for n, rule in RULES.items())}
    n = len(test)
    for name, (score, money, stated, gain) in rows.items():
        yield pa.table(
            {
                "account_id": test.features["account_id"],
                "as_of": test.features["as_of"],
                "origin": pa.array([origin] * n, pa.date32()),
                "target": pa.array([target] * n),
                "horizon": pa.array([horizon] * n, pa.int16()),
                "candidate": pa.array([name] * n),
                "score": score,
                "money_score": money,
                "probability": pa.array(stated, pa.float64()) if stated is not None else pa.nulls(n, pa.float64()),
                "expected_increment": pa.array(gain, pa.float64()) if gain is not None else pa.nulls(n, pa.float64()),
                "label": pa.array(label.astype(np.int8)),
                "increment": increment,
            },
            schema=SCHEMA,
        )


def reference_probabilities(
    train: np.ndarray, label: np.ndarray, test: np.ndarray, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Candidates that state a probability without trees, for one target and horizon; empty without both classes in
    training.

    base_rate: the training rate for everyone. logistic: ridge on all numeric features. position: ridge on the place on
    the ladder and the age alone, which tell neither what an account did nor how it got there.

    Args:
        train, test: matrices of the encoding with columns `names`. label: (n,) 0/1, NaN where a row tells nothing.
    """
    told = ~np.isnan(label)
    if not told.any() or label[told].min() == label[told].max():
        return {}
    numeric = [i for i, name in enumerate(names) if name not in CATEGORIES]
    out = {"base_rate": np.full(len(test), label[told].mean())}
    for name, design in (
        ("logistic", lambda rows: rows[:, numeric]),
        ("position", lambda rows: _position(rows, names)),
    ):
        out[name] = fit_logistic(design(train[told]), label[told]).predict(design(test))
    return out


def _position(rows: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Age, run-rate, headroom (absolute, and as a share of the next floor) and one flag a tier."""
    tenure, run_rate, headroom, tier = (
        rows[:, names.index(n)] for n in ("tenure_days", "run_rate", "headroom", "tier")
    )
    next_floor = np.maximum(run_rate + headroom, 1e-9)
    flags = [(tier == step).astype(np.float64) for step in range(1, 8)]
    return np.column_stack([tenure, run_rate, headroom, headroom / next_floor, *flags])
