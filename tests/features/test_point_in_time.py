"""Nothing known at or after as_of moves a feature: random rows, the last instant before midnight, a cut warehouse."""

from __future__ import annotations

import ast
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import engagement, journey, revenue, seats, usage
from features.build import build_features
from features.build import features_of as raw_features_of
from features.feature import Feature
from features.rollup import roll_up
from features.vendor import Vendor, vendor_at
from tests import builders
from tests.features.histories import (
    ANCHOR,
    AS_OFS,
    DAY,
    DEFINITIONS,
    TICK,
    History,
    account,
    at,
    event,
    histories,
    invoice,
    late_rows,
    resting,
    spine,
    spine_of,
    stay,
    warehouse,
)
from warehouse.ingest import IngestParams

ROOT = Path(__file__).parents[2]
ROOMS = ("warehouse", "features", "models", "training", "serving", "simulator")
MIDNIGHT = at(ANCHOR)
SAME = settings(max_examples=8, deadline=None, derandomize=True)


def features_of(history: History, rows: pa.Table, vendor: Vendor | None = None) -> pa.Table:
    with warehouse(history) as con:
        return build_features(con, rows, DEFINITIONS, vendor=vendor)


def vendor_of(history: History, as_of: date) -> Vendor:
    with warehouse(history) as con:
        roll_up(con, DEFINITIONS)
        return vendor_at(con, as_of)


def bytes_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


@settings(max_examples=12, deadline=None, derandomize=True)
@given(histories(), late_rows(ANCHOR))
def test_rows_that_nobody_knew_at_as_of_change_no_feature(history: History, late: History) -> None:
    """Random histories hold such rows already, so a warehouse cut at as_of must say the same too."""
    history = history.plus(resting(ANCHOR))
    rows = spine_of(history, [ANCHOR])
    told = bytes_of(features_of(history, rows))
    assert bytes_of(features_of(history.plus(late), rows)) == told
    assert bytes_of(features_of(history.cut(ANCHOR), rows)) == told


@SAME
@given(histories(), st.integers(0, 9))
def test_the_order_of_rows_changes_no_byte(history: History, seed: int) -> None:
    rows = spine_of(history, AS_OFS)
    other = rows.take(list(reversed(range(rows.num_rows))))
    assert bytes_of(features_of(history, rows)) == bytes_of(features_of(history.shuffled(seed), other))


@SAME
@given(histories())
def test_other_accounts_and_other_dates_change_no_feature_but_by_what_the_vendor_tells(history: History) -> None:
    history = history.plus(resting(ANCHOR))
    together = features_of(history, spine_of(history, AS_OFS))
    alone = features_of(history.only("a1"), spine(("a1", ANCHOR)), vendor_of(history, ANCHOR))
    mine = [row for row in together.to_pylist() if row["account_id"] == "a1" and row["as_of"] == ANCHOR]
    assert alone.to_pylist() == mine


def test_the_accounts_beside_the_random_ones_make_a_season_and_peers() -> None:
    """Or the tests above would prove nothing of what a vendor's accounts together tell."""
    whole = vendor_of(resting(ANCHOR), ANCHOR)
    assert whole.season["percent"].to_pylist()[:2] == [62, 62]  # (22 + 50) user days beside the usual (66 + 50)
    assert whole.peers["accounts"].to_pylist() == [22]


# One row a block, placed by the moment it became known. One instant before midnight it must change a feature of its
# block, or the tests above prove nothing; at midnight it must change none at all.
SETTLED = History(
    [account()],
    [event(MIDNIGHT - 100 * DAY, "page_seen", user_id="u1")],
    [invoice(MIDNIGHT - 200 * DAY, 50)],
    [stay(MIDNIGHT - 200 * DAY)],
)
BLOCKS: dict[str, tuple[Feature, ...]] = {
    "usage": usage.FEATURES,
    "engagement": engagement.FEATURES,
    "seats": seats.FEATURES,
    "revenue": revenue.FEATURES,
    "journey": journey.FEATURES,
}


