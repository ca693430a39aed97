"""Raw rows to one row a day, once: nothing after this stage reads raw events or invoices again.

Each roll-up keeps both clocks (day it happened, day it was known), so the as-of door can cut it as exactly as it could
cut the raw rows. Quantities and amounts are exact decimals: their sums do not depend on the order of rows or threads.
Event names become bits: a set of names is a few words of 63 bits, and counting names is counting bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa

from features.catalogue import CATALOGUE, Definitions, life_of
from features.windows import KINDS, Layout
from warehouse import asof
from warehouse.engine import Stage, quote
from warehouse.errors import ContractBroken

RATE = "DECIMAL(28, 10)"  # money per 30 days of one revenue row, exact to a ten-billionth
WORD = 63  # bits of a word that leave its sign alone
DAY_COLUMNS = (
    "account_id",
    "user_id",
    "day",
    "events",
    *KINDS,
    "user_day",
    "quantity",
)  # beside known_day and the masks


@dataclass(frozen=True)
class Vocabulary:
    """Event names in the order of their bits. A name keeps its place for ever; new ones are appended."""

    names: tuple[str, ...] = ()

    @property
    def words(self) -> int:
        return max(1, -(-len(self.names) // WORD))

    def plus(self, names: Iterable[str]) -> Vocabulary:
        return Vocabulary((*self.names, *sorted(set(names) - set(self.names))))

    def table(self, definitions: Definitions) -> pa.Table:
        """event_name, kind (`plain` where the vendor gave no meaning), word, bit."""
        kind = {name: column for names, column in _kinds(definitions) for name in names}
        return pa.table(
            {
                "event_name": pa.array(self.names, pa.string()),
                "kind": pa.array([kind.get(name, "plain") for name in self.names], pa.string()),
                "word": pa.array([place // WORD for place in range(len(self.names))], pa.int32()),
                "bit": pa.array([1 << place % WORD for place in range(len(self.names))], pa.int64()),
            }
        )

    def layout(self, definitions: Definitions, folded: date | None = None) -> Layout:
        words = [0] * self.words
        for place, name in enumerate(self.names):
            if name in definitions.features.specialist:
                words[place // WORD] |= 1 << place % WORD
        return Layout(tuple(words), folded)


def _kinds(definitions: Definitions) -> list[tuple[tuple[str, ...], str]]:
    """Event names and the column they are counted in; of two meanings the first holds."""
    return list(zip(definitions.features.kinds().values(), KINDS, strict=True))[::-1]


def days_query(words: int, events: str = "events") -> str:
    """SQL for the daily rows of `events`, given the relation `names` (Vocabulary.table): account_id, user_id (null for
    machines), day, known_day, events, specialist, configuration, limits, tickets, quantity, mask_0, ..., and user_day:
    1 on the first known row of a user's day, else 0, so that its sum counts pairs of user and day."""
    kinds = ", ".join(f"CAST(sum(CASE WHEN n.kind = '{k}' THEN 1 ELSE 0 END) AS BIGINT) AS {k}" for k in KINDS)
    masks = ", ".join(f"bit_or(CASE WHEN n.word = {k} THEN n.bit ELSE 0 END) AS mask_{k}" for k in range(words))
    return f"""
        SELECT account_id, user_id, day, known_day, count(*) AS events, {kinds},
               CAST(sum(quantity) AS DECIMAL(38, 4)) AS quantity, {masks},
               CAST(CASE WHEN user_id IS NOT NULL AND row_number() OVER (
                   PARTITION BY account_id, user_id, day ORDER BY known_day) = 1
                   THEN 1 ELSE 0 END AS BIGINT) AS user_day
        FROM (SELECT account_id, user_id, event_name, quantity, CAST(occurred_at AS DATE) AS day,
                     CAST(greatest(occurred_at, received_at) AS DATE) AS known_day FROM {events}) AS e
        JOIN names AS n ON n.event_name = e.event_name
        GROUP BY account_id, user_id, day, known_day"""


def revenue_query(spread_days: int) -> str:
    """SQL for revenue_days: account_id, day, known_day, amount, first_day, last_day (excluded), rate (money per 30
    days).

    An end in the last minute of a day means the midnight after it: such a vendor writes the last moment served, and a
    day that is lost each month would break every stay on a tier. Not where the start lies in that minute too, which is
    the time of day of a sale.
    """
    start, end = (f"CAST({clock} + INTERVAL 1 MINUTE AS DATE)" for clock in ("period_start", "period_end"))
    ends = f"CASE WHEN {start} = CAST(period_start AS DATE) THEN {end} ELSE CAST(period_end AS DATE) END"
    return f"""
        SELECT account_id, day, day AS known_day, amount, first_day, last_day,
               CAST(CAST(amount AS DOUBLE) * 30 / date_diff('day', first_day, last_day) AS {RATE}) AS rate
        FROM (SELECT account_id, CAST(booked_at AS DATE) AS day, amount, CAST(period_start AS DATE) AS first_day,
                     greatest(
                         coalesce({ends}, CAST(period_start + INTERVAL {spread_days} DAY AS DATE)),
                         CAST(period_start + INTERVAL 1 DAY AS DATE)) AS last_day
              FROM revenue) AS r"""


