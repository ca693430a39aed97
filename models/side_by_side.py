"""Work on two things at a time, each by one thread.

A fit of LightGBM is small here, and two of its own threads wait for each other at every split of every tree: asleep, as
`expansion` has it, that takes twice the time; spinning it starves other processes. Two fits beside each other wait for
nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

THREADS = 2  # of all that computes, however many cores there are: results and speed are those of the smallest machine
Thing = TypeVar("Thing")
Made = TypeVar("Made")
_here = threading.local()


def threads() -> int:
    """How many LightGBM may predict with: one in what runs beside something else. It holds a single count for the whole
    process, so all that is at work at one time must ask for the same; a fit always asks for one."""
    return getattr(_here, "threads", THREADS)


class InTurn(Executor):
    """Does what it is given at once, in the thread that gives it, and raises what that raises."""

    def submit(self, work: Callable[..., Made], /, *args: Any, **kwargs: Any) -> Future[Made]:
        done: Future[Made] = Future()
        done.set_result(work(*args, **kwargs))
        return done


@contextmanager
def workers() -> Iterator[Executor]:
    """Two threads that take work up in the order in which it is given, so that it may wait for what was given before;
    asked for by such work, the thread it has. It ends when all is done; broken off, with what has begun."""
    with InTurn() if threads() == 1 else ThreadPoolExecutor(THREADS, initializer=_alone) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def side_by_side(work: Callable[[Thing], Made], things: Iterable[Thing]) -> list[Made]:
    """What `work` makes of each of the `things`, in their order, as `map` would; raises what it raised of the first."""
    with workers() as pool:
        return list(pool.map(work, things))


def _alone() -> None:
    _here.threads = 1
