"""What releases promised against what came: counted by hand, with their own ladder, and never in hindsight."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.batch import ScoreParams, rank
from tests import builders as raw
from training.promises import A_RULE, HINDSIGHT, read_promise
from training.realised import AS_PROMISED, FEWER, MORE, count_range, realised
from training.realised_headline import spoken
from training.realised_report import write_report
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace, write_json, write_table

NIGHT = date(2024, 3, 1)
LADDER = [{"name": "trial", "floor": 0}, {"name": "starter", "floor": 20}, {"name": "team", "floor": 150}]
DOCUMENT: dict[str, Any] = {"labels": {"horizons": [90, 180], "default_horizon": 180}, "evaluate": {"bootstrap": 20}}
SEEN_TO = "2024-07-20"  # 90 days and 30 of holding after the night are over by then, 180 are not


def month_by_month(account: str, first: str, amount: float, months: int) -> list[raw.Row]:
    start = date.fromisoformat(first)
    days = [start + timedelta(days=30 * n) for n in range(months + 1)]
    return [
        raw.invoice(account, f"{a}T00:00:00Z", amount, period_start=a.isoformat(), period_end=b.isoformat())
        for a, b in pairwise(days)
    ]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Of ten trials two start to pay within 90 days of the night, and hold it: t0 40 a month from day 31 on, t1 200
    from day 61 on; t2 lets go after 20 days. Only the last moves past the floor of 150."""
    names = [f"t{n}" for n in range(10)]
    revenue = month_by_month("t0", "2024-04-01", 40, 4) + month_by_month("t1", "2024-05-01", 200, 3)
    revenue += [raw.invoice("t2", "2024-04-01T00:00:00Z", 40, period_start="2024-04-01", period_end="2024-04-21")]
    events = [raw.event(name, f"2024-02-{10 + n}T09:00:00Z") for n, name in enumerate(names)]
    events.append(raw.event("t9", f"{SEEN_TO}T09:00:00Z"))
    accounts = [raw.account(name, "2024-01-05T00:00:00Z") for name in names]
    space = Workspace(tmp_path / "workspace")
    folder = raw.write_raw(tmp_path / "raw", accounts, events, revenue)
    ingest(folder, space, IngestParams(), datetime(2024, 7, 21, tzinfo=UTC))
    return space


def a_release(folder: Path, chance: float = 0.2, ladder: Any = LADDER, **card: Any) -> Path:
    """Ten trials of equal chance, the higher its number the earlier an account is called; and one at the top."""
    (folder / "bundle").mkdir(parents=True)
    n = 11
    top = np.arange(n) == 10
    numbers = {f"probability_{h}": pa.array(np.full(n, chance), mask=top) for h in (90, 180)}
    numbers |= {f"increment_{h}": pa.array(np.full(n, 10.0), mask=top) for h in (90, 180)}
    scores = pa.table(
        {
            "account_id": [f"t{number}" for number in range(n)],
            "method": ["model"] * n,
            "tier": ["trial"] * 10 + [ladder[-1]["name"]],
            "run_rate": np.where(top, 900.0, 0.0),
            "tenure_days": pa.array([56] * n, pa.int32()),
            "score": np.where(top, 0.0, np.arange(n) + 1.0),
            **numbers,
        }
    )
    write_table(rank(scores, pa.table({"owner": ["ana"] * n}), ScoreParams().bands, 180), folder / "scores.parquet")
    said = {"method": "model", "trained_as_of": "2024-03-01", "horizons": [90, 180], "default_horizon": 180} | card
    write_json(said | {"currency": "USD"}, folder / "bundle" / "card.json")
    tiers = {"currency": "USD", "ladder": ladder, "high_value": ladder[-1]["name"]}
    write_json({"tiers": tiers, "features": {}}, folder / "bundle" / "definitions.json")
    run = {"as_of": folder.name[:10], "bundle_id": "b" * 64, "capacity": 9}
    write_json(run, folder / "run.json")
    return folder


def test_the_moves_of_a_release_are_those_that_its_accounts_made_by_its_own_ladder(
    workspace: Workspace, tmp_path: Path
) -> None:
    said = realised(workspace, DOCUMENT, [a_release(tmp_path / f"{NIGHT}-a")])
    [told] = said["promised"]
    assert (told["horizon"], told["n"], told["seen"], told["expected"]) == (90, 10, 2, 2.0)
    assert told["verdict"] == AS_PROMISED
    # 40 a month over the 59 days from 1 April to 29 May that the horizon holds, and 200 over the 29 from 1 May on
    assert told["money_gained"] == pytest.approx(40 * 59 / 30 + 200 * 29 / 30)
    assert told["money_expected"] == 100.0
    steep = [*LADDER[:1], {"name": "team", "floor": 150}]
    [told] = realised(workspace, DOCUMENT, [a_release(tmp_path / f"{NIGHT}-b", ladder=steep)])["promised"]
    assert told["seen"] == 1, "on that ladder 40 a month is no move"


