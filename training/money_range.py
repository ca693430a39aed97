"""Whether the 80 % range of the money holds 80 %: of accounts that expanded, those whose gain lay within it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from training.bootstrap import interval, replicate_weights
from training.heldout import CHAMPION
from training.measured import pair, written
from training.metrics import ratio
from warehouse.periods import TARGET
from warehouse.store import read_table

COLUMNS = ["account_id", "target", "horizon", "candidate", "label", "increment", "amount_low", "amount_high"]


def money_range(heldout: Path, replicates: int, seed: int) -> list[dict[str, Any]]:
    """One row a horizon, of the target expansion over all origins of heldout.parquet: `expanded`, `inside` (of those
    that expanded and were told a range) and `share`, inside over expanded, with its interval (accounts resampled)."""
    rows = read_table(heldout, COLUMNS)
    mask = pc.and_(pc.equal(rows["target"], TARGET), pc.equal(rows["candidate"], CHAMPION))
    rows = rows.filter(pc.and_(mask, pc.equal(rows["label"], 1))).drop_null()
    out = []
    for horizon in sorted(rows["horizon"].unique().to_pylist()):
        own = rows.filter(pc.equal(rows["horizon"], horizon))
        low, high, gained = (own[name].to_numpy() for name in ("amount_low", "amount_high", "increment"))
        inside = ((gained >= low) & (gained <= high)).astype(np.float64)
        account = np.unique(own["account_id"].to_numpy().astype(str), return_inverse=True)[1]
        weights = replicate_weights(account, replicates, seed)
        drawn = np.concatenate([ratio(inside @ weight, weight.sum(axis=0)) for weight in weights])
        share = float(inside.mean())
        out.append(
            {
                "target": TARGET,
                "horizon": horizon,
                "expanded": len(own),
                "inside": int(inside.sum()),
                "share": written(share),
                "share_ci": pair(interval(drawn, share)),
            }
        )
    return out
