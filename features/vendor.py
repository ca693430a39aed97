"""What only a vendor's accounts together tell, and how it travels to a caller that sends single histories."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from features.peers import NO_PEERS, peers_at
from features.season import NO_SEASON, WEEKS, season_at


@dataclass(frozen=True)
class Vendor:
    """peers, season: the relations `peers` (features/peers.py) and `season_weeks` (features/season.py) of one as_of."""

    peers: pa.Table = field(default_factory=lambda: NO_PEERS)
    season: pa.Table = field(default_factory=lambda: NO_SEASON)

    def later(self, days: int) -> Vendor:
        """What is known of it `days` after its as_of, if nothing was heard since: the same peers, and the season of the
        weeks that still lie in reach, moved by whole weeks, the nearest. For a day before its own, of which it would
        know the future, nothing."""
        if days < 0:
            return Vendor()
        weeks = pc.add(self.season["week"], (days + 3) // 7)
        season = self.season.set_column(self.season.column_names.index("week"), "week", weeks)
        return Vendor(_dated(self.peers, days), _dated(season.filter(pc.less_equal(weeks, WEEKS)), days))

    @property
    def days(self) -> set[date]:
        """The as_of of which it tells; none of a vendor that tells nothing."""
        return {day for table in (self.peers, self.season) for day in table["as_of"].unique().to_pylist()}

    def register(self, con: duckdb.DuckDBPyConnection) -> None:
        """Makes both relations visible to the stages of features/windows.py."""
        for name, table in (("peers", self.peers), ("season_weeks", self.season)):
            con.register(f"given_{name}", table)
            con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM given_{name}")
            con.unregister(f"given_{name}")


def vendor_at(con: duckdb.DuckDBPyConnection, as_of: date) -> Vendor:
    """As of one day, of a connection that sees accounts, user_days and revenue_days."""
    return Vendor(peers_at(con, as_of), season_at(con, as_of))


def _dated(table: pa.Table, days: int) -> pa.Table:
    dates = pc.add(table["as_of"].cast(pa.int32()), pa.scalar(days, pa.int32())).cast(pa.date32())
    return table.set_column(table.column_names.index("as_of"), "as_of", dates)
