"""Why a score moved since the release before: the terms add up, a jump comes first, and a new model is told as such."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.catalogue import CATALOGUE
from models.calibration import Calibration
from models.errors import BundleOutdated, BundleRefused
from models.reasons import FAMILIES, MEMBER
from models.scorer import Scorer
from serving import leads, release
from serving.pages import ENVIRONMENT
from serving.schemas import AccountAnswer, LeadsAnswer
from serving.terminal import change_lines
from tests.models.made_features import AS_OF, feature_rows, fitted
from tests.serving.explained import JUMPED, night, with_values
from tests.serving.published import Service, publish
from warehouse.store import read_table

TODAY = AS_OF + timedelta(days=1)
ACCOUNTS = 60


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two bundles over the same features: other seeds, other data."""
    folders = tmp_path_factory.mktemp("first") / "bundle", tmp_path_factory.mktemp("second") / "bundle"
    for seed, folder in zip((0, 2), folders, strict=True):
        fitted(seed=seed, n=1_200).save(folder)
    return folders


def told(live: release.Release, account: str) -> dict[str, Any]:
    found = leads.account(live, account)
    assert found is not None
    return found


def kept(live: release.Release) -> dict[str, dict[str, Any]]:
    return {row["account_id"]: row for row in read_table(live.folder / "contributions.parquet").to_pylist()}


def test_under_one_bundle_the_families_add_up_to_the_change_and_a_usage_jump_comes_first(
    workspace: Path, bundles: tuple[Path, Path]
) -> None:
    before = with_values(feature_rows(ACCOUNTS, seed=3), JUMPED, users_28d=1.0, tenure_days=200.0, tier=0.0)
    after = with_values(before, JUMPED, users_28d=19.0)
    for account in ("a00011", "a00012", "a00013"):  # others drift in something else
        after = with_values(after, account, run_rate=5.0, tenure_days=20.0, events_28d=40.0)
    yesterday, today = night(workspace, bundles[0], before, AS_OF), night(workspace, bundles[0], after, TODAY)
    old, new = kept(yesterday), kept(today)
    for account in new:
        why = told(today, account)["why_changed"]
        assert why["since"] == AS_OF.isoformat()
        change = new[account]["log_odds"] - old[account]["log_odds"]
        assert why["log_odds"] == pytest.approx(change, abs=1e-6)
        assert sum(term["change"] for term in why["changes"]) == pytest.approx(change, abs=1e-6)
        assert "new model" not in {term["family"] for term in why["changes"]}
    moved = told(today, JUMPED)["why_changed"]
    assert (moved["changes"][0]["family"], moved["changes"][0]["change"] > 0) == ("users", True)
    assert moved["changes"][0]["text"].startswith("active users in the last 28 days: 19 users (was 1 on")
    assert moved["probability"] == pytest.approx(
        told(today, JUMPED)["probability"] - told(yesterday, JUMPED)["probability"], abs=1e-8
    )
    assert told(today, "a00020")["why_changed"]["changes"] == []  # nothing about it moved
    changes = {row["account_id"]: row for row in read_table(today.folder / "changes.parquet").to_pylist()}
    assert changes[JUMPED]["why"] == moved["changes"][0]["text"]


def test_a_family_is_told_by_the_feature_that_moved_it_not_by_the_one_that_weighs_most(
    workspace: Path, bundles: tuple[Path, Path]
) -> None:
    before = feature_rows(ACCOUNTS, seed=3)
    yesterday = night(workspace, bundles[0], before, AS_OF)
    after = before
    for number, account in enumerate(before["account_id"].to_pylist()[:40]):
        after = with_values(after, account, users_28d=float(number % 20), users_7d=float(number % 7), tenure_days=90.0)
    today = night(workspace, bundles[0], after, TODAY)
    new, old = (read_table(one.folder / "contributions.parquet") for one in (today, yesterday))
    moved = np.array(new["contributions"].to_pylist()) - np.array(old["contributions"].to_pylist())
    nouns = [f"{feature.noun}: " for feature in CATALOGUE]
    named = 0
    for row, account in enumerate(new["account_id"].to_pylist()):
        why = told(today, account)["why_changed"]
        for term in why["changes"] if why else []:
            if term["family"] in FAMILIES:
                [place] = [i for i, noun in enumerate(nouns) if term["text"].startswith(noun)]
                assert CATALOGUE[place].family == term["family"]
                push = np.sign(term["change"]) * moved[row]
                changed = [
                    i
                    for i in np.flatnonzero(MEMBER[:, FAMILIES.index(term["family"])])
                    if before[CATALOGUE[i].name][row] != after[CATALOGUE[i].name][row] and push[i] > 0
                ]
                assert place in changed
                assert push[place] == max(push[i] for i in changed)
                named += 1
    assert named > 20


