"""What became of each snapshot: the only module that looks ahead.

One account through this file. As of 2025-03-01 it pays 60 per 30 days (tier `starter`, next floor 150). It crosses 150
on 2025-04-10 and stays above it for 31 days or more: expansion on day 40, so a label of 1 at horizons 90 to 360.
Had it fallen back, or closed, by 2025-05-10 the move would not count. Whether a crossing on day d is held is known only
at the end of day d + held_days; with data to 2025-09-01 (excluded) the snapshot is observed for 154 days: its 90-day
label is complete, its 180-day label is null, never 0. Where invoices lag 31 days behind, August's may be missing, and
it is observed for 123 days only; where the last invoice is of 2025-07-31, though data go on, likewise.
"""

from __future__ import annotations

from datetime import date

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import Definitions
from features.revenue import Tiers
from features.rollup import roll_up_revenue
from features.snapshots import Population, data_end
from warehouse import progress
from warehouse.accounting import ingested_on
from warehouse.asof import outcomes_after
from warehouse.command import Call, run
from warehouse.engine import connect
from warehouse.params import section
from warehouse.periods import TARGETS, LabelParams
from warehouse.store import Workspace, open_warehouse, read_table, write_table

ON_TOP, REACHED, MOVED = "on the highest tier", "at the target already", "moved before as_of as told later"
WAITING = "not complete yet"
RHYTHM = 90  # newest days with an invoice that tell how long this vendor's revenue is silent at most


def outcomes_end(con: duckdb.DuckDBPyConnection, ingested: date | None = None) -> date:
    """The midnight up to which outcomes can be told: the data end, or the midnight after the last invoice where revenue
    has been silent for longer since than lately between two of them. Then the feed has stopped, and every "no move" of
    that time would be made up (docs/adr/0029).

    ingested: the day (UTC) on which the data were read. It had not passed then, so nothing is told of it, however many
        facts of its first minutes there are; null where nobody knows.
    """
    end = min(data_end(con), ingested or date.max)
    [(last, longest)] = con.execute(f"""
        SELECT max(day) + 1, max(days) FROM (
            SELECT day, date_diff('day', lag(day) OVER (ORDER BY day), day) AS days
            FROM (SELECT DISTINCT CAST(booked_at AS DATE) AS day FROM revenue)
            ORDER BY day DESC LIMIT {RHYTHM})""").fetchall()
    return last if longest is not None and (end - last).days > longest else end


def labelled(labels: pa.Table, tier: pa.ChunkedArray, tiers: Tiers, target: str, horizon: int) -> Population:
    """Snapshots with a label of the target at the horizon, and those without by reason. One that is not at risk counts
    by why it is not, complete or not: known at as_of to be on the highest tier, or (of high value) at the target; or
    not known then, but told later, to have moved before.

    tier: (n,) index of the tier of each snapshot, as known at as_of.
    """
    at_risk = labels.filter(labels[f"{target}_at_risk"])
    taken = at_risk.filter(pc.greater_equal(at_risk["observed_days"], horizon)).num_rows
    gone = np.asarray(tier.filter(pc.invert(labels[f"{target}_at_risk"])), dtype=np.float64)
    top = int((gone >= len(tiers.ladder) - 1).sum())
    reached = int((gone >= tiers.high_value_index).sum()) - top if target == "high_value" else 0
    out = {ON_TOP: top, REACHED: reached, MOVED: len(gone) - top - reached, WAITING: len(at_risk) - taken}
    return Population(taken, out)


