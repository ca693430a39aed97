"""A process that ends at a chosen step, as far as the code under test can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Died(BaseException):
    pass


def dying(real: Callable[..., Any], place: int) -> Callable[..., Any]:
    """`real`, which ends the process at its `place`-th call."""
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == place:
            raise Died
        return real(*args, **kwargs)

    return call
