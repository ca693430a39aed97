"""Champion and challenger on the same rows: which rows those are, and what is asked of them."""

from __future__ import annotations

from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from models.scorer import Scorer
from training.gate import GateParams
from training.same_rows import Duel, beside, judged_alike, rescored, segments, unseen

DAY = date(2025, 6, 1)
GATE = GateParams(bootstrap=80)


def rows(n: int = 2000, skill: float = 2.0, seed: int = 0, day: date = DAY, base: float = -2.0) -> pa.Table:
    """Predictions that know `skill` of the 2.0 in the log-odds; the truth depends on `seed` alone."""
    rng = np.random.default_rng(seed)
    behaviour, noise = rng.normal(size=(2, n))
    label = (rng.random(n) < 1 / (1 + np.exp(-(base + 2 * behaviour)))).astype(np.int8)
    said = 1 / (1 + np.exp(-(base + skill * behaviour + (2 - skill) * noise)))
    return pa.table(
        {
            "account_id": [f"a{number:05}" for number in range(n)],
            "as_of": pa.array([day] * n, pa.date32()),
            "probability": said,
            "expected_increment": said * 50,
            "label": label,
            "increment": label * rng.lognormal(4, 1, n),
        }
    )


def duel(challenger: pa.Table, champion: pa.Table) -> Duel:
    found = judged_alike(challenger, champion, GATE)
    assert isinstance(found, Duel), found
    return found


def rule(found: list[Any], name: str) -> Any:
    return next(one for one in found if one.name == name)


def test_only_dates_from_which_the_champion_knew_nothing_are_scored_anew_by_its_bundle() -> None:
    both = pa.concat_tables([rows(day=DAY - timedelta(days=1)), rows(day=DAY)])
    late = unseen(both, DAY, GATE)
    assert isinstance(late, pa.Table)
    assert set(late["as_of"].to_pylist()) == {DAY}
    assert "0 positives were held out from then on (30 are needed)" in str(unseen(both, DAY + timedelta(days=1), GATE))


def test_the_champions_bundle_scores_each_account_on_its_own_features_whatever_their_order() -> None:
    held = rows(300)
    shuffled = np.random.default_rng(1).permutation(300)
    features = held.select(["account_id", "as_of"]).append_column("place", pa.array(np.arange(300.0))).take(shuffled)
    encoding = SimpleNamespace(matrix=lambda table: table["place"].to_numpy()[:, None])
    bundle = SimpleNamespace(
        encoding=encoding,
        predict=lambda matrix: {"expansion_180": matrix[:, 0] / 1000, "increment_180": matrix[:, 0]},
    )
    found = rescored(held, features, cast(Scorer, bundle), 180)
    assert isinstance(found, Duel)
    assert found.champion[0].tolist() == (np.arange(300) / 1000).tolist()
    assert found.challenger[0].tolist() == held["probability"].to_pylist()
    assert "300 held-out rows anew" in found.basis
    assert rescored(held, features, cast(Scorer, bundle), 90) == "its bundle says nothing at 90 days"
    gone = rescored(held, features.slice(0, 10), cast(Scorer, bundle), 180)
    assert gone == "features.parquet does not hold the held-out rows"


def test_rows_are_matched_by_account_and_date_and_labels_must_agree() -> None:
    swapped = rows().take(np.arange(2000)[::-1])
    assert duel(rows(skill=1.0), swapped).champion[0].tolist() == rows()["probability"].to_pylist()
    assert "another label" in str(judged_alike(rows(), rows(seed=1), GATE))
    assert "0 positives in common" in str(judged_alike(rows(), rows(day=DAY + timedelta(days=30)), GATE))


