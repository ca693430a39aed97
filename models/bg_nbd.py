"""BG/NBD: how many purchases to expect of accounts that buy again and again, after Fader, Hardie and Lee (2005),
"Counting Your Customers" the Easy Way, Marketing Science 24(2).

An account buys at a rate drawn from a gamma(r, alpha) until it drops out, after each purchase with a chance drawn from
a beta(a, b). Of each account three numbers matter: x repeat purchases, the last t_x days after the first, in T days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaincinv, betaln, gammaln, roots_legendre

LEAST_REPEATERS = 100  # accounts that bought more than once; fewer, and nothing is fitted
WEEK = 7.0  # days; the unit of time inside, so that the parameters are of one size
NODES = 96  # of the quadrature, which then is within a thousandth of equation 10


@dataclass(frozen=True)
class Purchases:
    """x, t_x, T of each account, (n,) each, in days; NaN where it never bought."""

    repeats: np.ndarray
    last: np.ndarray
    age: np.ndarray

    def taken(self, mask: np.ndarray) -> Purchases:
        return Purchases(self.repeats[mask], self.last[mask], self.age[mask])


@dataclass(frozen=True)
class BgNbd:
    r: float
    alpha: float
    a: float
    b: float

    def expected(self, bought: Purchases, days: int) -> np.ndarray:
        """(n,) purchases expected in the next `days`; 0 of one who never bought. Equation 10 of the paper as the mean
        over the drop-out chance p of an account still there, a beta(a, b + x), of the purchases to come at that p. The
        paper's closed form is 0 / 0 at a = 1, and its hypergeometric series fails where b is large and the account a
        few days old."""
        never = np.isnan(bought.repeats)
        x, last, age = (np.where(never, 0.0, v) / unit for v, unit in ((bought.repeats, 1), (bought.last, WEEK),
                                                                       (bought.age, WEEK)))  # fmt: skip
        node, weight = roots_legendre(NODES)
        often, place = np.unique(x, return_inverse=True)
        p = np.maximum(betaincinv(self.a, self.b + often[:, None], (node + 1) / 2), 1e-12)[place]
        to_come = -np.expm1(-(self.r + x)[:, None] * np.log1p(p * (days / WEEK / (self.alpha + age))[:, None])) / p
        idle = (self.r + x) * np.log((self.alpha + age) / (self.alpha + last))
        odds = np.log(self.a / (self.b + np.maximum(x, 1) - 1)) + idle  # of having dropped out
        gone = np.where(x > 0, np.exp(np.minimum(odds, 700.0)), 0.0)
        return np.where(never, 0.0, to_come @ (weight / 2) / (1 + gone))


def fit_bgnbd(bought: Purchases) -> BgNbd | None:
    """Maximum likelihood (equation 6); null with fewer than `LEAST_REPEATERS` who bought again, or no maximum."""
    known = bought.taken(~np.isnan(bought.repeats))
    if (known.repeats > 0).sum() < LEAST_REPEATERS:
        return None
    x, last, age = known.repeats, known.last / WEEK, known.age / WEEK

    def loss(logs: np.ndarray) -> float:
        r, alpha, a, b = np.exp(logs)
        common = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        alive = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
        again = np.maximum(x, 1)
        gone = np.where(x > 0, betaln(a + 1, b + again - 1) - betaln(a, b) - (r + x) * np.log(alpha + last), -np.inf)
        return float(-np.mean(common + np.logaddexp(alive, gone)))

    bounds = [(-6.0, 6.0)] * 4
    found = minimize(loss, np.array([0.0, 1.0, 0.5, 1.0]), method="L-BFGS-B", bounds=bounds)
    if not found.success:
        return None
    return BgNbd(*(float(value) for value in np.exp(found.x)))
