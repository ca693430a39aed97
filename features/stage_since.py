"""Since when accounts have stood in their stage, where no earlier night tells: the first of each of the last twelve
months is looked at again, by the one feature path, with what was known then."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa

from features.build import build_features, features_at, open_accounts, open_vendor
from features.catalogue import CATALOGUE, Definitions
from features.feature import behind
from warehouse.periods import month_starts
from warehouse.store import Workspace

MONTHS = 12  # looked back; who has stood there for longer is dated by the first of them
FEW = 1_000  # accounts whose own facts are sooner rolled up anew than the whole vendor's are read


def looked_at(as_of: date) -> list[date]:
    """The firsts of the last MONTHS months before as_of, ascending."""
    return month_starts(date(as_of.year - 2, 1, 1), as_of - timedelta(days=1))[-MONTHS:]


def stage_since(workspace: Workspace, definitions: Definitions, as_of: date, standing: pa.Table) -> dict[str, date]:
    """The day from which each account has stood in its stage without a break, as far as the dates looked at tell.

    Args:
        standing: account_id and stage (strings) as of as_of, of accounts that the night scores.

    Returns:
        By account_id, the earliest of the dates from which it shows its stage at every later one and as of as_of;
        as_of where it does not at the last; its day of sign-up where that is no earlier than the first of the dates
        and no date shows another stage.

    Raises:
        DataError: a file of the warehouse is not what `ingest` wrote.
    """
    days = looked_at(as_of)
    few = standing.num_rows <= FEW
    with open_accounts(workspace, standing["account_id"]) if few else open_vendor(workspace) as con:
        con.register("standing", standing)
        con.register("looked_at", pa.table({"as_of": pa.array(days, pa.date32())}))
        spine = con.sql("""
            SELECT account_id, d.as_of FROM standing JOIN accounts AS a USING (account_id)
            JOIN looked_at AS d ON CAST(a.created_at AS DATE) < d.as_of""").to_arrow_table()
        alone = behind(CATALOGUE, "stage", definitions.sql_fragments())
        if few:
            then = build_features(con, spine, definitions, features=alone)
        else:
            then = features_at(con, workspace, spine, definitions, features=alone)
        con.register("stages_then", then.select(["account_id", "as_of", "stage"]))
        found = con.execute("""
            SELECT account_id, any_value(CAST(a.created_at AS DATE)),
                   max(CASE WHEN t.stage <> n.stage THEN t.as_of END)
            FROM standing AS n JOIN accounts AS a USING (account_id) LEFT JOIN stages_then AS t USING (account_id)
            GROUP BY account_id""").fetchall()
    after = dict(zip(days, [*days[1:], as_of], strict=True))
    return {account: max(signed_up, days[0]) if broke is None else after[broke] for account, signed_up, broke in found}
