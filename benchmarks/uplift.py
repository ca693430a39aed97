"""What contacting brought in the world `assisted`, beside what the simulator knows that it brings.

`python -m benchmarks.uplift RAW...`: folders written by `expansion simulate --world assisted`. The slots of all are put
together, as if of one vendor. Of the events only the last day's are ingested: slots need money alone. The truth is the
mean of the column `uplift` over the slots that are judged, each at the month start on or before its day: what a contact
adds to the chance, given all that can be seen. Slots of accounts that signed up since have none.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from features.catalogue import Definitions
from training.lots import Arms
from training.slots import Slots, read_slots
from training.uplift import Assumed, estimate
from warehouse.ingest import IngestParams, ingest_stage
from warehouse.params import read_params, section
from warehouse.periods import LabelParams
from warehouse.store import Workspace, link

ROOT = Path(__file__).parents[1]
ASSUMED = Assumed(uplift=0.1, share=0.5)
NEEDED = ("accounts.parquet", "revenue.parquet", "touches.parquet")


def slots_in(raw: Path) -> Slots:
    """The slots of one vendor, by the shipped params."""
    document = read_params(ROOT / "params.yaml")
    last = max((raw / "events").iterdir()).relative_to(raw)
    with tempfile.TemporaryDirectory() as folder:
        for name in (*NEEDED, last):
            link(raw / name, Path(folder) / "raw" / name)
        workspace = Workspace(Path(folder) / "workspace")
        settings = section(document, "ingest", IngestParams)
        ingest_stage(Path(folder) / "raw", workspace, settings, datetime.now(UTC))
        return read_slots(workspace, Definitions.from_params(document), section(document, "labels", LabelParams))


def true_uplift(raw: Path, slots: Slots, horizon: int) -> np.ndarray:
    """(n,) what a contact adds to the chance of every judged slot, NaN where the truth has none."""
    told = ~np.isnan(slots.data.outcome("expansion", horizon))
    with duckdb.connect() as con:
        con.register("judged", slots.books.select(["account_id", "as_of"]).filter(pa.array(told)))
        found = con.execute(
            f"""SELECT coalesce(t.uplift, 'nan') AS uplift FROM judged AS s
                LEFT JOIN read_parquet('{raw}/truth.parquet') AS t ON t.account_id = s.account_id
                  AND t.as_of = date_trunc('month', s.as_of) AND t.horizon = {horizon}
                ORDER BY s.account_id"""
        ).fetchnumpy()["uplift"]
    return np.asarray(found, dtype=np.float64)


def together(parts: list[Arms]) -> Arms:
    """The arms of several vendors as one."""
    known = {name: np.concatenate([part.known[name] for part in parts]) for name in parts[0].known}
    return Arms(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("contacted", "moved", "gain")), known)


def measured(folders: list[Path]) -> list[dict[str, Any]]:
    """The read-out and the truth, by horizon."""
    vendors = [(raw, slots_in(raw)) for raw in folders]
    out = []
    for horizon in vendors[0][1].horizons:
        arms = together([Arms.of(slots, horizon) for _, slots in vendors])
        truth = np.concatenate([true_uplift(raw, slots, horizon) for raw, slots in vendors])
        found = estimate(arms, horizon, 0, ASSUMED, "USD", replicates=500, seed=5)
        told = {"true_difference": float(np.nanmean(truth)), "slots_with_truth": int((~np.isnan(truth)).sum())}
        out.append({"horizon": horizon, **told, **found})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uplift", description=__doc__)
    parser.add_argument("raw", type=Path, nargs="+")
    print(json.dumps(measured(parser.parse_args().raw), indent=1))


if __name__ == "__main__":
    main()
