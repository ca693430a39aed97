"""What the peers of an account do tonight: accounts of a release in one age band that were used in the last 28 days, by
the values that it keeps. Those that sleep, often two thirds, would make nothing the usual thing to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import FEATURE_NAMES
from models.peers import AGE_BANDS, age_band
from serving.why import COLUMN, NUMBERS, numbers_kept
from warehouse.store import read_table

QUARTER_OF = ("users_28d", "specialist_28d", "specialist_breadth_28d", "configuration_28d")
PLAIN = ("plain_7d", "plain_7_14d", "plain_14_28d")  # everyday use of 28 days


@dataclass(frozen=True)
class Band:
    """Accounts in use of one age band. `upper`: by feature, the value that a quarter of them have or exceed, itself the
    value of one of them. Of a typical user of theirs in 28 days, at least 1: `user_days`, days of use; `plain`,
    everyday events on such a day."""

    accounts: int
    upper: dict[str, float]
    user_days: int
    plain: int


NOBODY = Band(0, dict.fromkeys(QUARTER_OF, 0.0), 1, 1)


@dataclass(frozen=True)
class Tonight:
    """Of every account of a release the values of QUARTER_OF and its band, by its place in `accounts`. `seats`: whether
    the vendor tells of any account who belongs to it."""

    accounts: pa.Array
    values: np.ndarray
    place: np.ndarray
    bands: tuple[Band, ...]
    seats: bool

    def of(self, account_id: str) -> tuple[dict[str, float], Band]:
        """The values of one account of the release, and its peers."""
        row = pc.index(self.accounts, account_id).as_py()
        return dict(zip(QUARTER_OF, self.values[row].tolist(), strict=True)), self.bands[int(self.place[row])]


@lru_cache(maxsize=2)  # a release never changes, and all its accounts ask the same
def tonight(release: Path) -> Tonight | None:
    """Of the release in folder `release`; null if it kept no values, or those of other features."""
    if not (release / "contributions.parquet").is_file():
        return None
    table = read_table(release / "contributions.parquet")
    if "values" not in table.column_names or not len(table) or len(table["values"][0]) != len(NUMBERS):
        return None
    values = numbers_kept(table)
    place = age_band(pa.table({"tenure_days": _column(values, "tenure_days")}))
    in_use = _column(values, "events_28d") > 0
    return Tonight(
        table["account_id"].combine_chunks(),
        np.column_stack([_column(values, name) for name in QUARTER_OF]),
        place,
        tuple(_band(values[in_use & (place == number)]) for number in range(len(AGE_BANDS))),
        bool(np.isfinite(_column(values, "seats")).any()),
    )


def _band(values: np.ndarray) -> Band:
    if not len(values):
        return NOBODY
    upper = {
        name: float(np.quantile(_column(values, name), 0.75, method="inverted_cdf"))  # no half user between two peers
        for name in QUARTER_OF
    }
    days, users = _column(values, "user_days_28d"), _column(values, "users_28d")
    plain = np.nansum([_column(values, name) for name in PLAIN], axis=0)  # null before the account had signed up
    used = users > 0
    return Band(len(values), upper, _typical(days[used] / users[used]), _typical(plain[used] / days[used]))


def _typical(values: np.ndarray) -> int:
    return max(1, round(float(np.median(values)))) if len(values) else 1


def _column(values: np.ndarray, name: str) -> np.ndarray:
    return np.asarray(values[:, COLUMN[FEATURE_NAMES.index(name)]])
