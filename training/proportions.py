"""Two shares beside each other: how sure their difference and their ratio are, and how many accounts it takes to tell
them apart."""

from __future__ import annotations

import math

from scipy.special import ndtri

from training.bootstrap import LEVEL, Interval
from training.metrics import Z, wilson

POWER = 0.8  # chance to see a difference that is there
MOST = 1e6  # relative uplift beyond which nobody looks


def difference_interval(one: int, of_one: int, other: int, of_other: int) -> Interval:
    """95 % interval of one/of_one less other/of_other, from Wilson's intervals of both (Newcombe, Statistics in
    Medicine 17, 1998, method 10). Both numbers of accounts are above 0."""
    first, second = one / of_one, other / of_other
    (low_1, high_1), (low_2, high_2) = wilson(one, of_one), wilson(other, of_other)
    below = math.hypot(first - low_1, high_2 - second)
    above = math.hypot(high_1 - first, second - low_2)
    return first - second - below, first - second + above


def ratio_interval(one: int, of_one: int, other: int, of_other: int) -> Interval:
    """95 % interval of (one/of_one) / (other/of_other), normal in the logarithm (Katz et al., Biometrics 34, 1978). All
    four are above 0."""
    ratio = one / of_one / (other / of_other)
    spread = Z * math.sqrt(max(1 / one - 1 / of_one + 1 / other - 1 / of_other, 0.0))
    return ratio * math.exp(-spread), ratio * math.exp(spread)


def accounts_needed(base_rate: float, uplift: float, power: float = POWER, level: float = LEVEL) -> int | None:
    """Accounts an arm so that two arms of equal size tell base_rate from base_rate x (1 + uplift), two-sided at
    `level`, with chance `power`. Normal approximation, variance pooled under no difference and apart under the
    difference, no continuity correction (Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 2003,
    section 4.2). 6 % to 9 % takes 1,209. None where no number would do: a rate of 0 or of 1 and more, or no uplift."""
    raised = base_rate * (1 + uplift)
    if not (0 < base_rate < 1 and 0 < raised < 1 and uplift != 0):
        return None
    mean = (base_rate + raised) / 2
    nothing = math.sqrt(2 * mean * (1 - mean))
    something = math.sqrt(base_rate * (1 - base_rate) + raised * (1 - raised))
    sure = float(ndtri((1 + level) / 2)) * nothing + float(ndtri(power)) * something
    return math.ceil((sure / (raised - base_rate)) ** 2)


def least_uplift(base_rate: float, accounts: float, power: float = POWER, level: float = LEVEL) -> float | None:
    """The relative uplift (above 0) that `accounts` an arm would have shown with chance `power`: `accounts_needed` the
    other way round. None where not even everybody's moving would do."""
    if not 0 < base_rate < 1:
        return None
    low, high = 0.0, min(1 / base_rate - 1, MOST) * (1 - 1e-9)
    if (most := accounts_needed(base_rate, high, power, level)) is None or most > accounts:
        return None
    for _ in range(60):
        middle = (low + high) / 2
        needed = accounts_needed(base_rate, middle, power, level)
        low, high = (low, middle) if needed is not None and needed <= accounts else (middle, high)
    return round(high, 8)
