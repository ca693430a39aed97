"""Which adapter reads what, by the name it has in `ingest.adapter`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import duckdb

from warehouse.adapters import Source, amplitude, columns, database, mapping, posthog, segment, stripe, tables
from warehouse.adapters import transaction_log as log
from warehouse.adapters.amplitude import AmplitudeParams
from warehouse.adapters.columns import ColumnsParams
from warehouse.adapters.database import DatabaseParams
from warehouse.adapters.mapping import MappingParams
from warehouse.adapters.posthog import PostHogParams
from warehouse.adapters.segment import SegmentParams
from warehouse.adapters.stripe import StripeParams
from warehouse.adapters.transaction_log import TransactionLogParams
from warehouse.errors import ContractBroken, ParamsError
from warehouse.params import Section
from warehouse.raw import TABLES
from warehouse.rules import Reading
from warehouse.tombstones import Tombstones

Name = Literal[
    "tables", "columns", "transaction_log", "mapping", "segment", "posthog", "amplitude", "stripe", "database"
]


class AdapterParams(Section):
    """What the adapter of that name needs; `tables` needs nothing."""

    columns: ColumnsParams | None = None
    transaction_log: TransactionLogParams | None = None
    mapping: MappingParams | None = None
    segment: SegmentParams | None = None
    posthog: PostHogParams | None = None
    amplitude: AmplitudeParams | None = None
    stripe: StripeParams | None = None
    database: DatabaseParams | None = None


READERS: dict[str, tuple[Callable[..., list[Source]], Callable[[AdapterParams], Section | None]]] = {
    "columns": (columns.sources, lambda params: params.columns),
    "transaction_log": (log.sources, lambda params: params.transaction_log),
    "mapping": (mapping.sources, lambda params: params.mapping),
    "segment": (segment.sources, lambda params: params.segment),
    "posthog": (posthog.sources, lambda params: params.posthog),
    "amplitude": (amplitude.sources, lambda params: params.amplitude),
    "stripe": (stripe.sources, lambda params: params.stripe),
    "database": (database.sources, lambda params: params.database),
}


def fetch(
    params: AdapterParams, names: Sequence[Name], into: Path, erased: Tombstones, say: Callable[[str], None]
) -> Path | None:
    """The folder `into`, filled with what the `database` adapter extracts of all but the `erased`; null where no
    adapter asks a database.

    Raises:
        ExpansionError: the database cannot be reached. ParamsError: a query is not one read-only SELECT.
    """
    if "database" not in names or params.database is None:
        return None
    return database.extract(params.database, into, say, erased)


def open_sources(
    con: duckdb.DuckDBPyConnection,
    raw: Path,
    extracted: Path | None,
    names: Sequence[Name],
    params: AdapterParams,
    reading: Reading,
) -> list[Source]:
    """The rows of `raw`, and of the folder `extracted` from a database, by table; nothing is judged yet.

    Each adapter gives the tables it can; `tables` gives those of the folder that no other gave.

    Raises:
        ContractBroken: a table or column is missing, or a file cannot be read.
        ParamsError: two adapters give one table, or a text in the params does not fit the files.
    """
    found: dict[str, Source] = {}
    others: list[Source] = []
    givers: dict[str, str] = {}
    for adapter in [one for one in names if one != "tables"]:
        read, settings_of = READERS[adapter]
        folder = extracted if adapter == "database" and extracted is not None else raw
        for source in read(con, folder, settings_of(params), reading):
            if source.table not in TABLES:
                others.append(source)
            elif source.table in found:
                raise ParamsError(
                    f'ingest.adapter: both {givers[source.table]} and {adapter} give the table "{source.table}". '
                    "Take it out of one of them."
                )
            else:
                found[source.table] = source
                givers[source.table] = adapter
    if "tables" in names:
        found |= {source.table: source for source in tables.sources(con, raw, tuple(found))}
    missing = [table.name for table in TABLES.values() if not table.optional and table.name not in found]
    if missing:
        raise ContractBroken(
            [
                f"{raw}: table {', '.join(missing)} comes from no adapter of ingest.adapter ({', '.join(names)}). "
                "Add an adapter that gives it, or `tables` and a file of that name."
            ]
        )
    return [found[table] for table in TABLES if table in found] + others