def make_labels(
    con: duckdb.DuckDBPyConnection, snapshots: pa.Table, definitions: Definitions, params: LabelParams, until: date
) -> pa.Table:
    """Outcomes of every snapshot from facts known before the midnight `until`.

    Args:
        con: sees the typed tables of the warehouse.
        snapshots: account_id, as_of, tier (index, as known at as_of), run_rate (money per 30 days, likewise).

    Returns:
        account_id, as_of, observed_days (days from as_of in which a move can be told: until - as_of - maturing_days),
        - expansion_day, high_value_day: days from as_of to the first held move; null if none was observed
        - expansion_at_risk, high_value_at_risk: false at or above the target tier at as_of, or where facts known
          later show that the account had moved before as_of
        - churn_day: days to closure; null if none
        - increment_{h}, booked_{h}: revenue served less run-rate (or 0, if refunds left it below) carried forward, and
          revenue booked, in [as_of, as_of + h), signed money; increment null unless as_of + h + maturing_days <= until,
          booked unless as_of + h + invoice_lag_days <= until
        sorted by account and date.
    """
    roll_up_revenue(con, definitions)
    con.execute(f"CREATE OR REPLACE TEMP TABLE known AS {outcomes_after('revenue_days', until)}")
    con.register("snapshot_rows", snapshots)
    high = definitions.tiers.high_value_index
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE subjects AS
        SELECT account_id, as_of, run_rate,
               date_diff('day', as_of, DATE '{until}') - {params.maturing_days} AS observed_days,
               CAST(tier AS INTEGER) + 1 AS expansion_tier, {high} AS high_value_tier, tier < {high} AS below_high
        FROM snapshot_rows""")
    con.unregister("snapshot_rows")
    _spells(con, definitions, params.held_days, until)
    top = len(definitions.tiers.ladder)
    moves = "\n".join(_first_move(target) for target in TARGETS)
    money = ",\n".join(_money(h, params.held_days) for h in params.horizons)
    return con.sql(f"""
        WITH served AS (
            SELECT s.account_id, s.as_of, {money}
            FROM subjects s LEFT JOIN known k ON k.account_id = s.account_id GROUP BY s.account_id, s.as_of
        ), {moves} closed AS (
            SELECT s.account_id, s.as_of, date_diff('day', s.as_of, CAST(a.closed_at AS DATE)) AS churn_day
            FROM subjects s JOIN accounts a ON a.account_id = s.account_id
            WHERE a.closed_at < DATE '{until}' AND CAST(a.closed_at AS DATE) >= s.as_of
        )
        SELECT s.account_id, s.as_of, s.observed_days,
               e.day AS expansion_day,
               s.expansion_tier < {top} AND NOT coalesce(e.moved_before, false) AS expansion_at_risk,
               v.day AS high_value_day, s.below_high AND NOT coalesce(v.moved_before, false) AS high_value_at_risk,
               c.churn_day, served.* EXCLUDE (account_id, as_of)
        FROM subjects s
        LEFT JOIN served USING (account_id, as_of)
        LEFT JOIN expansion_moves e USING (account_id, as_of)
        LEFT JOIN high_value_moves v USING (account_id, as_of)
        LEFT JOIN closed c USING (account_id, as_of)
        ORDER BY s.account_id, s.as_of""").to_arrow_table()


def _spells(con: duckdb.DuckDBPyConnection, definitions: Definitions, held_days: int, until: date) -> None:
    """Table `spells`: account_id, tier, first_day, last_day (excluded) of every stay at or above a tier's floor that
    lasts longer than `held_days` and opens on a day on which something paid for starts to be served: a refund or credit
    that ends lifts the run-rate too, and nobody bought anything (docs/adr/0043). A closed account is served nothing
    from the day it closed on, whatever was paid in advance or billed afterwards: it neither moves up nor holds a
    move."""
    floors = ", ".join(f"({i}, {t.floor!r})" for i, t in enumerate(definitions.tiers.ladder) if i > 0)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE spells AS
        WITH served AS (
            SELECT k.account_id, k.first_day, least(k.last_day, coalesce(c.day, k.last_day)) AS last_day, k.rate,
                   k.amount > 0 AS paid
            FROM known k LEFT JOIN (
                SELECT account_id, CAST(closed_at AS DATE) AS day FROM accounts WHERE closed_at < DATE '{until}'
            ) AS c ON c.account_id = k.account_id WHERE c.day IS NULL OR k.first_day < c.day
        ), steps AS (
            SELECT account_id, day, sum(step) AS step, bool_or(starts) AS starts FROM (
                SELECT account_id, first_day AS day, rate AS step, paid AS starts FROM served
                UNION ALL SELECT account_id, last_day, -rate, false FROM served) GROUP BY account_id, day
        ), levels AS (
            SELECT account_id, day AS first_day, lead(day) OVER w AS last_day, round(sum(step) OVER w, 6) AS level,
                   starts
            FROM steps WINDOW w AS (PARTITION BY account_id ORDER BY day)
        ), above AS (
            SELECT account_id, tier, first_day, last_day, starts,
                   lag(last_day) OVER (PARTITION BY account_id, tier ORDER BY first_day)
                     IS DISTINCT FROM first_day AS opens
            FROM levels JOIN (VALUES {floors}) AS f(tier, floor) ON level >= floor WHERE last_day IS NOT NULL
        ), numbered AS (
            SELECT *, sum(opens::INTEGER) OVER (PARTITION BY account_id, tier ORDER BY first_day) AS spell FROM above
        )
        SELECT account_id, tier, min(first_day) AS first_day, max(last_day) AS last_day
        FROM numbered GROUP BY account_id, tier, spell
        HAVING date_diff('day', min(first_day), max(last_day)) > {held_days} AND bool_or(opens AND starts)""")


