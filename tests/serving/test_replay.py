"""A past day made again, held against what its night published."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.errors import BundleOutdated
from serving import release
from serving import replay as replaying
from serving.batch import ScoreParams, score
from serving.database import DATABASE, open_database
from serving.errors import NoRelease
from serving.kept import of_night
from serving.replay import replay
from serving.terminal import replay_lines
from tests.serving import asked
from tests.serving.nightly import AS_OF, NOW, histories, rule_bundle, warehouse_of
from tests.warehouse.spoilt_files import flip
from warehouse.errors import UsageError
from warehouse.ingest import IngestParams, ingest
from warehouse.store import Workspace

TODAY = NOW.date()
EARLIER = AS_OF - timedelta(days=30)


@pytest.fixture
def vendor(workspace: Path) -> Workspace:
    """Two nights by a rule, the later one live."""
    vendor = warehouse_of(workspace, histories())
    for day in (EARLIER, AS_OF):
        score(vendor, rule_bundle(workspace / f"bundle-{day}"), day, {}, ScoreParams())
    return vendor


def night(vendor: Workspace, day: date) -> Path:
    found = of_night(vendor.releases, day)
    assert found is not None
    return found


def said_of(folder: Path, account: str) -> dict[str, Any]:
    query = "SELECT * FROM scores WHERE account_id = ?"
    return dict(open_database(folder / DATABASE).execute(query, (account,)).fetchone())


def test_every_account_of_a_model_and_of_a_rule_scores_as_it_was_published(vendor: Workspace, tmp_path: Path) -> None:
    modelled = asked.published(tmp_path / "modelled")
    for space, day, accounts in (
        (modelled, asked.AS_OF, (asked.BUSY, asked.SLEEPER, asked.MACHINE, asked.TOP, asked.LATE, asked.YOUNG)),
        (vendor, EARLIER, ("000", "007")),
        (vendor, AS_OF, ("011",)),
    ):
        folder = night(space, day)
        run = json.loads((folder / "run.json").read_text())
        source = {"release": folder.name, **{name: run[name] for name in ("bundle_id", "data_fingerprint")}}
        for account in accounts:
            said = replay(space, account, day, day)
            assert (said["matches"], said["differs"]) == (True, [])
            assert {name: said[name] for name in source} == source == said["published"]
            assert said["score"]["score"] == pytest.approx(said_of(folder, account)["score"], abs=1e-12)
            assert "matches: true" in replay_lines(said)


def test_facts_told_since_make_another_row_and_the_columns_are_named(vendor: Workspace) -> None:
    before = replay(vendor, "003", AS_OF, TODAY)
    events = vendor.root / "raw" / "events.csv"
    kept = [line for line in events.read_text().splitlines(keepends=True) if not line.startswith("003,")]
    events.write_text("".join(kept))
    ingest(vendor.root / "raw", vendor, IngestParams(max_bad_ratio=1), NOW)
    after = replay(vendor, "003", AS_OF, TODAY)
    assert (after["matches"], after["published"]) == (False, before["published"])
    assert {"score", "users_28d"} <= set(after["differs"])
    assert after["data_fingerprint"] != before["data_fingerprint"] == before["published"]["data_fingerprint"]
    [line] = [line for line in replay_lines(after) if line.startswith("matches: ")]
    assert line == f"matches: false: {', '.join(after['differs'])}"


def test_an_account_that_its_night_did_not_hold_is_no_match(vendor: Workspace) -> None:
    folder = night(vendor, AS_OF)
    row = said_of(folder, "003")
    opened = release.open_release(folder)
    assert replaying._differing(opened, {**row, "account_id": "told later"}) == ["account_id"]
    assert replaying._differing(opened, row) == []
    assert replaying._differing(opened, {**row, "score": row["score"] + 1e-6, "stage": "uptake"}) == ["stage", "score"]


def test_without_that_night_or_with_a_damaged_one_the_live_bundle_answers_and_nothing_is_claimed(
    vendor: Workspace,
) -> None:
    live = night(vendor, AS_OF).name
    flip(night(vendor, EARLIER) / "scores.parquet", 40)
    for day in (EARLIER, EARLIER + timedelta(days=1)):
        said = replay(vendor, "003", day, TODAY)
        assert (said["release"], said["published"], said["matches"], said["differs"]) == (live, None, None, [])
        assert "published: no intact release of that night is kept" in replay_lines(said)
    shutil.rmtree(vendor.releases)
    vendor.releases.mkdir()
    with pytest.raises(NoRelease):
        replay(vendor, "003", AS_OF, TODAY)


def test_a_night_whose_bundle_was_made_for_other_features_is_named_and_the_live_bundle_answers(
    vendor: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, old = night(vendor, AS_OF), night(vendor, EARLIER)
    real = release.load_scorer

    def load(bundle: Path) -> Any:
        if bundle.parent == old:
            raise BundleOutdated("made for other features")
        return real(bundle)

    monkeypatch.setattr(release, "load_scorer", load)
    said = replay(vendor, "003", EARLIER, TODAY)
    assert (said["release"], said["published"]["release"], said["matches"]) == (live.name, old.name, None)
    assert "matches: null" in replay_lines(said)


def test_of_two_releases_of_a_night_that_counts_which_people_saw(vendor: Workspace) -> None:
    seen = night(vendor, AS_OF)
    other = score(vendor, seen / "bundle", AS_OF, {}, ScoreParams(capacity=7))
    assert night(vendor, AS_OF) == other
    release.rollback(vendor.releases)
    assert night(vendor, AS_OF) == seen


def test_a_stranger_is_refused_in_words(vendor: Workspace) -> None:
    with pytest.raises(UsageError, match='account "nobody" is not scored as of 2025-07-01'):
        replay(vendor, "nobody", AS_OF, TODAY)
