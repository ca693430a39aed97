"""The bundle: what is saved is what is served, whoever touches a file is refused, and every score stands alone."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.calibration import Calibration
from models.encoding import Encoding
from models.errors import BundleRefused
from models.hazard import EDGES, REASON_INTERVAL, chance, incidence
from models.manifest import seal
from models.peers import age_band
from models.scorer import Scorer, rule_scorer
from tests.models.made_features import DEFINITIONS, LABELS, QUICK, feature_rows, fitted, history
from training.fit import LEARNERS, assemble, fit_all
from training.teacher import PUPIL

FILES = (
    *(
        "amount.lgb.txt",
        "churn.0.lgb.txt",
        *(f"{t}.{i}.lgb.txt" for t in ("expansion", "high_value") for i in range(3)),
    ),
    *("card.json", "definitions.json", "encoding.json", "golden.json", "manifest.json", "model.json", "peers.json"),
)


@pytest.fixture(scope="module")
def sealed(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed") / "bundle"
    scorer.save(folder)
    return folder


@pytest.fixture
def bundle(sealed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sealed, tmp_path / "bundle")


@pytest.fixture
def _no_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged LightGBM file kills the process, so a refusal must come before it is parsed."""

    def parsed(*_: Any, **__: Any) -> None:
        pytest.fail("LightGBM parsed a file of a bundle that had to be refused")

    monkeypatch.setattr(lgb, "Booster", parsed)


def test_a_bundle_read_back_scores_the_very_same(scorer: Scorer, sealed: Path, tonight: pa.Table) -> None:
    again = Scorer.load(sealed)
    assert again.score(tonight).equals(scorer.score(tonight))
    assert again.card == scorer.card
    assert (len(again.bundle_id), again.horizons) == (64, (90, 180))
    assert sorted(path.name for path in sealed.iterdir()) == sorted(FILES)


def test_the_same_data_and_seed_make_the_same_bytes_and_another_seed_another_bundle(
    sealed: Path, tmp_path: Path
) -> None:
    assert fitted().save(tmp_path / "again") == Scorer.load(sealed).bundle_id
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (sealed / name).read_bytes(), name
    assert (
        replace(fitted(), calibration={"expansion": Calibration(c=0.1)}).save(tmp_path / "other")
        != Scorer.load(sealed).bundle_id
    )


@pytest.mark.usefixtures("_no_parsing")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_one_flipped_byte_in_any_file_is_refused_before_it_is_parsed(bundle: Path, name: str, place: float) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[int(place * len(data))] ^= 0x01
    (bundle / name).write_bytes(bytes(data))
    with pytest.raises(BundleRefused):
        Scorer.load(bundle)


@pytest.mark.usefixtures("_no_parsing")
@pytest.mark.parametrize(
    ("one", "other"), [(": 1\n}", ": 2\n}"), ("{\n", "{ \n"), ('"schema_version"', '"schema_versiom"')]
)
def test_a_manifest_of_the_same_content_in_other_bytes_is_refused(bundle: Path, one: str, other: str) -> None:
    """Else two bundle ids would name one content."""
    text = (bundle / "manifest.json").read_text()
    assert one in text
    (bundle / "manifest.json").write_text(text.replace(one, other, 1))
    with pytest.raises(BundleRefused):
        Scorer.load(bundle)


@pytest.mark.usefixtures("_no_parsing")
@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_and_a_renamed_one_are_refused(bundle: Path, name: str) -> None:
    (bundle / name).rename(bundle / f"x-{name}")
    with pytest.raises(BundleRefused):
        Scorer.load(bundle)
    (bundle / f"x-{name}").unlink()
    with pytest.raises(BundleRefused):
        Scorer.load(bundle)


@pytest.mark.usefixtures("_no_parsing")
@pytest.mark.parametrize("name", FILES)
def test_a_file_replaced_by_a_link_to_the_same_bytes_is_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    (bundle / name).rename(tmp_path / name)
    os.symlink(tmp_path / name, bundle / name)
    with pytest.raises(BundleRefused):
        Scorer.load(bundle)


