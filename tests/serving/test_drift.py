"""Drift: what a night says of itself beside last week's, for a vendor of thirty accounts and for one of thousands."""

from __future__ import annotations

import json
import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from serving import drift, release
from serving.batch import ScoreParams, score
from serving.terminal import drift_lines
from tests.serving import nightly
from tests.serving.published import AS_OF, make_bundle, make_scores, open_service, ranked

WEEK = timedelta(days=7)
RUN = {"method": "model", "bundle_id": "a" * 64}


def accounts(n: int, seed: int) -> pa.Table:
    """A night's features: how long here, how much used (some not at all), a yes or no, a word; some of it not known."""
    draw = np.random.default_rng(seed)
    used = np.where(draw.random(n) < 0.2, 0, draw.poisson(draw.gamma(3, 10, n)))
    columns: dict[str, Any] = {
        "account_id": [f"acct-{number:05d}" for number in range(n)],
        "tenure_days": draw.integers(1, 700, n).astype(float),
        "events_28d": used.astype(float),
        "users_28d": np.ceil(used / 9),
        "trend": pa.array(draw.normal(0, 1, n), mask=draw.random(n) < 0.3),
        "closed": (draw.random(n) < 0.05).astype(float),
        "country": pa.array(draw.choice(["DE", "GB", "US"], n).tolist(), pa.string(), mask=draw.random(n) < 0.1),
    }
    return pa.table(columns)


def scored(n: int, seed: int, as_of: date, noise: float = 0.0) -> pa.Table:
    """Accounts in order of rank; `noise` in log-odds is what a week changed."""
    draw = np.random.default_rng(seed)
    log_odds = np.random.default_rng(7).normal(-2.5, 1, n) + noise * draw.normal(0, 1, n)
    chance = 1 / (1 + np.exp(-log_odds))
    ids = [f"acct-{number:05d}" for number in range(n)]
    days = pa.array([as_of] * n, pa.date32())
    table = pa.table({"account_id": ids, "as_of": days, "probability_180": chance})
    return table.sort_by([("probability_180", "descending")])


def held_against(
    before: tuple[pa.Table, pa.Table], tonight: tuple[pa.Table, pa.Table], drifted: tuple[str, ...] = (), **run: Any
) -> dict[str, Any]:
    """Nights of features and scores, compared as a release compares them: through JSON."""
    documents = [drift.profile(*night, "probability_180", RUN) for night in (before, tonight)]
    then, now = json.loads(json.dumps(documents[0], allow_nan=False)), documents[1] | run
    name = f"{before[1]['as_of'][0].as_py()}-made-up"
    earlier = drift.Before(name, then, before[1]["account_id"].to_pylist(), frozenset(drifted))
    return drift.compare(earlier, now, *tonight, capacity=60)


def night(n: int = 2_000, seed: int = 1, as_of: date = AS_OF, noise: float = 0.0) -> tuple[pa.Table, pa.Table]:
    return accounts(n, seed), scored(n, seed, as_of, noise)


def doubled(features: pa.Table, name: str) -> pa.Table:
    values = np.asarray(features[name]) * 2
    return features.set_column(features.column_names.index(name), name, pa.array(values))


def test_psi_is_the_sum_that_the_textbook_writes() -> None:
    found, unit, freedom = drift.psi([50, 30, 20, 0], [40, 30, 30, 0])
    # (.4 - .5) ln(.4 / .5) + 0 + (.3 - .2) ln(.3 / .2) = .0223 + .0405; the last bin is empty on both sides
    assert found == pytest.approx(0.0629, abs=5e-5)
    assert (unit, freedom) == (pytest.approx(0.02), 2)
    draw = np.random.default_rng(3)
    for _ in range(50):
        before, tonight = draw.poisson(4, 12).tolist(), draw.poisson(3, 12).tolist()
        total = 0.0
        for then, now in zip(before, tonight, strict=True):
            if then or now:
                e, a = max(then, 0.5) / sum(before), max(now, 0.5) / sum(tonight)
                total += (a - e) * math.log(a / e)
        assert drift.psi(before, tonight)[0] == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("n", [12, 40, 150, 1_000])
def test_where_nothing_changed_few_accounts_alarm_no_more_than_many(n: int) -> None:
    """Other accounts of one market each time, which is more chance than there is between two nights of one vendor."""
    verdicts = []
    for seed in range(60):
        before, tonight = night(n, seed), (accounts(n, 1_000 + seed), scored(n, seed, AS_OF + WEEK, noise=0.15))
        verdicts.append(held_against(before, tonight)["verdict"])
    assert "alarm" not in verdicts
    assert verdicts.count("moved") <= 2


