"""The service's own log: a line each on stderr with its time in UTC. BentoML leaves other loggers at WARNING."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

LINE = "%(asctime)s %(levelname)s %(name)s [%(process)d] %(message)s"


class _InUtc(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"


def log_to_stderr() -> None:
    """Lets every logger `expansion.*` speak from INFO on; calling it again changes nothing."""
    handler = logging.StreamHandler()
    handler.setFormatter(_InUtc(LINE))
    ours = logging.getLogger("expansion")
    ours.handlers = [handler]
    ours.setLevel(logging.INFO)
    ours.propagate = False  # the root logger would say warnings again, in another shape
