"""What goes wrong between a vendor's systems and its raw tables: a switch a fault, and what is decided up front.

Every fault draws from a stream of its own, so switching one on or off leaves alone what the others hit. What concerns a
day comes from the stream of (seed, fault, day); what concerns a user from a hash of (seed, fault, user_id). So days may
be spoiled in any order and in any process, and still give the same bytes.
"""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from simulator.market import Floats
from warehouse.params import Section

Bools = NDArray[np.bool_]
SETTLED = 30  # days an account has at least before and after it is merged or split
RENAMES = {  # event names of the new version of the vendor's app
    "report_built": "report.created",
    "setting_changed": "settings_updated",
    "limit_hit": "quota_exceeded",
    "document_edited": "doc_edit",
}


class Faults(Section):
    """Each switch is a rate: 0, the default, is off. Of days, accounts and paying accounts just that share is hit,
    rounded and at least one; events, users and rows of revenue are hit each with that chance. "From one day on" means
    from its midnight, UTC.

    On events. A file is that of the day on which its events truly happened, whatever they are stamped with:

    late: share of events received [2, 10) days after they happened. Those due at or after the end are not there yet.
    duplicates: share of events delivered twice; the copy, equal in all columns, stands at the end of the same file.
    skewed: share of users whose device runs up to 26 hours fast or slow, always by as much: their occurred_at is off by
        that, received_at is right.
    future: share of events with an occurred_at 10 to 20 years ahead; received_at is right.
    zone: share of users whose occurred_at is an hour ahead from one day on: local time, labelled UTC.
    renamed: share of users whose app writes the names of RENAMES from one day on.
    id_reuse: share of events with the event_id of another event of that day.
    missing_days: share of days whose events are lost; no file.
    schema_change: share of days, the last ones, whose files call `received_at` by the name `ingested_at`.

    On accounts. Neither of the first two hits an internal account, or one with less than 30 days before or after:

    merged: share of accounts taken over by an older one from one day on: that account's id is on their events, their
        invoices booked and their users from then on, and they close on that day.
    split: share of accounts of which about half the users leave for a new account, created on that day as a copy of
        the old row with `-2` to its id: its id is on their events and stays from then on. Of an invoice booked from
        then on it pays half, in a row of its own with `-2` to its id.
    unflagged: share of the internal accounts whose is_internal is null: test accounts that use much and never pay.

    On revenue. Rows that a fault moves to the end or later are not there yet; rows that a fault adds come last:

    currency: share of paying accounts invoiced in EUR from one of their invoices on, 1.10 USD to the euro.
    backdated: share of rows booked up to 20 days later, for the same period.
    corrected: share of charges that were first invoiced at twice their amount, cancelled 1 to 10 days later (`-c` to
        its id; a credit, or as often an invoice below zero), and at that moment invoiced rightly (`-r`).
    """

    late: float = Field(default=0.0, ge=0, le=1)
    duplicates: float = Field(default=0.0, ge=0, le=1)
    skewed: float = Field(default=0.0, ge=0, le=1)
    future: float = Field(default=0.0, ge=0, le=1)
    zone: float = Field(default=0.0, ge=0, le=1)
    renamed: float = Field(default=0.0, ge=0, le=1)
    id_reuse: float = Field(default=0.0, ge=0, le=0.5)  # as many must lend their id
    missing_days: float = Field(default=0.0, ge=0, le=1)
    schema_change: float = Field(default=0.0, ge=0, le=1)
    merged: float = Field(default=0.0, ge=0, le=0.5)  # and as many must be left to take over
    split: float = Field(default=0.0, ge=0, le=1)
    unflagged: float = Field(default=0.0, ge=0, le=1)
    currency: float = Field(default=0.0, ge=0, le=1)
    backdated: float = Field(default=0.0, ge=0, le=1)
    corrected: float = Field(default=0.0, ge=0, le=1)


FAULTY = Faults(  # the world `faulty`
    late=0.05,
    duplicates=0.02,
    skewed=0.02,
    future=0.0005,
    zone=0.05,
    renamed=0.3,
    id_reuse=0.0005,
    missing_days=0.003,
    schema_change=0.1,
    merged=0.01,
    split=0.01,
    unflagged=1.0,  # of the one account in a hundred that is internal
    currency=0.02,
    backdated=0.03,
    corrected=0.02,
)


def stream(seed: int, fault: str, *place: int) -> np.random.Generator:
    """The draws of one fault, of one day if `place` is one."""
    return np.random.default_rng(_sequence(seed, fault, *place))


def _sequence(seed: int, fault: str, *place: int) -> np.random.SeedSequence:
    """Keyed by name, so that no other stream of the simulator, keyed by small numbers, is the same."""
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(f"fault {fault}".encode()), *place))


def how_many(rate: float, among: int) -> int:
    """`rate` of `among`, rounded, and at least one of a fault that is on."""
    return min(among, max(1, round(rate * among))) if rate > 0 else 0


def put(table: pa.Table, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """`table` with other values in `column`, which keeps its place and type."""
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(place), values.cast(table.schema.field(place).type))


class Lots:
    """A number in [0, 1) for each row of `ids`, the same wherever an id turns up; 1.0, never drawn, for a null."""

    def __init__(self, ids: pa.ChunkedArray) -> None:
        coded = ids.combine_chunks().dictionary_encode()
        self._null = coded.is_null().to_numpy(zero_copy_only=False)
        self._row = coded.indices.fill_null(0).to_numpy()
        text = np.array(coded.dictionary.cast(pa.binary()).to_pylist() or [b""], dtype=np.bytes_)
        width = -(-max(text.itemsize, 1) // 8)
        self._words = text.astype(f"S{8 * width}").view("<u8").reshape(len(text), width)

    def of(self, seed: int, fault: str) -> Floats:
        mixed = np.full(len(self._words), _sequence(seed, f"{fault} lot").generate_state(1, np.uint64)[0])
        for word in self._words.T:
            mixed = np.where(word != 0, _splitmix(mixed ^ word), mixed)  # zero: the id was shorter
        lot = (_splitmix(mixed) >> np.uint64(11)) * 2.0**-53
        drawn: Floats = np.where(self._null, 1.0, lot[self._row])
        return drawn


def _splitmix(mixed: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64: every bit of the input moves every bit of the output."""
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