def test_who_is_at_the_top_tier_has_neither_reasons_nor_a_change(workspace: Path, bundles: tuple[Path, Path]) -> None:
    rows = with_values(feature_rows(ACCOUNTS, seed=3), JUMPED, tier=0.0)
    night(workspace, bundles[0], rows, AS_OF)
    top = len(Scorer.load(bundles[0]).definitions.tiers.ladder) - 1.0
    risen = told(night(workspace, bundles[0], with_values(rows, JUMPED, tier=top), TODAY), JUMPED)
    assert (risen["next_tier"], risen["reasons"], risen["why_changed"]) == (None, [], None)
    assert risen["why_changed_absent"] == "top_tier"
    after = TODAY + timedelta(days=1)
    fallen = told(night(workspace, bundles[0], with_values(rows, JUMPED, tier=0.0), after), JUMPED)
    assert fallen["reasons"]
    assert fallen["why_changed"]["probability"] is None  # it had none at the top
    assert "tier" in change_lines(fallen)[0]


def test_a_calibration_set_anew_moves_the_chance_and_nothing_that_the_account_did(
    workspace: Path, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    rows = feature_rows(ACCOUNTS, seed=3)
    night(workspace, bundles[0], rows, AS_OF)
    again = replace(Scorer.load(bundles[0]), calibration={"expansion": Calibration(0.8, 1.1, 0.4)})
    again.save(tmp_path / "bundle")
    today = night(workspace, tmp_path / "bundle", rows, TODAY)
    found = told(today, "a00003")
    assert found["why_changed"]["changes"] == []
    assert abs(found["why_changed"]["probability"]) > 0.001
    page = ENVIRONMENT.from_string('{% import "macros.html" as m %}{{ m.change_list(item) }}').render(item=found)
    assert "the chances of all accounts were set anew" in " ".join(page.split())


def test_a_new_bundle_is_told_as_such_apart_from_what_the_account_did(
    workspace: Path, bundles: tuple[Path, Path]
) -> None:
    before = with_values(feature_rows(ACCOUNTS, seed=3), JUMPED, users_28d=1.0)
    after = with_values(before, JUMPED, users_28d=19.0)
    yesterday, today = night(workspace, bundles[0], before, AS_OF), night(workspace, bundles[1], after, TODAY)
    old, new = kept(yesterday), kept(today)
    first, second = (Scorer.load(bundle).explain(after) for bundle in bundles)
    assert first is not None
    assert second is not None
    models = dict(zip(after["account_id"].to_pylist(), second.log_odds - first.log_odds, strict=True))
    for account, model in models.items():
        why = told(today, account)["why_changed"]
        by_family = {term["family"]: term for term in why["changes"]}
        change = new[account]["log_odds"] - old[account]["log_odds"]
        assert sum(term["change"] for term in why["changes"]) == pytest.approx(change, abs=1e-6)
        if account != JUMPED:
            assert set(by_family) <= {"new model"}
            assert why["log_odds"] == pytest.approx(model, abs=1e-6)
    told_of = {term["family"]: term for term in told(today, JUMPED)["why_changed"]["changes"]}
    assert told_of["new model"]["change"] == pytest.approx(models[JUMPED], abs=1e-6)
    assert told_of["new model"]["text"] == "a new model weighs the same history differently"
    assert told_of["users"]["change"] > 0


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (BundleOutdated, "a new model, which reads other features"),
        (BundleRefused, "a new model; the last could not be loaded"),  # such as on a busy machine
    ],
)
def test_a_last_bundle_that_cannot_be_asked_leaves_all_to_the_new_model_and_says_why(
    workspace: Path, bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, refusal: type[Exception], text: str
) -> None:
    def refused(bundle: Path) -> Any:
        raise refusal(f"{bundle}: no")

    rows = feature_rows(ACCOUNTS, seed=3)
    yesterday = night(workspace, bundles[0], rows, AS_OF)
    with monkeypatch.context() as patch:
        patch.setattr(release, "load_scorer", refused)
        folder = _write_only(workspace, bundles[1], rows, TODAY)
    today = release.open_release(folder)
    old, new = kept(yesterday), kept(today)
    for account in new:
        [term] = told(today, account)["why_changed"]["changes"]
        assert term["family"] == "new model"
        assert term["text"].startswith(text)
        assert term["change"] == pytest.approx(new[account]["log_odds"] - old[account]["log_odds"], abs=1e-6)


