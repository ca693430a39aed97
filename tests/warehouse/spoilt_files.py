"""A vendor whose warehouse is live, raw folders spoilt on purpose, and what must hold however they were spoilt."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from json import loads
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import Row, account, event, invoice, write_file, write_raw
from warehouse.accounting import Accounting
from warehouse.delivery import SUMS
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams, ingest
from warehouse.raw import TABLES
from warehouse.store import Workspace

ROOT = Path(__file__).parents[2]
NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)  # the moment of every run
ANY = IngestParams(max_bad_ratio=1, max_ratio={"unknown_account": 1})  # whatever the share, rows are only set aside
EVENTS = "account_id,event_name,occurred_at"
HEAD, LINE = f"{EVENTS}\n", "a1,seen,2024-02-01T09:00:00Z\n"


@dataclass(frozen=True)
class Live:
    """A workspace with a warehouse that must survive whatever is delivered."""

    workspace: Workspace

    def takes(self, raw: Path, params: IngestParams = ANY) -> Accounting:
        """Ingests `raw`, which must go well, and checks the books against the Parquet files."""
        accounting = ingest(raw, self.workspace, params, NOON)
        add_up(accounting, self.workspace)
        for table in TABLES:
            assert pq.read_table(self.workspace.warehouse / table).num_rows == accounting.counts[table]
        return accounting

    def stops(self, raw: Path, *words: str, params: IngestParams | None = None) -> str:
        """Ingests `raw`: refused with code 3 and one message that holds all `words`, and nothing live moves."""
        before = contents(self.workspace.warehouse)
        quarantine = contents(self.workspace.quarantine)
        with pytest.raises(ContractBroken) as caught:
            ingest(raw, self.workspace, params or IngestParams(), NOON)
        assert caught.value.exit_code == 3
        assert len(caught.value.problems) == 1, caught.value.problems
        [said] = caught.value.problems
        for word in words:
            assert word in said
        assert contents(self.workspace.warehouse) == before
        assert "manifest.json" in before
        assert not (self.workspace.root / ".ingest").exists()
        if contents(self.workspace.quarantine) != quarantine:  # it came so far as to count
            add_up(self.booked(), self.workspace)
        return said

    def booked(self) -> Accounting:
        """The accounting beside the quarantine: of the last run that read to the end, published or not."""
        document = loads((self.workspace.quarantine / "accounting.json").read_text(encoding="utf-8"))
        return Accounting.from_json({key: value for key, value in document.items()})

    def aside(self, table: str) -> list[tuple[str, int, str, str | None]]:
        """(file, line, rule, column) of every row set aside."""
        path = self.workspace.quarantine / f"{table}.parquet"
        rows = pq.read_table(path).to_pylist() if path.exists() else []
        return [(row["file"], row["line"], row["rule"], row["column"]) for row in rows]

    def rows(self, table: str) -> list[Row]:
        return list(pq.read_table(self.workspace.warehouse / table).to_pylist())


def add_up(accounting: Accounting, workspace: Workspace) -> None:
    """Per file, read = accepted + duplicate + quarantined; and each rule has as many rows in the quarantine. A line
    that is malformed may have swallowed others (an open quote), which are counted but have no place of their own."""
    kept: Counter[tuple[str, str, str]] = Counter()
    for path in workspace.quarantine.glob("*.parquet"):
        kept.update((row["table"], row["file"], row["rule"]) for row in pq.read_table(path).to_pylist())
    for one in accounting.files:
        assert one.read == one.accepted + one.duplicate + sum(one.quarantined.values())
        for rule, rows in one.quarantined.items() if one.table in TABLES else ():
            found = kept[one.table, one.file, rule]
            assert 0 < found <= rows if rule == "malformed" else found == rows
    for table, accepted in accounting.counts.items():
        assert accepted == sum(one.accepted for one in accounting.files if one.table == table)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def good() -> dict[str, list[Row]]:
    """Rows that break no rule. The ids are fixed, so the same call gives the same delivery."""
    paid = {"period_start": "2024-02-01T00:00:00Z", "period_end": "2024-03-01T00:00:00Z"}
    return {
        "accounts": [account("a1", employees=5), account("a2", employees=9)],
        "events": [event("a1", event_id="g1"), event("a2", "2024-03-02T09:00:00Z", event_id="g2")],
        "revenue": [invoice("a1", revenue_id="i1", **paid), invoice("a2", revenue_id="i2", **paid)],
        "touches": [{"account_id": "a1", "occurred_at": "2024-03-01T00:00:00Z", "kind": "contacted"}],
        "account_users": [{"account_id": "a1", "user_id": "u1", "valid_from": "2024-01-02T00:00:00Z"}],
    }


def delivery(folder: Path, format: str = "csv", **tables: Sequence[Row]) -> Path:
    """The good tables in `folder`, some replaced."""
    return write_raw(folder, format=format, **(good() | {name: list(rows) for name, rows in tables.items()}))


def with_events(folder: Path, body: bytes | str, file: str = "events.csv") -> Path:
    """The good tables in `folder`, with `body` as the file of the events."""
    raw = delivery(folder)
    (raw / "events.csv").unlink()
    (raw / file).parent.mkdir(parents=True, exist_ok=True)
    (raw / file).write_bytes(body if isinstance(body, bytes) else body.encode())
    return raw


def lines(count: int) -> list[str]:
    """`count` lines of events.csv (account_id, event_name, occurred_at), a second apart; no header."""
    first = datetime(2024, 2, 1)
    return [f"a1,seen,{(first + timedelta(seconds=n)).isoformat()}Z" for n in range(count)]


def write_checksums(raw: Path) -> None:
    """SHA256SUMS of all files of the folder, as `sha256sum` writes it."""
    files = sorted(path for path in raw.rglob("*") if path.is_file() and path.name != SUMS)
    said = [f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(raw).as_posix()}" for path in files]
    (raw / SUMS).write_text("\n".join(said) + "\n", encoding="utf-8")


def parquet_events(raw: Path, rows: int = 2_000, checksums: bool = True, compression: str = "zstd") -> Path:
    """Replaces the events of `raw` by events.parquet with `rows` events, in pages with or without CRC."""
    (raw / "events.csv").unlink()
    at = [datetime(2024, 2, 1) + timedelta(seconds=n) for n in range(rows)]
    table = pa.table(
        {
            "event_id": [f"e{n}" for n in range(rows)],
            "account_id": ["a1" if n % 3 else "a2" for n in range(rows)],
            "event_name": [f"name {n % 7}" for n in range(rows)],
            "occurred_at": pa.array(at, pa.timestamp("us", "UTC")),
            "quantity": [float(n) for n in range(rows)],
        }
    )
    path = raw / "events.parquet"
    pq.write_table(table, path, compression=compression, write_page_checksum=checksums, row_group_size=rows // 2)
    return path


def page_bytes(path: Path) -> tuple[list[int], list[int]]:
    """Offsets of the bytes of page headers, and of those of the pages, which their checksums cover."""
    meta, whole = pq.ParquetFile(path).metadata, path.read_bytes()
    headers: list[int] = []
    pages: list[int] = []
    for group in range(meta.num_row_groups):
        for number in range(meta.num_columns):
            column = meta.row_group(group).column(number)
            start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            end = start + column.total_compressed_size
            while start < end:
                length, fields = _struct(whole[start:end], 0)
                size = fields[3]  # of the page as it is stored
                headers += range(start, start + length)
                pages += range(start + length, start + length + size)
                start += length + size
    return headers, pages


def _struct(stream: bytes, place: int) -> tuple[int, dict[int, int]]:
    """Where a struct in Thrift's compact form ends, and its integer fields by number."""
    fields: dict[int, int] = {}
    number = 0
    while stream[place]:
        kind, step = stream[place] & 0x0F, stream[place] >> 4
        assert step  # no writer skips more than fifteen fields here
        number, place = number + step, place + 1
        if kind in (5, 6):
            place, value = _varint(stream, place)
            fields[number] = (value >> 1) ^ -(value & 1)
        elif kind == 8:
            place, size = _varint(stream, place)
            place += size
        elif kind == 12:
            place, _ = _struct(stream, place)
        else:
            assert kind in (1, 2)  # a flag has its value in its kind
    return place + 1, fields


