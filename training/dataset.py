"""Features joined to what became of them, as known at one date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.hazard import NEVER
from training.errors import PlanBroken


@dataclass(frozen=True)
class Dataset:
    """Row i of `features` and row i of `labels` are the same account and date, sorted by both."""

    features: pa.Table
    labels: pa.Table

    def __post_init__(self) -> None:
        for key in ("account_id", "as_of"):
            if not self.features[key].equals(self.labels[key]):
                raise PlanBroken(
                    f"features ({len(self.features):,} rows) and labels ({len(self.labels):,}) disagree in {key}; row "
                    "by row both must be the same account and date. Run the stages features and labels again."
                )

    def __len__(self) -> int:
        return int(self.features.num_rows)

    def take(self, mask: np.ndarray) -> Dataset:
        return Dataset(self.features.filter(pa.array(mask)), self.labels.filter(pa.array(mask)))

    def on(self, day: date) -> Dataset:
        return self.take(np.asarray(pc.equal(self.features["as_of"], pa.scalar(day, pa.date32()))))

    def account_numbers(self) -> np.ndarray:
        """(n,) number of each row's account, from 0, never falling."""
        codes = self.features["account_id"].combine_chunks().dictionary_encode()
        return np.asarray(codes.indices.to_numpy(zero_copy_only=False)).astype(np.int64)

    def flag(self, name: str) -> np.ndarray:
        """(n,) bool."""
        return np.asarray(self.labels[name].to_numpy(zero_copy_only=False)).astype(bool)

    def days(self, name: str) -> np.ndarray:
        """(n,) int64 days, NEVER for null."""
        return np.asarray(self.labels[name].cast(pa.int64()).fill_null(NEVER).to_numpy(zero_copy_only=False))

    def money(self, name: str) -> np.ndarray:
        """(n,) float64, NaN for null."""
        return np.asarray(self.labels[name].to_numpy(zero_copy_only=False), dtype=np.float64)

    def outcome(self, target: str, horizon: int) -> np.ndarray:
        """(n,) float64: 1 if the target came in [as_of, as_of + horizon), 0 if it did not, NaN where that cannot be
        told yet or the account was not at risk."""
        label = (self.days(f"{target}_day") < horizon).astype(np.float64)
        told = (self.days("observed_days") >= horizon) & self.flag(f"{target}_at_risk")
        return np.where(told, label, np.nan)
