"""Work side by side: in order, truly at one time, and the same models bit by bit as one after another."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from models.boosted import Boosted, fit_boosted
from models.boosting import BoosterParams
from models.hazard import PersonPeriods, person_periods
from models.side_by_side import THREADS, side_by_side, threads, workers
from models.trees import to_text

ROWS = 6_000
MATRIX = np.random.default_rng(3).normal(size=(ROWS, 12))
NAMES = [f"x{k}" for k in range(MATRIX.shape[1])]


def test_what_is_made_comes_in_the_order_of_what_was_given() -> None:
    last = threading.Event()

    def late(number: int) -> int:
        if number:
            last.set()
        else:
            assert last.wait(timeout=20), "the second was to start before the first has ended"
        return 10 * number

    assert side_by_side(late, range(5)) == [0, 10, 20, 30, 40]


def test_whoever_works_beside_another_has_one_thread_and_keeps_it_for_what_it_calls() -> None:
    def inner(_: int) -> tuple[int, int]:
        return threads(), threading.get_ident()

    def outer(_: int) -> bool:
        return side_by_side(inner, range(3)) == [(1, threading.get_ident())] * 3

    assert threads() == THREADS
    assert side_by_side(outer, range(4)) == [True] * 4
    assert threads() == THREADS


def test_what_the_first_to_fail_raised_is_raised() -> None:
    def work(number: int) -> int:
        if number:
            raise ValueError(f"work {number}")
        return number

    with pytest.raises(ValueError, match="work 1"):
        side_by_side(work, range(3))


def test_broken_off_it_ends_with_what_has_begun() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        go_on.wait(timeout=20)

    def stopped() -> None:
        with workers() as pool:
            for number in range(50):
                pool.submit(work, number)
            threading.Timer(0.2, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert len(begun) <= THREADS


def test_work_may_wait_for_what_was_given_before_it() -> None:
    def chain(_: int) -> int:
        with workers() as pool:
            given = [pool.submit(lambda: 1)]
            for _ in range(5):
                given.append(pool.submit(lambda before: 2 * before.result(), given[-1]))
            return given[-1].result()

    assert chain(0) == 32
    assert side_by_side(chain, range(4)) == [32] * 4


def test_boosters_that_share_a_binning_are_those_that_are_grown_alone() -> None:
    def fitted(seed: int, seeds: int) -> list[str]:
        fit = fit_boosted(MATRIX, _taught(2), BoosterParams(rounds=20, seeds=seeds), seed, NAMES, [])
        assert isinstance(fit.hazard, Boosted)
        return [to_text(booster) for booster in fit.hazard.boosters]

    together = fitted(1, 3)
    assert len(set(together)) == 3
    assert together == [one for seed in (1, 2, 3) for one in fitted(seed, 1)]


def test_models_do_not_depend_on_what_was_fitted_beside_them() -> None:
    def fitted(target: int) -> tuple[list[str], bytes]:
        fit = fit_boosted(MATRIX, _taught(target), BoosterParams(rounds=20), 1, NAMES, [])
        assert isinstance(fit.hazard, Boosted)
        return [to_text(booster) for booster in fit.hazard.boosters], fit.hazard.log_odds(MATRIX).tobytes()

    assert side_by_side(fitted, range(4)) == [fitted(target) for target in range(4)]


def _taught(target: int) -> PersonPeriods:
    event = np.random.default_rng(target).exponential(2_000 * np.exp(-MATRIX[:, target])).astype(np.int64)
    return person_periods(event, np.full(ROWS, 10_000), np.full(ROWS, 360))