def _varint(stream: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (stream[place] & 0x7F) << shift
        shift, place = shift + 7, place + 1
        if not stream[place - 1] & 0x80:
            return place, value


def flip(path: Path, place: int) -> None:
    """Inverts the byte at `place`: deterministic, and never the byte that was there."""
    whole = bytearray(path.read_bytes())
    whole[place] ^= 0xFF
    path.write_bytes(bytes(whole))


def footer_length(path: Path) -> int:
    """Bytes of footer, its length and the closing magic."""
    whole = path.read_bytes()
    return int(struct.unpack("<I", whole[-8:-4])[0]) + 8


def nested(path: Path) -> None:
    """Events whose event_name is a struct."""
    names = pa.array([{"first": "a"}, {"first": "b"}])
    at = pa.array([datetime(2024, 2, 1)] * 2, pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"account_id": ["a1", "a2"], "event_name": names, "occurred_at": at}), path)


def events_file(path: Path, rows: Sequence[Row]) -> None:
    """`rows` as a file of the folder `events/`, by its ending."""
    write_file(path, list(dict.fromkeys(key for row in rows for key in row)), rows)


TOKENS = (
    *(b'"', b"'", b",", b"\n", b"\r\n", b"\r", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f", b"\\", b"{", b"}"),
    *(b"null", b"NaN", b"-1", b"1e999", b"9" * 40, b'"', b"account_id", b"../../etc/passwd", b" ", b"\xe2\x80\xae"),
)


def mutated(whole: bytes, seed: int) -> bytes:
    """`whole` after one to six random changes: bytes flipped, dropped, doubled, swapped, or a nasty token put in."""
    draw = random.Random(seed)
    out = bytearray(whole)
    for _ in range(draw.randint(1, 6)):
        start = draw.randrange(len(out) + 1)
        end = min(len(out), start + draw.choice((1, 1, 2, 8, 40)))
        kind = draw.randrange(6)
        if kind == 0 and start < len(out):
            out[start] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del out[start:end]
        elif kind == 2:
            out[start:start] = out[start:end]
        elif kind == 3:
            del out[start:]
        elif kind == 4:
            other = draw.randrange(len(out) + 1)
            out[other:other] = out[start:end]
        else:
            out[start:start] = draw.choice(TOKENS)
    return bytes(out)


def command(raw: Path, workspace: Path, *options: str, zone: str = "UTC") -> subprocess.CompletedProcess[str]:
    """`expansion ingest` in a process of its own, which may take a minute. Its last line on stderr is the most memory
    it held, in KiB (Linux)."""
    program = (
        "import atexit, sys, expansion\n"
        "peak = lambda: next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]\n"
        "atexit.register(lambda: print(peak(), file=sys.stderr))\n"
        "expansion.main()\n"
    )
    given = ["ingest", "--raw", str(raw), "--workspace", str(workspace), *options]
    return subprocess.run(
        [sys.executable, "-c", program, *given],
        cwd=ROOT,
        env=os.environ | {"TZ": zone},
        capture_output=True,
        text=True,
        timeout=60,
    )


def first_ingest(folder: Path) -> Path:
    """A workspace with the good tables live."""
    ingest(delivery(folder / "raw"), Workspace(folder / "workspace"), IngestParams(), NOON)
    return folder / "workspace"


def copied(ingested: Path, into: Path) -> Live:
    """A copy of the workspace `ingested` of its own."""
    shutil.copytree(ingested, into)
    return Live(Workspace(into))