@pytest.mark.usefixtures("_no_parsing")
def test_an_extra_file_is_refused_and_a_pickle_even_when_sealed(bundle: Path) -> None:
    (bundle / "notes.json").write_text("{}")
    with pytest.raises(BundleRefused, match=r"notes\.json"):
        Scorer.load(bundle)
    (bundle / "notes.json").rename(bundle / "model.pkl")
    seal(bundle)
    with pytest.raises(BundleRefused, match=r"model\.pkl"):
        Scorer.load(bundle)


@pytest.mark.usefixtures("_no_parsing")
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": []}', "\x00", '{"files": {"../card.json": {}}}'])
def test_a_manifest_that_is_none_is_refused(bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleRefused):
        Scorer.load(bundle)


@pytest.mark.usefixtures("_no_parsing")
def test_a_bundle_made_for_other_features_is_refused_and_says_what_to_do(bundle: Path) -> None:
    card = json.loads((bundle / "card.json").read_text())
    (bundle / "card.json").write_text(json.dumps(card | {"fingerprint": "f" * 64}))
    seal(bundle)
    with pytest.raises(BundleRefused, match=r"made for features ffffffffffff.*Retrain"):
        Scorer.load(bundle)


@pytest.mark.usefixtures("_no_parsing")
def test_a_bundle_with_another_ladder_than_its_fingerprint_is_refused(bundle: Path) -> None:
    said = json.loads((bundle / "definitions.json").read_text())
    said["tiers"]["ladder"][1]["floor"] = 21
    (bundle / "definitions.json").write_text(json.dumps(said))
    seal(bundle)
    with pytest.raises(BundleRefused, match="made for features"):
        Scorer.load(bundle)


def test_champion_and_challenger_side_by_side_each_answer_as_when_alone(sealed: Path, tmp_path: Path) -> None:
    tonight = feature_rows(100, seed=3)
    alone = Scorer.load(sealed).score(tonight)
    other = fitted(seed=5, n=800)
    other.save(tmp_path / "challenger")
    other_alone = other.score(tonight)
    champion, challenger = Scorer.load(sealed), Scorer.load(tmp_path / "challenger")
    assert challenger.score(tonight).equals(other_alone)
    assert champion.score(tonight).equals(alone)
    assert not alone["score"].equals(other_alone["score"])


def test_an_account_scored_alone_scores_as_among_all_bit_for_bit(scorer: Scorer, tonight: pa.Table) -> None:
    among = scorer.score(tonight)
    for i in range(0, 400, 16):
        assert scorer.score(tonight.slice(i, 1)).equals(among.slice(i, 1)), tonight["account_id"][i]
    upside_down = tonight.take(list(range(399, -1, -1)))
    assert scorer.score(upside_down).take(list(range(399, -1, -1))).equals(among)


def test_at_the_top_there_is_nothing_left_to_predict_but_closure(scorer: Scorer, tonight: pa.Table) -> None:
    rows = scorer.score(tonight).to_pylist()
    ladder = [step.name for step in DEFINITIONS.tiers.ladder]
    high = DEFINITIONS.tiers.high_value_index
    assert {row["tier"] for row in rows} == set(ladder)
    for row in rows:
        place = ladder.index(row["tier"])
        top = place == len(ladder) - 1
        assert row["next_tier"] == (None if top else ladder[place + 1])
        for h in (90, 180):
            assert (row[f"probability_{h}"] is None) == top
            assert (row[f"increment_{h}"] is None) == top
            assert (row[f"high_value_{h}"] is None) == (place >= high)
            assert 0 < row[f"churn_{h}"] < 1
        assert {row[name] is None for name in row if name.startswith("amount_")} == {top}
        assert row["score"] == (0.0 if top else row["increment_180"])


def test_figures_of_one_row_agree_with_one_another(scorer: Scorer, tonight: pa.Table) -> None:
    for row in scorer.score(tonight).to_pylist():
        if row["probability_90"] is None:
            continue
        assert 0 < row["probability_90"] <= row["probability_180"] < 1
        assert row["churn_90"] <= row["churn_180"]
        assert row["probability_180"] + row["churn_180"] <= 1
        assert 0 <= row["amount_low"] <= row["amount_high"]
        assert row["increment_90"] >= 0


