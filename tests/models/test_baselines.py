"""Rules of thumb: each as worked out by hand, ties are fair, nulls are last, and the fallback is a share of tonight's
accounts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from models.baselines import FALLBACK_RULE, RULES, mean_spend, purchases, rule_score
from models.bg_nbd import BgNbd, Purchases, fit_bgnbd
from tests.models.made_features import MONTHS, caused, dataset, feature_rows
from training.contest import repeat_money, repeat_purchases
from training.dataset import Dataset

# The whale bought much long ago and has gone quiet; the steady one buys monthly; the sprinter signed up ten days ago
# and buys fast; the newcomer bought once and does what a lead should, each just enough for its point; the refunded one
# got back more than it paid and stands just short of every point; the silent one never did anything.
SIX: dict[str, list[float | None]] = {
    # whale, steady, sprinter, newcomer, refunded, silent
    "booked_90d": [0, 300, 240, 30, -20, None],
    "booked_life": [9_000, 1_200, 240, 30, -20, None],
    "tenure_days": [870, 370, 10, 70, 170, 600],
    "invoices_life": [3, 12, 2, 1, 2, None],
    "days_since_first_invoice": [800, 340, 9, 4, 150, None],
    "days_since_last_invoice": [400, 10, 2, 4, 60, None],
    "active_days_28d": [1, 8, 8, 7, 2, None],
    "events_28d": [9, 99, 3, 999, 1, None],
    "days_since_last_event": [25, 0, 1, 7, 8, None],
    "users_28d": [1, 5, 1, 3, 2, None],
    "new_users_28d": [0, 0, 1, 1, 0, None],
    "specialist_28d": [0, 4, 0, 1, 0, None],
    "limit_hits_28d": [0, 0, 2, 1, 0, None],
    "configuration_life": [9, 0, 0, 3, 2, None],
}
BY_HAND: dict[str, list[float]] = {
    "spend_90d": [0, 300, 240, 30, -20, 0],
    "spend_lifetime": [9_000, 1_200, 240, 30, -20, 0],
    "spend_rate": [10, 3, 6, 0.3, -0.1, 0],  # over 900, 400, 40, 100, 200 days: a first month is not taken at its pace
    "recency": [-400, -10, -2, -4, -60, -1e6],  # never bought is longer ago than any purchase
    "activity_28d": [1.9, 8.99, 8.75, 7.999, 2.5, 0],  # days, and 9/10, 99/100, 3/4, 999/1000, 1/2 by events
    # whale: configured. steady: this week, users, specialist. sprinter: this week, a new user, a limit. newcomer: all.
    "pql": [1, 3, 3, 6, 0, 0],
    # Of six, fifths of the places 0 to 5 from below are 1, 1, 2, 3, 4, 5; equals have the lowest place of theirs.
    # recency: silent, whale, refunded, steady, newcomer, sprinter         -> 1 3 5 4 2 1
    # frequency: silent, newcomer, refunded and sprinter, whale, steady    -> 4 5 2 1 2 1
    # money: refunded, silent, newcomer, sprinter, steady, whale           -> 5 4 3 2 1 1
    "rfm": [10, 12, 10, 7, 5, 3],
}


def _with(table: pa.Table, **columns: Sequence[float | None] | np.ndarray) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.float64()))
    return table


def _six() -> Dataset:
    return Dataset(_with(feature_rows(6), **SIX), dataset(6).labels)


def test_every_rule_says_of_six_accounts_what_is_worked_out_by_hand() -> None:
    assert set(BY_HAND) == set(RULES)
    said = {name: rule(_six().features).tolist() for name, rule in RULES.items()}
    assert said == {name: pytest.approx(values) for name, values in BY_HAND.items()}


def to_come(model: BgNbd, x: float, last: float, age: float, days: int) -> float:
    """Purchases in the next `days`, without the closed form of the paper: over every chance p of dropping out after a
    purchase, what an account alive at `age` buys until it drops out, by how likely it then has the life that was seen.
    The rate is integrated out: of a gamma(r, alpha), rate^x e^(-rate t) is in proportion to (alpha + t)^-(r + x)."""
    last, age, weeks = last / 7, age / 7, days / 7
    p = (np.arange(20_000) + 0.5) / 20_000

    def seen(t: float | np.ndarray) -> np.ndarray:
        return np.asarray((model.alpha + t) ** -(model.r + x))

    prior = p ** (model.a - 1) * (1 - p) ** (model.b - 1)
    alive = prior * (1 - p) ** x * seen(age)
    gone = prior * p * (1 - p) ** (x - 1) * seen(last) if x else np.zeros_like(p)  # none drops out at its first
    more = prior * (1 - p) ** x / p * (seen(age) - seen(age + p * weeks))
    return float(more.sum() / (alive + gone).sum())


def test_repeat_money_is_the_purchases_to_come_times_the_mean_invoice() -> None:
    six, model = _six(), BgNbd(r=0.8, alpha=4.0, a=1.5, b=3.0)
    lives = [(2, 400, 800), (11, 330, 340), (1, 7, 9), (0, 0, 4), (1, 90, 150)]  # repeats; first to last, first to now
    bought = purchases(six.features)
    assert list(zip(bought.repeats, bought.last, bought.age, strict=True))[:5] == lives
    assert np.isnan([bought.repeats[5], bought.last[5], bought.age[5]]).all()
    invoice = [3_000, 100, 120, 30, 0, 0]  # what was booked over the invoices; a refund is no money to come
    assert mean_spend(six.features).tolist() == invoice
    for horizon in (90, 360):
        money = [to_come(model, *life, horizon) * mean for life, mean in zip(lives, invoice[:5], strict=True)]
        said = repeat_money(model, six, horizon)
        assert said.money == pytest.approx([*money, 0], rel=1e-4)
        assert said.score.tolist() == said.money.tolist()
        assert said.probability is None


def test_lives_are_learned_once_an_account_from_its_newest_snapshot() -> None:
    """Before, nobody had bought again; a life seen in part as well as whole would count twice."""
    data, rng = caused("users_28d", accounts=150), np.random.default_rng(6)
    newest = np.array([day == MONTHS[-1] for day in data.features["as_of"].to_pylist()])
    again, age = np.where(newest, rng.integers(1, 9, len(newest)), 0), rng.integers(200, 700, len(newest))
    last = np.where(newest, np.floor(age * rng.random(len(newest))), 0)
    rows = _with(
        data.features, invoices_life=again + 1, days_since_first_invoice=age, days_since_last_invoice=age - last
    )
    whole = fit_bgnbd(Purchases(*(values[newest].astype(float) for values in (again, last, age))))
    assert whole is not None
    assert repeat_purchases(Dataset(rows, data.labels)) == whole


def test_the_score_is_the_share_of_accounts_that_rank_no_higher_and_ties_share_their_mean() -> None:
    table = _with(feature_rows(4), booked_90d=[5.0, 0.0, 5.0, 9.0])
    assert rule_score(table, "spend_90d").tolist() == [0.5, 0.125, 0.5, 0.875]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_scores_within_one_keeps_its_order_and_gives_equals_the_same(rule: str) -> None:
    table = feature_rows(300, seed=3)
    ranking, score = RULES[rule](table), rule_score(table, rule)
    assert np.isfinite(ranking).all()
    assert ((score >= 0) & (score <= 1)).all()
    assert score.mean() == pytest.approx(0.5)
    order = np.argsort(ranking, kind="stable")
    assert ((np.diff(ranking[order]) > 0) == (np.diff(score[order]) > 0)).all()


def test_never_invoiced_ranks_below_the_longest_silence() -> None:
    table = _with(feature_rows(3), days_since_last_invoice=[None, 3.0, 900.0])
    assert np.argsort(-RULES["recency"](table)).tolist() == [1, 2, 0]


def test_activity_ranks_days_first_and_a_login_storm_of_one_day_stays_one_day() -> None:
    table = _with(feature_rows(3), active_days_28d=[1.0, 2.0, 2.0], events_28d=[1e6, 2.0, 40.0])
    assert np.argsort(-RULES[FALLBACK_RULE](table)).tolist() == [2, 1, 0]


def test_no_account_gives_no_score() -> None:
    assert rule_score(feature_rows(5).slice(0, 0)).tolist() == []
