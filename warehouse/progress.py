"""What a long run says while it works: a live line a stage on a terminal, one plain line a stage elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Report(Protocol):
    def __call__(self, text: str) -> None: ...


def note(text: str) -> None:
    """A line that a person should see and that stops nothing."""
    print(f"  ! {text}", file=sys.stderr, flush=True)


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
    try:
        yield say
    except BaseException:
        if live:
            print("\r\x1b[2K", end="", file=sys.stderr)
        print(f"  ✗ {title} failed after {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
        raise
    clear = "\r\x1b[2K" if live else ""
    tail = f": {detail}" if detail else ""
    print(f"{clear}  ✓ {title}{tail} ({time.monotonic() - started:.1f} s)", file=sys.stderr, flush=True)