def test_every_horizon_has_the_range_of_its_own_money(scorer: Scorer, tonight: pa.Table) -> None:
    scorer = replace(scorer, amount=replace(scorer.amount, low=0.5, high=3.0))
    said, matrix = scorer.score(tonight), scorer.encoding.matrix(tonight)
    told = np.asarray(said["next_tier"].is_valid())
    for h in scorer.horizons:
        money = scorer.amount.expected(matrix, h)[told]
        for name, factor in (("amount_low", 0.5), ("amount_high", 3.0)):
            assert np.array_equal(said[f"{name}_{h}"].to_numpy()[told], money * factor)
    assert said["amount_high"].equals(said["amount_high_180"])
    assert not said["amount_high"].equals(said["amount_high_90"])


def test_each_probability_comes_from_its_own_hazard_and_its_own_calibration(scorer: Scorer, tonight: pa.Table) -> None:
    calibration = {"expansion": Calibration(0.9, 1.1, 0.3), "high_value": Calibration(c=-0.2)}
    scorer = replace(scorer, calibration=calibration)
    matrix = scorer.encoding.matrix(tonight)
    said = scorer.predict(matrix)
    churn = chance(scorer.hazards["churn"].log_odds(matrix))
    tier, ladder = np.asarray(tonight["tier"]), scorer.definitions.tiers
    top, below_high = tier == len(ladder.ladder) - 1, tier == ladder.high_value_index - 1
    assert top.any()
    assert below_high.any()
    for target in ("expansion", "high_value"):
        hazards = chance(calibration[target](scorer.hazards[target].log_odds(matrix)))
        hazards[top] = 0.0  # nowhere to move: all that can come is closing
        alone, closed = incidence(hazards, churn, (90, 180))
        for h in (90, 180):
            expected = alone[h]
            if target == "high_value":  # which is the next tier of those one below it
                expected = np.where(below_high, said[f"expansion_{h}"], np.minimum(alone[h], said[f"expansion_{h}"]))
            assert np.array_equal(said[f"{target}_{h}"], expected)
            assert target == "high_value" or np.array_equal(said[f"churn_{h}"], closed[h])
            assert target == "high_value" or np.array_equal(
                said[f"increment_{h}"], alone[h] * scorer.amount.expected(matrix, h)
            )
    assert not np.array_equal(said["expansion_180"], said["high_value_180"])


def test_closing_at_the_top_of_the_ladder_is_all_that_can_come(scorer: Scorer, tonight: pa.Table) -> None:
    """By hand: one less the product of staying open through each interval."""
    place = tonight.column_names.index("tier")
    top = pa.array(np.full(len(tonight), len(scorer.definitions.tiers.ladder) - 1.0))
    rows = tonight.set_column(place, "tier", top)
    matrix = scorer.encoding.matrix(rows)
    hazards = chance(scorer.hazards["churn"].log_odds(matrix))
    last = EDGES.index(180)
    assert np.asarray(scorer.score(rows)["churn_180"]) == pytest.approx(1 - np.prod(1 - hazards[:, :last], axis=1))


def test_the_high_value_tier_is_never_likelier_than_the_next_one(scorer: Scorer, tonight: pa.Table) -> None:
    swapped = dict(scorer.hazards, expansion=scorer.hazards["high_value"], high_value=scorer.hazards["expansion"])
    matrix = scorer.encoding.matrix(tonight)
    for one in (scorer, replace(scorer, hazards=swapped)):
        said = one.predict(matrix)
        for h in (90, 180):
            assert (said[f"high_value_{h}"] <= said[f"expansion_{h}"]).all()


def test_reasons_explain_the_very_hazard_that_is_scored(scorer: Scorer, tonight: pa.Table) -> None:
    """They add up to its log-odds less those of peers of the same age, with nothing left for the interval."""
    log_odds = scorer.hazards["expansion"].log_odds(scorer.encoding.matrix(tonight))[:, REASON_INTERVAL]
    explanation = scorer.explain(tonight)
    assert explanation is not None
    assert np.abs(explanation.log_odds - log_odds).max() < 1e-9
    peers = np.array(scorer.peers.log_odds)[age_band(tonight)]
    assert np.abs(explanation.centred.sum(axis=1) - (log_odds - peers)).max() < 1e-6
    constant = explanation.log_odds - explanation.contributions.sum(axis=1)
    assert np.ptp(constant) < 1e-9


