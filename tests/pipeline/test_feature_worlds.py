"""One feature path in every world: what training saw, what the night sees from the fold, and what a caller's own rows
give through HTTP's loader are the same bytes, for a thousand accounts each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.build import HISTORY, build_features, features_at, open_vendor
from features.catalogue import Definitions
from features.rollup import roll_up
from features.rollup_stage import update
from features.snapshots import everyone
from features.vendor import Vendor, vendor_at
from simulator.simulate import SimulateParams, simulate
from simulator.worlds import WORLDS
from warehouse.engine import connect
from warehouse.ingest import IngestParams, ingest
from warehouse.params import read_params, section
from warehouse.rows import load_rows
from warehouse.store import Workspace, open_warehouse

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 2, tzinfo=UTC)
LOOSER = {"faulty": {"max_ratio": {"mixed_currency": 0.05, "wrong_sign": 0.05}}}
ASKED = 1000
BATCH = 100  # accounts a request holds

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=list(WORLDS))
def vendor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp(request.param)
    simulate(folder / "raw", SimulateParams(world=request.param, accounts=1300, quarters=4))
    document = read_params(ROOT / "params.yaml")
    document["ingest"] = document["ingest"] | LOOSER.get(request.param, {})
    workspace = Workspace(folder / "workspace")
    ingest(folder / "raw", workspace, section(document, "ingest", IngestParams), NOW)
    return workspace


def test_training_night_and_request_see_the_same_bytes(vendor: Workspace) -> None:
    definitions = Definitions.from_params(read_params(ROOT / "params.yaml"))
    rolled = update(vendor, definitions)
    night = rolled.folded
    assert night is not None
    with open_vendor(vendor) as con:  # the night: days since the fold, and the fold
        asked = everyone(con, night).slice(0, ASKED)
        at_night = features_at(con, vendor, asked, definitions)
        whole = vendor_at(con, night)
    with connect(vendor.warehouse) as con:  # training: all of history, several dates
        open_warehouse(con, vendor.warehouse)
        dates = [date(night.year, month, 1) for month in range(1, night.month)] or [date(night.year - 1, 10, 1)]
        spine = pa.concat_tables([asked, *(everyone(con, day) for day in dates)])
        trained = build_features(con, spine, definitions, roll_up(con, definitions))
        at_training = trained.filter(pc.equal(trained["as_of"], night))
        tables = ("accounts", *HISTORY)
        rows = {table: con.sql(f"SELECT * FROM {table}").to_arrow_table() for table in tables}
    ids = asked["account_id"].to_pylist()
    assert len(ids) == ASKED or len(ids) > 700
    assert at_night.combine_chunks().equals(
        at_training.combine_chunks()
    )  # to the last bit; what lies under nulls is free
    requested = pa.concat_tables(
        [
            requested_rows(rows, ids[start : start + BATCH], night, definitions, whole)
            for start in range(0, len(ids), BATCH)
        ]
    )
    assert requested.sort_by("account_id").combine_chunks().equals(at_night.combine_chunks())


def requested_rows(
    rows: dict[str, pa.Table], ids: list[str], day: date, definitions: Definitions, whole: Vendor
) -> pa.Table:
    sent = {name: told(table.filter(pc.is_in(table["account_id"], pa.array(ids)))) for name, table in rows.items()}
    with connect() as con:
        load_rows(con, sent, IngestParams(), NOW)
        return build_features(con, everyone(con, day), definitions, vendor=whole)


def told(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as a caller would send them; a decimal is sent as text."""
    return [
        {name: str(value) if isinstance(value, Decimal) else value for name, value in row.items() if value is not None}
        for row in table.to_pylist()
    ]
