"""The catalogue of spoilt input, F12 to F15: what is wrong with files and their bytes.

The table of the catalogue is docs/input-faults.md. Each test goes through `Live` (spoilt_files.py), which asserts code
3, one message and an untouched warehouse, or books that add up to the Parquet files.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.warehouse.spoilt_files import (
    EVENTS,
    HEAD,
    LINE,
    NOON,
    Live,
    command,
    contents,
    delivery,
    events_file,
    flip,
    footer_length,
    good,
    lines,
    nested,
    page_bytes,
    parquet_events,
    with_events,
    write_checksums,
)
from warehouse.delivery import SUMS
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams, ingest

MIB = 1024  # in KiB, as the kernel counts


# F12: giants

GIANTS: dict[str, tuple[str, Callable[[], str], int, str]] = {
    "5-MB-string": ("events.csv", lambda: f"{HEAD}{LINE}a1,{'x' * 5_000_000},2024-02-01\n", 0, "2 accepted"),
    "10000-columns": (
        "events.csv",
        lambda: f"{EVENTS},{','.join(f'c{n}' for n in range(10_000))}\n{LINE}",
        3,
        "events.csv: 10,003 columns; 1,000 are the limit.",
    ),
    "50-MB-line": (
        "events.csv",
        lambda: f"{HEAD}{LINE * 20}a1,{'x' * 50_000_000},2024-02-01\n",
        3,
        "1 of 21 rows is not a readable line of UTF-8, 16 MiB at most (rule malformed, first at line 22)",
    ),
    "50-MB-header": ("events.csv", lambda: f"{'x' * 50_000_000}\n", 3, "the first line is longer than 1,000,000 bytes"),
    "50-MB-object": (
        "events.jsonl",
        lambda: json.dumps({"account_id": "a1", "event_name": "x" * 50_000_000, "occurred_at": "2024-02-01"}) + "\n",
        3,
        "events.jsonl: a line is longer than 16 MiB",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
@pytest.mark.parametrize("name", GIANTS, ids="F12-{}".format)
def test_a_giant_is_taken_or_refused_in_bounded_memory(name: str, tmp_path: Path, live: Live) -> None:
    file, body, code, said = GIANTS[name]
    raw = with_events(tmp_path / "raw", body(), file)
    before = contents(live.workspace.warehouse)
    done = command(raw, live.workspace.root)
    told = [line for line in done.stderr.splitlines() if line]
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stderr[-500:]
    assert int(told[-1]) < 1024 * MIB
    assert len([line for line in told if line.startswith("error: ")]) == (code != 0)
    assert (contents(live.workspace.warehouse) == before) == (code != 0)


# F13: text that is no proper CSV

BYTES: dict[str, tuple[bytes, dict[str, int], list[int]]] = {
    # five lines, the third of them spoilt: the whole file -> rows by fate, and the lines set aside
    "byte-order-mark": (f"\ufeff{HEAD}{LINE * 5}".encode(), {"accepted": 1, "duplicate": 4}, []),
    "windows-line-ends": (f"{HEAD}{LINE * 5}".replace("\n", "\r\n").encode(), {"accepted": 1, "duplicate": 4}, []),
    "embedded-newline": (
        f'{HEAD}{LINE * 2}a1,"two\nlines",2024-02-01\n{LINE * 2}'.encode(),
        {"accepted": 2, "duplicate": 3},
        [],
    ),
    "NUL-byte": (
        f"{HEAD}{LINE * 2}a1,se\0en,2024-02-01\n{LINE * 2}".encode(),
        {"accepted": 1, "duplicate": 3, "malformed": 1},
        [4],
    ),
    "invalid-UTF-8": (
        f"{HEAD}{LINE * 2}a1,se".encode() + b"\xff\xfe" + f"en,2024-02-01\n{LINE * 2}".encode(),
        {"accepted": 1, "duplicate": 3, "malformed": 1},
        [4],
    ),
    "lone-quote": (
        f'{HEAD}{LINE * 2}a1,"seen,2024-02-01\n{LINE * 2}'.encode(),
        {"accepted": 1, "duplicate": 1, "malformed": 3},
        [4],
    ),
    "extra-field": (
        f"{HEAD}{LINE * 2}a1,seen,2024-02-01,x\n{LINE * 2}".encode(),
        {"accepted": 1, "duplicate": 3, "malformed": 1},
        [4],
    ),
    "missing-field": (
        f"{HEAD}{LINE * 2}a1,seen\n{LINE * 2}".encode(),
        {"accepted": 1, "duplicate": 3, "malformed": 1},
        [4],
    ),
    "repeated-header": (
        f"{HEAD}{LINE * 2}{HEAD}{LINE * 2}".encode(),
        {"accepted": 1, "duplicate": 3, "wrong_type": 1},
        [4],
    ),
}


SPOILT = [(name, "csv") for name in BYTES] + [(name, "csv.gz") for name in ("NUL-byte", "invalid-UTF-8", "lone-quote")]


@pytest.mark.parametrize(("name", "ending"), SPOILT, ids=[f"F13-{name}-{ending}" for name, ending in SPOILT])
def test_a_spoilt_line_goes_to_the_quarantine_and_the_others_stay(
    name: str, ending: str, tmp_path: Path, live: Live
) -> None:
    body, fates, aside = BYTES[name]
    raw = with_events(tmp_path / "raw", gzip.compress(body) if ending == "csv.gz" else body, f"events.{ending}")
    [rule] = set(fates) - {"accepted", "duplicate"} or {None}
    if rule:
        live.stops(raw, f"events.{ending}:", f"{fates[rule]} of 5 rows", f"rule {rule}, first at line 4", "Quarantined")
    accounting = live.takes(raw)
    assert accounting.read("events") == 5
    found = {"accepted": accounting.counts["events"], "duplicate": accounting.duplicate("events")}
    assert found | accounting.quarantined("events") == fates
    assert [row[1] for row in live.aside("events")] == aside


def test_F13_two_bytes_a_letter_are_refused_whole(tmp_path: Path, live: Live) -> None:
    for number, code in enumerate(("utf-16", "utf-16-be")):
        raw = with_events(tmp_path / f"raw{number}", f"{HEAD}{LINE}".encode(code))
        live.stops(raw, "events.csv: the header is not UTF-8", "Export the file as UTF-8")


def test_F13_a_quote_that_swallows_thirty_thousand_lines_loses_none_of_them(tmp_path: Path, live: Live) -> None:
    body = lines(30_300)
    body[300] = 'a1,"seen,2024-02-01'
    raw = with_events(tmp_path / "raw", "\n".join([EVENTS, *body]) + "\n")
    accounting = live.takes(raw)
    assert accounting.read("events") == 30_300
    assert accounting.quarantined("events") == {"malformed": 30_000}


def test_F13_line_numbers_hold_after_a_line_that_could_not_be_read(tmp_path: Path, live: Live) -> None:
    raw = with_events(tmp_path / "raw", f"{HEAD}{LINE}too,few\n{LINE}a1,seen,soon\n")
    live.takes(raw)
    assert [row[1:3] for row in live.aside("events")] == [(3, "malformed"), (5, "wrong_type")]


# F14: what is there instead of a file


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link_out(path: Path) -> None:
    outside = path.parent.parent / "outside.csv"
    outside.write_text(HEAD + LINE)
    path.symlink_to(outside)


STANDINS: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero-bytes": (lambda path: path.write_bytes(b""), "events.csv: the file is empty (zero bytes)"),
    "header-only": (lambda path: path.write_text(HEAD), "events.csv: 0 rows of events are left of 0 (rule no_rows)"),
    "whitespace": (lambda path: path.write_text("  \n\t\n \n"), "events.csv: the first line is blank"),
    "folder": (_folder, "events.csv: a folder with the name of a file"),
    "missing": (lambda path: None, 'table "events" is missing'),
    "pipe": (_pipe, "events.csv: not a plain file"),
    "link-out": (_link_out, "events.csv: a link that leads out of the raw folder"),
    "link-to-nothing": (lambda path: path.symlink_to("nothing.csv"), "events.csv: a link to nothing"),
}


@pytest.mark.parametrize("name", STANDINS, ids="F14-{}".format)
def test_what_is_no_file_is_refused_in_words_of_its_own(name: str, tmp_path: Path, live: Live) -> None:
    make, said = STANDINS[name]
    raw = delivery(tmp_path / "raw")
    (raw / "events.csv").unlink()
    make(raw / "events.csv")
    if name == "pipe":  # from a process of its own, for a pipe that is opened waits for ever
        done = command(raw, live.workspace.root)
        assert (done.returncode, said in done.stderr) == (3, True)
    words = live.stops(raw, said)
    assert not [other for other, (_, theirs) in STANDINS.items() if other != name and theirs in words]


def test_F14_a_file_that_may_not_be_read_says_so(tmp_path: Path, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = delivery(tmp_path / "raw")
    (raw / "events.csv").chmod(0)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "events.csv" and allowed(path, mode))
    live.stops(raw, "events.csv: not readable (permission denied)")


# F15: Parquet


def _last_bytes(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


def _without_first_group(path: Path) -> None:
    """The bytes of the first half of the rows are gone, the footer still tells of them."""
    group = pq.ParquetFile(path).metadata.row_group(1).column(0)
    second = group.dictionary_page_offset if group.has_dictionary_page else group.data_page_offset
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + whole[second:])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda path: _last_bytes(path, path.stat().st_size // 2), "not readable Parquet"),
    "without-its-last-byte": (lambda path: _last_bytes(path, path.stat().st_size - 1), "not readable Parquet"),
    "zero-bytes": (lambda path: path.write_bytes(b""), "the file is empty (zero bytes)"),
    "csv-inside": (lambda path: path.write_text(HEAD + LINE), "not readable Parquet"),
    "row-group-missing": (_without_first_group, "not readable Parquet"),
}


@pytest.mark.parametrize("name", DAMAGE, ids="F15-{}".format)
def test_damaged_parquet_is_refused(name: str, tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw")
    spoil, said = DAMAGE[name]
    spoil(parquet_events(raw))
    live.stops(raw, f"events.parquet: {said}")


def test_F15_parquet_or_gzip_under_another_ending_is_told(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw")
    parquet_events(raw).rename(raw / "events.csv")
    live.stops(raw, "events.csv: the file holds Parquet, not CSV")
    live.stops(with_events(tmp_path / "gz", gzip.compress((HEAD + LINE).encode())), "the file holds gzip, not CSV")
    live.stops(with_events(tmp_path / "plain", HEAD + LINE, "events.csv.gz"), "events.csv.gz: not readable (Not a gzip")
    half = gzip.compress("\n".join([EVENTS, *lines(20_000)]).encode())[:50_000]
    live.stops(with_events(tmp_path / "half", half, "events.csv.gz"), "events.csv.gz: ")


def test_F15_a_nested_column_of_the_contract_is_refused_and_one_of_another_name_ignored(
    tmp_path: Path, live: Live
) -> None:
    raw = delivery(tmp_path / "raw")
    (raw / "events.csv").unlink()
    spare = pa.table({**good_events(), "properties": pa.array([{"a": 1}, {"a": 2}])})
    pq.write_table(spare, raw / "events.parquet")
    assert live.takes(raw).extra_columns == {"events": ["properties"]}
    nested(raw / "events.parquet")
    live.stops(raw, 'events.parquet: column "event_name"', "nested")


def good_events() -> dict[str, list[str]]:
    return {name: [str(row[name]) for row in good()["events"]] for name in EVENTS.split(",")}


def spread(offsets: Sequence[int], count: int) -> list[int]:
    """`count` of the offsets, evenly."""
    return [offsets[len(offsets) * n // count] for n in range(count)]


def test_F15_checksums_of_the_sender_catch_every_one_of_64_flipped_bytes(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw")
    path = parquet_events(raw, checksums=False)
    write_checksums(raw)
    whole, size = path.read_bytes(), path.stat().st_size
    footer = size - footer_length(path)
    for place in [*spread(range(footer), 48), *spread(range(footer, size), 16)]:
        flip(path, place)
        said = live.stops(raw, "events.parquet: ")
        assert "rule checksum" in said or "not readable Parquet" in said, place
        path.write_bytes(whole)
    assert live.takes(raw).counts["events"] == 2_000


@pytest.mark.parametrize("compression", ["zstd", "none"], ids="F15-flips-{}".format)
def test_with_checksums_in_its_pages_a_file_never_lies(compression: str, tmp_path: Path, live: Live) -> None:
    """All flips in the pages (2 x 32) are caught; those in page headers, which no checksum covers, change no row."""
    raw = delivery(tmp_path / "raw")
    path = parquet_events(raw, compression=compression)
    live.takes(raw)
    whole, true = path.read_bytes(), contents(live.workspace.warehouse / "events")
    headers, pages = page_bytes(path)
    for place in spread(pages, 32):
        flip(path, place)
        assert "not readable Parquet" in live.stops(raw, "events.parquet: "), place
        path.write_bytes(whole)
    for place in spread(headers, 8):
        flip(path, place)
        try:
            ingest(raw, live.workspace, IngestParams(), NOON)
        except ContractBroken as refused:
            assert "events.parquet: " in str(refused)  # noqa: PT017
        assert contents(live.workspace.warehouse / "events") == true, place
        path.write_bytes(whole)


def test_F15_a_file_that_the_sender_lists_and_did_not_send_is_missed(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw")
    (raw / "events.csv").unlink()
    for day in (1, 2):
        events_file(raw / f"events/{day}.csv", good()["events"])
    write_checksums(raw)
    (raw / "events/2.csv").unlink()
    live.stops(raw, "events/2.csv", SUMS)
