"""What the service counts, labelled by route template, never by path: ids and probes cannot become series."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from serving.source import known_until
from serving.status import read
from serving.watcher import ReleaseWatcher

DRIFT = {
    "score_psi": "PSI of the live release's scores since about a week before.",
    "top_kept": "Share of the accounts called first about a week before that still are.",
}
KNOWN_UNTIL = "Unix time of the earlier of the live release's as_of and the end of its facts: what its age counts from."
NIGHT = {
    "succeeded": "Unix time at which a night last published.",
    "failed": "Unix time at which a night last failed; of one that was killed, at which it began.",
    "started": "Unix time at which the night at work began.",
}
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts of one worker, and the sum over all workers when they share a folder."""

    def __init__(self, watcher: ReleaseWatcher, shared: bool, workspace: Path) -> None:
        self._shared = shared
        self._read = (_ReleaseCollector(watcher), _NightCollector(workspace))  # when asked, not counted
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "expansion_http_requests",
            "Answers by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "expansion_http_request_seconds", "Seconds from request to answer.", ("route",), registry=self._registry
        )
        if not shared:
            self._register_read(self._registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self) -> bytes:
        """The Prometheus text format."""
        if not self._shared:
            return bytes(generate_latest(self._registry))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        self._register_read(registry)
        return bytes(generate_latest(registry))

    def _register_read(self, registry: CollectorRegistry) -> None:
        for collector in self._read:
            registry.register(collector)


class _ReleaseCollector(Collector):
    def __init__(self, watcher: ReleaseWatcher) -> None:
        self._watcher = watcher

    def collect(self) -> Iterator[Metric]:
        release = self._watcher.get()
        opened, known = (0.0, 0.0) if release is None else (_unix(release.as_of), _unix(known_until(release)))
        yield GaugeMetricFamily("expansion_release_as_of_seconds", "Unix time of the live release's as_of.", opened)
        yield GaugeMetricFamily("expansion_release_known_until_seconds", KNOWN_UNTIL, known)
        accounts = 0 if release is None else release.run["accounts"]
        yield GaugeMetricFamily("expansion_release_accounts", "Accounts in the live release.", accounts)
        drift = None if release is None else release.run.get("drift")
        if drift is not None:
            told = {"score_psi": drift["score_psi"], "top_kept": drift["top"]["share"]}
            for name, value in told.items():
                if value is not None:
                    yield GaugeMetricFamily(f"expansion_release_{name}", DRIFT[name], value)
        refused = float(self._watcher.error is not None)
        yield GaugeMetricFamily("expansion_release_refused", "1 while `current` cannot be served.", refused)


class _NightCollector(Collector):
    """Absent: what never happened, and all of them while status.json cannot be read."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    def collect(self) -> Iterator[Metric]:
        nights = read(self._workspace)
        told = {"succeeded": nights.last_success, "failed": nights.last_failure, "started": nights.started}
        for name, one in told.items():
            if one is not None:
                when = datetime.fromisoformat(one["when"]).timestamp()
                yield GaugeMetricFamily(f"expansion_night_{name}_seconds", NIGHT[name], when)
        if nights.last_failure is not None:
            code = nights.last_failure["exit_code"]
            yield GaugeMetricFamily(
                "expansion_night_failed_exit_code", "Exit code of the last night that failed.", code
            )


def _unix(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
