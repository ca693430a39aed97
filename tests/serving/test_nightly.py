"""From raw rows to a release and an answer, through the real ingest, features and scorer."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features import daily
from features.catalogue import Definitions
from serving import recompute, release, schemas
from serving.batch import ScoreParams, score
from serving.errors import NothingToScore, ReleaseRefused
from serving.night import publish
from tests import builders as raw
from tests.pipeline.vendor import run
from tests.serving.nightly import AS_OF, NOW, histories, rule_bundle, warehouse_of
from tests.serving.published import Service, open_service
from tests.warehouse.spoilt_files import flip
from warehouse.delivery import stamps
from warehouse.ingest import IngestParams, ingest
from warehouse.params import ParamsError, section
from warehouse.store import Workspace, read_table, write_json, write_table


@pytest.fixture
def vendor(workspace: Path) -> Workspace:
    return warehouse_of(workspace, histories())


def nightly(vendor: Workspace, **more: Any) -> Path:
    bundle = vendor.artifacts / "candidate"
    if not bundle.exists():
        rule_bundle(bundle)
    return score(vendor, bundle, more.pop("as_of", AS_OF), {"commit": "abc"}, ScoreParams(), **more)


def open_at_night(vendor: Workspace) -> Service:
    return open_service(vendor.root, clock=NOW)


def test_every_account_is_scored_ranked_and_published(vendor: Workspace) -> None:
    folder = nightly(vendor)
    table = read_table(folder / "scores.parquet")
    assert table.num_rows == 12
    assert table["rank"].to_pylist() == list(range(1, 13))
    assert table["score"].to_pylist() == sorted(table["score"].to_pylist(), reverse=True)
    assert set(table["owner"].to_pylist()) == {"ana"}
    run = json.loads((folder / "run.json").read_text())
    assert (run["as_of"], run["accounts"], run["commit"]) == ("2025-07-01", 12, "abc")
    assert run["accounting"] is not None
    assert release.current(vendor.releases) == folder


def test_the_same_night_twice_is_the_same_release(vendor: Workspace) -> None:
    first = nightly(vendor)
    before = {p.name: p.stat().st_mtime_ns for p in first.iterdir()}
    assert nightly(vendor) == first
    assert {p.name: p.stat().st_mtime_ns for p in first.iterdir()} == before


def test_a_night_without_accounts_leaves_yesterday_live(vendor: Workspace) -> None:
    folder = nightly(vendor)
    with pytest.raises(NothingToScore, match="no account to score as of 2024-01-01"):
        nightly(vendor, as_of=AS_OF.replace(year=2024, month=1), force=True)
    assert release.current(vendor.releases) == folder


def test_a_score_that_is_no_number_leaves_yesterday_live(vendor: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = nightly(vendor)
    monkeypatch.setattr("models.scorer.rule_score", lambda features: [float("nan")] * features.num_rows)
    with pytest.raises(ReleaseRefused, match="not a finite number"):
        nightly(vendor, as_of=AS_OF + timedelta(days=1))
    assert release.current(vendor.releases) == folder


def test_a_roll_up_that_is_not_what_the_events_say_leaves_yesterday_live_and_removed_is_made_anew(
    vendor: Workspace,
) -> None:
    folder, tomorrow = nightly(vendor), AS_OF + timedelta(days=1)
    [newest] = sorted((vendor.rollup / "days").iterdir())[-1].iterdir()
    rows = read_table(newest)
    where = rows.column_names.index("events")
    write_table(rows.set_column(where, "events", pc.multiply(rows["events"], 2)), newest)
    rolled = daily.read_rolled(vendor)
    assert rolled is not None  # and no rot: the roll-up itself went wrong and noted what it wrote
    replace(rolled, files=stamps(daily.beside(vendor.rollup, rolled.days), {})).write(vendor.rollup)
    with pytest.raises(ReleaseRefused, match=r"features: \d of 12 accounts .* are not what .* Remove .*rollup"):
        nightly(vendor, as_of=tomorrow)
    assert release.current(vendor.releases) == folder
    shutil.rmtree(vendor.rollup)
    assert nightly(vendor, as_of=tomorrow) == release.current(vendor.releases) != folder


def test_a_rotten_fold_is_noticed_and_the_night_publishes_the_same_scores(vendor: Workspace) -> None:
    before = read_table(nightly(vendor) / "scores.parquet")
    fold = vendor.rollup / daily.ACCOUNTS
    flip(fold, fold.stat().st_size // 2)
    assert read_table(nightly(vendor) / "scores.parquet") == before
    assert daily.ready(vendor, Definitions.from_params({})) is not None


def test_money_that_ingest_did_not_write_reaches_no_list_and_no_measure_and_rot_is_found_by_doctor(
    vendor: Workspace,
) -> None:
    def ends(verb: str) -> tuple[int, bool]:
        finished = run(verb, "--workspace", vendor.root)
        return finished.returncode, "2025-03.parquet is not what `expansion ingest` wrote" in finished.stderr

    publish(vendor, {}, AS_OF, lambda: None, "abc", AS_OF)
    live, paid = release.current(vendor.releases), vendor.warehouse / "revenue" / "2025-03.parquet"
    whole, was = paid.read_bytes(), paid.stat()
    rows = read_table(paid)
    amounts = pc.cast(pc.multiply(pc.cast(rows["amount"], pa.float64()), 10), rows["amount"].type)
    write_table(rows.set_column(rows.column_names.index("amount"), "amount", amounts), paid)
    assert {verb: ends(verb) for verb in ("score", "incentives", "doctor")} == dict.fromkeys(
        ("score", "incentives", "doctor"), (3, True)
    )
    assert release.current(vendor.releases) == live
    paid.write_bytes(whole)  # put back from a backup
    assert ends("score") == ends("doctor") == (0, False)
    flip(paid, len(whole) // 2)
    os.utime(paid, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert ends("doctor") == (3, True)


@pytest.mark.parametrize("lost", [(), (date(2025, 6, 28), date(2025, 6, 29)), (date(2025, 5, 20),)])
def test_days_without_events_are_told_by_the_night_the_page_and_doctor(
    workspace: Path, lost: tuple[date, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A feed that failed for two days in the last 28 reads like accounts that fell quiet; May is past telling."""
    days = [date(2025, 4, 1) + timedelta(days=n) for n in range(91)]
    events = [
        raw.event("a1", f"{day}T{10 + n}:00:00Z", user_id="u1") for day in days if day not in lost for n in range(10)
    ]
    accounts = [raw.account("a1", "2025-03-01T00:00:00Z")]
    vendor = Workspace(workspace)
    ingest(raw.write_raw(workspace / "raw", accounts, events, [raw.invoice("a1", "2025-04-02T00:00:00Z")]), vendor,
           IngestParams(), NOW)  # fmt: skip
    publish(vendor, {}, date(2025, 7, 1), lambda: None, "abc", date(2025, 7, 1))
    folder = release.current(vendor.releases)
    assert folder is not None
    told = [str(day) for day in lost if day.month == 6]
    assert json.loads((folder / "run.json").read_text())["missing_days"] == told
    assert (f"of {len(told)} of the last 28 days (2025-06-28, 2025-06-29)" in capsys.readouterr().err) == bool(told)
    service = open_at_night(vendor)
    assert ("Events are missing." in service.get("/").text) == bool(told)
    assert service.get("/v1/leads").json()["data_status"] == ("partial" if told else "ok")
    assert ("2025-06-29" in run("doctor", "--workspace", workspace).stdout) == bool(told)