def test_a_tracker_that_counts_twice_is_named_first_and_is_no_alarm_by_itself() -> None:
    features, scores = night()
    said = held_against((features, scores), (doubled(features, "events_28d"), scored(2_000, 2, AS_OF + WEEK, 0.2)))
    assert (said["features"][0]["name"], said["features"][0]["word"]) == ("events_28d", "alarm")
    assert (said["moved"], said["alarms"]) == (1, 1)
    assert (said["verdict"], "events_28d" in said["why"]) == ("moved", True)


def test_a_feature_that_drifts_every_week_is_counted_and_is_no_news() -> None:
    """Such as the days since an invoice that all accounts get on the first of the month."""
    features, scores = night()
    tonight = doubled(features, "events_28d"), scored(2_000, 2, AS_OF + WEEK, 0.2)
    said = held_against((features, scores), tonight, drifted=("events_28d",))
    assert (said["alarms"], said["drifted"], said["verdict"]) == (1, ["events_28d"], "stable")


def test_shuffled_scores_are_an_alarm_that_says_where_to_look() -> None:
    features, scores = night()
    order = np.random.default_rng(5).permutation(2_000)
    tonight = scored(2_000, 1, AS_OF + WEEK).set_column(0, "account_id", scores["account_id"].take(pa.array(order)))
    said = held_against((features, scores), (features, tonight))
    assert said["score_psi"] == 0, "the same scores, of other accounts"
    assert said["top"]["share"] < 0.2
    assert said["verdict"] == "alarm"
    assert "look at `expansion check` and quarantine/ before calling" in said["why"]
    assert drift_lines(said)[0].startswith("drift: alarm since 2026-03-02 (7 days): score PSI 0.00, ")


def test_scores_that_all_rise_are_an_alarm_though_the_order_is_kept() -> None:
    features, scores = night()
    higher = pa.array(np.sqrt(np.asarray(scores["probability_180"])))
    tonight = scored(2_000, 1, AS_OF + WEEK).set_column(2, "probability_180", higher)
    said = held_against((features, scores), (features, tonight))
    assert said["score_psi"] > drift.ALARM
    assert said["verdict"] == "alarm"
    other_model = held_against((features, scores), (features, tonight), bundle_id="b" * 64)
    assert (other_model["verdict"], other_model["same_bundle"]) == ("moved", False)
    assert "another bundle scores since then" in other_model["why"]


@pytest.mark.parametrize(
    ("days", "kept", "verdict"),
    [
        (7, 54, "stable"),
        (7, 41, "stable"),  # .68, which chance makes of .7 easily
        (7, 35, "alarm"),
        (1, 30, "alarm"),  # a single day loses less than a week
        (60, 30, "stable"),  # two months may lose more
        (7, 57, "stable"),
        (7, 60, "moved"),  # the same list as a week ago: nothing new came in
        (1, 60, "stable"),
    ],
)
def test_the_top_is_counted_and_judged_by_the_days_between(days: int, kept: int, verdict: str) -> None:
    features, scores = night()
    ids = scores["account_id"].to_pylist()
    changed = ids[:kept] + ids[60:120] + ids[kept:60] + ids[120:]
    day = pa.array([AS_OF + timedelta(days=days)] * 2_000, pa.date32())
    tonight = scores.set_column(0, "account_id", [changed]).set_column(1, "as_of", day)
    said = held_against((features, scores), (features, tonight))
    assert said["top"] == {"n": 60, "kept": kept, "share": round(kept / 60, 4)}
    assert (said["verdict"], said["days"]) == (verdict, days)


def test_a_list_that_holds_most_accounts_cannot_lose_them_and_is_not_judged() -> None:
    said = held_against(night(40), night(40, as_of=AS_OF + WEEK))
    assert said["top"] == {"n": 40, "kept": 40, "share": 1.0}
    assert said["verdict"] == "stable"


def test_nulls_rare_words_and_a_yes_that_most_say_have_bins_of_their_own() -> None:
    n = 1_000
    words = [f"w{number % 25:02d}" for number in range(500)] + ["web"] * 500
    columns: dict[str, Any] = {
        "mostly": pa.array([1.0] * 950 + [0.0] * 50),
        "sparse": pa.array([float(number) for number in range(200)] + [None] * 800, pa.float64()),
        "nothing": pa.nulls(n, pa.float64()),
        "untold": pa.nulls(n, pa.string()),
        "broken": [math.nan, math.inf] + [2.0] * 998,
        "channel": words,
    }
    said = drift.profile(pa.table(columns), scored(n, 1, AS_OF), "probability_180", RUN)["features"]
    assert [count for count in said["mostly"]["counts"] if count] == [50, 950]
    assert said["sparse"]["counts"] == [20] * 10 + [800]
    assert said["nothing"] == {"edges": [], "counts": [0, n]}
    assert said["untold"] == {"values": [], "counts": [0, n]}
    assert said["broken"]["counts"][-1] == 2
    assert said["channel"]["values"][0] == "web"
    assert said["channel"]["counts"] == [500, *[20] * 19, 120, 0]
    assert all(sum(column["counts"]) == n for column in said.values())