def test_another_ladder_moves_few_labels_and_most_positives() -> None:
    """Few expand, so over all rows 99 % would agree although half of the positives do not."""
    rare = rows(20_000, base=-7.0)
    label = rare["label"].to_numpy().copy()
    assert label.mean() < 0.02
    label[np.flatnonzero(label)[::2]] = 0
    other = rare.set_column(rare.column_names.index("label"), "label", pa.array(label))
    assert "50% of the positives have another label" in str(judged_alike(rare, other, GATE))
    label[np.flatnonzero(rare["label"].to_numpy())[::2][3:]] = 1
    corrected = rare.set_column(rare.column_names.index("label"), "label", pa.array(label))
    assert isinstance(judged_alike(rare, corrected, GATE), Duel)


@pytest.mark.parametrize(("few", "words"), [(200, "95 % interval"), (100_000, "90 % interval")])
def test_few_positives_are_asked_in_a_ninety_per_cent_interval(few: int, words: str) -> None:
    found = beside(duel(rows(), rows(skill=1.0)), None, GATE.model_copy(update={"few_positives": few}))
    assert words in rule(found, "log_loss").text
    assert rule(found, "log_loss").passed
    assert "95 % interval" in rule(found, "money").text


def test_a_better_log_loss_must_be_beyond_doubt_and_money_may_not_be_lost_beyond_doubt() -> None:
    keys = rows().select(["account_id", "as_of"])
    countries = keys.append_column("country", pa.array(["DE", "FR"] * 1000))
    better = beside(duel(rows(skill=2.0), rows(skill=1.2)), countries, GATE)
    assert all(one.passed for one in better)
    worse = beside(duel(rows(skill=1.2), rows(skill=2.0)), None, GATE)
    assert not rule(worse, "log_loss").passed
    assert not rule(worse, "money").passed
    allowed = beside(duel(rows(skill=1.2), rows(skill=2.0)), None, GATE.model_copy(update={"max_money_loss": 0.5}))
    assert rule(allowed, "money").passed
    assert "wholly below -0.5" in rule(allowed, "money").text
    same = beside(duel(rows(), rows()), None, GATE)
    assert not rule(same, "log_loss").passed
    assert rule(same, "money").passed


def test_money_is_ranked_within_each_date_whatever_level_a_model_has_that_day() -> None:
    """Both order every account alike; the challenger's money is told twice as high at the second date."""
    dates = [rows(4000, seed=7), rows(4000, seed=8, day=DAY + timedelta(days=92))]
    place = dates[0].column_names.index("expected_increment")
    twice = dates[1].set_column(place, "expected_increment", pa.array(dates[1]["expected_increment"].to_numpy() * 2))
    found = beside(duel(pa.concat_tables([dates[0], twice]), pa.concat_tables(dates)), None, GATE)
    assert rule(found, "money").value == 0.0


def test_no_segment_may_pay_for_a_better_total() -> None:
    """The challenger knows more of most accounts and nothing of those in France."""
    champion, challenger = rows(skill=1.5), rows(skill=2.0)
    french = np.arange(2000) < 500
    said = np.where(french, rows(skill=0.0)["probability"].to_numpy(), challenger["probability"].to_numpy())
    challenger = challenger.set_column(challenger.column_names.index("probability"), "probability", pa.array(said))
    keys = champion.select(["account_id", "as_of"])
    countries = keys.append_column("country", pa.array(np.where(french, "FR", "DE")))
    found = segments(duel(challenger, champion), countries, GATE)
    assert not found.passed
    assert "Of 2 segments country FR fares worst: +" in found.text
    sizes = keys.append_column("employees", pa.array([None if one else 40.0 for one in french]))
    assert "employees not told fares worst" in segments(duel(challenger, champion), sizes, GATE).text
    few = GATE.model_copy(update={"segment_positives": 5_000})
    assert segments(duel(challenger, champion), countries, few).passed
    unknown = segments(duel(rows(skill=2.0), rows(skill=1.2)), None, GATE)
    assert not unknown.passed, "no facts of the accounts are no proof"
    assert unknown.text.startswith("The version keeps no heldout_accounts.parquet")
    assert "`expansion train`" in unknown.text
