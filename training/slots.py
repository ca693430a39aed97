"""Who was contacted by lot and who was left alone by lot, what was known of each that day, and what became of it.

A slot is one account on one day with a touch of kind `random` (the lot had it contacted) or `held_out` (the lot had it
left alone). Accounts that sales chose (`contacted`) are counted and enter nothing. Of an account only the first slot
counts: a later one comes after a contact, or after its absence, that the first had brought, and one row an account
needs no clustering. Which slot is the first was settled before its lot was drawn, so the arms stay comparable.

One account through this file: it is drawn on 2025-03-10 at 09:00 and left alone. Its as_of is 2025-03-10: tier and
run-rate are those known before that midnight, and its outcome is what `make_labels` says of [2025-03-10, 2025-09-06). A
move on the day itself counts, before nine o'clock too, which the lot spreads evenly over both arms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import duckdb
import pyarrow as pa

from features.books import books_at, without_usage
from features.catalogue import Definitions
from features.revenue import Tiers
from features.snapshots import no_customer
from training.dataset import Dataset
from training.labels import WAITING, labelled, make_labels, outcomes_end
from warehouse.accounting import ingested_on
from warehouse.engine import connect
from warehouse.periods import LabelParams
from warehouse.raw import CONTACTED, HELD_OUT, RANDOM
from warehouse.store import Workspace, open_warehouse

LATER, BOTH, TOO_SOON = "a later slot of the account", "in both arms on one day", "not signed up before the day"


@dataclass(frozen=True)
class Slots:
    """First slots in the population with their outcomes, one row an account, sorted by it. `books`: account_id, as_of,
    `BOOKS`, arm (`random` or `held_out`); `labels`: of the same rows, see `make_labels`. `touches`: accounts and days
    by kind, whatever became of them; a touch without a kind counts as contacted. `left_out`: slots not in `books`, by
    reason. `horizons`: days, ascending; the last is the default one."""

    books: pa.Table
    labels: pa.Table
    tiers: Tiers
    horizons: tuple[int, ...]
    touches: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def data(self) -> Dataset:
        return Dataset(self.books, self.labels)

    def drawn(self, kind: str) -> int:
        return self.touches.get(kind, 0)

    def not_at_risk(self, horizon: int) -> tuple[dict[str, int], int]:
        """Slots in the population without an outcome: not at risk by reason, and at risk but not complete yet."""
        told = dict(labelled(self.labels, self.books["tier"], self.tiers, "expansion", horizon).out)
        waiting = told.pop(WAITING)
        return {reason: count for reason, count in told.items() if count}, waiting


def read_slots(workspace: Workspace, definitions: Definitions, params: LabelParams) -> Slots:
    """The slots in the warehouse, with what became of them up to the outcomes end."""
    with connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse)
        return slots_of(con, definitions, params, outcomes_end(con, ingested_on(workspace.warehouse)))


def slots_of(con: duckdb.DuckDBPyConnection, definitions: Definitions, params: LabelParams, until: date) -> Slots:
    """`read_slots` of the typed tables that `con` sees, from facts known before the midnight `until`."""
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE touch_days AS
        SELECT DISTINCT account_id, CAST(occurred_at AS DATE) AS as_of, coalesce(kind, '{CONTACTED}') AS kind
        FROM touches""")
    touches = dict(con.execute("SELECT kind, count(*) FROM touch_days GROUP BY kind ORDER BY kind").fetchall())
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE judged_slots AS
        WITH slots AS (
            SELECT account_id, as_of, min(kind) AS arm, count(*) AS arms,
                   row_number() OVER (PARTITION BY account_id ORDER BY as_of) AS number
            FROM touch_days WHERE kind IN ('{RANDOM}', '{HELD_OUT}') GROUP BY account_id, as_of)
        SELECT s.account_id, s.as_of, s.arm, CASE
            WHEN s.number > 1 THEN '{LATER}'
            WHEN s.arms > 1 THEN '{BOTH}'
            WHEN CAST(a.created_at AS DATE) >= s.as_of THEN '{TOO_SOON}'
            ELSE {no_customer("a", "s")} END AS reason
        FROM slots AS s JOIN accounts AS a ON a.account_id = s.account_id""")
    left_out = dict(
        con.execute(
            "SELECT reason, count(*) FROM judged_slots WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
    )
    arms = con.sql(
        "SELECT account_id, as_of, arm FROM judged_slots WHERE reason IS NULL ORDER BY account_id, as_of"
    ).to_arrow_table()
    books = books_at(con, arms.select(["account_id", "as_of"]), definitions)
    with without_usage(con):
        labels = make_labels(con, books, definitions, params, until)
    horizons = tuple(sorted({params.horizons[0], params.default_horizon}))
    return Slots(books.append_column("arm", arms["arm"]), labels, definitions.tiers, horizons, touches, left_out)
