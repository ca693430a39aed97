"""What a long run says while it works: a live line a stage on a terminal, one plain line a stage, with its time in UTC,
elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol


class Report(Protocol):
    def __call__(self, text: str) -> None: ...


def note(text: str) -> None:
    """A line that a person should see and that stops nothing."""
    _line(f"  ! {text}")


@contextmanager
def stage(title: str) -> Iterator[Report]:
    """Announces `title` on stderr, lets the body report where it is, and closes with the seconds it took."""
    started = time.monotonic()
    live = sys.stderr.isatty()
    detail = ""

    def say(text: str) -> None:
        nonlocal detail
        detail = text
        if live:
            print(f"\r\x1b[2K  … {title}: {text}", end="", file=sys.stderr, flush=True)

    say("working")
    detail = ""
    clear = "\r\x1b[2K" if live else ""
    try:
        yield say
    except BaseException:
        _line(f"{clear}  ✗ {title} failed after {time.monotonic() - started:.1f} s")
        raise
    tail = f": {detail}" if detail else ""
    _line(f"{clear}  ✓ {title}{tail} ({time.monotonic() - started:.1f} s)")


def _line(text: str) -> None:
    """In a log, where one night follows another, nothing else tells when."""
    when = "" if sys.stderr.isatty() else f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    print(f"{when}{text}", file=sys.stderr, flush=True)