def published(
    workspace: Path, as_of: date, seed: int, letter: str = "a", watched: bool = True, method: str = "model"
) -> Path:
    table = ranked(make_scores(as_of=as_of, seed=seed, method=method))
    about = {"method": method, "bundle_id": letter * 64, "accounts": 120, "capacity": 20}
    run = {"as_of": as_of.isoformat(), **about}
    card = {"method": method, "default_horizon": 180}
    rows = drift.Watched(lambda: accounts(120, 1), drift.score_column(card)) if watched else None
    bundle = make_bundle(workspace / f"bundle-{letter}", method, letter)
    return release.write(workspace / "releases", table, bundle, run, watched=rows)


def drift_of(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))["drift"]


def test_a_night_is_held_against_the_one_nearest_to_a_week_before(workspace: Path) -> None:
    first = published(workspace, AS_OF, seed=1)
    assert drift_of(first) is None
    assert "distributions.json" in release.verify(first)["files"]
    for days in (1, 5, 6):
        published(workspace, AS_OF + timedelta(days=days), seed=1)
    tonight = published(workspace, AS_OF + timedelta(days=8), seed=1)
    assert drift_of(tonight)["compared_with"].startswith("2026-03-03")
    before = {path.name: path.stat().st_mtime_ns for path in tonight.iterdir()}
    assert published(workspace, AS_OF + timedelta(days=8), seed=1) == tonight
    assert {path.name: path.stat().st_mtime_ns for path in tonight.iterdir()} == before


def test_watching_changes_no_name(workspace: Path, tmp_path: Path) -> None:
    unwatched = published(tmp_path / "unwatched", AS_OF, seed=1, watched=False)
    assert published(workspace, AS_OF, seed=1).name == unwatched.name
    assert (drift_of(unwatched), (unwatched / "distributions.json").exists()) == (None, False)


def test_a_release_without_distributions_a_damaged_one_and_a_rules_are_passed_over(workspace: Path) -> None:
    oldest = published(workspace, AS_OF, seed=1)
    published(workspace, AS_OF + timedelta(days=5), seed=1, watched=False)  # as an earlier version left it
    damaged = published(workspace, AS_OF + timedelta(days=6), seed=1)
    (damaged / "run.json").write_text("{}")
    published(workspace, AS_OF + timedelta(days=7), seed=1, letter="b", method="rule")
    tonight = published(workspace, AS_OF + timedelta(days=13), seed=1)
    assert drift_of(tonight)["compared_with"] == oldest.name


def test_a_promoted_model_is_its_own_measure_from_its_second_night_on(workspace: Path) -> None:
    published(workspace, AS_OF, seed=1)
    promoted = published(workspace, AS_OF + timedelta(days=7), seed=2, letter="b")
    assert (drift_of(promoted)["same_bundle"], drift_of(promoted)["verdict"]) == (False, "moved")
    second = published(workspace, AS_OF + timedelta(days=8), seed=2, letter="b")
    assert drift_of(second)["compared_with"] == promoted.name
    assert (drift_of(second)["same_bundle"], drift_of(second)["verdict"]) == (True, "stable")


def test_the_drift_of_what_is_live_is_measured(workspace: Path) -> None:
    published(workspace, AS_OF, seed=1)
    service = open_service(workspace)
    assert "expansion_release_score_psi" not in service.get("/metrics").text
    tonight = drift_of(published(workspace, AS_OF + WEEK, seed=2))
    service.refresh()
    text = service.get("/metrics").text
    assert f"expansion_release_score_psi {tonight['score_psi']}" in text
    assert f"expansion_release_top_kept {tonight['top']['share']}" in text


def test_two_real_nights_of_a_small_vendor_are_watched(workspace: Path) -> None:
    vendor = nightly.warehouse_of(workspace, nightly.histories())
    bundle = nightly.rule_bundle(workspace / "bundle")
    days = (nightly.AS_OF - WEEK, nightly.AS_OF)
    first, second = (score(vendor, bundle, day, {"commit": "abc"}, ScoreParams(capacity=3)) for day in days)
    kept = json.loads((second / "distributions.json").read_text(encoding="utf-8"))
    assert (kept["method"], kept["accounts"], kept["score"]["name"]) == ("rule", 12, "score")
    assert {"users_28d", "industry"} <= kept["features"].keys()
    assert "account_id" not in kept["features"]
    said = drift_of(second)
    assert (said["compared_with"], said["days"]) == (first.name, 7)
    assert said["verdict"] != "alarm", said
    assert said["top"]["n"] == 3
    assert len(drift_lines(said)) == (1 if said["verdict"] == "stable" else 2)
