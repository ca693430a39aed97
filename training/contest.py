"""The held-out rows: at each origin the champion and every baseline score the same accounts, with truth beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.baselines import RULES, mean_spend, purchases
from models.bg_nbd import BgNbd, fit_bgnbd
from models.encoding import Encoding
from models.logistic import PENALTY, fit_logistic
from training.dataset import Dataset
from training.heldout import SCHEMA

ACCOUNTS = pa.schema(
    [
        ("account_id", pa.string()),
        ("as_of", pa.date32()),
        ("tenure_days", pa.float64()),
        ("tier", pa.int8()),
        *((name, pa.string()) for name in ("stage", "channel", "country", "industry")),
        ("employees", pa.float64()),
        ("active", pa.bool_()),
        ("new", pa.bool_()),
    ]
)
ACTIVE_DAYS = 90  # an event within so many days makes an account active


@dataclass(frozen=True)
class Said:
    """What a candidate says of n accounts: `score` ranks them, `money` ranks by money. Stated or null: `probability`,
    `expected` (money), `low` and `high` (10 to 90 % of the money gained if the account expands)."""

    score: np.ndarray
    money: np.ndarray
    probability: np.ndarray | None = None
    expected: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def of(self, mask: np.ndarray) -> Said:
        stated = (self.probability, self.expected, self.low, self.high)
        return Said(self.score[mask], self.money[mask], *(None if one is None else one[mask] for one in stated))


def stating(
    probability: np.ndarray,
    expected: np.ndarray | None = None,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
) -> Said:
    """A candidate that ranks by its probability, and money by its expected increment if it states one."""
    return Said(probability, probability if expected is None else expected, probability, expected, low, high)


def contest(
    target: str,
    horizon: int,
    origin: date,
    test: Dataset,
    label: np.ndarray,
    increment: np.ndarray,
    candidates: Mapping[str, Said],
) -> Iterator[pa.Table]:
    """One block of rows a candidate, all over the same accounts; the rules of thumb are added here.

    Args:
        test: held-out snapshots, all of one as_of.
        label: (n,) 0/1. increment: (n,) realised signed money.
    """
    rules = {name: rule(test.features) for name, rule in RULES.items()}
    n = len(test)
    for name, said in {**candidates, **{name: Said(score, score) for name, score in rules.items()}}.items():
        yield pa.table(
            {
                "account_id": test.features["account_id"],
                "as_of": test.features["as_of"],
                "origin": pa.array([origin] * n, pa.date32()),
                "target": pa.array([target] * n),
                "horizon": pa.array([horizon] * n, pa.int16()),
                "candidate": pa.array([name] * n),
                "score": said.score,
                "money_score": said.money,
                "probability": _or_null(said.probability, n),
                "expected_increment": _or_null(said.expected, n),
                "amount_low": _or_null(said.low, n),
                "amount_high": _or_null(said.high, n),
                "label": pa.array(label.astype(np.int8)),
                "increment": increment,
            },
            schema=SCHEMA,
        )


def describe(test: Dataset, before: date | None) -> pa.Table:
    """Who the held-out accounts of one origin are, by the columns of ACCOUNTS. `before`: the origin before this one;
    null: none. `new`: not signed up before it."""
    features = test.features
    tenure = np.asarray(features["tenure_days"].to_numpy(zero_copy_only=False), dtype=np.float64)
    last = np.asarray(features["days_since_last_event"].to_numpy(zero_copy_only=False), dtype=np.float64)
    day = features["as_of"].to_numpy().astype("datetime64[D]")
    since = np.zeros(len(test)) if before is None else (day - np.datetime64(before)).astype(np.float64)
    columns = {name: features[name] for name in ACCOUNTS.names if name in features.column_names}
    columns |= {"tier": features["tier"].cast(pa.int8()), "active": last <= ACTIVE_DAYS, "new": tenure <= since}
    return pa.table({name: columns[name] for name in ACCOUNTS.names}, schema=ACCOUNTS)


def reference_probabilities(
    train: np.ndarray, label: np.ndarray, test: np.ndarray, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Candidates that state a probability without behaviour, for one target and horizon; empty without both classes in
    training.

    base_rate: the training rate for everyone. tier_prior: that of the tier.

    Args:
        train, test: matrices of the encoding with columns `names`. label: (n,) 0/1, NaN where a row tells nothing.
    """
    told = ~np.isnan(label)
    if not told.any() or label[told].min() == label[told].max():
        return {}
    rate = float(label[told].mean())
    tier = names.index("tier")
    tiers = {step: label[told & (train[:, tier] == step)] for step in np.unique(test[:, tier])}
    rates = {step: (of.sum() + rate) / (len(of) + 1) for step, of in tiers.items()}  # one account's worth of the rate
    return {
        "base_rate": np.full(len(test), rate),
        "tier_prior": np.array([rates[step] for step in test[:, tier]]),
    }


def plain_references(encoding: Encoding, train: np.ndarray, label: np.ndarray, test: np.ndarray) -> dict[str, Said]:
    """Of an outcome that no hazard was fitted to: `reference_probabilities`, the ridge logistic on all features, and
    `position`, the ridge on the place on the ladder and the age alone."""
    names = encoding.names
    out = {n: stating(p) for n, p in reference_probabilities(train, label, test, names).items()}
    told = ~np.isnan(label)
    if out:
        place = fit_logistic(position_columns(train[told], names), label[told])
        out["position"] = stating(place.predict(position_columns(test, names)))
        ridge = fit_logistic(train[told], label[told], encoding.category_columns, PENALTY)
        out["logistic"] = stating(ridge.predict(test))
    return out


def repeat_purchases(train: Dataset) -> BgNbd | None:
    """BG/NBD as the snapshots of the newest date teach it, hence of accounts that had not closed by then; null where
    too few buy again."""
    newest = pc.max(train.features["as_of"]).as_py()
    return fit_bgnbd(purchases(train.on(newest).features)) if newest is not None else None


def repeat_money(model: BgNbd, test: Dataset, horizon: int) -> Said:
    """Purchases expected times the mean invoice."""
    money = model.expected(purchases(test.features), horizon) * mean_spend(test.features)
    return Said(money, money)


def position_columns(rows: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """What tells neither what an account did nor how it got there: age, run-rate, headroom (absolute, and as a share of
    the next floor) and one flag a tier."""
    tenure, run_rate, headroom, tier = (
        rows[:, names.index(n)] for n in ("tenure_days", "run_rate", "headroom", "tier")
    )
    next_floor = np.maximum(run_rate + headroom, 1e-9)
    flags = [(tier == step).astype(np.float64) for step in range(1, 8)]
    return np.column_stack([tenure, run_rate, headroom, headroom / next_floor, *flags])


def _or_null(values: np.ndarray | None, n: int) -> pa.Array:
    return pa.nulls(n, pa.float64()) if values is None else pa.array(values, pa.float64())
