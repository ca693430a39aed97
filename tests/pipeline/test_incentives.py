"""The six measures add up to the facts they are made of, as far as they were known by the live release."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.pipeline.conftest import Vendor
from tests.pipeline.vendor import done


def test_measures_by_quarter_reconcile_with_accounts_and_invoices(trained: Vendor) -> None:
    rows = done("incentives", "--workspace", trained.workspace)
    accounts = pq.read_table(trained.workspace / "warehouse" / "accounts")
    midnight = pa.scalar(datetime.fromisoformat(trained.as_of), accounts["created_at"].type)
    known = pc.and_(pc.invert(accounts["is_internal"]), pc.less(accounts["created_at"], midnight))
    theirs = accounts.filter(known)["account_id"]
    revenue = pq.read_table(trained.workspace / "warehouse" / "revenue")
    revenue = revenue.filter(pc.less(revenue["booked_at"], midnight))
    booked = float(pc.sum(revenue.filter(pc.is_in(revenue["account_id"], theirs.combine_chunks()))["amount"]).as_py())
    assert sum(row["sign_ups"] for row in rows) == len(theirs)
    assert sum(row["revenue"] for row in rows) == pytest.approx(booked, abs=0.005)
    assert rows[-1]["lifetime_value"] == pytest.approx(booked / len(theirs))
    assert rows[0]["incremental_revenue"] is None
    growth = [row["incremental_revenue"] for row in rows[1:]]
    assert sum(growth) == pytest.approx(rows[-1]["revenue"] - rows[0]["revenue"])
    assert all(0 <= row["adoption"] <= 1 for row in rows)