def _first_move(target: str) -> str:
    """First spell in the target tier that opens on or after as_of; and whether one was already open at as_of."""
    return f"""{target}_moves AS (
            SELECT s.account_id, s.as_of,
                   min(date_diff('day', s.as_of, p.first_day)) FILTER (
                     p.first_day >= s.as_of AND date_diff('day', s.as_of, p.first_day) < s.observed_days) AS day,
                   bool_or(p.first_day < s.as_of AND p.last_day > s.as_of) AS moved_before
            FROM subjects s JOIN spells p ON p.account_id = s.account_id AND p.tier = s.{target}_tier
            GROUP BY s.account_id, s.as_of
        ),"""


def _money(horizon: int, held_days: int) -> str:
    """Columns increment_h and booked_h of one horizon; a rate is money per 30 days."""
    end = f"s.as_of + {horizon}"
    overlap = f"greatest(0, date_diff('day', greatest(k.first_day, s.as_of), least(k.last_day, {end})))"
    mature = f"any_value(s.observed_days) >= {horizon}"
    return f"""
            CASE WHEN {mature} THEN CAST(coalesce(sum(k.rate * {overlap}), 0) AS DOUBLE) / 30
                 - greatest(any_value(s.run_rate), 0) * {horizon} / 30 END AS increment_{horizon},
            CASE WHEN any_value(s.observed_days) + {held_days} >= {horizon} THEN
                 CAST(coalesce(sum(k.amount) FILTER (k.day >= s.as_of AND k.day < {end}), 0) AS DOUBLE)
                 END AS booked_{horizon}"""


def labels_stage(workspace: Workspace, definitions: Definitions, params: LabelParams) -> None:
    """Stage `labels`: snapshots' tier and run-rate + warehouse -> artifacts/labels.parquet."""
    with progress.stage("labels") as say, connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse)
        books = read_table(workspace.artifacts / "features.parquet", ["account_id", "as_of", "tier", "run_rate"])
        table = make_labels(con, books, definitions, params, outcomes_end(con, ingested_on(workspace.warehouse)))
        write_table(table, workspace.artifacts / "labels.parquet")
        moved = sum(1 for day in table["expansion_day"].to_pylist() if day is not None)
        told = labelled(table, books["tier"], definitions.tiers, "expansion", params.default_horizon).line()
        say(f"{moved:,} snapshots see a move to the next tier; at {params.default_horizon} days {told}")


def main(argv: list[str] | None = None) -> int:
    def called(call: Call) -> None:
        labels_stage(
            call.workspace, Definitions.from_params(call.document), section(call.document, "labels", LabelParams)
        )

    return run(called, "Stage labels: what became of each snapshot.", argv)


if __name__ == "__main__":
    raise SystemExit(main())