@pytest.mark.parametrize("silent", [1, 10])
def test_a_feed_of_events_that_stopped_is_told_although_other_facts_come_in(workspace: Path, silent: int) -> None:
    days = [date(2025, 4, 1) + timedelta(days=n) for n in range(91 - silent)]
    events = [raw.event("a1", f"{day}T{10 + n}:00:00Z", user_id="u1") for day in days for n in range(10)]
    accounts = [raw.account("a1", "2025-03-01T00:00:00Z"), raw.account("a2", "2025-06-30T20:00:00Z")]
    vendor = Workspace(workspace)
    ingest(raw.write_raw(workspace / "raw", accounts, events, [raw.invoice("a1", "2025-04-02T00:00:00Z")]), vendor,
           IngestParams(), NOW)  # fmt: skip
    told = publish(vendor, {}, None, lambda: None, "abc", date(2025, 7, 1))
    assert (told["as_of"], told["data_end"]) == ("2025-07-01", "2025-07-01")
    run = json.loads((vendor.releases / told["release"] / "run.json").read_text())
    assert run["missing_days"] == [str(date(2025, 7, 1) - timedelta(days=n)) for n in range(silent, 0, -1)]
    assert open_at_night(vendor).get("/v1/leads").json()["data_status"] == "partial"


@pytest.mark.parametrize(("share", "status"), [(0.3, "ok"), (0.1, "partial")])
def test_a_day_that_came_in_for_a_tenth_makes_the_data_partial_and_a_holiday_does_not(
    workspace: Path, share: float, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    days = [date(2025, 4, 1) + timedelta(days=n) for n in range(91)]
    poor = date(2025, 6, 30)  # the last one, as where the export ran too early
    events = [
        raw.event("a1", f"{day}T{10 + n % 12}:{n % 60:02}:00Z", user_id=f"u{n}")
        for day in days
        for n in range(round(60 * (share if day == poor else 1)))
    ]
    accounts = [raw.account("a1", "2025-03-01T00:00:00Z")]
    vendor = Workspace(workspace)
    ingest(raw.write_raw(workspace / "raw", accounts, events, [raw.invoice("a1", "2025-04-02T00:00:00Z")]), vendor,
           IngestParams(), NOW)  # fmt: skip
    publish(vendor, {}, date(2025, 7, 1), lambda: None, "abc", date(2025, 7, 1))
    service, thin = open_at_night(vendor), status == "partial"
    ready, account = service.get("/readyz").json(), service.get("/v1/accounts/a1").json()
    assert (ready["data_status"], account["data_status"]) == (status, status)
    assert ("less than a fifth of the usual ones came in (2025-06-30)" in service.get("/").text) == thin
    assert (
        "less than 20% of the usual events of 1 of the last 28 days (2025-06-30)" in capsys.readouterr().err
    ) == thin
    told = json.loads(run("doctor", "--workspace", workspace, "--json").stdout)
    assert (told["data_status"], told.get("thin_days")) == (status, ["2025-06-30"] if thin else None)


def test_an_account_that_is_too_new_to_be_told_is_scored_low_in_confidence(workspace: Path) -> None:
    sent = histories()
    sent[0]["account"]["created_at"] = f"{AS_OF - timedelta(days=2)} 00:00:00"
    sent[0]["revenue"], sent[0]["account_users"] = [], []
    sent[0]["events"] = sent[0]["events"][-1:]  # the evening before, so it is in use
    vendor = warehouse_of(workspace, sent[:2])
    nightly(vendor)
    service = open_at_night(vendor)
    young, old = (service.get(f"/v1/accounts/00{n}").json() for n in (0, 1))
    assert (young["tenure_days"], young["confidence"]) == (2, "low")
    assert old["confidence"] == "ok"


def test_a_row_too_few_or_another_value_is_unlike_and_a_null_is_like_a_null_alone() -> None:
    def rows(*values: float | None) -> pa.Table:
        return pa.table({"account_id": ["a", "b", "c"][: len(values)], "spend": pa.array(values, pa.float64())})

    assert recompute._unlike(rows(1.0, None, 0.1 + 0.2), rows(1.0, None, 0.1 + 0.2)) == {}
    assert recompute._unlike(rows(1.0, None, 0.3), rows(1.0, None, 0.1 + 0.2)) == {}  # another engine's last bit
    assert recompute._unlike(rows(1.0, None, 0.3), rows(1.0, 0.0, 0.3 + 1e-9)) == {"spend": ["b", "c"]}
    assert recompute._unlike(rows(1.0, None), rows(1.0, None, 0.3)) == {"account_id": ["c"]}


def test_every_night_other_accounts_are_made_anew_and_the_same_ones_when_it_is_run_again() -> None:
    spine = pa.table({"account_id": [f"{n:05}" for n in range(5_000)]})
    nights = [recompute.sampled(spine, AS_OF + timedelta(days=d))["account_id"].to_pylist() for d in range(30)]
    assert nights[0] == recompute.sampled(spine, AS_OF)["account_id"].to_pylist() == sorted(set(nights[0]))
    assert {len(one) for one in nights} == {recompute.SAMPLE}
    assert len({account for one in nights for account in one}) > 2_000
    assert recompute.sampled(spine.slice(0, 7), AS_OF) == spine.slice(0, 7)


def test_bands_need_falling_floors() -> None:
    with pytest.raises(ParamsError, match=r"score\.bands"):
        section({"score": {"bands": {"A": 0.1, "B": 0.2, "C": 0.05}}}, "score", ScoreParams)


def test_http_scores_are_the_nightly_scores(vendor: Workspace) -> None:
    nightly(vendor)
    service = open_at_night(vendor)
    sent = histories()
    body = {"as_of": AS_OF.isoformat(), "accounts": sent[::-1]}
    answer = service.client.post("/v1/score", json=body, headers={"authorization": f"Bearer {service.scorer}"})
    assert answer.status_code == 200, answer.text
    found = schemas.ScoreAnswer.model_validate(answer.json())
    assert [item.account_id for item in found.items] == [item["account"]["account_id"] for item in sent[::-1]]
    for item in answer.json()["items"]:
        night = service.get(f"/v1/accounts/{item['account_id']}").json()
        live = item["result"]
        assert item["status"] == "ok"
        for name in (
            "score",
            "tier",
            "run_rate",
            "stage",
            "tenure_days",
            "confidence",
            "reasons",
            "horizons",
            "method",
        ):
            assert live[name] == night[name], (item["account_id"], name)


def test_rows_known_from_the_scoring_day_on_change_nothing(vendor: Workspace) -> None:
    nightly(vendor)
    service = open_at_night(vendor)
    bearer = {"authorization": f"Bearer {service.scorer}"}
    sent = histories(3)
    body = {"as_of": "2025-05-01", "accounts": sent}
    before = service.client.post("/v1/score", json=body, headers=bearer).json()
    for item in sent:
        item["events"].append({"event_name": "opened", "occurred_at": "2025-05-01 00:00:00", "quantity": 900})
    assert service.client.post("/v1/score", json=body, headers=bearer).json() == before


def test_an_account_not_yet_created_is_said_to_be_so(vendor: Workspace) -> None:
    nightly(vendor)
    service = open_at_night(vendor)
    body = {"as_of": "2025-01-11", "accounts": histories(2)}
    answer = service.client.post("/v1/score", json=body, headers={"authorization": f"Bearer {service.scorer}"}).json()
    assert [item["status"] for item in answer["items"]] == ["ok", "not_yet_created"]
    assert answer["items"][1]["result"] is None


def test_a_day_that_has_not_opened_is_not_scored_by_request_either(vendor: Workspace) -> None:
    nightly(vendor)
    service = open_at_night(vendor)
    bearer = {"authorization": f"Bearer {service.scorer}"}
    for day in (AS_OF + timedelta(days=1), date.max):
        body = {"as_of": day.isoformat(), "accounts": histories(1)}
        answer = service.client.post("/v1/score", json=body, headers=bearer)
        assert (answer.status_code, answer.json()["field"]) == (422, "as_of")
        assert "has not opened yet" in answer.json()["message"]


def test_a_row_that_breaks_the_raw_contract_is_refused_in_its_words(vendor: Workspace) -> None:
    nightly(vendor)
    service = open_at_night(vendor)
    sent = histories(1)
    sent[0]["events"][0]["occurred_at"] = "yesterday"
    body = {"as_of": AS_OF.isoformat(), "accounts": sent}
    answer = service.client.post("/v1/score", json=body, headers={"authorization": f"Bearer {service.scorer}"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_rows")
    assert "occurred_at" in answer.json()["message"]


@pytest.mark.parametrize("rule", [False, True])
def test_a_day_beyond_the_facts_is_published_and_told_and_called_old_by_the_facts(
    vendor: Workspace, capsys: pytest.CaptureFixture[str], rule: bool
) -> None:
    """The rows above end on the eve of AS_OF."""
    bundle = rule_bundle(vendor.artifacts / "candidate")

    def night(days: int) -> tuple[dict[str, Any], str, Service]:
        day = AS_OF + timedelta(days=days)
        champion = None if rule else (bundle, {"grade": None, "headline": None})
        said = publish(vendor, {}, day, lambda: champion, "abc", day)
        return said, capsys.readouterr().err, open_service(vendor.root, clock=NOW + timedelta(days=days))

    said, noted, service = night(0)
    assert (said["data_end"], "the facts end" in noted) == ("2025-07-01", False)
    assert service.get("/readyz").json()["stale"] is False
    said, noted, service = night(3)
    assert (said["as_of"], said["data_end"]) == ("2025-07-04", "2025-07-01")
    assert "the facts end 2025-07-01, 3 days before as_of 2025-07-04" in noted
    assert json.loads((vendor.releases / said["release"] / "run.json").read_text())["data_end"] == "2025-07-01"
    assert service.get("/readyz").json()["stale"] is True
    assert "They are as of 2025-07-04, but the facts end 2025-07-01" in service.get("/").text


def test_facts_end_for_scoring_where_tracking_stopped_before_billing(
    vendor: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    rule_bundle(vendor.artifacts / "candidate")
    until = {"snapshots": {"until": "2025-06-29"}}
    assert publish(vendor, until, AS_OF, lambda: None, "abc", AS_OF)["data_end"] == "2025-06-29"
    assert "2 days before as_of" in capsys.readouterr().err


def test_what_came_of_earlier_nights_is_told_by_the_next_and_a_torn_file_stops_none(vendor: Workspace) -> None:
    bundle = vendor.artifacts / "candidate"
    rule_bundle(bundle)

    def tonight(day: int) -> str | None:
        when = AS_OF + timedelta(days=day)
        publish(vendor, {}, when, lambda: (bundle, {"grade": None, "headline": None}), "abc", when)
        service = open_at_night(vendor)
        told: str | None = service.get("/v1/model").json()["realised"]
        said = f"<b>What came of it?</b> {told}"
        assert (said in service.get("/").text) == (told is not None)
        return told

    assert tonight(0) is None, "nobody has asked yet"
    write_json({"headline": "Of the 60 accounts to call, 29 moved up."}, vendor.artifacts / "realised.json")
    assert tonight(1) == "Of the 60 accounts to call, 29 moved up."
    write_json({"headline": None}, vendor.artifacts / "realised.json")
    assert tonight(2) is None, "it was asked, and nothing could be told"
    (vendor.artifacts / "realised.json").write_text('{"headl')
    assert tonight(3) is None
