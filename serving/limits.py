"""How often one may ask: wrong keys by client address, requests by key. In the memory of one process.

A valid key works however many wrong ones came from its address: others may sit behind the same router.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from math import ceil

from serving.errors import ApiError

WRONG_KEYS = 10  # an address and MINUTE
MINUTE = 60.0
ADDRESSES = 4_096  # remembered; whoever tried longest ago is forgotten first


class Limits:
    """`per_minute`: requests a key, all at once or spread; 0: as many as it likes."""

    def __init__(self, per_minute: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._now = monotonic
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._left: dict[str, tuple[float, float]] = {}  # tokens and when there were so many; bounded by the key file

    def wrong_key(self, address: str) -> None:
        """Counts a wrong key. Raises ApiError 429 where the last WRONG_KEYS before it came within a minute; it is not
        counted then, so that whoever waits as long as told is heard."""
        now = self._now()
        times = self._wrong.setdefault(address, deque(maxlen=WRONG_KEYS))
        self._wrong.move_to_end(address)
        if len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)
        if len(times) == WRONG_KEYS and now - times[0] < MINUTE:
            raise _too_many("too_many_failures", "Too many wrong keys from this address.", times[0] + MINUTE - now)
        times.append(now)

    def request(self, key_id: str) -> None:
        """Takes a token of the key, which get back one by one. Raises ApiError 429 where none is left."""
        if not self._per_minute:
            return
        now, rate = self._now(), self._per_minute / MINUTE
        left, then = self._left.get(key_id, (float(self._per_minute), now))
        left = min(left + (now - then) * rate, self._per_minute)
        if left < 1:
            raise _too_many("too_many_requests", f"A key has {self._per_minute} requests a minute.", (1 - left) / rate)
        self._left[key_id] = left - 1, now


def _too_many(code: str, message: str, seconds: float) -> ApiError:
    wait = max(ceil(seconds), 1)
    return ApiError(429, code, f"{message} Try again in {wait} s.", retry_after=wait)
