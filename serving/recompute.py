"""Every night some accounts' features are made once more: of their own events, revenue and users alone, without the
roll-up, the way a request is answered. A roll-up that is not what the warehouse says would spoil scores in silence.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.build import build_features
from features.catalogue import Definitions
from features.vendor import Vendor
from serving.errors import ReleaseRefused
from warehouse.engine import connect
from warehouse.store import Workspace, open_warehouse

NARROW = 1e-12  # of a value or of 1, whichever is more: a cluster takes logarithms that differ in the last bit
SAMPLE = 100  # accounts a night: of a fault that touches 1 account in 33 a night sees something 19 times in 20


def sampled(spine: pa.Table, as_of: date) -> pa.Table:
    """`SAMPLE` rows of the nightly spine, all if it has fewer, in its order; other accounts every night, and the same
    ones whenever that night is run."""
    n = spine.num_rows
    drawn = np.random.default_rng(as_of.toordinal()).choice(n, min(n, SAMPLE), replace=False)
    return spine.take(np.sort(drawn))


def refuse_unlike(
    served: pa.Table, workspace: Workspace, spine: pa.Table, definitions: Definitions, vendor: Vendor
) -> None:
    """Compares tonight's `served` feature rows with rows computed again from the warehouse.

    Args:
        served, spine: of the same accounts and the one as_of of `vendor`, sorted by account_id.

    Raises:
        ReleaseRefused: a value is not the same within NARROW, or a row is missing or one too many.
    """
    with connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse, spine["account_id"])
        anew = build_features(con, spine, definitions, vendor=vendor)
    unlike = _unlike(served.select(anew.column_names).cast(anew.schema), anew)
    if not unlike:
        return
    worst = max(unlike, key=lambda name: len(unlike[name]))
    accounts = sorted({account for found in unlike.values() for account in found})
    raise ReleaseRefused(
        f"features: {len(accounts)} of {len(spine)} accounts made anew from {workspace.warehouse} are not what tonight "
        f'would be scored by, in {len(unlike)} columns (most in "{worst}"; first account: {accounts[0]}). Nothing was '
        f"published; the live release stays. Remove {workspace.rollup}, which is then made anew, and score again."
    )


def _unlike(served: pa.Table, anew: pa.Table) -> dict[str, list[str]]:
    """Accounts whose values differ, by column; a null equals a null alone."""
    if not served["account_id"].equals(anew["account_id"]):
        apart = set(served["account_id"].to_pylist()) ^ set(anew["account_id"].to_pylist())
        return {"account_id": sorted(apart)}
    out = {}
    for name in anew.column_names:
        one, other = (table[name].combine_chunks() for table in (served, anew))
        same = pc.or_(pc.fill_null(_near(one, other), False), pc.and_(one.is_null(), other.is_null()))
        if not pc.all(same).as_py():
            out[name] = anew["account_id"].filter(pc.invert(same)).to_pylist()
    return out


def _near(one: pa.Array, other: pa.Array) -> pa.Array:
    if not pa.types.is_floating(one.type):
        return pc.equal(one, other)
    return pc.less_equal(pc.abs(pc.subtract(one, other)), pc.multiply(NARROW, pc.max_element_wise(1.0, pc.abs(other))))
