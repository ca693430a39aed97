"""Repeat purchases: planted lives come back in total, and the paper's own example to its printed figure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import hyp2f1

from models.bg_nbd import LEAST_REPEATERS, BgNbd, Purchases, fit_bgnbd


def _lives(n: int, r: float, alpha: float, a: float, b: float, weeks: int) -> tuple[Purchases, np.ndarray]:
    """Accounts as the model has them, watched for `weeks` of 2 x weeks; and purchases of the second half."""
    rng = np.random.default_rng(3)
    rate, drop = rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n)
    repeats, last, later = np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        now = 0.0
        while rng.random() >= drop[i] or now == 0.0:  # an account cannot drop out at its first purchase
            now += rng.exponential(1 / rate[i])
            if now > 2 * weeks:
                break
            repeats[i] += now <= weeks
            later[i] += now > weeks
            last[i] = now if now <= weeks else last[i]
    return Purchases(repeats, last * 7, np.full(n, weeks * 7.0)), later


def test_the_example_of_the_paper_comes_out_as_printed() -> None:
    """CDNOW, Fader, Hardie and Lee (2005), section 4: a customer with x = 2, t_x = 30.43, T = 38.86 weeks is expected
    to make 1.226 purchases in the next 39 weeks."""
    model = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
    said = model.expected(Purchases(np.array([2.0]), np.array([30.43 * 7]), np.array([38.86 * 7])), 39 * 7)
    assert said[0] == pytest.approx(1.226, abs=0.002)


@pytest.mark.parametrize("draw", range(20))
def test_what_is_expected_is_equation_ten_where_its_series_can_be_summed(draw: int) -> None:
    rng = np.random.default_rng(draw)
    r, alpha, a, b = np.exp(rng.uniform(-3, 3, 4))
    x, age = rng.integers(0, 20, 50).astype(float), rng.uniform(0.5, 60, 50)
    last = np.where(x > 0, rng.random(50) * age, 0.0)
    share = ((alpha + age) / (alpha + age + 26)) ** (r + x)
    share = share * hyp2f1(r + x, b + x, a + b + x - 1, 26 / (alpha + age + 26))
    gone = np.where(x > 0, a / (b + np.maximum(x, 1) - 1) * ((alpha + age) / (alpha + last)) ** (r + x), 0.0)
    paper = (a + b + x - 1) / (a - 1) * (1 - share) / (1 + gone)
    said = BgNbd(r, alpha, a, b).expected(Purchases(x, last * 7, age * 7), 26 * 7)
    assert said == pytest.approx(paper, rel=1e-3)


@pytest.mark.parametrize("a", [0.0025, 1.0, 403.0])
@pytest.mark.parametrize("b", [0.0025, 403.0])
@pytest.mark.parametrize("alpha", [0.0025, 403.0])
def test_no_parameters_and_no_age_leave_an_account_without_a_figure(a: float, b: float, alpha: float) -> None:
    """At the bounds of the fit, of accounts from hours to four years old, up to a purchase a day."""
    age = np.repeat([0.2, 3.0, 60.0, 1400.0], 4)
    x = np.tile([0.0, 1.0, 20.0, 1400.0], 4)
    for r in (0.0025, 403.0):
        early = BgNbd(r, alpha, a, b).expected(Purchases(x, np.where(x > 0, age * 0.1, 0.0), age), 180)
        late = BgNbd(r, alpha, a, b).expected(Purchases(x, np.where(x > 0, age, 0.0), age), 180)
        assert np.isfinite(early).all()
        assert (early >= 0).all()
        assert (late >= early).all()  # who bought only yesterday is as likely to be there, or likelier


def test_planted_lives_are_foretold_in_total_and_by_frequency() -> None:
    bought, later = _lives(3_000, 0.8, 6.0, 0.9, 3.0, 40)
    model = fit_bgnbd(bought)
    assert model is not None
    said = model.expected(bought, 40 * 7)
    assert said.sum() == pytest.approx(later.sum(), rel=0.1)
    often = bought.repeats >= 4
    assert said[often].sum() == pytest.approx(later[often].sum(), rel=0.15)


def test_too_few_who_buy_again_teach_nothing_and_who_never_bought_is_expected_to_buy_nothing() -> None:
    few = Purchases(np.ones(LEAST_REPEATERS - 1), np.full(LEAST_REPEATERS - 1, 9.0), np.full(LEAST_REPEATERS - 1, 90.0))
    assert fit_bgnbd(few) is None
    never = Purchases(np.array([np.nan]), np.array([np.nan]), np.array([np.nan]))
    assert BgNbd(0.5, 4.0, 0.8, 2.0).expected(never, 90).tolist() == [0.0]