def test_who_was_called_is_told_by_the_ranks_of_that_night_beside_the_rules_of_thumb(
    workspace: Workspace, tmp_path: Path
) -> None:
    said = realised(workspace, DOCUMENT, [a_release(tmp_path / f"{NIGHT}-a")])
    called = {one["part"]: (one["n"], one["seen"]) for one in said["parts"] if one["axis"] == "called"}
    assert called == {"yes": (9, 1), "no": (1, 1)}, "t0, the last of ten, was not among the nine"
    cohorts = {one["part"]: one["n"] for one in said["parts"] if one["axis"] == "cohort"}
    assert cohorts == {"2024-Q1": 10}
    held = {row["candidate"]: row["revenue_captured_called"] for row in said["results"]}
    t0, t1, t2 = 40 * 59 / 30, 200 * 29 / 30, 40.0  # what t2 paid is expansion revenue, though it made no move
    assert held["champion"] == pytest.approx((t1 + t2) / (t0 + t1 + t2))
    assert {"spend_lifetime", "activity_28d", "pql"} <= held.keys()
    assert held["spend_lifetime"] == pytest.approx(0.9), "nobody had spent anything: nine of ten at random"


def test_what_is_not_complete_waits_and_who_was_promised_nothing_is_counted(
    workspace: Workspace, tmp_path: Path
) -> None:
    [night] = realised(workspace, DOCUMENT, [a_release(tmp_path / f"{NIGHT}-a")])["releases"]
    told = {one["horizon"]: one for one in night["horizons"]}
    assert (told[90]["judged"], told[90]["out"]) == (10, {"on the highest tier": 1})
    assert (told[180]["judged"], told[180]["complete_on"]) == (0, "2024-09-27")
    assert told[180]["out"] == {"not complete yet": 10, "on the highest tier": 1}


def test_hindsight_and_rules_promise_nothing(workspace: Workspace, tmp_path: Path) -> None:
    late = a_release(tmp_path / f"{NIGHT}-late", trained_as_of="2024-03-02")
    rule = a_release(tmp_path / "2024-04-01-rule", method="rule", trained_as_of=None)
    assert (read_promise(late), read_promise(rule)) == (HINDSIGHT, A_RULE)
    said = realised(workspace, DOCUMENT, [late, rule], {"2024-02-01-x": "release 2024-02-01-x is refused: changed"})
    assert [(one["release"][-4:], one["why"]) for one in said["skipped"]][1:] == [("late", HINDSIGHT), ("rule", A_RULE)]
    assert said["skipped"][0]["why"].endswith("changed")
    assert not said["promised"]
    assert "No release made a promise" in spoken(said)


@pytest.mark.parametrize(("chance", "verdict"), [(0.9, FEWER), (0.01, MORE)])
def test_a_promise_that_no_luck_explains_is_called_so(
    workspace: Workspace, tmp_path: Path, chance: float, verdict: str
) -> None:
    said = realised(workspace, DOCUMENT, [a_release(tmp_path / f"{NIGHT}-a", chance)])
    assert said["promised"][0]["verdict"] == verdict


def test_the_report_leads_with_the_accounts_that_were_to_be_called_and_two_runs_agree(
    workspace: Workspace, tmp_path: Path
) -> None:
    night = a_release(tmp_path / f"{NIGHT}-a")
    said = realised(workspace, DOCUMENT, [night])
    lines = write_report(said, workspace.artifacts)
    assert lines[0].startswith(
        "Of the 9 accounts to call first on 2024-03-01, 1 moved up within 90 days; 1.8 were promised. They hold 75% of"
    )
    page = (workspace.artifacts / "realised.md").read_text(encoding="utf-8")
    assert "180 days on 2024-09-27" in page
    assert (workspace.artifacts / "plots" / "realised.png").stat().st_size > 10_000
    kept = (workspace.artifacts / "realised.json").read_bytes()
    assert json.loads(kept) == json.loads(json.dumps(realised(workspace, DOCUMENT, [night])))
    assert (workspace.artifacts / "realised.json").read_bytes() == kept


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=25))
def test_the_range_of_a_count_is_that_of_adding_account_by_account(chances: list[float]) -> None:
    exact = np.ones(1)
    for chance in chances:
        exact = np.convolve(exact, [1 - chance, chance])
    low, high = count_range(np.array(chances))
    upto = np.cumsum(exact)
    below, within = upto[low - 1] if low else 0.0, upto[high]
    assert below <= 0.025 + 1e-9
    assert within >= 0.975 - 1e-9
    assert upto[low] >= 0.025 - 1e-9, "and no narrower range would do"
    assert high == 0 or upto[high - 1] <= 0.975 + 1e-9
