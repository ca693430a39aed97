"""The catalogue of spoilt input, F12 to F19: what is wrong with files, bytes, columns and the number of accounts.

The table of the catalogue is docs/input-faults.md. Each test goes through `Live` (spoilt_files.py), which asserts code
3, one message and an untouched warehouse, or books that add up to the Parquet files.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import account, event
from tests.warehouse.spoilt_files import (
    EVENTS,
    HEAD,
    LINE,
    NOON,
    Live,
    command,
    contents,
    copied,
    delivery,
    events_file,
    first_ingest,
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


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_ingest(tmp_path_factory.mktemp("ingested"))


@pytest.fixture
def live(ingested: Path, tmp_path: Path) -> Live:
    return copied(ingested, tmp_path / "workspace")


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
        "1 of 21 rows is not a readable line (rule malformed, first at line 22)",
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


# F16: too little of something


def test_F16_no_account_refuses_the_delivery_in_one_message(tmp_path: Path, live: Live) -> None:
    live.stops(delivery(tmp_path / "raw", accounts=[]), "accounts", "no account", "no_accounts")


def test_F16_one_account_is_enough_and_accounts_may_be_silent(tmp_path: Path, live: Live) -> None:
    one = {table: [row for row in rows if row["account_id"] == "a1"] for table, rows in good().items()}
    assert live.takes(delivery(tmp_path / "one", **one), IngestParams()).counts["accounts"] == 1
    silent = delivery(tmp_path / "silent", accounts=[*good()["accounts"], *(account(f"s{n}") for n in range(50))])
    assert live.takes(silent, IngestParams()).counts["accounts"] == 52


def test_F16_no_event_is_a_broken_feed_unless_the_params_say_otherwise(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw", events=[])
    live.stops(raw, "events.csv: 0 rows of events are left of 0 (rule no_rows)", "ingest.never_empty")
    assert live.takes(raw, IngestParams(never_empty=("revenue",))).counts["events"] == 0


@pytest.mark.parametrize(("share", "stops"), [(0.01, False), (0.5, True)], ids=["F16-unknown-1%", "F16-unknown-50%"])
def test_events_of_unknown_accounts_are_counted_and_more_than_two_in_a_hundred_stop(
    share: float, stops: bool, tmp_path: Path, live: Live
) -> None:
    body, ghosts = lines(2_000), int(2_000 * share)
    for n in range(ghosts):
        body[n * (2_000 // ghosts)] = body[n * (2_000 // ghosts)].replace("a1", "ghost", 1)
    raw = with_events(tmp_path / "raw", "\n".join([EVENTS, *body]) + "\n")
    if stops:
        live.stops(raw, 'column "account_id"', f"{ghosts:,} of 2,000 rows name no accepted account", "unknown_account",
                   "ingest.max_ratio.unknown_account to change the 2 % limit")  # fmt: skip
    else:
        live.takes(raw, IngestParams())
    assert live.booked().quarantined("events") == {"unknown_account": ghosts}


# F17, F18: learning (tests/training); what of it can be stopped at the door


def test_F17_a_column_given_twice_is_refused(tmp_path: Path, live: Live) -> None:
    raw = with_events(tmp_path / "raw", f"{EVENTS},Event_Name\na1,seen,2024-02-01,x\n")
    live.stops(raw, "events.csv: column Event_Name, event_name is in the header more than once")


def test_F18_a_column_that_gives_the_outcome_away_never_enters(tmp_path: Path, live: Live) -> None:
    leaky = [row | {"will_expand": 1} for row in good()["accounts"]]
    assert live.takes(delivery(tmp_path / "raw", accounts=leaky)).extra_columns == {"accounts": ["will_expand"]}
    assert "will_expand" not in pq.read_schema(live.workspace.warehouse / "accounts/all.parquet").names


# F19: drift of the schema


def test_F19_a_new_column_is_ignored_and_named_once(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw")
    (raw / "events.csv").unlink()
    for n, row in enumerate(good()["events"]):
        events_file(raw / f"events/{n}.csv", [row | {"colour": "red"}])
    accounting = live.takes(raw, IngestParams())
    assert sum("colour" in line for line in accounting.lines()) == 1


def test_F19_an_optional_column_that_is_gone_takes_its_default(tmp_path: Path, live: Live) -> None:
    bare = [{name: row[name] for name in EVENTS.split(",")} for row in good()["events"]]
    live.takes(delivery(tmp_path / "raw", events=bare), IngestParams())
    assert [(row["quantity"], row["event_id"]) for row in live.rows("events")] == [(1, None)] * 2


def test_F19_ids_are_text_for_ever_with_their_zeros(tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw", accounts=[*good()["accounts"], account("007"), account("7")])
    (raw / "events.csv").unlink()
    events_file(raw / "events/1.csv", [event("007"), event("7"), event("a1")])
    (raw / "events/2.parquet").parent.mkdir(exist_ok=True)
    numbers = {"account_id": pa.array([7, 7]), "event_name": ["x", "y"], "occurred_at": ["2024-02-01"] * 2}
    pq.write_table(pa.table(numbers), raw / "events/2.parquet")  # the same column, once text and once a number
    live.takes(raw, IngestParams())
    assert Counter(row["account_id"] for row in live.rows("events")) == {"007": 1, "7": 3, "a1": 1}
