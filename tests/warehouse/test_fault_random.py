"""The catalogue of spoilt input, F20 to F24: volume, hostile text, random tables and random bytes; then one delivery a
row of the whole catalogue through the command line.

The table of the catalogue is docs/input-faults.md; `Live` (spoilt_files.py) asserts what every row of it must.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import expansion
from tests.builders import Row, account, event, write_raw
from tests.warehouse import contract_oracle
from tests.warehouse.spoilt_files import (
    ANY,
    EVENTS,
    HEAD,
    LINE,
    NOON,
    Live,
    contents,
    copied,
    delivery,
    events_file,
    good,
    lines,
    mutated,
    with_events,
    write_checksums,
)
from training.check_report import check
from warehouse.delivery import SUMS
from warehouse.errors import ContractBroken
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace

HANG = 2.0  # seconds of processor time a damaged file may take, however busy the machine


# F20: volume, as `expansion check` tells it (the arithmetic: tests/warehouse/test_profile.py)

FIRST, ODD = date(2024, 1, 8), date(2024, 3, 6)


def volume(folder: Path, odd: int, last_name: int = 140) -> Path:
    """20 weeks of 100 events a day, half of each of two names; `odd` of them on one Wednesday, and of the second name
    none from day `last_name` on."""
    rows = [f"{EVENTS},event_id\n"]
    for n in range(140):
        day = FIRST + timedelta(days=n)
        for k in range(odd if day == ODD else 100):
            name = "seen" if n >= last_name or k % 2 else "bought"
            rows.append(f"a1,{name},{day}T{k % 24:02}:{k // 24:02}:00Z,e{n}-{k}\n")
    return with_events(folder, "".join(rows))


@pytest.mark.parametrize("count", [0, 20, 500], ids=["F20-day-missing", "F20-minus-80%", "F20-plus-400%"])
def test_a_day_of_another_volume_is_told_by_its_date(count: int, tmp_path: Path) -> None:
    report = check(volume(tmp_path / "raw", odd=count), {}, NOON, 30)
    days = report.profile.days
    assert days is not None
    assert (days.missing, [odd.day for odd in days.odd]) == (((ODD,), []) if count == 0 else ((), [ODD]))
    note = "1 day without events, or next to none" if count == 0 else "1 day with far more or fewer events than usual"
    assert [str(ODD) in said for said in report.notes if said.startswith(note)] == [True]


def test_F20_an_event_name_that_is_gone_is_named(tmp_path: Path) -> None:
    report = check(volume(tmp_path / "raw", odd=100, last_name=40), {}, NOON, 30)
    assert report.profile.days is not None
    assert (report.profile.days.missing, report.profile.days.odd) == ((), ())  # the days are as ever
    notes = report.notes
    assert any(said.startswith("Not seen in the last 90 days: bought.") for said in notes)


# F21: hostile text (on the page: tests/serving/test_page.py; in CSV: tests/serving/test_api.py; report and terminal:
# tests/training/test_check_report.py)

HOSTILE = (
    *("=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x")', "\tTAB", "=cmd|' /C calc'!A0", "%0a=1"),
    *("'; DROP TABLE events;--", '" OR ""="', "Robert'); --", "<script>alert(1)</script>", "]]></style>", "&lt;b&gt;"),
    *("<img src=x onerror=alert(1)>", "\x1b[31mred", "\x1b]0;title\x07", "\x08\x7f", "\u202egnp.exe", "\u2066x\u2069"),
    *("😀", "\U0001d518\U0001d52b", "e\u0301\u0323", "\u200bzero\u200d", "\ufeffbom", "NULL", "null", "{{7*7}}"),
    *("${jndi:ldap://x}", "../../etc/passwd"),
)  # fmt: skip


@pytest.mark.parametrize("format", ["csv", "parquet", "jsonl"], ids="F21-{}".format)
def test_thirty_hostile_strings_are_stored_as_they_stand(format: str, tmp_path: Path, live: Live) -> None:
    assert len(set(HOSTILE)) == 30
    ids = [f"{text}|{n}" for n, text in enumerate(HOSTILE)]
    raw = delivery(tmp_path / "raw", accounts=[*good()["accounts"], *(account(one, industry=one) for one in ids)])
    rows = [event(one, event_name=one, event_id=one) for one in ids]
    (raw / "events.csv").unlink()
    if format == "jsonl":
        (raw / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        events_file(raw / f"events.{format}", rows)
    live.takes(raw, IngestParams())
    assert {row["event_name"] for row in live.rows("events")} == set(ids)
    assert {row["account_id"] for row in live.rows("events")} == set(ids)
    assert set(ids) <= {row["industry"] for row in live.rows("accounts")}


def test_F21_no_message_repeats_what_the_data_say(tmp_path: Path, live: Live) -> None:
    rows = [event("a1", text) for text in HOSTILE]
    said = live.stops(delivery(tmp_path / "raw", events=rows), "30 of 30 rows are not timestamps")
    assert not [text for text in HOSTILE if len(text) > 3 and text in said]


# F22: random tables against the contract in plain Python


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tables=contract_oracle.TABLES, shuffle=st.randoms(use_true_random=False))
def test_F22_random_tables_equal_the_contract_in_plain_python(
    tables: dict[str, list[Row]], shuffle: random.Random
) -> None:
    expected = contract_oracle.verdict(tables, NOON)
    if not expected["accounts"].accepted:
        return
    everything = ANY.model_copy(update={"never_empty": ()})
    with TemporaryDirectory() as folder:
        live = Live(Workspace(Path(folder) / "workspace"))
        first = live.takes(write_raw(Path(folder) / "raw", **tables), everything)
        for table, said in expected.items():
            assert first.read(table) == len(tables[table])
            assert first.quarantined(table) == +said.quarantined, table
            assert first.duplicate(table) == said.duplicate, table
            assert told(live.rows(table), said.accepted) == told(said.accepted, said.accepted), table
        before = contents(live.workspace.warehouse)
        again = live.takes(twice_and_shuffled(Path(folder) / "again", tables, shuffle), everything)
        assert again.fingerprint == first.fingerprint
        after = contents(live.workspace.warehouse)
        assert {name: after[name] for name in after if name.endswith(".parquet") and "quarantine" not in name} == {
            name: before[name] for name in before if name.endswith(".parquet") and "quarantine" not in name
        }
        for table in ("events", "revenue"):
            assert again.read(table) == 2 * first.read(table)


def told(rows: list[Row], like: list[Row]) -> Counter[tuple[object, ...]]:
    """The columns that the oracle knows, user ids apart, as a bag of rows."""
    columns = sorted({name for row in like for name in row} - {"user_id"})
    return Counter(tuple(row[name] for name in columns) for row in rows)


def twice_and_shuffled(folder: Path, tables: dict[str, list[Row]], shuffle: random.Random) -> Path:
    """Every row of events and revenue twice, over three files of any order."""
    write_raw(folder, accounts=tables["accounts"])
    for table in ("events", "revenue"):
        if not tables[table]:
            continue
        (folder / f"{table}.csv").unlink()
        rows = tables[table] * 2
        shuffle.shuffle(rows)
        for n in range(3):
            if rows[n::3]:
                events_file(folder / f"{table}/{n}.csv", rows[n::3])
    return folder


# F24: random bytes

FUZZ = [pytest.param(0, id="F24-quick"), pytest.param(1, id="F24-long", marks=pytest.mark.slow)]


def survives(live: Live, raw: Path, seed: int) -> None:
    """Taken, with books that add up, or refused without touching what is live; never a crash, and soon."""
    before, start = contents(live.workspace.warehouse), time.process_time()
    problems: list[str] = []
    try:
        accounting = ingest(raw, live.workspace, IngestParams(never_empty=()), NOON)
    except ContractBroken as refused:
        problems = refused.problems
    if problems:
        assert all(len(said) < 1_000 for said in problems), seed
        assert contents(live.workspace.warehouse) == before, seed
    else:
        assert pq.read_table(live.workspace.warehouse / "events").num_rows == accounting.counts["events"], seed
    assert time.process_time() - start < HANG, seed


@pytest.mark.parametrize("turn", FUZZ)
def test_random_bytes_of_csv_and_json_break_nothing(turn: int, tmp_path: Path, ingested: Path) -> None:
    body = lines(6)
    table = "\n".join([f"{EVENTS},note", *(f'{line},"a ""b"", c"' for line in body)]).encode() + b"\n"
    rows = [dict(zip(EVENTS.split(","), line.split(","), strict=True)) for line in body]
    objects = "".join(json.dumps(row) + "\n" for row in rows).encode()
    raw = delivery(tmp_path / "raw")
    (raw / "events.csv").unlink()
    for seed in range(1_000, 1_200) if turn else range(120):
        live = copied(ingested, tmp_path / f"w{seed}")
        file, whole = (raw / "events.jsonl", objects) if seed % 4 == 3 else (raw / "events.csv", table)
        file.write_bytes(mutated(whole, seed) or b"\n")
        survives(live, raw, seed)
        file.unlink()


@pytest.mark.parametrize("turn", FUZZ)
def test_random_bytes_of_the_checksums_break_nothing(turn: int, tmp_path: Path, live: Live) -> None:
    raw = delivery(tmp_path / "raw")
    write_checksums(raw)
    whole = (raw / SUMS).read_bytes()
    for seed in range(1_000, 1_200) if turn else range(150):
        (raw / SUMS).write_bytes(mutated(whole, seed))
        survives(live, raw, seed)


def other_digit(whole: bytes, place: int) -> bytes:
    """`whole` with the digit at about `place` (a share of all digits) one higher, so that it still reads well."""
    digits = [at for at, byte in enumerate(whole) if chr(byte).isdigit()]
    at = digits[len(digits) * place // 100]
    return whole[:at] + str((int(chr(whole[at])) + 1) % 10).encode() + whole[at + 1 :]


@pytest.mark.parametrize("turn", FUZZ)
def test_a_damaged_manifest_never_reaches_the_next_warehouse(turn: int, tmp_path: Path, ingested: Path) -> None:
    raw = delivery(tmp_path / "raw", events=[*good()["events"], event("a1", event_id="new")])
    whole = ingest(raw, copied(ingested, tmp_path / "whole").workspace, IngestParams(), NOON, whole=True)
    manifest = (ingested / "warehouse/manifest.json").read_bytes()
    damaged = [other_digit(manifest, place) for place in range(0, 100, 1 if turn else 10)]
    damaged += [mutated(manifest, seed) for seed in (range(1_000, 1_200) if turn else range(15))]
    for number, spoilt in enumerate(damaged):
        live = copied(ingested, tmp_path / f"w{number}")
        (live.workspace.warehouse / "manifest.json").write_bytes(spoilt)
        accounting = ingest(raw, live.workspace, IngestParams(), NOON)
        assert accounting.fingerprint == whole.fingerprint, number
        assert (accounting.files, accounting.sums) == (whole.files, whole.sums), number


# The command line: one delivery a row of the catalogue


def _bad_checksum(raw: Path) -> None:
    (raw / SUMS).write_text(f"{'0' * 64}  events.csv\n")


def _write(text: str) -> Callable[[Path], object]:
    return lambda raw: (raw / "events.csv").write_text(text)


def _revenue(line: str) -> Callable[[Path], object]:
    return lambda raw: (raw / "revenue.csv").write_text(f"account_id,amount,booked_at,kind\n{line}\n")


COMMANDS: dict[str, tuple[Callable[[Path], object], int]] = {
    "F1": (_write("account_id,event_name\n"), 3),
    "F2": (_write("\n".join([EVENTS, *lines(30_000), "a1,seen,soon"]) + "\n"), 0),
    "F3": (_write(HEAD + LINE + "a1,seen,soon\n"), 3),
    "F4": (_write(HEAD + LINE + ",seen,2024-02-01\n"), 3),
    "F5": (_write(f"event_id,{HEAD}e,{LINE}e,{LINE}"), 0),
    "F6": (_write(HEAD + LINE + "a1,seen,9999-01-01\n"), 3),
    "F7": (_write(HEAD + LINE + "a1,seen,1970-01-01\n"), 3),
    "F8": (_write(HEAD + LINE + "a1,seen,1706778000\n"), 3),
    "F9": (_write(f"{EVENTS},received_at\na1,seen,2024-02-01,2024-03-12\n"), 0),
    "F10": (_revenue("a1,inf,2024-02-01,invoice"), 3),
    "F11": (_revenue("a1,-5,2024-02-01,invoice"), 3),
    "F12": (_write(f"{EVENTS},{','.join(f'c{n}' for n in range(1_000))}\n"), 3),
    "F13": (_write(HEAD + LINE + "too,few\n"), 3),
    "F14": (lambda raw: (raw / "events.csv").write_text(""), 3),
    "F15": (_bad_checksum, 3),
    "F16": (_write(HEAD + LINE + "ghost,seen,2024-02-01\n"), 3),
    "F17": (_write(f"{EVENTS},Event_Name\n"), 3),
    "F18": (_write(f"{EVENTS},label\na1,seen,2024-02-01,1\n"), 0),
    "F19": (_write(f"{EVENTS},colour\na1,seen,2024-02-01,red\n"), 0),
    "F21": (_write(HEAD + "a1,=1+1,2024-02-01\n"), 0),
    "F22": (lambda raw: None, 0),
    "F24": (_write('"\x00\xff,,\n\r"'), 3),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_line_ends_with_its_code_and_one_message(
    name: str, tmp_path: Path, live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, code = COMMANDS[name]
    raw = delivery(tmp_path / "raw")
    spoil(raw)
    before = contents(live.workspace.warehouse)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["expansion", "ingest", "--raw", str(raw), "--workspace", str(live.workspace.root)]
    )
    ended: object = 0
    try:
        expansion.main()
    except SystemExit as stop:
        ended = stop.code
    said = capsys.readouterr()
    errors = said.err[said.err.find("error: ") :].splitlines() if "error: " in said.err else []
    assert (ended, len(errors)) == (code, int(code != 0)), said.err
    assert "Traceback" not in said.err
    if code:
        assert contents(live.workspace.warehouse) == before
    else:
        assert "events: " in said.out
        assert " read = " in said.out