def arrives(kind: str, known: object) -> History:
    moment = at(known)  # type: ignore[arg-type]
    earlier = moment - 3 * DAY
    return {
        "event that occurs": History([], [event(moment, "api_called", user_id="u2")]),
        "event that is received": History([], [event(earlier, "api_called", user_id="u2", received_at=moment)]),
        "event stamped ahead of its receipt": History([], [event(moment, "api_called", "a1", received_at=earlier)]),
        "invoice that is booked": History([], [], [invoice(moment, 60)]),
        "user who joins": History([], [], [], [stay(moment, user_id="u2")]),
        "user who leaves": History([], [], [], [stay(MIDNIGHT - 200 * DAY, moment)]),
        "invoice for service long past": History(
            [], [], [invoice(moment, 60, period_start=moment - 40 * DAY, period_end=moment + 9 * DAY)]
        ),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "blocks"),
    [
        ("event that occurs", ["usage", "engagement", "journey"]),
        ("event that is received", ["usage", "engagement", "journey"]),
        ("event stamped ahead of its receipt", ["usage", "engagement"]),
        ("user who joins", ["seats"]),
        ("user who leaves", ["seats"]),
        ("invoice that is booked", ["revenue", "journey"]),
        ("invoice for service long past", ["revenue", "journey"]),
    ],
)
def test_a_row_counts_one_instant_before_midnight_and_not_at_midnight(kind: str, blocks: list[str]) -> None:
    rows = spine(("a1", ANCHOR))
    before = features_of(SETTLED, rows)
    just_known = features_of(SETTLED.plus(arrives(kind, MIDNIGHT - TICK)), rows)
    for block in blocks:
        names = [feature.name for feature in BLOCKS[block]]
        assert not just_known.select(names).equals(before.select(names)), f"{kind}: {block} did not notice"
    assert features_of(SETTLED.plus(arrives(kind, MIDNIGHT)), rows).equals(before)


def test_a_closure_shows_only_once_it_has_happened() -> None:
    def stage(closed_at: object) -> str:
        known = History([account(closed_at=closed_at)], SETTLED.events, SETTLED.revenue)
        return str(features_of(known, spine(("a1", ANCHOR)))["stage"][0])

    assert stage(MIDNIGHT - TICK) == "closed"
    assert stage(MIDNIGHT) == stage(MIDNIGHT + timedelta(days=200)) == stage(None) != "closed"


def test_an_account_exists_from_the_midnight_after_its_sign_up() -> None:
    history = History([account("a1", MIDNIGHT - TICK), account("a2", MIDNIGHT)])
    table = features_of(history, spine_of(history, [ANCHOR]))
    assert table["account_id"].to_pylist() == ["a1"]
    assert table["tenure_days"].to_pylist() == [1.0]


def python_files() -> list[Path]:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")] + list(ROOT.glob("*.py"))
    assert len(files) > 50
    return files


def test_only_the_labels_may_look_ahead() -> None:
    seen = set()
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = {getattr(node, part, None) for part in ("id", "attr", "name")}
            if "outcomes_after" in named and not isinstance(node, ast.FunctionDef):
                seen.add(path.relative_to(ROOT).as_posix())
    assert seen == {"training/labels.py"}


def test_only_the_as_of_door_compares_the_day_a_fact_was_known() -> None:
    compares = re.compile(r"known_day\s*(<|>|=\s*[^=]|BETWEEN)|(<|>|=)\s*\w*\.?known_day", re.IGNORECASE)
    seen = set()
    for path in python_files():
        texts = (n.value for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Constant))
        if any(isinstance(text, str) and compares.search(text) for text in texts):
            seen.add(path.relative_to(ROOT).as_posix())
    assert seen == {"warehouse/asof.py"}


GROWN = {"industry": "customer", "country": "US", "employees": "5000", "channel": "sales"} | {
    "created_at": "2024-05-01T00:00:00Z"  # when they first paid
}


def test_what_a_later_file_says_of_those_who_grew_changes_no_feature_of_any_date(tmp_path: Path) -> None:
    """Every account signs up small; those who expanded in May are told again in June, large and marked as customers."""
    now, grew = datetime(2024, 6, 2, tzinfo=UTC), [f"a{n}" for n in range(0, 30, 3)]
    small = [builders.account(f"a{n}", industry="retail", country="DE", employees=5, channel="web") for n in range(30)]
    events = [builders.event(f"a{n}") for n in range(30)]
    paid = [builders.invoice(name, "2024-05-01T00:00:00Z", 900) for name in grew]
    raw = builders.write_raw(tmp_path, small, events, paid)
    (raw / "accounts").mkdir()
    (raw / "accounts.csv").rename(raw / "accounts" / "2024-01.csv")
    dates = (date(2024, 4, 1), date(2024, 6, 2))
    before = [raw_features_of(raw, day, IngestParams(), DEFINITIONS, now) for day in dates]
    retold = [builders.account(name, **GROWN) for name in grew]
    builders.write_file(raw / "accounts" / "2024-06.csv", list(retold[0]), retold)
    after = [raw_features_of(raw, day, IngestParams(), DEFINITIONS, now) for day in dates]
    assert [bytes_of(one) for one in after] == [bytes_of(one) for one in before]
    assert set(after[0]["employees"].to_pylist()) == {5.0}