def foreign_query(definitions: Definitions) -> str:
    """SQL for currency and count of the revenue rows that are not in the currency of the ladder. Null is that one."""
    own = quote(definitions.tiers.currency.upper())  # as ingest writes currencies
    return f"SELECT currency, count(*) AS n FROM revenue WHERE currency <> {own} GROUP BY currency ORDER BY currency"


def refuse_foreign(found: Sequence[tuple[str, int]], definitions: Definitions) -> None:
    """Raises ContractBroken where `foreign_query` found a row: floors in one money would be held against another, and
    every account would stand on a tier that is not its own."""
    own = definitions.tiers.currency
    if found:
        raise ContractBroken(
            [
                f'revenue: column "currency": {rows:,} rows are in {currency}, but tiers.currency is {own} (rule '
                f"tiers_currency). Set tiers.currency: {currency} and the floors of tiers.ladder in it, or "
                f"ingest.currency: {own} and deliver fx_rates."
                for currency, rows in found
            ]
        )


def roll_up(con: duckdb.DuckDBPyConnection, definitions: Definitions, known_by: date | None = None) -> Layout:
    """Creates user_days, revenue_days and an empty fold from the views events and revenue of `con`, in memory.

    known_by: hindsight, for audits: what is known at this midnight is told as if known when it happened. Null, the
        rule: every row is known when it was known.
    """
    found = con.execute("SELECT DISTINCT event_name FROM events").fetchall()
    vocabulary = Vocabulary().plus(name for (name,) in found)
    register_names(con, vocabulary, definitions)
    con.execute(f"CREATE OR REPLACE TEMP TABLE rolled AS {days_query(vocabulary.words)}")
    layout = vocabulary.layout(definitions)
    open_days(con, "rolled", layout, known_by)
    roll_up_revenue(con, definitions)
    open_fold(con, layout)
    return layout


def roll_up_revenue(con: duckdb.DuckDBPyConnection, definitions: Definitions) -> None:
    """Creates revenue_days from the view revenue.

    Raises:
        ContractBroken: revenue in another currency than that of the ladder.
    """
    refuse_foreign(con.execute(foreign_query(definitions)).fetchall(), definitions)
    con.execute(f"CREATE OR REPLACE TEMP TABLE revenue_days AS {revenue_query(definitions.tiers.spread_days)}")


def register_names(con: duckdb.DuckDBPyConnection, vocabulary: Vocabulary, definitions: Definitions) -> None:
    con.register("given_names", vocabulary.table(definitions))
    con.execute("CREATE OR REPLACE TEMP TABLE names AS SELECT * FROM given_names")
    con.unregister("given_names")


def open_days(con: duckdb.DuckDBPyConnection, rows: str, layout: Layout, known_by: date | None = None) -> None:
    """Makes the relation `rows` visible as user_days."""
    columns = ", ".join((*DAY_COLUMNS, *(f"mask_{k}" for k in layout.words)))
    query = asof.as_known(rows, columns, known_by) if known_by else f"SELECT {columns}, known_day FROM {rows}"
    con.execute(f"CREATE OR REPLACE TEMP VIEW user_days AS {query}")


def open_fold(con: duckdb.DuckDBPyConnection, layout: Layout, accounts: str = "", users: str = "") -> None:
    """Makes the relations of a fold visible as folded_accounts and folded_users; without them, an empty fold."""
    for stage in fold_relations(layout, accounts, users):
        con.execute(f"CREATE OR REPLACE TEMP VIEW {stage.name} AS {stage.sql}")


def fold_relations(layout: Layout, accounts: str = "", users: str = "") -> list[Stage]:
    """folded_accounts and folded_users from the relations given; without them, empty."""
    columns = ", ".join(f"CAST(NULL AS {c.type}) AS {c.name}" for c in life_of(CATALOGUE, layout))
    nobody = f"SELECT CAST(NULL AS VARCHAR) AS account_id, {columns} WHERE 1 = 0"
    nothing = (
        "SELECT CAST(NULL AS VARCHAR) AS account_id, CAST(NULL AS VARCHAR) AS user_id, CAST(NULL AS DATE) AS first_day"
    )
    return [
        Stage("folded_accounts", f"SELECT * FROM {accounts}" if accounts else nobody),
        Stage("folded_users", f"SELECT * FROM {users}" if users else f"{nothing} WHERE 1 = 0"),
    ]