def test_young_and_silent_accounts_are_marked_low_in_confidence(scorer: Scorer) -> None:
    table = feature_rows(4)
    for name, values in {
        "tenure_days": [6.0, 7.0, 300.0, 300.0],
        "events_life": [9.0, 9.0, 0.0, 0.0],
        "invoices_life": [1.0, 0.0, 0.0, 1.0],
    }.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    assert scorer.score(table)["confidence"].to_pylist() == ["low", "ok", "low", "ok"]


def test_the_rule_claims_no_probability_and_says_that_it_is_a_rule(tonight: pa.Table, tmp_path: Path) -> None:
    rule = rule_scorer(DEFINITIONS, (90, 180), 180, "only 3 accounts expanded")
    rule.save(tmp_path / "rule")
    scores = Scorer.load(tmp_path / "rule").score(tonight)
    assert scores.equals(rule.score(tonight))
    assert set(scores["method"].to_pylist()) == {"rule"}
    for name in scores.column_names:
        if name.startswith(("probability", "high_value", "churn", "increment", "amount")):
            assert scores[name].null_count == len(tonight), name
    score = np.asarray(scores["score"])
    assert ((score >= 0) & (score <= 1)).all()
    assert len(set(score.tolist())) > 100
    for line in scores["reasons"].to_pylist():
        [reason] = json.loads(line)
        assert "(rule, not a model)" in reason["text"]
    assert rule.card["headline"].endswith("only 3 accounts expanded")


def test_model_and_rule_answer_in_the_same_columns(scorer: Scorer, tonight: pa.Table) -> None:
    rule = rule_scorer(DEFINITIONS, (90, 180), 180, "few")
    by_model, by_rule = scorer.score(tonight).schema, rule.score(tonight).schema
    assert {field.name: field.type for field in by_model} == {field.name: field.type for field in by_rule}


def test_a_night_without_accounts_scores_nobody(scorer: Scorer, tonight: pa.Table) -> None:
    assert scorer.score(tonight.slice(0, 0)).num_rows == 0
    rule = rule_scorer(DEFINITIONS, (90, 180), 180, "few")
    assert rule.score(tonight.slice(0, 0)).num_rows == 0


def test_the_encoding_that_scores_is_the_bundles_own(sealed: Path, tonight: pa.Table) -> None:
    """A level that tonight's data makes common but training never saw stays `other`."""
    unseen = tonight.set_column(
        tonight.column_names.index("country"), "country", pa.array(["Atlantis"] * len(tonight), pa.string())
    )
    loaded = Scorer.load(sealed)
    assert "Atlantis" not in loaded.encoding.levels["country"]
    assert Encoding.learn(unseen).levels["country"] == ("Atlantis",)
    assert loaded.score(unseen).num_rows == len(tonight)


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_is_served_from_text_alone_and_named_in_the_card(
    learner: str, tonight: pa.Table, tmp_path: Path
) -> None:
    data = history()
    fitted = fit_all(data, LABELS, QUICK, 0, teacher=True)
    scorer = assemble(fitted, DEFINITIONS, LABELS, {}, learner).beside(data.features)
    scorer.save(tmp_path / "bundle")
    again = Scorer.load(tmp_path / "bundle")
    assert again.card["learner"] == learner
    assert again.score(tonight).equals(scorer.score(tonight))
    assert {path.suffix for path in (tmp_path / "bundle").iterdir()} == {".json", ".txt"}
    trees = [path.name for path in (tmp_path / "bundle").glob("expansion.*.lgb.txt")]
    assert len(trees) == {"logistic": 0, "distilled": PUPIL["seeds"]}.get(learner, QUICK.seeds)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), min_size=8, max_size=8), st.integers(0, 10_000))
def test_on_any_numbers_whatever_probabilities_are_in_order(scorer: Scorer, wild: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    said = scorer.predict(rng.choice(wild, (16, len(scorer.encoding.names))))
    assert (said["expansion_90"] <= said["expansion_180"]).all()
    assert (said["high_value_90"] <= said["high_value_180"]).all()
    for h in (90, 180):
        assert (said[f"expansion_{h}"] + said[f"churn_{h}"] <= 1).all()
        assert (said[f"high_value_{h}"] <= said[f"expansion_{h}"]).all()
        assert np.isfinite(said[f"increment_{h}"]).all()