def _write_only(workspace: Path, bundle: Path, features: pa.Table, as_of: date) -> Path:
    opened: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "open_release", opened.append)
        night(workspace, bundle, features, as_of)
    return opened[0]


def test_where_nothing_can_be_compared_a_word_says_why(workspace: Path, bundles: tuple[Path, Path]) -> None:
    rows = feature_rows(ACCOUNTS, seed=3)
    first = night(workspace, bundles[0], rows.slice(1), AS_OF)
    assert {told(first, a)["why_changed_absent"] for a in rows["account_id"].to_pylist()[1:]} == {"first_release"}
    today = night(workspace, bundles[0], rows, TODAY)
    newcomer, known = told(today, "a00000"), told(today, "a00001")
    assert (newcomer["why_changed"], newcomer["why_changed_absent"]) == (None, "new_account")
    assert known["why_changed"] is not None
    assert known["why_changed_absent"] is None
    assert change_lines(newcomer) == []


def test_a_rule_has_no_log_odds_to_explain(workspace: Path, service: Service) -> None:
    tomorrow = date(2026, 3, 3)
    publish(workspace, tomorrow, method="rule")
    service.refresh()
    assert service.get("/v1/accounts/acct-00003").json()["why_changed_absent"] == "rule"


def test_a_release_that_kept_no_contributions_is_named(workspace: Path, bundles: tuple[Path, Path]) -> None:
    rows = feature_rows(ACCOUNTS, seed=3)
    without = night(workspace, bundles[0], rows, AS_OF)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.release.columns_kept", lambda names: False)  # as an earlier version would have left it
        today = night(workspace, bundles[0], rows, TODAY)
    assert told(today, "a00003")["why_changed_absent"] == "not_kept"
    assert (without.folder / "contributions.parquet").exists()


def test_the_answer_keeps_its_contract_and_the_list_does_not_carry_it(service: Service) -> None:
    found = service.get("/v1/accounts/acct-00003")
    answer = AccountAnswer.model_validate(found.json())
    assert answer.why_changed_absent == "first_release"
    listed = LeadsAnswer.model_validate(service.get("/v1/leads?limit=2").json())
    assert listed.items
    assert "why_changed" not in json.dumps(service.get("/v1/leads?limit=2").json())


def test_a_terminal_shows_the_change_and_its_terms(workspace: Path, bundles: tuple[Path, Path]) -> None:
    before = with_values(feature_rows(ACCOUNTS, seed=3), JUMPED, users_28d=1.0, tier=0.0)
    night(workspace, bundles[0], before, AS_OF)
    today = night(workspace, bundles[0], with_values(before, JUMPED, users_28d=19.0), TODAY)
    head, first, *_ = change_lines(told(today, JUMPED))
    assert head.startswith(f"      since {AS_OF}: log-odds +")
    assert "points" in head
    assert " users: active users" in first
