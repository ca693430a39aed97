"""The worlds by name: each is the plain market with something changed, and why anybody would want it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from simulator.faults import FAULTY, Faults
from simulator.market import CHURNED, Market
from warehouse.errors import UsageError

Rows = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class World:
    """`story`: what is special about it, in one sentence; `most_accounts`: never larger than this, None: any size."""

    story: str
    market: Callable[[], Market]
    faults: Faults = field(default_factory=Faults)
    most_accounts: int | None = None


def _null() -> Market:
    """Lives as in `plain`, but steps, amounts and churn strike blindly, and churned accounts close within days:
    whoever is at risk has the same chances as everyone else."""
    market, churn = Market(), 0.004
    moves = market.moves.copy()
    moves[:, :CHURNED, CHURNED] = 0.0
    moves[:, :CHURNED] *= (1.0 - churn) / moves[:, :CHURNED].sum(axis=2, keepdims=True)
    moves[:, :CHURNED, CHURNED] = churn
    blind = np.full_like(market.step, 0.0013)
    blind[:, CHURNED] = 0.0
    return replace(
        market,
        moves=moves,
        step=blind,
        step_size=np.ones_like(market.step_size),
        gain=np.full_like(market.gain, 0.6),
        gain_size=np.ones_like(market.gain_size),
        seats_up=np.array([0.02, 0.02, 0.02, 0.02, 0.0]),
        seats_down=np.array([0.01, 0.01, 0.01, 0.01, 0.0]),
        close=7.0,
        expiry_steps=1.0,
    )


def _nonlinear() -> Market:
    """Three more types break every straight line between activity and money.

    A `reseller` makes tiny workspaces for its own customers: busy from the first day, never growing. A `tinkerer`
    configures everything before anybody works with it: the ladder climbed in the wrong order. A `giant` is a big firm
    with hardly any activity, until its administrators configure the product for everyone and it steps up at once. Duds
    burst into activity when their trial ends, to get their data out. One account in five has a robot on an API key.
    """
    plain = Market()
    market = replace(
        plain,
        types=(*plain.types, "reseller", "tinkerer", "giant"),
        robots=0.2,
        **_with_types(
            plain,
            size_share=(
                (0.85, 0.13, 0.02, 0.00, 0.00, 0.00),
                (0.50, 0.30, 0.15, 0.05, 0.00, 0.00),
                (0.00, 0.00, 0.05, 0.30, 0.40, 0.25),
            ),
            channel_share=(
                (0.10, 0.10, 0.20, 0.50, 0.05, 0.05),
                (0.34, 0.30, 0.12, 0.06, 0.10, 0.08),
                (0.20, 0.20, 0.15, 0.15, 0.15, 0.15),
            ),
            country_share=tuple(tuple(plain.country_share[0]) for _ in range(3)),
            moves=(
                (
                    (0.900, 0.020, 0.070, 0.000, 0.010),
                    (0.050, 0.930, 0.010, 0.000, 0.010),
                    (0.010, 0.020, 0.935, 0.030, 0.005),
                    (0.000, 0.010, 0.090, 0.895, 0.005),
                    (0.000, 0.000, 0.000, 0.000, 1.000),
                ),
                (
                    (0.880, 0.060, 0.030, 0.015, 0.015),
                    (0.045, 0.930, 0.010, 0.000, 0.015),
                    (0.030, 0.050, 0.890, 0.020, 0.010),
                    (0.000, 0.030, 0.070, 0.892, 0.008),
                    (0.000, 0.000, 0.000, 0.000, 1.000),
                ),
                (
                    (0.930, 0.010, 0.050, 0.005, 0.005),
                    (0.100, 0.840, 0.055, 0.000, 0.005),
                    (0.010, 0.010, 0.938, 0.040, 0.002),
                    (0.000, 0.005, 0.060, 0.933, 0.002),
                    (0.000, 0.000, 0.000, 0.000, 1.000),
                ),
            ),
            step=(
                (0.00001, 0.0, 0.0001, 0.0002, 0.0),
                (0.00001, 0.0, 0.0001, 0.0004, 0.0),
                (0.00050, 0.0, 0.0030, 0.1000, 0.0),
            ),
            gain=(0.4, 0.4, 1.2),
            join=(
                (0.0040, 0.0001, 0.0060, 0.0080, 0.0),
                (0.0020, 0.0001, 0.0020, 0.0020, 0.0),
                (0.0004, 0.0001, 0.0005, 0.0015, 0.0),
            ),
            active=(
                (0.180, 0.003, 0.23, 0.28, 0.0),
                (0.080, 0.003, 0.13, 0.17, 0.0),
                (0.012, 0.001, 0.02, 0.03, 0.0),
            ),
            specialist=(
                (0.30, 0.02, 0.60, 0.95, 0.0),
                (0.02, 0.01, 0.03, 0.04, 0.0),
                (0.05, 0.02, 0.15, 0.30, 0.0),
            ),
            configure=(
                (0.15, 0.01, 0.30, 0.45, 0.0),
                (0.35, 0.01, 0.55, 0.80, 0.0),
                (0.10, 0.01, 0.25, 1.10, 0.0),
            ),
            pricing=(
                (0.030, 0.002, 0.04, 0.12, 0.0),
                (0.030, 0.002, 0.05, 0.12, 0.0),
                (0.015, 0.002, 0.02, 0.10, 0.0),
            ),
            expiry_burst=(1.0, 1.3, 1.0),
        ),
    )
    share = np.array([0.52, 0.19, 0.085, 0.04, 0.09, 0.05, 0.025])
    burst = market.expiry_burst.copy()
    burst[:2] = 4.0, 2.5
    return replace(market, type_share=share, mix_share=share, expiry_burst=burst)


def _with_types(market: Market, **rows: tuple[Any, ...]) -> dict[str, Any]:
    """Tables of `market` with a row for each further type."""
    return {name: np.concatenate([getattr(market, name), np.array(more)]) for name, more in rows.items()}


def _drift() -> Market:
    """The price goes up in month 9, other accounts sign up from month 10, a specialist function is launched in month
    12, and from month 14 the tracker counts every everyday event twice."""
    return replace(
        Market(),
        price_month=9,
        price_steps=0.6,
        mix_month=10,
        mix_share=np.array([0.68, 0.20, 0.08, 0.04]),
        launch_month=12,
        launch_specialist=1.5,
        double_month=14,
    )


def _assisted() -> Market:
    """Sales calls who is in its favoured countries and who looked at the price list last week; a call multiplies the
    hazard of a step by 1.5 for four weeks. Growers are more often in those countries, and look more often, so those
    who were called would have grown more anyway. One slot in ten is random."""
    countries = np.array(
        [
            (0.36, 0.15, 0.13, 0.10, 0.07, 0.06, 0.08, 0.05),
            (0.36, 0.15, 0.13, 0.10, 0.07, 0.06, 0.08, 0.05),
            (0.46, 0.20, 0.09, 0.07, 0.05, 0.04, 0.05, 0.04),
            (0.52, 0.22, 0.07, 0.05, 0.04, 0.03, 0.04, 0.03),
        ]
    )
    return replace(
        Market(),
        country_share=countries,
        favoured=("US", "GB"),
        contact=np.array([(0.003, 0.12), (0.012, 0.40)]),
        random_slots=0.002,
        assist=1.5,
    )


WORLDS: dict[str, World] = {
    "plain": World("one hidden Markov model per account; what the demo shows", Market),
    "nonlinear": World("resellers, tinkerers, quiet giants, robots and bursts at trial end", _nonlinear),
    "drift": World("a price change, another mix, a launch and a tracker that counts twice", _drift),
    "faulty": World("the plain world, with everything wrong that goes wrong in real data", Market, FAULTY),
    "assisted": World("sales calls whom it likes, and a call helps", _assisted),
    "null": World("nothing foretells anything", _null),
    "tiny": World("the plain world of 2,000 accounts at most", Market, most_accounts=2_000),
}


def world_of(name: str) -> World:
    """The world of that name.

    Raises:
        UsageError: nobody knows it.
    """
    if name not in WORLDS:
        raise UsageError(f'Unknown world "{name}". Known: {", ".join(WORLDS)}.')
    return WORLDS[name]


def changed(market: Market) -> list[str]:
    """Names of the parameters in which a market differs from `plain`."""
    plain = Market()
    return [
        entry.name for entry in fields(Market) if not _same(getattr(plain, entry.name), getattr(market, entry.name))
    ]


def _same(one: Any, other: Any) -> bool:
    return np.shape(one) == np.shape(other) and bool(np.all(np.asarray(one) == np.asarray(other)))
